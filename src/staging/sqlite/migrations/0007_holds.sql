-- A hold forbids purge of what it covers until it is released; what is null limits nothing.
create table holds (
    id integer primary key autoincrement,
    room text,
    person text,
    source text,
    from_time integer,
    to_time integer,
    placed_at integer not null,
    placed_by text not null,
    reason text not null,
    released_at integer
) strict;

-- Events that a purge found under a hold, so that each is looked at once.
create table held_events (
    seq integer primary key,
    hold_id integer not null references holds
) strict;

create index held_events_by_hold on held_events (hold_id);

-- Purges under way. Placing a hold waits for those that began before it, or until their time has run out.
create table purges (
    id integer primary key autoincrement,
    what text not null,
    began integer not null,
    expires integer not null
) strict;
