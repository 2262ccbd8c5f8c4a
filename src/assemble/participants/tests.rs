//! The participants table, told as short scripts: `seconds act person [lease]`.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use proptest::prelude::*;

use super::*;

const TEN_O_CLOCK: &str = "2026-11-22T10:00:00Z";

fn at(seconds: i64) -> Ticks {
    Ticks::parse(TEN_O_CLOCK).unwrap().plus_ticks(seconds * 10_000_000)
}

fn seconds(at: Option<Ticks>) -> String {
    let start = Ticks::parse(TEN_O_CLOCK).unwrap();
    at.map_or("-".into(), |at| ((at.ticks() - start.ticks()) / 10_000_000).to_string())
}

/// `join`, `part`, `chat`, `renew` by the person; `add`, `remove`, `rename` of the person by `admin`.
fn event_json(act: &str, person: &str, lease: Option<&str>) -> String {
    let (event_type, by_admin) = match act {
        "join" => ("chat.room.joined", false),
        "part" => ("chat.room.left", false),
        "chat" => ("chat.message.posted", false),
        "renew" => ("chat.presence.renewed", false),
        "add" => ("chat.member.added", true),
        "remove" => ("chat.member.removed", true),
        "rename" => ("chat.member.renamed", true),
        other => panic!("unknown act {other}"),
    };
    let someone = format!(r#"{{"uri":"{person}","name":"{person} {act}"}}"#);
    let who = if by_admin {
        format!(r#""sender":{{"uri":"admin"}},"member":{someone}"#)
    } else {
        format!(r#""sender":{someone},"message":{{"text":"x"}}"#)
    };
    let lease = lease.map(|lease| format!(r#","lease_seconds":{lease}"#)).unwrap_or_default();
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"{event_type}","subject":"r","data":{{{who}{lease}}}}}"#
    )
}

fn play(fold: &mut Fold, script: &str) {
    for step in script.split(';').map(str::trim).filter(|step| !step.is_empty()) {
        let words: Vec<_> = step.split_whitespace().collect();
        let json = event_json(words[1], words[2], words.get(3).copied());
        fold.event(at(words[0].parse().unwrap()), &Event::read(json.as_bytes()).unwrap());
    }
}

fn shown(participants: &[Participant]) -> Vec<String> {
    let mark = |there| if there { "in" } else { "out" };
    participants
        .iter()
        .map(|one| {
            format!(
                "{} {}>{} joined={} left={} {}",
                one.uri.as_str().unwrap(),
                mark(one.present_at_start),
                mark(one.present_at_end),
                seconds(one.joined),
                seconds(one.left),
                one.inferred.words()
            )
            .trim_end()
            .to_owned()
        })
        .collect()
}

/// Plays one interval of 15 minutes per script, the first beginning at second 0; a script that begins
/// with `~` is a silent one. Returns the participants of the last.
fn after(scripts: &[&str]) -> Vec<String> {
    let mut presence = Presence::default();
    let mut participants = Vec::new();
    for (number, script) in scripts.iter().enumerate() {
        let start = i64::try_from(number).unwrap() * 900;
        let mut fold = Fold::open(presence, at(start), Span::from_secs(1200));
        let (silent, script) = script.strip_prefix('~').map_or((false, *script), |script| (true, script));
        play(&mut fold, script);
        let reporting = if silent { Reporting::Silent } else { Reporting::Written };
        let (told, left_behind) = fold.close(at(start + 900), reporting);
        participants = told;
        presence = Presence::from_bytes(&left_behind.to_bytes()).unwrap();
        assert_eq!(presence, left_behind, "what is stored reads back as it was");
    }
    shown(&participants)
}

#[test]
fn the_rules_within_one_interval() {
    let cases: &[(&str, &[&str])] = &[
        ("10 join ann", &["ann out>in joined=10 left=-"]),
        ("10 join ann; 20 part ann", &["ann out>out joined=10 left=20"]),
        ("10 join ann; 20 part ann; 30 join ann", &["ann out>in joined=10 left=-"]),
        ("10 join ann; 20 part ann; 30 join ann; 40 part ann", &["ann out>out joined=10 left=40"]),
        ("10 add ann", &["ann out>in joined=10 left=-"]),
        ("10 add ann; 20 remove ann", &["ann out>out joined=10 left=20"]),
        ("10 chat ann", &["ann in>in joined=- left=- author"]),
        ("10 chat ann; 20 part ann", &["ann in>out joined=- left=20 author"]),
        ("20 part ann", &["ann in>out joined=- left=20 author"]),
        ("20 part ann; 30 chat ann", &["ann in>in joined=- left=- author"]),
        ("10 join ann; 20 part ann; 30 chat ann", &["ann out>in joined=10 left=- author"]),
        ("10 chat ann; 20 join ann", &["ann in>in joined=- left=- author"]),
        ("10 rename ann", &["admin in>in joined=- left=- author"]),
        ("10 join zoe; 20 join ann", &["ann out>in joined=20 left=-", "zoe out>in joined=10 left=-"]),
    ];
    for (script, expected) in cases {
        assert_eq!(after(&[script]), *expected, "{script}");
    }
}

#[test]
fn leases_within_one_interval() {
    let cases: &[(&str, &[&str])] = &[
        ("10 join ann 60", &["ann out>out joined=10 left=70 lease"]),
        ("10 join ann 60; 50 renew ann 60", &["ann out>out joined=10 left=110 lease"]),
        ("10 join ann 60; 50 renew ann", &["ann out>in joined=10 left=-"]),
        ("10 join ann 60; 50 chat ann", &["ann out>out joined=10 left=110 lease"]),
        ("10 join ann 60; 800 chat ann 60", &["ann out>out joined=10 left=860 author lease"]),
        ("10 join ann 60; 800 renew ann", &["ann out>in joined=10 left=- author lease"]),
        ("10 join ann 60; 60 part ann", &["ann out>out joined=10 left=60"]),
        ("10 join ann 60; 300 part ann", &["ann out>out joined=10 left=300 lease"]),
        ("10 join ann 60; 300 join ann", &["ann out>in joined=10 left=- lease"]),
        ("10 renew ann 60", &["ann in>out joined=- left=70 author lease"]),
        // A late renewal never shortens a lease, and a late act does not end one.
        ("500 join ann 600; 10 renew ann 60", &["ann out>in joined=500 left=-"]),
        ("840 join ann 60", &["ann out>out joined=840 left=900 lease"]),
        ("841 join ann 60", &["ann out>in joined=841 left=-"]),
        // Without a lease nobody is closed out.
        ("1 join ann; 899 chat bob", &["ann out>in joined=1 left=-", "bob in>in joined=- left=- author"]),
    ];
    for (script, expected) in cases {
        assert_eq!(after(&[script]), *expected, "{script}");
    }
}

#[test]
fn what_one_interval_leaves_to_the_next() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["10 join ann", "910 chat bob"], &["ann in>in joined=- left=-", "bob in>in joined=- left=- author"]),
        (&["10 join ann", "910 part ann"], &["ann in>out joined=- left=910"]),
        (&["10 join ann; 20 part ann", "910 join bob"], &["bob out>in joined=910 left=-"]),
        (&["10 join ann", "910 part ann; 920 join ann"], &["ann in>in joined=- left=-"]),
        // The lease runs out in the second interval.
        (
            &["10 join ann 1000", "910 join bob"],
            &["ann in>out joined=- left=1010 lease", "bob out>in joined=910 left=-"],
        ),
        // It ran out in the second interval, when the room was not looked at or had only signals.
        (
            &["10 join ann 1000", "~", "1810 join bob"],
            &["ann out>out joined=- left=1010 lease", "bob out>in joined=1810 left=-"],
        ),
        // Whoever comes back is bound by the lease again: until 2810, beyond this interval.
        (&["10 join ann 1000", "~", "1810 chat ann"], &["ann out>in joined=1810 left=- author lease"]),
        // Reported once, then forgotten.
        (&["10 join ann 60", "910 join bob"], &["bob out>in joined=910 left=-"]),
        (&["10 join ann 1000", "~", "1810 join bob", "2710 chat bob"], &["bob in>in joined=- left=-"]),
        // Back before anybody looked: there at the start, and the gap is not hushed up.
        (
            &["10 join ann 1000", "~1501 renew ann", "1810 join bob"],
            &["ann in>in joined=- left=- author lease", "bob out>in joined=1810 left=-"],
        ),
    ];
    for (scripts, expected) in cases {
        assert_eq!(after(scripts), *expected, "{scripts:?}");
    }
}

#[test]
fn the_last_name_heard_stands() {
    let mut fold = Fold::open(Presence::default(), at(0), Span::from_secs(1200));
    play(&mut fold, "10 join ann; 20 rename ann; 30 rename bob");
    let (participants, _) = fold.close(at(900), Reporting::Written);
    let names: Vec<_> = participants.iter().map(|one| one.name.as_ref().and_then(Text::as_str)).collect();
    assert_eq!(names, [None, Some("ann rename")], "admin has no name, and bob is nobody here");
}

#[test]
fn the_same_people_make_the_same_bytes() {
    let bytes = |script: &str| {
        let mut fold = Fold::open(Presence::default(), at(0), Span::from_secs(1200));
        play(&mut fold, script);
        fold.close(at(900), Reporting::Written).1.to_bytes()
    };
    let one = bytes("10 join ann; 10 join bob; 10 join cid 5000");
    assert_eq!(one, bytes("10 join cid 5000; 10 join bob; 10 join ann"));
    assert!(one.starts_with(br#"{"version":1,"members":[{"uri":"ann","name":"ann join","since":"#));
}

#[test]
fn half_a_surrogate_pair_survives_in_presence() {
    let json = event_json("join", r"a\ud800", None);
    let mut fold = Fold::open(Presence::default(), at(0), Span::from_secs(1200));
    fold.event(at(1), &Event::read(json.as_bytes()).unwrap());
    let (_, presence) = fold.close(at(900), Reporting::Written);
    let read = Presence::from_bytes(&presence.to_bytes()).unwrap();
    let fold = Fold::open(read, at(900), Span::from_secs(1200));
    let (participants, _) = fold.close(at(1800), Reporting::Written);
    assert_eq!(participants[0].uri.as_bytes(), b"a\xED\xA0\x80");
}

#[test]
fn foreign_bytes_are_refused() {
    assert!(matches!(Presence::from_bytes(b""), Err(BadPresence::Malformed(_))));
    assert!(matches!(Presence::from_bytes(br#"{"version":2,"people":7}"#), Err(BadPresence::Version { found: 2 })));
    assert!(matches!(Presence::from_bytes(br#"{"version":1,"members":[{}]}"#), Err(BadPresence::Malformed(_))));
}

#[test]
fn ten_thousand_participants() {
    let mut presence = Presence::default();
    for interval in 0..3 {
        let mut fold = Fold::open(presence, at(interval * 900), Span::from_secs(1200));
        for person in 0..10_000 {
            let act = if interval == 0 { "join" } else { "chat" };
            let json = event_json(act, &format!("sip:person.{person:05}@example.com"), None);
            fold.event(at(interval * 900 + 1), &Event::read(json.as_bytes()).unwrap());
        }
        let (participants, left_behind) = fold.close(at(interval * 900 + 900), Reporting::Written);
        assert_eq!(participants.len(), 10_000);
        assert!(participants.iter().all(|one| one.present_at_end && one.present_at_start == (interval != 0)));
        assert!(participants.is_sorted_by(|a, b| a.uri < b.uri));
        presence = Presence::from_bytes(&left_behind.to_bytes()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_order_and_any_times_make_sense(
        steps in proptest::collection::vec((0_i64..4000, 0_usize..7, 0_usize..4, proptest::option::of(0_u64..2000)), 0..40),
        cuts in proptest::collection::vec((any::<bool>(), 0_i64..3000), 1..4),
    ) {
        let mut presence = Presence::default();
        let mut start = 0;
        for (silent, length) in cuts {
            let mut fold = Fold::open(presence, at(start), Span::from_secs(1200));
            for (time, act, person, lease) in &steps {
                let act = ["join", "part", "chat", "renew", "add", "remove", "rename"][*act];
                let person = ["ann", "bob", "cid", "admin"][*person];
                let lease = lease.map(|lease| lease.to_string());
                let json = event_json(act, person, lease.as_deref());
                fold.event(at(*time), &Event::read(json.as_bytes()).unwrap());
            }
            let reporting = if silent { Reporting::Silent } else { Reporting::Written };
            start += length;
            let (participants, left_behind) = fold.close(at(start), reporting);
            prop_assert!(!silent || participants.is_empty());
            for one in &participants {
                prop_assert_eq!(one.left.is_none(), one.present_at_end);
                prop_assert!(!(one.present_at_start && one.joined.is_some()));
                prop_assert!(one.present_at_start || one.joined.is_some() || one.inferred.lease);
            }
            presence = Presence::from_bytes(&left_behind.to_bytes()).unwrap();
            prop_assert_eq!(&presence, &left_behind);
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Presence::from_bytes(&bytes).is_err());
    }
}
