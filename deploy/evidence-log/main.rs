//! Writes an evidence directory of any size through the product's own writing code, and outputs that its manifests name.
//! `deploy/evidence-run` measures `prove` and `verify` on it. The events are made up; nothing of them is content.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chancery::evidence::entry::{KeyBody, Link, digest};
use chancery::evidence::key::SigningKey;
use chancery::evidence::list::{Became, Gathering, Listed};
use chancery::evidence::manifest::{
    BecameCounts, Events, FileCounts, Interval, ManifestBody, Output, Range, SourceCount, TypeCount, Written,
};
use chancery::evidence::record::{Record, RecordError, Signer};
use chancery::evidence::{Draft, EntryKind};
use chancery::model::{Kind, Ticks};
use chancery::support::durable::WithPath as _;
use clap::Parser;

/// Entries from one head to the next.
const ENTRIES_PER_HEAD: u64 = 100;
/// Bytes of a list handed over at once.
const PIECE: u64 = 1 << 20;

/// Write an evidence directory, and outputs beside it
#[derive(Parser)]
struct Args {
    /// Where: `evidence/` and `outputs/` are made there
    dir: PathBuf,
    /// Manifests
    #[arg(long)]
    batches: u64,
    /// Events of each
    #[arg(long)]
    events: u64,
    /// Bytes of the one output of each
    #[arg(long)]
    output_bytes: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (evidence, outputs) = (args.dir.join("evidence"), args.dir.join("outputs"));
    fs::create_dir_all(&outputs)?;
    let key = SigningKey::generate()?;
    let mut record = Record::open(&evidence, 0)?;
    let mut at = Ticks::parse("2026-11-22T00:00:00Z")?;
    record.signers(&[Signer { key: key.public(), from: at }])?;
    let bytes = KeyBody::first(&key.public()).draft()?.1.complete(0, at, None);
    record.entry(0, &bytes, Some(&key))?;
    let (mut digests, mut previous) = (vec![digest(&bytes)], None);
    for batch in 0..args.batches {
        let entry = batch + 1;
        at = at.plus_ticks(10_000_000);
        let bytes = one_batch(&args, &outputs, &record, batch, at, previous)?;
        record.entry(entry, &bytes, Some(&key))?;
        previous = Some(Link { entry, sha256: digest(&bytes) });
        digests.push(digest(&bytes));
        if entry % ENTRIES_PER_HEAD == 0 || entry == args.batches {
            record.listed(&std::mem::take(&mut digests))?;
            record.head(&at.iso(), &key)?;
        }
    }
    Ok(())
}

/// Writes a batch's output and event list; gives its manifest.
fn one_batch(
    args: &Args,
    outputs: &std::path::Path,
    record: &Record,
    batch: u64,
    at: Ticks,
    previous: Option<Link>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let source: Arc<str> = "/bench/1".into();
    let (first, count) = (batch * args.events, args.events);
    let mut gathering = Gathering::new(&args.dir);
    for number in first..first + count {
        let id = format!("event-{number}");
        gathering.add(&Listed {
            source: &source,
            id: &id,
            content: digest(id.as_bytes()),
            kind: Kind::MessagePosted,
            sequence: Some(number + 1),
            room: Some(1),
            became: Became::Written,
        })?;
    }
    let list = gathering.finish(&args.dir, &HashSet::new())?;
    record.list::<RecordError>(batch + 1, (list.size(), &list.sha256), |piece| {
        let bytes = list.piece(u64::from(piece) * PIECE, PIECE).at("read", &args.dir)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    })?;
    let name = format!("bench-{batch:09}.xml");
    let output: Vec<u8> = name.bytes().cycle().take(args.output_bytes).collect();
    fs::write(outputs.join(&name), &output)?;
    let output =
        Output { name, kind: "output".into(), size: output.len() as u64, sha256: digest(&output), messages: count };
    let body = ManifestBody {
        software: "a benchmark".into(),
        adapter: "bench".into(),
        batch: i64::try_from(batch + 1)?,
        supplement_to: None,
        interval: Interval { start: at.iso(), end: at.plus_ticks(10_000_000).iso() },
        cut_at: at.iso(),
        range: Range { after: i64::try_from(first)?, last: i64::try_from(first + count)? },
        events: Events { count, root: list.root, size: list.size(), sha256: list.sha256 },
        types: vec![TypeCount { r#type: "chat.message.posted".into(), events: count }],
        sources: vec![SourceCount {
            source: source.to_string(),
            events: count,
            unnumbered: 0,
            first_sequence: Some(first + 1),
            last_sequence: Some(first + count),
        }],
        became: BecameCounts { written: count, ..BecameCounts::default() },
        written: Written { conversations: 1, messages: count, ..Written::default() },
        files: FileCounts::default(),
        set_aside: Vec::new(),
        outputs: vec![output],
    };
    Ok(Draft::new(EntryKind::Manifest, &body)?.complete(batch + 1, at, previous))
}
