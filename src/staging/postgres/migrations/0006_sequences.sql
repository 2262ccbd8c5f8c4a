-- Where a source's running count stands, by epoch; the last few are kept. What is missing between first and highest
-- stands in findings. The run holds numbers that may begin an epoch, as JSON.
create table sequences (
    source_no bigint not null,
    epoch bigint not null,
    first bigint not null,
    highest bigint not null,
    began bigint not null,
    latest bigint not null,
    run text not null,
    primary key (source_no, epoch)
);

-- What an earlier version heard of a source is its beginning.
insert into sequences (source_no, epoch, first, highest, began, latest, run)
select source_no, 1, greatest(last_sequence, heartbeat_sequence) + 1,
    greatest(last_sequence, heartbeat_sequence), last_received, last_received, '[]'
from sources where last_sequence is not null;

-- Of a gap: the numbers from first to last are missing. Of a repeat: first and last are the number that came under
-- another id. Of a reset: the epoch begins at first, and last was the highest number of the one before.
create table findings (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('gap', 'repeat', 'reset')),
    source_no bigint not null,
    epoch bigint not null,
    first bigint not null,
    last bigint not null,
    found bigint not null,
    reported bigint,
    closed bigint,
    settled bigint
);

create index findings_open_gaps on findings (source_no, last) where kind = 'gap' and closed is null;
create index findings_unreported on findings (found) where reported is null and closed is null;
create index findings_repeats on findings (source_no, epoch, first) where kind = 'repeat';

alter table quarantine add column sequence bigint;
create index quarantine_by_sequence on quarantine (source, sequence) where sequence is not null;
