//! Every statement sent to PostgreSQL, by name. A test prepares each of them.

/// Declares the statements and lists them for the test that prepares them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = $text;)*
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// What `rows::Events` reads by these places.
macro_rules! event_columns {
    () => {
        "e.seq, e.source_no, s.uri as source, s.whole_uri as whole_source, e.event_id, e.whole_id, e.kind, e.room_no, \
         r.uri as room_uri, r.whole_uri as whole_room_uri, e.person_no, m.number as message_no, e.time, \
         e.time_is_receipt, e.sequence, e.received, e.conflict, e.raw \
         from events e join rooms r on r.room_no = e.room_no join sources s on s.source_no = e.source_no \
         left join message_numbers m on m.room_no = e.room_no and m.message_id = e.message_id "
    };
}

macro_rules! batch_columns {
    () => {
        "id, adapter, interval_start, interval_end, from_seq, to_seq, first, state, attempts, retry_at, reason, \
         events, messages, signals, conversations, late, left_out, replaced_characters, files, bytes, cut_at, \
         published_at, collected_at, collected_how, purged_at, share, workplace, supplement_to, completes, completed"
    };
}

/// Batches to which something will still happen, or that still owe a file.
macro_rules! open_batch {
    () => {
        "(b.state not in ('purged', 'empty', 'abandoned') \
         or exists (select 1 from owed_files o where o.batch_id = b.id and not o.closed))"
    };
}

macro_rules! pending_columns {
    () => {
        "e.seq, e.room_no, coalesce(p.giver, '') as giver, e.received, coalesce(p.attempts, 0) as attempts, \
         coalesce(p.next_at, 0) as next_at, p.reason, p.sha256, p.size, p.extension "
    };
}

macro_rules! quarantine_columns {
    () => {
        "id, received, origin, reason, detail, source, event_id, headers, size, sha256, seen, state"
    };
}

statements! {
    PING = "select 1";
    HAS_SCHEMA = "select exists (select 1 from pg_namespace where nspname = $1)";

    LOCK_SHARED = "select pg_advisory_xact_lock_shared($1)";
    LOCK = "select pg_advisory_xact_lock($1)";
    LOCK_TIMEOUT = "set local lock_timeout = '2s'";

    FIND_SOURCES = "select source_no, uri from sources where uri = any($1)";
    FIND_ROOMS = "select room_no, uri from rooms where uri = any($1)";
    FIND_PERSONS = "select person_no, key from persons where key = any($1)";
    ADD_SOURCES = "insert into sources (source_no, uri, whole_uri) \
        select (select coalesce(max(source_no), 0) from sources) + place, uri, whole_uri \
        from unnest($1::text[], $2::bytea[]) with ordinality as n(uri, whole_uri, place)";
    ADD_ROOMS = "insert into rooms (room_no, uri, whole_uri) \
        select (select coalesce(max(room_no), 0) from rooms) + place, uri, whole_uri \
        from unnest($1::text[], $2::bytea[]) with ordinality as n(uri, whole_uri, place)";
    ADD_PERSONS = "insert into persons (person_no, key, whole_key) \
        select (select coalesce(max(person_no), 0) from persons) + place, key, whole_key \
        from unnest($1::text[], $2::bytea[]) with ordinality as n(key, whole_key, place)";

    INSERT_EVENTS = "insert into events (source_no, event_id, whole_id, variant, kind, room_no, person_no, \
        message_id, time, time_is_receipt, sequence, received, conflict, sha256, raw) \
        select source_no, event_id, whole_id, 0, kind, room_no, person_no, message_id, time, time_is_receipt, \
        sequence, received, false, sha256, raw \
        from unnest($1::bigint[], $2::text[], $3::bytea[], $4::smallint[], $5::bigint[], $6::bigint[], $7::text[], \
        $8::bigint[], $9::boolean[], $10::bigint[], $11::bigint[], $12::bytea[], $13::bytea[]) \
        as e(source_no, event_id, whole_id, kind, room_no, person_no, message_id, time, time_is_receipt, sequence, \
        received, sha256, raw) \
        on conflict (source_no, event_id, variant) do nothing returning seq";
    INSERT_VARIANT = "insert into events (source_no, event_id, whole_id, variant, kind, room_no, person_no, \
        message_id, time, time_is_receipt, sequence, received, conflict, sha256, raw) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true, $13, $14) \
        on conflict (source_no, event_id, variant) do nothing returning seq";
    VARIANTS = "select e.seq, e.source_no, e.event_id, e.variant, e.sha256 \
        from unnest($1::bigint[], $2::text[]) as k(source_no, event_id) \
        join events e on e.source_no = k.source_no and e.event_id = k.event_id \
        order by e.source_no, e.event_id, e.variant";
    RAW = "select raw from events where seq = $1";
    FLAG = "update events set conflict = true where source_no = $1 and event_id = $2 and not conflict";
    REMOVE = "delete from events where seq = any($1)";
    ANY_SEEN = "select exists (select 1 from seen)";
    SEEN = "select s.source_no, s.id_hash, s.digest from unnest($1::bigint[], $2::bytea[]) as k(source_no, id_hash) \
        join seen s on s.source_no = k.source_no and s.id_hash = k.id_hash";
    LOCK_SOURCES = "select source_no from sources where source_no = any($1) order by source_no for update";
    TALLY = "update sources s set staged = s.staged + t.staged, duplicates = s.duplicates + t.duplicates, \
        conflicts = s.conflicts + t.conflicts, last_sequence = greatest(s.last_sequence, t.last_sequence), \
        heartbeat_sequence = greatest(s.heartbeat_sequence, t.heartbeat_sequence), \
        last_received = greatest(s.last_received, t.last_received) \
        from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
        as t(source_no, staged, duplicates, conflicts, last_sequence, heartbeat_sequence, last_received) \
        where s.source_no = t.source_no";
    TALLY_ROOMS = "insert into room_arrivals (room_no, events) \
        select room_no, events from unnest($1::bigint[], $2::bigint[]) as t(room_no, events) order by room_no \
        on conflict (room_no) do update set events = room_arrivals.events + excluded.events";
    QUARANTINE = "insert into quarantine (key, received, origin, reason, detail, source, event_id, headers, size, \
        sha256, raw, seen, sequence, state) \
        select key, received, origin, reason, detail, source, event_id, headers, size, sha256, raw, seen, sequence, \
        'waiting' \
        from unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
        $9::bigint[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[]) with ordinality \
        as q(key, received, origin, reason, detail, source, event_id, headers, size, sha256, raw, seen, sequence, place) \
        order by place \
        on conflict (key) do update set seen = quarantine.seen + excluded.seen returning key, seen";

    TRACKS = "select source_no, epoch, first, highest, began, latest, run from sequences where source_no = any($1) \
        order by source_no, epoch";
    OPEN_GAPS = "select id, epoch, first, last, found, reported, settled from findings where kind = 'gap' and closed is null \
        and source_no = $1 and last >= $2 and first <= $3";
    WERE_QUARANTINED = "select distinct sequence from quarantine where source = $1 and sequence = any($2)";
    SET_TRACK = "insert into sequences (source_no, epoch, first, highest, began, latest, run) \
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (source_no, epoch) do update set first = excluded.first, \
        highest = excluded.highest, began = excluded.began, latest = excluded.latest, run = excluded.run";
    FORGET_TRACKS = "delete from sequences where source_no = $1 and epoch < $2";
    REMOVE_GAPS = "delete from findings where id = any($1)";
    ADD_FINDINGS = "insert into findings (source_no, kind, epoch, first, last, found, reported, closed, settled) \
        select $1, * from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
        $8::bigint[], $9::bigint[])";
    WITHDRAW_REPEAT = "delete from findings where kind = 'repeat' and source_no = $1 and epoch = $2 and first = $3";
    SEQUENCES = "select s.uri, s.whole_uri, q.epoch, q.first, q.highest, \
        (select cast(coalesce(sum(f.last - f.first + 1), 0) as bigint) from findings f where f.source_no = q.source_no \
        and f.epoch = q.epoch and f.kind = 'gap' and f.closed is null) as missing_now \
        from sequences q join sources s on s.source_no = q.source_no \
        where not exists (select 1 from sequences n where n.source_no = q.source_no and n.epoch > q.epoch) \
        order by s.uri collate \"C\"";
    FINDINGS = "select f.id, f.kind, s.uri, s.whole_uri, f.epoch, f.first, f.last, f.found, f.reported, f.closed, \
        f.settled from findings f join sources s on s.source_no = f.source_no where f.reported is not null \
        and ($1::boolean or (f.closed is null and f.settled is null)) order by f.id desc limit $2";
    FINDING_TOTALS = "select s.uri, s.whole_uri, f.kind, count(*) as findings, \
        cast(sum(case when f.kind = 'gap' then f.last - f.first + 1 else 1 end) as bigint) as numbers \
        from findings f join sources s on s.source_no = f.source_no \
        where f.reported is not null and f.closed is null and f.settled is null group by s.uri, s.whole_uri, f.kind";
    ANY_UNREPORTED = "select exists (select 1 from findings where reported is null and closed is null and found <= $1)";
    REPORT = "update findings set reported = $2 where reported is null and closed is null and found <= $1";
    SETTLE = "update findings set settled = $2 where id = $1 and settled is null and closed is null \
        and reported is not null";

    HOLDS = "select id, room, person, source, from_time, to_time, placed_at, placed_by, reason, released_at from holds \
        where $1::boolean or released_at is null order by id";
    ADD_HOLD = "insert into holds (room, person, source, from_time, to_time, placed_at, placed_by, reason) \
        values ($1, $2, $3, $4, $5, $6, $7, $8) returning id";
    RELEASE_HOLD = "update holds set released_at = $2 where id = $1 and released_at is null";
    FREE_EVENTS = "delete from held_events where hold_id = $1";
    HOLD_CANDIDATES = "select e.seq, s.uri as source, s.whole_uri as whole_source, r.uri as room_uri, \
        r.whole_uri as whole_room_uri, e.time, case when $4 then e.raw end as raw from events e \
        join sources s on s.source_no = e.source_no left join rooms r on r.room_no = e.room_no \
        where e.seq > $1 and e.seq <= $2 and ($5::boolean or not exists (select 1 from held_events h where h.seq = e.seq)) \
        order by e.seq limit $3";
    HOLD_EVENT = "insert into held_events (seq, hold_id) values ($1, $2) on conflict do nothing";
    ADD_PURGE = "insert into purges (what, began, expires) values ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond') returning id";
    END_PURGE = "delete from purges where id = $1";
    FORGET_PURGES = "delete from purges where began < $1 and expires <= clock_timestamp()";
    PURGES = "select id, what, began, expires > clock_timestamp() as live from purges order by id";

    SOURCE_BALANCE = "select s.uri, s.whole_uri, s.staged, \
        (select count(*) from events e where e.source_no = s.source_no) as present, \
        (select cast(coalesce(sum(p.events), 0) as bigint) from purged_totals p where p.source_no = s.source_no) as purged, \
        (select count(*) from quarantine q where q.source = s.uri and q.state = 'waiting') as quarantined \
        from sources s order by s.uri collate \"C\"";
    ROOM_HOURS = "select s.uri, s.whole_uri, r.uri as room_uri, r.whole_uri as whole_room_uri, t.hour, \
        cast(sum(t.present) as bigint) as present, cast(sum(t.purged) as bigint) as purged from ( \
        select source_no, coalesce(room_no, 0) as room_no, time / 36000000000 as hour, count(*) as present, 0 as purged \
        from events where time >= $1 * 36000000000 and time < $2 * 36000000000 group by 1, 2, 3 \
        union all select source_no, room_no, hour, 0, events from purged_totals where hour >= $1 and hour < $2) t \
        join sources s on s.source_no = t.source_no left join rooms r on r.room_no = t.room_no \
        group by s.uri, s.whole_uri, r.uri, r.whole_uri, t.hour order by t.hour, s.uri collate \"C\", r.uri collate \"C\"";
    ROOM_BALANCE = "select r.uri, r.whole_uri, coalesce(a.events, 0) as arrived, coalesce(e.events, 0) as present, \
        coalesce(p.events, 0) as purged from rooms r left join room_arrivals a on a.room_no = r.room_no \
        left join room_purges p on p.room_no = r.room_no \
        left join (select room_no, count(*) as events from events where room_no is not null group by room_no) e \
        on e.room_no = r.room_no order by r.uri collate \"C\"";
    ROOM_COUNTS = "select r.uri, r.whole_uri, e.events from (select room_no, count(*) as events from events \
        where seq > $1 and seq <= $2 and room_no is not null group by room_no) e \
        join rooms r on r.room_no = e.room_no order by r.uri collate \"C\"";
    KNOWN_EVENT = "select case \
        when exists (select 1 from events where source_no = $1 and event_id = $2) then 'staged' \
        when exists (select 1 from seen where source_no = $1 and id_hash = $3) then 'purged' \
        when exists (select 1 from quarantine where source = $4 and event_id = $5) then 'quarantined' else '' end as known";
    EVENT_IDS = "select e.event_id, e.whole_id from events e join sources s on s.source_no = e.source_no \
        where s.uri = $1 and e.time >= $2 and e.time < $3 order by e.seq";
    COMPACT_TOTALS = "insert into purged_totals (source_no, room_no, hour, events) \
        select source_no, 0, hour / 24 * 24, cast(sum(events) as bigint) from purged_totals \
        where hour < $1 and (room_no <> 0 or hour % 24 <> 0) group by source_no, hour / 24 \
        on conflict (source_no, room_no, hour) do update set events = purged_totals.events + excluded.events";
    FORGET_TOTALS = "delete from purged_totals where hour < $1 and (room_no <> 0 or hour % 24 <> 0)";

    SOURCES = "select uri, whole_uri, staged, duplicates, conflicts, last_sequence, heartbeat_sequence, last_received \
        from sources order by uri collate \"C\"";
    ADAPTERS = "select adapter, cut_seq, cut_at from adapters order by adapter collate \"C\"";
    BATCHES = concat!("select ", batch_columns!(), " from batches where ($1::text is null or adapter = $1) \
        and (cardinality($2::text[]) = 0 or state = any($2)) order by id desc limit $3");
    BATCH = concat!("select ", batch_columns!(), " from batches where id = $1");
    BATCH_TOTALS = "select adapter, state, count(*) as batches, cast(sum(events) as bigint) as events, \
        cast(sum(messages) as bigint) as messages from batches group by adapter, state \
        order by adapter collate \"C\", state";
    COUNT_EVENTS = "select count(*) from events where seq > $1 and seq <= $2 and room_no is not null";
    OUTPUTS = "select position, name, kind, size, sha256, messages, collected_at from outputs \
        where batch_id = $1 order by position";
    EVENTS = concat!("select ", event_columns!(), "where e.seq > $1 and e.seq <= $2 \
        order by e.room_no, e.time, e.sequence nulls last, e.seq");
    UNCAPTURED = concat!("select ", event_columns!(), "where e.seq > $1 and e.seq <= $2 and e.kind in (6, 7) \
        and not exists (select 1 from captures c where c.seq = e.seq) order by e.seq limit $3");
    CAPTURES = "select seq, sha256, size, mismatch, extension, reason from captures where seq > $1 and seq <= $2 order by seq";
    SUPPLEMENTS = concat!("select ", batch_columns!(), " from batches where (supplement_to = $1 or left_by = $1) and id <> $1 order by id");
    SET_ASIDE = "select s.room_no, r.uri, r.whole_uri, s.reason from set_aside s join rooms r on r.room_no = s.room_no \
        join batches b on b.id = s.batch_id where s.batch_id = $1 and b.supplement_to is not null order by s.room_no";
    FAILURES = "select s.room_no, r.uri, r.whole_uri, s.reason from set_aside s join rooms r on r.room_no = s.room_no \
        where s.batch_id = $1 order by s.room_no";
    PRESENCE = "select bytes from presence where adapter = $1 and room_no = $2 and batch_id < $3 \
        order by batch_id desc limit 1";
    QUARANTINED = concat!("select ", quarantine_columns!(), " from quarantine \
        where ($1::text is null or state = $1) and ($2::text is null or reason = $2) order by id limit $3");
    QUARANTINED_ONE = concat!("select ", quarantine_columns!(), ", raw from quarantine where id = $1");
    ALERTS = "select kind, subject, detail, opened, last, count from alerts where closed is null order by opened, id";
    ACTS = "select id, at, who, verb, subject, reason from acts order by id desc limit $1";
    TOTALS = "select (select cast(coalesce(sum(staged), 0) as bigint) from sources) as staged, \
        (select cast(coalesce(sum(duplicates), 0) as bigint) from sources) as duplicates, \
        (select cast(coalesce(sum(conflicts), 0) as bigint) from sources) as conflicts, \
        (select count(*) from events) as waiting, \
        (select count(*) from quarantine where state = 'waiting') as quarantined, \
        (select count(distinct sha256) from captures where sha256 is not null) as files";

    LEASE = "insert into leases (name, holder, token, expires) \
        values ($1, $2, 1, clock_timestamp() + $3::bigint * interval '1 millisecond') \
        on conflict (name) do update set holder = excluded.holder, expires = excluded.expires, \
        token = leases.token + case when leases.holder = excluded.holder then 0 else 1 end \
        where leases.holder = excluded.holder or leases.expires <= clock_timestamp() returning token";
    RELEASE = "update leases set holder = '', expires = '-infinity' where name = $1 and holder = $2 and token = $3";
    CHECK_LEASE = "select 1 from leases where name = $1 and holder = $2 and token = $3 for share";

    LAST_SEQ = "select coalesce(max(seq), 0) from events";
    LOCK_ADAPTER = "select adapter, cut_seq, cut_at from adapters where adapter = $1 for update";
    SET_ADAPTER = "insert into adapters (adapter, cut_seq, cut_at) values ($1, $2, $3) \
        on conflict (adapter) do update set cut_seq = excluded.cut_seq, cut_at = excluded.cut_at";
    ADD_BATCH = concat!("insert into batches (adapter, interval_start, interval_end, from_seq, to_seq, first, state, \
        cut_at) values ($1, $2, $3, $4, $5, $6, 'cut', $7) returning ", batch_columns!());
    NUMBER_MESSAGES = "with touched as materialized (select room_no, message_id, min(seq) as first_seq, max(seq) as last_seq \
        from events where seq > $1 and seq <= $2 and message_id is not null and room_no is not null \
        group by room_no, message_id), \
        numbered as (insert into message_numbers (room_no, message_id, number, last_seq) \
        select t.room_no, t.message_id, r.next_message_number - 1 \
        + row_number() over (partition by t.room_no order by t.first_seq), t.last_seq \
        from touched t join rooms r on r.room_no = t.room_no where not exists \
        (select 1 from message_numbers m where m.room_no = t.room_no and m.message_id = t.message_id) \
        returning room_no, number), \
        counted as (update rooms set next_message_number = n.next from \
        (select room_no, max(number) + 1 as next from numbered group by room_no) n where rooms.room_no = n.room_no) \
        update message_numbers set last_seq = t.last_seq from touched t \
        where message_numbers.room_no = t.room_no and message_numbers.message_id = t.message_id \
        and message_numbers.last_seq < t.last_seq";
    ADD_CAPTURE = "insert into captures (seq, sha256, size, mismatch, extension, reason, at) \
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (seq) do nothing";
    LOCK_BATCH = concat!("select ", batch_columns!(), " from batches where id = $1 for update");
    SET_RENDERED = "update batches set state = $2, reason = null, events = $3, messages = $4, signals = $5, \
        conversations = $6, late = $7, left_out = $8, replaced_characters = $9, files = $10, bytes = $11, \
        share = $12, workplace = $13, completed = $14 where id = $1";
    CLEAR_OUTPUTS = "delete from outputs where batch_id = $1";
    ADD_OUTPUT = "insert into outputs (batch_id, position, name, kind, size, sha256, messages, collected_at) \
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    LEFT_BY = "select id from batches where left_by = $1 and id <> $1";
    ADD_SUPPLEMENT = "insert into batches (adapter, interval_start, interval_end, from_seq, to_seq, first, state, \
        attempts, retry_at, reason, events, messages, signals, conversations, late, left_out, replaced_characters, \
        files, bytes, cut_at, supplement_to, left_by, completes, completed) \
        select adapter, interval_start, interval_end, from_seq, to_seq, first, 'failed', 1, $2, $3, $4, $5, $6, $7, $8, \
        $9, $10, $11, $12, cut_at, coalesce(supplement_to, id), id, completes, $13 from batches where id = $1 returning id";
    CLEAR_SET_ASIDE = "delete from set_aside where batch_id = $1";
    ADD_SET_ASIDE = "insert into set_aside (batch_id, room_no, reason) \
        select $1, room_no, reason from unnest($2::bigint[], $3::text[]) as s(room_no, reason)";
    MOVE_SET_ASIDE = "update set_aside set batch_id = $4, reason = s.reason \
        from unnest($2::bigint[], $3::text[]) as s(room_no, reason) \
        where set_aside.batch_id = $1 and set_aside.room_no = s.room_no";
    SET_PRESENCE = "insert into presence (adapter, room_no, batch_id, bytes) values ($1, $2, $3, $4) \
        on conflict (adapter, room_no, batch_id) do update set bytes = excluded.bytes";
    SET_BATCH = "update batches set state = $2, attempts = $3, retry_at = $4, reason = $5, published_at = $6, \
        collected_at = $7, collected_how = $8, purged_at = $9 where id = $1";
    SET_COLLECTED = "update outputs set collected_at = coalesce(collected_at, $3) where batch_id = $1 and name = $2";

    ADD_ENTRY = "insert into evidence_log (entry, kind, name, batch_id, sha256, bytes) values ($1, $2, $3, $4, $5, $6)";
    ENTRY_OF_BATCH = "select bytes from evidence_log where kind = $1 and batch_id = $2";
    ENTRY_OF_NAME = "select entry from evidence_log where kind = $1 and name = $2";
    LAST_OF_NAME = "select entry, sha256 from evidence_log where kind = $1 and name = $2 order by entry desc limit 1";
    NEXT_ENTRY = "update evidence_size set entries = entries + 1 returning entries - 1";
    LOCK_LOG = "update evidence_size set entries = entries";
    LOG_SIZE = "select s.entries, w.entries as written from evidence_size s, evidence_written w";
    LOG_ENTRIES = "select entry, kind, batch_id, sha256, bytes from evidence_log where entry >= $1 order by entry limit $2";
    LOG_OF_KIND = "select entry, kind, batch_id, sha256, bytes from evidence_log where kind = $1 order by entry";
    SET_WRITTEN = "update evidence_written set entries = $1 where entries < $1";
    ADD_PIECE = "insert into evidence_lists (batch_id, piece, bytes) values ($1, $2, $3)";
    PIECE = "select bytes from evidence_lists where batch_id = $1 and piece = $2";
    UNCOPIED = "select e.batch_id, e.entry from evidence_log e join batches b on b.id = e.batch_id \
        where e.kind = 'manifest' and b.adapter = $1 and b.state in ('published', 'collected') \
        and b.state not in ('purged', 'empty', 'abandoned') \
        and not exists (select 1 from copies c where c.batch_id = b.id) order by e.batch_id";
    COPIES = "select name, size, sha256, share, workplace, copied_at from copies where batch_id = $1 order by position";
    COPYING = "select c.batch_id from copies c join batches b on b.id = c.batch_id \
        where c.copied_at is null and b.adapter = $1 group by c.batch_id order by c.batch_id";
    ADD_COPY = "insert into copies (batch_id, position, name, size, sha256, share, workplace) \
        values ($1, $2, $3, $4, $5, $6, $7)";
    SET_COPIED = "update copies set copied_at = $2 where batch_id = $1 and copied_at is null";
    CLEAR_PIECES = "delete from evidence_lists where batch_id in \
        (select batch_id from evidence_log where kind = 'manifest' and entry < $1)";
    IS_STAGED = "select exists (select 1 from events e join sources s on s.source_no = e.source_no \
        where s.uri = $1 and e.event_id = $2)";
    ROOMLESS = "select e.seq, s.uri as source, s.whole_uri as whole_source, e.event_id, e.whole_id, e.kind, e.sequence, \
        e.raw from events e join sources s on s.source_no = e.source_no \
        where e.seq > $1 and e.seq <= $2 and e.room_no is null order by e.seq limit $3";

    OPEN_BATCHES = concat!("select b.adapter, min(b.from_seq) as from_seq, min(b.id) as id from batches b where ", open_batch!(), " \
        group by b.adapter");
    PURGE_EVENTS = "with gone as (delete from events where seq in \
        (select seq from events where seq <= $1 order by seq limit $2) returning seq, source_no, event_id, sha256, room_no, time), \
        totalled as (insert into purged_totals (source_no, room_no, hour, events) \
        select source_no, coalesce(room_no, 0), time / 36000000000, count(*) from gone group by 1, 2, 3 \
        on conflict (source_no, room_no, hour) do update set events = purged_totals.events + excluded.events), \
        by_room as (insert into room_purges (room_no, events) \
        select room_no, count(*) from gone where room_no is not null group by room_no order by room_no \
        on conflict (room_no) do update set events = room_purges.events + excluded.events), \
        buried as (insert into seen (source_no, id_hash, digest, purged_at) \
        select source_no, substring(sha256(convert_to(event_id, 'UTF8')) from 1 for 16), \
        substring(sha256 from 1 for 16), $3 from gone on conflict do nothing) \
        select count(*) as events, coalesce(max(seq), 0) as last_seq from gone";
    PURGE_LISTED = "with gone as (delete from events where seq = any($1) returning seq, source_no, event_id, sha256, room_no, time), \
        totalled as (insert into purged_totals (source_no, room_no, hour, events) \
        select source_no, coalesce(room_no, 0), time / 36000000000, count(*) from gone group by 1, 2, 3 \
        on conflict (source_no, room_no, hour) do update set events = purged_totals.events + excluded.events), \
        by_room as (insert into room_purges (room_no, events) \
        select room_no, count(*) from gone where room_no is not null group by room_no order by room_no \
        on conflict (room_no) do update set events = room_purges.events + excluded.events), \
        buried as (insert into seen (source_no, id_hash, digest, purged_at) \
        select source_no, substring(sha256(convert_to(event_id, 'UTF8')) from 1 for 16), \
        substring(sha256 from 1 for 16), $2 from gone on conflict do nothing) \
        select count(*) as events, coalesce(max(seq), 0) as last_seq from gone";
    PURGE_CAPTURES = "with gone as (delete from captures where seq <= $1 \
        and not exists (select 1 from events e where e.seq = captures.seq) returning sha256) \
        insert into unreferenced (sha256) select distinct sha256 from gone where sha256 is not null \
        on conflict do nothing";
    REFERENCED_AGAIN = "delete from unreferenced where exists \
        (select 1 from captures c where c.sha256 = unreferenced.sha256) \
        or exists (select 1 from pending_files p where p.sha256 = unreferenced.sha256)";
    UNREFERENCED = "select sha256 from unreferenced order by sha256";
    SWEPT = "delete from unreferenced where sha256 = any($1)";
    PURGE_MESSAGES = "delete from message_numbers where last_seq <= $1 and (room_no, message_id) not in \
        (select room_no, message_id from events where seq > (select coalesce(max(cut_seq), 0) from adapters) \
        and room_no is not null and message_id is not null) \
        and not exists (select 1 from held_events h join events e on e.seq = h.seq \
        where e.room_no = message_numbers.room_no and e.message_id = message_numbers.message_id)";
    PURGE_PRESENCE = concat!("delete from presence where exists (select 1 from presence n where n.adapter = presence.adapter \
        and n.room_no = presence.room_no and n.batch_id > presence.batch_id and n.batch_id < coalesce( \
        (select min(coalesce(b.supplement_to, b.id)) from batches b where b.adapter = presence.adapter and ",
        open_batch!(), "), 9223372036854775807))");
    PURGE_SEEN = "delete from seen where ctid in \
        (select ctid from seen where purged_at < $1 order by purged_at limit $2)";

    UNLISTED_FILES = concat!("select ", event_columns!(), "where e.seq > $1 and e.kind in (6, 7) \
        and not exists (select 1 from captures c where c.seq = e.seq) \
        and not exists (select 1 from pending_files p where p.seq = e.seq) order by e.seq");
    ONE_EVENT = concat!("select ", event_columns!(), "where e.seq = $1");
    FILE_GIVERS = "select giver, count(*) as waiting, count(*) filter (where next_at <= $1) as due, \
        min(received) as oldest from pending_files group by giver order by giver collate \"C\"";
    DUE_FILES = concat!("select ", pending_columns!(), "from pending_files p join events e on e.seq = p.seq \
        where p.giver = $1 and p.next_at <= $2 order by p.next_at, p.seq limit $3");
    PENDING_FILES = concat!("select ", pending_columns!(), "from events e left join pending_files p on p.seq = e.seq \
        where e.seq > $1 and e.seq <= $2 and e.kind in (6, 7) \
        and not exists (select 1 from captures c where c.seq = e.seq) order by e.seq");
    OWED_FILES = "select seq, reason, supplement, closed from owed_files where batch_id = $1 order by seq";
    COMPLETED_FILES = "select seq from owed_files where supplement = $1 order by seq";
    LATE_FILES = "select o.batch_id, count(c.sha256) as came, count(*) filter (where c.seq is null) as waiting, \
        min(c.at) filter (where c.sha256 is not null) as first_came \
        from owed_files o join batches b on b.id = o.batch_id left join captures c on c.seq = o.seq \
        where not o.closed and b.adapter = $1 and b.state in ('published', 'collected', 'purged') \
        group by o.batch_id having count(c.sha256) > 0 order by o.batch_id";
    LIST_FILES = "insert into pending_files (seq, giver, received, next_at) \
        select n.seq, n.giver, n.received, n.next_at \
        from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) as n(seq, giver, received, next_at) \
        where exists (select 1 from events e where e.seq = n.seq) \
        and not exists (select 1 from captures c where c.seq = n.seq) on conflict (seq) do nothing";
    POSTPONE_FILE = "update pending_files set attempts = attempts + 1, next_at = $2, reason = $3, \
        sha256 = $4, size = $5, extension = $6 where seq = $1";
    RELEASE_MEANWHILE = "insert into unreferenced (sha256) select distinct sha256 from pending_files \
        where seq = any($1) and sha256 is not null on conflict do nothing";
    UNLIST_FILES = "delete from pending_files where seq = any($1)";
    CLOSE_OWED = "update owed_files set closed = true where not closed and seq = any($1)";
    CLOSE_OWED_OF_BATCH = "update owed_files set closed = true where batch_id = $1 and not closed";
    SET_TOLD = "update batches set files_told = true where id = $1 and not files_told";
    ADD_OWED = "insert into owed_files (batch_id, seq, room_no, reason, closed) \
        select $1, e.seq, e.room_no, t.reason, \
        exists (select 1 from captures c where c.seq = e.seq and c.sha256 is null) from unnest($2::bigint[], $3::text[]) as t(seq, reason) \
        join events e on e.seq = t.seq";
    FORGET_OWED = "delete from owed_files where batch_id = $1 and room_no = any($2)";
    MOVE_OWED = "update owed_files set supplement = $2 where supplement = $1 and room_no = any($3)";
    OWED_THAT_CAME = "select o.seq, o.room_no from owed_files o join captures c on c.seq = o.seq \
        where o.batch_id = $1 and not o.closed and c.sha256 is not null order by o.seq";
    ADD_FILES_SUPPLEMENT = "with n as (select nextval(pg_get_serial_sequence('batches', 'id')) as id) \
        insert into batches (id, adapter, interval_start, interval_end, from_seq, to_seq, first, \
        state, reason, cut_at, supplement_to, left_by, completes) overriding system value \
        select n.id, b.adapter, b.interval_start, b.interval_end, b.from_seq, b.to_seq, b.first, 'cut', $2, $3, \
        coalesce(b.supplement_to, b.id), n.id, b.id from batches b cross join n where b.id = $1 returning id";
    SET_FOLLOWS = "update owed_files set supplement = $2, closed = true where batch_id = $1 and seq = any($3)";
    PURGE_PENDING = "with gone as (delete from pending_files where seq <= $1 \
        and not exists (select 1 from events e where e.seq = pending_files.seq) returning sha256) \
        insert into unreferenced (sha256) select distinct sha256 from gone where sha256 is not null \
        on conflict do nothing";

    LOCK_QUARANTINED = concat!("select ", quarantine_columns!(), " from quarantine where id = $1 for update");
    REPLAYED = "update quarantine set state = 'replayed' where id = $1";
    DISCARDED = "update quarantine set state = 'discarded', raw = '' where id = $1";
    RAISE = "insert into alerts (kind, subject, detail, opened, last, count) values ($1, $2, $3, $4, $4, 1) \
        on conflict (kind, subject) where closed is null do update set detail = excluded.detail, \
        last = greatest(alerts.last, excluded.last), count = alerts.count + 1";
    CLOSE = "update alerts set closed = $3 where kind = $1 and subject = $2 and closed is null";
    ADD_ACT = "insert into acts (at, who, verb, subject, reason) values ($1, $2, $3, $4, $5)";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

    use super::*;
    use crate::model::Kind;
    use crate::staging::suite::Fixture;

    #[tokio::test]
    async fn every_statement_can_be_prepared() {
        let fixture = Fixture::postgres().await;
        let section = &fixture.config.staging;
        let mut connection = PgConnection::connect(section.url.as_deref().unwrap()).await.unwrap();
        let path = format!("set search_path = {}", section.schema);
        sqlx::query(AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
        for (name, statement) in ALL {
            use sqlx::SqlSafeStr as _;
            let prepared = connection.prepare(statement.into_sql_str()).await;
            assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
        }
    }

    #[test]
    fn the_kinds_of_events_with_files_stand_in_the_statement() {
        let kinds: Vec<_> = Kind::all().filter(|kind| kind.carries_file()).map(Kind::code).collect();
        assert_eq!(kinds, [6, 7]);
        assert!(UNCAPTURED.contains("e.kind in (6, 7)"));
    }
}
