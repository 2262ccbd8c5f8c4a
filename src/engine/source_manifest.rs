//! A source's own manifest, what it says it sent, compared one to one with what is known here.
//!
//! A manifest is NDJSON: a line that says whose it is and of which time, then a line for each event, or for each room and hour
//! (`schemas/source-manifest.schema.json`). Nothing is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Ticks;
use crate::staging::{KnownEvent, Staging, StagingError};

/// What the manifest's first line says as `format`.
const FORMAT: &str = "chancery-source-manifest-1";
/// Ids asked for at once.
const IDS_AT_ONCE: usize = 1000;
/// An hour in ticks.
const HOUR: i64 = 36_000_000_000;
/// For how long purged events are counted by room and hour; after that by day (`docs/reconciliation.md`).
const BY_HOUR_FOR: Duration = Duration::from_secs(35 * 86_400);

/// A line that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What was expected, and what was found.
    pub problem: String,
}

/// What a source says it sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceManifest {
    source: String,
    from: Ticks,
    to: Ticks,
    sent: Sent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    /// Each event by its id, with the line that names it.
    Ids(HashMap<String, usize>),
    /// How many events of each room, or of none, began in an hour.
    Counts(BTreeMap<(Option<String>, Ticks), u64>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    format: String,
    source: String,
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfId {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfHour {
    room: Option<String>,
    hour: String,
    count: u64,
}

impl SourceManifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The first line that is not as it should be.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let bad = |line: usize, problem: String| BadLine { line, problem };
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let form = format!(
            "expected {{\"format\": \"{FORMAT}\", \"source\": …, \"from\": …, \"to\": …}}: whose it is, and of which time"
        );
        let (number, line) = lines.next().ok_or_else(|| bad(1, form.clone()))?;
        let first: First = serde_json::from_str(line).map_err(|error| bad(number, format!("{form}; {error}")))?;
        if first.format != FORMAT {
            return Err(bad(number, format!("its format is {:?}, expected {FORMAT:?}", first.format)));
        }
        let time = |name: &str, text: &str| {
            Ticks::parse(text).map_err(|error| bad(number, format!("`{name}` is {text:?}, expected RFC 3339; {error}")))
        };
        let (from, to) = (time("from", &first.from)?, time("to", &first.to)?);
        if from >= to {
            return Err(bad(number, "`from` is not before `to`: no time lies between".to_owned()));
        }
        let lines: Vec<_> = lines.collect();
        let of_hours = lines.first().is_some_and(|(_, line)| serde_json::from_str::<OfHour>(line).is_ok());
        let sent = if of_hours { Self::counts(&lines, from, to)? } else { Self::ids(&lines)? };
        Ok(Self { source: first.source, from, to, sent })
    }

    /// Whether what purged events are counted by is fine enough for this manifest, `now`.
    ///
    /// # Errors
    /// When it counts by hour what may be known by day alone, and does not begin and end with a day.
    pub fn can_be_compared(&self, now: Ticks) -> Result<(), BadLine> {
        let whole = |end: Ticks| end.ticks() % (24 * HOUR) == 0;
        let fine = matches!(self.sent, Sent::Ids(_)) || self.from >= now.minus(BY_HOUR_FOR);
        if fine || whole(self.from) && whole(self.to) {
            return Ok(());
        }
        let problem = "`from` is more than 35 days ago, where purged events are counted by day: expected `from` and `to` at midnight UTC";
        Err(BadLine { line: 1, problem: problem.to_owned() })
    }

    fn ids(lines: &[(usize, &str)]) -> Result<Sent, BadLine> {
        let mut ids = HashMap::with_capacity(lines.len());
        for (number, line) in lines {
            let bad = |problem: String| BadLine { line: *number, problem };
            let OfId { id } = serde_json::from_str(line).map_err(|error| {
                bad(format!("expected {{\"id\": …}}, as every line after the first, or {{\"room\": …, \"hour\": …, \"count\": …}} on all of them; {error}"))
            })?;
            if let Some(before) = ids.insert(id, *number) {
                return Err(bad(format!("names the id that line {before} names, expected each once")));
            }
        }
        Ok(Sent::Ids(ids))
    }

    fn counts(lines: &[(usize, &str)], from: Ticks, to: Ticks) -> Result<Sent, BadLine> {
        let mut counts = BTreeMap::new();
        if let Some(end) = [from, to].into_iter().find(|end| end.ticks() % HOUR != 0) {
            let problem =
                format!("`from` or `to` is {}, expected the beginning of an hour where counts are by hour", end.iso());
            return Err(BadLine { line: 1, problem });
        }
        for (number, line) in lines {
            let bad = |problem: String| BadLine { line: *number, problem };
            let OfHour { room, hour, count } = serde_json::from_str(line).map_err(|error| {
                bad(format!("expected {{\"room\": …, \"hour\": …, \"count\": …}}, as the lines before it; {error}"))
            })?;
            let at =
                Ticks::parse(&hour).map_err(|error| bad(format!("`hour` is {hour:?}, expected RFC 3339; {error}")))?;
            if at.ticks() % HOUR != 0 || at < from || at >= to {
                return Err(bad(format!(
                    "`hour` is {hour:?}, expected the beginning of an hour from `from` on and before `to`"
                )));
            }
            if counts.insert((room, at), count).is_some() {
                return Err(bad("names a room and hour that a line before it names, expected each once".to_owned()));
            }
        }
        Ok(Sent::Counts(counts))
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The event, where the manifest names events.
    pub id: Option<String>,
    /// The room, where it counts them; none for events without one.
    pub room: Option<String>,
    /// The hour's beginning, where it counts them; the day's, where hours are told apart no longer.
    pub hour: Option<String>,
    /// How many the manifest names.
    pub listed: u64,
    /// How many came.
    pub arrived: u64,
}

/// A manifest beside what is known here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The source.
    pub source: String,
    /// The beginning of the time compared.
    pub from: String,
    /// Its end.
    pub to: String,
    /// Events that the manifest names.
    pub listed: u64,
    /// Of these, the ones that came.
    pub arrived: u64,
    /// Of the ones that came: those that wait in quarantine or were taken out of it.
    pub quarantined: u64,
    /// Events of that time and source that are purged. Where the manifest names ids, it cannot be told which of these it lacks.
    pub purged: u64,
    /// What does not agree: listed and not arrived, or arrived and not listed.
    pub differences: Vec<Difference>,
}

/// Compares a manifest with what is staged, quarantined and purged.
///
/// # Errors
/// When staging cannot be read.
pub async fn compare(staging: &Staging, manifest: &SourceManifest, now: Ticks) -> Result<Comparison, StagingError> {
    let (from, to) = (manifest.from, manifest.to);
    let mut found =
        Comparison { source: manifest.source.clone(), from: from.iso(), to: to.iso(), ..Comparison::default() };
    let mut hours = staging.room_hours(from, to).await?;
    hours.retain(|hour| hour.source == manifest.source);
    found.purged = hours.iter().map(|hour| hour.purged).sum();
    match &manifest.sent {
        Sent::Ids(ids) => compare_ids(staging, manifest, ids, &mut found).await?,
        Sent::Counts(counts) => {
            let old = now.minus(BY_HOUR_FOR);
            let by_day: BTreeSet<i64> = hours
                .iter()
                .filter(|hour| hour.room.is_none() && hour.purged > 0 && hour.hour < old)
                .map(|hour| day(hour.hour))
                .collect();
            let listed = counts.iter().map(|((room, hour), count)| (room.clone(), *hour, *count));
            let here = hours.into_iter().map(|hour| (hour.room, hour.hour, hour.present + hour.purged));
            let (listed, here) = (summed(listed, &by_day), summed(here, &by_day));
            found.listed = listed.values().sum();
            let places: BTreeSet<_> = listed.keys().chain(here.keys()).collect();
            for place in places {
                let [listed, arrived] = [&listed, &here].map(|side| side.get(place).copied().unwrap_or_default());
                found.arrived += listed.min(arrived);
                if listed != arrived {
                    let (room, hour) = (place.0.clone(), Some(place.1.iso()));
                    found.differences.push(Difference { id: None, room, hour, listed, arrived });
                }
            }
        }
    }
    found.differences.sort();
    Ok(found)
}

/// Counts by room and hour; of those days as a whole where rooms and hours are told apart no longer.
fn summed(
    counts: impl Iterator<Item = (Option<String>, Ticks, u64)>,
    by_day: &BTreeSet<i64>,
) -> BTreeMap<(Option<String>, Ticks), u64> {
    let mut sums = BTreeMap::new();
    for (room, hour, count) in counts {
        let place = if by_day.contains(&day(hour)) {
            (None, Ticks::saturating_from_ticks(day(hour) * 24 * HOUR))
        } else {
            (room, hour)
        };
        *sums.entry(place).or_default() += count;
    }
    sums
}

/// The number of the day.
fn day(at: Ticks) -> i64 {
    at.ticks().div_euclid(24 * HOUR)
}

async fn compare_ids(
    staging: &Staging,
    manifest: &SourceManifest,
    ids: &HashMap<String, usize>,
    found: &mut Comparison,
) -> Result<(), StagingError> {
    let difference = |id: String, listed, arrived| Difference { id: Some(id), room: None, hour: None, listed, arrived };
    found.listed = ids.len() as u64;
    let all: Vec<String> = ids.keys().cloned().collect();
    for some in all.chunks(IDS_AT_ONCE) {
        let known = staging.known_events(&manifest.source, some).await?;
        for (id, known) in some.iter().zip(known) {
            match known {
                None => found.differences.push(difference(id.clone(), 1, 0)),
                Some(known) => {
                    found.arrived += 1;
                    found.quarantined += u64::from(known == KnownEvent::Quarantined);
                }
            }
        }
    }
    let here = staging.event_ids(&manifest.source, manifest.from, manifest.to).await?;
    let unlisted: BTreeSet<String> = here.into_iter().filter(|id| !ids.contains_key(id)).collect();
    found.differences.extend(unlisted.into_iter().map(|id| difference(id, 0, 1)));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"format":"chancery-source-manifest-1","source":"/web/1","from":"2026-11-22T10:00:00Z","to":"2026-11-22T12:00:00Z"}"#;

    #[test]
    fn ids_and_counts_are_read() {
        let ids = SourceManifest::parse(&format!("{FIRST}\n{{\"id\":\"a\"}}\n\n{{\"id\":\"b\"}}\n")).unwrap();
        assert_eq!(ids.sent, Sent::Ids([("a".to_owned(), 2), ("b".to_owned(), 4)].into()));
        let line = r#"{"room":"room:1","hour":"2026-11-22T10:00:00Z","count":3}"#;
        let none = r#"{"hour":"2026-11-22T11:00:00Z","count":1}"#;
        let counts = SourceManifest::parse(&format!("{FIRST}\n{line}\n{none}\n")).unwrap();
        let hour = |text| Ticks::parse(text).unwrap();
        let expected =
            [((Some("room:1".to_owned()), hour("2026-11-22T10:00:00Z")), 3), ((None, hour("2026-11-22T11:00:00Z")), 1)];
        assert_eq!(counts.sent, Sent::Counts(expected.into()));
        assert_eq!(SourceManifest::parse(FIRST).unwrap().sent, Sent::Ids(HashMap::new()), "nothing was sent");
    }

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        let count = |hour: &str| format!(r#"{{"room":"r","hour":"{hour}","count":3}}"#);
        let sound = count("2026-11-22T10:00:00Z");
        for (lines, line, words) in [
            (String::new(), 1, "whose it is"),
            ("a,b".to_owned(), 1, "whose it is"),
            (FIRST.replace("manifest-1", "manifest-9"), 1, "expected \"chancery-source-manifest-1\""),
            (FIRST.replace("2026-11-22T12:00:00Z", "noon"), 1, "`to` is \"noon\", expected RFC 3339"),
            (FIRST.replace("T12", "T09"), 1, "not before `to`"),
            (format!("{FIRST}\n{{\"id\":\"a\"}}\n{{\"id\":7}}"), 3, "expected {\"id\": …}"),
            (format!("{FIRST}\n{{\"id\":\"a\"}}\n{{\"id\":\"a\"}}"), 3, "line 2 names"),
            (format!("{FIRST}\n{{\"id\":\"a\"}}\n{sound}"), 3, "expected {\"id\": …}"),
            (format!("{FIRST}\n{sound}\n{{\"id\":\"a\"}}"), 3, "as the lines before it"),
            (format!("{FIRST}\n{sound}\n{sound}"), 3, "expected each once"),
            (format!("{FIRST}\n{}", count("2026-11-22T10:30:00Z")), 2, "the beginning of an hour"),
            (format!("{FIRST}\n{}", count("2026-11-22T12:00:00Z")), 2, "before `to`"),
            (format!("{}\n{sound}", FIRST.replace("10:00:00", "09:30:00")), 1, "the beginning of an hour"),
        ] {
            let bad = SourceManifest::parse(&lines).unwrap_err();
            assert!(bad.line == line && bad.problem.contains(words), "{lines}\n{bad}");
        }
    }
}
