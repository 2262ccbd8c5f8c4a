//! One run of a stylesheet: read, transform whole or by conversations, write.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::super::Outcome;
use super::Input;
use crate::config::Render;
use crate::errors::{ExitStatus, Failure};
use crate::support::durable;
use crate::support::step::Commit;
use crate::transform::{ConversationDocuments, Joiner, Part, TransformError, TransformSpec, Transformed, Transformer};

/// What shall be done.
pub(super) struct Job {
    pub(super) spec: TransformSpec,
    pub(super) input: Input,
    pub(super) render: Render,
    pub(super) out: Option<PathBuf>,
}

/// Transforms once, and writes the result.
pub(super) async fn once(job: &Job) -> Outcome {
    let document = job.input.read()?;
    let transformer = start(job).await?;
    let transformed = transform(job, &transformer, &document).await?;
    tell(&transformed);
    deliver(&transformed.bytes, job.out.as_deref())?;
    Ok(ExitStatus::Done)
}

pub(super) async fn start(job: &Job) -> Result<Transformer, Failure> {
    Transformer::start(job.spec.clone()).await.map_err(|error| failed(&error))
}

pub(super) async fn transform(job: &Job, transformer: &Transformer, document: &[u8]) -> Result<Transformed, Failure> {
    if job.spec.stylesheet.is_none() {
        transformer.validate(document).await.map_err(|error| failed(&error))?;
        let bytes = document.to_vec();
        return Ok(Transformed { bytes, messages: Vec::new(), messages_dropped: 0, costs: Vec::new() });
    }
    match job.render {
        Render::Whole => transformer.transform(document).await.map_err(|error| failed(&error)),
        Render::Conversation => by_conversation(transformer, document).await,
    }
}

async fn by_conversation(transformer: &Transformer, document: &[u8]) -> Result<Transformed, Failure> {
    let unjoined = |error: &(dyn std::error::Error + 'static)| Failure::new(ExitStatus::Transform, error.to_string());
    let mut joiner = Joiner::new(Vec::new(), transformer.form().clone());
    let (mut messages, mut messages_dropped) = (Vec::new(), 0);
    for (number, conversation) in (1..).zip(ConversationDocuments::new(document)) {
        let conversation = conversation.map_err(|error| unjoined(&error))?;
        let part = if number == 1 { Part::First } else { Part::Next };
        let done = transformer.transform_part(&conversation, part).await.map_err(|error| {
            let failure = failed(&error);
            Failure { message: format!("conversation {number}: {}", failure.message), ..failure }
        })?;
        joiner.add(&format!("conversation {number}"), &done.bytes).map_err(|error| unjoined(&error))?;
        messages.extend(done.messages);
        messages_dropped += done.messages_dropped;
    }
    let bytes = joiner.finish().map_err(|error| unjoined(&error))?;
    transformer.validate(&bytes).await.map_err(|error| failed(&error))?;
    Ok(Transformed { bytes, messages, messages_dropped, costs: Vec::new() })
}

/// Prints what the stylesheet said.
pub(super) fn tell(transformed: &Transformed) {
    for message in &transformed.messages {
        eprintln!("the stylesheet says: {message}");
    }
    if transformed.messages_dropped > 0 {
        eprintln!("the stylesheet says {} times more", transformed.messages_dropped);
    }
}

/// Writes the result where it was asked for; a reader that went away is no failure.
pub(super) fn deliver(bytes: &[u8], out: Option<&Path>) -> Result<(), Failure> {
    match out {
        Some(path) => durable::write_whole(path, bytes, Commit::EXPORT_WRITTEN)
            .map_err(|error| Failure::new(ExitStatus::FileSystem, "cannot write the result").caused_by(error)),
        None => match io::stdout().write_all(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| {
                Failure::new(ExitStatus::Interrupted, "cannot write to standard output").caused_by(error)
            }),
        },
    }
}

/// The failure with every diagnostic on a line of its own.
pub(super) fn failed(error: &TransformError) -> Failure {
    if error.diagnostics().len() > 1 {
        for diagnostic in error.diagnostics() {
            eprintln!("{diagnostic}");
        }
    }
    Failure::new(ExitStatus::Transform, error.to_string())
}
