//! The simulation against the reader of the contract, and against its own promises.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::*;
use crate::model::{Event, Kind, UnreadableReason};

fn day(events: u64) -> SimSpec {
    SimSpec { seed: 7, events, ..SimSpec::default() }
}

fn sent(spec: SimSpec) -> Vec<SimEvent> {
    Simulation::new(spec).collect()
}

#[test]
fn every_event_is_one_that_the_reader_accepts_and_knows() {
    let bodies = sent(day(20_000));
    assert_eq!(bodies.len(), 20_000);
    let mut kinds = BTreeSet::new();
    for SimEvent { body, event_type, time, .. } in &bodies {
        let event = Event::read(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)));
        assert_eq!(event.event_type.as_str(), Some(*event_type));
        assert_eq!(event.time, Some(*time));
        assert_eq!(event.has_unknown, event.kind == Kind::Other, "{}", String::from_utf8_lossy(body));
        assert!(!body.contains(&b'\n'), "one event is one line of NDJSON");
        kinds.insert(event.kind);
    }
    let expected: BTreeSet<_> = Kind::all().chain([Kind::Other]).collect();
    assert_eq!(kinds, expected, "a day of this size shows every kind");
}

#[test]
fn ids_are_unique_and_sequences_have_no_gap() {
    let bodies = sent(day(6_000));
    let mut ids = HashSet::new();
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut reported: HashMap<String, u64> = HashMap::new();
    for sent in &bodies {
        let event = Event::read(&sent.body).unwrap();
        let source = event.source.as_str().unwrap().to_owned();
        assert!(ids.insert((source.clone(), event.id.clone().into_owned())), "id used twice");
        let last = last.entry(source.clone()).or_default();
        if event.kind == Kind::SourceHeartbeat {
            assert_eq!((event.sequence, event.room_uri.is_none()), (None, true));
            assert_eq!((event.data.sequence, event.data.count), (Some(*last), Some(*last)));
            reported.insert(source, *last);
        } else {
            assert_eq!(event.sequence, Some(*last + 1));
            *last += 1;
        }
    }
    assert_eq!(last.len(), 2);
    assert_eq!(reported, last, "each source's last word is its final count");
}

#[test]
fn one_source_numbers_its_messages_and_the_other_names_them() {
    let mut numbers: BTreeMap<String, i32> = BTreeMap::new();
    for sent in sent(day(4_000)).iter().filter(|sent| sent.event_type == "chat.message.posted") {
        let event = Event::read(&sent.body).unwrap();
        let id = event.data.message.unwrap().id.unwrap();
        let room = event.room_uri.unwrap().as_str().unwrap().to_owned();
        match event.source.as_str().unwrap() {
            "/channel-service/1" => {
                let number = id.as_int().unwrap();
                let before = numbers.insert(room, number).unwrap_or_default();
                assert!(number > before, "numbers grow within a room");
            }
            _ => assert!(id.as_int().is_none() && uuid::Uuid::parse_str(id.0.as_str().unwrap()).is_ok()),
        }
    }
    assert!(numbers.len() > 3);
}

#[test]
fn people_act_only_where_they_are() {
    let mut present: HashMap<String, HashSet<String>> = HashMap::new();
    let founding = [Kind::RoomCreated, Kind::SourceHeartbeat];
    for sent in &sent(day(8_000)) {
        let event = Event::read(&sent.body).unwrap();
        if founding.contains(&event.kind) {
            continue;
        }
        let room = present.entry(event.room_uri.unwrap().as_str().unwrap().to_owned()).or_default();
        let person = event.data.sender.unwrap().uri.unwrap().as_str().unwrap().to_owned();
        match event.kind {
            Kind::RoomJoined => assert!(room.insert(person), "joined twice"),
            Kind::RoomLeft => assert!(room.remove(&person), "left without having joined"),
            kind => assert!(room.contains(&person), "{kind:?} by somebody who is not there"),
        }
    }
    assert!(present.len() > 10);
}

#[test]
fn edits_and_deletions_tell_the_words_that_were_there() {
    let mut words: HashMap<(String, String), String> = HashMap::new();
    let mut checked = 0;
    for sent in &sent(day(8_000)) {
        let event = Event::read(&sent.body).unwrap();
        let Some(message) = event.data.message else { continue };
        let text = |text: Option<crate::model::Text<'_>>| text.map(|text| text.as_str().unwrap().to_owned());
        let key = (event.room_uri.unwrap().as_str().unwrap().to_owned(), text(message.id.map(|id| id.0)).unwrap());
        match event.kind {
            Kind::MessagePosted => {
                words.insert(key, text(message.text).unwrap());
            }
            Kind::MessageEdited => {
                assert_eq!(words.insert(key, text(message.text).unwrap()), text(message.previous_text));
                checked += 1;
            }
            Kind::MessageDeleted => {
                assert_eq!(words.remove(&key), text(message.previous_text));
                checked += 1;
            }
            _ => assert!(words.contains_key(&key), "a reaction to a message that is not there"),
        }
    }
    assert!(checked > 50);
}

#[test]
fn a_day_without_files_has_none_and_misses_no_number() {
    let mut numbers: HashMap<String, u64> = HashMap::new();
    for event in Simulation::new(SimSpec { files: false, ..SimSpec::default() }) {
        assert!(!event.event_type.starts_with("chat.file."), "{}", event.event_type);
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        let Some(sequence) = body["sequence"].as_str() else { continue };
        let last = numbers.entry(body["source"].to_string()).or_default();
        *last += 1;
        assert_eq!(sequence.parse(), Ok(*last));
    }
    assert_eq!(numbers.len(), 2);
}

#[test]
fn files_carry_the_bytes_that_their_digest_names() {
    let mut uploaded = HashSet::new();
    let (mut uploads, mut downloads) = (0, 0);
    for sent in &sent(day(8_000)) {
        let event = Event::read(&sent.body).unwrap();
        let Some(file) = event.data.file else { continue };
        let digest = file.sha256.unwrap().as_str().unwrap().to_owned();
        if event.kind.carries_file() {
            let bytes = STANDARD.decode(file.inline.unwrap().as_bytes()).unwrap();
            assert_eq!(file.size, Some(bytes.len() as u64));
            assert_eq!(digest, hex::encode(Sha256::digest(&bytes)));
        }
        match event.kind {
            Kind::FileUploaded => {
                uploaded.insert(digest);
                uploads += 1;
            }
            _ => {
                assert!(uploaded.contains(&digest));
                downloads += usize::from(event.kind == Kind::FileDownloaded);
            }
        }
    }
    assert!(uploads > 50 && downloads > 50, "{uploads} uploads, {downloads} downloads");
}

#[test]
fn the_day_stays_within_its_hours_and_near_the_expected_size() {
    let spec = day(10_000);
    let end = spec.start.plus(spec.duration);
    let events = sent(spec.clone());
    assert!(events.iter().all(|event| spec.start <= event.time && event.time <= end));
    assert!(events.is_sorted_by_key(|event| event.time));
    let mean = events.iter().map(|event| event.body.len()).sum::<usize>() / events.len();
    assert!((600..=800).contains(&mean), "events have {mean} bytes on average");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    assert_eq!(sent(day(2_000)), sent(day(2_000)));
    assert_ne!(sent(day(50)), sent(SimSpec { seed: 8, ..day(50) }));
}

#[test]
fn trouble_comes_on_top_of_the_day_and_says_what_it_is() {
    let quiet: Vec<_> = sent(day(5_000));
    let trouble = Trouble { duplicates: 0.05, poison: 0.02, late: 0.03 };
    let events = sent(SimSpec { trouble, ..day(5_000) });
    let of = |nature| events.iter().filter(|event| event.nature == nature).count();
    let day_part = of(SimNature::Ordinary) + of(SimNature::Late);
    assert_eq!(day_part, quiet.len());
    for (nature, low, high) in
        [(SimNature::Duplicate, 180, 320), (SimNature::Poison, 60, 140), (SimNature::Late, 90, 210)]
    {
        assert!((low..=high).contains(&of(nature)), "{} of {nature:?}", of(nature));
    }
    let mut seen = HashSet::new();
    let mut reasons = HashSet::new();
    for event in &events {
        match event.nature {
            SimNature::Poison => {
                reasons.insert(Event::read(&event.body).unwrap_err().reason);
                assert!(seen.insert(&event.body), "poison is never the same twice");
            }
            SimNature::Duplicate => assert!(seen.contains(&event.body)),
            _ => assert!(Event::read(&event.body).is_ok() && seen.insert(&event.body)),
        }
    }
    use UnreadableReason::{BadMember, Malformed, MissingMember, NotUtf8, UnknownVersion};
    assert_eq!(reasons, HashSet::from([NotUtf8, Malformed, MissingMember, BadMember, UnknownVersion]));
}

#[test]
fn the_talk_holds_what_breaks_careless_software() {
    let all: String = sent(day(20_000)).iter().map(|event| String::from_utf8_lossy(&event.body).into_owned()).collect();
    for needle in ["]]>", "&amp;lt;", "\\t", "\\r\\n", "\\u000b", "👩‍👩‍👧", "صباح", "約定", "𝛥", "\u{2028}", "\\\"BUY\\\""]
    {
        assert!(all.contains(needle), "{needle} never comes");
    }
}

#[test]
fn small_and_odd_specs_work_too() {
    for (people, rooms, events, sources) in [(0, 0, 0, 0), (2, 1, 1, 1), (3, 2, 5, 3), (500, 120, 3_000, 1)] {
        let sources = (0..sources).map(|n| format!("/bridge/{n}")).collect();
        let events_sent = sent(SimSpec { people, rooms, events, sources, ..SimSpec::default() });
        assert_eq!(events_sent.len() as u64, events);
        assert!(events_sent.iter().all(|event| Event::read(&event.body).is_ok()));
    }
    assert_eq!(SimSpec::events_at(Duration::from_secs(60), 12.5), 750);
}
