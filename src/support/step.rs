//! Named steps: every moment at which what is durable changes, or what was learned is about to be acted upon.
//!
//! Everything that writes to a disk, a share or the staging database announces its step through [`reached`].
//! In a laboratory a process can be told to kill or to stop itself at any of them, so that a test can prove for
//! each one that the next start finishes the work. Nothing is announced twice for one effect, and the functions
//! of [`super::durable`] and staging's one commit function demand a step, so that no effect can be added without.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::sys::signal::{Signal, raise};

/// The variable that names the step at which the process kills itself (SIGKILL).
pub const CRASH_AT: &str = "CHANCERY_CRASH_AT";
/// The variable that names the step at which the process stops itself (SIGSTOP) until somebody continues it.
pub const PAUSE_AT: &str = "CHANCERY_PAUSE_AT";

/// Declares the steps in the order of the pipeline, each with its name and what stands once it is reached.
macro_rules! steps {
    ($($step:ident = $name:literal: $stands:literal;)*) => {
        /// A moment in the life of an event, a batch or the process itself.
        ///
        /// A name that ends in `-pending` is the moment before the commit of the step without that ending: all of
        /// it is written, none of it stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Step {
            $(#[doc = $stands] $step,)*
        }

        impl Step {
            /// Every step, in the order of the pipeline.
            pub const ALL: &[Self] = &[$(Self::$step),*];

            /// The name by which an operator and the documentation know it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$step => $name,)* }
            }

            /// What stands on disk and in staging when the process ends at this step.
            pub const fn stands(self) -> &'static str {
                match self { $(Self::$step => $stands,)* }
            }
        }
    };
}

steps! {
    // The start.
    DirectoryCreated = "directory-created": "A directory of our own is there, its name durable.";
    InstanceLocked = "instance-locked": "This process holds the home; the kernel frees the lock when it ends.";
    InstanceNamedPending = "instance-named-pending": "The home's name is synced beside the file that will hold it.";
    InstanceNamed = "instance-named": "The home has the name in which leases are held.";
    StagingOpened = "staging-opened": "The staging database is there and its tables are up to date.";
    LeftoverRemoved = "leftover-removed": "A temporary file that an earlier attempt left behind is gone.";
    MarkerWrittenPending = "marker-written-pending": "The share's marker is synced under a temporary name.";
    MarkerWritten = "marker-written": "The share carries its marker.";
    LeaseTakenPending = "lease-taken-pending": "A lease is written, not committed.";
    LeaseTaken = "lease-taken": "An adapter's lease is held in this home's name.";

    // Intake.
    Received = "received": "A message was delivered or a line read; nothing is written.";
    Decoded = "decoded": "It is decoded, in memory alone.";
    Staged = "staged": "Events and quarantined items are written, not committed.";
    Committed = "committed": "They are staged; the broker has no acknowledgement yet.";
    Acknowledged = "acknowledged": "The broker was told that it may forget them.";
    SpoolFileDone = "spool-file-done": "A spool file whose lines are all staged lies in `done/`.";
    ReasonWrittenPending = "reason-written-pending": "The reason for refusing a spool file is synced under a temporary name.";
    ReasonWritten = "reason-written": "The reason lies where the refused file will.";
    SpoolFileRefused = "spool-file-refused": "The refused spool file lies in `refused/`, beside its reason.";

    // A batch is cut and rendered.
    IntervalCutPending = "interval-cut-pending": "The batch is written, not committed.";
    IntervalCut = "interval-cut": "The batch is `Cut`; nothing of it is on the share.";
    CaptureCreated = "capture-created": "An uploaded file has begun under a temporary name in the vault.";
    CaptureSynced = "capture-synced": "Its bytes are durable under that name.";
    CaptureRenamed = "capture-renamed": "It has the name of its digest, which a power cut may still take.";
    FileCaptured = "file-captured": "The vault holds it for good; nothing in staging refers to it yet.";
    FilesListedPending = "files-listed-pending": "Which files are to be got is written, not committed.";
    FilesListed = "files-listed": "Files to be got are on the list; nobody was asked for them yet.";
    FilesPostponedPending = "files-postponed-pending": "That files have not come is written, not committed.";
    FilesPostponed = "files-postponed": "Files that have not come are asked for again later.";
    CapturesRecordedPending = "captures-recorded-pending": "What became of files is written, not committed.";
    CapturesRecorded = "captures-recorded": "What became of files is recorded, once and for all.";
    FilesToldPending = "files-told-pending": "What a batch says of files that have not come is written, not committed.";
    FilesTold = "files-told": "What a batch says of files that have not come is recorded, once and for all.";
    Rendered = "rendered": "A conversation is rendered, in memory alone.";
    Transformed = "transformed": "A document went through the stylesheet, in memory alone.";
    WorkplaceMade = "workplace-made": "The rendering has a directory of its own on the share; nothing refers to it.";
    TemporaryCreated = "temporary-created": "An output or attachment has begun under its temporary name.";
    TemporaryWritten = "temporary-written": "All bytes of an output are written under its temporary name, not synced.";
    AttachmentWritten = "attachment-written": "All bytes of an attachment are written under its temporary name, not synced.";
    Synced = "synced": "The bytes of an output or attachment are durable; they are not compared yet.";
    TemporariesSynced = "temporaries-synced": "Every file of the batch is durable under its temporary name.";
    WorkplaceSynced = "workplace-synced": "So is the directory that holds them.";
    MarkedRenderedPending = "marked-rendered-pending": "`Rendered` or `Empty` is written, not committed.";
    MarkedRendered = "marked-rendered": "The batch is `Rendered`, or `Empty`.";
    MarkedFailedPending = "marked-failed-pending": "`Failed` is written, not committed.";
    MarkedFailed = "marked-failed": "The batch is `Failed` and waits for its next attempt.";
    MarkedRetriedPending = "marked-retried-pending": "`Cut` is written again, not committed.";
    MarkedRetried = "marked-retried": "A failed batch is `Cut` again.";

    // It is published.
    Renamed = "renamed": "One file has its final name: from here on the archive may take it.";
    DirectorySynced = "directory-synced": "The final names of all attachments, or of all outputs, are durable.";
    TemporariesGone = "temporaries-gone": "That the temporary names are gone is durable too.";
    MarkedPublishedPending = "marked-published-pending": "`Published` is written, not committed.";
    MarkedPublished = "marked-published": "The batch is `Published`.";
    FilesFollowPending = "files-follow-pending": "A supplement of files is written, not committed.";
    FilesFollow = "files-follow": "Files that came late have a supplement; nothing of it is on the share.";
    WorkplaceRemoved = "workplace-removed": "The directory of a rendering that is published, or that staging refused, is gone.";

    // It is collected.
    CollectedSeen = "collected-seen": "The archive was seen to have taken files; nothing is recorded of it.";
    TakenRecordedPending = "taken-recorded-pending": "Which files are taken is written, not committed.";
    TakenRecorded = "taken-recorded": "Which files are taken is recorded; the batch is still `Published`.";
    MarkedCollectedPending = "marked-collected-pending": "`Collected` is written, not committed.";
    MarkedCollected = "marked-collected": "The batch is `Collected`.";

    // Its manifest is copied beside it.
    CopyCreated = "copy-created": "The copy of a manifest, or of its signature, has begun under a temporary name.";
    CopySynced = "copy-synced": "Its bytes are durable under that name; they are not compared yet.";
    CopiesRecordedPending = "copies-recorded-pending": "That copies are about to appear is written, not committed.";
    CopiesRecorded = "copies-recorded": "The copies are recorded, and lie under their temporary names.";
    CopyRenamed = "copy-renamed": "One has its name beside the outputs: from here on the archive may take it.";
    CopiesSynced = "copies-synced": "The final names of the copies are durable, or that the temporary ones are gone.";
    MarkedCopiedPending = "marked-copied-pending": "That the copies have their names is written, not committed.";
    MarkedCopied = "marked-copied": "The copies are known to have their names; they are never put there again.";

    // It is purged.
    PurgeBegunPending = "purge-begun-pending": "That files are about to be purged is written, not committed.";
    PurgeBegun = "purge-begun": "It is announced; a hold that is placed from here on waits until the purge is over.";
    CertificateRecordedPending = "certificate-recorded-pending": "The purge certificate is written as an entry of the log, not committed.";
    CertificateRecorded = "certificate-recorded": "The purge certificate is an entry of the log; nothing is deleted yet.";
    CertificateWrittenPending = "certificate-written-pending": "The purge certificate is synced under a temporary name.";
    CertificateWritten = "certificate-written": "The purge certificate stands; nothing is deleted yet.";
    FilePurged = "file-purged": "A file of the batch is deleted from the share.";
    PurgeSynced = "purge-synced": "That the files, or then their acknowledgements, are gone is durable.";
    AcknowledgementPurged = "acknowledgement-purged": "An acknowledgement is deleted from the share; its file went before.";
    MarkedPurgedPending = "marked-purged-pending": "`Purged` is written, not committed.";
    MarkedPurged = "marked-purged": "The batch is `Purged`.";
    PurgeEndedPending = "purge-ended-pending": "The end of the announcement is written, not committed.";
    PurgeEnded = "purge-ended": "No hold waits for this purge any more.";
    SweptForgottenPending = "swept-forgotten-pending": "The contents swept last time are struck off the list, not committed.";
    SweptForgotten = "swept-forgotten": "The contents swept last time are off the list.";
    StagingPurgedPending = "staging-purged-pending": "Events are deleted and tombstones left, not committed.";
    StagingPurged = "staging-purged": "Events that no adapter needs any more are tombstones.";
    LeftoversPurgedPending = "leftovers-purged-pending": "Message numbers and presence of those events are deleted, not committed.";
    LeftoversPurged = "leftovers-purged": "Message numbers and presence that only they needed are gone.";
    TotalsCompactedPending = "totals-compacted-pending": "Old counts of what was purged are summed up by day, not committed.";
    TotalsCompacted = "totals-compacted": "Old counts of what was purged stand by day.";
    TombstonesPurgedPending = "tombstones-purged-pending": "Old tombstones are deleted, not committed.";
    TombstonesPurged = "tombstones-purged": "Tombstones past their time are gone.";
    UnreferencedListedPending = "unreferenced-listed-pending": "The list of contents without a reference is written, not committed.";
    UnreferencedListed = "unreferenced-listed": "Contents to be swept are listed; the vault still holds them.";
    VaultSwept = "vault-swept": "One content is deleted from the vault.";

    // The log of evidence is written out.
    ListWrittenPending = "list-written-pending": "A batch's event list is synced under a temporary name.";
    ListWritten = "list-written": "The event list lies in the evidence directory; staging still has it.";
    EntryWrittenPending = "entry-written-pending": "An entry of the log is synced under a temporary name.";
    EntryWritten = "entry-written": "The entry lies in the evidence directory.";
    SignatureWrittenPending = "signature-written-pending": "The signature on an entry or a head is synced under a temporary name.";
    SignatureWritten = "signature-written": "The signature lies beside what it signs.";
    EntriesListed = "entries-listed": "The digests of the entries written last stand at the end of `SHA256SUMS`.";
    LogWrittenPending = "log-written-pending": "How many entries are written is recorded, not committed.";
    LogWritten = "log-written": "Staging knows how many entries are written, and has forgotten their event lists.";
    SignersWrittenPending = "signers-written-pending": "The list of public keys is synced under a temporary name.";
    SignersWritten = "signers-written": "The list of public keys tells of the newest key.";
    HeadWrittenPending = "head-written-pending": "The head of the log is synced under a temporary name.";
    HeadWritten = "head-written": "The head of the log is written; it has no signature yet.";
    StampWrittenPending = "stamp-written-pending": "An authority's time stamp on a head is synced under a temporary name.";
    StampWritten = "stamp-written": "The time stamp lies beside the head.";

    // Whenever something happens that a person should know, and when a person acts.
    AlertRaisedPending = "alert-raised-pending": "An alert is written, not committed.";
    AlertRaised = "alert-raised": "An alert is open.";
    AlertClosedPending = "alert-closed-pending": "The end of an alert is written, not committed.";
    AlertClosed = "alert-closed": "No alert of that kind is open any more.";
    HoldPlacedPending = "hold-placed-pending": "A hold and who places it are written, not committed.";
    HoldPlaced = "hold-placed": "The hold stands; purges that began before are still to be waited for.";
    HoldReleasedPending = "hold-released-pending": "The release of a hold is written, not committed.";
    HoldReleased = "hold-released": "The hold is released, and who decided it is recorded.";
    FindingsReportedPending = "findings-reported-pending": "Gaps, repeats and resets are marked as reported, not committed.";
    FindingsReported = "findings-reported": "Gaps, repeats and resets that have stood for long enough are reported; their alerts follow.";
    FindingsSettledPending = "findings-settled-pending": "Findings are settled, not committed.";
    FindingsSettled = "findings-settled": "A person has settled findings, and why is recorded.";
    MarkedAbandonedPending = "marked-abandoned-pending": "`Abandoned` and who decided it are written, not committed.";
    MarkedAbandoned = "marked-abandoned": "The batch is `Abandoned`.";
    QuarantineResolvedPending = "quarantine-resolved-pending": "A quarantined item is replayed or discarded, not committed.";
    QuarantineResolved = "quarantine-resolved": "The item is out of quarantine, and who decided it is recorded.";
    ActRecordedPending = "act-recorded-pending": "A person's act is written, not committed.";
    ActRecorded = "act-recorded": "A person's act is on record.";
    ExportWrittenPending = "export-written-pending": "Quarantined bytes, or a transformed document, are synced under a temporary name.";
    ExportWritten = "export-written": "They lie in the file that a person named.";

    KeyWrittenPending = "key-written-pending": "A new key is synced under a temporary name.";
    KeyWritten = "key-written": "The key has its file; the log does not know it yet.";
    KeyRecordedPending = "key-recorded-pending": "The key's entry is written, not committed.";
    KeyRecorded = "key-recorded": "The key is an entry of the log.";
    KeyReplaced = "key-replaced": "The new key has taken the place of the old one.";

    // The Matrix bridge, a process of its own.
    RegistrationWrittenPending = "registration-written-pending": "The bridge's registration is synced under a temporary name.";
    RegistrationWritten = "registration-written": "The bridge has its registration; the homeserver does not know it yet.";
    BridgeMemoryOpened = "bridge-memory-opened": "The bridge's memory is there and its tables are up to date.";
    BridgeRecordedPending = "bridge-recorded-pending": "The events of a transaction have numbers and bodies, not committed.";
    BridgeRecorded = "bridge-recorded": "They are in the bridge's memory; the broker has none of them.";
    BridgePublished = "bridge-published": "The broker has confirmed them; the bridge's memory does not know it, and the homeserver has no answer.";
    BridgeConfirmedPending = "bridge-confirmed-pending": "That they are confirmed is written, not committed.";
    BridgeConfirmed = "bridge-confirmed": "The bridge's memory knows that they are confirmed; the homeserver has no answer yet.";
    BridgePrunedPending = "bridge-pruned-pending": "Old ids and words are deleted from the bridge's memory, not committed.";
    BridgePruned = "bridge-pruned": "The bridge's memory holds nothing that is too old to come again.";

    // The end.
    LeaseReleasedPending = "lease-released-pending": "A lease is given back, not committed.";
    LeaseReleased = "lease-released": "The lease is free for any other process.";
}

/// A change that stands at one moment: a transaction, or a file put in place by rename. It has a step on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    constant: &'static str,
    /// Everything is written, nothing stands.
    pub(crate) pending: Step,
    /// It stands.
    pub(crate) done: Step,
}

/// Declares the commits, each with the steps before and after it.
macro_rules! commits {
    ($($name:ident: $pending:ident, $done:ident;)*) => {
        impl Commit {
            $(
                #[doc = concat!("From [`Step::", stringify!($pending), "`] to [`Step::", stringify!($done), "`].")]
                pub const $name: Self =
                    Self { constant: stringify!($name), pending: Step::$pending, done: Step::$done };
            )*

            /// Every commit.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

impl Commit {
    /// The commit that has this step on either side.
    pub fn of(step: Step) -> Option<Self> {
        Self::ALL.iter().copied().find(|commit| commit.pending == step || commit.done == step)
    }

    /// What the code calls it.
    pub const fn constant(self) -> &'static str {
        self.constant
    }
}

commits! {
    INSTANCE_NAMED: InstanceNamedPending, InstanceNamed;
    MARKER_WRITTEN: MarkerWrittenPending, MarkerWritten;
    LEASE_TAKEN: LeaseTakenPending, LeaseTaken;
    STAGED: Staged, Committed;
    REASON_WRITTEN: ReasonWrittenPending, ReasonWritten;
    INTERVAL_CUT: IntervalCutPending, IntervalCut;
    FILES_LISTED: FilesListedPending, FilesListed;
    FILES_POSTPONED: FilesPostponedPending, FilesPostponed;
    CAPTURES_RECORDED: CapturesRecordedPending, CapturesRecorded;
    FILES_TOLD: FilesToldPending, FilesTold;
    MARKED_RENDERED: MarkedRenderedPending, MarkedRendered;
    MARKED_FAILED: MarkedFailedPending, MarkedFailed;
    MARKED_RETRIED: MarkedRetriedPending, MarkedRetried;
    MARKED_PUBLISHED: MarkedPublishedPending, MarkedPublished;
    FILES_FOLLOW: FilesFollowPending, FilesFollow;
    TAKEN_RECORDED: TakenRecordedPending, TakenRecorded;
    MARKED_COLLECTED: MarkedCollectedPending, MarkedCollected;
    COPIES_RECORDED: CopiesRecordedPending, CopiesRecorded;
    MARKED_COPIED: MarkedCopiedPending, MarkedCopied;
    PURGE_BEGUN: PurgeBegunPending, PurgeBegun;
    CERTIFICATE_RECORDED: CertificateRecordedPending, CertificateRecorded;
    CERTIFICATE_WRITTEN: CertificateWrittenPending, CertificateWritten;
    MARKED_PURGED: MarkedPurgedPending, MarkedPurged;
    PURGE_ENDED: PurgeEndedPending, PurgeEnded;
    SWEPT_FORGOTTEN: SweptForgottenPending, SweptForgotten;
    STAGING_PURGED: StagingPurgedPending, StagingPurged;
    LEFTOVERS_PURGED: LeftoversPurgedPending, LeftoversPurged;
    TOTALS_COMPACTED: TotalsCompactedPending, TotalsCompacted;
    TOMBSTONES_PURGED: TombstonesPurgedPending, TombstonesPurged;
    UNREFERENCED_LISTED: UnreferencedListedPending, UnreferencedListed;
    LIST_WRITTEN: ListWrittenPending, ListWritten;
    ENTRY_WRITTEN: EntryWrittenPending, EntryWritten;
    SIGNATURE_WRITTEN: SignatureWrittenPending, SignatureWritten;
    LOG_WRITTEN: LogWrittenPending, LogWritten;
    SIGNERS_WRITTEN: SignersWrittenPending, SignersWritten;
    HEAD_WRITTEN: HeadWrittenPending, HeadWritten;
    STAMP_WRITTEN: StampWrittenPending, StampWritten;
    ALERT_RAISED: AlertRaisedPending, AlertRaised;
    ALERT_CLOSED: AlertClosedPending, AlertClosed;
    HOLD_PLACED: HoldPlacedPending, HoldPlaced;
    HOLD_RELEASED: HoldReleasedPending, HoldReleased;
    FINDINGS_REPORTED: FindingsReportedPending, FindingsReported;
    FINDINGS_SETTLED: FindingsSettledPending, FindingsSettled;
    MARKED_ABANDONED: MarkedAbandonedPending, MarkedAbandoned;
    QUARANTINE_RESOLVED: QuarantineResolvedPending, QuarantineResolved;
    ACT_RECORDED: ActRecordedPending, ActRecorded;
    EXPORT_WRITTEN: ExportWrittenPending, ExportWritten;
    KEY_WRITTEN: KeyWrittenPending, KeyWritten;
    KEY_RECORDED: KeyRecordedPending, KeyRecorded;
    REGISTRATION_WRITTEN: RegistrationWrittenPending, RegistrationWritten;
    BRIDGE_RECORDED: BridgeRecordedPending, BridgeRecorded;
    BRIDGE_CONFIRMED: BridgeConfirmedPending, BridgeConfirmed;
    BRIDGE_PRUNED: BridgePrunedPending, BridgePruned;
    LEASE_RELEASED: LeaseReleasedPending, LeaseReleased;
}

/// What a process was told to do when it reaches a step.
#[derive(Debug)]
pub struct Order {
    variable: &'static str,
    signal: Signal,
    step: Step,
    /// How often the step must still be reached until the order is carried out; 0 once it is.
    left: AtomicU32,
}

impl Order {
    /// The variable that gave it.
    pub fn variable(&self) -> &'static str {
        self.variable
    }
}

/// Why an order cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such step.
    #[error("{variable} names the step {name:?}, which there is not; expected one of {}", names())]
    NoSuchStep {
        /// The variable.
        variable: &'static str,
        /// What it names.
        name: String,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// What follows the colon is no count.
    #[error("{variable} gives {count:?} as the count; expected NAME, or NAME:N with N from 1 to {}", u32::MAX)]
    BadCount {
        /// The variable.
        variable: &'static str,
        /// What it gives.
        count: String,
    },
}

impl OrderError {
    /// What to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::NoSuchStep { variable, meant: Some(meant), .. } => {
                format!("did you mean {meant}? otherwise unset {variable}")
            }
            Self::NoSuchStep { variable, meant: None, .. } => {
                format!("name one of them, or unset {variable}; docs/architecture.md says what each of them means")
            }
            Self::BadCount { variable, .. } => {
                format!("write {variable}=renamed:2 for the second time, or leave the count out for the first")
            }
        }
    }
}

static ARMED: AtomicBool = AtomicBool::new(false);
static ORDERS: OnceLock<Vec<Order>> = OnceLock::new();

/// Reads the orders that the variables [`CRASH_AT`] and [`PAUSE_AT`] give; `variable` looks one up.
///
/// # Errors
/// When a variable names no step, or its count is none.
pub fn orders(variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Order>, OrderError> {
    let mut orders = Vec::new();
    for (name, signal) in [(CRASH_AT, Signal::SIGKILL), (PAUSE_AT, Signal::SIGSTOP)] {
        if let Some(text) = variable(name) {
            orders.push(order(name, signal, &text)?);
        }
    }
    Ok(orders)
}

fn order(variable: &'static str, signal: Signal, text: &str) -> Result<Order, OrderError> {
    let (name, count) = text.split_once(':').map_or((text, None), |(name, count)| (name, Some(count)));
    let Some(step) = Step::ALL.iter().copied().find(|step| step.name() == name) else {
        return Err(OrderError::NoSuchStep { variable, name: name.to_owned(), meant: meant(name) });
    };
    let left = match count.map(str::parse) {
        None => 1,
        Some(Ok(count @ 1..)) => count,
        _ => return Err(OrderError::BadCount { variable, count: count.unwrap_or_default().to_owned() }),
    };
    Ok(Order { variable, signal, step, left: AtomicU32::new(left) })
}

fn meant(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('_', "-");
    Step::ALL
        .iter()
        .map(|step| (strsim::damerau_levenshtein(&name, step.name()), step.name()))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn names() -> String {
    Step::ALL.iter().map(|step| step.name()).collect::<Vec<_>>().join(", ")
}

/// From now on this process carries out `orders`. Only the first call counts: a process is armed once, at its start.
pub fn arm(orders: Vec<Order>) {
    if !orders.is_empty() && ORDERS.set(orders).is_ok() {
        ARMED.store(true, Ordering::Release);
    }
}

/// Announces a step. Costs one relaxed load unless the process is armed.
#[inline]
pub fn reached(step: Step) {
    if ARMED.load(Ordering::Relaxed) {
        carry_out(step);
    }
}

#[cold]
fn carry_out(step: Step) {
    for order in ORDERS.get().into_iter().flatten().filter(|order| order.step == step) {
        let counted = order.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if counted == Ok(1) {
            // Standard error, not the log: it must be out before the process is gone.
            eprintln!("{} = {}", order.variable, step.name());
            // To this very thread, which then does nothing more: another one might take a signal to the process when it next
            // runs, and this one would go on until then. A thread may always signal itself.
            let _ = raise(order.signal);
        }
    }
}

/// The steps as a table in Markdown, for `docs/architecture.md`.
pub fn table() -> String {
    let mut table = String::from("| step | what stands when the process ends there |\n|---|---|\n");
    for step in Step::ALL {
        let _ = writeln!(table, "| `{}` | {} |", step.name(), step.stands());
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn read(crash: &str) -> Result<Vec<Order>, OrderError> {
        orders(|name| (name == CRASH_AT).then(|| crash.to_owned()))
    }

    #[test]
    fn names_are_unique_and_plain() {
        let names: HashSet<_> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')), "{names:?}");
    }

    #[test]
    fn what_is_pending_belongs_to_exactly_one_commit_and_is_named_after_it() {
        for commit in Commit::ALL.iter().filter(|commit| **commit != Commit::STAGED) {
            assert_eq!(commit.pending.name(), format!("{}-pending", commit.done.name()));
        }
        for step in Step::ALL.iter().filter(|step| step.name().ends_with("-pending")) {
            assert_eq!(Commit::ALL.iter().filter(|commit| commit.pending == *step).count(), 1, "{step:?}");
        }
    }

    #[test]
    fn an_order_names_a_step_and_the_time_that_counts() {
        let left = |text: &str| read(text).unwrap().remove(0).left.into_inner();
        assert_eq!(left("renamed"), 1);
        assert_eq!(left("renamed:3"), 3);
        assert!(orders(|_| None).unwrap().is_empty());
        let both = orders(|_| Some("synced".into())).unwrap();
        assert_eq!(both.iter().map(Order::variable).collect::<Vec<_>>(), [CRASH_AT, PAUSE_AT]);
        assert_eq!((both[0].signal, both[1].signal), (Signal::SIGKILL, Signal::SIGSTOP));
    }

    #[test]
    fn a_mistake_is_told_with_its_cure() {
        let error = read("renmed").unwrap_err();
        assert!(error.to_string().contains("\"renmed\"") && error.to_string().contains("directory-synced"), "{error}");
        assert!(error.cure().contains("did you mean renamed?"), "{}", error.cure());
        assert!(read("").unwrap_err().cure().contains("unset CHANCERY_CRASH_AT"));
        for count in ["renamed:", "renamed:0", "renamed:x", "renamed:-1", "renamed:1:2"] {
            let error = read(count).unwrap_err();
            assert!(matches!(error, OrderError::BadCount { .. }), "{count}: {error}");
        }
    }

    #[test]
    fn nothing_happens_in_a_process_that_is_not_armed() {
        Step::ALL.iter().copied().for_each(reached);
    }
}
