-- A supplement is a batch of the conversations that could not be rendered with another. It shares the interval of
-- that batch, so an adapter's intervals are unique among the others only.
--
-- SQLite cannot drop a constraint: the table is made anew, and with it the two that refer to it, all in the one
-- transaction of this step. Renaming a table takes along what refers to it, so each is copied while its parent's
-- rows are there, and nothing refers to what is dropped.

alter table batches rename to former_batches;

create table batches (
    id integer primary key autoincrement,
    adapter text not null,
    interval_start integer not null,
    interval_end integer not null,
    from_seq integer not null,
    to_seq integer not null check (to_seq >= from_seq),
    first integer not null,
    state text not null,
    attempts integer not null default 0,
    retry_at integer,
    reason text,
    events integer not null default 0,
    messages integer not null default 0,
    signals integer not null default 0,
    conversations integer not null default 0,
    late integer not null default 0,
    left_out integer not null default 0,
    replaced_characters integer not null default 0,
    files integer not null default 0,
    bytes integer not null default 0,
    cut_at integer not null,
    published_at integer,
    collected_at integer,
    collected_how text,
    purged_at integer,
    share text not null default '',
    workplace text not null default '',
    supplement_to integer references batches,
    left_by integer references batches,
    check ((supplement_to is null) = (left_by is null))
) strict;

insert into batches (id, adapter, interval_start, interval_end, from_seq, to_seq, first, state, attempts, retry_at,
    reason, events, messages, signals, conversations, late, left_out, replaced_characters, files, bytes, cut_at,
    published_at, collected_at, collected_how, purged_at, share, workplace)
select id, adapter, interval_start, interval_end, from_seq, to_seq, first, state, attempts, retry_at,
    reason, events, messages, signals, conversations, late, left_out, replaced_characters, files, bytes, cut_at,
    published_at, collected_at, collected_how, purged_at, share, workplace
from former_batches;

-- Numbers of batches are never used again, not even that of a batch that is gone.
delete from sqlite_sequence where name = 'batches';
insert into sqlite_sequence (name, seq) select 'batches', seq from sqlite_sequence where name = 'former_batches';

alter table outputs rename to former_outputs;

create table outputs (
    batch_id integer not null references batches,
    position integer not null,
    name text not null,
    kind text not null,
    size integer not null,
    sha256 blob not null,
    messages integer not null,
    collected_at integer,
    primary key (batch_id, position),
    unique (batch_id, name)
) strict;

insert into outputs (batch_id, position, name, kind, size, sha256, messages, collected_at)
select batch_id, position, name, kind, size, sha256, messages, collected_at from former_outputs;

drop table former_outputs;

alter table presence rename to former_presence;

create table presence (
    adapter text not null,
    room_no integer not null references rooms,
    batch_id integer not null references batches,
    bytes blob not null,
    primary key (adapter, room_no, batch_id)
) strict;

insert into presence (adapter, room_no, batch_id, bytes)
select adapter, room_no, batch_id, bytes from former_presence;

drop table former_presence;
drop table former_batches;

create index batches_open on batches (adapter, id) where state not in ('purged', 'empty', 'abandoned');
create unique index batches_by_interval on batches (adapter, interval_end) where supplement_to is null;
create index batches_by_original on batches (supplement_to) where supplement_to is not null;
-- One rendering leaves at most one supplement.
create unique index batches_by_rendering on batches (left_by) where left_by is not null;

-- The conversations of a supplement, each with the reason why it could not be rendered. Of any other batch: those
-- that its last attempt could not render, if that is known.
create table set_aside (
    batch_id integer not null references batches,
    room_no integer not null references rooms,
    reason text not null,
    primary key (batch_id, room_no)
) strict, without rowid;
