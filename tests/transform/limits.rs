//! Limits and deaths: each costs one worker, and the next document is served.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chancery::transform::{Death, TransformError, Transformer};

use super::{SLOW, Sheet, bare_spec};

/// Doubles a text until memory ends, but only for the document `<bomb/>`.
const BOMB: &str = "<xsl:template match=\"/\"><xsl:if test=\"bomb\"><xsl:call-template name=\"t\"><xsl:with-param name=\"s\" select=\"'0123456789'\"/></xsl:call-template></xsl:if><ok/></xsl:template>\
    <xsl:template name=\"t\"><xsl:param name=\"s\"/><xsl:call-template name=\"t\"><xsl:with-param name=\"s\" select=\"concat($s, $s)\"/></xsl:call-template></xsl:template>";

#[tokio::test]
async fn a_memory_bomb_costs_one_worker() {
    let sheet = Sheet::new(BOMB).with(|spec| spec.limits.memory = 400 << 20);
    let transformer = sheet.start().await;
    let error = transformer.transform(b"<bomb/>").await.unwrap_err();
    assert!(matches!(error, TransformError::WorkerDied { death: Death::Memory }), "{error:?}");
    assert!(error.retry_helps() && error.to_string().contains("memory limit"), "{error}");
    assert!(transformer.transform(b"<a/>").await.unwrap().bytes.ends_with(b"<ok/>\n"));
}

#[tokio::test]
async fn a_document_larger_than_memory_costs_one_worker() {
    let sheet =
        Sheet::new("<xsl:template match=\"/\"><ok/></xsl:template>").with(|spec| spec.limits.memory = 300 << 20);
    let transformer = sheet.start().await;
    let document = format!("<a>{}</a>", "<b/>".repeat(10_000_000));
    let error = transformer.transform(document.as_bytes()).await.unwrap_err();
    assert!(matches!(error, TransformError::WorkerDied { death: Death::Memory }), "{error:?}");
    transformer.transform(b"<a/>").await.unwrap();
}

#[tokio::test]
async fn a_slow_transform_is_ended_in_time() {
    let sheet = Sheet::new(SLOW).with(|spec| {
        spec.limits.time = Duration::from_millis(1500);
        spec.limits.time_per_mebibyte = Duration::ZERO;
    });
    let transformer = sheet.start().await;
    let began = Instant::now();
    let error = transformer.transform(b"<slow/>").await.unwrap_err();
    assert!(matches!(error, TransformError::TimedOut { .. }) && error.retry_helps(), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(1500));
    transformer.transform(b"<a/>").await.unwrap();
}

/// A program that notes its process id, then becomes a worker.
pub(crate) fn noting_worker(folder: &Path) -> PathBuf {
    let (script, pid) = (folder.join("worker"), folder.join("pid"));
    let text = format!("#!/bin/sh\necho $$ > '{}'\nexec '{}' \"$@\"\n", pid.display(), env!("CARGO_BIN_EXE_chancery"));
    // Written by a child: a descriptor of ours might be inherited by another test's child, and Linux
    // executes no file that somebody has open for writing.
    let written =
        Command::new("sh").args(["-c", "printf %s \"$1\" > \"$0\" && chmod +x \"$0\""]).arg(&script).arg(text).status();
    assert!(written.unwrap().success());
    script
}

pub(crate) fn noted_pid(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("pid")).unwrap().trim().to_owned()
}

pub(crate) fn signal(folder: &Path, signal: &str) {
    assert!(Command::new("kill").args([signal, &noted_pid(folder)]).status().unwrap().success());
}

#[tokio::test]
async fn a_killed_worker_is_an_error_once() {
    let notes = tempfile::tempdir().unwrap();
    let sheet = Sheet::new(SLOW).with(|spec| spec.program = Some(noting_worker(notes.path())));
    let transformer = sheet.start().await;
    for (name, number) in [("-ABRT", 6), ("-KILL", 9)] {
        let (result, ()) = tokio::join!(transformer.transform(b"<slow/>"), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            signal(notes.path(), name);
        });
        let error = result.unwrap_err();
        assert!(matches!(error, TransformError::WorkerDied { death: Death::Signal(n) } if n == number), "{error:?}");
        assert!(error.retry_helps());
        transformer.transform(b"<a/>").await.unwrap();
    }
    // One that dies while idle is replaced without a word.
    signal(notes.path(), "-KILL");
    tokio::time::sleep(Duration::from_millis(200)).await;
    transformer.transform(b"<a/>").await.unwrap();
}

#[tokio::test]
async fn workers_end_with_their_transformer() {
    let notes = tempfile::tempdir().unwrap();
    let sheet = Sheet::new(SLOW).with(|spec| spec.program = Some(noting_worker(notes.path())));
    drop(sheet.start().await);
    let process = PathBuf::from(format!("/proc/{}/exe", noted_pid(notes.path())));
    for _ in 0..100 {
        // The link of a process that ended cannot be read, even before it is reaped.
        if std::fs::read_link(&process).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the worker still runs");
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_reported() {
    let mut spec = bare_spec();
    spec.program = Some("/bin/false".into());
    let error = Transformer::start(spec.clone()).await.unwrap_err();
    assert!(matches!(error, TransformError::WorkerDied { death: Death::Exit(1) }), "{error:?}");
    spec.program = Some("/nowhere/chancery".into());
    let error = Transformer::start(spec).await.unwrap_err();
    assert!(matches!(error, TransformError::Process { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stylesheet_that_changes_is_not_taken_unnoticed() {
    let notes = tempfile::tempdir().unwrap();
    let sheet = Sheet::new(SLOW).with(|spec| spec.program = Some(noting_worker(notes.path())));
    let transformer = sheet.start().await;
    let sheet = sheet.file("sheet.xsl", "<x xsl:version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"/>");
    transformer.transform(b"<a/>").await.unwrap();
    signal(notes.path(), "-KILL");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(matches!(transformer.transform(b"<a/>").await, Err(TransformError::Changed { .. })));
    drop(sheet);
}

#[tokio::test]
async fn many_tasks_share_the_workers() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:template match=\"/\"><xsl:value-of select=\"a\"/></xsl:template>",
    );
    let transformer = sheet.start().await;
    let outputs = futures_util::future::join_all((0..64).map(|n| {
        let transformer = &transformer;
        async move { transformer.transform(format!("<a>{n}</a>").as_bytes()).await.unwrap().bytes }
    }))
    .await;
    for (n, output) in outputs.iter().enumerate() {
        assert_eq!(output, n.to_string().as_bytes());
    }
}

#[tokio::test]
async fn the_sandbox_says_what_it_is() {
    let transformer = Sheet::new("<xsl:template match=\"/\"><ok/></xsl:template>").start().await;
    assert!(transformer.sandbox().starts_with("rlimits"), "{}", transformer.sandbox());
    assert_eq!(transformer.digest().len(), 64);
}
