-- Where a source's running count stands, by epoch; the last few are kept. What is missing between first and highest
-- stands in findings. The run holds numbers that may begin an epoch, as JSON.
create table sequences (
    source_no integer not null,
    epoch integer not null,
    first integer not null,
    highest integer not null,
    began integer not null,
    latest integer not null,
    run text not null,
    primary key (source_no, epoch)
) strict, without rowid;

-- What an earlier version heard of a source is its beginning.
insert into sequences (source_no, epoch, first, highest, began, latest, run)
select source_no, 1, max(last_sequence, coalesce(heartbeat_sequence, last_sequence)) + 1,
    max(last_sequence, coalesce(heartbeat_sequence, last_sequence)), last_received, last_received, '[]'
from sources where last_sequence is not null;

-- Of a gap: the numbers from first to last are missing. Of a repeat: first and last are the number that came under
-- another id. Of a reset: the epoch begins at first, and last was the highest number of the one before.
create table findings (
    id integer primary key autoincrement,
    kind text not null check (kind in ('gap', 'repeat', 'reset')),
    source_no integer not null,
    epoch integer not null,
    first integer not null,
    last integer not null,
    found integer not null,
    reported integer,
    closed integer,
    settled integer
) strict;

create index findings_open_gaps on findings (source_no, last) where kind = 'gap' and closed is null;
create index findings_unreported on findings (found) where reported is null and closed is null;
create index findings_repeats on findings (source_no, epoch, first) where kind = 'repeat';

alter table quarantine add column sequence integer;
create index quarantine_by_sequence on quarantine (source, sequence) where sequence is not null;
