//! `chancery transform`: what a stylesheet makes of a canonical file, and tools for those who write stylesheets.

mod lint;
mod profile;
mod run;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Outcome;
use super::context::{self, Context};
use super::print;
use crate::assemble::sample_document;
use crate::config::{Adapter, Config, Dialect, Render};
use crate::errors::{ExitStatus, Failure};
use crate::transform::{ResolveError, TransformSpec, resolve};
use run::Job;

pub(super) use lint::warnings;

/// Apply an adapter's or any other stylesheet to a canonical XML file, or examine it
///
/// It runs in the same sandbox as in the daemon; nothing is staged or published. `docs/stylesheets.md` is the guide.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The canonical file, e.g. one that an adapter without a transform has written
    #[arg(required_unless_present_any = ["sample", "lint"], conflicts_with_all = ["sample", "lint"])]
    file: Option<PathBuf>,
    /// Take stylesheet, parameters, schema and limits of this adapter in the configuration
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Take this stylesheet, or a shipped one by its name, without a configuration
    #[arg(long, value_name = "FILE", conflicts_with = "adapter")]
    stylesheet: Option<String>,
    /// Set a parameter of the stylesheet; beside --adapter it goes before the configured one
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    param: Vec<(String, String)>,
    /// Hand over the whole document, or each conversation by itself and join the results [default: as the adapter does, else whole]
    #[arg(long, value_enum)]
    render: Option<Way>,
    /// Write the result to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Run again whenever the stylesheet or the file changes, until Ctrl-C; the result goes to --out only
    #[arg(long)]
    watch: bool,
    /// Print how long each template took; the result goes to --out only
    #[arg(long, conflicts_with = "watch")]
    profile: bool,
    /// Use a sample with every type of message and every attribute in place of the file; alone: print it
    #[arg(long)]
    sample: bool,
    /// The spelling of the sample [default: the adapter's, else full]
    #[arg(long, value_enum, requires = "sample")]
    dialect: Option<Spelling>,
    /// Name what this stylesheet must not use and what makes it slow; runs nothing
    #[arg(long, value_name = "STYLESHEET", conflicts_with_all = ["adapter", "stylesheet", "watch", "profile", "sample", "out"])]
    lint: Option<String>,
}

/// As the configuration spells it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// The document with all its conversations
    Whole,
    /// Each conversation in a document of its own; the results are joined
    Conversation,
}

/// As the configuration spells it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Spelling {
    Full,
    Lync2013,
    Ocs2007r2,
}

/// What is transformed.
enum Input {
    File(PathBuf),
    Sample(Dialect),
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    if let Some(stylesheet) = &args.lint {
        return lint::run(context, stylesheet);
    }
    let config = args.adapter.is_some().then(|| context.config()).transpose()?;
    let adapter = match (&config, &args.adapter) {
        (Some(config), Some(name)) => Some(named(config, name)?),
        _ => None,
    };
    let dialect = args.dialect.map(Dialect::from).or(adapter.map(|adapter| adapter.dialect)).unwrap_or_default();
    let input = match &args.file {
        Some(file) => Input::File(file.clone()),
        None => Input::Sample(dialect),
    };
    let spec = match (adapter, &args.stylesheet) {
        (Some(adapter), _) => TransformSpec::of_adapter(adapter).map_err(unresolved)?,
        (None, Some(stylesheet)) => Some(of_stylesheet(stylesheet)?),
        (None, None) if args.sample => None,
        (None, None) => {
            return Err(Failure::new(ExitStatus::Usage, "there is nothing to transform with")
                .hint("name an adapter with --adapter or a stylesheet with --stylesheet"));
        }
    };
    let Some(mut spec) = spec else {
        // The canonical XML is what such an adapter writes.
        return run::deliver(&input.read()?, args.out.as_deref()).map(|()| ExitStatus::Done);
    };
    spec.parameters.extend(args.param.iter().cloned().collect::<BTreeMap<_, _>>());
    // Profiled is one run over all; whoever asks for another by name is told so.
    let usual = adapter.filter(|_| !args.profile).map_or(Render::Whole, Adapter::rendering);
    let render = args.render.map_or(usual, Render::from);
    let job = Job { spec, input, render, out: args.out.clone() };
    context::block_on(async {
        if args.watch {
            return watch::run(&job).await;
        }
        if args.profile {
            return profile::run(context, &job).await;
        }
        run::once(&job).await
    })
}

impl Input {
    fn read(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| {
                Failure::new(ExitStatus::FileSystem, format!("cannot read {}", path.display())).caused_by(error)
            }),
            Self::Sample(dialect) => sample_document(*dialect)
                .map_err(|error| Failure::new(ExitStatus::Interrupted, "cannot make the sample").caused_by(error)),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Sample(_) => None,
        }
    }
}

impl From<Way> for Render {
    fn from(way: Way) -> Self {
        match way {
            Way::Whole => Self::Whole,
            Way::Conversation => Self::Conversation,
        }
    }
}

impl From<Spelling> for Dialect {
    fn from(spelling: Spelling) -> Self {
        match spelling {
            Spelling::Full => Self::Full,
            Spelling::Lync2013 => Self::Lync2013,
            Spelling::Ocs2007r2 => Self::Ocs2007r2,
        }
    }
}

fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Adapter, Failure> {
    config.adapter_named(name).ok_or_else(|| {
        let names: Vec<&str> = config.adapter.iter().map(|adapter| adapter.name.as_str()).collect();
        Failure::new(ExitStatus::Usage, format!("there is no adapter {name:?} in the configuration"))
            .hint(format!("the adapters are: {}", names.join(", ")))
    })
}

fn of_stylesheet(stylesheet: &str) -> Result<TransformSpec, Failure> {
    let mut spec = TransformSpec::new("(command line)");
    spec.stylesheet = Some(resolve(stylesheet, Path::new("")).map_err(unresolved)?);
    Ok(spec)
}

fn unresolved(error: ResolveError) -> Failure {
    Failure::new(ExitStatus::Configuration, "the stylesheet cannot be found").caused_by(error)
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as --param time_unit=s".into()),
    }
}

/// A size in bytes, for people.
fn bytes(size: usize) -> String {
    format!("{} bytes", print::count(size as u64))
}
