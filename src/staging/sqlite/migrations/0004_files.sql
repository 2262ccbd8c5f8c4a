-- Files whose bytes have not come yet: whom to ask and when, and what came meanwhile if that was less than claimed.
create table pending_files (
    seq integer primary key,
    giver text not null,
    received integer not null,
    attempts integer not null default 0,
    next_at integer not null,
    reason text,
    sha256 blob,
    size integer,
    extension text,
    check ((sha256 is null) = (size is null))
) strict;

create index pending_files_by_giver on pending_files (giver, next_at);
create index pending_files_by_digest on pending_files (sha256) where sha256 is not null;

-- What a batch said of files that had not come when it was rendered. It stays open until the file follows in a
-- supplement, or it is certain that it never will.
create table owed_files (
    batch_id integer not null references batches,
    seq integer not null,
    room_no integer not null,
    reason text not null,
    supplement integer references batches,
    closed integer not null default 0,
    primary key (batch_id, seq)
) strict, without rowid;

create index owed_files_open on owed_files (seq) where closed = 0;
create index owed_files_open_by_batch on owed_files (batch_id) where closed = 0;
create index owed_files_by_supplement on owed_files (supplement, seq) where supplement is not null;

-- When the outcome was recorded; 0 for one that an earlier version recorded.
alter table captures add column at integer not null default 0;

-- Whether it is settled what a batch says of its files. A supplement of files names the batch that it completes in completes, and
-- itself in left_by: no rendering left it.
alter table batches add column files_told integer not null default 0;
alter table batches add column completes integer references batches;
alter table batches add column completed integer not null default 0;

drop index batches_by_rendering;
create unique index batches_by_rendering on batches (left_by) where left_by is not null and left_by <> id;
