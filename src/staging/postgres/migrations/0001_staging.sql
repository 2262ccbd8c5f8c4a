-- Instants are ticks of 100 ns since 0001-01-01T00:00:00Z. A key is the text itself, or a prefix and a digest
-- where the text is too long for an index; then the text stands in the column whole_...

create table sources (
    source_no bigint primary key,
    uri text not null unique,
    whole_uri bytea,
    staged bigint not null default 0,
    duplicates bigint not null default 0,
    conflicts bigint not null default 0,
    last_sequence bigint,
    heartbeat_sequence bigint,
    last_received bigint not null default 0
);

create table rooms (
    room_no bigint primary key,
    uri text not null unique,
    whole_uri bytea,
    next_message_number bigint not null default 1
);

create table persons (
    person_no bigint primary key,
    key text not null unique,
    whole_key bytea
);

-- variant 0 is the first content of a key; others conflict with it. A heartbeat has no room. The numbers come
-- from the same transaction, so foreign keys would only slow each row down.
create table events (
    seq bigint generated always as identity primary key,
    source_no bigint not null,
    event_id text not null,
    whole_id bytea,
    variant bigint not null,
    kind smallint not null,
    room_no bigint,
    person_no bigint,
    message_id text,
    time bigint not null,
    time_is_receipt boolean not null,
    sequence bigint,
    received bigint not null,
    conflict boolean not null,
    sha256 bytea not null,
    raw bytea not null,
    unique (source_no, event_id, variant)
);

create index events_with_files on events (seq) where kind in (6, 7);

-- What is left of a purged event, so that a late second delivery is still known.
create table seen (
    source_no bigint not null,
    id_hash bytea not null,
    digest bytea not null,
    purged_at bigint not null,
    primary key (source_no, id_hash, digest)
);

create index seen_by_age on seen (purged_at);

-- last_seq is the last event, cut by any adapter, that speaks of the message.
create table message_numbers (
    room_no bigint not null,
    message_id text not null,
    number bigint not null,
    last_seq bigint not null,
    primary key (room_no, message_id),
    unique (room_no, number)
);

create table adapters (
    adapter text primary key,
    cut_seq bigint not null,
    cut_at bigint not null
);

create table batches (
    id bigint generated always as identity primary key,
    adapter text not null,
    interval_start bigint not null,
    interval_end bigint not null,
    from_seq bigint not null,
    to_seq bigint not null check (to_seq >= from_seq),
    first boolean not null,
    state text not null,
    attempts bigint not null default 0,
    retry_at bigint,
    reason text,
    events bigint not null default 0,
    messages bigint not null default 0,
    signals bigint not null default 0,
    conversations bigint not null default 0,
    late bigint not null default 0,
    left_out bigint not null default 0,
    replaced_characters bigint not null default 0,
    files bigint not null default 0,
    bytes bigint not null default 0,
    cut_at bigint not null,
    published_at bigint,
    collected_at bigint,
    collected_how text,
    purged_at bigint,
    unique (adapter, interval_end)
);

create index batches_open on batches (adapter, id) where state not in ('purged', 'empty', 'abandoned');

create table outputs (
    batch_id bigint not null references batches,
    position bigint not null,
    name text not null,
    kind text not null,
    size bigint not null,
    sha256 bytea not null,
    messages bigint not null,
    collected_at bigint,
    primary key (batch_id, position),
    unique (batch_id, name)
);

-- Either a digest and a size, or the reason why there are none.
create table captures (
    seq bigint primary key,
    sha256 bytea,
    size bigint,
    mismatch boolean not null default false,
    extension text,
    reason text,
    check ((sha256 is null) = (size is null) and (sha256 is null) = (reason is not null))
);

create index captures_by_digest on captures (sha256) where sha256 is not null;

-- Files no capture refers to any more, until the vault has had time to sweep them.
create table unreferenced (
    sha256 bytea primary key
);

create table presence (
    adapter text not null,
    room_no bigint not null references rooms,
    batch_id bigint not null references batches,
    bytes bytea not null,
    primary key (adapter, room_no, batch_id)
);

create table quarantine (
    id bigint generated always as identity primary key,
    key bytea not null unique,
    received bigint not null,
    origin text not null,
    reason text not null,
    detail text not null,
    source text,
    event_id text,
    headers text,
    size bigint not null,
    sha256 bytea not null,
    raw bytea not null,
    seen bigint not null,
    state text not null
);

create table leases (
    name text primary key,
    holder text not null,
    token bigint not null,
    expires timestamptz not null
);

create table alerts (
    id bigint generated always as identity primary key,
    kind text not null,
    subject text not null,
    detail text not null,
    opened bigint not null,
    last bigint not null,
    count bigint not null,
    closed bigint
);

create unique index alerts_open on alerts (kind, subject) where closed is null;

create table acts (
    id bigint generated always as identity primary key,
    at bigint not null,
    who text not null,
    verb text not null,
    subject text not null,
    reason text not null
);
