//! Names that people give their files: kept to the last character in what the archive reads, and never a name on a disk.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Lab, Store, messages, validate};

fn names() -> Vec<String> {
    let long = |letter: &str| letter.repeat(300);
    let mut names: Vec<String> = [
        "",
        ".",
        "..",
        "../../../../etc/cron.d/own",
        "/etc/passwd",
        "a/b/c.txt",
        "a\\b\\c.txt",
        "C:\\autoexec.bat",
        "-rf",
        "~root",
        " lead and trail ",
        "trailing.",
        "two\nlines.txt",
        "tab\tbed.txt",
        "\u{1}\u{1b}[31mred\u{7f}.txt",
        "nul\u{0}byte.txt",
        "carriage\rreturn",
        "$(reboot);`id`|x&&y.sh",
        "*?[a-z].txt",
        "CON",
        "aux.txt",
        ".inprogress",
        "o.xml",
        "x.ack",
        "x.ATTACH",
        "x_inprogress",
        "a.tar.gz",
        "name.EXE",
        "a.longerthanany",
        "<b>&amp;\"'.html",
        "]]>.xml",
        "\u{202e}fdp.exe",
        "\u{feff}bom.txt",
        "\u{fffe}no character",
        "e\u{301}.txt",
        "\u{e9}.txt",
        "отчёт за квартал.docx",
        "تقرير.pdf",
        "דוח.pdf",
        "報告書.xlsx",
        "보고서.hwp",
        "รายงาน.pdf",
        "रिपोर्ट.pdf",
        "έκθεση.pdf",
        "զեկույց.pdf",
        "ანგარიში.pdf",
        "👩‍👩‍👧‍👦.png",
        "\u{1f1e9}\u{1f1ea}.gif",
        "𒀀𒁀.txt",
    ]
    .map(str::to_owned)
    .into();
    names.extend([long("a"), long("ä"), long("報"), long("../"), format!("{}.pdf", long("x"))]);
    names.push(format!("x.{}", long("p")));
    names
}

#[test]
fn every_name_is_preserved_and_none_is_a_name_on_the_share() {
    let adapter = "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\nattachments_manifest = true\n";
    let lab = Lab::new(Store::Sqlite, adapter);
    let names = names();
    let lines: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let file = serde_json::json!({
                "name": name, "media_type": "text/plain", "inline": STANDARD.encode(format!("content {number}")),
            });
            serde_json::json!({
                "specversion": "1.0", "id": number.to_string(), "source": "/web/1", "type": "chat.file.uploaded",
                "subject": "room:1", "time": "2026-11-22T10:00:00Z",
                "data": { "sender": { "uri": "sip:a@example.com" }, "file": file },
            })
            .to_string()
        })
        .collect();
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);

    let pickup = lab.pickup("canonical");
    let mut on_share = 0;
    for entry in fs::read_dir(&pickup).unwrap() {
        let (name, kind) = entry.map(|entry| (entry.file_name(), entry.file_type().unwrap())).unwrap();
        let name = name.into_string().unwrap();
        if name != ".inprogress" {
            assert!(kind.is_file() && name.starts_with("canonical-"), "{name:?}");
            assert!(
                name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)),
                "{name:?}"
            );
            on_share += 1;
        }
    }
    assert_eq!(on_share, names.len() + 2, "each content once, the output and its manifest");

    let found = messages(&pickup);
    assert_eq!(found.len(), names.len());
    for message in &found {
        let number: usize = message.event.parse().unwrap();
        let told = exact(&message.attributes.iter().cloned().collect(), "c:fileName");
        assert_eq!(told.as_deref(), Some(names[number].as_bytes()), "the output, of {:?}", names[number]);
        assert_eq!(fs::read(pickup.join(&message.content)).unwrap(), format!("content {number}").as_bytes());
    }

    // Copies may end in `.xml` as well.
    let manifests = fs::read_dir(&pickup).unwrap().map(|entry| entry.unwrap().path());
    let manifest =
        manifests.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "ATTACH")).unwrap();
    validate("canonical.xsd", &manifest.with_extension("xml"));
    validate("attachments.xsd", &manifest);
    let text = fs::read_to_string(&manifest).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let listed: Vec<_> = document.root_element().children().filter(roxmltree::Node::is_element).collect();
    assert_eq!(listed.len(), names.len());
    for one in listed {
        let attributes: BTreeMap<String, String> = one
            .attributes()
            .map(|attribute| {
                let prefix = if attribute.namespace().is_some() { "c:" } else { "" };
                (format!("{prefix}{}", attribute.name()), attribute.value().to_owned())
            })
            .collect();
        let number: usize = attributes["event"].parse().unwrap();
        let told = exact(&attributes, "originalName");
        assert_eq!(told.as_deref(), Some(names[number].as_bytes()), "the manifest, of {:?}", names[number]);
        assert_eq!(
            attributes.get("size").map(String::as_str),
            Some(format!("content {number}").len().to_string().as_str())
        );
    }
}

/// An attribute as it was before what XML cannot hold was replaced; one that is not there was empty.
fn exact(attributes: &BTreeMap<String, String>, name: &str) -> Option<Vec<u8>> {
    let kept =
        attributes.iter().find(|(key, _)| key.trim_start_matches("c:") == "originals").map(|(_, kept)| kept.as_str());
    let original = kept.unwrap_or_default().split(' ').find_map(|one| one.strip_prefix(name)?.strip_prefix(':'));
    match original {
        Some(original) => STANDARD.decode(original).ok(),
        None => Some(attributes.get(name).cloned().unwrap_or_default().into_bytes()),
    }
}
