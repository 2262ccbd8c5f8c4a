-- A supplement is a batch of the conversations that could not be rendered with another. It shares the interval of
-- that batch, so an adapter's intervals are unique among the others only.
alter table batches drop constraint batches_adapter_interval_end_key;
alter table batches add column supplement_to bigint references batches;
alter table batches add column left_by bigint references batches;
alter table batches add check ((supplement_to is null) = (left_by is null));

create unique index batches_by_interval on batches (adapter, interval_end) where supplement_to is null;
create index batches_by_original on batches (supplement_to) where supplement_to is not null;
-- One rendering leaves at most one supplement.
create unique index batches_by_rendering on batches (left_by) where left_by is not null;

-- The conversations of a supplement, each with the reason why it could not be rendered. Of any other batch: those
-- that its last attempt could not render, if that is known.
create table set_aside (
    batch_id bigint not null references batches,
    room_no bigint not null references rooms,
    reason text not null,
    primary key (batch_id, room_no)
);
