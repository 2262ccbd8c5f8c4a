//! `chancery verify`: checks evidence offline. It reads no configuration and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Outcome;
use super::context::Context;
use super::print::{self, Column, Format};
use crate::errors::{ExitStatus, Failure};
use crate::evidence::key::PublicKey;
use crate::evidence::proof::Against;
use crate::evidence::stamp::Authorities;
use crate::evidence::verify::{Options, Report, trusted_keys, verify};
use crate::evidence::{proof, verify};
use crate::support::durable::{PathError, WithPath as _};

/// Check an evidence directory, or a proof, offline: name what was changed, and say what is proven and what is not
///
/// Needs no configuration. Ends with 1 when something is not as it was recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The evidence directory
    #[arg(value_name = "DIR", required_unless_present = "proof")]
    dir: Option<PathBuf>,
    /// Compare the files in this directory, too: a pickup share, or a copy of what the archive took
    #[arg(long, value_name = "DIR", conflicts_with = "proof")]
    outputs: Vec<PathBuf>,
    /// Believe only keys of this file: lines as in `allowed_signers`, or `ssh-ed25519 BASE64`
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
    /// Believe time stamps of the authorities in this PEM file, and no others
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    tsa_ca: Option<PathBuf>,
    /// A head that was kept elsewhere; the log must continue it, and a consistency proof start from it
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// Check this proof instead of a directory
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    proof: Option<PathBuf>,
    /// The bytes of the event that the proof is about
    #[arg(long, value_name = "FILE", requires = "proof")]
    event: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    holds: bool,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let trusted = match &args.signers {
        Some(path) => signers(path)?,
        None => Vec::new(),
    };
    let report = match (&args.proof, &args.dir) {
        (Some(file), _) => {
            let text = String::from_utf8_lossy(&read(file)?).into_owned();
            let event = args.event.as_deref().map(read).transpose()?;
            let kept = heads(&args.head)?.into_iter().map(|(path, text)| (path.display().to_string(), text)).collect();
            proof::check(&text, &file.display().to_string(), &Against { event, kept, trusted })
        }
        (None, dir) => {
            let options = Options {
                dir: dir.clone().unwrap_or_default(),
                outputs: args.outputs.clone(),
                trusted,
                authorities: args.tsa_ca.as_deref().map(authorities).transpose()?.unwrap_or_default(),
                witnesses: heads(&args.head)?,
            };
            verify(&options).map_err(unreadable)?
        }
    };
    let holds = report.findings.is_empty();
    match context.format() {
        Format::Json => print::json(&Shown { holds, report: &report })?,
        Format::Table => tables(&report)?,
    }
    Ok(if holds { ExitStatus::Done } else { ExitStatus::Finding })
}

/// The heads that were kept elsewhere, with their files.
fn heads(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Failure> {
    let head = |path: &PathBuf| Ok((path.clone(), String::from_utf8_lossy(&read(path)?).into_owned()));
    paths.iter().map(head).collect()
}

fn signers(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    trusted_keys(&text).map_err(|line| {
        let message = match line {
            0 => format!("{} names no key", path.display()),
            line => format!("{}:{line}: expected a line with `ssh-ed25519 BASE64`", path.display()),
        };
        Failure::new(ExitStatus::Usage, message)
            .hint("give the firm's `allowed_signers`, or a file with the public key that you were given")
    })
}

fn authorities(path: &Path) -> Result<Authorities, Failure> {
    Authorities::parse(&read(path)?).map_err(|problem| {
        Failure::new(ExitStatus::Usage, format!("{}: {problem}", path.display()))
            .hint("give the certificate that the time stamp authority publishes as its root")
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).at("read", path).map_err(unreadable)
}

fn unreadable(error: PathError) -> Failure {
    Failure::new(ExitStatus::FileSystem, "nothing is said about the evidence: it cannot be read")
        .caused_by(error)
        .hint("correct the path, or have the right to read it, and give the command again")
}

fn tables(report: &Report) -> Result<(), Failure> {
    let verify::Checked { entries, manifests, events, heads, stamps, signatures, outputs, bytes } = report.checked;
    let counts = [entries, manifests, events, heads, stamps, signatures, outputs, bytes].map(print::count);
    let [entries, manifests, events, heads, stamps, signatures, outputs, bytes] = counts;
    print::data(format!(
        "checked {entries} entries, {manifests} manifests, {events} events, {heads} heads, {stamps} time stamps, {signatures} signatures, {outputs} outputs, {bytes} bytes"
    ))?;
    if !report.findings.is_empty() {
        let columns = [Column::Text("file"), Column::Number("line"), Column::Number("entry"), Column::Text("finding")];
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        print::data(print::table(
            &columns,
            report.findings.iter().map(|finding| {
                let problem = print::harmless(&finding.problem);
                vec![print::harmless(&finding.file), number(finding.line), number(finding.entry), problem]
            }),
        ))?;
    }
    for line in &report.proven {
        print::data(format!("proven: {}", print::harmless(line)))?;
    }
    for line in &report.not_proven {
        print::data(format!("not proven: {}", print::harmless(line)))?;
    }
    print::data(match report.findings.len() {
        0 => "the evidence holds".to_owned(),
        1 => "the evidence does not hold: 1 finding".to_owned(),
        several => format!("the evidence does not hold: {several} findings"),
    })
}
