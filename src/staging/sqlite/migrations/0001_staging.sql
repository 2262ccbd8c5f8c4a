-- Instants are ticks of 100 ns since 0001-01-01T00:00:00Z. A key is the text itself, or a prefix and a digest
-- where the text is too long for an index; then the text stands in the column whole_...

create table sources (
    source_no integer primary key,
    uri text not null unique,
    whole_uri blob,
    staged integer not null default 0,
    duplicates integer not null default 0,
    conflicts integer not null default 0,
    last_sequence integer,
    heartbeat_sequence integer,
    last_received integer not null default 0
) strict;

create table rooms (
    room_no integer primary key,
    uri text not null unique,
    whole_uri blob,
    next_message_number integer not null default 1
) strict;

create table persons (
    person_no integer primary key,
    key text not null unique,
    whole_key blob
) strict;

-- variant 0 is the first content of a key; others conflict with it. A heartbeat has no room. The numbers come
-- from the same transaction, so foreign keys would only slow each row down.
create table events (
    seq integer primary key autoincrement,
    source_no integer not null,
    event_id text not null,
    whole_id blob,
    variant integer not null,
    kind integer not null,
    room_no integer,
    person_no integer,
    message_id text,
    time integer not null,
    time_is_receipt integer not null,
    sequence integer,
    received integer not null,
    conflict integer not null,
    sha256 blob not null,
    raw blob not null,
    unique (source_no, event_id, variant)
) strict;

create index events_with_files on events (seq) where kind in (6, 7);

-- What is left of a purged event, so that a late second delivery is still known.
create table seen (
    source_no integer not null,
    id_hash blob not null,
    digest blob not null,
    purged_at integer not null,
    primary key (source_no, id_hash, digest)
) strict, without rowid;

create index seen_by_age on seen (purged_at);

-- last_seq is the last event, cut by any adapter, that speaks of the message.
create table message_numbers (
    room_no integer not null,
    message_id text not null,
    number integer not null,
    last_seq integer not null,
    primary key (room_no, message_id),
    unique (room_no, number)
) strict, without rowid;

create table adapters (
    adapter text not null primary key,
    cut_seq integer not null,
    cut_at integer not null
) strict;

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
    unique (adapter, interval_end)
) strict;

create index batches_open on batches (adapter, id) where state not in ('purged', 'empty', 'abandoned');

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

-- Either a digest and a size, or the reason why there are none.
create table captures (
    seq integer primary key,
    sha256 blob,
    size integer,
    mismatch integer not null default 0,
    extension text,
    reason text,
    check ((sha256 is null) = (size is null) and (sha256 is null) = (reason is not null))
) strict;

create index captures_by_digest on captures (sha256) where sha256 is not null;

-- Files no capture refers to any more, until the vault has had time to sweep them.
create table unreferenced (
    sha256 blob not null primary key
) strict, without rowid;

create table presence (
    adapter text not null,
    room_no integer not null references rooms,
    batch_id integer not null references batches,
    bytes blob not null,
    primary key (adapter, room_no, batch_id)
) strict;

create table quarantine (
    id integer primary key autoincrement,
    key blob not null unique,
    received integer not null,
    origin text not null,
    reason text not null,
    detail text not null,
    source text,
    event_id text,
    headers text,
    size integer not null,
    sha256 blob not null,
    raw blob not null,
    seen integer not null,
    state text not null
) strict;

create table leases (
    name text not null primary key,
    holder text not null,
    token integer not null,
    expires integer not null
) strict;

create table alerts (
    id integer primary key autoincrement,
    kind text not null,
    subject text not null,
    detail text not null,
    opened integer not null,
    last integer not null,
    count integer not null,
    closed integer
) strict;

create unique index alerts_open on alerts (kind, subject) where closed is null;

create table acts (
    id integer primary key autoincrement,
    at integer not null,
    who text not null,
    verb text not null,
    subject text not null,
    reason text not null
) strict;
