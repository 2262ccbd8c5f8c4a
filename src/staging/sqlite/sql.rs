//! Every statement sent to SQLite, by name. A test prepares each of them.

/// Declares the statements and lists them for the test that prepares them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = $text;)*
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// An event as one value, in the form that `packed.rs` reads: the driver copies each value of each row to another thread,
/// and the database sorts rows of one value faster, too.
macro_rules! packed_event {
    () => {
        "e.seq || ' ' || e.source_no || ' ' || e.kind || ' ' || e.room_no || ' ' || coalesce(e.person_no, '') || ' ' \
         || coalesce(m.number, '') || ' ' || e.time || ' ' || e.time_is_receipt || ' ' || coalesce(e.sequence, '') || ' ' \
         || e.received || ' ' || e.conflict || ' ' || octet_length(coalesce(s.whole_uri, s.uri)) || ' ' \
         || octet_length(coalesce(r.whole_uri, r.uri)) || ' ' || octet_length(coalesce(e.whole_id, e.event_id)) || ' ' \
         || coalesce(s.whole_uri, s.uri) || coalesce(r.whole_uri, r.uri) || coalesce(e.whole_id, e.event_id) || e.raw \
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
         or exists (select 1 from owed_files o where o.batch_id = b.id and o.closed = 0))"
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
    BEGIN = "begin immediate";

    FIND_SOURCES = "select source_no, uri from sources where uri in (select value from json_each($1))";
    FIND_ROOMS = "select room_no, uri from rooms where uri in (select value from json_each($1))";
    FIND_PERSONS = "select person_no, key from persons where key in (select value from json_each($1))";
    ADD_SOURCE = "insert into sources (source_no, uri, whole_uri) \
        values ((select coalesce(max(source_no), 0) + 1 from sources), $1, $2)";
    ADD_ROOM = "insert into rooms (room_no, uri, whole_uri) \
        values ((select coalesce(max(room_no), 0) + 1 from rooms), $1, $2)";
    ADD_PERSON = "insert into persons (person_no, key, whole_key) \
        values ((select coalesce(max(person_no), 0) + 1 from persons), $1, $2)";

    SEQS_AFTER = "select seq from events where seq > $1";
    INSERT_VARIANT = "insert into events (source_no, event_id, whole_id, variant, kind, room_no, person_no, \
        message_id, time, time_is_receipt, sequence, received, conflict, sha256, raw) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true, $13, $14) \
        on conflict (source_no, event_id, variant) do nothing returning seq";
    RAW = "select raw from events where seq = $1";
    FLAG = "update events set conflict = true where source_no = $1 and event_id = $2 and not conflict";
    REMOVE = "delete from events where seq in (select value from json_each($1))";
    ANY_SEEN = "select exists (select 1 from seen)";
    TALLY = "update sources set staged = staged + $2, duplicates = duplicates + $3, conflicts = conflicts + $4, \
        last_sequence = coalesce(max(last_sequence, $5), last_sequence, $5), \
        heartbeat_sequence = coalesce(max(heartbeat_sequence, $6), heartbeat_sequence, $6), \
        last_received = max(last_received, $7) where source_no = $1";
    TALLY_ROOMS = "insert into room_arrivals (room_no, events) \
        select value ->> 0, value ->> 1 from json_each($1) where true \
        on conflict (room_no) do update set events = events + excluded.events";

    TRACKS = "select source_no, epoch, first, highest, began, latest, run from sequences where source_no in (select value from json_each($1)) \
        order by source_no, epoch";
    OPEN_GAPS = "select id, epoch, first, last, found, reported, settled from findings where kind = 'gap' and closed is null \
        and source_no = $1 and last >= $2 and first <= $3";
    WERE_QUARANTINED = "select distinct sequence from quarantine where source = $1 and sequence in (select value from json_each($2))";
    SET_TRACK = "insert into sequences (source_no, epoch, first, highest, began, latest, run) \
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (source_no, epoch) do update set first = excluded.first, \
        highest = excluded.highest, began = excluded.began, latest = excluded.latest, run = excluded.run";
    FORGET_TRACKS = "delete from sequences where source_no = $1 and epoch < $2";
    REMOVE_GAPS = "delete from findings where id in (select value from json_each($1))";
    ADD_FINDINGS = "insert into findings (source_no, kind, epoch, first, last, found, reported, closed, settled) \
        select $1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
        from json_each($2)";
    WITHDRAW_REPEAT = "delete from findings where kind = 'repeat' and source_no = $1 and epoch = $2 and first = $3";
    SEQUENCES = "select s.uri, s.whole_uri, q.epoch, q.first, q.highest, \
        (select cast(coalesce(sum(f.last - f.first + 1), 0) as bigint) from findings f where f.source_no = q.source_no \
        and f.epoch = q.epoch and f.kind = 'gap' and f.closed is null) as missing_now \
        from sequences q join sources s on s.source_no = q.source_no \
        where not exists (select 1 from sequences n where n.source_no = q.source_no and n.epoch > q.epoch) \
        order by s.uri";
    FINDINGS = "select f.id, f.kind, s.uri, s.whole_uri, f.epoch, f.first, f.last, f.found, f.reported, f.closed, \
        f.settled from findings f join sources s on s.source_no = f.source_no where f.reported is not null \
        and ($1 or (f.closed is null and f.settled is null)) order by f.id desc limit $2";
    FINDING_TOTALS = "select s.uri, s.whole_uri, f.kind, count(*) as findings, \
        cast(sum(case when f.kind = 'gap' then f.last - f.first + 1 else 1 end) as bigint) as numbers \
        from findings f join sources s on s.source_no = f.source_no \
        where f.reported is not null and f.closed is null and f.settled is null group by s.uri, s.whole_uri, f.kind";
    ANY_UNREPORTED = "select exists (select 1 from findings where reported is null and closed is null and found <= $1)";
    REPORT = "update findings set reported = $2 where reported is null and closed is null and found <= $1";
    SETTLE = "update findings set settled = $2 where id = $1 and settled is null and closed is null \
        and reported is not null";

    HOLDS = "select id, room, person, source, from_time, to_time, placed_at, placed_by, reason, released_at from holds \
        where $1 or released_at is null order by id";
    ADD_HOLD = "insert into holds (room, person, source, from_time, to_time, placed_at, placed_by, reason) \
        values ($1, $2, $3, $4, $5, $6, $7, $8) returning id";
    RELEASE_HOLD = "update holds set released_at = $2 where id = $1 and released_at is null";
    FREE_EVENTS = "delete from held_events where hold_id = $1";
    HOLD_CANDIDATES = "select e.seq, s.uri as source, s.whole_uri as whole_source, r.uri as room_uri, \
        r.whole_uri as whole_room_uri, e.time, case when $4 then e.raw end as raw from events e \
        join sources s on s.source_no = e.source_no left join rooms r on r.room_no = e.room_no \
        where e.seq > $1 and e.seq <= $2 and ($5 or not exists (select 1 from held_events h where h.seq = e.seq)) \
        order by e.seq limit $3";
    HOLD_EVENT = "insert into held_events (seq, hold_id) values ($1, $2) on conflict do nothing";
    ADD_PURGE = "insert into purges (what, began, expires) values ($1, $2, cast(unixepoch('subsec') * 1000 as integer) + $3) returning id";
    END_PURGE = "delete from purges where id = $1";
    FORGET_PURGES = "delete from purges where began < $1 and expires <= cast(unixepoch('subsec') * 1000 as integer)";
    PURGES = "select id, what, began, expires > cast(unixepoch('subsec') * 1000 as integer) as live from purges order by id";

    SOURCE_BALANCE = "select s.uri, s.whole_uri, s.staged, \
        (select count(*) from events e where e.source_no = s.source_no) as present, \
        (select cast(coalesce(sum(p.events), 0) as bigint) from purged_totals p where p.source_no = s.source_no) as purged, \
        (select count(*) from quarantine q where q.source = s.uri and q.state = 'waiting') as quarantined \
        from sources s order by s.uri";
    ROOM_HOURS = "select s.uri, s.whole_uri, r.uri as room_uri, r.whole_uri as whole_room_uri, t.hour, \
        cast(sum(t.present) as bigint) as present, cast(sum(t.purged) as bigint) as purged from ( \
        select source_no, coalesce(room_no, 0) as room_no, time / 36000000000 as hour, count(*) as present, 0 as purged \
        from events where time >= $1 * 36000000000 and time < $2 * 36000000000 group by 1, 2, 3 \
        union all select source_no, room_no, hour, 0, events from purged_totals where hour >= $1 and hour < $2) t \
        join sources s on s.source_no = t.source_no left join rooms r on r.room_no = t.room_no \
        group by s.uri, s.whole_uri, r.uri, r.whole_uri, t.hour order by t.hour, s.uri, r.uri";
    ROOM_BALANCE = "select r.uri, r.whole_uri, coalesce(a.events, 0) as arrived, coalesce(e.events, 0) as present, \
        coalesce(p.events, 0) as purged from rooms r left join room_arrivals a on a.room_no = r.room_no \
        left join room_purges p on p.room_no = r.room_no \
        left join (select room_no, count(*) as events from events where room_no is not null group by room_no) e \
        on e.room_no = r.room_no order by r.uri";
    ROOM_COUNTS = "select r.uri, r.whole_uri, e.events from (select room_no, count(*) as events from events \
        where seq > $1 and seq <= $2 and room_no is not null group by room_no) e \
        join rooms r on r.room_no = e.room_no order by r.uri";
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
    ADD_PURGED = "insert into purged_totals (source_no, room_no, hour, events) values ($1, $2, $3, $4) \
        on conflict (source_no, room_no, hour) do update set events = events + excluded.events";
    ADD_ROOM_PURGES = "insert into room_purges (room_no, events) \
        select value ->> 0, value ->> 1 from json_each($1) where true \
        on conflict (room_no) do update set events = events + excluded.events";

    SOURCES = "select uri, whole_uri, staged, duplicates, conflicts, last_sequence, heartbeat_sequence, last_received \
        from sources order by uri";
    ADAPTERS = "select adapter, cut_seq, cut_at from adapters order by adapter";
    BATCHES = concat!("select ", batch_columns!(), " from batches where ($1 is null or adapter = $1) \
        and (json_array_length($2) = 0 or state in (select value from json_each($2))) order by id desc limit $3");
    BATCH = concat!("select ", batch_columns!(), " from batches where id = $1");
    BATCH_TOTALS = "select adapter, state, count(*) as batches, cast(sum(events) as bigint) as events, \
        cast(sum(messages) as bigint) as messages from batches group by adapter, state \
        order by adapter, state";
    COUNT_EVENTS = "select count(*) from events where seq > $1 and seq <= $2 and room_no is not null";
    OUTPUTS = "select position, name, kind, size, sha256, messages, collected_at from outputs \
        where batch_id = $1 order by position";
    EVENTS = concat!("select ", packed_event!(), "where e.seq > $1 and e.seq <= $2 \
        order by e.room_no, e.time, e.sequence nulls last, e.seq");
    UNCAPTURED = concat!("select ", packed_event!(), "where e.seq > $1 and e.seq <= $2 and e.kind in (6, 7) \
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
        where ($1 is null or state = $1) and ($2 is null or reason = $2) order by id limit $3");
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
        values ($1, $2, 1, cast(unixepoch('subsec') * 1000 as integer) + $3) \
        on conflict (name) do update set holder = excluded.holder, expires = excluded.expires, \
        token = leases.token + case when leases.holder = excluded.holder then 0 else 1 end \
        where leases.holder = excluded.holder \
        or leases.expires <= cast(unixepoch('subsec') * 1000 as integer) returning token";
    RELEASE = "update leases set holder = '', expires = 0 where name = $1 and holder = $2 and token = $3";
    CHECK_LEASE = "select 1 from leases where name = $1 and holder = $2 and token = $3";

    LAST_SEQ = "select coalesce(max(seq), 0) from events";
    LOCK_ADAPTER = "select adapter, cut_seq, cut_at from adapters where adapter = $1";
    SET_ADAPTER = "insert into adapters (adapter, cut_seq, cut_at) values ($1, $2, $3) \
        on conflict (adapter) do update set cut_seq = excluded.cut_seq, cut_at = excluded.cut_at";
    ADD_BATCH = concat!("insert into batches (adapter, interval_start, interval_end, from_seq, to_seq, first, state, \
        cut_at) values ($1, $2, $3, $4, $5, $6, 'cut', $7) returning ", batch_columns!());
    MAKE_TOUCHED = "create temporary table if not exists touched (room_no integer not null, message_id text not null, \
        first_seq integer not null, last_seq integer not null) strict";
    FIND_TOUCHED = "insert into touched (room_no, message_id, first_seq, last_seq) \
        select room_no, message_id, min(seq), max(seq) from events where seq > $1 and seq <= $2 \
        and message_id is not null and room_no is not null group by room_no, message_id";
    NUMBER_MESSAGES = "insert into message_numbers (room_no, message_id, number, last_seq) \
        select t.room_no, t.message_id, r.next_message_number - 1 \
        + row_number() over (partition by t.room_no order by t.first_seq), t.last_seq \
        from touched t join rooms r on r.room_no = t.room_no where not exists \
        (select 1 from message_numbers m where m.room_no = t.room_no and m.message_id = t.message_id)";
    NEXT_MESSAGE_NUMBERS = "update rooms set next_message_number = n.next from (select t.room_no, \
        (select max(m.number) + 1 from message_numbers m where m.room_no = t.room_no) as next from \
        (select distinct room_no from touched) t) n \
        where rooms.room_no = n.room_no and rooms.next_message_number < n.next";
    TOUCH_MESSAGES = "update message_numbers set last_seq = t.last_seq from touched t \
        where message_numbers.room_no = t.room_no and message_numbers.message_id = t.message_id \
        and message_numbers.last_seq < t.last_seq";
    FORGET_TOUCHED = "delete from touched";
    ADD_CAPTURE = "insert into captures (seq, sha256, size, mismatch, extension, reason, at) \
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (seq) do nothing";
    LOCK_BATCH = concat!("select ", batch_columns!(), " from batches where id = $1");
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
    ADD_SET_ASIDE = "insert into set_aside (batch_id, room_no, reason) values ($1, $2, $3)";
    MOVE_SET_ASIDE = "update set_aside set batch_id = $4, reason = $3 where batch_id = $1 and room_no = $2";
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
    PURGE_EVENTS = "delete from events where seq in \
        (select seq from events where seq <= $1 order by seq limit $2) returning seq, source_no, event_id, sha256, room_no, time";
    PURGE_LISTED = "delete from events where seq in (select value from json_each($1)) \
        returning seq, source_no, event_id, sha256, room_no, time";
    RELEASE_CAPTURES = "insert into unreferenced (sha256) select distinct sha256 from captures \
        where seq <= $1 and sha256 is not null and not exists (select 1 from events e where e.seq = captures.seq) \
        on conflict do nothing";
    PURGE_CAPTURES = "delete from captures where seq <= $1 and not exists (select 1 from events e where e.seq = captures.seq)";
    REFERENCED_AGAIN = "delete from unreferenced where exists \
        (select 1 from captures c where c.sha256 = unreferenced.sha256) \
        or exists (select 1 from pending_files p where p.sha256 = unreferenced.sha256)";
    UNREFERENCED = "select sha256 from unreferenced order by sha256";
    SWEPT = "delete from unreferenced where sha256 = $1";
    PURGE_MESSAGES = "delete from message_numbers where last_seq <= $1 and (room_no, message_id) not in \
        (select room_no, message_id from events where seq > (select coalesce(max(cut_seq), 0) from adapters) \
        and room_no is not null and message_id is not null) \
        and not exists (select 1 from held_events h join events e on e.seq = h.seq \
        where e.room_no = message_numbers.room_no and e.message_id = message_numbers.message_id)";
    PURGE_PRESENCE = concat!("delete from presence where exists (select 1 from presence n where n.adapter = presence.adapter \
        and n.room_no = presence.room_no and n.batch_id > presence.batch_id and n.batch_id < coalesce( \
        (select min(coalesce(b.supplement_to, b.id)) from batches b where b.adapter = presence.adapter and ",
        open_batch!(), "), 9223372036854775807))");
    PURGE_SEEN = "delete from seen where (source_no, id_hash, digest) in \
        (select source_no, id_hash, digest from seen where purged_at < $1 order by purged_at limit $2)";

    UNLISTED_FILES = concat!("select ", packed_event!(), "where e.seq > $1 and e.kind in (6, 7) \
        and not exists (select 1 from captures c where c.seq = e.seq) \
        and not exists (select 1 from pending_files p where p.seq = e.seq) order by e.seq");
    ONE_EVENT = concat!("select ", packed_event!(), "where e.seq = $1");
    FILE_GIVERS = "select giver, count(*) as waiting, cast(coalesce(sum(next_at <= $1), 0) as bigint) as due, \
        min(received) as oldest from pending_files group by giver order by giver";
    DUE_FILES = concat!("select ", pending_columns!(), "from pending_files p join events e on e.seq = p.seq \
        where p.giver = $1 and p.next_at <= $2 order by p.next_at, p.seq limit $3");
    PENDING_FILES = concat!("select ", pending_columns!(), "from events e left join pending_files p on p.seq = e.seq \
        where e.seq > $1 and e.seq <= $2 and e.kind in (6, 7) \
        and not exists (select 1 from captures c where c.seq = e.seq) order by e.seq");
    OWED_FILES = "select seq, reason, supplement, closed from owed_files where batch_id = $1 order by seq";
    COMPLETED_FILES = "select seq from owed_files where supplement = $1 order by seq";
    LATE_FILES = "select o.batch_id, count(c.sha256) as came, cast(coalesce(sum(c.seq is null), 0) as bigint) as waiting, \
        min(case when c.sha256 is not null then c.at end) as first_came \
        from owed_files o join batches b on b.id = o.batch_id left join captures c on c.seq = o.seq \
        where o.closed = 0 and b.adapter = $1 and b.state in ('published', 'collected', 'purged') \
        group by o.batch_id having count(c.sha256) > 0 order by o.batch_id";
    LIST_FILE = "insert into pending_files (seq, giver, received, next_at) select $1, $2, $3, $4 \
        where exists (select 1 from events e where e.seq = $1) \
        and not exists (select 1 from captures c where c.seq = $1) on conflict (seq) do nothing";
    POSTPONE_FILE = "update pending_files set attempts = attempts + 1, next_at = $2, reason = $3, \
        sha256 = $4, size = $5, extension = $6 where seq = $1";
    RELEASE_MEANWHILE = "insert into unreferenced (sha256) select distinct sha256 from pending_files \
        where seq in (select value from json_each($1)) and sha256 is not null on conflict do nothing";
    UNLIST_FILES = "delete from pending_files where seq in (select value from json_each($1))";
    CLOSE_OWED = "update owed_files set closed = 1 where closed = 0 and seq in (select value from json_each($1))";
    CLOSE_OWED_OF_BATCH = "update owed_files set closed = 1 where batch_id = $1 and closed = 0";
    SET_TOLD = "update batches set files_told = 1 where id = $1 and files_told = 0";
    ADD_OWED = "insert into owed_files (batch_id, seq, room_no, reason, closed) \
        select $1, e.seq, e.room_no, $3, exists (select 1 from captures c where c.seq = e.seq and c.sha256 is null) \
        from events e where e.seq = $2";
    FORGET_OWED = "delete from owed_files where batch_id = $1 and room_no in (select value from json_each($2))";
    MOVE_OWED = "update owed_files set supplement = $2 where supplement = $1 \
        and room_no in (select value from json_each($3))";
    OWED_THAT_CAME = "select o.seq, o.room_no from owed_files o join captures c on c.seq = o.seq \
        where o.batch_id = $1 and o.closed = 0 and c.sha256 is not null order by o.seq";
    ADD_FILES_SUPPLEMENT = "insert into batches (id, adapter, interval_start, interval_end, from_seq, to_seq, first, \
        state, reason, cut_at, supplement_to, left_by, completes) \
        select n.id, b.adapter, b.interval_start, b.interval_end, b.from_seq, b.to_seq, b.first, 'cut', $2, $3, \
        coalesce(b.supplement_to, b.id), n.id, b.id from batches b \
        join (select seq + 1 as id from sqlite_sequence where name = 'batches') n where b.id = $1 returning id";
    SET_FOLLOWS = "update owed_files set supplement = $2, closed = 1 where batch_id = $1 \
        and seq in (select value from json_each($3))";
    RELEASE_PENDING = "insert into unreferenced (sha256) select distinct sha256 from pending_files \
        where seq <= $1 and sha256 is not null \
        and not exists (select 1 from events e where e.seq = pending_files.seq) on conflict do nothing";
    PURGE_PENDING = "delete from pending_files where seq <= $1 \
        and not exists (select 1 from events e where e.seq = pending_files.seq)";

    LOCK_QUARANTINED = concat!("select ", quarantine_columns!(), " from quarantine where id = $1");
    REPLAYED = "update quarantine set state = 'replayed' where id = $1";
    DISCARDED = "update quarantine set state = 'discarded', raw = x'' where id = $1";
    RAISE = "insert into alerts (kind, subject, detail, opened, last, count) values ($1, $2, $3, $4, $4, 1) \
        on conflict (kind, subject) where closed is null do update set detail = excluded.detail, \
        last = max(alerts.last, excluded.last), count = alerts.count + 1";
    CLOSE = "update alerts set closed = $3 where kind = $1 and subject = $2 and closed is null";
    ADD_ACT = "insert into acts (at, who, verb, subject, reason) values ($1, $2, $3, $4, $5)";
}

/// Statements of many rows: the part before the rows, one row, the part after.
pub(super) const INSERT_EVENTS: &str = "insert into events (source_no, event_id, whole_id, variant, kind, room_no, \
    person_no, message_id, time, time_is_receipt, sequence, received, conflict, sha256, raw) values ";
pub(super) const EVENT_VALUES: &str = "(?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)";
pub(super) const INSERT_EVENTS_END: &str = " on conflict (source_no, event_id, variant) do nothing";
pub(super) const QUARANTINE: &str = "insert into quarantine (key, received, origin, reason, detail, source, \
    event_id, headers, size, sha256, raw, seen, sequence, state) values ";
pub(super) const QUARANTINE_VALUES: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')";
pub(super) const QUARANTINE_END: &str = " on conflict (key) do update set seen = quarantine.seen + excluded.seen \
    returning key, seen";
pub(super) const VARIANTS: &str = "with k (source_no, event_id) as (values ";
pub(super) const VARIANTS_END: &str = ") select e.seq, e.source_no, e.event_id, e.variant, e.sha256 \
    from k cross join events e on e.source_no = k.source_no and e.event_id = k.event_id \
    order by e.source_no, e.event_id, e.variant";
pub(super) const SEEN: &str = "with k (source_no, id_hash) as (values ";
pub(super) const SEEN_END: &str = ") select s.source_no, s.id_hash, s.digest \
    from k cross join seen s on s.source_no = k.source_no and s.id_hash = k.id_hash";
pub(super) const ADD_SEEN: &str = "insert into seen (source_no, id_hash, digest, purged_at) values ";
pub(super) const ADD_SEEN_END: &str = " on conflict do nothing";

/// A statement of so many rows.
pub(super) fn many(start: &str, row: &str, end: &str, rows: usize) -> String {
    let mut statement = String::with_capacity(start.len() + (row.len() + 2) * rows + end.len());
    statement.push_str(start);
    for place in 0..rows {
        statement.push_str(if place == 0 { "" } else { ", " });
        statement.push_str(row);
    }
    statement.push_str(end);
    statement
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, SqlSafeStr as _};

    use super::*;
    use crate::staging::suite::Fixture;

    #[tokio::test]
    async fn every_statement_can_be_prepared() {
        let fixture = Fixture::sqlite().await;
        let options = SqliteConnectOptions::new().filename(fixture.config.sqlite_path());
        let mut connection = options.connect().await.unwrap();
        connection.execute(MAKE_TOUCHED).await.unwrap();
        for (name, statement) in ALL {
            let prepared = connection.prepare(statement.into_sql_str()).await;
            assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
        }
        let of_many_rows = [
            many(INSERT_EVENTS, EVENT_VALUES, INSERT_EVENTS_END, 2),
            many(QUARANTINE, QUARANTINE_VALUES, QUARANTINE_END, 2),
            many(VARIANTS, "(?, ?)", VARIANTS_END, 2),
            many(SEEN, "(?, ?)", SEEN_END, 2),
            many(ADD_SEEN, "(?, ?, ?, ?)", ADD_SEEN_END, 2),
        ];
        for statement in of_many_rows {
            let prepared = connection.prepare(AssertSqlSafe(statement.clone()).into_sql_str()).await;
            assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
        }
    }

    #[test]
    fn the_kinds_of_events_with_files_stand_in_the_statement() {
        use crate::model::Kind;
        let kinds: Vec<_> = Kind::all().filter(|kind| kind.carries_file()).map(Kind::code).collect();
        assert_eq!(kinds, [6, 7]);
        assert!(UNCAPTURED.contains("e.kind in (6, 7)"));
    }
}
