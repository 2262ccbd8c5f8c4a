//! Making one batch's files: capture what was uploaded, assemble, transform, write under temporary names.
//!
//! Staging is read on the runtime, conversations are made on a blocking thread, and a short channel
//! between the two keeps both busy and memory flat.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::documents::{DocumentError, Documents};
use super::share::{Lane, LaneDraft};
use super::{EngineError, Shared};
use crate::assemble::{AssembleError, Assembler, AttachmentRef, BatchContext, CapturedFile, RenderedConversation};
use crate::config::Adapter;
use crate::model::Event;
use crate::pickup::{BatchNames, Compression, Share};
use crate::staging::{
    BatchCounts, BatchRow, Capture, CaptureRow, Lease, OutputKind, OutputRow, RenderedBatch, RoomNo, Seq, StagedEvent,
    Workplace,
};
use crate::support::durable::WithPath as _;
use crate::transform::Transformer;
use crate::vault::{self, FileSource, VaultError, VaultUse};

/// Events in one message to the blocking thread.
const CHUNK_EVENTS: usize = 256;
/// Messages that may wait there: enough to overlap, little enough to stay flat.
const CHUNKS_WAITING: usize = 4;
/// File events whose bytes are brought in before their outcomes are recorded together.
const CAPTURE_EVENTS: u32 = 256;
/// Files brought in at once: each waits for its own syncs, and a disk serves several in the time of one.
const CAPTURE_THREADS: usize = 8;
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
        /// Who is in each room afterwards, as far as assembly came.
        presence: Vec<(RoomNo, Vec<u8>)>,
    },
}

impl<E: Into<EngineError>> From<E> for RenderError {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

/// What reading hands to assembling.
enum Feed {
    Room(Box<StagedEvent>, Option<Vec<u8>>),
    Event(Box<StagedEvent>),
}

/// What assembling gathers.
#[derive(Default)]
struct Gathered {
    counts: BatchCounts,
    presence: Vec<(RoomNo, Vec<u8>)>,
    attachments: Vec<AttachmentRef>,
    failure: Option<String>,
}

/// Renders a batch; its files are then complete under their temporary names, and those names are durable.
pub(super) async fn render(
    shared: &Arc<Shared>,
    adapter: &Adapter,
    batch: &BatchRow,
    (share, lane, lease): (&Share, &Arc<Lane>, &Lease),
    transformer: Option<Arc<Transformer>>,
) -> Result<RenderedBatch, RenderError> {
    capture_files(shared, batch).await?;
    let names = BatchNames::new(&adapter.name, batch.interval_end, batch.id);
    let captures = captures(shared, batch, &names).await?;
    let context = BatchContext::of_adapter(adapter, batch, shared.config.conversations.presence_lease);
    let (feed, fed) = mpsc::channel(CHUNKS_WAITING);
    let assembling = {
        let (shared, adapter, share, id) = (Arc::clone(shared), adapter.clone(), share.clone(), batch.id);
        let (lane, token, handle) = (Arc::clone(lane), lease.token, Handle::current());
        tokio::task::spawn_blocking(move || {
            let draft = LaneDraft::begin(&lane, &share, token)?;
            let documents = Documents::new(&adapter, &draft, &names, transformer.as_deref(), handle);
            let (gathered, outputs) = assemble(Assembler::new(context), fed, &captures, documents)?;
            complete(&shared, draft, id, gathered, outputs)
        })
    };
    let read = read(shared, &adapter.name, batch, feed).await;
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
        Err(error) if error.is_panic() => Err(RenderError::Batch { reason: PANICKED.to_owned(), presence: Vec::new() }),
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

/// Brings the bytes of the batch's files into the vault and records each outcome, once and for all:
/// rendering again must find the same, whatever became of the source meanwhile.
async fn capture_files(shared: &Arc<Shared>, batch: &BatchRow) -> Result<(), EngineError> {
    let source = FileSource { root: shared.config.files.root.clone() };
    loop {
        let _gate = shared.files_gate(VaultUse::Capture).await?;
        let events = shared.staging.uncaptured(batch.range, CAPTURE_EVENTS).await?;
        if events.is_empty() {
            return Ok(());
        }
        let (shared_there, source) = (Arc::clone(shared), source.clone());
        let captured = tokio::task::spawn_blocking(move || capture_all(&shared_there, &source, &events))
            .await
            .map_err(|panic| EngineError::TaskPanicked { detail: panic.to_string() })?;
        shared.staging.record_captures(&captured?).await?;
    }
}

fn capture_all(shared: &Shared, source: &FileSource, events: &[StagedEvent]) -> Result<Vec<CaptureRow>, EngineError> {
    let share = events.len().div_ceil(CAPTURE_THREADS).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = events
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    part.iter().map(|staged| capture_one(shared, source, staged)).collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut rows = Vec::with_capacity(events.len());
        for thread in threads {
            let captured =
                thread.join().map_err(|_| EngineError::TaskPanicked { detail: "capturing a file panicked".into() })?;
            rows.extend(captured?);
        }
        Ok(rows)
    })
}

fn capture_one(shared: &Shared, source: &FileSource, staged: &StagedEvent) -> Result<CaptureRow, VaultError> {
    let outcome = match Event::read(&staged.raw) {
        Ok(event) => vault::capture(&shared.vault, source, event.data.file.as_ref())?,
        Err(error) => Capture::Missing { reason: format!("the staged event is damaged: {error}") },
    };
    if let Capture::Missing { reason } = &outcome {
        tracing::warn!(source = %staged.source, event = staged.id, reason, "a file's bytes could not be captured");
    }
    Ok(CaptureRow { seq: staged.seq, outcome })
}

/// What became of each file, with the name its copy gets on the share: one copy for each content.
async fn captures(
    shared: &Shared,
    batch: &BatchRow,
    names: &BatchNames,
) -> Result<HashMap<Seq, CapturedFile>, EngineError> {
    let rows = shared.staging.captures(batch.range).await?;
    let mut copies: HashMap<[u8; 32], String> = HashMap::new();
    Ok(rows
        .into_iter()
        .map(|row| {
            let file = match row.outcome {
                Capture::Stored { sha256, size, mismatch, extension } => {
                    // The first name that came with a content ends the name of its one copy.
                    let name = copies.entry(sha256).or_insert_with(|| names.attachment(&sha256, extension.as_deref()));
                    CapturedFile::Stored { name: name.clone(), sha256, size, mismatch }
                }
                Capture::Missing { reason } => CapturedFile::Missing { reason },
            };
            (row.seq, file)
        })
        .collect())
}

/// Streams the batch's events to the blocking thread, each room's presence before its first event.
async fn read(
    shared: &Shared,
    adapter: &str,
    batch: &BatchRow,
    feed: mpsc::Sender<Vec<Feed>>,
) -> Result<(), EngineError> {
    let mut events = shared.staging.events(batch.range);
    let mut chunk = Vec::with_capacity(CHUNK_EVENTS);
    let mut room = None;
    while let Some(event) = events.next().await {
        let event = Box::new(event?);
        if room.replace(event.room) == Some(event.room) {
            chunk.push(Feed::Event(event));
        } else {
            let presence = shared.staging.presence(adapter, event.room, batch.id).await?;
            chunk.push(Feed::Room(event, presence));
        }
        if chunk.len() == CHUNK_EVENTS && feed.send(std::mem::take(&mut chunk)).await.is_err() {
            // The other side has failed; its reason is the one that counts.
            return Ok(());
        }
    }
    // As above.
    let _ = feed.send(chunk).await;
    Ok(())
}

fn assemble(
    mut assembler: Assembler,
    mut fed: mpsc::Receiver<Vec<Feed>>,
    captures: &HashMap<Seq, CapturedFile>,
    mut documents: Documents<'_>,
) -> Result<(Gathered, Vec<OutputRow>), RenderError> {
    let mut gathered = Gathered::default();
    let mut step = |feed: Feed, gathered: &mut Gathered, documents: &mut Documents<'_>| -> Result<(), RenderError> {
        let event = match feed {
            Feed::Event(event) => event,
            Feed::Room(event, presence) => {
                let before = assembler.begin_room(&event, presence).map_err(damaged)?;
                before.map_or(Ok(()), |conversation| gathered.take(conversation, documents))?;
                event
            }
        };
        assembler.push(&event, captures).map_err(damaged)
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
    if let Some(reason) = gathered.failure.take() {
        return Err(RenderError::Batch { reason, presence: gathered.presence });
    }
    match documents.finish() {
        Ok(outputs) => Ok((gathered, outputs)),
        Err(DocumentError::Engine(error)) => Err(error.into()),
        Err(DocumentError::Transform(error)) => {
            Err(RenderError::Batch { reason: error.to_string(), presence: gathered.presence })
        }
    }
}

impl Gathered {
    /// Takes a conversation over. Once a transform has failed nothing more is written, but assembly goes
    /// on to its end: the batches after this one need to know who is in each room.
    fn take(&mut self, conversation: RenderedConversation, documents: &mut Documents<'_>) -> Result<(), RenderError> {
        if self.failure.is_none() {
            match documents.add(&conversation) {
                Ok(()) => {}
                Err(DocumentError::Engine(error)) => return Err(error.into()),
                Err(DocumentError::Transform(error)) => self.failure = Some(error.to_string()),
            }
        }
        let counts = conversation.counts;
        self.counts.events += counts.events;
        self.counts.messages += counts.messages;
        self.counts.signals += counts.signals;
        self.counts.conversations += u64::from(conversation.xml.is_some());
        self.counts.late += counts.late;
        self.counts.left_out += counts.left_out;
        self.counts.replaced_characters += counts.replaced_characters;
        self.presence.extend(conversation.presence_after.map(|bytes| (conversation.room, bytes)));
        self.attachments.extend(conversation.attachments);
        Ok(())
    }

    /// Adds what is known of presence to a failure of the batch itself.
    fn fail(self, error: RenderError) -> RenderError {
        match error {
            RenderError::Batch { reason, .. } => RenderError::Batch { reason, presence: self.presence },
            engine @ RenderError::Engine(_) => engine,
        }
    }
}

fn damaged(error: AssembleError) -> RenderError {
    RenderError::Batch { reason: error.to_string(), presence: Vec::new() }
}

/// Adds the attachments, in front, and makes all temporary names durable.
fn complete(
    shared: &Shared,
    draft: LaneDraft,
    id: i64,
    gathered: Gathered,
    outputs: Vec<OutputRow>,
) -> Result<RenderedBatch, RenderError> {
    let Gathered { mut counts, presence, attachments, .. } = gathered;
    let mut files = Vec::with_capacity(outputs.len());
    let mut copied = HashSet::new();
    for attachment in attachments {
        if copied.insert(attachment.sha256) {
            match copy_attachment(shared, &draft, &attachment) {
                Ok(file) => files.push(file),
                Err(EngineError::Vault(damaged @ VaultError::Damaged { .. })) => {
                    return Err(RenderError::Batch { reason: damaged.to_string(), presence });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    files.extend(outputs);
    for (position, file) in files.iter_mut().enumerate() {
        file.position = u32::try_from(position).unwrap_or(u32::MAX);
    }
    // Without files there is nothing to leave behind.
    let workplace = if files.is_empty() { Workplace::default() } else { draft.keep()? };
    counts.files = files.len() as u64;
    counts.bytes = files.iter().map(|file| file.size).sum();
    Ok(RenderedBatch { id, counts, outputs: files, presence, workplace, set_aside: None })
}

fn copy_attachment(shared: &Shared, draft: &LaneDraft, attachment: &AttachmentRef) -> Result<OutputRow, EngineError> {
    let mut file = draft.create(&attachment.name, Compression::None)?;
    shared.vault.copy_to(&attachment.sha256, &mut file)?;
    std::io::Write::flush(&mut file).at("write", draft.dir())?;
    Ok(file.finish(OutputKind::Attachment, 0, 0)?)
}
