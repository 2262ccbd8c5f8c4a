-- The log of evidence: every entry as the exact bytes that are hashed and signed, numbered from 0 without a gap. `name` is
-- the adapter of a manifest and the fingerprint of a key. It begins with this version: what was done before is in `acts`.
create table evidence_log (
    entry integer primary key,
    kind text not null,
    name text,
    batch_id integer references batches,
    sha256 blob not null,
    bytes blob not null
) strict;

create unique index evidence_log_by_batch on evidence_log (kind, batch_id) where batch_id is not null;
create index evidence_log_by_name on evidence_log (kind, name, entry) where name is not null;

-- One row: how many entries there are.
create table evidence_size (
    entries integer not null
) strict;

insert into evidence_size (entries) values (0);

-- One row: how many entries lie in the evidence directory.
create table evidence_written (
    entries integer not null
) strict;

insert into evidence_written (entries) values (0);

-- Event lists in pieces, until they lie in the evidence directory.
create table evidence_lists (
    batch_id integer not null references batches,
    piece integer not null,
    bytes blob not null,
    primary key (batch_id, piece)
) strict;

create index events_without_room on events (seq) where room_no is null;
