//! Making one batch's files: assemble, transform, write under temporary names.
//!
//! Staging is read on the runtime, conversations are made on a blocking thread, and a short channel
//! between the two keeps both busy and memory flat.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::decide;
use super::documents::{DocumentError, Documents, Made, Means};
use super::manifest::{self, Holds};
use super::share::{Lane, LaneDraft};
use super::{EngineError, Shared, told};
use crate::assemble::{AssembleError, Assembler, BatchContext, CapturedFile, FileRef, RenderedConversation};
use crate::config::Adapter;
use crate::evidence::list::{EventList, Gathering};
use crate::evidence::manifest::FileCounts;
use crate::model::Ticks;
use crate::pickup::{BatchNames, Compression, Share};
use crate::staging::{
    BatchCounts, BatchRow, Lease, OutputKind, OutputRow, RenderedBatch, RoomNo, RoomlessEvent, Seq, SetAside,
    StagedEvent, Supplement, Workplace,
};
use crate::support::durable::{PathError, WithPath as _};
use crate::transform::Transformer;
use crate::vault::VaultError;

/// Events in one message to the blocking thread.
const CHUNK_EVENTS: usize = 256;
/// Messages that may wait there: enough to overlap, little enough to stay flat.
const CHUNKS_WAITING: usize = 4;
/// Events without a room that are read at once.
const ROOMLESS_EVENTS: u32 = 256;
/// A defect that one batch brings to light must not hold up the batches after it. The panic's own message stays
/// out of the reason: it may quote content.
const PANICKED: &str =
    "rendering panicked: a defect in chancery; please report it with the lines that went to standard error";

/// Why a batch was not rendered.
pub(super) enum RenderError {
    /// Something outside the batch stood in the way; it is tried again.
    Engine(EngineError),
    /// The batch itself cannot be rendered as things are; it is set aside.
    Batch {
        /// For people.
        reason: String,
        /// Which conversations failed, as far as known.
        conversations: Vec<SetAside>,
        /// Who is in each room afterwards, as far as assembly came.
        presence: Presences,
    },
}

impl<E: Into<EngineError>> From<E> for RenderError {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

/// Who is in each room, as staging keeps it.
type Presences = Vec<(RoomNo, Vec<u8>)>;

/// What reading hands to assembling.
enum Feed {
    /// The next event begins a room, in which these were before.
    Room(Option<Vec<u8>>),
    Event(Box<StagedEvent>),
    Roomless(RoomlessEvent),
    /// Makes no message, and tells who is in the room and what it is called.
    Context(Box<StagedEvent>),
}

/// What of its range a batch holds.
struct Wanted {
    /// Only these rooms; `None`: all.
    rooms: Option<HashSet<RoomNo>>,
    /// Only messages of these events; `None`: of all.
    events: Option<HashSet<Seq>>,
}

/// What assembling gathers.
#[derive(Default)]
struct Gathered {
    presence: Presences,
    failure: Option<(String, Vec<SetAside>)>,
}

/// What a whole batch became.
struct Assembled {
    made: Made,
    presence: Presences,
    list: EventList,
}

/// Renders a batch; its files are then complete under their temporary names, and those names are durable.
pub(super) async fn render(
    shared: &Arc<Shared>,
    adapter: &Adapter,
    batch: &BatchRow,
    (share, lane, lease): (&Share, &Arc<Lane>, &Lease),
    transformer: Option<Arc<Transformer>>,
) -> Result<RenderedBatch, RenderError> {
    let names = BatchNames::new(&adapter.name, batch.interval_end, batch.id);
    told::settle(shared, batch, lease).await?;
    let captures = told::captured(shared, batch, &names).await?;
    let context = BatchContext::of_adapter(adapter, batch, shared.config.conversations.presence_lease);
    // Of a supplement, only what was set aside.
    let rooms = match batch.supplement_to {
        Some(_) => Some(shared.staging.set_aside(batch.id).await?.into_iter().map(|(_, one)| one.room).collect()),
        None => None,
    };
    let wanted = Wanted { rooms, events: completed_files(shared, batch).await? };
    let (feed, fed) = mpsc::channel(CHUNKS_WAITING);
    let assembling = {
        let (shared, adapter, share, batch) = (Arc::clone(shared), adapter.clone(), share.clone(), batch.clone());
        let (lane, token, handle) = (Arc::clone(lane), lease.token, Handle::current());
        tokio::task::spawn_blocking(move || {
            let draft = LaneDraft::begin(&lane, &share, token)?;
            let scratch = shared.config.state_dir();
            let means = Means {
                adapter: &adapter,
                draft: &draft,
                names: &names,
                vault: &shared.vault,
                transformer,
                handle,
                scratch: scratch.clone(),
                heartbeat: adapter.heartbeat_file && batch.supplement_to.is_none(),
            };
            let assembled =
                assemble(Assembler::new(context, &scratch), fed, &captures, means, batch.completes.is_some())?;
            complete(&shared, draft, &batch, manifest::files(&captures), assembled)
        })
    };
    let read = read(shared, &adapter.name, batch, &wanted, feed).await;
    let assembled = assembling.await;
    // When reading broke off, what was assembled from the part that came is worth nothing.
    if let Err(error) = read {
        if let Ok(Ok(part)) = assembled {
            discard(share, lane, part.workplace).await;
        }
        return Err(error.into());
    }
    match assembled {
        Ok(assembled) => assembled,
        Err(error) if error.is_panic() => Err(broken(PANICKED.to_owned(), Vec::new())),
        Err(error) => Err(EngineError::TaskPanicked { detail: error.to_string() }.into()),
    }
}

/// Deletes the workplace of a rendering that is published, or that never will be.
pub(super) async fn discard(share: &Share, lane: &Arc<Lane>, workplace: Workplace) {
    let share = share.clone();
    if let Err(error) = lane.run("removing a workplace from", move || share.discard(&workplace)).await {
        // Whoever takes the lease next clears it.
        tracing::debug!(error = %error, "a workplace is left behind");
    }
}

/// Streams the batch's events to the blocking thread, each room's presence before its first event.
async fn read(
    shared: &Shared,
    adapter: &str,
    batch: &BatchRow,
    wanted: &Wanted,
    feed: mpsc::Sender<Vec<Feed>>,
) -> Result<(), EngineError> {
    let mut events = shared.staging.events(batch.range);
    let mut chunk = Vec::with_capacity(CHUNK_EVENTS);
    let mut room = None;
    while let Some(event) = events.next().await {
        let event = Box::new(event?);
        if wanted.rooms.as_ref().is_some_and(|rooms| !rooms.contains(&event.room)) {
            continue;
        }
        if room.replace(event.room) != Some(event.room) {
            let presence = shared.staging.presence(adapter, event.room, batch.place()).await?;
            chunk.push(Feed::Room(presence));
        }
        let written = wanted.events.as_ref().is_none_or(|events| events.contains(&event.seq));
        chunk.push(if written { Feed::Event(event) } else { Feed::Context(event) });
        if chunk.len() >= CHUNK_EVENTS && feed.send(std::mem::take(&mut chunk)).await.is_err() {
            // The other side has failed; its reason is the one that counts.
            return Ok(());
        }
    }
    // A supplement holds conversations alone.
    let mut last = if wanted.rooms.is_some() { Seq::MAX } else { batch.range.from };
    while last < batch.range.to {
        let roomless = shared.staging.roomless(batch.range, last, ROOMLESS_EVENTS).await?;
        last = roomless.last().map_or(Seq::MAX, |event| event.seq);
        chunk.extend(roomless.into_iter().map(Feed::Roomless));
        // As above.
        if feed.send(std::mem::take(&mut chunk)).await.is_err() {
            return Ok(());
        }
    }
    // As above.
    let _ = feed.send(chunk).await;
    Ok(())
}

/// The events whose messages a supplement of files holds; `None` for any other batch.
async fn completed_files(shared: &Shared, batch: &BatchRow) -> Result<Option<HashSet<Seq>>, EngineError> {
    match batch.completes {
        Some(_) => Ok(Some(shared.staging.completed_files(batch.id).await?.into_iter().collect())),
        None => Ok(None),
    }
}

fn assemble(
    mut assembler: Assembler,
    mut fed: mpsc::Receiver<Vec<Feed>>,
    captures: &HashMap<Seq, CapturedFile>,
    means: Means<'_>,
    completes: bool,
) -> Result<Assembled, RenderError> {
    let scratch = means.scratch.clone();
    let mut list = Gathering::new(&scratch);
    let mut documents = Documents::new(means);
    let mut gathered = Gathered::default();
    let mut before = None;
    let mut step = |feed: Feed, gathered: &mut Gathered, documents: &mut Documents<'_>| -> Result<(), RenderError> {
        let (event, written) = match feed {
            Feed::Roomless(event) => {
                return manifest::add_roomless(&mut list, &event).map_err(|error| unwritable(error, &scratch));
            }
            Feed::Room(presence) => {
                before = presence;
                return Ok(());
            }
            Feed::Event(event) => (event, true),
            Feed::Context(event) => (event, false),
        };
        if assembler.begins_room(&event) {
            let done = assembler.begin_room(&event, before.take()).map_err(|error| damaged(error, &scratch))?;
            done.map_or(Ok(()), |conversation| gathered.take(conversation, documents))?;
        }
        if !written {
            return assembler.push_context(&event).map_err(|error| damaged(error, &scratch));
        }
        let taken = assembler.push(&event, captures).map_err(|error| damaged(error, &scratch))?;
        // What a supplement of files completes is listed with the batch that it completes, once.
        if completes {
            return Ok(());
        }
        manifest::add(&mut list, &event, taken).map_err(|error| unwritable(error, &scratch))
    };
    while let Some(chunk) = fed.blocking_recv() {
        for feed in chunk {
            if let Err(error) = step(feed, &mut gathered, &mut documents) {
                return Err(gathered.fail(error));
            }
        }
    }
    if let Some(last) = assembler.finish() {
        gathered.take(last, &mut documents)?;
    }
    if let Some((reason, conversations)) = gathered.failure.take() {
        return Err(RenderError::Batch { reason, conversations, presence: gathered.presence });
    }
    match documents.finish() {
        Ok(made) => {
            let aside = made.set_aside.iter().map(|one| one.room).collect();
            let list = list.finish(&scratch, &aside).map_err(|error| unwritable(error, &scratch))?;
            Ok(Assembled { made, presence: gathered.presence, list })
        }
        Err(DocumentError::Engine(error)) => Err(error.into()),
        Err(DocumentError::Batch { reason, conversations }) => {
            Err(RenderError::Batch { reason, conversations, presence: gathered.presence })
        }
    }
}

impl Gathered {
    /// Takes a conversation over. Once the batch has failed nothing more is written, but assembly goes
    /// on to its end: the batches after this one need to know who is in each room.
    fn take(
        &mut self,
        mut conversation: RenderedConversation,
        documents: &mut Documents<'_>,
    ) -> Result<(), RenderError> {
        self.presence.extend(conversation.presence_after.take().map(|bytes| (conversation.room, bytes)));
        if self.failure.is_some() {
            return Ok(());
        }
        match documents.add(conversation) {
            Ok(()) => Ok(()),
            Err(DocumentError::Engine(error)) => Err(error.into()),
            Err(DocumentError::Batch { reason, conversations }) => {
                self.failure = Some((reason, conversations));
                Ok(())
            }
        }
    }

    /// Adds what is known of presence to a failure of the batch itself.
    fn fail(self, error: RenderError) -> RenderError {
        match error {
            RenderError::Batch { reason, conversations, .. } => {
                RenderError::Batch { reason, conversations, presence: self.presence }
            }
            engine @ RenderError::Engine(_) => engine,
        }
    }
}

fn damaged(error: AssembleError, scratch: &Path) -> RenderError {
    match error {
        AssembleError::Scratch(source) => unwritable(source, scratch),
        error => broken(error.to_string(), Vec::new()),
    }
}

fn unwritable(source: io::Error, scratch: &Path) -> RenderError {
    RenderError::Engine(PathError { action: "write", path: scratch.to_owned(), source }.into())
}

fn broken(reason: String, presence: Presences) -> RenderError {
    RenderError::Batch { reason, conversations: Vec::new(), presence }
}

/// Adds the attachments, in front, and makes all temporary names durable.
fn complete(
    shared: &Shared,
    draft: LaneDraft,
    batch: &BatchRow,
    captured: FileCounts,
    assembled: Assembled,
) -> Result<RenderedBatch, RenderError> {
    let Assembled { made, presence, list } = assembled;
    let Made { mut outputs, mut counts, copies, set_aside, rooms_aside, counts_aside } = made;
    let mut files = Vec::with_capacity(outputs.len());
    let mut copied = HashSet::new();
    for (name, sha256, _) in copies.iter().filter_map(FileRef::copy) {
        if copied.insert(sha256) {
            match copy_attachment(shared, &draft, name, sha256) {
                Ok(file) => files.push(file),
                Err(EngineError::Vault(damaged @ VaultError::Damaged { .. })) => {
                    return Err(broken(damaged.to_string(), presence));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    if batch.completes.is_some() {
        // They were counted with the batch that said of their files that they were missing.
        outputs.iter_mut().for_each(|output| output.messages = 0);
    }
    files.extend(outputs);
    for (position, file) in files.iter_mut().enumerate() {
        file.position = u32::try_from(position).unwrap_or(u32::MAX);
    }
    // Without files there is nothing to leave behind.
    let workplace = if files.is_empty() { Workplace::default() } else { draft.keep()? };
    counts.files = files.len() as u64;
    counts.bytes = files.iter().map(|file| file.size).sum();
    let holds = Holds { counts, captured, set_aside: &set_aside, rooms_aside: &rooms_aside, outputs: &files };
    let manifest = manifest::of_batch(batch, &holds, list)?;
    let set_aside = (!set_aside.is_empty()).then(|| supplement(batch, set_aside, counts_aside));
    // What became of the rooms was recorded with the batch whose conversations a supplement holds.
    let presence = if batch.supplement_to.is_some() { Vec::new() } else { presence };
    Ok(RenderedBatch { id: batch.id, counts, outputs: files, presence, workplace, set_aside, manifest })
}

/// What is to become of the conversations that could not be rendered.
fn supplement(batch: &BatchRow, conversations: Vec<SetAside>, counts: BatchCounts) -> Supplement {
    let first = conversations.first().map_or("", |one| one.reason.as_str());
    let reason = match conversations.len() {
        1 => format!("a conversation of batch {} could not be rendered: {first}", batch.place()),
        several => {
            format!("{several} conversations of batch {} could not be rendered; the first: {first}", batch.place())
        }
    };
    Supplement { reason, counts, retry_at: decide::retry_at(0, Ticks::now()), conversations }
}

fn copy_attachment(
    shared: &Shared,
    draft: &LaneDraft,
    name: &str,
    sha256: &[u8; 32],
) -> Result<OutputRow, EngineError> {
    let mut file = draft.create(name, Compression::None)?;
    shared.vault.copy_to(sha256, &mut file)?;
    std::io::Write::flush(&mut file).at("write", draft.dir())?;
    Ok(file.finish(OutputKind::Attachment, 0, 0)?)
}
