//! The worker process: compiles one stylesheet, locks itself in, and transforms what it is sent.
//!
//! It speaks frames on its standard streams and nothing else. It ends when its input ends, or when its
//! parent is gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::diagnostic::{Diagnostic, Log};
use super::error::{EXIT_BROKEN_FRAME, EXIT_EXHAUSTED};
use super::ffi::{
    Fault, Output, Parameters, RunLimits, Schema, Sheet, cpu_seconds, exit_when_exhausted, release_memory,
};
use super::frame::{self, Ready, Reply, Request, Start, Started, Task};
use super::modules::Modules;
use super::sandbox;
use super::spec::{OutputForm, OutputMethod, Part, Stylesheet};

/// The hidden subcommand that makes the program a worker.
pub const WORKER_COMMAND: &str = "transform-worker";

/// How often a busy worker looks whether its parent still lives.
const PARENT_CHECK: Duration = Duration::from_secs(1);
/// Processor time for reading and compiling, in seconds.
const COMPILE_CPU_SECS: u64 = 60;

/// From this size on, a document's memory is returned at once: an idle worker should not hold it.
const LARGE_DOCUMENT: usize = 1 << 20;

/// What a worker works with.
struct Workshop {
    sheet: Option<Sheet>,
    schema: Option<Schema>,
    /// For whole documents, for a first part and for later ones.
    parameters: [Parameters; 3],
    run_limits: RunLimits,
}

/// Runs as a worker until the parent closes the stream.
pub fn worker_main() -> ExitCode {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    // A plain file: the standard handle would look for line ends in every document.
    let answer = match stdout.as_fd().try_clone_to_owned() {
        Ok(descriptor) => File::from(descriptor),
        Err(_) => return ExitCode::from(EXIT_BROKEN_FRAME),
    };
    match serve(stdin.lock(), answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => ExitCode::from(EXIT_EXHAUSTED),
        Err(_) => ExitCode::from(EXIT_BROKEN_FRAME),
    }
}

fn serve(mut requests: impl Read, mut answers: impl Write) -> io::Result<()> {
    let Some((start, _)) = frame::read::<Start>(&mut requests)? else { return Ok(()) };
    exit_when_exhausted(EXIT_EXHAUSTED.into());
    sandbox::limit(&start.limits)?;
    sandbox::limit_processor(COMPILE_CPU_SECS)?;
    let mut workshop = match Workshop::open(&start) {
        Ok(workshop) => workshop,
        Err(diagnostics) => return frame::write(&mut answers, &Started::Unusable { diagnostics }, &[]),
    };
    watch_parent(start.parent)?;
    let ready = workshop.ready(sandbox::confine()?);
    frame::write(&mut answers, &Started::Ready(ready), &[])?;
    while let Some((request, document)) = frame::read::<Request>(&mut requests)? {
        sandbox::limit_processor(cpu_seconds().saturating_add(request.cpu_secs))?;
        let large = document.len() >= LARGE_DOCUMENT;
        let (reply, output) = workshop.answer(&request, document)?;
        frame::write(&mut answers, &reply, &output)?;
        drop(output);
        if large {
            release_memory();
        }
    }
    Ok(())
}

/// Ends this process soon after its parent died, also in the midst of a transform.
///
/// The kernel's own signal for this is tied to the thread that started the worker, which may end long
/// before the parent does.
fn watch_parent(parent: u32) -> io::Result<()> {
    let watch = move || {
        while rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get().cast_unsigned() == parent) {
            thread::sleep(PARENT_CHECK);
        }
        std::process::exit(0);
    };
    thread::Builder::new().name("watch-parent".into()).stack_size(64 * 1024).spawn(watch)?;
    Ok(())
}

impl Workshop {
    fn open(start: &Start) -> Result<Self, Vec<Diagnostic>> {
        let sheet = match &start.stylesheet {
            None => None,
            Some(Stylesheet::Shipped(shipped)) => Some(Modules::carried(shipped.files())),
            Some(Stylesheet::File(path)) => Some(Modules::open(path).map_err(|error| unreadable(path, &error))?),
        };
        let schema = match &start.schema {
            None => None,
            Some(path) => Some(Modules::open(path).map_err(|error| unreadable(path, &error))?),
        };
        let sheet = sheet.map(Sheet::compile).transpose().map_err(|log| reasons(log, "stylesheet"))?;
        let declared = sheet.as_ref().map(Sheet::declared).unwrap_or_default();
        let parameters = parameters(&start.parameters, declared)?;
        let schema = schema.map(Schema::compile).transpose().map_err(|log| reasons(log, "schema"))?;
        let method = sheet.as_ref().map_or(OutputMethod::Xml, method_of);
        if schema.is_some() && method != OutputMethod::Xml {
            return Err(vec![Diagnostic::new("a schema can check XML only, but the stylesheet writes another method")]);
        }
        let run_limits = RunLimits { depth_max: start.limits.depth_max, operations_max: start.limits.operations_max };
        Ok(Self { sheet, schema, parameters, run_limits })
    }

    fn ready(&self, sandbox: String) -> Ready {
        let mut hasher = Sha256::new();
        let (sheet, schema) = (self.sheet.as_ref(), self.schema.as_ref());
        for modules in sheet.map(Sheet::modules).into_iter().chain(schema.map(Schema::modules)) {
            modules.digest_into(&mut hasher);
        }
        Ready {
            form: OutputForm {
                method: sheet.map_or(OutputMethod::Xml, method_of),
                indent: sheet.is_some_and(Sheet::indents),
                encoding: sheet.and_then(Sheet::encoding),
            },
            media_type: self.sheet.as_ref().and_then(Sheet::media_type),
            sandbox,
            digest: hex::encode(hasher.finalize()),
            declared: sheet.map(|sheet| sheet.declared().to_vec()).unwrap_or_default(),
            sheet_files: sheet.map(|sheet| sheet.modules().read_files()).unwrap_or_default(),
            schema_files: schema.map(|schema| schema.modules().read_files()).unwrap_or_default(),
        }
    }

    /// # Errors
    /// `OutOfMemory`, after which the worker is of no use.
    fn answer(&mut self, request: &Request, document: Vec<u8>) -> io::Result<(Reply, Vec<u8>)> {
        let done = match request.task {
            Task::Transform => self.transform(request, document),
            Task::Validate => self.validate(&document).map(|()| Output { bytes: Vec::new(), log: Log::default() }),
        };
        let (reply, bytes) = match done {
            Ok(Output { bytes, log }) => {
                (Reply::Done { messages: log.messages, dropped: log.dropped, costs: log.costs }, bytes)
            }
            Err(Fault::Input(log)) => (Reply::Input { diagnostics: log.diagnostics }, Vec::new()),
            Err(Fault::Invalid(log)) => (Reply::Invalid { diagnostics: log.diagnostics }, Vec::new()),
            Err(Fault::Run(log)) => (failure(log, self.run_limits), Vec::new()),
            Err(Fault::Exhausted) => return Err(io::ErrorKind::OutOfMemory.into()),
        };
        Ok((reply, bytes))
    }

    fn transform(&mut self, request: &Request, document: Vec<u8>) -> Result<Output, Fault> {
        let Some(sheet) = &mut self.sheet else {
            self.validate(&document)?;
            return Ok(Output { bytes: document, log: Log::default() });
        };
        let [whole, first, next] = &self.parameters;
        let parameters = match request.part {
            None => whole,
            Some(Part::First) => first,
            Some(Part::Next) => next,
        };
        let output = sheet.transform(&document, parameters, self.run_limits, request.profile)?;
        drop(document);
        // A part of a document need not follow the schema by itself; whoever joins the parts checks the whole.
        if request.part.is_some() {
            return Ok(output);
        }
        // An output that is not XML at all is the stylesheet's fault too.
        self.validate(&output.bytes).map_err(|fault| match fault {
            Fault::Input(log) => Fault::Invalid(log),
            other => other,
        })?;
        Ok(output)
    }

    fn validate(&mut self, document: &[u8]) -> Result<(), Fault> {
        self.schema.as_mut().map_or(Ok(()), |schema| schema.validate(document))
    }
}

fn method_of(sheet: &Sheet) -> OutputMethod {
    OutputMethod::of_name(sheet.method().as_deref())
}

/// The configured parameters, with each value that the parameter for parts may have.
fn parameters(configured: &BTreeMap<String, String>, declared: &[String]) -> Result<[Parameters; 3], Vec<Diagnostic>> {
    let unknown: Vec<Diagnostic> =
        configured.keys().filter(|name| !declared.contains(name)).map(|name| undeclared(name, declared)).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let with = |part: Option<Part>| {
        let mut texts = configured.clone();
        if let Some(part) = part.filter(|_| declared.iter().any(|name| name == Part::PARAMETER)) {
            texts.insert(Part::PARAMETER.into(), part.word().into());
        }
        Parameters::new(&texts).map_err(|name| vec![Diagnostic::new(format!("parameter {name} holds a NUL character"))])
    };
    Ok([with(None)?, with(Some(Part::First))?, with(Some(Part::Next))?])
}

fn undeclared(name: &str, declared: &[String]) -> Diagnostic {
    let known = match declared {
        [] => "it declares none".to_owned(),
        declared => format!("it declares {}", declared.join(", ")),
    };
    let close = declared
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| format!("did you mean {known}?"));
    let cure = close.unwrap_or_else(|| "remove it, or declare it with xsl:param below xsl:stylesheet".into());
    Diagnostic::new(format!("parameter {name} is not declared by the stylesheet; {known}; {cure}"))
}

fn failure(mut log: Log, limits: RunLimits) -> Reply {
    if log.diagnostics.is_empty() {
        let mut said = log.last_message.map_or_else(|| Diagnostic::new("without a word"), |said| *said);
        said.text = format!("it stopped itself: {}", said.text);
        log.diagnostics.push(said);
    }
    for diagnostic in &mut log.diagnostics {
        name_limit(diagnostic, limits);
    }
    // What the libraries say after the first word about a limit is its echo.
    if let Some(first) = log.diagnostics.iter().position(|one| one.text.contains("limit of ")) {
        let named = log.diagnostics.swap_remove(first);
        log.diagnostics = vec![named];
    }
    Reply::Failed { diagnostics: log.diagnostics, messages: log.messages }
}

/// Puts the limit's own name in place of the libraries' words.
fn name_limit(diagnostic: &mut Diagnostic, limits: RunLimits) {
    let text = &diagnostic.text;
    if text.contains("infinite template recursion") || text.contains("Recursion limit exceeded") {
        diagnostic.text = format!(
            "the limit of {} nested instructions is reached, as by a template that calls itself for ever; \
             a stylesheet that needs more gets it with limits.depth",
            limits.depth_max
        );
    } else if text.contains("peration limit exceeded") {
        diagnostic.text = format!(
            "the limit of {} steps is reached; `chancery transform --lint` names what is slow, and a stylesheet that \
             needs more gets it with limits.operations",
            limits.operations_max
        );
    }
}

fn reasons(log: Log, what: &str) -> Vec<Diagnostic> {
    if log.diagnostics.is_empty() {
        return vec![Diagnostic::new(format!("the {what} cannot be compiled"))];
    }
    log.diagnostics
}

fn unreadable(path: &std::path::Path, error: &io::Error) -> Vec<Diagnostic> {
    vec![Diagnostic::new(format!("cannot read {}: {error}", path.display()))]
}
