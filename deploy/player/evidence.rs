//! What an auditor would do: the evidence is checked against the archive's own files, and one message is proven.

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::chancery::Chancery;
use crate::delivery::Sent;

/// Checks and proves, and tells it in plain words.
pub(crate) fn checked(chancery: &Chancery, one: &Sent) -> Outcome<()> {
    let directory = chancery.directory();
    let (evidence, archive) = (directory.join("home/evidence"), directory.join("archive"));
    println!(
        "\nIs the archive's copy what Chancery wrote? The signed record says, without asking Chancery's database:"
    );
    let outputs = ["canonical", "vantage"].map(|adapter| archive.join(adapter));
    let [canonical, vantage] = [text(&outputs[0])?, text(&outputs[1])?];
    tell(&chancery.succeed(["verify", text(&evidence)?, "--outputs", canonical, "--outputs", vantage])?);

    println!("\nOne message of the day, {} of {}: was it archived, with exactly these bytes?", one.id, one.source);
    let (event, proof) = (directory.join("event.json"), directory.join("proof.json"));
    fs::write(&event, &one.line)?;
    chancery.succeed(["prove", &one.source, &one.id, "--out", text(&proof)?])?;
    println!(
        "chancery prove wrote {} bytes that anybody can check, without the message in them:",
        fs::metadata(&proof)?.len()
    );
    tell(&chancery.succeed(["verify", "--proof", text(&proof)?, "--event", text(&event)?])?);
    Ok(())
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| format!("{} is no UTF-8", path.display()).into())
}

fn tell(said: &[u8]) {
    for line in String::from_utf8_lossy(said).lines() {
        println!("  {line}");
    }
}
