-- A hold forbids purge of what it covers until it is released; what is null limits nothing.
create table holds (
    id bigint generated always as identity primary key,
    room text,
    person text,
    source text,
    from_time bigint,
    to_time bigint,
    placed_at bigint not null,
    placed_by text not null,
    reason text not null,
    released_at bigint
);

-- Events that a purge found under a hold, so that each is looked at once.
create table held_events (
    seq bigint primary key,
    hold_id bigint not null references holds
);

create index held_events_by_hold on held_events (hold_id);

-- Purges under way. Placing a hold waits for those that began before it, or until their time has run out.
create table purges (
    id bigint generated always as identity primary key,
    what text not null,
    began bigint not null,
    expires timestamptz not null
);
