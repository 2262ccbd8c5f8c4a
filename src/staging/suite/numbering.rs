//! The numbers that staging gives to rooms, persons and messages.

use std::collections::BTreeSet;

use super::kit::{ALL, Fixture, event};
use crate::staging::{Arrivals, NewEvent};

fn message(id: &str, room: &str, message: &str) -> NewEvent {
    NewEvent { room_uri: Some(room.into()), message_id: Some(message.into()), ..event("s", id) }
}

pub(super) async fn rooms_and_persons_are_numbered_in_order_of_arrival(f: &Fixture) {
    let said = |id: &str, room: &str, person: Option<&str>| NewEvent {
        room_uri: Some(room.into()),
        person_key: person.map(str::to_owned),
        ..event("s", id)
    };
    let first = vec![said("1", "z", Some("zoe")), said("2", "a", Some("abe")), said("3", "z", None)];
    f.stage(first).await;
    f.stage(vec![said("4", "m", Some("mia")), said("5", "a", Some("zoe"))]).await;
    let kept = f.events(ALL).await;
    let mut numbers: Vec<_> = kept.iter().map(|event| (event.id.as_str(), event.room, event.person_no)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [("1", 1, Some(1)), ("2", 2, Some(2)), ("3", 1, None), ("4", 3, Some(3)), ("5", 2, Some(1))]);
}

pub(super) async fn messages_are_numbered_per_room_and_alike_for_every_adapter(f: &Fixture) {
    f.stage(vec![message("1", "r", "x"), message("2", "q", "x"), message("3", "r", "w"), message("4", "r", "x")]).await;
    assert!(f.events(ALL).await.iter().all(|event| event.message_no.is_none()), "numbered when cut");
    let first = f.cut("a", 1).await;
    f.stage(vec![message("5", "r", "v"), message("6", "r", "w"), event("s", "7")]).await;
    let second = f.cut("b", 1).await;
    let third = f.cut("a", 2).await;
    let numbers = async |range| {
        let mut numbers: Vec<_> = f.events(range).await.into_iter().map(|event| (event.id, event.message_no)).collect();
        numbers.sort_unstable();
        numbers
    };
    let expected = [("1", Some(1)), ("2", Some(1)), ("3", Some(2)), ("4", Some(1))]
        .into_iter()
        .chain([("5", Some(3)), ("6", Some(2)), ("7", None)])
        .map(|(id, number)| (id.to_owned(), number))
        .collect::<Vec<_>>();
    assert_eq!(numbers(first.range).await, expected[..4]);
    assert_eq!(numbers(third.range).await, expected[4..]);
    assert_eq!(numbers(second.range).await, expected);
}

pub(super) async fn numbers_stay_without_gaps_when_writers_race(f: &Fixture) {
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            // Each writer is a process of its own: it shares no memory of numbers with the others.
            let config = f.config.clone();
            tokio::spawn(async move {
                let staging = crate::staging::open(&config).await.unwrap();
                for call in 0..10 {
                    let person = |n: usize| Some(format!("person {}", (call * 3 + n) % 20));
                    let said = |n: usize| NewEvent {
                        person_key: person(n),
                        room_uri: Some(format!("room {}", (call + n) % 7)),
                        ..event(&format!("source {writer}"), &format!("{call} {n}"))
                    };
                    let batch = Arrivals { events: (0..10).map(said).collect(), quarantined: Vec::new() };
                    staging.stage(&batch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let kept = f.events(ALL).await;
    assert_eq!(kept.len(), 400);
    let persons: BTreeSet<_> = kept.iter().filter_map(|event| event.person_no).collect();
    let rooms: BTreeSet<_> = kept.iter().map(|event| event.room).collect();
    assert_eq!(persons, (1..=20).collect());
    assert_eq!(rooms, (1..=7).collect());
}
