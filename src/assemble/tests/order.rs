//! Determinism, the cutting into batches, and what is refused.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::*;
use super::sample::*;
use crate::config::Dialect;
use crate::staging::{SeqRange, StagedEvent};

/// Every `Message` element without its lateness, sorted.
fn messages(rendered: &[RenderedConversation]) -> Vec<String> {
    let mut found = Vec::new();
    for xml in rendered.iter().filter_map(xml) {
        let text = std::str::from_utf8(&xml).unwrap();
        let body = text.split_once("<Messages>").unwrap().1.split_once("</Messages>").unwrap().0;
        found.extend(body.split_inclusive("</Message>").map(|message| message.replace(" c:late=\"true\"", "")));
    }
    found.sort();
    found
}

#[test]
fn the_same_events_give_the_same_bytes() {
    for dialect in [Dialect::Full, Dialect::Lync2013, Dialect::Ocs2007r2] {
        let once = assemble_all(&batch(dialect), &staged(EVERY_KIND));
        let again = assemble_all(&batch(dialect), &staged(EVERY_KIND));
        let all = |rendered: &[RenderedConversation]| {
            rendered.iter().map(|one| (one.room, xml(one), one.presence_after.clone(), one.counts)).collect::<Vec<_>>()
        };
        assert_eq!(all(&once), all(&again));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn however_the_events_are_cut_every_message_is_written_once(
        order in Just((0..30_usize).collect::<Vec<_>>()).prop_shuffle(),
        first in 0_i64..=30,
        second in 0_i64..=30,
    ) {
        let lines: Vec<_> = EVERY_KIND.lines().collect();
        let arrived: Vec<_> = order.iter().map(|&line| lines[line]).collect();
        // The numbers that staging gives depend on arrival, not on the cut: both sides share them.
        let events = staged(&arrived.join("\n"));
        let whole = messages(&assemble_all(&batch(Dialect::Full), &events));
        let (first, second) = (first.min(second), first.max(second));
        let mut presence = HashMap::new();
        let mut parts = Vec::new();
        for (number, range) in [(0, first), (first, second), (second, 30)].into_iter().enumerate() {
            let start = batch(Dialect::Full).interval_end.plus_ticks(i64::try_from(number).unwrap() * 600_000_000);
            let context = BatchContext {
                batch: 7 + i64::try_from(number).unwrap(),
                interval_start: start,
                interval_end: start.plus_ticks(600_000_000),
                late_before: Some(start),
                ..batch(Dialect::Full)
            };
            let range = SeqRange { from: range.0, to: range.1 };
            parts.extend(assemble(&context, &events, range, &mut presence));
        }
        prop_assert_eq!(whole, messages(&parts));
    }
}

fn refused(events: &[StagedEvent]) -> AssembleError {
    let mut assembler = pass(batch(Dialect::Full));
    for event in events {
        let begun = if assembler.begins_room(event) { assembler.begin_room(event, None).map(|_| ()) } else { Ok(()) };
        if let Err(error) = begun.and_then(|()| assembler.push(event, &NoCaptures)) {
            return error;
        }
    }
    panic!("nothing was refused");
}

#[test]
fn another_order_is_refused() {
    let mut events = staged(EVERY_KIND);
    let desk = in_stream_order(&events, SeqRange { from: 0, to: 3 });
    let backwards: Vec<_> = desk.iter().rev().cloned().collect();
    assert!(matches!(refused(&backwards), AssembleError::OutOfOrder { seq: 2 }));
    let twice = [desk[0].clone(), desk[0].clone()];
    assert!(matches!(refused(&twice), AssembleError::OutOfOrder { seq: 1 }));
    let rooms = [events.remove(26), events.remove(0)];
    assert!(matches!(refused(&rooms), AssembleError::OutOfOrder { seq: 1 }));
    let mut unbegun = pass(batch(Dialect::Full));
    assert!(matches!(unbegun.push(&events[0], &NoCaptures), Err(AssembleError::OutOfOrder { .. })));
}

#[test]
fn a_damaged_event_is_named() {
    let mut events = staged(EVERY_KIND);
    events[1].raw.truncate(40);
    let error = refused(&events[..2]);
    assert!(error.to_string().starts_with("staged event 2 is damaged: malformed-json"), "{error}");
}

#[test]
fn damaged_presence_is_named() {
    let events = staged(EVERY_KIND);
    let error = pass(batch(Dialect::Full)).begin_room(&events[0], Some(b"{".to_vec())).unwrap_err();
    assert!(matches!(error, AssembleError::Presence { room: 1, .. }), "{error}");
}

#[test]
fn presence_that_did_not_change_is_not_stored_again() {
    let events = staged(&posted("1", "2026-11-22T10:00:00Z", r#"{"text":"x"}"#));
    let first = assemble_all(&batch(Dialect::Full), &events);
    let left = first[0].presence_after.clone().unwrap();
    let mut presence = HashMap::from([(1, left)]);
    let again = assemble(&batch(Dialect::Full), &events, SeqRange { from: 0, to: 1 }, &mut presence);
    assert_eq!(again[0].presence_after, None);
}

#[test]
fn nothing_makes_nothing() {
    assert_eq!(pass(batch(Dialect::Full)).finish().map(|_| ()), None);
    let empty = document(Dialect::Lync2013, &[]);
    assert!(empty.ends_with(b"XMLSchema\"></Conversations>\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn parts_hold_every_message_once_and_no_more_than_allowed(
        lengths in proptest::collection::vec(0_usize..3000, 1..40),
        limit in 2_000_u64..20_000,
        dialect in prop_oneof![Just(Dialect::Full), Just(Dialect::Lync2013)],
    ) {
        let lines: Vec<String> = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| {
                let text = "x".repeat(*length);
                posted(&format!("m{number}"), &format!("2026-11-22T10:00:{number:02}Z"), &format!(r#"{{"text":"{text}"}}"#))
            })
            .collect();
        let rendered = assemble_all(&batch(dialect), &staged(&lines.join("\n")));
        let text = rendered[0].text.as_ref().unwrap();
        let parts = text.parts(limit);
        let mut next = 0;
        for (number, part) in (1..).zip(&parts) {
            prop_assert_eq!((part.number, part.of as usize), (number, parts.len()));
            prop_assert_eq!(part.messages.start, next);
            prop_assert!(!part.messages.is_empty());
            next = part.messages.end;
            let mut xml = Vec::new();
            text.write(part, &mut xml).unwrap();
            prop_assert!(xml.len() as u64 <= text.bytes(part), "never more than was told");
            prop_assert!(text.bytes(part) <= limit || part.messages.len() == 1);
            let xml = String::from_utf8(xml).unwrap();
            prop_assert_eq!(xml.matches("<Message ").count(), part.messages.len());
            prop_assert_eq!(xml.matches("<FirstMessage ").count(), 1);
        }
        prop_assert_eq!(next, lengths.len());
        // One part less would not do: no two neighbours fit together.
        for pair in parts.windows(2) {
            let together = crate::assemble::ConversationPart { number: 1, of: 1, messages: pair[0].messages.start..pair[1].messages.start + 1 };
            prop_assert!(text.bytes(&together) > limit);
        }
    }
}
