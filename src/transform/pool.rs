//! The parent side: starts workers, hands them documents, ends those that overstep a limit.
//!
//! A worker that died is replaced for the next document; one that died while idle goes unnoticed.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

use super::diagnostic::{Diagnostic, TemplateCost};
use super::error::{Death, TransformError};
use super::frame::{self, Ready, Reply, Request, Start, Started, Task};
use super::modules::ReadFile;
use super::spec::{OutputForm, OutputMethod, Part, Stylesheet, TransformSpec};
use super::worker::WORKER_COMMAND;
use crate::model::text::allowed_in_xml;

/// The program that is running, also after its file was replaced by a newer one.
const SELF: &str = "/proc/self/exe";
/// How long a worker whose streams are closed has to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// One adapter's stylesheet and schema, ready to be used by any number of tasks at once.
#[derive(Debug)]
pub struct Transformer {
    spec: TransformSpec,
    ready: Ready,
    idle: Mutex<Vec<Worker>>,
    permits: Semaphore,
}

/// A transformed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformed {
    /// The output, serialised as `xsl:output` says.
    pub bytes: Vec<u8>,
    /// The words of `xsl:message`, the first hundred. A stylesheet may put content into them.
    pub messages: Vec<String>,
    /// How many more messages there were.
    pub messages_dropped: u64,
    /// What each template cost, where [`Transformer::profile`] was asked.
    pub costs: Vec<TemplateCost>,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Transformer {
    /// Starts a first worker, which compiles the stylesheet and the schema.
    ///
    /// # Errors
    /// [`TransformError::Unusable`] with everything that is wrong with them; otherwise that no worker can be started.
    pub async fn start(spec: TransformSpec) -> Result<Self, TransformError> {
        let spec = checked(spec)?;
        let (worker, ready) = Worker::start(&spec).await?;
        let permits = Semaphore::new(spec.limits.workers.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self { spec, ready, idle: Mutex::new(vec![worker]), permits })
    }

    /// What the stylesheet writes; XML when there is none.
    pub fn method(&self) -> OutputMethod {
        self.ready.form.method
    }

    /// What the stylesheet writes, and how; what [`super::Joiner`] goes by.
    pub fn form(&self) -> &OutputForm {
        &self.ready.form
    }

    /// The names of the parameters that the stylesheet declares.
    pub fn declared(&self) -> &[String] {
        &self.ready.declared
    }

    /// Whether the files of the stylesheet and the schema still hold what was compiled. To be asked when a batch begins;
    /// when they do not, a new [`Self::start`] takes the new ones. Compares contents, so a touched file is no change;
    /// a file that is gone is one.
    pub async fn is_current(&self) -> bool {
        let (spec, ready) = (self.spec.clone(), self.ready.clone());
        let compared = move || {
            let stylesheet = match &spec.stylesheet {
                Some(Stylesheet::File(path)) => Some(path),
                Some(Stylesheet::Shipped(_)) | None => None,
            };
            let same = |path: Option<&PathBuf>, files: &[ReadFile]| {
                // A link may lead to another file by now.
                let main = path.map(|path| path.canonicalize().ok());
                main.is_none_or(|main| main.as_ref() == files.first().map(|file| &file.path))
                    && files.iter().all(ReadFile::is_current)
            };
            same(stylesheet, &ready.sheet_files) && same(spec.schema.as_ref(), &ready.schema_files)
        };
        tokio::task::spawn_blocking(compared).await.unwrap_or(false)
    }

    /// The folders and files whose change changes the transform.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.ready.sheet_files.iter().chain(&self.ready.schema_files).map(|file| file.path.clone()).collect()
    }

    /// The media type the stylesheet names.
    pub fn media_type(&self) -> Option<&str> {
        self.ready.media_type.as_deref()
    }

    /// How the workers are locked in, for people.
    pub fn sandbox(&self) -> &str {
        &self.ready.sandbox
    }

    /// SHA-256 of all files of the stylesheet and the schema, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.ready.digest
    }

    /// Transforms a document, and checks the output against the schema. Waits for a free worker.
    ///
    /// # Errors
    /// Any [`TransformError`]; [`TransformError::retry_helps`] tells whether to come back.
    pub async fn transform(&self, document: &[u8]) -> Result<Transformed, TransformError> {
        self.request(Task::Transform, document, None, false).await
    }

    /// Transforms a document of one conversation, whose result is to be joined with others by [`super::Joiner`]. The
    /// stylesheet is told which part it makes in the parameter [`Part::PARAMETER`], if it declares it. The schema is not
    /// asked: it speaks of the joined document, for [`Self::validate`].
    ///
    /// # Errors
    /// As [`Self::transform`].
    pub async fn transform_part(&self, document: &[u8], part: Part) -> Result<Transformed, TransformError> {
        self.request(Task::Transform, document, Some(part), false).await
    }

    /// As [`Self::transform`], and tells what each template cost.
    ///
    /// # Errors
    /// As [`Self::transform`].
    pub async fn profile(&self, document: &[u8]) -> Result<Transformed, TransformError> {
        self.request(Task::Transform, document, None, true).await
    }

    /// Checks a document against the schema, without a transform; a spec without a schema accepts all.
    ///
    /// # Errors
    /// As [`Self::transform`].
    pub async fn validate(&self, document: &[u8]) -> Result<(), TransformError> {
        if self.spec.schema.is_none() {
            return Ok(());
        }
        self.request(Task::Validate, document, None, false).await.map(drop)
    }

    async fn request(
        &self,
        task: Task,
        document: &[u8],
        part: Option<Part>,
        profile: bool,
    ) -> Result<Transformed, TransformError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await.ok();
        let mut worker = match self.take_idle() {
            Some(worker) => worker,
            None => self.start_another().await?,
        };
        let limit = self.spec.limits.time_for(document.len());
        // The processor limit is for a parent that cannot keep the time itself, so it comes later.
        let request = Request { task, cpu_secs: limit.as_secs().saturating_add(2), part, profile };
        let (reply, bytes) = worker.exchange(&request, document, limit, self.spec.limits.memory).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        read_reply(reply, bytes)
    }

    fn take_idle(&self) -> Option<Worker> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut worker) = idle.pop() {
            if matches!(worker.child.try_wait(), Ok(None)) {
                return Some(worker);
            }
        }
        None
    }

    async fn start_another(&self) -> Result<Worker, TransformError> {
        let (worker, ready) = Worker::start(&self.spec).await?;
        if ready.digest != self.ready.digest {
            return Err(TransformError::Changed { name: self.spec.name.clone() });
        }
        Ok(worker)
    }
}

impl Worker {
    async fn start(spec: &TransformSpec) -> Result<(Self, Ready), TransformError> {
        let mut worker = Self::spawn(spec)?;
        let start = Start {
            stylesheet: spec.stylesheet.clone(),
            schema: spec.schema.clone(),
            parameters: spec.parameters.clone(),
            limits: spec.limits.clone(),
            parent: std::process::id(),
        };
        let limit = spec.limits.time;
        let (started, _) = worker.exchange(&start, &[], limit, spec.limits.memory).await?;
        match started {
            Started::Ready(ready) => Ok((worker, ready)),
            Started::Unusable { diagnostics } => Err(TransformError::Unusable { name: spec.name.clone(), diagnostics }),
        }
    }

    fn spawn(spec: &TransformSpec) -> Result<Self, TransformError> {
        let program = spec.program.clone().unwrap_or_else(|| PathBuf::from(SELF));
        let failed = |source| TransformError::Process { action: "start", source };
        let mut child = Command::new(program)
            .arg(WORKER_COMMAND)
            .env_clear()
            // Dates of EXSLT must not depend on the machine.
            .env("TZ", "UTC0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(answers)) => Ok(Self { child, requests, answers }),
            _ => Err(failed(io::Error::other("no pipes"))),
        }
    }

    /// Sends a frame and reads the answer. After an error the worker is spent.
    async fn exchange<T: serde::de::DeserializeOwned>(
        &mut self,
        head: &impl serde::Serialize,
        body: &[u8],
        limit: Duration,
        answer_max: u64,
    ) -> Result<(T, Vec<u8>), TransformError> {
        let answer = tokio::time::timeout(limit, async {
            frame::send(&mut self.requests, head, body).await?;
            frame::receive(&mut self.answers, answer_max).await
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.obituary(error).await),
            Err(_) => {
                // Best effort: `kill_on_drop` is the second try.
                let _ = self.child.kill().await;
                Err(TransformError::TimedOut { limit })
            }
        }
    }

    /// Why a worker stopped talking.
    async fn obituary(&mut self, error: io::Error) -> TransformError {
        let closed = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe);
        if closed && let Ok(Ok(status)) = tokio::time::timeout(END_WITHIN, self.child.wait()).await {
            return TransformError::WorkerDied { death: Death::from(status) };
        }
        let _ = self.child.kill().await;
        TransformError::Process { action: "talk to", source: error }
    }
}

/// The same spec with absolute paths: a worker's directory is the root.
///
/// # Errors
/// What no worker could use.
fn checked(mut spec: TransformSpec) -> Result<TransformSpec, TransformError> {
    let name = spec.name.clone();
    let unusable = |text: String| TransformError::Unusable { name, diagnostics: vec![Diagnostic::new(text)] };
    if let Some((name, _)) = spec.parameters.iter().find(|(_, value)| !value.chars().all(allowed_in_xml)) {
        return Err(unusable(format!("parameter {name} holds a character that XML forbids")));
    }
    let stylesheet = match &mut spec.stylesheet {
        Some(Stylesheet::File(path)) => Some(path),
        Some(Stylesheet::Shipped(_)) | None => None,
    };
    for path in stylesheet.into_iter().chain(&mut spec.schema).chain(&mut spec.program) {
        match std::path::absolute(&path) {
            Ok(absolute) if absolute.to_str().is_some() => *path = absolute,
            _ => return Err(unusable(format!("expected a path in UTF-8, found {}", path.display()))),
        }
    }
    Ok(spec)
}

fn read_reply(reply: Reply, bytes: Vec<u8>) -> Result<Transformed, TransformError> {
    match reply {
        Reply::Done { messages, dropped, costs } => {
            Ok(Transformed { bytes, messages, messages_dropped: dropped, costs })
        }
        Reply::Input { diagnostics } => Err(TransformError::Input { diagnostics }),
        Reply::Failed { diagnostics, messages } => Err(TransformError::Failed { diagnostics, messages }),
        Reply::Invalid { diagnostics } => Err(TransformError::Invalid { diagnostics }),
    }
}
