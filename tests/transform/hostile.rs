//! Stylesheets that mean harm, or might as well: each is stopped within its limits with an error that says which, and the
//! next document is served.
//!
//! `cargo nextest run -E 'test(hostile)' --success-output final` prints the figures: time until it was stopped, and the
//! most memory its worker ever held.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chancery::transform::{Death, TransformError, Transformed};

use super::Sheet;
use super::limits::{noted_pid, noting_worker, signal};

const MEMORY: u64 = 512 << 20;
/// Far enough for a busy machine to reach the other limits first.
const TIME: Duration = Duration::from_secs(300);
/// For what only time can stop.
const SHORT: Duration = Duration::from_secs(3);
const OPERATIONS: u64 = 5_000_000;

async fn run(name: &str, body: &str, document: &str) -> Result<Transformed, TransformError> {
    run_for(TIME, name, body, document).await
}

/// Runs `body` over a document and prints what it cost; `body` is harmless for `<a/>`.
async fn run_for(time: Duration, name: &str, body: &str, document: &str) -> Result<Transformed, TransformError> {
    let notes = tempfile::tempdir().unwrap();
    let sheet = Sheet::whole(&format!(
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:exsl=\"http://exslt.org/common\"\n\
         xmlns:str=\"http://exslt.org/strings\" xmlns:set=\"http://exslt.org/sets\" exclude-result-prefixes=\"exsl str set\">\n\
         <xsl:template match=\"/a\"><ok/></xsl:template>\n{body}\n</xsl:stylesheet>"
    ))
    .with(|spec| {
        spec.program = Some(noting_worker(notes.path()));
        spec.limits.memory = MEMORY;
        spec.limits.time = time;
        spec.limits.time_per_mebibyte = Duration::ZERO;
        spec.limits.operations_max = OPERATIONS;
    });
    let transformer = sheet.start().await;
    let peak = Peak::of(notes.path());
    let began = Instant::now();
    let outcome = transformer.transform(document.as_bytes()).await;
    let took = began.elapsed();
    let shown = outcome.as_ref().map_or_else(ToString::to_string, |done| format!("{} bytes", done.bytes.len()));
    let held = peak.stop();
    println!("FIGURE | {name} | {} ms | {} MiB | {shown:.150}", took.as_millis(), held >> 20);
    // What a worker may map bounds what it can hold; a busy machine may take its time to end it.
    assert!(held <= MEMORY && took < time + Duration::from_secs(60), "{name}: {took:?}, {held} bytes");
    assert!(transformer.transform(b"<a/>").await.unwrap().bytes.ends_with(b"<ok/>\n"));
    outcome
}

/// Watches the most memory that a worker ever held.
struct Peak {
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Peak {
    fn of(notes: &Path) -> Self {
        let path = format!("/proc/{}/status", noted_pid(notes));
        let (bytes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&bytes), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let status = std::fs::read_to_string(&path).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kibibytes: u64 =
                    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
                counted.fetch_max(kibibytes << 10, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        Self { bytes, stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A document with so many children.
fn wide(children: usize) -> String {
    let children: String = (0..children).map(|number| format!("<b n=\"{number}\"/>")).collect();
    format!("<hostile>{children}</hostile>")
}

fn out_of_memory(outcome: Result<Transformed, TransformError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, TransformError::WorkerDied { death: Death::Memory }), "{error}");
    assert!(error.to_string().contains("memory limit"), "{error}");
}

fn out_of_time(outcome: Result<Transformed, TransformError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, TransformError::TimedOut { .. }) && error.to_string().contains("limit of 3 s"), "{error}");
}

fn failed(outcome: Result<Transformed, TransformError>, words: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }) && error.to_string().contains(words), "{error}");
    assert!(error.to_string().contains("sheet.xsl:"), "{error}");
}

#[tokio::test]
async fn endless_recursion() {
    let body = "<xsl:template match=\"/hostile\" name=\"t\"><xsl:call-template name=\"t\"/></xsl:template>";
    failed(run("endless recursion", body, "<hostile/>").await, "the limit of 20000 nested instructions");
}

#[tokio::test]
async fn exponential_recursion() {
    let body = "<xsl:template match=\"/hostile\" name=\"t\"><xsl:param name=\"n\" select=\"60\"/><xsl:if test=\"$n &gt; 0\">\
        <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template>\
        <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>";
    failed(run("exponential recursion", body, "<hostile/>").await, "the limit of 5000000 steps");
}

#[tokio::test]
async fn hundredfold_growth() {
    let body = "<xsl:template match=\"/hostile\"><r><xsl:for-each select=\"b[position() &lt;= 100]\"><xsl:copy-of select=\"/\"/></xsl:for-each></r></xsl:template>";
    out_of_memory(run("100x growth of 2 MiB", body, &wide(120_000)).await);
}

#[tokio::test]
async fn quadratic_search() {
    let body = "<xsl:template match=\"/hostile\"><xsl:value-of select=\"count(//b[@n = //b/@n])\"/><xsl:for-each select=\"//b\"><xsl:value-of select=\"count(//b[@n = current()/@n])\"/></xsl:for-each></xsl:template>";
    failed(run("quadratic search", body, &wide(20_000)).await, "the limit of 5000000 steps");
}

#[tokio::test]
async fn sets_that_are_compared_node_by_node() {
    let body = "<xsl:template match=\"/hostile\"><xsl:value-of select=\"count(set:intersection(//b, //b[@n &gt; 1]))\"/></xsl:template>";
    out_of_time(run_for(SHORT, "set:intersection of 300 000 nodes", body, &wide(300_000)).await);
}

#[tokio::test]
async fn files() {
    let body = "<xsl:template match=\"/hostile\"><xsl:copy-of select=\"document('/etc/passwd')\"/></xsl:template>";
    failed(run("document('/etc/passwd')", body, "<hostile/>").await, "copy the file there");
}

#[tokio::test]
async fn network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let body = format!(
        "<xsl:template match=\"/hostile\"><xsl:copy-of select=\"document('http://{}/x')\"/></xsl:template>",
        listener.local_addr().unwrap()
    );
    failed(run("document('http://...')", &body, "<hostile/>").await, "a transform has no network");
    assert!(listener.accept().is_err(), "somebody connected");
}

#[tokio::test]
async fn imports() {
    for href in ["/etc/passwd", "http://127.0.0.1:9/x.xsl"] {
        let began = Instant::now();
        let error = Sheet::new(&format!("<xsl:import href=\"{href}\"/>")).refusal().await;
        println!("FIGURE | xsl:import of {href} | {} ms | - | {error:.150}", began.elapsed().as_millis());
        assert!(
            matches!(error, TransformError::Unusable { .. }) && error.to_string().contains("is refused"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_text_of_a_gigabyte() {
    let body = "<xsl:template match=\"/hostile\" name=\"t\"><xsl:param name=\"s\" select=\"'0123456789'\"/><xsl:call-template name=\"t\">\
        <xsl:with-param name=\"s\" select=\"concat($s, $s)\"/></xsl:call-template></xsl:template>";
    out_of_memory(run("a text that doubles", body, "<hostile/>").await);
}

#[tokio::test]
async fn padding() {
    let body =
        "<xsl:template match=\"/hostile\"><xsl:value-of select=\"str:padding(1000000000, 'x')\"/></xsl:template>";
    // The library itself stops at 100 000 characters.
    let done = run("str:padding(1e9)", body, "<hostile/>").await.unwrap();
    assert!(done.bytes.len() < 200_000);
}

#[tokio::test]
async fn tokens() {
    let body = "<xsl:template match=\"/hostile\"><xsl:value-of select=\"count(str:tokenize(@t))\"/></xsl:template>";
    let document = format!("<hostile t=\"{}\"/>", "a ".repeat(9_000_000));
    out_of_memory(run("str:tokenize of 18 MB", body, &document).await);
}

#[tokio::test]
async fn replacement() {
    let body = "<xsl:template match=\"/hostile\"><xsl:value-of select=\"string-length(str:replace(@t, 'a', str:padding(2000, 'b')))\"/></xsl:template>";
    let document = format!("<hostile t=\"{}\"/>", "a".repeat(1_000_000));
    out_of_memory(run("str:replace to 2 GB", body, &document).await);
}

#[tokio::test]
async fn entities_in_the_stylesheet() {
    let entities: String = ('b'..='k')
        .zip('a'..)
        .map(|(name, inner)| format!("<!ENTITY {name} \"{}\">", format!("&{inner};").repeat(10)))
        .collect();
    let began = Instant::now();
    let error = Sheet::whole(&format!(
        "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">{entities}]><xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
         <xsl:template match=\"/\"><a>&k;</a></xsl:template></xsl:stylesheet>"
    ))
    .with(|spec| spec.limits.memory = MEMORY)
    .refusal()
    .await;
    println!("FIGURE | entity bomb in the stylesheet | {} ms | - | {error:.150}", began.elapsed().as_millis());
    assert!(matches!(error, TransformError::Unusable { .. }) && error.to_string().contains("line 1: "), "{error}");
}

#[tokio::test]
async fn entities_in_the_document() {
    let document = "<!DOCTYPE hostile [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><hostile>&b;</hostile>";
    let error = run("entity bomb in the document", "", document).await.unwrap_err();
    assert!(matches!(error, TransformError::Input { .. }), "{error}");
}

#[tokio::test]
async fn a_document_nested_without_end() {
    let document = format!("<hostile>{}{}</hostile>", "<b>".repeat(100_000), "</b>".repeat(100_000));
    // Some versions of the parser refuse it, others and their built-in rules walk it without harm.
    let outcome = run("100 000 nested elements in the document", "", &document).await;
    assert!(matches!(outcome, Ok(_) | Err(TransformError::Input { .. })), "{outcome:?}");
}

/// Deeper with each round than any template may nest, which the C libraries copy by recursion.
#[tokio::test]
async fn a_tree_nested_without_end() {
    let (open, close) = ("<b>".repeat(200), "</b>".repeat(200));
    let body = format!(
        "<xsl:template match=\"/hostile\" name=\"t\"><xsl:param name=\"n\" select=\"6000\"/><xsl:param name=\"tree\" select=\"/..\"/>\
         <xsl:if test=\"$n &gt; 0\"><xsl:variable name=\"deeper\">{open}<xsl:copy-of select=\"$tree\"/>{close}</xsl:variable>\
         <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/><xsl:with-param name=\"tree\" select=\"exsl:node-set($deeper)\"/></xsl:call-template></xsl:if></xsl:template>"
    );
    let error = run_for(SHORT, "a tree that nests 200 deeper each round", &body, "<hostile/>").await.unwrap_err();
    assert!(
        matches!(
            error,
            TransformError::TimedOut { .. } | TransformError::WorkerDied { .. } | TransformError::Failed { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_explosion_of_elements() {
    let body = "<xsl:template match=\"/hostile\"><r><xsl:for-each select=\"b\"><xsl:for-each select=\"/hostile/b\"><x><y/></x></xsl:for-each></xsl:for-each></r></xsl:template>";
    out_of_memory(run("3 000 x 3 000 elements", body, &wide(3_000)).await);
}

#[tokio::test]
async fn many_keys() {
    let keys: String =
        (0..400).map(|n| format!("<xsl:key name=\"k{n}\" match=\"b\" use=\"concat(@n, '-{n}')\"/>")).collect();
    let calls: String = (0..400).map(|n| format!("<xsl:value-of select=\"count(key('k{n}', '1'))\"/>")).collect();
    let body = format!("{keys}<xsl:template match=\"/hostile\"><r>{calls}</r></xsl:template>");
    let error = run("400 keys over 40 000 nodes", &body, &wide(40_000)).await.unwrap_err();
    let memory = matches!(error, TransformError::WorkerDied { death: Death::Memory });
    assert!(memory || error.to_string().contains("limit of"), "{error}");
}

/// Neither of them grows with the number: they are harmless, and stay so.
#[tokio::test]
async fn huge_numbers() {
    let body = "<xsl:template match=\"/hostile\"><r><xsl:number value=\"1e300\"/>,<xsl:number value=\"1e15\" format=\"I\"/>,<xsl:number value=\"1e15\" format=\"a\"/>,\
        <xsl:number value=\"1e18\" grouping-size=\"1\" grouping-separator=\"'\"/>,<xsl:value-of select=\"format-number(1e300, '#,##0')\"/></r></xsl:template>";
    match run("huge xsl:number", body, "<hostile/>").await {
        Ok(done) => assert!(done.bytes.len() < 10_000),
        Err(error) => assert!(matches!(error, TransformError::Failed { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_message_that_stops() {
    let body =
        "<xsl:template match=\"/hostile\"><xsl:message terminate=\"yes\">no such room</xsl:message></xsl:template>";
    failed(run("xsl:message terminate", body, "<hostile/>").await, "it stopped itself: no such room");
}

#[tokio::test]
async fn a_flood_of_messages() {
    let body = "<xsl:template match=\"/hostile\"><xsl:for-each select=\"b\"><xsl:message><xsl:value-of select=\"str:padding(10000, 'x')\"/></xsl:message></xsl:for-each><r/></xsl:template>";
    let done = run("10 000 messages of 10 kB", body, &wide(10_000)).await.unwrap();
    let kept: usize = done.messages.iter().map(String::len).sum();
    assert!(done.messages.len() <= 100 && kept < 300_000, "{kept}");
    assert_eq!(done.messages.len() as u64 + done.messages_dropped, 10_000);
}

#[tokio::test]
async fn a_crash() {
    let notes = tempfile::tempdir().unwrap();
    let sheet = Sheet::new(super::SLOW).with(|spec| spec.program = Some(noting_worker(notes.path())));
    let transformer = sheet.start().await;
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(transformer.transform(b"<slow/>"), async {
        // The first signal only takes away the handler that tells stack overflows apart.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            signal(notes.path(), "-SEGV");
        }
    });
    let error = outcome.unwrap_err();
    println!("FIGURE | worker ended by SIGSEGV after 400 ms | {} ms | - | {error}", began.elapsed().as_millis());
    assert!(matches!(error, TransformError::WorkerDied { death: Death::Signal(11) }), "{error}");
    transformer.transform(b"<a/>").await.unwrap();
}

#[tokio::test]
async fn extension_elements_that_write() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("written");
    for (element, namespace) in [
        ("document", "http://exslt.org/common"),
        ("output", "http://icl.com/saxon"),
        ("document", "http://www.jclark.com/xt"),
        ("write", "org.apache.xalan.xslt.extensions.Redirect"),
        ("document", "http://www.w3.org/1999/XSL/Transform"),
    ] {
        let sheet = Sheet::whole(&format!(
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:e=\"{namespace}\" extension-element-prefixes=\"e\">\n\
             <xsl:template match=\"/\"><r><e:{element} href=\"{0}\" file=\"{0}\" method=\"text\">x</e:{element}></r></xsl:template></xsl:stylesheet>",
            target.display()
        ));
        let outcome = sheet.run("<a/>").await;
        assert!(!target.exists(), "{namespace}");
        // One that is not known is passed over with its content.
        assert!(outcome.as_ref().is_err() || outcome.unwrap().contains("<r"), "{namespace}");
    }
}
