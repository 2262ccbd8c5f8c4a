//! Text that XML, or even Unicode, cannot hold, from the wire to the output and back.

use std::fs;

use crate::support::{Lab, Store, messages, output_files, validate};

/// JSON string bodies and the exact text they mean, in WTF-8.
fn texts() -> Vec<(String, Vec<u8>)> {
    let plain =
        |text: &str| (serde_json::to_string(text).unwrap().trim_matches('"').to_owned(), text.as_bytes().to_vec());
    vec![
        plain("one\ntwo\rthree\r\nfour\ttab"),
        plain("]]> <tag attr=\"x\" other='y'> &amp; & ]]"),
        plain("astral 😀 𝔘 🏴\u{e0067}\u{e007f} and 漢字 עברית"),
        plain("  leading, trailing and   inner blanks  "),
        plain("\u{7f}\u{85}\u{2028}\u{feff}\u{fffd}"),
        plain(""),
        (r"NUL \u0000 here".into(), b"NUL \0 here".to_vec()),
        (r"\u0001\u0008\u000b\u001f".into(), b"\x01\x08\x0b\x1f".to_vec()),
        (r"\ufffe\uffff".into(), "\u{fffe}\u{ffff}".as_bytes().to_vec()),
        (r"half \ud800 and \udc00 alone".into(), b"half \xed\xa0\x80 and \xed\xb0\x80 alone".to_vec()),
        (r"pair \ud83d\ude00".into(), "pair 😀".as_bytes().to_vec()),
        plain(&"long ✓ ".repeat(25_000)),
    ]
}

#[test]
fn every_text_comes_back_exactly() {
    let lab = Lab::new(
        Store::Sqlite,
        "[[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\n[[adapter]]\nname = \"strict\"\ninterval = \"1h\"\ndialect = \"lync2013\"\n",
    );
    let texts = texts();
    assert!(texts.iter().any(|(_, exact)| exact.len() > 200_000));
    let lines: Vec<String> = texts
        .iter()
        .enumerate()
        .map(|(number, (json, _))| {
            format!(
                r#"{{"specversion":"1.0","id":"{number}","source":"/web/1","type":"chat.message.posted","subject":"room:1","time":"2026-11-22T10:00:00.{number:03}Z","data":{{"sender":{{"id":7,"uri":"sip:a@example.com","name":"A"}},"message":{{"id":{number},"text":"{json}"}}}}}}"#
            )
        })
        .collect();
    lab.spool("texts.ndjson", &lines);
    let pass = lab.json(&["run", "--once"]);
    assert_eq!(pass["staged"], texts.len());

    let found = messages(&lab.pickup("canonical"));
    assert_eq!(found.len(), texts.len());
    for (message, (json, exact)) in found.iter().zip(&texts) {
        assert_eq!(&message.exact, exact, "{json:.60}");
    }
    validate("canonical.xsd", &output_files(&lab.pickup("canonical"))[0]);
    let strict = fs::read_to_string(&output_files(&lab.pickup("strict"))[0]).unwrap();
    assert!(!strict.contains("urn:chancery:1"));
    validate("lync2013.xsd", &output_files(&lab.pickup("strict"))[0]);
    let batch = &lab.json(&["batch", "list", "--adapter", "canonical"])[0];
    assert_eq!(batch["replaced_characters"], 9);
}
