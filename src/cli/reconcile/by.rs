//! `chancery reconcile --by`: the lines by interval and by room.

use crate::cli::print::{self, Column};
use crate::engine::{IntervalLine, Reconciliation, RoomLine, RoomOutcome};
use crate::errors::Failure;

/// What lines are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// One for each adapter and interval: each batch
    Interval,
    /// One for each room and adapter
    Room,
}

/// The counts of an interval's line, by name.
fn interval(line: &IntervalLine) -> [(&'static str, u64); 10] {
    [
        ("events", line.events),
        ("messages", line.messages),
        ("signals", line.signals),
        ("left_out", line.left_out),
        ("completed", line.completed),
        ("waiting", line.waiting),
        ("on_share", line.on_share),
        ("collected", line.collected),
        ("failed", line.failed),
        ("abandoned", line.abandoned),
    ]
}

/// The counts of a room, and those of an adapter in it, by name.
fn room(line: &RoomLine) -> [(&'static str, u64); 3] {
    [("arrived", line.arrived), ("present", line.present), ("purged", line.purged)]
}

fn outcome(of: &RoomOutcome) -> [(&'static str, u64); 3] {
    [("written", of.written), ("waiting", of.waiting), ("abandoned", of.abandoned)]
}

/// Prints the lines that were asked for.
pub(super) fn tables(found: &Reconciliation) -> Result<(), Failure> {
    if let Some(lines) = &found.intervals {
        let columns = [
            Column::Text("adapter"),
            Column::Text("start"),
            Column::Text("end"),
            Column::Number("batch"),
            Column::Number("supplements"),
            Column::Text("state"),
            Column::Number("events"),
            Column::Number("messages"),
            Column::Number("signals"),
            Column::Number("left out"),
            Column::Number("completed"),
            Column::Number("waiting"),
            Column::Number("on share"),
            Column::Number("collected"),
            Column::Number("failed"),
            Column::Number("abandoned"),
        ];
        let row = |line: &IntervalLine| {
            let supplements = line.supplement_to.map(|batch| batch.to_string()).unwrap_or_default();
            let told =
                [line.adapter.clone(), line.start.clone(), line.end.clone(), line.batch.to_string(), supplements];
            let counts = interval(line).map(|(_, count)| print::count(count));
            told.into_iter().chain([line.state.to_owned()]).chain(counts).collect()
        };
        print::data(print::table(&columns, lines.iter().map(row)))?;
    }
    if let Some(lines) = &found.rooms {
        let columns = [
            Column::Text("room"),
            Column::Number("arrived"),
            Column::Number("present"),
            Column::Number("purged"),
            Column::Text("adapter"),
            Column::Number("written"),
            Column::Number("waiting"),
            Column::Number("abandoned"),
        ];
        let rows = lines.iter().flat_map(|line| {
            line.adapters.iter().map(move |of| {
                let counts = room(line).map(|(_, count)| print::count(count));
                let made = outcome(of).map(|(_, count)| print::count(count));
                let room = std::iter::once(print::harmless(&line.room)).chain(counts);
                room.chain([of.adapter.clone()]).chain(made).collect()
            })
        });
        print::data(print::table(&columns, rows))?;
    }
    Ok(())
}

/// Puts the lines that were asked for: of what, its name, the count's name, its value.
pub(super) fn csv(found: &Reconciliation, put: &mut impl FnMut(&str, &str, &str, &str)) {
    for line in found.intervals.iter().flatten() {
        let name = format!("{} batch {}", line.adapter, line.batch);
        let mut told = |count, value: &str| put("interval", &name, count, value);
        told("start", &line.start);
        told("end", &line.end);
        told("supplement_to", &line.supplement_to.map(|batch| batch.to_string()).unwrap_or_default());
        told("completes", &line.completes.map(|batch| batch.to_string()).unwrap_or_default());
        told("state", line.state);
        for (count, value) in interval(line) {
            told(count, &value.to_string());
        }
    }
    for line in found.rooms.iter().flatten() {
        for (count, value) in room(line) {
            put("room", &line.room, count, &value.to_string());
        }
        for of in &line.adapters {
            for (count, value) in outcome(of) {
                put("room", &line.room, &format!("{count} by {}", of.adapter), &value.to_string());
            }
        }
    }
}
