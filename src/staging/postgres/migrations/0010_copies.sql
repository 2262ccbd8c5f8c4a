-- The copies of a batch's manifest and of the signature on it, from the moment at which they lie in a workplace (`share`, `workplace`), durable and under
-- temporary names. `copied_at`: since when they have their names beside the outputs; they are never put there again.
create table copies (
    batch_id bigint not null references batches,
    position bigint not null,
    name text not null,
    size bigint not null,
    sha256 bytea not null,
    share text not null,
    workplace text not null,
    copied_at bigint,
    primary key (batch_id, position)
);

create index copies_under_way on copies (batch_id) where copied_at is null;
