//! However arrivals are split into calls and cuts, the union of the batches is the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::kit::{Fixture, event, with_raw};
use crate::staging::NewEvent;

/// What happens, in order.
#[derive(Debug, Clone)]
enum Move {
    /// An event with this id and content arrives.
    Arrive { id: u8, content: u8 },
    /// The call ends here.
    Commit,
    /// The call ends here and an adapter cuts.
    Cut,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0..12_u8, 0..2_u8).prop_map(|(id, content)| Move::Arrive { id, content }),
        1 => Just(Move::Commit),
        1 => Just(Move::Cut),
    ];
    proptest::collection::vec(one, 1..60)
}

fn arrival(source: &str, id: u8, content: u8) -> NewEvent {
    with_raw(event(source, &id.to_string()), format!("{{\"content\":{content}}}").as_bytes())
}

pub(super) async fn any_split_gives_the_same_union(f: &Fixture) {
    let mut runner = TestRunner::default();
    for case in 0..8 {
        let moves = moves().new_tree(&mut runner).unwrap().current();
        let (source, adapter) = (format!("s{case}"), format!("a{case}"));
        let mut call = Vec::new();
        let mut expected: BTreeMap<(String, Vec<u8>), usize> = BTreeMap::new();
        let mut batches = Vec::new();
        for step in moves.iter().chain([&Move::Cut]) {
            if let Move::Arrive { id, content } = step {
                let event = arrival(&source, *id, *content);
                expected.insert((event.id.clone(), event.raw.clone()), 1);
                call.push(event);
                continue;
            }
            f.stage(std::mem::take(&mut call)).await;
            if matches!(step, Move::Cut) {
                batches.push(f.cut(&adapter, 1 + i64::try_from(batches.len()).unwrap()).await);
            }
        }
        let mut found: BTreeMap<(String, Vec<u8>), usize> = BTreeMap::new();
        for batch in &batches {
            for event in f.events(batch.range).await.into_iter().filter(|event| *event.source == *source) {
                *found.entry((event.id, event.raw)).or_default() += 1;
            }
        }
        assert_eq!(found, expected, "{moves:?}");
    }
}
