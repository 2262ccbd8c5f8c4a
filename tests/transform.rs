//! The transform stage through its worker process: what stylesheets may do, what they may not, and what
//! happens to those that try.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test should panic")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chancery::transform::{Death, OutputMethod, Shipped, Stylesheet, TransformError, TransformSpec, Transformer};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A stylesheet in a folder of its own.
struct Sheet {
    folder: TempDir,
    spec: TransformSpec,
}

impl Sheet {
    /// Around the given top-level elements stands what every stylesheet needs.
    fn new(top_level: &str) -> Self {
        Self::whole(&format!(
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"\n\
             xmlns:exsl=\"http://exslt.org/common\" xmlns:str=\"http://exslt.org/strings\"\n\
             xmlns:dyn=\"http://exslt.org/dynamic\" extension-element-prefixes=\"exsl str dyn\">\n\
             {top_level}\n</xsl:stylesheet>"
        ))
    }

    fn whole(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.xsl");
        std::fs::write(&path, text).unwrap();
        let mut spec = bare_spec();
        spec.stylesheet = Some(Stylesheet::File(path));
        Self { folder, spec }
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn with(mut self, change: impl FnOnce(&mut TransformSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    async fn start(&self) -> Transformer {
        Transformer::start(self.spec.clone()).await.unwrap()
    }

    async fn refusal(&self) -> TransformError {
        Transformer::start(self.spec.clone()).await.expect_err("the stylesheet should be refused")
    }

    async fn run(&self, document: &str) -> Result<String, TransformError> {
        let output = self.start().await.transform(document.as_bytes()).await?;
        Ok(String::from_utf8(output.bytes).unwrap())
    }
}

fn bare_spec() -> TransformSpec {
    let mut spec = TransformSpec::new("test");
    spec.program = Some(env!("CARGO_BIN_EXE_chancery").into());
    spec.limits.workers = 2;
    spec
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(ROOT).join(path)).unwrap()
}

// ---- what is written ----------------------------------------------------------------------------

#[tokio::test]
async fn output_methods_are_honoured() {
    let template = "<xsl:template match=\"/\"><html><br/>a &lt; b</html></xsl:template>";
    for (output, expected, method, extension) in [
        ("", "<?xml version=\"1.0\"?>\n<html><br/>a &lt; b</html>\n", OutputMethod::Xml, "xml"),
        (
            "<xsl:output method=\"xml\" omit-xml-declaration=\"yes\"/>",
            "<html><br/>a &lt; b</html>\n",
            OutputMethod::Xml,
            "xml",
        ),
        ("<xsl:output method=\"html\"/>", "<html>\n<br>a &lt; b</html>\n", OutputMethod::Html, "html"),
        ("<xsl:output method=\"text\" media-type=\"text/csv\"/>", "a < b", OutputMethod::Text, "txt"),
    ] {
        let transformer = Sheet::new(&format!("{output}{template}")).start().await;
        assert_eq!(transformer.method(), method, "{output}");
        assert_eq!(transformer.method().extension(), extension);
        assert_eq!(transformer.media_type(), output.contains("csv").then_some("text/csv"));
        let written = transformer.transform(b"<a/>").await.unwrap().bytes;
        if output.is_empty() {
            // XSLT 1.0, section 16: without xsl:output, a document element html makes it HTML.
            assert!(String::from_utf8_lossy(&written).contains("<br>"));
        } else {
            assert_eq!(String::from_utf8_lossy(&written), expected, "{output}");
        }
    }
}

#[tokio::test]
async fn the_encoding_is_honoured() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\" encoding=\"ISO-8859-1\"/><xsl:template match=\"/\"><xsl:value-of select=\"a\"/></xsl:template>",
    );
    let written = sheet.start().await.transform("<a>Grüße</a>".as_bytes()).await.unwrap().bytes;
    assert_eq!(written, b"Gr\xfc\xdfe");
}

#[tokio::test]
async fn messages_are_collected() {
    let sheet = Sheet::new(
        "<xsl:template match=\"/\"><xsl:for-each select=\"//b\"><xsl:message>seen <xsl:value-of select=\"@n\"/></xsl:message></xsl:for-each><ok/></xsl:template>",
    );
    let document = format!("<a>{}</a>", (0..150).map(|n| format!("<b n=\"{n}\"/>")).collect::<String>());
    let output = sheet.start().await.transform(document.as_bytes()).await.unwrap();
    assert_eq!(output.messages.len(), 100);
    assert_eq!(output.messages[7], "seen 7");
    assert_eq!(output.messages_dropped, 50);
}

#[tokio::test]
async fn parameters_are_texts_whatever_they_hold() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:param name=\"p\"/><xsl:param name=\"q\" select=\"'default'\"/>\
         <xsl:template match=\"/\"><xsl:value-of select=\"concat($p, '|', $q)\"/></xsl:template>",
    );
    for value in
        ["it's", "say \"x\"", "both ' and \"", "/a/b", "', document('/etc/passwd'), '", "", "ä\n\t😀 <&>", "{uri}x"]
    {
        let sheet = Sheet { folder: tempfile::tempdir().unwrap(), spec: sheet.spec.clone() }
            .with(|spec| drop(spec.parameters.insert("p".into(), value.into())));
        assert_eq!(sheet.run("<a/>").await.unwrap(), format!("{value}|default"));
    }
    for value in ["nul \0", "bell \u{7}"] {
        let mut spec = sheet.spec.clone();
        spec.parameters.insert("p".into(), value.into());
        assert!(matches!(Transformer::start(spec).await, Err(TransformError::Unusable { .. })));
    }
}

#[tokio::test]
async fn long_attributes_and_deep_recursion_of_old_stylesheets_work() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:template match=\"/\"><xsl:value-of select=\"string-length(a/@b)\"/>\
         <xsl:call-template name=\"down\"><xsl:with-param name=\"n\" select=\"5000\"/></xsl:call-template></xsl:template>\
         <xsl:template name=\"down\"><xsl:param name=\"n\"/><xsl:if test=\"$n &gt; 0\"><xsl:call-template name=\"down\">\
         <xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>",
    );
    let document = format!("<a b=\"{}\"/>", "x".repeat(200_000));
    assert_eq!(sheet.run(&document).await.unwrap(), "200000");
    // The parser's own limit of 10 MB for an attribute is lifted.
    let document = format!("<a b=\"{}\"/>", "x".repeat(11_000_000));
    assert_eq!(sheet.run(&document).await.unwrap(), "11000000");
}

#[tokio::test]
async fn registered_extensions_work_and_others_do_not() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:template match=\"/\"><xsl:for-each select=\"str:tokenize('a b c')\">\
         <xsl:value-of select=\".\"/>;</xsl:for-each></xsl:template>",
    );
    assert_eq!(sheet.run("<a/>").await.unwrap(), "a;b;c;");
    let sheet = Sheet::new("<xsl:template match=\"/\"><xsl:value-of select=\"dyn:evaluate('1')\"/></xsl:template>");
    assert!(matches!(sheet.run("<a/>").await, Err(TransformError::Failed { .. })));
}

// ---- what is refused ----------------------------------------------------------------------------

#[tokio::test]
async fn a_malformed_stylesheet_is_named_with_its_line() {
    let error = Sheet::whole("<xsl:stylesheet version=\"1.0\"\n xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\n<xsl:template>\n</xsl:stylesheet>").refusal().await;
    assert!(matches!(error, TransformError::Unusable { .. }) && !error.retry_helps());
    assert!(error.to_string().contains("sheet.xsl:4"), "{error}");

    let error = Sheet::new("<xsl:template match=\"a[\"/>").refusal().await;
    let shown = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("sheet.xsl:4: ") && shown.contains("a["), "{shown}");

    let error = bare_spec_with_file("/nowhere/sheet.xsl").await;
    assert!(error.to_string().contains("/nowhere/sheet.xsl"), "{error}");
}

async fn bare_spec_with_file(path: &str) -> TransformError {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::File(path.into()));
    Transformer::start(spec).await.expect_err("the file is not there")
}

#[tokio::test]
async fn a_failing_run_is_named_with_its_line() {
    let sheet = Sheet::new(
        "<xsl:template match=\"/\">\n\n<xsl:value-of select=\"nowhere:f()\" xmlns:nowhere=\"urn:x\"/></xsl:template>",
    );
    let error = sheet.run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }) && !error.retry_helps(), "{error}");
    let shown = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("sheet.xsl:6"), "{shown}");
}

#[tokio::test]
async fn a_stylesheet_may_stop_itself() {
    let sheet = Sheet::new(
        "<xsl:template match=\"/\"><xsl:message terminate=\"yes\">no room named</xsl:message></xsl:template>",
    );
    let error = sheet.run("<a/>").await.unwrap_err();
    assert!(error.to_string().contains("no room named"), "{error}");
}

#[tokio::test]
async fn documents_must_be_well_formed_and_bear_no_doctype() {
    let transformer = Sheet::new("<xsl:template match=\"/\"><ok/></xsl:template>").start().await;
    for document in [
        "<a><b>x</a>",
        "",
        "<a>\u{1}</a>",
        "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
        "<!DOCTYPE a SYSTEM \"/etc/passwd\"><a/>",
    ] {
        let error = transformer.transform(document.as_bytes()).await.unwrap_err();
        assert!(matches!(error, TransformError::Input { .. }), "{document}: {error}");
        assert!(!error.diagnostics().is_empty(), "{document}");
    }
    transformer.transform(b"<a/>").await.unwrap();
}

#[tokio::test]
async fn endless_recursion_and_endless_work_are_stopped() {
    let endless = Sheet::new(
        "<xsl:template match=\"/\"><xsl:call-template name=\"t\"/></xsl:template><xsl:template name=\"t\"><xsl:call-template name=\"t\"/></xsl:template>",
    );
    let error = endless.run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");

    let exponential = "<xsl:template match=\"/\"><xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"40\"/></xsl:call-template></xsl:template>\
        <xsl:template name=\"t\"><xsl:param name=\"n\"/><xsl:if test=\"$n &gt; 0\">\
        <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template>\
        <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>";
    let error =
        Sheet::new(exponential).with(|spec| spec.limits.operations_max = 100_000).run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");

    let quadratic = "<xsl:template match=\"/\"><xsl:value-of select=\"count(//b[count(//b[count(//b) &gt; 1]) &gt; 1])\"/></xsl:template>";
    let document = format!("<a>{}</a>", "<b/>".repeat(1000));
    let error =
        Sheet::new(quadratic).with(|spec| spec.limits.operations_max = 100_000).run(&document).await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn the_stack_holds_the_deepest_nesting_allowed() {
    let sheet = Sheet::new(
        "<xsl:template match=\"a\" name=\"t\"><xsl:choose><xsl:when test=\"true()\"><xsl:for-each select=\".\"><xsl:variable name=\"x\"><b>\
         <xsl:apply-templates select=\".\"/></b></xsl:variable><xsl:copy-of select=\"$x\"/></xsl:for-each></xsl:when></xsl:choose></xsl:template>",
    );
    let error = sheet.run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn no_file_is_read_that_is_not_the_stylesheets_own() {
    let compile = [
        "<xsl:import href=\"/etc/passwd\"/>",
        "<xsl:include href=\"../../../../../../etc/passwd\"/>",
        "<xsl:import href=\"file:///etc/passwd\"/>",
        "<xsl:import href=\"http://127.0.0.1:9/x.xsl\"/>",
    ];
    for import in compile {
        let error = Sheet::new(import).refusal().await;
        let shown = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(shown.contains("refused"), "{import}: {shown}");
    }
    let entity = Sheet::whole(
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"/etc/hostname\">]><xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:template match=\"/\"><a>&e;</a></xsl:template></xsl:stylesheet>",
    );
    assert!(matches!(entity.refusal().await, TransformError::Unusable { .. }));

    for address in ["/etc/passwd", "file:///etc/passwd", "beside.xml", "http://127.0.0.1:9/x"] {
        let sheet = Sheet::new(&format!(
            "<xsl:template match=\"/\"><xsl:copy-of select=\"document('{address}')\"/></xsl:template>"
        ))
        .file("beside.xml", "<secret/>");
        let error = sheet.run("<a/>").await.unwrap_err();
        assert!(matches!(error, TransformError::Failed { .. }), "{address}: {error}");
        assert!(!error.diagnostics().is_empty());
    }
}

#[tokio::test]
async fn nothing_is_written() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("written");
    for element in ["exsl:document", "xsl:document"] {
        let sheet = Sheet::new(&format!(
            "<xsl:template match=\"/\"><{element} href=\"{}\" method=\"text\">x</{element}></xsl:template>",
            target.display()
        ));
        let error = sheet.run("<a/>").await;
        assert!(!target.exists(), "{element}");
        assert!(error.is_err(), "{element}");
    }
}

#[tokio::test]
async fn the_own_folder_and_the_own_text_are_open() {
    let sheet = Sheet::new(
        "<xsl:import href=\"parts/part.xsl\"/><xsl:output method=\"text\"/>\
         <m:words xmlns:m=\"urn:m\"><m:word>inside</m:word></m:words>\
         <xsl:template match=\"/\"><xsl:call-template name=\"part\"/>,<xsl:value-of select=\"document('')//m:word\" xmlns:m=\"urn:m\"/></xsl:template>",
    );
    std::fs::create_dir(sheet.folder.path().join("parts")).unwrap();
    let part = "<!DOCTYPE xsl:stylesheet [<!ENTITY word \"part &#228;\">]><xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
        <xsl:template name=\"part\">&word;<x>own</x>,<xsl:value-of select=\"document('')//x\"/></xsl:template></xsl:stylesheet>";
    let sheet = sheet.file("parts/part.xsl", part);
    assert_eq!(sheet.run("<a/>").await.unwrap(), "part äown,own,inside");
}

// ---- limits and deaths --------------------------------------------------------------------------

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

/// Works for ever on `<slow/>`; the operation limit is far away.
const SLOW: &str = "<xsl:template match=\"/\"><xsl:if test=\"slow\"><xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"60\"/></xsl:call-template></xsl:if><ok/></xsl:template>\
    <xsl:template name=\"t\"><xsl:param name=\"n\"/><xsl:if test=\"$n &gt; 0\">\
    <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template>\
    <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>";

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
fn noting_worker(folder: &Path) -> PathBuf {
    let (script, pid) = (folder.join("worker"), folder.join("pid"));
    let text = format!("#!/bin/sh\necho $$ > '{}'\nexec '{}' \"$@\"\n", pid.display(), env!("CARGO_BIN_EXE_chancery"));
    // Written by a child: a descriptor of ours might be inherited by another test's child, and Linux
    // executes no file that somebody has open for writing.
    let written =
        Command::new("sh").args(["-c", "printf %s \"$1\" > \"$0\" && chmod +x \"$0\""]).arg(&script).arg(text).status();
    assert!(written.unwrap().success());
    script
}

fn noted_pid(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("pid")).unwrap().trim().to_owned()
}

fn signal(folder: &Path, signal: &str) {
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

// ---- schemas ------------------------------------------------------------------------------------

fn schema_spec(schema: &str) -> TransformSpec {
    let mut spec = bare_spec();
    spec.schema = Some(Path::new(ROOT).join("schemas").join(schema));
    spec
}

#[tokio::test]
async fn the_sample_follows_the_full_schema_and_broken_variants_do_not() {
    let transformer = Transformer::start(schema_spec("canonical.xsd")).await.unwrap();
    let sample = String::from_utf8(read("transforms/filedump/sample.xml")).unwrap();
    transformer.validate(sample.as_bytes()).await.unwrap();
    let old_spelling = sample.replace(" UserName=", " userName=");
    transformer.validate(old_spelling.as_bytes()).await.unwrap();

    for (from, to) in [
        ("type=\"CHAT\"", "type=\"SHOUT\""),
        ("id=\"4711\"", "id=\"2147483648\""),
        ("<Messages>", "<Messages>leaked text"),
        ("c:late=\"true\"", "c:late=\"perhaps\""),
        ("c:late=\"true\"", "c:tardy=\"true\""),
        ("c:sha256=\"3a", "c:sha256=\"zz"),
        ("FirstMessage", "SecondMessage"),
        ("Channel uri=", "Channel url="),
        ("<c:Member ", "<c:Person "),
        ("since1970=\"1795342500123\"", "since1970=\"morning\""),
    ] {
        assert!(sample.contains(from), "{from}");
        let broken = sample.replace(from, to);
        let error = transformer.validate(broken.as_bytes()).await.unwrap_err();
        assert!(matches!(error, TransformError::Invalid { .. }), "{to}: {error}");
    }
    let error = transformer.validate(b"<Conversations>").await.unwrap_err();
    assert!(matches!(error, TransformError::Input { .. }), "{error}");
}

#[tokio::test]
async fn the_old_layout_follows_its_schema_and_ours_does_not() {
    let transformer = Transformer::start(schema_spec("lync2013.xsd")).await.unwrap();
    let old = String::from_utf8(read("tests/data/conversation-lync2013.xml")).unwrap();
    transformer.validate(old.as_bytes()).await.unwrap();
    transformer.validate(&read("tests/data/conversation-full.xml")).await.unwrap_err();
    for (from, to) in [
        ("type=\"CHAT\"", "type=\"EDIT\""),
        ("id=\"4711\"", "id=\"2147483648\""),
        ("<Channel ", "<Channel islogged=\"\" "),
        (" UserName=", " userName="),
    ] {
        let broken = old.replacen(from, to, 1);
        assert_ne!(broken, old, "{from}");
        assert!(matches!(transformer.validate(broken.as_bytes()).await, Err(TransformError::Invalid { .. })), "{to}");
    }
}

#[tokio::test]
async fn errors_of_a_schema_do_not_quote_content() {
    let transformer = Transformer::start(schema_spec("canonical.xsd")).await.unwrap();
    let sample = String::from_utf8(read("transforms/filedump/sample.xml")).unwrap();
    let error = transformer.validate(sample.replace("id=\"4711\"", "id=\"the secret\"").as_bytes()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    assert!(error.to_string().contains("attribute 'id'"), "{error}");
}

#[tokio::test]
async fn the_output_of_a_stylesheet_is_checked() {
    let schema = "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"><xs:element name=\"good\"/></xs:schema>";
    let sheet = |output: &str| {
        let sheet = Sheet::new(output).file("own.xsd", schema);
        let path = sheet.folder.path().join("own.xsd");
        sheet.with(|spec| spec.schema = Some(path))
    };
    let transformer = sheet("<xsl:template match=\"/\"><xsl:element name=\"{name(*)}\"/></xsl:template>").start().await;
    transformer.transform(b"<good/>").await.unwrap();
    assert!(matches!(transformer.transform(b"<bad/>").await, Err(TransformError::Invalid { .. })));
    let error = sheet("<xsl:output method=\"text\"/>").refusal().await;
    assert!(error.to_string().contains("schema"), "{error}");
}

#[tokio::test]
async fn a_schema_may_include_only_its_own_folder() {
    let schema = "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">\n<xs:include schemaLocation=\"/etc/passwd\"/></xs:schema>";
    let sheet = Sheet::new("").file("own.xsd", schema);
    let path = sheet.folder.path().join("own.xsd");
    let error = sheet.with(|spec| spec.schema = Some(path)).refusal().await;
    assert!(error.diagnostics().iter().any(|diagnostic| diagnostic.text.contains("refused")), "{error:?}");
}

// ---- our transforms -----------------------------------------------------------------------------

async fn shipped(parameters: &[(&str, &str)], document: &[u8]) -> String {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::Shipped(Shipped::FileDump));
    spec.parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let output = Transformer::start(spec).await.unwrap().transform(document).await.unwrap();
    String::from_utf8(output.bytes).unwrap()
}

#[tokio::test]
async fn filedump_writes_what_is_expected() {
    let output = shipped(&[], &read("transforms/filedump/sample.xml")).await;
    assert_eq!(output, String::from_utf8(read("transforms/filedump/expected.xml")).unwrap());
}

#[tokio::test]
async fn filedump_reads_every_dialect_alike() {
    let full = String::from_utf8(read("tests/data/conversation-full.xml")).unwrap();
    let expected = shipped(&[], full.as_bytes()).await;
    assert_eq!(shipped(&[], full.replace(" UserName=", " userName=").as_bytes()).await, expected);

    // Without the list of participants they are found in what people did.
    let old = shipped(&[("elements", "core")], &read("tests/data/conversation-lync2013.xml")).await;
    for person in ["Anna Schmidt", "Carla Rossi", "Bob &quot;", "Bob \"Bobby\""] {
        let count = |element: &str| old.matches(&format!("<{element}>\n      <LoginName>{person}")).count();
        assert_eq!(count("ParticipantEntered"), count("ParticipantLeft"), "{person}");
    }
    assert_eq!(old.matches("<ParticipantEntered>").count(), 4);
    assert!(old.contains("<UserFileName>0b1e6a52-4f3d-4c0e-9b2a-5d8f0c7a1e11.pdf</UserFileName>"));
    assert!(!old.contains("<MessageId>") && !old.contains("<UserType>"));
}

#[tokio::test]
async fn filedump_balances_every_entering_with_a_leaving() {
    let message = |kind: &str, uri: &str, ms: u32| {
        format!(
            "<Message type=\"{kind}\" content=\"\" id=\"0\"><Sender UserName=\"{uri}\" id=\"1\" uri=\"{uri}\"/><DateTimeUTC since1970=\"{ms}\"/></Message>"
        )
    };
    let messages: String = [
        ("JOIN", "a", 1000),
        ("JOIN", "a", 2000),
        ("PART", "a", 3000),
        ("PART", "a", 3500),
        ("JOIN", "a", 4000),
        ("PART", "b", 5000),
        ("CHAT", "c", 6000),
        ("JOIN", "c", 7000),
    ]
    .iter()
    .map(|(kind, uri, ms)| message(kind, uri, *ms))
    .collect();
    let document = format!(
        "<Conversations><Conversation><Channel uri=\"r\" name=\"R\"/><FirstMessage/><Messages>{messages}</Messages>\
         <StartTimeUTC since1970=\"1000\"/><EndTimeUTC since1970=\"7000\"/></Conversation></Conversations>"
    );
    let output = shipped(&[("time_unit", "s"), ("login", "uri")], document.as_bytes()).await;
    let moves = |element: &str| {
        output
            .split(&format!("<{element}>"))
            .skip(1)
            .map(|part| {
                let between = |open: &str| part.split(open).nth(1).and_then(|rest| rest.split('<').next()).unwrap();
                format!("{}{}", between("<LoginName>"), between("<DateTimeUTC>"))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(moves("ParticipantEntered"), ["a1", "b1", "c1", "a4"]);
    assert_eq!(moves("ParticipantLeft"), ["a3", "b5", "a7", "c7"]);
}

#[tokio::test]
async fn filedump_refuses_parameters_it_does_not_know() {
    for (name, value) in [("time_unit", "minutes"), ("login", "phone"), ("elements", "some")] {
        let mut spec = bare_spec();
        spec.stylesheet = Some(Stylesheet::Shipped(Shipped::FileDump));
        spec.parameters.insert(name.into(), value.into());
        let error = Transformer::start(spec).await.unwrap().transform(b"<Conversations/>").await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn an_old_stylesheet_sees_no_difference_between_full_and_old_layout() {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::File(Path::new(ROOT).join("tests/data/old-layout.xsl")));
    let transformer = Transformer::start(spec).await.unwrap();
    let full = transformer.transform(&read("tests/data/conversation-full.xml")).await.unwrap().bytes;
    let old = transformer.transform(&read("tests/data/conversation-lync2013.xml")).await.unwrap().bytes;
    let (full, old) = (String::from_utf8(full).unwrap(), String::from_utf8(old).unwrap());
    assert_eq!(full, old);
    for found in [
        "<Room name=\"Rates &amp; Desks &lt;EMEA&gt;\"",
        "<Opening by=\"Anna Schmidt\" ticks=\"639309393001234567\">Good morning.\nTwo lines,\ta tab",
        ">Bob \"Bobby\" O'Neil</By>",
        "at=\"1795342500123\"",
    ] {
        assert!(full.contains(found), "{found}");
    }
}

// ---- the worker by itself -----------------------------------------------------------------------

/// A worker spoken to by hand, in the frames that `src/transform/frame.rs` describes.
struct RawWorker(std::process::Child);

impl RawWorker {
    fn start(stylesheet: &Path, parent: u32) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .arg(chancery::transform::WORKER_COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut worker = Self(child);
        let start = serde_json::json!({
            "stylesheet": {"file": stylesheet}, "schema": null, "parameters": {}, "parent": parent,
            "limits": chancery::transform::Limits::default(),
        });
        worker.send(&start, b"");
        assert!(worker.receive().contains("ready"));
        worker
    }

    fn send(&mut self, head: &serde_json::Value, body: &[u8]) {
        let head = head.to_string();
        let mut frame = (head.len() as u32).to_le_bytes().to_vec();
        frame.extend((body.len() as u64).to_le_bytes());
        frame.extend(head.as_bytes());
        frame.extend(body);
        self.0.stdin.as_mut().unwrap().write_all(&frame).unwrap();
    }

    /// The head of the next answer.
    fn receive(&mut self) -> String {
        let answers = self.0.stdout.as_mut().unwrap();
        let mut lengths = [0; 12];
        answers.read_exact(&mut lengths).unwrap();
        let mut head = vec![0; u32::from_le_bytes(lengths[..4].try_into().unwrap()) as usize];
        answers.read_exact(&mut head).unwrap();
        String::from_utf8(head).unwrap()
    }

    fn end(mut self) -> std::process::ExitStatus {
        drop(self.0.stdin.take());
        self.0.wait().unwrap()
    }
}

#[test]
fn a_worker_ends_when_its_processor_time_is_used_up() {
    let sheet = Sheet::new(SLOW);
    let mut worker = RawWorker::start(&sheet.folder.path().join("sheet.xsl"), std::process::id());
    worker.send(&serde_json::json!({"task": "transform", "cpu_secs": 1}), b"<slow/>");
    assert_eq!(Death::from(worker.end()), Death::ProcessorTime);
}

#[test]
fn a_busy_worker_ends_when_its_parent_is_gone() {
    let sheet = Sheet::new(SLOW);
    let mut worker = RawWorker::start(&sheet.folder.path().join("sheet.xsl"), std::process::id() + 1);
    let began = Instant::now();
    worker.send(&serde_json::json!({"task": "transform", "cpu_secs": 60}), b"<slow/>");
    assert!(worker.0.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_worker_ends_with_its_input_and_refuses_what_is_no_frame() {
    let sheet = Sheet::new(SLOW);
    let path = sheet.folder.path().join("sheet.xsl");
    assert!(RawWorker::start(&path, std::process::id()).end().success());

    let mut worker = RawWorker::start(&path, std::process::id());
    worker.send(&serde_json::json!({"task": "dance"}), b"<a/>");
    assert_eq!(worker.end().code(), Some(76));
}
