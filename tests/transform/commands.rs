//! `chancery transform` as people use it, and every command of the guide.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{ROOT, Sheet, read};

const PROGRAM: &str = env!("CARGO_BIN_EXE_chancery");

fn chancery(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).env_remove("CHANCERY_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const BODY: &str = "<xsl:output method=\"xml\" indent=\"no\"/><xsl:param name=\"p\" select=\"'none'\"/>\n\
    <xsl:template match=\"/Conversations\"><r p=\"{$p}\"><xsl:apply-templates select=\"Conversation\"/></r></xsl:template>\n\
    <xsl:template match=\"Conversation\"><c><xsl:value-of select=\"count(Messages/Message)\"/></c></xsl:template>";

#[test]
fn the_sample_is_printed_or_transformed() {
    let sheet = Sheet::new(BODY);
    let folder = sheet.folder.path();
    let sample = chancery(folder, &["transform", "--sample"]);
    assert!(sample.status.success() && text(&sample.stdout).contains("<Message type=\"MEMBER\""));
    let old = chancery(folder, &["transform", "--sample", "--dialect", "lync2013"]);
    assert!(!text(&old.stdout).contains("urn:chancery:1"));

    std::fs::write(folder.join("sample.xml"), &sample.stdout).unwrap();
    let of_file = chancery(folder, &["transform", "--stylesheet", "sheet.xsl", "--param", "p=it's", "sample.xml"]);
    let of_sample = chancery(folder, &["transform", "--stylesheet", "sheet.xsl", "--param", "p=it's", "--sample"]);
    assert_eq!(text(&of_file.stdout), text(&of_sample.stdout));
    assert!(text(&of_file.stdout).contains("<r p=\"it's\"><c>"), "{of_file:?}");

    let joined = chancery(folder, &["transform", "--stylesheet", "sheet.xsl", "--render", "conversation", "--sample"]);
    let whole = chancery(folder, &["transform", "--stylesheet", "sheet.xsl", "--sample"]);
    assert_eq!(text(&joined.stdout), text(&whole.stdout));
    assert_eq!(text(&whole.stdout).matches("<c>").count(), 4);

    let written = chancery(folder, &["transform", "--stylesheet", "filedump", "--sample", "--out", "out.xml"]);
    assert!(written.status.success() && written.stdout.is_empty());
    assert!(text(&std::fs::read(folder.join("out.xml")).unwrap()).contains("<FileDump>"));
}

#[test]
fn wrong_uses_say_what_to_do() {
    let sheet = Sheet::new(BODY).file("old.xml", "<Conversations/>").file("broken.xml", "<Conversations>");
    for (arguments, code, words) in [
        (&["transform", "old.xml"][..], 2, "name an adapter with --adapter or a stylesheet with --stylesheet"),
        (&["transform"], 2, "required"),
        (&["transform", "--stylesheet", "none.xsl", "old.xml"], 3, "none.xsl"),
        (&["transform", "--stylesheet", "sheet.xsl", "none.xml"], 6, "none.xml"),
        (&["transform", "--stylesheet", "sheet.xsl", "--param", "q=1", "old.xml"], 7, "did you mean p?"),
        (&["transform", "--stylesheet", "sheet.xsl", "--param", "p", "old.xml"], 2, "NAME=VALUE"),
        (&["transform", "--stylesheet", "sheet.xsl", "broken.xml"], 7, "not well-formed"),
        (
            &["transform", "--stylesheet", "sheet.xsl", "--render", "conversation", "broken.xml"],
            7,
            "found the end of the file",
        ),
        (&["transform", "--lint", "sheet.xsl", "old.xml"], 2, "cannot be used with"),
        (&["transform", "--stylesheet", "filedump", "--watch", "old.xml"], 2, "never changes"),
        (
            &["transform", "--stylesheet", "sheet.xsl", "--profile", "--render", "conversation", "old.xml"],
            2,
            "whole document",
        ),
    ] {
        let output = chancery(sheet.folder.path(), arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn the_profile_is_sorted_by_time() {
    let sheet = Sheet::new(BODY);
    let folder = sheet.folder.path();
    let table = chancery(folder, &["transform", "--stylesheet", "sheet.xsl", "--profile", "--sample"]);
    let shown = text(&table.stdout);
    assert!(shown.contains("sheet.xsl:5") && shown.contains("sheet.xsl:6") && !shown.contains("<r"), "{shown}");
    assert!(text(&table.stderr).contains("ms in all"));
    let json =
        chancery(folder, &["--format", "json", "transform", "--stylesheet", "sheet.xsl", "--profile", "--sample"]);
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let micros: Vec<u64> = rows.as_array().unwrap().iter().map(|row| row["micros"].as_u64().unwrap()).collect();
    assert_eq!(micros.len(), 2);
    assert!(micros.is_sorted_by(|one, other| one >= other));
    let calls = rows.as_array().unwrap().iter().find(|row| row["pattern"] == "Conversation").unwrap();
    assert_eq!(calls["calls"], 4);
}

#[test]
fn the_linter_speaks_to_people_programs_and_the_configuration_check() {
    let bad = "<xsl:template match=\"Message\"><xsl:value-of select=\"//x[@id = current()/@id]\"/></xsl:template>";
    let sheet = Sheet::new(bad);
    let folder = sheet.folder.path();
    let output = chancery(folder, &["transform", "--lint", "sheet.xsl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("sheet.xsl:4:"), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr), "slow: 1\n");
    let output = chancery(folder, &["--format", "json", "transform", "--lint", "sheet.xsl"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((findings[0]["rule"].as_str(), findings[0]["line"].as_u64()), (Some("join-without-key"), Some(4)));

    let config = "[[source]]\nuri = \"urn:a\"\n[[adapter]]\nname = \"own\"\ntransform = \"sheet.xsl\"\n[[adapter]]\nname = \"shipped\"\ntransform = \"filedump\"\n";
    std::fs::write(folder.join("chancery.toml"), config).unwrap();
    let output = chancery(folder, &["config", "check"]);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("warning: adapter \"own\": sheet.xsl:4:"), "{said}");
    assert_eq!(said.matches("warning:").count(), 1, "{said}");
}

#[test]
fn an_adapter_is_tried_with_its_parameters_and_limits() {
    let sheet = Sheet::new(BODY);
    let folder = sheet.folder.path();
    let config = "[[source]]\nuri = \"urn:a\"\n[[adapter]]\nname = \"own\"\ntransform = \"sheet.xsl\"\nparameters = { p = \"set\" }\n[adapter.limits]\nmemory = \"256MiB\"\n";
    std::fs::write(folder.join("chancery.toml"), config).unwrap();
    let output = chancery(folder, &["transform", "--adapter", "own", "--sample"]);
    assert!(text(&output.stdout).contains("<r p=\"set\">"), "{output:?}");
    let output = chancery(folder, &["transform", "--adapter", "own", "--param", "p=mine", "--sample"]);
    assert!(text(&output.stdout).contains("<r p=\"mine\">"), "{output:?}");
    std::fs::write(folder.join("large.xml"), format!("<Conversations>{}</Conversations>", "<b/>".repeat(4_000_000)))
        .unwrap();
    let output = chancery(folder, &["transform", "--adapter", "own", "large.xml"]);
    assert!(output.status.code() == Some(7) && text(&output.stderr).contains("memory limit"), "{output:?}");
}

/// Runs until it was told to stop; gives the lines that it printed after each change.
#[test]
fn watching_runs_again_after_each_change() {
    let sheet = Sheet::new(BODY).file("in.xml", "<Conversations/>");
    let folder = sheet.folder.path();
    let mut child = Command::new(PROGRAM)
        .args(["transform", "--stylesheet", "sheet.xsl", "--watch", "in.xml", "--out", "out.xml"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().ends_with(" bytes"));
    let first = std::fs::read(folder.join("out.xml")).unwrap();
    // The document, then the stylesheet, then a mistake in it, then its cure.
    std::fs::write(folder.join("in.xml"), "<Conversations><Conversation/></Conversations>").unwrap();
    assert!(next().ends_with(" bytes"));
    assert_ne!(std::fs::read(folder.join("out.xml")).unwrap(), first);
    let good = std::fs::read_to_string(folder.join("sheet.xsl")).unwrap();
    std::fs::write(folder.join("sheet.xsl"), good.replace("<c>", "<changed><c>")).unwrap();
    assert!(next().ends_with("failed"));
    std::fs::write(folder.join("sheet.xsl"), good.replace("'none'", "'changed'")).unwrap();
    assert!(next().ends_with(" bytes"));
    assert!(text(&std::fs::read(folder.join("out.xml")).unwrap()).contains("p=\"changed\""));

    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(said.contains("sheet.xsl:"), "{said}");
}

/// The blocks of a language in a page, without their fences.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let open = format!("```{language}\n");
    page.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_command_of_the_guide_works() {
    let page = text(&read("docs/stylesheets.md"));
    let folder = tempfile::tempdir().unwrap();
    for block in blocks(&page, "xml") {
        let name = block.lines().next().unwrap().trim_start_matches("<!-- ").trim_end_matches(" -->");
        std::fs::write(folder.path().join(name), block).unwrap();
    }
    std::fs::copy(PathBuf::from(ROOT).join("tests/data/old-layout.xsl"), folder.path().join("old.xsl")).unwrap();
    let path = format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for line in blocks(&page, "sh").concat().lines() {
        // What does not end by itself is asked to.
        let line = if line.contains("--watch") {
            format!("timeout --signal=INT --preserve-status 5 {line}")
        } else {
            line.to_owned()
        };
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", &line])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}\n{}{}", text(&output.stdout), text(&output.stderr));
        run += 1;
    }
    assert!(run >= 11, "{run}");
    // The configuration of the guide, in a file with a source.
    let config =
        format!("[[source]]\nuri = \"urn:a\"\n{}", blocks(&page, "toml")[0].replace("schema = ", "#schema = "));
    std::fs::write(folder.path().join("chancery.toml"), config).unwrap();
    let output = chancery(folder.path(), &["transform", "--adapter", "archive", "sample.xml"]);
    assert!(text(&output.stdout).contains("tenant=\"emea\""), "{output:?}");
}
