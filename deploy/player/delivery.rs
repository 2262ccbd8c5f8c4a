//! The chat server's part: the day's events, cut into seconds, each second delivered when it comes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

use crate::chancery::Chancery;
use crate::reckoning::Expected;
use crate::{Intake, Outcome};

/// How long one delivery's slice of the day is.
const SLICE: Duration = Duration::from_secs(1);

/// A day that is ready to be delivered.
pub(crate) struct Day {
    start: Timestamp,
    /// The events by slice, each a file of NDJSON.
    slices: Vec<Slice>,
    /// What must come out at the other end.
    pub(crate) expected: Expected,
    /// The first message of the day.
    pub(crate) message: Sent,
}

/// An event as it is sent.
pub(crate) struct Sent {
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) line: String,
}

#[derive(Clone)]
struct Slice {
    due: Duration,
    events: u64,
    file: PathBuf,
}

/// A delivery under way.
pub(crate) struct Delivery {
    published: Arc<AtomicU64>,
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<()>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    source: std::borrow::Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    event_type: std::borrow::Cow<'a, str>,
    time: Timestamp,
}

impl Day {
    /// Has the day simulated, starting in a moment, and cuts it into slices.
    pub(crate) fn simulate(chancery: &Chancery, seed: u64, events: u64, span: Duration) -> Outcome<Self> {
        let directory = chancery.directory().join("day");
        fs::create_dir_all(&directory)?;
        let whole = directory.join("day.ndjson");
        let start = Timestamp::now() + Duration::from_millis(1500);
        chancery.simulate(seed, events, &start.to_string(), span, &whole)?;
        let text = fs::read_to_string(&whole)?;
        let (mut expected, mut message) = (Expected::default(), None);
        let mut cut: BTreeMap<u64, (u64, String)> = BTreeMap::new();
        for line in text.lines() {
            let event: Line<'_> = serde_json::from_str(line)?;
            let offset = Duration::try_from(event.time.duration_since(start)).unwrap_or_default();
            let (count, slice) = cut.entry(offset.as_secs() / SLICE.as_secs()).or_default();
            *count += 1;
            slice.push_str(line);
            slice.push('\n');
            expected.add(&event.source, &event.id, &event.event_type);
            if event.event_type == "chat.message.posted" {
                message.get_or_insert_with(|| Sent {
                    source: event.source.to_string(),
                    id: event.id.to_string(),
                    line: line.to_owned(),
                });
            }
        }
        let mut slices = Vec::with_capacity(cut.len());
        for (number, (events, text)) in cut {
            let file = directory.join(format!("second-{number:04}.ndjson"));
            fs::write(&file, text)?;
            slices.push(Slice { due: SLICE * u32::try_from(number)?, events, file });
        }
        Ok(Self { start, slices, expected, message: message.ok_or("the day has no message")? })
    }

    /// Delivers the slices, each as its second begins, on a thread of its own.
    pub(crate) fn deliver(&self, chancery: &Chancery, intake: Intake) -> Delivery {
        let published = Arc::new(AtomicU64::new(0));
        let cancelled = Arc::new(AtomicBool::new(false));
        let (count, stop, slices) = (published.clone(), cancelled.clone(), self.slices.clone());
        let wait = Duration::try_from(self.start.duration_since(Timestamp::now())).unwrap_or_default();
        let start = Instant::now() + wait;
        let chancery = chancery.clone();
        let thread = thread::spawn(move || {
            for slice in slices {
                thread::sleep((start + slice.due).saturating_duration_since(Instant::now()));
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                match intake {
                    Intake::Broker => chancery.emit(&slice.file)?,
                    Intake::Spool => move_in(&slice.file, &chancery.directory().join("home/incoming"))?,
                }
                count.fetch_add(slice.events, Ordering::Relaxed);
            }
            Ok(())
        });
        Delivery { published, cancelled, thread }
    }
}

impl Delivery {
    /// How many events the broker has confirmed, or the spool directory was given.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Whether the thread has ended, for good or ill.
    pub(crate) fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the delivery and tells what went wrong with it.
    pub(crate) fn finish(self) -> Outcome<()> {
        self.cancelled.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the delivery thread panicked")?
    }
}

/// Moves a file into the spool directory by rename: it is there whole or not at all.
fn move_in(file: &Path, incoming: &Path) -> Outcome<()> {
    fs::create_dir_all(incoming)?;
    let name = file.file_name().ok_or("a slice without a name")?;
    fs::rename(file, incoming.join(name))?;
    Ok(())
}
