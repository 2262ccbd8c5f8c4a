-- How many events were purged, by source, room (0: none) and the hour in which they happened, counted from the year 1. After
-- a while the hours and rooms of a source's day become one row; then room is 0 and hour the day's first.
create table purged_totals (
    source_no integer not null,
    room_no integer not null,
    hour integer not null,
    events integer not null,
    primary key (source_no, room_no, hour)
) strict, without rowid;

create index purged_totals_by_hour on purged_totals (hour);

-- What an earlier version purged is counted without room and time.
insert into purged_totals (source_no, room_no, hour, events)
select source_no, 0, 0, staged - (select count(*) from events e where e.source_no = s.source_no) from sources s
where staged > (select count(*) from events e where e.source_no = s.source_no);
