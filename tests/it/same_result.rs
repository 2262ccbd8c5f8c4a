//! The same events give the same conversations, whatever the store, the split, or how often they are rendered.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{Lab, Message, Store, messages, output_files};

const ONE_ADAPTER: &str = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n";

/// Takes the lines in, in so many runs, and gives all messages, sorted.
fn archived(store: Store, lines: &[String], runs: usize) -> Vec<Message> {
    let lab = Lab::new(store, ONE_ADAPTER);
    for (number, part) in lines.chunks(lines.len().div_ceil(runs)).enumerate() {
        lab.spool(&format!("{number}.ndjson"), part);
        lab.ok(&["run", "--once"]);
    }
    let mut found = messages(&lab.pickup("canonical"));
    for message in &mut found {
        // An event that comes after an interval closed is late in one split and not in another.
        message.late = false;
        message.attributes.retain(|(name, _)| name != "c:late");
        if message.kind.starts_with("FILE") {
            message.content.clear();
            message.exact.clear();
        }
    }
    found.sort_by(|a, b| (&a.room, &a.ticks, &a.source, &a.event).cmp(&(&b.room, &b.ticks, &b.source, &b.event)));
    found
}

#[test]
fn sqlite_and_postgres_and_any_split_give_the_same_messages() {
    let lines = Lab::new(Store::Sqlite, ONE_ADAPTER).simulate(21, 2000);
    let sqlite = archived(Store::Sqlite, &lines, 1);
    assert!(sqlite.len() > 1800);
    assert_eq!(sqlite, archived(Store::Postgres, &lines, 1), "SQLite and PostgreSQL");
    assert_eq!(sqlite, archived(Store::Sqlite, &lines, 3), "one run and three runs");
    assert_eq!(sqlite, archived(Store::Postgres, &lines, 3), "one run and three runs on PostgreSQL");
}

/// Every file of a share with its bytes, temporary ones excepted.
fn files(pickup: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(pickup)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_batch_rendered_again_gives_the_same_bytes_under_the_same_names() {
    let adapters = format!(
        "{ONE_ADAPTER}[[adapter]]\nname = \"vantage\"\ninterval = \"1h\"\ntransform = \"filedump\"\none_room_per_file = true\n"
    );
    let lab = Lab::new(Store::Sqlite, &adapters);
    for (number, part) in lab.simulate(13, 2400).chunks(1200).enumerate() {
        lab.spool(&format!("{number}.ndjson"), part);
        lab.ok(&["run", "--once"]);
    }
    let shares = ["canonical", "vantage"].map(|adapter| lab.pickup(adapter));
    let first = shares.each_ref().map(|share| files(share));
    assert!(first[0].len() > 10 && first[1].len() > 20);

    // As if the process had been killed before it recorded that the batches are rendered, and the disk had
    // kept none of their files.
    for share in &shares {
        for name in files(share).keys() {
            fs::remove_file(share.join(name)).unwrap();
        }
    }
    let undo = "update batches set state = 'cut', published_at = null where state = 'published'";
    lab.alter_sqlite(&["delete from outputs", undo]);
    lab.ok(&["run", "--once"]);
    assert_eq!(shares.each_ref().map(|share| files(share)), first);
}

#[test]
fn a_batch_that_failed_is_mended_by_retrying_it() {
    let stylesheet = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
        <xsl:output method="xml"/><xsl:template match="/"><xsl:copy-of select="."/></xsl:template></xsl:stylesheet>"#;
    let broken = stylesheet.replace("copy-of select=\".\"", "message terminate=\"yes\"");
    let adapter = |name: &str| {
        format!(
            "[[adapter]]\nname = \"{name}\"\ninterval = \"1h\"\ntransform = \"own.xsl\"\none_room_per_file = true\n"
        )
    };
    let lab = Lab::new(Store::Sqlite, &format!("{}{ONE_ADAPTER}", adapter("own")));
    let lines = lab.simulate(8, 1500);
    fs::write(lab.path("own.xsl"), stylesheet).unwrap();
    lab.spool("day.ndjson", &lines);

    // The second batch fails, is mended and retried, and must come out as if it never had failed.
    let (first, second) = lines.split_at(700);
    lab.spool("day.ndjson", first);
    lab.ok(&["run", "--once"]);
    fs::write(lab.path("own.xsl"), &broken).unwrap();
    lab.spool("rest.ndjson", second);
    let failed = lab.run(&["run", "--once"]);
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stderr));
    let batches = lab.json(&["batch", "list", "--state", "failed"]);
    let id = batches[0]["id"].to_string();
    assert!(batches[0]["reason"].as_str().unwrap().contains("stylesheet"), "{batches}");
    assert_eq!(lab.status()["state"], "alert");

    fs::write(lab.path("own.xsl"), stylesheet).unwrap();
    lab.ok(&["batch", "retry", &id]);
    lab.ok(&["run", "--once"]);
    let shown = lab.json(&["batch", "show", &id]);
    assert_eq!(shown["state"], "published");
    assert_eq!(lab.status()["state"], "ok");

    let mended = messages(&lab.pickup("own"));
    let untouched = messages(&lab.pickup("canonical"));
    assert_eq!(mended.len(), untouched.len());
    // Each mended file, a copy, holds the bytes that `transform` makes of the same conversations.
    for output in shown["outputs"].as_array().unwrap().iter().filter(|output| output["kind"] == "output") {
        let path = lab.pickup("own").join(output["name"].as_str().unwrap());
        let again = lab.ok(&["transform", "--adapter", "own", path.to_str().unwrap()]);
        assert_eq!(again.as_bytes(), fs::read(&path).unwrap());
    }
    assert!(output_files(&lab.pickup("own")).len() > 10);
}
