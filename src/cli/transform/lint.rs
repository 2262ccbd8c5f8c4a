//! `chancery transform --lint`, and the same examination for `chancery config check`.

use std::path::Path;

use super::super::Outcome;
use super::super::context::Context;
use super::super::print::{self, Format};
use super::unresolved;
use crate::config::Config;
use crate::errors::{ExitStatus, Failure};
use crate::transform::{Finding, Severity, lint, resolve};

pub(super) fn run(context: &Context, stylesheet: &str) -> Outcome {
    let resolved = resolve(stylesheet, Path::new("")).map_err(unresolved)?;
    let findings = lint(&resolved)
        .map_err(|error| Failure::new(ExitStatus::FileSystem, format!("cannot read {stylesheet}")).caused_by(error))?;
    match context.format() {
        Format::Json => print::json(&findings)?,
        Format::Table => {
            for Finding { file, line, column, severity, rule, found, cure } in &findings {
                print::data(format!("{file}:{line}:{column}: {}: {found} [{rule}]\n    {cure}", severity.word()))?;
            }
            eprintln!("{}", summary(&findings));
        }
    }
    // A hint is no fault.
    let faults = findings.iter().any(|finding| finding.severity != Severity::Hint);
    Ok(if faults { ExitStatus::Finding } else { ExitStatus::Done })
}

fn summary(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found".into();
    }
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Slow, Severity::Hint]
        .into_iter()
        .filter_map(|severity| {
            let count = findings.iter().filter(|finding| finding.severity == severity).count();
            (count > 0).then(|| format!("{}: {count}", severity.word()))
        })
        .collect();
    counts.join(", ")
}

/// What is wrong with the configured stylesheets, one line each; hints are left out.
pub(in crate::cli) fn warnings(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for adapter in &config.adapter {
        let Some(named) = &adapter.transform else { continue };
        let findings = match resolve(named, Path::new("/")).map(|stylesheet| lint(&stylesheet)) {
            Ok(Ok(findings)) => findings,
            // The rules of the configuration have looked at the file; what changed since, a run will tell.
            Ok(Err(_)) | Err(_) => continue,
        };
        lines.extend(
            findings
                .iter()
                .filter(|finding| finding.severity != Severity::Hint)
                .map(|finding| format!("adapter {:?}: {finding}", adapter.name)),
        );
    }
    lines
}
