//! Progress bars over what `chancery status` says, until everything is purged or time is up.

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Outcome;
use crate::chancery::{Chancery, Running, Status};
use crate::delivery::Delivery;
use crate::reckoning::Expected;

const LOOK: Duration = Duration::from_millis(400);
/// Without a terminal there is a line every so often instead of bars.
const LINE: Duration = Duration::from_secs(5);

/// The five bars, from the chat server to the purge.
struct Bars {
    stages: [(&'static str, ProgressBar); 5],
    lines: Option<Instant>,
}

/// Watches until all is balanced, or until `patience` after the last delivery; gives the last status.
pub(crate) fn watch(
    chancery: &Chancery,
    running: &mut Running,
    delivery: &Delivery,
    expected: &Expected,
    patience: Duration,
) -> Outcome<Status> {
    let mut bars = Bars::new();
    let mut delivered: Option<Instant> = None;
    let mut status = Status::default();
    loop {
        running.check()?;
        let failed = match chancery.status() {
            Ok(new) => {
                status = new;
                None
            }
            // The first looks may come before the daemon has made its database.
            Err(error) => Some(error),
        };
        bars.show(delivery.published(), expected, &status);
        if delivery.ended() {
            let since = *delivered.get_or_insert_with(Instant::now);
            let all = delivery.published() == expected.all();
            if !all || since.elapsed() > patience || (failed.is_none() && balanced(expected, &status)) {
                bars.finish();
                return match failed {
                    Some(error) => Err(error),
                    None => Ok(status),
                };
            }
        }
        thread::sleep(LOOK);
    }
}

/// Whether nothing is under way any more.
fn balanced(expected: &Expected, status: &Status) -> bool {
    status.intake.staged == expected.all()
        && status.intake.waiting == 0
        && !status.adapters.is_empty()
        && status.adapters.iter().all(|adapter| {
            adapter.written_messages == expected.messages()
                && adapter.waiting_events == 0
                && adapter.collected_events == adapter.written_events
                && adapter.purged_events == adapter.written_events
        })
}

impl Bars {
    fn new() -> Self {
        let bars = MultiProgress::new();
        // The template is a constant of ours; were it wrong, the plain style would do.
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40.cyan/blue} {pos:>6}/{len:<6} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let stages = ["published", "staged", "written", "collected", "purged"].map(|name| {
            let bar = bars.add(ProgressBar::new(0).with_style(style.clone()).with_prefix(name));
            (name, bar)
        });
        Self { stages, lines: (!std::io::stderr().is_terminal()).then(Instant::now) }
    }

    fn show(&mut self, published: u64, expected: &Expected, status: &Status) {
        let sum = |count: fn(&crate::chancery::AdapterStatus) -> u64| status.adapters.iter().map(count).sum::<u64>();
        let written = sum(|adapter| adapter.written_events);
        let adapters = status.adapters.len().max(1) as u64;
        let messages = expected.messages() * adapters;
        let all = expected.all();
        // Collected and purged count events, signals included, so their goal is what was written.
        let goal = written.max(messages);
        let counts = [
            (published, all),
            (status.intake.staged, all),
            (sum(|adapter| adapter.written_messages), messages),
            (sum(|adapter| adapter.collected_events), goal),
            (sum(|adapter| adapter.purged_events), goal),
        ];
        for ((_, bar), (count, length)) in self.stages.iter().zip(counts) {
            bar.set_length(length);
            bar.set_position(count);
        }
        let waiting = sum(|adapter| adapter.waiting_events);
        self.stages[2].1.set_message(format!("{waiting} wait for their interval to close"));
        if self.lines.is_some_and(|last| last.elapsed() >= LINE) {
            self.lines = Some(Instant::now());
            self.line();
        }
    }

    fn line(&self) {
        let parts: Vec<_> = self.stages.iter().map(|(name, bar)| format!("{name} {}", bar.position())).collect();
        eprintln!("quickstart: {}", parts.join(", "));
    }

    fn finish(&self) {
        for (_, bar) in &self.stages {
            bar.abandon();
        }
        if self.lines.is_some() {
            self.line();
        }
    }
}
