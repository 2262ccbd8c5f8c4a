//! Tables and plots of what was measured, for the terminal and for the page.

mod plot;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::figure::{Figure, Target, Whose};
use crate::parts::{Measured, Part};

/// A part as Markdown.
pub(crate) fn table(measured: &Measured) -> String {
    let mut text = String::new();
    for setting in &measured.settings {
        let _ = writeln!(text, "- {setting}");
    }
    text.push_str("\n| what | whose | median | smallest to largest | unit |\n|---|---|---:|---|---|\n");
    for figure in &measured.figures {
        let (least, most) = figure.spread();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} to {} ({} runs) | {} |",
            figure.what,
            whose(figure.whose),
            number(figure.median()),
            number(least),
            number(most),
            figure.values.len(),
            figure.unit
        );
    }
    if !measured.ratios.is_empty() {
        text.push_str("\n| ratio of the medians | value | target | |\n|---|---:|---|---|\n");
        for ratio in &measured.ratios {
            let (target, met) = match ratio.target {
                None => (String::new(), ""),
                Some(target) => {
                    let words = match target {
                        Target::AtLeast(least) => format!("at least {least}"),
                        Target::AtMost(most) => format!("at most {most}"),
                    };
                    (words, if target.met_by(ratio.value) { "met" } else { "**not met**" })
                }
            };
            let _ = writeln!(text, "| {} | {:.2} | {target} | {met} |", ratio.what, ratio.value);
        }
    }
    let machine = &measured.machine;
    let _ = writeln!(
        text,
        "\nMeasured on {}: {}, {} cores, {} GiB; {}; {}.",
        measured.day,
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.system,
        machine.versions.join(", ")
    );
    text
}

/// Keeps the results of a part beside those of the others.
pub(crate) fn keep(results: &Path, measured: &Measured) -> Result<()> {
    std::fs::create_dir_all(results).with_context(|| format!("cannot create {}", results.display()))?;
    let path = results.join(format!("{}.json", measured.part));
    let text = serde_json::to_string_pretty(measured)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes tables and plots of all results into a page, between the marks of each part. Plots lie beside the results.
pub(crate) fn write_page(results: &Path, page: &Path) -> Result<()> {
    let mut text = std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    for part in Part::ALL {
        let path = results.join(format!("{}.json", part.name()));
        if !path.exists() {
            continue;
        }
        let json = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let measured: Measured =
            serde_json::from_str(&json).with_context(|| format!("{} is damaged", path.display()))?;
        let picture = results.join(format!("{}.svg", part.name()));
        std::fs::write(&picture, plot::bars(&measured))
            .with_context(|| format!("cannot write {}", picture.display()))?;
        let name = results.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let block = format!("![{}]({name}/{}.svg)\n\n{}", part.title(), part.name(), table(&measured));
        text =
            between(&text, part.name(), &block).with_context(|| format!("{} has no place for it", page.display()))?;
    }
    std::fs::write(page, text).with_context(|| format!("cannot write {}", page.display()))
}

/// Replaces what stands between the marks of a part.
fn between(text: &str, part: &str, block: &str) -> Result<String> {
    let (open, close) = (format!("<!-- measured: {part} -->"), format!("<!-- end of {part} -->"));
    let (before, rest) = text.split_once(&open).with_context(|| format!("{open} is missing"))?;
    let (_, after) = rest.split_once(&close).with_context(|| format!("{close} is missing"))?;
    ensure!(!after.contains(&open), "{open} stands there twice");
    Ok(format!("{before}{open}\n\n{block}\n{close}{after}"))
}

fn whose(whose: Whose) -> &'static str {
    match whose {
        Whose::Chancery => "ours",
        Whose::Limit => "limit",
        Whose::Peer => "peer",
    }
}

/// A value with three significant digits, thousands apart.
fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        #[allow(clippy::cast_possible_truncation, reason = "figures are far below 2^63")]
        let digits = (value.round() as i64).to_string();
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) && !text.ends_with('-') {
                text.push(',');
            }
            text.push(digit);
        }
        text
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The figures of one unit, the unit of the first: what belongs into one plot.
fn of_one_unit(measured: &Measured) -> Vec<&Figure> {
    let Some(first) = measured.figures.first() else { return Vec::new() };
    measured.figures.iter().filter(|figure| figure.unit == first.unit).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (value, text) in [
            (0.5, "0.50"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (100.0, "100"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_block_replaces_the_one_before_and_nothing_else() {
        let page = "a\n<!-- measured: x -->\nold\n<!-- end of x -->\nb\n";
        let once = between(page, "x", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- measured: x -->\n\nnew\n\n<!-- end of x -->\nb\n");
        assert_eq!(between(&once, "x", "new\n").unwrap(), once);
        assert!(between(page, "y", "").is_err());
    }
}
