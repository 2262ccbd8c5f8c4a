-- The log of evidence: every entry as the exact bytes that are hashed and signed, numbered from 0 without a gap. `name` is
-- the adapter of a manifest and the fingerprint of a key. It begins with this version: what was done before is in `acts`.
create table evidence_log (
    entry bigint primary key,
    kind text not null,
    name text,
    batch_id bigint references batches,
    sha256 bytea not null,
    bytes bytea not null
);

create unique index evidence_log_by_batch on evidence_log (kind, batch_id) where batch_id is not null;
create index evidence_log_by_name on evidence_log (kind, name, entry) where name is not null;

-- One row. Whoever appends changes `entries` and so waits for whoever appended before to commit.
create table evidence_size (
    entries bigint not null
);

insert into evidence_size (entries) values (0);

-- One row: how many entries lie in the evidence directory. A row of its own, so that writing them holds up nobody.
create table evidence_written (
    entries bigint not null
);

insert into evidence_written (entries) values (0);

-- Event lists in pieces, until they lie in the evidence directory.
create table evidence_lists (
    batch_id bigint not null references batches,
    piece bigint not null,
    bytes bytea not null,
    primary key (batch_id, piece)
);

create index events_without_room on events (seq) where room_no is null;
