//! The paths that are counted. All take the same made-up day.

use std::collections::HashSet;
use std::fmt;
use std::io;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use chancery::assemble::{Assembler, BatchContext, CanonicalWriter, NoCaptures, RenderedConversation};
use chancery::config::{Config, Dialect, Source};
use chancery::evidence::list::{Became, Gathering, Listed};
use chancery::intake::Decoder;
use chancery::intake::decode::{MessageHead, Received, STRUCTURED};
use chancery::model::Ticks;
use chancery::simulate::{SimSpec, Simulation};
use chancery::staging::{self, Arrivals, SeqRange, StagedEvent, Staging};

/// Events in one commit, as intake makes them when it is busy.
const COMMIT_EVENTS: usize = 2_000;

/// A path that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    /// From received bytes to an event that can be staged: read, checked, digest taken
    Decode,
    /// From events to a commit of SQLite, the database's own work included
    StageSqlite,
    /// From SQLite to staged events in the order of conversations, the database's own work included
    ReadSqlite,
    /// From staged events to canonical XML
    Canonical,
    /// From staged events to the event list of the batch's manifest: digests, order, tree
    List,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// Prepares `events` events, and takes `taken` of them along a path.
pub(crate) fn take(path: Path, events: usize, taken: usize) -> Result<()> {
    let site = Site::make(events)?;
    match path {
        Path::Decode => {
            let decoded = site.decode(&site.bodies[..taken]);
            ensure!(decoded.events.len() == taken, "not every event was understood");
            Ok(())
        }
        Path::StageSqlite => site.stage(taken),
        Path::ReadSqlite => {
            site.stage(events)?;
            ensure!(site.read(taken)?.len() == site.with_room(taken)?, "not every event came back");
            Ok(())
        }
        Path::Canonical => {
            site.stage(events)?;
            canonical(&site, &site.share(events, taken)?)
        }
        Path::List => {
            site.stage(events)?;
            list(&site, &site.share(events, taken)?)
        }
    }
}

/// A directory with a database, and events that have not come in yet.
struct Site {
    dir: TempDir,
    runtime: Runtime,
    decoder: Decoder,
    staging: Staging,
    bodies: Vec<Vec<u8>>,
}

impl Site {
    fn make(events: usize) -> Result<Self> {
        let spec = SimSpec { events: events as u64, rooms: 50, ..SimSpec::default() };
        let sources = spec.sources.iter();
        let source =
            sources.map(|uri| Source { uri: uri.clone(), description: String::new(), silence: None }).collect();
        let dir = tempfile::tempdir().context("cannot make a directory")?;
        let config = Config { home: dir.path().to_owned(), source, ..Config::default() };
        let runtime = Runtime::new().context("cannot start threads")?;
        let staging = runtime.block_on(staging::open(&config))?;
        let bodies: Vec<_> = Simulation::new(spec).map(|event| event.body).take(events).collect();
        ensure!(bodies.len() == events, "the day has only {} events", bodies.len());
        Ok(Self { dir, runtime, decoder: Decoder::new(&config)?, staging, bodies })
    }

    fn decode(&self, bodies: &[Vec<u8>]) -> Arrivals {
        let mut out = Arrivals::default();
        for body in bodies {
            let head = MessageHead { content_type: Some(STRUCTURED.to_owned()), ..MessageHead::default() };
            let received = SimSpec::default().start;
            self.decoder
                .decode(Received { origin: "amqp:chat", received, head: Some(head), body: body.clone() }, &mut out);
        }
        out
    }

    /// Decodes all, so that this is the same for few as for many, and stages the first.
    fn stage(&self, taken: usize) -> Result<()> {
        let commits: Vec<_> = self.bodies.chunks(COMMIT_EVENTS).map(|bodies| self.decode(bodies)).collect();
        let mut left = taken;
        for commit in commits {
            let staged = if left == 0 { break } else { self.runtime.block_on(self.staging.stage(&commit))? };
            ensure!(staged.kept == commit.events.len() as u64, "an event was staged twice");
            left = left.saturating_sub(commit.events.len());
        }
        Ok(())
    }

    fn range(taken: usize) -> Result<SeqRange> {
        Ok(SeqRange { from: 0, to: i64::try_from(taken)? })
    }

    fn with_room(&self, taken: usize) -> Result<usize> {
        let count = self.runtime.block_on(self.staging.count_events(Self::range(taken)?))?;
        Ok(usize::try_from(count)?)
    }

    fn read(&self, taken: usize) -> Result<Vec<StagedEvent>> {
        let range = Self::range(taken)?;
        self.runtime.block_on(async {
            let mut events = self.staging.events(range);
            let mut read = Vec::new();
            while let Some(event) = events.next().await {
                read.push(event?);
            }
            Ok(read)
        })
    }

    /// The first of all staged events, as many as make out the same share of those that have a room.
    fn share(&self, events: usize, taken: usize) -> Result<Vec<StagedEvent>> {
        let mut read = self.read(events)?;
        read.truncate(read.len() * taken / events);
        Ok(read)
    }
}

fn canonical(site: &Site, events: &[StagedEvent]) -> Result<()> {
    let context = BatchContext {
        batch: 1,
        adapter: "canonical".to_owned(),
        interval_start: Ticks::saturating_from_ticks(0),
        interval_end: events.iter().map(|event| event.time).max().context("no event")?,
        late_before: None,
        dialect: Dialect::default(),
        user_details: true,
        room_details: true,
        presence_lease: Config::default().conversations.presence_lease,
        completes: None,
    };
    let dialect = context.dialect;
    let mut assembler = Assembler::new(context, site.dir.path());
    let mut writer = CanonicalWriter::begin(io::sink(), dialect)?;
    let mut write = |conversation: RenderedConversation| match &conversation.text {
        Some(text) => writer.conversation(text, &text.whole()),
        None => Ok(()),
    };
    for event in events {
        if assembler.begins_room(event) {
            assembler.begin_room(event, None)?.map_or(Ok(()), &mut write)?;
        }
        assembler.push(event, &NoCaptures)?;
    }
    assembler.finish().map_or(Ok(()), &mut write)?;
    writer.finish()?;
    Ok(())
}

fn list(site: &Site, events: &[StagedEvent]) -> Result<()> {
    let mut list = Gathering::new(site.dir.path());
    for event in events {
        list.add(&Listed {
            source: &event.source,
            id: &event.id,
            content: Sha256::digest(&event.raw).into(),
            kind: event.kind,
            sequence: event.sequence,
            room: Some(event.room),
            became: Became::Written,
        })?;
    }
    let list = list.finish(site.dir.path(), &HashSet::new())?;
    ensure!(list.events == events.len() as u64, "the list is not whole");
    Ok(())
}
