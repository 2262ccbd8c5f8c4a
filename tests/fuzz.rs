//! Replays the fuzzers' corpora, and measures that reading takes time in proportion to what is read.
//!
//! `UPDATE=1 cargo test --test fuzz` writes the seeds anew: one per kind of poison, and some texts.
//! `CHANCERY_TEST_LARGEST_BODY=60000000` measures with bodies of that size.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test should panic")]
#![allow(dead_code, unreachable_pub, reason = "what is included here is used elsewhere too")]

#[path = "it/poison/kinds.rs"]
mod kinds;
#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chancery::intake::decode::MessageHead;
use kinds::{Fate, Kind, Scale};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpora")
}

fn replay(target: &str, check: fn(&[u8]), least: usize) {
    let mut count = 0;
    for entry in fs::read_dir(corpora().join(target)).unwrap() {
        let path = entry.unwrap().path();
        // A failure names the input; the reason is printed before it.
        let held = std::panic::catch_unwind(|| check(&fs::read(&path).unwrap()));
        assert!(held.is_ok(), "{} does not hold", path.display());
        count += 1;
    }
    assert!(count >= least, "{count} inputs for {target}");
}

#[test]
fn the_decoders_corpus_holds() {
    replay("decoder", properties::decoder::check, 100);
}

#[test]
fn the_texts_corpus_holds() {
    replay("text", properties::text::check, 5);
}

#[test]
fn the_xml_writers_corpus_holds() {
    replay("xml_writer", properties::xml_writer::check, 8);
}

/// The inputs of the decoder's corpus that stand for the kinds of poison, by file name.
fn poison() -> BTreeMap<String, (Kind, Vec<u8>)> {
    let named = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
    };
    kinds::kinds(Scale::Small)
        .into_iter()
        // What stands in the properties alone never reaches the decoder.
        .filter(|kind| kind.properties.is_none())
        .enumerate()
        .map(|(number, kind)| {
            let head = MessageHead {
                content_type: kind.content_type.clone(),
                headers: kind.headers.clone(),
                unreadable: None,
            };
            let input = [serde_json::to_vec(&head).unwrap(), b"\n".to_vec(), kind.body.clone()].concat();
            (format!("poison-{number:03}-{}", named(&kind.name)), (kind, input))
        })
        .collect()
}

fn texts() -> BTreeMap<&'static str, Vec<u8>> {
    let utf16 = |text: &[u16]| text.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>();
    BTreeMap::from([
        ("plain", b"hello".to_vec()),
        ("markup", b"]]> <tag attr=\"x\" other='y'> &amp; & \r\n\t".to_vec()),
        ("controls", (0..=0x20).chain([0x7F, 0xC2, 0x85]).collect()),
        ("astral", "\u{1F600}\u{10FFFF}\u{FFFD}\u{FEFF}\u{2028}".into()),
        ("noncharacters", "\u{FFFE}\u{FFFF}\u{1FFFE}".into()),
        ("lone surrogates", utf16(&[0x41, 0xD800, 0x42, 0xDC00, 0xD83D, 0xDE00, 0xDBFF])),
        ("invalid", b"a\xFF\xC3\x28\xED\xA0\x80\xED\xA0".to_vec()),
        ("empty", vec![]),
    ])
}

#[test]
fn the_corpora_hold_a_seed_of_every_kind() {
    let mut seeds: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for (name, (_, input)) in poison() {
        seeds.insert(corpora().join("decoder").join(name), input);
    }
    for (name, text) in texts() {
        let name = name.replace(' ', "-");
        seeds.insert(corpora().join("text").join(&name), text.clone());
        for kind in 0..8_u8 {
            let input = [&[kind][..], &[&text[..]; 7].join(&b'\n')].concat();
            seeds.insert(corpora().join("xml_writer").join(format!("{name}-{kind}")), input);
        }
    }
    for (path, input) in seeds {
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &input).unwrap();
        }
        let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; UPDATE=1 writes it", path.display()));
        assert!(found == input, "{} is out of date; UPDATE=1 writes it anew", path.display());
    }
}

#[test]
fn every_kind_of_poison_decodes_to_its_fate() {
    for (kind, input) in poison().into_values() {
        let (head, body) = properties::decoder::parts(&input);
        let batch = properties::decoder::decode(head, body);
        let reasons: Vec<_> = batch.quarantined.iter().map(|item| item.reason.as_str()).collect();
        match kind.fate {
            Fate::Quarantined(reason) => {
                assert_eq!((batch.events.len(), &reasons[..]), (0, &[reason][..]), "{}", kind.name)
            }
            Fate::Raw | Fate::Text(_) => assert_eq!((batch.events.len(), &reasons[..]), (1, &[][..]), "{}", kind.name),
            Fate::Parts { archived, quarantined } => {
                let expected: Vec<_> = quarantined.iter().map(|(reason, _)| *reason).collect();
                assert_eq!((batch.events.len(), reasons), (archived, expected), "{}", kind.name);
            }
        }
    }
}

/// Seconds of processor time this thread has had: other work on the machine does not count.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// A name, what makes a body of so many bytes, and how that is sent.
type Shape = (&'static str, fn(usize) -> String, &'static str);

#[test]
fn decoding_takes_time_in_proportion_to_the_body() {
    let event = |text: &str| {
        let head = r#"{"specversion":"1.0","id":"1","source":"/web/1","type":"chat.message.posted","subject":"r","data":{"sender":{"id":1},"#;
        format!(r#"{head}{text}"#).into_bytes()
    };
    let shapes: [Shape; 6] = [
        ("[[[[", |size| "[".repeat(size), "structured"),
        ("[[[[", |size| "[".repeat(size), "batch"),
        ("{\"a\":{\"a\":", |size| "{\"a\":".repeat(size / 5), "structured"),
        (
            "\\u0000 in the text",
            |size| format!(r#""message":{{"text":"{}"}}}}}}"#, "\\u0000".repeat(size / 6)),
            "event",
        ),
        (
            "deep in an unknown member",
            |size| format!(r#""x":{}{},"message":{{"text":"a"}}}}}}"#, "[".repeat(size / 2), "]".repeat(size / 2)),
            "event",
        ),
        (
            "members without number",
            |size| format!(r#"{}"message":{{"text":"a"}}}}}}"#, "\"k\":1,".repeat(size / 6)),
            "event",
        ),
    ];
    let largest = std::env::var("CHANCERY_TEST_LARGEST_BODY").map_or(3_000_000, |size| size.parse().unwrap());
    let sizes = [largest / 10, largest];
    for (name, made, form) in shapes {
        let content_type =
            if form == "batch" { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
        let mut per_byte = Vec::new();
        for size in sizes {
            let body = if form == "event" { event(&made(size)) } else { made(size).into_bytes() };
            let head = MessageHead { content_type: Some(content_type.into()), ..MessageHead::default() };
            let begun = processor_time();
            let batch = properties::decoder::decode(Some(head), &body);
            let took = processor_time() - begun;
            assert_eq!(batch.events.len(), usize::from(form == "event"), "{name}");
            println!("{name} ({form}), {:.1} MB: {:.1} ms", size as f64 / 1e6, took * 1000.0);
            per_byte.push(took / body.len() as f64);
        }
        // Quadratic work would make a byte ten times dearer.
        assert!(per_byte[1] < per_byte[0].max(2e-9) * 4.0, "{name}: {per_byte:?} seconds per byte");
    }
}
