-- How many events were kept by room, counted on arrival, and how many of them were purged: for good, and whatever their hour. Two tables,
-- so that who takes in never waits for a purge.
create table room_arrivals (
    room_no bigint not null primary key,
    events bigint not null
);

create table room_purges (
    room_no bigint not null primary key,
    events bigint not null
);

-- What an earlier version kept is counted as far as it can still be told by room.
insert into room_purges (room_no, events)
select room_no, cast(sum(events) as bigint) from purged_totals where room_no <> 0 group by room_no;

insert into room_arrivals (room_no, events)
select room_no, cast(sum(events) as bigint) from (
    select room_no, count(*) as events from events where room_no is not null group by room_no
    union all select room_no, events from room_purges) t
group by room_no;
