-- What was received, each event once. The number is given out once for ever, also when the row is pruned; the body stays
-- until the broker has confirmed it.
create table events (
    sequence integer primary key autoincrement,
    event_id text not null unique,
    body blob,
    received_at integer not null
) strict;

create index events_open on events (sequence) where body is not null;

-- What may still be edited or deleted. `kind`: message, edit, reaction, file.
create table said (
    event_id text primary key,
    kind text not null,
    words text,
    about text,
    received_at integer not null
) strict, without rowid;

-- `complete`: the room was seen from its creation on, or the server was asked for its state.
create table rooms (
    room_id text primary key,
    name text,
    topic text,
    direct integer not null default 0,
    complete integer not null default 0
) strict, without rowid;

create table names (
    room_id text not null,
    person text not null,
    name text,
    primary key (room_id, person)
) strict, without rowid;
