//! A mixed day of 10,000 events through every shipped transform: each event once, and what cannot be carried counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use chancery::package::Attachment;
use chancery::transform::Shipped;
use serde_json::Value;

use super::support::{Packaged, attribute, count, events, messages, read_with_python, transform, transform_counting};

/// The canonical output of a simulated day, and the pickup directory with its attachments.
fn simulated_day(home: &Path) -> (String, std::path::PathBuf) {
    let config = home.join("chancery.toml");
    let sources = "[[source]]\nuri = \"/channel-service/1\"\n[[source]]\nuri = \"/web/1\"\n";
    std::fs::write(
        &config,
        format!("home = \"home\"\nlaboratory = true\n{sources}[[adapter]]\nname = \"canonical\"\ninterval = \"1d\"\n"),
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_chancery")).arg("--config").arg(&config).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let incoming = home.join("home/incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    let lines = home.join("day.ndjson");
    let out = lines.to_str().unwrap();
    run(&["simulate", "--seed", "77", "--events", "10000", "--start", "2026-11-20T08:00:00Z", "--out", out]);
    std::fs::rename(&lines, incoming.join("day.ndjson")).unwrap();
    run(&["run", "--once"]);
    let pickup = home.join("home/pickup/canonical");
    let outputs: Vec<_> = std::fs::read_dir(&pickup)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect();
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    (std::fs::read_to_string(&outputs[0]).unwrap(), pickup)
}

fn packaged(document: &str, pickup: &Path) -> Vec<(String, Vec<u8>)> {
    let open = |name: &str| {
        let file = std::fs::File::open(pickup.join(name))?;
        Ok(Attachment { size: file.metadata()?.len(), bytes: Box::new(file) })
    };
    let mut packaged = Packaged::default();
    chancery::package::write(document.as_bytes(), &open, &mut packaged).unwrap();
    packaged.files
}

/// The values of an attribute of HTML, wherever it stands.
fn values<'t>(html: &'t str, name: &str) -> Vec<&'t str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

fn part<'m>(mail: &'m Value, media_type: &str) -> &'m str {
    let parts = mail["parts"].as_array().unwrap();
    parts.iter().find(|part| part["type"] == media_type && part["text"].is_string()).unwrap()["text"].as_str().unwrap()
}

#[tokio::test]
async fn every_event_appears_once() {
    let home = tempfile::tempdir().unwrap();
    let (day, pickup) = simulated_day(home.path());
    let all = events(&day);
    let total: usize = all.values().sum();
    // Renewals of presence and heartbeats make no message.
    assert!(total > 9_000, "{total}");
    let types = count(messages(&day).map(|message| attribute(message, "type").unwrap().to_owned()));
    let of = |kinds: &[&str]| kinds.iter().map(|kind| types.get(*kind).copied().unwrap_or(0)).sum::<usize>();

    for shipped in Shipped::ALL {
        let output = transform(shipped, &[], &day).await;
        let files = |extension: &str| vec![(extension.to_owned(), output.clone().into_bytes())];
        let found: BTreeMap<String, usize> = match shipped {
            Shipped::Xml => events(&output),
            Shipped::Jsonl => count(output.lines().filter_map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let word = |name: &str| line[name].as_str().unwrap().to_owned();
                (line["record"] == "message").then(|| format!("{} {}", word("c:source"), word("c:event")))
            })),
            Shipped::Csv => {
                let rows = read_with_python("csv", &files("csv")).remove(0);
                count(
                    rows.as_array()
                        .unwrap()
                        .iter()
                        .filter(|row| row["type"] != "STAY")
                        .map(|row| format!("{} {}", row["source"].as_str().unwrap(), row["event"].as_str().unwrap())),
                )
            }
            Shipped::Html => count(values(&output, "data-event").into_iter().map(str::to_owned)),
            Shipped::Eml | Shipped::GlobalRelay => {
                let mails = read_with_python("mail", &packaged(&output, &pickup));
                count(mails.iter().flat_map(|mail| {
                    let html = part(mail, "text/html");
                    let ids = values(html, "data-source").into_iter().zip(values(html, "data-event"));
                    ids.map(|(source, event)| format!("{source} {event}")).collect::<Vec<_>>()
                }))
            }
            Shipped::Rsmf => {
                let seen = read_with_python("rsmf", &packaged(&output, &pickup));
                assert!(
                    seen.iter().all(|file| file["problems"] == Value::Array(Vec::new())),
                    "{}",
                    seen[0]["problems"]
                );
                let told = ["event", "edited by event", "reaction by event"];
                let customs = seen
                    .iter()
                    .flat_map(|file| file["manifest"]["events"].as_array().unwrap())
                    .flat_map(|event| event["custom"].as_array().unwrap());
                count(
                    customs
                        .filter(|custom| told.contains(&custom["name"].as_str().unwrap()))
                        .map(|custom| custom["value"].as_str().unwrap().to_owned()),
                )
            }
            // These name no events: their acts are counted.
            Shipped::Assentor => {
                let mails = read_with_python("mail", &packaged(&output, &pickup));
                let numbered = mails
                    .iter()
                    .map(|mail| part(mail, "text/plain").lines().filter(|line| line.starts_with('#')).count());
                assert_eq!(numbered.sum::<usize>(), total);
                continue;
            }
            Shipped::Akonix => {
                let ticks = |document: &str| -> Vec<String> {
                    document
                        .split("</Messages>")
                        .flat_map(|room| {
                            room.split("<Messages>").nth(1).unwrap_or_default().split("<DateTimeUTC ").skip(1)
                        })
                        .map(|rest| attribute(rest, "long").unwrap().to_owned())
                        .collect()
                };
                assert_eq!(ticks(&output).len(), total);
                assert_eq!(ticks(&output), ticks(&day));
                continue;
            }
            Shipped::FileDump => {
                // Joins and leaves are told by the lists of participants; an edit tells the words before it too.
                let before = messages(&day)
                    .filter(|message| {
                        attribute(message, "type") == Some("EDIT") && attribute(message, "c:previous").is_some()
                    })
                    .count();
                let told = of(&["JOIN", "PART", "FILEUPLOAD", "FILEDOWNLOAD"]);
                assert_eq!(output.matches("<Message>").count(), total - told + before);
                assert_eq!(output.matches("<FileTransferEnded>").count(), of(&["FILEUPLOAD", "FILEDOWNLOAD"]));
                assert_eq!(output.matches("<ParticipantEntered>").count(), output.matches("<ParticipantLeft>").count());
                continue;
            }
        };
        assert_eq!(found.values().sum::<usize>(), total, "{}", shipped.name());
        assert!(found == all, "{}", shipped.name());
    }

    // With tell_all = no, akonix leaves out what the six types cannot say; its page lists these types.
    let (six, told) = transform_counting(Shipped::Akonix, &[("tell_all", "no")], &day).await;
    let left_out =
        of(&["DELETE", "FILEDELETE", "REACT", "UNREACT", "ROOMCREATE", "ROOMUPDATE", "ROOMDELETE", "MEMBER", "OTHER"]);
    assert!(left_out > 0);
    assert_eq!(told, left_out, "what is left out is told, so that it can be counted in the batch's record");
    assert_eq!(messages(&six).count(), total - left_out);
}
