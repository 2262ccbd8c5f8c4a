//! CSV, JSON Lines and RSMF, read by Python's own libraries and held against the canonical XML.

use chancery::transform::Shipped;
use serde_json::{Value, json};

use super::support::{files, read_with_python, sample, transform};

#[tokio::test]
async fn csv_keeps_every_cell_apart() {
    let rows = read_with_python("csv", &files(Shipped::Csv, &[], &sample()).await).remove(0);
    let rows = rows.as_array().unwrap();
    let stays = rows.iter().filter(|row| row["type"] == "STAY").count();
    assert_eq!(stays, sample().matches("<c:Participant ").count());
    assert_eq!(rows.len() - stays, sample().matches("<Message ").count());
    for row in rows {
        // A row with a cell too many has them under no name, one with a cell too few has nulls.
        assert_eq!(row.as_object().unwrap().len(), 51);
        assert!(row.as_object().unwrap().values().all(Value::is_string), "{row}");
    }
    let said = |event: &str| rows.iter().find(|row| row["event"] == event).unwrap();
    assert_eq!(
        said("e-04")["text"],
        "hello <all> & \"everyone\" 'here'\r\n\tsecond line ]]> \u{1F680}\n\n  indented, trailing blanks  \nreturn\rhere"
    );
    assert_eq!((&said("e-05")["in_reply_to"], &said("e-05")["thread"]), (&json!("1"), &json!("t-9")));
    assert_eq!(said("e-06")["previous_text"], "hello <all>\u{fffd} & \"everyone\"");
    assert_eq!(said("e-07")["replacement"], "[removed]");
    assert_eq!(
        (&said("e-14")["file_on_share"], &said("e-14")["missing"]),
        (&json!(""), &json!("no such file: in/<f-2>"))
    );
    assert_eq!(said("e-20")["member_previous_name"], "Cid Cole");
    assert_eq!(said("e-29")["text"], "=HYPERLINK(\"http://x.example\",\"click\")");

    let completing = sample().replacen("c:event=\"e-13\"", "c:completes=\"6\" c:event=\"e-13\"", 1);
    let rows = read_with_python("csv", &files(Shipped::Csv, &[], &completing).await).remove(0);
    let told: Vec<_> = rows.as_array().unwrap().iter().filter(|row| row["completes"] != "").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["event"], &told[0]["completes"]), (&json!("e-13"), &json!("6")));

    let guarded = files(Shipped::Csv, &[("formula_guard", "yes"), ("stays", "no")], &sample()).await;
    let rows = read_with_python("csv", &guarded).remove(0);
    assert!(rows.as_array().unwrap().iter().all(|row| row["type"] != "STAY"));
    let formula = rows.as_array().unwrap().iter().find(|row| row["event"] == "e-29").unwrap();
    assert_eq!(formula["text"], "'=HYPERLINK(\"http://x.example\",\"click\")");
}

/// An element as JSON Lines has it: its attributes by name.
fn object(element: &quick_xml::events::BytesStart<'_>) -> serde_json::Map<String, Value> {
    element
        .attributes()
        .map(|attribute| {
            let attribute = attribute.unwrap();
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
            (attribute.key.as_ref().to_owned(), Value::from(value.as_ref()))
        })
        .collect()
}

/// What the lines should say, built from the canonical XML by another way.
fn expected_lines(document: &str) -> Vec<Value> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let (mut lines, mut waiting) = (Vec::new(), Vec::new());
    let mut conversation = serde_json::Map::new();
    let mut message: Option<serde_json::Map<String, Value>> = None;
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) => {
                let name = element.name().as_ref().trim_start_matches("c:").to_owned();
                let members = object(&element);
                match name.as_str() {
                    "Conversation" => {
                        conversation = members;
                        conversation.insert("record".into(), "conversation".into());
                    }
                    "Participants" => drop(conversation.insert("participants".into(), json!([]))),
                    "Participant" => conversation["participants"].as_array_mut().unwrap().push(members.into()),
                    "Channel" | "StartTimeUTC" | "EndTimeUTC" => drop(conversation.insert(name, members.into())),
                    "Message" => message = Some(members),
                    "Sender" | "DateTimeUTC" | "Member" => {
                        if let Some(message) = &mut message {
                            message.insert(name, members.into());
                        }
                    }
                    _ => {}
                }
            }
            Event::End(end) => match end.name().as_ref() {
                "Message" => {
                    let mut line = message.take().unwrap();
                    line.insert("record".into(), "message".into());
                    line.insert("room".into(), conversation["Channel"]["uri"].clone());
                    waiting.push(Value::from(line));
                }
                "Conversation" => {
                    lines.push(Value::from(std::mem::take(&mut conversation)));
                    lines.append(&mut waiting);
                }
                _ => {}
            },
            Event::Eof => return lines,
            _ => {}
        }
    }
}

#[tokio::test]
async fn jsonl_loses_nothing() {
    let lines = read_with_python("jsonl", &files(Shipped::Jsonl, &[], &sample()).await).remove(0);
    let expected = expected_lines(&sample());
    assert_eq!(expected.len(), 4 + sample().matches("<Message ").count());
    assert_eq!(lines.as_array().unwrap(), &expected);
}

#[tokio::test]
async fn rsmf_keeps_the_rules_of_its_manifest() {
    let seen = read_with_python("rsmf", &files(Shipped::Rsmf, &[], &sample()).await);
    assert_eq!(seen.len(), 4);
    for file in &seen {
        assert_eq!((&file["problems"], &file["defects"]), (&json!([]), &json!([])));
    }
    let rates = &seen[0];
    assert_eq!(rates["dates"], json!(["(2026, 11, 22, 10, 14, 0)"]));
    let events = rates["manifest"]["events"].as_array().unwrap();
    let event = |id: &str| events.iter().find(|event| event["id"] == id).unwrap();
    let first = event("/chat/channels/1 e-04");
    assert_eq!(first["type"], "message");
    assert_eq!(first["edits"][0]["new"], "hello all");
    assert_eq!(first["reactions"], json!([{"value": "👍", "count": 1, "participants": ["sip:bob@partner.example"]}]));
    let reply = event("/chat/channels/1 e-05");
    assert_eq!((&reply["parent"], &reply["deleted"]), (&first["id"], &json!(true)));
    assert_eq!(event("/chat/channels/1 e-10")["type"], "history");
    assert_eq!(event("/chat/channels/1 e-30")["edits"][0]["new"], "an edit of a message of another day");
    assert!(events.iter().any(|event| event["id"] == "/chat/channels/1 e-28 #2"));
    assert_eq!(event("/chat/web e-13")["attachments"][0]["display"], "Q3 'draft' – Übersicht.xlsx");

    // In slices a message tells no edit of another slice, so all of them stand for themselves.
    let sliced = read_with_python("rsmf", &files(Shipped::Rsmf, &[("events_max", "5")], &sample()).await);
    assert!(sliced.iter().all(|file| file["problems"] == json!([])));
    let all: usize = sliced.iter().map(|file| file["manifest"]["events"].as_array().unwrap().len()).sum();
    assert_eq!(all, sample().matches("<Message ").count());

    let owned = files(Shipped::Rsmf, &[("custodian", "custodian@firm.example")], &sample()).await;
    assert_eq!(read_with_python("rsmf", &owned)[0]["addresses"]["From"], json!([["", "custodian@firm.example"]]));
}

#[tokio::test]
async fn html_holds_nothing_that_runs_and_hides_nothing() {
    let html = transform(Shipped::Html, &[("offset", "+09:00"), ("zone", "Tokyo")], &sample()).await;
    assert!(
        !html.contains("<script") && html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &lt;/html&gt; &amp;amp;")
    );
    // Only fragments and copies beside it are linked; nothing is loaded.
    for link in html.split("href=\"").skip(1) {
        assert!(link.starts_with('#') || link.starts_with("archive-"), "{}", &link[..40]);
    }
    assert!(!html.contains("src=") && !html.contains("url("));
    for shown in [
        "<del>hello &lt;all&gt;\u{fffd} &amp; \"everyone\"</del>",
        "<ins>hello all</ins>",
        "readers see instead: <bdi>[removed]</bdi>",
        "not in the archive: no such file: in/&lt;f-2&gt;",
        "<td class=\"time zone\">19:00:02</td>",
        "conflict: two events bear this id",
        "late: it reached the archive",
        "YnJva2VuIAAgYW5kIO2ggCBoYWxm",
        "the file is not what the source claimed",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    // Midnight in the zone begins a day.
    let late = sample().replace("string=\"2026-11-22T10:12:00Z\"", "string=\"2026-11-22T15:12:00Z\"");
    let html = transform(Shipped::Html, &[("offset", "+09:00")], &late).await;
    assert!(html.contains("Monday, 23 November 2026") && html.contains(">00:12:00</td>"));
}
