//! The transcript as a browser shows and prints it.

use std::path::Path;
use std::process::{Command, Stdio};

use chancery::transform::Shipped;

use super::support::{read_with_python, sample, transform};

/// Runs Chromium once, without a window and with a profile of its own.
fn chromium(folder: &Path, arguments: &[&str]) {
    let page = format!("file://{}", folder.join("page.html").display());
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    // The sandbox of the browser needs rights that a container does not give; the page is ours.
    let status = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", &profile])
        .args(arguments)
        .arg(page)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("chromium is needed (deploy/install test): it shows the transcript");
    assert!(status.success(), "{arguments:?}: {status}");
}

#[tokio::test]
async fn a_browser_shows_and_prints_the_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let html = transform(Shipped::Html, &[("offset", "+09:00"), ("zone", "Tokyo")], &sample()).await;
    std::fs::write(folder.join("page.html"), html).unwrap();
    let (picture, print) = (folder.join("page.png"), folder.join("page.pdf"));
    let size = "--window-size=1100,1600";
    chromium(folder, &["--hide-scrollbars", size, &format!("--screenshot={}", picture.display())]);
    chromium(folder, &["--no-pdf-header-footer", &format!("--print-to-pdf={}", print.display())]);

    let seen = read_with_python("png", &[("png".to_owned(), std::fs::read(&picture).unwrap())]).remove(0);
    assert_eq!((&seen["width"], &seen["height"]), (&1100.into(), &1600.into()));
    // A page of one colour has none; a page of text changes its colour at every letter.
    assert!(seen["changes"].as_f64().unwrap() > 0.01, "the picture is all but blank: {seen}");

    let words = Command::new("pdftotext").args(["-layout", print.to_str().unwrap(), "-"]).output();
    let words = words.expect("pdftotext is needed (deploy/install test): it reads what the browser prints");
    let words = String::from_utf8(words.stdout).unwrap();
    for printed in [
        "Rates & credit",
        "Participants",
        "Sunday, 22 November 2026",
        "19:00:02",
        "second line ]]>",
        "uploaded a file",
        "not in the archive: no such file: in/<f-2>",
        "conflict: two events bear this id",
        // What is folded away on the screen is there on paper.
        "YnJva2VuIAAgYW5kIO2ggCBoYWxm",
    ] {
        assert!(words.contains(printed), "{printed:?} is not in\n{words}");
    }
}
