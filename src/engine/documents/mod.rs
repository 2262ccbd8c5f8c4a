//! From conversations to files: which conversation goes into which file, through which transform.
//!
//! Runs on a blocking thread. There are four ways, one module each:
//! - [`plain`]: canonical XML, streamed into the file;
//! - [`whole`]: the stylesheet (or the schema alone) is handed all conversations of a file in one document;
//! - [`joined`]: it is handed each conversation by itself, several at once, and the results are joined;
//! - [`packaged`]: it is handed each conversation by itself, and its results are packaged into mails or archives.
//!
//! A conversation that cannot be rendered is set aside with its reason, and the others go on. So that it can be
//! rendered later by itself, either all of a conversation is in the files, or nothing.

mod fault;
mod files;
mod joined;
mod packaged;
mod plain;
mod queue;
mod split;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::share::LaneDraft;
use crate::assemble::{ConversationCounts, ConversationText, FileRef, RenderedConversation};
use crate::config::{Adapter, Render};
use crate::package;
use crate::pickup::BatchNames;
use crate::staging::{BatchCounts, OutputRow, RoomNo, SetAside};
use crate::support::step::{Step, reached};
use crate::transform::Transformer;
use crate::vault::Vault;

pub(super) use fault::DocumentError;
use fault::Fault;
use files::Files;

/// Conversations that failed before the batch is given up as a whole, unless more of them succeeded: then it is the
/// stylesheet that cannot be used, and every further attempt costs its limits.
const FAULTS_MAX: usize = 25;
/// The same, for conversations that took all the time or memory there is before the first one succeeded.
const COSTLY_FAULTS_MAX: usize = 3;

/// What making a batch's documents takes.
pub(super) struct Means<'a> {
    pub(super) adapter: &'a Adapter,
    pub(super) draft: &'a LaneDraft,
    pub(super) names: &'a BatchNames,
    pub(super) vault: &'a Vault,
    pub(super) transformer: Option<Arc<Transformer>>,
    pub(super) handle: Handle,
    /// Where bytes may be kept meanwhile.
    pub(super) scratch: PathBuf,
    /// Whether an output is written even when there is no conversation.
    pub(super) heartbeat: bool,
}

/// The outputs of one batch, being written.
pub(super) struct Documents<'a> {
    way: Way,
    pass: Pass<'a>,
}

/// What the conversations of a batch became.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The files, in the order of publication.
    pub(super) outputs: Vec<OutputRow>,
    /// What they hold. Files and bytes are not counted yet.
    pub(super) counts: BatchCounts,
    /// The uploaded files that must be on the share before them.
    pub(super) copies: Vec<FileRef>,
    /// Conversations that could not be rendered.
    pub(super) set_aside: Vec<SetAside>,
    /// Their rooms' URIs, in the same order.
    pub(super) rooms_aside: Vec<Arc<str>>,
    /// What those hold.
    pub(super) counts_aside: BatchCounts,
}

/// One conversation with something to say.
struct Entry {
    room: RoomNo,
    room_uri: Arc<str>,
    text: ConversationText,
    counts: ConversationCounts,
    files: Vec<FileRef>,
}

/// What all ways share while they work.
struct Pass<'a> {
    means: Means<'a>,
    files: Files<'a>,
    made: Made,
    written: usize,
    /// Conversations that can be rendered, and are about to be written.
    sound: usize,
    /// Conversations that took all the time or memory there is.
    costly: usize,
}

enum Way {
    Plain(Box<plain::Plain>),
    Whole(whole::Whole),
    Joined(Box<joined::Joined>),
    Packaged(packaged::Packaged),
}

impl<'a> Documents<'a> {
    pub(super) fn new(means: Means<'a>) -> Self {
        let adapter = means.adapter;
        let way = match (&means.transformer, adapter.transform.is_some(), adapter.rendering()) {
            (None, ..) => Way::Plain(Box::default()),
            (Some(sheet), true, _) if sheet.media_type() == Some(package::MEDIA_TYPE) => {
                Way::Packaged(packaged::Packaged::new(Arc::clone(sheet)))
            }
            (Some(sheet), true, Render::Conversation) => Way::Joined(Box::new(joined::Joined::new(Arc::clone(sheet)))),
            (Some(_), ..) => Way::Whole(whole::Whole::default()),
        };
        let several = matches!(way, Way::Packaged(_));
        let files = Files::new(adapter, means.draft, means.names, means.transformer.as_deref(), several);
        Self { way, pass: Pass { means, files, made: Made::default(), written: 0, sound: 0, costly: 0 } }
    }

    /// Adds a conversation. What becomes of it may turn out only later.
    pub(super) fn add(&mut self, conversation: RenderedConversation) -> Result<(), DocumentError> {
        let RenderedConversation { room, room_uri, text, counts, files, .. } = conversation;
        let Some(text) = text else {
            count(&mut self.pass.made.counts, &counts, 0);
            return Ok(());
        };
        reached(Step::Rendered);
        let entry = Entry { room, room_uri, text, counts, files };
        match &mut self.way {
            Way::Plain(way) => way.add(entry, &mut self.pass),
            Way::Whole(way) => way.add(entry, &mut self.pass),
            Way::Joined(way) => way.add(entry, &mut self.pass),
            Way::Packaged(way) => way.add(entry, &mut self.pass),
        }
    }

    /// Completes the last document.
    pub(super) fn finish(self) -> Result<Made, DocumentError> {
        let Self { mut way, mut pass } = self;
        match &mut way {
            Way::Plain(way) => way.finish(&mut pass)?,
            Way::Whole(way) => way.finish(&mut pass)?,
            Way::Joined(way) => way.finish(&mut pass)?,
            Way::Packaged(way) => way.finish(&mut pass)?,
        }
        if pass.written == 0 && !pass.made.set_aside.is_empty() {
            return Err(pass.given_up());
        }
        // A packaging document without conversations makes no file.
        if pass.means.heartbeat && pass.files.made().is_empty() && !matches!(way, Way::Packaged(_)) {
            whole::heartbeat(&mut pass)?;
        }
        pass.made.outputs = pass.files.into_made();
        Ok(pass.made)
    }
}

impl Pass<'_> {
    /// The conversation is in the files, but for `left_out` of its messages. `embedded`: which of its uploaded
    /// files the outputs hold themselves, by their names.
    fn written(&mut self, entry: Entry, left_out: u64, embedded: impl Fn(&str) -> bool) {
        self.written += 1;
        let mut counts = entry.counts;
        let left_out = left_out.min(counts.messages);
        counts.messages -= left_out;
        counts.left_out += left_out;
        count(&mut self.made.counts, &counts, 1);
        let beside = |file: &FileRef| file.copy().is_some_and(|(name, ..)| !embedded(name));
        self.made.copies.extend(entry.files.into_iter().filter(beside));
    }

    /// Nothing of the conversation is in the files, for this reason.
    fn set_aside(&mut self, entry: &Entry, fault: Fault) -> Result<(), DocumentError> {
        let reason = match fault {
            Fault::Batch(error) => return Err(error),
            Fault::Conversation { reason, costly } => {
                self.costly += usize::from(costly);
                reason
            }
        };
        tracing::warn!(adapter = self.means.adapter.name, room = %entry.room_uri, reason, "a conversation is set aside");
        count(&mut self.made.counts_aside, &entry.counts, 1);
        self.made.set_aside.push(SetAside { room: entry.room, reason });
        self.made.rooms_aside.push(Arc::clone(&entry.room_uri));
        let succeeded = self.written + self.sound;
        let hopeless = succeeded == 0 && self.costly >= COSTLY_FAULTS_MAX;
        if hopeless || self.made.set_aside.len() >= FAULTS_MAX.max(succeeded + 1) {
            return Err(self.given_up());
        }
        Ok(())
    }

    /// The batch cannot be rendered, because of its conversations.
    fn given_up(&mut self) -> DocumentError {
        let conversations = std::mem::take(&mut self.made.set_aside);
        let first = conversations.first().map_or("", |one| one.reason.as_str());
        let reason = match (conversations.len(), self.written) {
            (1, 0) => first.to_owned(),
            (failed, 0) => {
                format!("none of {failed} conversations could be rendered, so mend the stylesheet; the first: {first}")
            }
            (failed, written) => format!(
                "{failed} conversations could not be rendered and only {written} could, so mend the stylesheet; the first that failed: {first}"
            ),
        };
        DocumentError::Batch { reason, conversations }
    }

    /// The largest output, in bytes before compression.
    fn bytes_max(&self) -> u64 {
        self.means.adapter.max_file_size.map_or(u64::MAX, |size| size.get())
    }

    /// The largest canonical document that is handed on.
    fn canonical_max(&self) -> u64 {
        self.bytes_max().saturating_sub(files::DOCUMENT_FRAME_MAX)
    }
}

fn count(counts: &mut BatchCounts, conversation: &ConversationCounts, conversations: u64) {
    counts.events += conversation.events;
    counts.messages += conversation.messages;
    counts.signals += conversation.signals;
    counts.conversations += conversations;
    counts.late += conversation.late;
    counts.left_out += conversation.left_out;
    counts.replaced_characters += conversation.replaced_characters;
    counts.completed += conversation.completed;
}
