//! What an adapter's options do to the files on the share: rendering, splitting, setting aside, manifests, heartbeats.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Lab, Message, Store, eventually, keys, messages, output_files, validate};

/// A line of the spool: something said in a room.
fn said(room: &str, id: &str, text: &str) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "/web/1", "type": "chat.message.posted",
        "time": format!("2026-11-20T10:{:02}:{:02}Z", id.len() % 60, id.bytes().map(u32::from).sum::<u32>() % 60),
        "subject": room,
        "data": {
            "room": {"uri": room, "name": room, "kind": "room"},
            "sender": {"id": 7, "uri": "sip:ann@firm.example", "name": "Ann", "email": "ann@firm.example"},
            "message": {"id": id, "text": text},
        },
    })
    .to_string()
}

/// A line of the spool: a file uploaded to a room, its bytes within.
fn uploaded(room: &str, id: &str, name: &str, base64: &str) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "/web/1", "type": "chat.file.uploaded", "time": "2026-11-20T10:30:00Z", "subject": room,
        "data": {
            "room": {"uri": room, "name": room, "kind": "room"},
            "sender": {"id": 7, "uri": "sip:ann@firm.example", "name": "Ann", "email": "ann@firm.example"},
            "file": {"id": id, "name": name, "media_type": "text/plain", "inline": base64},
        },
    })
    .to_string()
}

/// The files of a share by name, temporary ones excepted.
fn files(pickup: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(pickup) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

/// Attachments are named by their digest.
fn attachment(name: &str) -> bool {
    let digest = name.split('-').next_back().and_then(|end| end.split('.').next()).unwrap_or_default();
    digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn events(messages: &[Message]) -> BTreeSet<(String, String)> {
    messages.iter().map(|message| (message.source.clone(), message.event.clone())).collect()
}

/// Every message of these outputs, and that none stands there twice.
fn once_each(found: &[Message]) -> BTreeSet<(String, String)> {
    let different = events(found);
    assert_eq!(different.len(), found.len(), "a message stands there twice");
    different
}

const FORMATS: [&str; 6] = ["xml", "filedump", "csv", "html", "jsonl", "akonix"];

#[test]
fn both_ways_to_render_give_the_same_bytes() {
    let adapters = |way: &str| -> String {
        let adapter = |format: &&str| {
            format!(
                "[[adapter]]\nname = \"{format}\"\ninterval = \"1h\"\ntransform = \"{format}\"\nrender = \"{way}\"\n"
            )
        };
        FORMATS.iter().map(adapter).collect()
    };
    let lab = Lab::new(Store::Sqlite, &adapters("whole"));
    lab.spool("day.ndjson", &lab.simulate(5, 600));
    lab.ok(&["run", "--once"]);
    let shares = || FORMATS.map(|format| files(&lab.pickup(format)));
    let whole = shares();
    assert!(whole.iter().all(|share| share.keys().filter(|name| !attachment(name)).count() == 1));

    // As if the process had been killed before it recorded that the batches are rendered.
    for (format, share) in FORMATS.iter().zip(&whole) {
        share.keys().for_each(|name| fs::remove_file(lab.pickup(format).join(name)).unwrap());
    }
    let undo = "update batches set state = 'cut', published_at = null where state = 'published'";
    lab.alter_sqlite(&["delete from outputs", undo]);
    lab.configure(&adapters("conversation"));
    lab.ok(&["run", "--once"]);
    for ((format, whole), joined) in FORMATS.iter().zip(&whole).zip(&shares()) {
        // Both wrote the batch of the first run; the second run's own batch is empty.
        assert!(whole == joined, "{format}");
    }
}

#[test]
fn outputs_are_split_between_conversations_and_large_conversations_between_messages() {
    let limit = 60_000;
    let options = "interval = \"1h\"\nmax_file_size = \"60KB\"\n";
    let adapters = format!(
        "[[adapter]]\nname = \"plain\"\n{options}[[adapter]]\nname = \"joined\"\n{options}transform = \"xml\"\n\
         [[adapter]]\nname = \"whole\"\n{options}transform = \"xml\"\nrender = \"whole\"\n\
         [[adapter]]\nname = \"rooms\"\n{options}one_room_per_file = true\n"
    );
    let lab = Lab::new(Store::Sqlite, &adapters);
    let mut lines = lab.simulate(6, 400);
    lines.extend((0..300).map(|number| said("room:large", &format!("large-{number:04}"), &"word ".repeat(80))));
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    let expected: BTreeSet<(String, String)> = keys(&lines).into_iter().collect();
    for adapter in ["plain", "joined", "whole", "rooms"] {
        let pickup = lab.pickup(adapter);
        let outputs = output_files(&pickup);
        assert!(outputs.len() > 6, "{adapter}: {} outputs", outputs.len());
        for output in &outputs {
            assert!(fs::metadata(output).unwrap().len() <= limit, "{adapter}: {}", output.display());
            validate("canonical.xsd", output);
        }
        let found = messages(&pickup);
        assert_eq!(once_each(&found), expected, "{adapter}");

        // The parts of the large conversation, in the order of their names.
        let texts: Vec<String> = outputs.iter().map(|output| fs::read_to_string(output).unwrap()).collect();
        let parts: Vec<&str> = texts
            .iter()
            .flat_map(|text| text.split("<Conversation ").skip(1))
            .filter(|conversation| conversation.contains("uri=\"room:large\""))
            .collect();
        assert!(parts.len() > 2, "{adapter}");
        for (number, part) in parts.iter().enumerate() {
            let marks = format!("c:part=\"{}\" c:parts=\"{}\"", number + 1, parts.len());
            assert!(part.contains(&marks), "{adapter}: {marks}");
            assert!(
                part.contains("<c:Participant uri=\"sip:ann@firm.example\""),
                "{adapter}: participants in each part"
            );
        }
    }
}

/// Copies all, but stops at the word "unsayable".
const PICKY: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="xml" encoding="UTF-8"/>
  <xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>
  <xsl:template match="Message[contains(@content, 'unsayable')]"><xsl:message terminate="yes">cannot say this</xsl:message></xsl:template>
</xsl:stylesheet>"#;

fn one_conversation_is_set_aside_and_mended(store: Store, render: &str) {
    let own =
        format!("[[adapter]]\nname = \"own\"\ninterval = \"1h\"\ntransform = \"own.xsl\"\nrender = \"{render}\"\n");
    let lab = Lab::new(store, &format!("{own}[[adapter]]\nname = \"other\"\ninterval = \"1h\"\n"));
    fs::write(lab.path("own.xsl"), PICKY).unwrap();
    let mut lines = lab.simulate(9, 200);
    lines.extend([
        said("room:bad", "bad-1", "fine"),
        said("room:bad", "bad-2", "unsayable"),
        said("room:worse", "bad-3", "unsayable too"),
    ]);
    lab.spool("day.ndjson", &lines);
    let run = lab.run(&["run", "--once"]);
    assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stderr));

    let expected: BTreeSet<(String, String)> = keys(&lines).into_iter().collect();
    let bad: BTreeSet<(String, String)> = ["bad-1", "bad-2", "bad-3"].map(|id| ("/web/1".into(), id.into())).into();
    let sound: BTreeSet<(String, String)> = expected.difference(&bad).cloned().collect();
    assert_eq!(once_each(&messages(&lab.pickup("other"))), expected, "the other adapter");
    assert_eq!(once_each(&messages(&lab.pickup("own"))), sound, "the other conversations");

    // What failed, and why, stands with the supplement; an alert tells of it.
    let failed = lab.json(&["batch", "list", "--state", "failed"]);
    let id = failed[0]["id"].to_string();
    let shown = lab.json(&["batch", "show", &id]);
    let set_aside = shown["set_aside"].as_array().unwrap();
    let rooms: BTreeSet<&str> = set_aside.iter().map(|one| one["room"].as_str().unwrap()).collect();
    assert_eq!(rooms, BTreeSet::from(["room:bad", "room:worse"]), "{shown}");
    assert!(set_aside.iter().all(|one| one["reason"].as_str().unwrap().contains("cannot say this")), "{shown}");
    assert_eq!(shown["messages"], 3);
    assert_eq!(lab.status()["state"], "alert");

    // Retrying changes nothing as long as the stylesheet is the same.
    lab.ok(&["batch", "retry", &id]);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1));
    assert_eq!(once_each(&messages(&lab.pickup("own"))), sound);

    fs::write(lab.path("own.xsl"), PICKY.replace("unsayable", "never said")).unwrap();
    lab.ok(&["batch", "retry", &id]);
    lab.ok(&["run", "--once"]);
    assert_eq!(lab.json(&["batch", "show", &id])["state"], "published");
    assert_eq!(lab.status()["state"], "ok");
    let mended = messages(&lab.pickup("own"));
    assert_eq!(once_each(&mended), expected, "each message once, in one file or the other");
    let untouched = messages(&lab.pickup("other"));
    let in_order = |messages: &[Message]| -> BTreeMap<(String, String), Vec<(String, String)>> {
        messages.iter().map(|one| ((one.source.clone(), one.event.clone()), one.attributes.clone())).collect()
    };
    assert_eq!(in_order(&mended), in_order(&untouched));
}

#[test]
fn a_conversation_that_fails_by_itself_is_set_aside_and_mended() {
    one_conversation_is_set_aside_and_mended(Store::Sqlite, "conversation");
}

#[test]
fn a_conversation_that_spoils_a_whole_document_is_set_aside_and_mended() {
    one_conversation_is_set_aside_and_mended(Store::Sqlite, "whole");
}

#[test]
fn a_conversation_is_set_aside_and_mended_on_postgres() {
    one_conversation_is_set_aside_and_mended(Store::Postgres, "conversation");
}

#[test]
fn a_supplement_can_be_abandoned_which_is_recorded() {
    let lab = Lab::new(Store::Sqlite, "[[adapter]]\nname = \"own\"\ninterval = \"1h\"\ntransform = \"own.xsl\"\n");
    fs::write(lab.path("own.xsl"), PICKY).unwrap();
    lab.spool("day.ndjson", &[said("room:good", "1", "fine"), said("room:bad", "2", "unsayable")]);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1));
    let id = lab.json(&["batch", "list", "--state", "failed"])[0]["id"].to_string();
    lab.ok(&["batch", "abandon", &id, "--reason", "the archive cannot read it", "--yes"]);
    assert_eq!(lab.json(&["batch", "show", &id])["state"], "abandoned");
    assert_eq!(lab.status()["state"], "ok");
    lab.ok(&["run", "--once"]);
    assert_eq!(messages(&lab.pickup("own")).len(), 1);
}

#[test]
fn a_stylesheet_that_fails_everywhere_sets_the_whole_batch_aside_soon() {
    let failing = PICKY.replace("contains(@content, 'unsayable')", "true()");
    let adapter =
        "[[adapter]]\nname = \"own\"\ninterval = \"1h\"\ntransform = \"own.xsl\"\nrender = \"conversation\"\n";
    let lab = Lab::new(Store::Sqlite, adapter);
    fs::write(lab.path("own.xsl"), failing).unwrap();
    let lines: Vec<String> = (0..100).map(|room| said(&format!("room:{room}"), &room.to_string(), "words")).collect();
    lab.spool("day.ndjson", &lines);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1));
    let batches = lab.json(&["batch", "list"]);
    assert_eq!(batches.as_array().unwrap().len(), 1, "no supplement: {batches}");
    assert_eq!(batches[0]["state"], "failed");
    let reason = batches[0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("none of 25 conversations could be rendered, so mend the stylesheet; the first:"),
        "{reason}"
    );

    fs::write(lab.path("own.xsl"), PICKY).unwrap();
    lab.ok(&["batch", "retry", &batches[0]["id"].to_string()]);
    lab.ok(&["run", "--once"]);
    assert_eq!(once_each(&messages(&lab.pickup("own"))).len(), 100);
}

#[test]
fn the_attachments_manifest_lists_every_file_that_an_output_speaks_of() {
    let adapters =
        "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\nattachments_manifest = true\none_room_per_file = true\n";
    let lab = Lab::new(Store::Sqlite, adapters);
    let missing =
        uploaded("room:1", "gone", "gone.txt", "").replace("\"inline\":\"\"", "\"location\":\"nowhere/gone.txt\"");
    let lines = [
        uploaded("room:1", "first", "one <&> \u{202e}two.txt", "aGVsbG8="),
        uploaded("room:1", "again", "same content.txt", "aGVsbG8="),
        missing,
        said("room:2", "words", "no file here"),
    ];
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    let share = files(&lab.pickup("canonical"));
    let manifests: Vec<(&String, &Vec<u8>)> = share.iter().filter(|(name, _)| name.ends_with(".ATTACH")).collect();
    assert_eq!(manifests.len(), 2, "one beside each output: {:?}", share.keys());
    for (name, manifest) in &manifests {
        let output = name.replace(".ATTACH", ".xml");
        assert!(share.contains_key(&output));
        let path = lab.pickup("canonical").join(name);
        validate("attachments.xsd", &path);
        let text = std::str::from_utf8(manifest).unwrap();
        let document = roxmltree::Document::parse(text).unwrap();
        let root = document.root_element();
        assert_eq!(root.attribute("output"), Some(output.as_str()));
        let listed: Vec<_> = root.children().filter(roxmltree::Node::is_element).collect();
        if text.contains("first") {
            let names: Vec<_> = listed.iter().map(|one| one.attribute("name")).collect();
            assert_eq!(listed.len(), 3);
            assert!(names[0].is_some() && names[0] == names[1], "one copy of one content");
            assert_eq!(listed[0].attribute("originalName"), Some("one <&> \u{202e}two.txt"));
            assert_eq!(listed[0].attribute("size"), Some("5"));
            assert_eq!(listed[0].attribute("mediaType"), Some("text/plain"));
            assert_eq!(share[names[0].unwrap()], b"hello");
            assert_eq!((names[2], listed[2].attribute("event")), (None, Some("gone")));
            assert!(!listed[2].attribute("missing").unwrap().is_empty());
            assert_eq!(listed[2].attribute("originalName"), Some("gone.txt"));
        } else {
            assert!(listed.is_empty());
        }
    }
}

#[test]
fn an_interval_without_events_makes_a_file_only_where_that_is_asked() {
    let adapters = "[[adapter]]\nname = \"silent\"\ninterval = \"1h\"\n\
        [[adapter]]\nname = \"plain\"\ninterval = \"1h\"\nheartbeat_file = true\n\
        [[adapter]]\nname = \"vantage\"\ninterval = \"1h\"\nheartbeat_file = true\ntransform = \"filedump\"\n";
    let lab = Lab::new(Store::Sqlite, adapters);
    lab.ok(&["run", "--once"]);
    assert!(files(&lab.pickup("silent")).is_empty());
    let [plain, vantage] = ["plain", "vantage"].map(|adapter| files(&lab.pickup(adapter)));
    assert_eq!((plain.len(), vantage.len()), (1, 1));
    assert!(plain.values().all(|bytes| bytes.ends_with(b"</Conversations>\n")));
    validate("canonical.xsd", &lab.pickup("plain").join(plain.keys().next().unwrap()));
    assert!(vantage.values().all(|bytes| String::from_utf8_lossy(bytes).contains("<FileDump")));
    let batches = lab.json(&["batch", "list"]);
    let states: BTreeSet<&str> =
        batches.as_array().unwrap().iter().map(|batch| batch["state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["empty", "published"]));
}

#[test]
fn mails_are_packaged_with_their_files_inside() {
    let adapters = "[[adapter]]\nname = \"mail\"\ninterval = \"1h\"\ntransform = \"eml\"\n\
        [[adapter]]\nname = \"review\"\ninterval = \"1h\"\ntransform = \"rsmf\"\n";
    let lab = Lab::new(Store::Sqlite, adapters);
    let lines = [
        uploaded("room:1", "first", "figures.txt", "aGVsbG8="),
        said("room:1", "words", "see the figures"),
        said("room:2", "other", "nothing attached"),
    ];
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    for (adapter, ending) in [("mail", ".eml"), ("review", ".rsmf")] {
        let share = files(&lab.pickup(adapter));
        assert_eq!(share.len(), 2, "one file per room and nothing beside: {:?}", share.keys());
        assert!(share.keys().all(|name| name.ends_with(ending)), "{:?}", share.keys());
        let batches = lab.json(&["batch", "list"]);
        assert!(batches.as_array().unwrap().iter().all(|batch| batch["messages"] == 3), "{batches}");
    }
    let mails = files(&lab.pickup("mail"));
    let with_file = mails.values().find(|mail| String::from_utf8_lossy(mail).contains("figures.txt")).unwrap();
    assert!(String::from_utf8_lossy(with_file).contains("aGVsbG8="), "the bytes are inside");
}

#[test]
fn mails_that_are_too_large_are_split_between_messages() {
    let adapter = "[[adapter]]\nname = \"mail\"\ninterval = \"1h\"\ntransform = \"eml\"\nmax_file_size = \"100KB\"\n";
    let lab = Lab::new(Store::Sqlite, adapter);
    let lines: Vec<String> = (0..200)
        .map(|number| said("room:1", &format!("m-{number:03}"), &format!("say-{number:03} {}", "word ".repeat(100))))
        .collect();
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    let mails = files(&lab.pickup("mail"));
    assert!(mails.len() > 2, "{:?}", mails.keys());
    assert!(mails.values().all(|mail| mail.len() <= 100_000));
    let ids: BTreeSet<String> = mails
        .values()
        .filter_map(|mail| {
            String::from_utf8_lossy(mail).lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned)
        })
        .collect();
    assert_eq!(ids.len(), mails.len(), "each part is a mail of its own");
    for number in 0..200 {
        let word = format!("say-{number:03}");
        let holding = mails.values().filter(|mail| String::from_utf8_lossy(mail).contains(&word)).count();
        assert_eq!(holding, 1, "{word}");
    }
}

#[test]
fn what_a_format_cannot_say_is_counted_in_the_batchs_record() {
    let adapter = |name: &str, value: &str| {
        format!(
            "[[adapter]]\nname = \"{name}\"\ninterval = \"1h\"\ntransform = \"akonix\"\nparameters = {{ tell_all = \"{value}\" }}\n"
        )
    };
    let lab = Lab::new(Store::Sqlite, &(adapter("all", "yes") + &adapter("six", "no")));
    let lines = lab.simulate(12, 1000);
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    let batches = lab.json(&["batch", "list"]);
    let count = |adapter: &str, key: &str| {
        let batch = batches.as_array().unwrap().iter().find(|batch| batch["adapter"] == adapter).unwrap();
        batch[key].as_u64().unwrap()
    };
    let written = |adapter: &str| {
        let texts = files(&lab.pickup(adapter)).into_iter().filter(|(name, _)| name.ends_with(".xml"));
        texts.map(|(_, text)| String::from_utf8(text).unwrap().matches("<Message ").count() as u64).sum::<u64>()
    };
    assert_eq!((count("all", "left_out"), count("all", "messages")), (0, written("all")));
    assert!(count("six", "left_out") > 0);
    assert_eq!(count("six", "messages"), written("six"));
    assert_eq!(count("six", "messages") + count("six", "left_out"), count("all", "messages"));
}

/// The heading of a CSV file stands in the first conversation's result, whichever that turns out to be.
#[test]
fn what_stands_once_in_a_file_stands_in_each_file_once() {
    let stylesheet = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
      <xsl:output method="text" encoding="UTF-8" media-type="text/csv"/>
      <xsl:param name="chancery-part" select="'first'"/>
      <xsl:template match="/">
        <xsl:if test="$chancery-part = 'first'">HEADING&#10;</xsl:if>
        <xsl:for-each select="//Messages/Message">
          <xsl:if test="@content = 'unsayable'"><xsl:message terminate="yes">cannot say this</xsl:message></xsl:if>
          <xsl:value-of select="concat(@content, '&#10;')"/>
        </xsl:for-each>
      </xsl:template>
    </xsl:stylesheet>"#;
    let options = "interval = \"1h\"\ntransform = \"own.xsl\"\nrender = \"conversation\"\n";
    let adapters = format!(
        "[[adapter]]\nname = \"one\"\n{options}[[adapter]]\nname = \"split\"\n{options}max_file_size = \"16KiB\"\n"
    );
    let lab = Lab::new(Store::Sqlite, &adapters);
    fs::write(lab.path("own.xsl"), stylesheet).unwrap();
    // The first conversation fails, so that the second one begins the file although it was to follow.
    let mut lines = vec![said("room:000", "bad", "unsayable")];
    lines.extend((0..12).map(|room| {
        said(&format!("room:{room:03}+"), &format!("m{room}"), &format!("{room:03} {}", "x".repeat(4000)))
    }));
    lab.spool("day.ndjson", &lines);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1));
    for (adapter, expected) in [("one", 1), ("split", 3)] {
        let share = files(&lab.pickup(adapter));
        assert_eq!(share.len(), expected, "{adapter}: {:?}", share.keys());
        let texts: Vec<String> = share.into_values().map(|text| String::from_utf8(text).unwrap()).collect();
        assert!(
            texts.iter().all(|text| text.starts_with("HEADING\n") && text.matches("HEADING").count() == 1),
            "{adapter}"
        );
        let rows: Vec<&str> = texts.iter().flat_map(|text| text.lines().skip(1)).collect();
        assert_eq!(rows.len(), 12, "{adapter}");
    }
}

/// What cannot be joined, and what does not follow the schema, is its conversation's fault alone.
#[test]
fn results_that_cannot_be_joined_or_break_the_schema_are_set_aside() {
    let sheet = |body: &str| {
        format!(
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
             <xsl:output method=\"xml\" encoding=\"UTF-8\"/><xsl:template match=\"/\">{body}</xsl:template></xsl:stylesheet>"
        )
    };
    let options = "interval = \"1h\"\nrender = \"conversation\"\n";
    let adapters = format!(
        "[[adapter]]\nname = \"differs\"\n{options}transform = \"differs.xsl\"\n\
         [[adapter]]\nname = \"breaks\"\n{options}transform = \"breaks.xsl\"\nschema = \"own.xsd\"\n"
    );
    let lab = Lab::new(Store::Sqlite, &adapters);
    let own = "<a><xsl:if test=\"//Message[contains(@content, 'odd')]\"><xsl:attribute name=\"odd\">1</xsl:attribute></xsl:if><b/></a>";
    fs::write(lab.path("differs.xsl"), sheet(own)).unwrap();
    let own = "<a><b/><xsl:if test=\"//Message[contains(@content, 'odd')]\"><c/></xsl:if></a>";
    fs::write(lab.path("breaks.xsl"), sheet(own)).unwrap();
    let schema = r#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a"><xs:complexType><xs:sequence>
        <xs:element name="b" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element></xs:schema>"#;
    fs::write(lab.path("own.xsd"), schema).unwrap();
    let lines = [said("room:1", "1", "plain"), said("room:2", "2", "odd"), said("room:3", "3", "plain")];
    lab.spool("day.ndjson", &lines);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1));
    let failed = lab.json(&["batch", "list", "--state", "failed"]);
    for (adapter, words) in [("differs", "they must be equal"), ("breaks", "does not follow its schema")] {
        let share = files(&lab.pickup(adapter));
        let text = String::from_utf8(share.into_values().next().unwrap()).unwrap();
        assert!(text.ends_with("<a><b/><b/></a>\n"), "{adapter}: {text}");
        let batch = failed.as_array().unwrap().iter().find(|batch| batch["adapter"] == adapter).unwrap();
        let shown = lab.json(&["batch", "show", &batch["id"].to_string()]);
        assert_eq!(shown["set_aside"][0]["room"], "room:2", "{shown}");
        assert!(shown["set_aside"][0]["reason"].as_str().unwrap().contains(words), "{shown}");
    }
}

/// A stylesheet that never comes to an end, one that wants all memory, and one that crashes by its own recursion.
const HOSTILE: [(&str, &str); 3] = [
    (
        "endless",
        r#"<xsl:template match="/"><xsl:call-template name="again"/></xsl:template><xsl:template name="again"><xsl:for-each select="//* | //@*"><xsl:variable name="v" select="count(//*[. = current()]) + count(//@*[. = current()])"/></xsl:for-each><xsl:call-template name="again"/></xsl:template>"#,
    ),
    (
        "greedy",
        r#"<xsl:template match="/"><xsl:call-template name="double"><xsl:with-param name="text" select="'0123456789'"/></xsl:call-template></xsl:template><xsl:template name="double"><xsl:param name="text"/><xsl:call-template name="double"><xsl:with-param name="text" select="concat($text, $text)"/></xsl:call-template></xsl:template>"#,
    ),
    (
        "deep",
        r#"<xsl:template match="/"><xsl:call-template name="deeper"><xsl:with-param name="n" select="0"/></xsl:call-template></xsl:template><xsl:template name="deeper"><xsl:param name="n"/><x><xsl:call-template name="deeper"><xsl:with-param name="n" select="$n + 1"/></xsl:call-template></x></xsl:template>"#,
    ),
];

/// How long the sound adapter's output takes after its events were handed over, while others do what they like.
fn delay_beside(hostile: &[(&str, &str)]) -> (std::time::Duration, u64) {
    let mut adapters = String::from("[[adapter]]\nname = \"sound\"\ninterval = \"1s\"\ntransform = \"filedump\"\n");
    for (name, _) in hostile {
        adapters += &format!(
            "[[adapter]]\nname = \"{name}\"\ninterval = \"1s\"\ntransform = \"{name}.xsl\"\n\
             [adapter.limits]\nmemory = \"256MiB\"\ntime = \"3s\"\nworkers = 1\n"
        );
    }
    let lab = Lab::new(Store::Sqlite, &adapters);
    for (name, templates) in hostile {
        let sheet = format!(
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">{templates}</xsl:stylesheet>"
        );
        fs::write(lab.path(&format!("{name}.xsl")), sheet).unwrap();
    }
    let daemon = lab.daemon();
    lab.spool("day.ndjson", &lab.simulate(3, 300));
    let begun = std::time::Instant::now();
    eventually("the sound adapter's output", || {
        files(&lab.pickup("sound")).iter().any(|(name, _)| name.ends_with(".xml"))
    });
    let taken = begun.elapsed();
    if !hostile.is_empty() {
        eventually("each hostile stylesheet is stopped", || {
            let failed = lab.json(&["batch", "list", "--state", "failed"]);
            let adapters: BTreeSet<&str> =
                failed.as_array().unwrap().iter().map(|batch| batch["adapter"].as_str().unwrap()).collect();
            hostile.iter().all(|(name, _)| adapters.contains(name))
        });
        for batch in lab.json(&["batch", "list", "--state", "failed"]).as_array().unwrap() {
            let reason = batch["reason"].as_str().unwrap();
            let known = ["limit", "operations", "memory", "depth", "deep", "nest"];
            assert!(known.iter().any(|word| reason.contains(word)), "{reason}");
        }
    }
    let peak = daemon.peak_memory();
    assert_eq!(daemon.terminate().0, Some(0));
    (taken, peak)
}

/// The times are printed, not asserted: what is asserted is that the hostile ones end, and that the sound one works.
#[test]
fn hostile_stylesheets_end_within_their_limits_beside_a_sound_one() {
    let (alone, peak_alone) = delay_beside(&[]);
    let (beside, peak_beside) = delay_beside(&HOSTILE);
    println!(
        "sound adapter: {alone:.2?} alone, {beside:.2?} beside three hostile ones; peak of the daemon {} and {} MiB",
        peak_alone >> 20,
        peak_beside >> 20
    );
}

/// The name of each output begins with the same stem, and sorts.
#[test]
fn names_of_split_outputs_sort_in_the_order_of_their_content() {
    let adapter = "[[adapter]]\nname = \"plain\"\ninterval = \"1h\"\nmax_file_size = \"20KB\"\ncompress = true\n";
    let lab = Lab::new(Store::Sqlite, adapter);
    let lines: Vec<String> =
        (0..120).map(|number| said("room:1", &format!("m-{number:03}"), &"word ".repeat(40))).collect();
    lab.spool("day.ndjson", &lines);
    lab.ok(&["run", "--once"]);
    let outputs: Vec<PathBuf> = files(&lab.pickup("plain")).into_keys().map(PathBuf::from).collect();
    assert!(outputs.len() > 3);
    for (number, output) in (1..).zip(&outputs) {
        assert!(output.to_string_lossy().ends_with(&format!("-p{number:06}.xml.zst")), "{}", output.display());
    }
}

/// The largest memory that the process and, one by one, its children had, in bytes, until it ended.
fn peaks(mut child: std::process::Child) -> (u64, u64) {
    let peak = |id: &str| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) << 10
    };
    let id = child.id();
    let (mut own, mut workers) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        own = own.max(peak(&id.to_string()));
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let all: String =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).chain([children]).collect();
        workers = all.split_whitespace().map(&peak).fold(workers, u64::max);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(child.wait().unwrap().success());
    (own, workers)
}

/// Prints the memory that docs/adapters.md states.
#[test]
#[ignore = "writes more than a gigabyte and takes minutes; `cargo nextest run --run-ignored only large_conversation` runs it"]
fn a_large_conversation_is_split_in_bounded_memory() {
    const MESSAGES: usize = 30_000;
    let options = "interval = \"1h\"\nmax_file_size = \"50MB\"\n";
    let lab = Lab::new(
        Store::Sqlite,
        &format!(
            "[[adapter]]\nname = \"plain\"\n{options}[[adapter]]\nname = \"joined\"\n{options}transform = \"xml\"\n\
             [[adapter]]\nname = \"vantage\"\n{options}transform = \"filedump\"\n"
        ),
    );
    let text = "ten bytes ".repeat(1000);
    let lines: Vec<String> = (0..MESSAGES).map(|number| said("room:large", &format!("m{number}"), &text)).collect();
    lab.spool("day.ndjson", &lines);
    let (daemon, workers) = peaks(lab.command(&["run", "--once"]).spawn().unwrap());
    let expected: BTreeSet<(String, String)> = keys(&lines).into_iter().collect();
    for adapter in ["plain", "joined"] {
        let outputs = output_files(&lab.pickup(adapter));
        let sizes: Vec<u64> = outputs.iter().map(|output| fs::metadata(output).unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size <= 50_000_000), "{sizes:?}");
        outputs.iter().for_each(|output| validate("canonical.xsd", output));
        assert_eq!(once_each(&messages(&lab.pickup(adapter))), expected, "{adapter}");
        println!("{adapter}: {} parts, {} MB", sizes.len(), sizes.iter().sum::<u64>() / 1_000_000);
    }
    let dumps = output_files(&lab.pickup("vantage"));
    let told: usize = dumps.iter().map(|dump| fs::read_to_string(dump).unwrap().matches("<Message>").count()).sum();
    assert_eq!(told, MESSAGES);
    println!(
        "vantage: {} parts; peak memory: process {} MiB, largest worker {} MiB",
        dumps.len(),
        daemon >> 20,
        workers >> 20
    );
}
