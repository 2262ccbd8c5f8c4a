//! `chancery transform --profile`: where the time goes.

use std::time::Instant;

use serde::Serialize;

use super::super::Outcome;
use super::super::context::Context;
use super::super::print::{self, Column, Format};
use super::bytes;
use super::run::{self, Job};
use crate::config::Render;
use crate::errors::{ExitStatus, Failure};
use crate::transform::TemplateCost;

#[derive(Serialize)]
struct Row<'c> {
    #[serde(flatten)]
    cost: &'c TemplateCost,
    /// Of the time of all templates.
    percent: f64,
}

pub(super) async fn run(context: &Context, job: &Job) -> Outcome {
    if job.render == Render::Conversation || job.spec.stylesheet.is_none() {
        return Err(Failure::new(ExitStatus::Usage, "only a stylesheet over a whole document can be profiled")
            .hint("leave out --render conversation, and name a stylesheet"));
    }
    let document = job.input.read()?;
    let transformer = run::start(job).await?;
    let began = Instant::now();
    let mut transformed = transformer.profile(&document).await.map_err(|error| run::failed(&error))?;
    let took = began.elapsed();
    run::tell(&transformed);
    if job.out.is_some() {
        run::deliver(&transformed.bytes, job.out.as_deref())?;
    }
    transformed.costs.sort_by(|one, other| {
        (other.micros, other.calls, &one.file, one.line).cmp(&(one.micros, one.calls, &other.file, other.line))
    });
    let total: u64 = transformed.costs.iter().map(|cost| cost.micros).sum();
    let percent = |micros: u64| if total == 0 { 0.0 } else { 100.0 * micros as f64 / total as f64 };
    if context.format() == Format::Json {
        let rows: Vec<Row<'_>> =
            transformed.costs.iter().map(|cost| Row { cost, percent: percent(cost.micros) }).collect();
        print::json(&rows)?;
    } else {
        let columns = [
            Column::Number("ms"),
            Column::Number("%"),
            Column::Number("calls"),
            Column::Number("µs/call"),
            Column::Text("template"),
            Column::Text("place"),
        ];
        let rows = transformed.costs.iter().map(|cost| {
            vec![
                format!("{:.2}", cost.micros as f64 / 1000.0),
                format!("{:.1}", percent(cost.micros)),
                print::count(cost.calls),
                format!("{:.1}", cost.micros as f64 / cost.calls.max(1) as f64),
                title(cost),
                format!("{}:{}", cost.file, cost.line),
            ]
        });
        print::data(print::table(&columns, rows))?;
    }
    eprintln!(
        "{:.1} ms in all, {:.1} ms of it in templates; {} in, {} out",
        took.as_secs_f64() * 1000.0,
        total as f64 / 1000.0,
        bytes(document.len()),
        bytes(transformed.bytes.len())
    );
    Ok(ExitStatus::Done)
}

/// How a template is known: by its pattern or its name, and its mode.
fn title(cost: &TemplateCost) -> String {
    let mut title = match (cost.name.as_str(), cost.pattern.as_str()) {
        ("", pattern) => pattern.to_owned(),
        (name, "") => format!("name={name}"),
        (name, pattern) => format!("{pattern} name={name}"),
    };
    if !cost.mode.is_empty() {
        title.push_str(&format!(" mode={}", cost.mode));
    }
    title
}
