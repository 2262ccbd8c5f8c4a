//! A round's traffic: a day of `chancery simulate`, with conflicts and disorder added here, and with some of its files moved out of
//! their events into the chat server's repository, where they lie before the event speaks of them or come after that.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::dice::Dice;
use crate::error::{At as _, Outcome, Trouble};
use crate::event::{Told, digest};
use crate::ledger::Nature;

/// What a round publishes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Traffic {
    /// The simulation's seed.
    pub seed: u64,
    /// Events of the day, before duplicates, poison and conflicts.
    pub events: u64,
    /// Bodies per second.
    pub rate: u64,
    /// Percent sent twice.
    pub duplicates: u64,
    /// Percent dated back.
    pub late: u64,
    /// Percent that are no event.
    pub poison: u64,
    /// Percent followed by another event under the same key.
    pub conflicts: u64,
    /// How many places a body may move away from its own.
    pub disorder: u64,
}

/// One body, and when it is to be published.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it is.
    pub nature: Nature,
    /// The bytes.
    pub body: Vec<u8>,
    /// Counted from the beginning.
    pub due: Duration,
}

/// A file that the chat server puts into its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its path there, as the event names it.
    pub location: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Counted from the beginning; zero: it is there before anything is published.
    pub due: Duration,
}

/// All that happens in a round by itself.
#[derive(Debug, Clone)]
pub struct Day {
    /// What is published, in order.
    pub messages: Vec<Message>,
    /// The files that lie in the repository, or come there.
    pub uploads: Vec<Upload>,
}

/// The day begins at the same moment in each round, so that a replay publishes the same bytes.
const START: &str = "2026-11-02T07:00:00Z";
/// How long after its event was due a late file comes, in milliseconds: some within the grace of the shortest interval, most after it.
const LATE: (u64, u64) = (300, 5000);

impl Traffic {
    /// Makes bodies and files. `simulate` is the product's command, to which the arguments are added.
    ///
    /// # Errors
    /// When the command cannot be run or fails.
    pub fn make(&self, mut simulate: Command, dice: &mut Dice) -> Outcome<Day> {
        let fraction = |percent: u64| format!("{}", percent as f64 / 100.0);
        simulate.args(["simulate", "--out", "-", "--start", START, "--people", "24", "--rooms", "8"]);
        simulate.args(["--seed", &self.seed.to_string(), "--events", &self.events.to_string()]);
        simulate.args(["--duplicates", &fraction(self.duplicates), "--late", &fraction(self.late)]);
        simulate.args(["--poison", &fraction(self.poison)]);
        let output =
            simulate.output().map_err(|error| Trouble::Said(format!("cannot run chancery simulate: {error}")))?;
        if !output.status.success() {
            return Err(Trouble::Command {
                command: "chancery simulate".into(),
                status: output.status.to_string(),
                said: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        Ok(self.arrange(lines.map(<[u8]>::to_vec).collect(), dice))
    }

    /// Gives each body its nature and its time, and each file its place.
    fn arrange(&self, lines: Vec<Vec<u8>>, dice: &mut Dice) -> Day {
        let gap = Duration::from_secs(1) / u32::try_from(self.rate.max(1)).unwrap_or(1);
        let due = |at: usize| gap * u32::try_from(at).unwrap_or(0);
        let mut seen = std::collections::HashSet::new();
        let (mut bodies, mut uploads) = (Vec::new(), Vec::new());
        for line in lines {
            let (line, upload) = by_path(&line).map_or((line, None), |(line, upload)| (line, Some(upload)));
            // What the simulation calls poison is what carries no key, or cannot be an event for another reason; all of it
            // lacks a known source, a type of ours or JSON, and none of it has a room together with a sender.
            let nature = match is_event(&line) {
                false => Nature::Poison,
                true if !seen.insert(digest(&line)) => Nature::Duplicate,
                true => Nature::Ordinary,
            };
            if nature == Nature::Ordinary {
                let due = due(bodies.len());
                uploads.extend(
                    upload
                        .map(|file| Upload { due: if file.due.is_zero() { file.due } else { due + file.due }, ..file }),
                );
            }
            let other =
                (nature == Nature::Ordinary && dice.below(100) < self.conflicts as usize).then(|| conflict(&line));
            bodies.push((nature, line));
            bodies.extend(other.flatten().map(|body| (Nature::Conflict, body)));
        }
        disorder(&mut bodies, self.disorder as usize, dice);
        uploads.sort_by_key(|file| file.due);
        let timed = bodies.into_iter().enumerate();
        let messages = timed.map(|(at, (nature, body))| Message { nature, body, due: due(at) }).collect();
        Day { messages, uploads }
    }
}

/// The event with its file in the repository instead of in itself; `None` where it stays as it is. Of the events with bytes, a third
/// each have them within, before the event, and after it. Chosen by the event's own bytes, so that a copy of it stays a copy.
fn by_path(line: &[u8]) -> Option<(Vec<u8>, Upload)> {
    let mut event: Value = serde_json::from_slice(line).ok()?;
    let file = event.get_mut("data")?.get_mut("file")?.as_object_mut()?;
    let bytes = STANDARD.decode(file.get("inline")?.as_str()?).ok()?;
    let sha256 = digest(line);
    let chosen = u64::from_str_radix(&sha256[..8], 16).ok()?;
    let due = match chosen % 3 {
        0 => return None,
        1 => Duration::ZERO,
        _ => Duration::from_millis(LATE.0 + chosen / 3 % (LATE.1 - LATE.0)),
    };
    let location = format!("{}/{sha256}", &sha256[..2]);
    file.remove("inline");
    file.insert("location".into(), json!(location));
    file.insert("sha256".into(), json!(digest(&bytes)));
    file.insert("size".into(), json!(bytes.len()));
    Some((serde_json::to_vec(&event).ok()?, Upload { location, bytes, due }))
}

/// Puts files into the repository at their times, each at once whole.
///
/// # Errors
/// When one cannot be written.
pub async fn upload(repository: PathBuf, uploads: Vec<Upload>) -> Outcome<()> {
    let begun = Instant::now();
    for file in uploads {
        sleep_until(begun + file.due).await;
        let place = repository.join(&file.location);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).at("create", parent)?;
        }
        let coming = place.with_extension("coming");
        fs::write(&coming, &file.bytes).at("write", &coming)?;
        fs::rename(&coming, &place).at("rename", &place)?;
    }
    Ok(())
}

/// Whether a line of the simulation is an event, judged by the contract: version, source, and a sender or a count.
fn is_event(line: &[u8]) -> bool {
    let Ok(event) = serde_json::from_slice::<Value>(line) else { return false };
    let data = &event["data"];
    event["specversion"] == "1.0"
        && Told::read(line).is_some()
        && event["time"].as_str().is_some_and(|time| crate::event::ticks(time).is_some())
        && (data["sender"].is_object() || data["count"].is_u64())
}

/// The same key with other words; only messages have words that can be changed.
fn conflict(line: &[u8]) -> Option<Vec<u8>> {
    let mut event: Value = serde_json::from_slice(line).ok()?;
    let text = event.get_mut("data")?.get_mut("message")?.get_mut("text")?;
    *text = Value::String(format!("{} (or so they say)", text.as_str()?));
    serde_json::to_vec(&event).ok()
}

/// Moves each body by at most so many places.
fn disorder<T>(list: &mut [T], places: usize, dice: &mut Dice) {
    if places == 0 {
        return;
    }
    for chunk in list.chunks_mut(places) {
        dice.shuffle(chunk);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn event(id: usize) -> Vec<u8> {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/web/1","type":"chat.message.posted","subject":"r","time":"2026-11-22T10:00:00Z","data":{{"sender":{{"uri":"sip:a"}},"message":{{"text":"words"}}}}}}"#).into_bytes()
    }

    #[test]
    fn natures_are_told_from_the_bytes() {
        let traffic =
            Traffic { seed: 1, events: 3, rate: 1000, duplicates: 0, late: 0, poison: 0, conflicts: 100, disorder: 0 };
        let lines = vec![
            event(1),
            event(1),
            b"{not json".to_vec(),
            br#"{"specversion":"1.0","id":"n","source":"/web/1","type":"x"}"#.to_vec(),
        ];
        let made = traffic.arrange(lines, &mut Dice::new(1, 0)).messages;
        let natures: Vec<_> = made.iter().map(|message| message.nature).collect();
        assert_eq!(natures, [Nature::Ordinary, Nature::Conflict, Nature::Duplicate, Nature::Poison, Nature::Poison]);
        assert_eq!(made[4].due, Duration::from_millis(4));
        let shuffled = Traffic { disorder: 10, conflicts: 0, ..traffic };
        let made = shuffled.arrange((0..100).map(event).collect(), &mut Dice::new(1, 0)).messages;
        assert_ne!(
            made.iter().map(|message| message.body.clone()).collect::<Vec<_>>(),
            (0..100).map(event).collect::<Vec<_>>()
        );
    }

    #[test]
    fn files_lie_within_before_and_after_their_events() {
        let traffic =
            Traffic { seed: 1, events: 3, rate: 1000, duplicates: 0, late: 0, poison: 0, conflicts: 0, disorder: 0 };
        let upload = |id: usize| {
            let inline = STANDARD.encode(id.to_string());
            let line = format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"/web/1","type":"chat.file.uploaded","subject":"r","time":"2026-11-22T10:00:00Z","data":{{"sender":{{"uri":"sip:a"}},"file":{{"name":"n","inline":"{inline}"}}}}}}"#
            );
            line.into_bytes()
        };
        // Each is sent twice; a copy brings no second file.
        let day = traffic.arrange((0..60).chain(0..60).map(upload).collect(), &mut Dice::new(1, 0));
        let duplicates = day.messages.iter().filter(|message| message.nature == Nature::Duplicate).count();
        let there = day.uploads.iter().filter(|file| file.due.is_zero()).count();
        let late = day.uploads.len() - there;
        assert!(duplicates == 60 && there > 5 && late > 5 && there + late < 55, "{duplicates} {there} {late}");
        for message in &day.messages {
            let told = Told::read(&message.body).unwrap();
            assert_eq!(told.facts.unwrap()["file"], digest(told.key.id.as_bytes()));
            let file = day.uploads.iter().find(|file| file.bytes == told.key.id.as_bytes());
            assert_eq!(told.by_path, file.is_some());
        }
    }
}
