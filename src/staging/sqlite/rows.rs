//! Rows out of the database as staging's own values. What no writer of ours can have written is refused.

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::model::Ticks;
use crate::staging::keys::{broken, digest, instant, uncount};
use crate::staging::{
    ActRow, AdapterRow, AlertRow, BatchCounts, BatchRow, BatchState, BatchTotals, Capture, CaptureRow, Finding,
    FindingKind, FindingTotals, Hold, HoldScope, NewAct, OutputKind, OutputRow, PurgeRow, QuarantineRow,
    QuarantineState, Result, RoomBalance, RoomHour, SeqRange, SequenceRow, SetAside, SourceBalance, SourceRow, Totals,
    Workplace,
};

pub(super) fn source(row: &SqliteRow) -> Result<SourceRow> {
    Ok(SourceRow {
        source: whole(row, "uri", "whole_uri")?,
        staged: number(row, "staged")?,
        duplicates: number(row, "duplicates")?,
        conflicts: number(row, "conflicts")?,
        last_sequence: row.try_get::<Option<i64>, _>("last_sequence")?.map(uncount),
        heartbeat_sequence: row.try_get::<Option<i64>, _>("heartbeat_sequence")?.map(uncount),
        last_received: time(row, "last_received")?,
    })
}

pub(super) fn source_balance(row: &SqliteRow) -> Result<SourceBalance> {
    Ok(SourceBalance {
        source: whole(row, "uri", "whole_uri")?,
        staged: number(row, "staged")?,
        present: number(row, "present")?,
        purged: number(row, "purged")?,
        quarantined: number(row, "quarantined")?,
    })
}

pub(super) fn room_balance(row: &SqliteRow) -> Result<RoomBalance> {
    Ok(RoomBalance {
        room: whole(row, "uri", "whole_uri")?,
        arrived: number(row, "arrived")?,
        present: number(row, "present")?,
        purged: number(row, "purged")?,
    })
}

pub(super) fn room_count(row: &SqliteRow) -> Result<(String, u64)> {
    Ok((whole(row, "uri", "whole_uri")?, number(row, "events")?))
}

pub(super) fn room_hour(row: &SqliteRow) -> Result<RoomHour> {
    let room: Option<String> = row.try_get("room_uri")?;
    let hour: i64 = row.try_get("hour")?;
    Ok(RoomHour {
        source: whole(row, "uri", "whole_uri")?,
        room: room.map(|_| whole(row, "room_uri", "whole_room_uri")).transpose()?,
        hour: instant(hour.saturating_mul(36_000_000_000))?,
        present: number(row, "present")?,
        purged: number(row, "purged")?,
    })
}

pub(super) fn hold(row: &SqliteRow) -> Result<Hold> {
    Ok(Hold {
        id: row.try_get("id")?,
        scope: HoldScope {
            room: row.try_get("room")?,
            person: row.try_get("person")?,
            source: row.try_get("source")?,
            from: maybe_time(row, "from_time")?,
            to: maybe_time(row, "to_time")?,
        },
        placed_at: time(row, "placed_at")?,
        placed_by: row.try_get("placed_by")?,
        reason: row.try_get("reason")?,
        released_at: maybe_time(row, "released_at")?,
    })
}

/// The source and the room of an event that a hold may cover.
pub(super) fn hold_subject(row: &SqliteRow) -> Result<(String, Option<String>)> {
    let room: Option<String> = row.try_get("room_uri")?;
    let room = room.map(|_| whole(row, "room_uri", "whole_room_uri")).transpose()?;
    Ok((whole(row, "source", "whole_source")?, room))
}

pub(super) fn purge(row: &SqliteRow) -> Result<PurgeRow> {
    let (id, what, live) = (row.try_get("id")?, row.try_get("what")?, row.try_get("live")?);
    Ok(PurgeRow { id, what, began: time(row, "began")?, live })
}

pub(super) fn sequence(row: &SqliteRow) -> Result<SequenceRow> {
    let (first, highest): (i64, i64) = (row.try_get("first")?, row.try_get("highest")?);
    Ok(SequenceRow {
        source: whole(row, "uri", "whole_uri")?,
        epoch: number(row, "epoch")?,
        first: uncount(first),
        highest: (highest >= first).then(|| uncount(highest)),
        missing: number(row, "missing_now")?,
    })
}

pub(super) fn finding(row: &SqliteRow) -> Result<Finding> {
    Ok(Finding {
        id: row.try_get("id")?,
        kind: finding_kind(row)?,
        source: whole(row, "uri", "whole_uri")?,
        epoch: number(row, "epoch")?,
        first: number(row, "first")?,
        last: number(row, "last")?,
        found: time(row, "found")?,
        reported: time(row, "reported")?,
        closed: maybe_time(row, "closed")?,
        settled: maybe_time(row, "settled")?,
    })
}

pub(super) fn finding_totals(row: &SqliteRow) -> Result<FindingTotals> {
    let (source, kind) = (whole(row, "uri", "whole_uri")?, finding_kind(row)?);
    Ok(FindingTotals { source, kind, findings: number(row, "findings")?, numbers: number(row, "numbers")? })
}

fn finding_kind(row: &SqliteRow) -> Result<FindingKind> {
    let word: String = row.try_get("kind")?;
    FindingKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| unknown("kind of a finding", &word))
}

pub(super) fn adapter(row: &SqliteRow) -> Result<AdapterRow> {
    Ok(AdapterRow { adapter: row.try_get("adapter")?, cut_seq: row.try_get("cut_seq")?, cut_at: time(row, "cut_at")? })
}

pub(super) fn batch(row: &SqliteRow) -> Result<BatchRow> {
    Ok(BatchRow {
        id: row.try_get("id")?,
        adapter: row.try_get("adapter")?,
        interval_start: time(row, "interval_start")?,
        interval_end: time(row, "interval_end")?,
        range: SeqRange { from: row.try_get("from_seq")?, to: row.try_get("to_seq")? },
        first: row.try_get("first")?,
        state: state(row)?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        retry_at: maybe_time(row, "retry_at")?,
        reason: row.try_get("reason")?,
        counts: BatchCounts {
            events: number(row, "events")?,
            messages: number(row, "messages")?,
            signals: number(row, "signals")?,
            conversations: number(row, "conversations")?,
            late: number(row, "late")?,
            left_out: number(row, "left_out")?,
            replaced_characters: number(row, "replaced_characters")?,
            files: number(row, "files")?,
            bytes: number(row, "bytes")?,
            completed: number(row, "completed")?,
        },
        cut_at: time(row, "cut_at")?,
        published_at: maybe_time(row, "published_at")?,
        collected_at: maybe_time(row, "collected_at")?,
        collected_how: row.try_get("collected_how")?,
        purged_at: maybe_time(row, "purged_at")?,
        supplement_to: row.try_get("supplement_to")?,
        completes: row.try_get("completes")?,
        workplace: Workplace { share: row.try_get("share")?, directory: row.try_get("workplace")? },
    })
}

pub(super) fn set_aside(row: &SqliteRow) -> Result<(Arc<str>, SetAside)> {
    let set_aside = SetAside { room: row.try_get("room_no")?, reason: row.try_get("reason")? };
    Ok((whole(row, "uri", "whole_uri")?.into(), set_aside))
}

pub(super) fn batch_totals(row: &SqliteRow) -> Result<BatchTotals> {
    Ok(BatchTotals {
        adapter: row.try_get("adapter")?,
        state: state(row)?,
        batches: number(row, "batches")?,
        events: number(row, "events")?,
        messages: number(row, "messages")?,
    })
}

pub(super) fn output(row: &SqliteRow) -> Result<OutputRow> {
    let kind: String = row.try_get("kind")?;
    Ok(OutputRow {
        position: u32::try_from(row.try_get::<i64, _>("position")?).unwrap_or(u32::MAX),
        name: row.try_get("name")?,
        kind: OutputKind::ALL
            .into_iter()
            .find(|one| one.as_str() == kind)
            .ok_or_else(|| unknown("kind of output", &kind))?,
        size: number(row, "size")?,
        sha256: digest(row.try_get("sha256")?)?,
        messages: number(row, "messages")?,
        collected_at: maybe_time(row, "collected_at")?,
    })
}

pub(super) fn capture(row: &SqliteRow) -> Result<CaptureRow> {
    let outcome = match row.try_get::<Option<Vec<u8>>, _>("sha256")? {
        Some(sha256) => Capture::Stored {
            sha256: digest(&sha256)?,
            size: number(row, "size")?,
            mismatch: row.try_get("mismatch")?,
            extension: row.try_get("extension")?,
        },
        None => Capture::Missing { reason: row.try_get("reason")? },
    };
    Ok(CaptureRow { seq: row.try_get("seq")?, outcome })
}

pub(super) fn quarantined(row: &SqliteRow) -> Result<QuarantineRow> {
    let state: String = row.try_get("state")?;
    let states = [QuarantineState::Waiting, QuarantineState::Replayed, QuarantineState::Discarded];
    Ok(QuarantineRow {
        id: row.try_get("id")?,
        received: time(row, "received")?,
        origin: row.try_get("origin")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        source: row.try_get("source")?,
        event_id: row.try_get("event_id")?,
        headers: row.try_get("headers")?,
        size: number(row, "size")?,
        sha256: digest(row.try_get("sha256")?)?,
        seen: number(row, "seen")?,
        state: states
            .into_iter()
            .find(|one| one.as_str() == state)
            .ok_or_else(|| unknown("state of a quarantined item", &state))?,
    })
}

pub(super) fn alert(row: &SqliteRow) -> Result<AlertRow> {
    Ok(AlertRow {
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        opened: time(row, "opened")?,
        last: time(row, "last")?,
        count: number(row, "count")?,
    })
}

pub(super) fn act(row: &SqliteRow) -> Result<ActRow> {
    let act = NewAct {
        at: time(row, "at")?,
        who: row.try_get("who")?,
        verb: row.try_get("verb")?,
        subject: row.try_get("subject")?,
        reason: row.try_get("reason")?,
    };
    Ok(ActRow { id: row.try_get("id")?, act })
}

pub(super) fn totals(row: &SqliteRow) -> Result<Totals> {
    Ok(Totals {
        staged: number(row, "staged")?,
        duplicates: number(row, "duplicates")?,
        conflicts: number(row, "conflicts")?,
        waiting: number(row, "waiting")?,
        quarantined: number(row, "quarantined")?,
        files: number(row, "files")?,
    })
}

/// A text that may be too long for its key column.
pub(super) fn whole(row: &SqliteRow, key: &str, whole: &str) -> Result<String> {
    match row.try_get::<Option<Vec<u8>>, _>(whole)? {
        None => Ok(row.try_get(key)?),
        Some(bytes) => String::from_utf8(bytes).map_err(|_| broken(format!("{whole} is not UTF-8"))),
    }
}

fn state(row: &SqliteRow) -> Result<BatchState> {
    row.try_get::<String, _>("state")?.parse().map_err(broken)
}

fn number(row: &SqliteRow, column: &str) -> Result<u64> {
    Ok(uncount(row.try_get(column)?))
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Ticks> {
    instant(row.try_get(column)?)
}

fn maybe_time(row: &SqliteRow, column: &str) -> Result<Option<Ticks>> {
    row.try_get::<Option<i64>, _>(column)?.map(instant).transpose()
}

fn unknown(what: &str, word: &str) -> crate::staging::StagingError {
    broken(format!("{word:?} is no {what}"))
}
