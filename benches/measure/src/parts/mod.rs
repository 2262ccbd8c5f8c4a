//! What is measured: one module for each part. Every part runs what it compares in turns.

mod catch_up;
mod growth;
mod idle;
mod ingest;
mod interval;
mod latency;
mod pipeline;
mod transform;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Ratio};
use crate::machine::Machine;
use crate::site::Store;

/// A part that can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Take-in to PostgreSQL, beside the bare loop and the Python pipeline
    IngestPostgres,
    /// Take-in to SQLite, beside the bare loop
    IngestSqlite,
    /// Staged events to files on the share, without a stylesheet
    Interval,
    /// The stylesheet `filedump`, beside xsltproc
    Transform,
    /// From the queue through `filedump` to collected and purged, beside the Python pipeline
    EndToEnd,
    /// Delays at 1,000 events a second
    Latency,
    /// What an idle daemon costs, and what it costs publishers
    Idle,
    /// Whether an event costs the same when many more wait, or in many more rooms
    Growth,
    /// How soon a backlog is worked off while new events keep coming
    CatchUp,
}

impl Part {
    pub(crate) const ALL: [Self; 9] = [
        Self::IngestPostgres,
        Self::IngestSqlite,
        Self::Interval,
        Self::Transform,
        Self::EndToEnd,
        Self::Latency,
        Self::Idle,
        Self::Growth,
        Self::CatchUp,
    ];

    /// The word on the command line, and the name of the file of results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IngestPostgres => "ingest-postgres",
            Self::IngestSqlite => "ingest-sqlite",
            Self::Interval => "interval",
            Self::Transform => "transform",
            Self::EndToEnd => "end-to-end",
            Self::Latency => "latency",
            Self::Idle => "idle",
            Self::Growth => "growth",
            Self::CatchUp => "catch-up",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::IngestPostgres => "Take-in to PostgreSQL",
            Self::IngestSqlite => "Take-in to SQLite",
            Self::Interval => "Interval to pickup",
            Self::Transform => "The stylesheet filedump",
            Self::EndToEnd => "End to end",
            Self::Latency => "Delay at 1,000 events/s",
            Self::Idle => "Idle cost",
            Self::Growth => "Growth",
            Self::CatchUp => "Catching up",
        }
    }
}

/// How much is measured, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) runs: u32,
    /// Events of one measurement.
    pub(crate) events: usize,
    /// Events of the end-to-end measurement.
    pub(crate) events_end_to_end: usize,
    /// Seconds of a measurement that takes a fixed time.
    pub(crate) seconds: u64,
    /// Events that wait, from few to many.
    pub(crate) growth: [usize; 2],
    /// Rooms that the events of one measurement are spread over, from few to many.
    pub(crate) rooms: [usize; 2],
    /// Events that wait when catching up begins.
    pub(crate) backlog: usize,
}

impl Sizes {
    pub(crate) fn new(extent: Extent, runs: Option<u32>, events: Option<usize>) -> Self {
        let rooms = [10, 100_000];
        let usual = match extent {
            Extent::Quick => Self {
                runs: 1,
                events: 4_000,
                events_end_to_end: 4_000,
                seconds: 3,
                growth: [1_000, 4_000],
                rooms: [10, 1_000],
                backlog: 4_000,
            },
            Extent::Usual => Self {
                runs: 3,
                events: 200_000,
                events_end_to_end: 1_000_000,
                seconds: 30,
                growth: [100_000, 1_000_000],
                rooms,
                backlog: 360_000,
            },
            Extent::Large => {
                Self { growth: [100_000, 5_000_000], backlog: 3_600_000, ..Self::new(Extent::Usual, None, None) }
            }
        };
        Self {
            runs: runs.unwrap_or(usual.runs).max(1),
            events: events.unwrap_or(usual.events),
            events_end_to_end: events.unwrap_or(usual.events_end_to_end),
            ..usual
        }
    }
}

/// How much time there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Only whether everything works.
    Quick,
    /// As for the page.
    Usual,
    /// As for the page, with the backlog of an hour and with 5,000,000 events.
    Large,
}

/// What measuring needs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) chancery: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) amqp_url: String,
    pub(crate) postgres_url: String,
    pub(crate) sizes: Sizes,
}

/// The outcome of a part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) part: String,
    pub(crate) title: String,
    /// When, as a date.
    pub(crate) day: String,
    pub(crate) machine: Machine,
    /// Sizes and settings, for people.
    pub(crate) settings: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) ratios: Vec<Ratio>,
}

impl Bench {
    /// Measures one part.
    pub(crate) async fn measure(&self, part: Part) -> Result<Measured> {
        let mut measured = Measured {
            part: part.name().to_owned(),
            title: part.title().to_owned(),
            day: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            machine: Machine::ask(&self.chancery)?,
            settings: Vec::new(),
            figures: Vec::new(),
            ratios: Vec::new(),
        };
        match part {
            Part::IngestPostgres => ingest::measure(self, Store::Postgres, &mut measured).await?,
            Part::IngestSqlite => ingest::measure(self, Store::Sqlite, &mut measured).await?,
            Part::Interval => interval::measure(self, &mut measured).await?,
            Part::Transform => transform::measure(self, &mut measured).await?,
            Part::EndToEnd => pipeline::measure(self, &mut measured).await?,
            Part::Latency => latency::measure(self, &mut measured).await?,
            Part::Idle => idle::measure(self, &mut measured).await?,
            Part::Growth => growth::measure(self, &mut measured).await?,
            Part::CatchUp => catch_up::measure(self, &mut measured).await?,
        }
        Ok(measured)
    }
}
