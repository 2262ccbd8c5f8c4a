//! The mails of the shipped transforms, as Python's own parser reads them.

use chancery::transform::Shipped;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::support::{files, package, read_with_python, sample, transform};

const MAILS: [Shipped; 3] = [Shipped::Eml, Shipped::GlobalRelay, Shipped::Assentor];

/// A header's value, decoded.
fn header<'m>(mail: &'m Value, name: &str) -> Option<&'m str> {
    mail["headers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|header| header[0] == name)
        .map(|header| header[1].as_str().unwrap())
}

/// The part of a media type that is no file.
fn text<'m>(mail: &'m Value, media_type: &str) -> &'m str {
    let parts = mail["parts"].as_array().unwrap();
    parts.iter().find(|part| part["type"] == media_type && part["text"].is_string()).unwrap()["text"].as_str().unwrap()
}

/// Nothing that a mail system could stumble over.
fn assert_valid(mail: &Value) {
    assert_eq!(mail["defects"], json!([]));
    assert!(mail["lines"]["longest"].as_u64().unwrap() <= 998, "{}", mail["lines"]);
    assert_eq!(mail["lines"]["stray"], 0);
    assert_eq!(mail["lines"]["eight_bit"], false);
    assert_eq!(mail["lines"]["ended"], true);
    let names: Vec<&str> =
        mail["headers"].as_array().unwrap().iter().map(|header| header[0].as_str().unwrap()).collect();
    for once in ["From", "Date", "Message-ID", "Subject", "To", "MIME-Version", "Content-Type"] {
        assert_eq!(names.iter().filter(|name| **name == once).count(), 1, "{once} in {names:?}");
    }
    assert!(!names.iter().any(|name| ["Bcc", "X-Evil"].contains(name)), "a header was injected: {names:?}");
}

/// A conversation with these people and this room.
fn conversation(room: &str, people: &[(&str, &str)], sender: &str) -> String {
    let participants: String = people
        .iter()
        .map(|(uri, name)| {
            format!("<c:Participant uri=\"{uri}\" name=\"{name}\" email=\"\" presentAtStart=\"true\" presentAtEnd=\"true\"/>")
        })
        .collect();
    let message = format!(
        "type=\"CHAT\" content=\"hello\" id=\"1\" c:source=\"/s\" c:event=\"e-1\" c:messageId=\"1\"><Sender UserName=\"{sender}\" id=\"1\" email=\"\" uri=\"{sender}\"/>\
         <DateTimeUTC since1970=\"1795341600000\" string=\"2026-11-22T10:00:00Z\" long=\"639309384000000000\"/>"
    );
    let time = "since1970=\"1795341600000\" string=\"2026-11-22T10:00:00Z\" long=\"639309384000000000\"";
    format!(
        "<Conversations xmlns:c=\"urn:chancery:1\"><Conversation c:batch=\"1\" c:adapter=\"a\" c:part=\"1\" c:parts=\"1\"><c:Participants>{participants}</c:Participants>\
         <Channel uri=\"room:1\" name=\"{room}\"/><FirstMessage {message}</FirstMessage><Messages><Message {message}</Message></Messages>\
         <StartTimeUTC {time}/><EndTimeUTC {time}/></Conversation></Conversations>"
    )
}

#[tokio::test]
async fn python_reads_every_header_and_part() {
    for shipped in MAILS {
        let mails = read_with_python("mail", &files(shipped, &[], &sample()).await);
        assert_eq!(mails.len(), 4);
        mails.iter().for_each(assert_valid);

        let rates = &mails[0];
        assert!(header(rates, "Subject").unwrap().ends_with(": Rates & credit"));
        assert_eq!(header(rates, "Date").unwrap(), "Sun, 22 Nov 2026 10:14:00 +0000");
        assert_eq!(rates["addresses"]["From"], json!([["Ann Ames", "ann.ames@firm.example"]]));
        let to = rates["addresses"]["To"].as_array().unwrap();
        assert_eq!(to.len(), 5);
        assert!(to.contains(&json!(["Bob \"Bobby\" O'Neil, CFA", "bob@partner.example"])), "{to:?}");
        // No address of her own that a mail could bear: one is made, and the name stays on its line.
        let eve = to.iter().find(|person| person[0] == "Eve  Bcc: everyone@firm.example").unwrap();
        assert!(
            eve[1].as_str().unwrap().starts_with("eve-evil-example-")
                && eve[1].as_str().unwrap().ends_with("@chat.invalid")
        );

        let told = text(rates, "text/plain");
        for words in [
            "hello <all> & \"everyone\" 'here'\n    \tsecond line ]]> \u{1F680}\n    \n      indented, trailing blanks  \n    return\n    here\n",
            "broken \u{fffd} and \u{fffd} half\n",
            "\n    before: hello <all>\u{fffd} & \"everyone\"\n    now: hello all\n",
            "uploaded the file lost.txt (7 bytes) [not in the archive: no such file: in/<f-2>]",
            "=HYPERLINK(\"http://x.example\",\"click\")",
        ] {
            assert!(told.contains(words), "{words:?} in\n{told}");
        }
        let direct = text(&mails[1], "text/plain");
        assert!(
            direct.contains("שלום Yuki, מה נשמע? (100%)") && direct.contains("e\u{301} \u{202e}evil\u{202c}"),
            "{direct}"
        );
        assert!(text(&mails[2], "text/plain").contains(&"w".repeat(1200)));
        let long_name = format!("Désk  Bcc: all@firm.example {}", "x".repeat(270));
        assert!(header(&mails[2], "Subject").unwrap().ends_with(&long_name), "{:?}", header(&mails[2], "Subject"));

        let attached: Vec<&Value> =
            rates["parts"].as_array().unwrap().iter().filter(|part| part["disposition"] == "attachment").collect();
        assert_eq!(attached.len(), 2, "each copy once, and the missing one not at all");
        let sheet = "archive-20261122T101500Z-000000007-c1f7fa8083bf2a701efa146df87858ea.xlsx";
        let digest = hex::encode(Sha256::digest(super::read(&format!("transforms/attachments/{sheet}"))));
        assert_eq!(attached[0]["file"], "Q3 'draft' – Übersicht.xlsx");
        assert_eq!(attached[0]["sha256"], digest.as_str());
        assert_eq!(
            (&attached[1]["file"], &attached[1]["type"]),
            (&json!("Re: offer__X-Evil: yes.eml"), &json!("application/octet-stream"))
        );
    }
}

#[tokio::test]
async fn mails_of_a_room_are_threaded_and_ids_are_stable() {
    let ids = |mails: &[Value]| -> Vec<String> {
        mails.iter().map(|mail| header(mail, "Message-ID").unwrap().to_owned()).collect()
    };
    let first = read_with_python("mail", &files(Shipped::Eml, &[], &sample()).await);
    // Another batch number, another wording: the same conversation.
    let again = sample().replace("c:batch=\"7\"", "c:batch=\"8\"");
    let second = read_with_python("mail", &files(Shipped::Eml, &[("subject", "Room ")], &again).await);
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(ids(&first).iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    let later = sample().replace("c:event=\"e-01\"", "c:event=\"e-99\"");
    let third = read_with_python("mail", &files(Shipped::Eml, &[], &later).await);
    assert_ne!(ids(&first)[0], ids(&third)[0]);
    assert_eq!(header(&first[0], "References"), header(&third[0], "References"));
    assert_ne!(header(&first[0], "References"), header(&first[1], "References"));
}

#[tokio::test]
async fn a_journal_report_holds_the_mail_as_it_is() {
    let reports = files(Shipped::Eml, &[("journal", "yes")], &sample()).await;
    let plain = files(Shipped::Eml, &[], &sample()).await;
    let seen = read_with_python("mail", &reports);
    let mails = read_with_python("mail", &plain);
    for ((report, mail), ((_, report_bytes), (_, mail_bytes))) in
        seen.iter().zip(&mails).zip(reports.iter().zip(&plain))
    {
        assert_valid(report);
        assert!(header(report, "X-MS-Journal-Report").is_some());
        let whole = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(whole(report_bytes).contains(&whole(mail_bytes)), "the mail inside is byte for byte the mail");
        let fields: Vec<&str> = text(report, "text/plain").lines().collect();
        let from = mail["addresses"]["From"][0][1].as_str().unwrap();
        assert_eq!(fields[0], format!("Sender: {from}"));
        assert_eq!(fields[1], format!("Subject: {}", header(mail, "Subject").unwrap()));
        assert_eq!(fields[2], format!("Message-ID: {}", header(mail, "Message-ID").unwrap()));
        let to = mail["addresses"]["To"].as_array().unwrap();
        assert_eq!(fields.len(), 3 + to.len());
        for (field, person) in fields[3..].iter().zip(to) {
            assert!(field.starts_with(&format!("To: {}, Expanded: ", person[1].as_str().unwrap())), "{field}");
        }
        let inside = report["parts"].as_array().unwrap().iter().find(|part| part["type"] == "message/rfc822").unwrap();
        assert_eq!(inside["mail"]["headers"], mail["headers"]);
    }
}

#[tokio::test]
async fn rooms_with_nobody_and_with_ten_thousand() {
    let nobody = conversation("Empty", &[], "");
    let names: Vec<(String, String)> =
        (0..10_000).map(|n| (format!("sip:person{n}@firm.example"), format!("Pérson Nümber {n}, Ltd"))).collect();
    let people: Vec<(&str, &str)> = names.iter().map(|(uri, name)| (uri.as_str(), name.as_str())).collect();
    let crowd = conversation("Crowd", &people, "sip:person7@firm.example");
    for shipped in MAILS {
        let mail = &read_with_python("mail", &files(shipped, &[], &nobody).await)[0];
        assert_valid(mail);
        let from = mail["addresses"]["From"][0].clone();
        assert!(from[0] == "Empty" && from[1].as_str().unwrap().ends_with("@chat.invalid"), "{from}");
        assert_eq!(mail["addresses"]["To"], json!([]));

        let mail = &read_with_python("mail", &files(shipped, &[("domain", "im.example")], &crowd).await)[0];
        assert_valid(mail);
        let to = mail["addresses"]["To"].as_array().unwrap();
        assert_eq!(to.len(), 10_000);
        assert_eq!(to[4711][0], "Pérson Nümber 4711, Ltd");
        assert!(to[4711][1].as_str().unwrap().starts_with("person4711-firm-example-"));
        assert_eq!(mail["addresses"]["From"][0][1], to[7][1]);
    }
    let seen = &read_with_python("rsmf", &files(Shipped::Rsmf, &[], &crowd).await)[0];
    assert_valid(seen);
    assert_eq!(seen["problems"], json!([]));
    assert_eq!(seen["manifest"]["participants"].as_array().unwrap().len(), 10_000);
    assert_eq!(read_with_python("rsmf", &files(Shipped::Rsmf, &[], &nobody).await)[0]["problems"], json!([]));
}

#[tokio::test]
async fn names_in_every_script_come_back() {
    let long = ["Ünïcödé ".repeat(40), "plain words ".repeat(60), "x".repeat(600)];
    let names: Vec<&str> = [
        "Zażółć gęślą jaźń",
        "Съешь же ещё этих мягких булок",
        "Ξεσκεπάζω την ψυχοφθόρα",
        "עטלף אבק נס דרך",
        "نص حكيم له سر قاطع",
        "ऋषियों को सताने वाले दुष्ट",
        "เป็นมนุษย์สุดประเสริฐ",
        "いろはにほへと ちりぬるを",
        "다람쥐 헌 쳇바퀴에 타고파",
        "視野無限廣，窗外有藍天",
        "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 𝔘𝔫𝔦",
        "=?utf-8?Q?not_encoded?=",
        "&lt;a@b.example&gt;, \\ ( ) ; : @ .",
        "a  b   c",
        "ends with \u{301}",
    ]
    .into_iter()
    .chain(long.iter().map(|name| name.trim_end()))
    .collect();
    let alone = names.iter().map(|name| conversation(name, &[("sip:a@firm.example", name)], "sip:a@firm.example"));
    let begin = "<Conversations xmlns:c=\"urn:chancery:1\">";
    let inside = alone.map(|document| document.replace(begin, "").replace("</Conversations>", "")).collect::<String>();
    let document = format!("{begin}{inside}</Conversations>");
    for shipped in MAILS {
        let mails = read_with_python("mail", &files(shipped, &[], &document).await);
        assert_eq!(mails.len(), names.len());
        for (mail, name) in mails.iter().zip(&names) {
            // What reads like an encoded word is taken apart, or a reader would decode it.
            let plain = name.replace("&lt;", "<").replace("&gt;", ">").replace("=?", "= ?");
            assert_valid(mail);
            let subject = header(mail, "Subject").unwrap();
            assert!(subject.ends_with(&plain), "{subject:?} for {plain:?}");
            assert_eq!(mail["addresses"]["To"][0][0], plain.as_str());
            assert!(mail["lines"]["longest"].as_u64().unwrap() <= 78 || plain.len() == 600, "{}", mail["lines"]);
        }
    }
}

#[tokio::test]
async fn files_too_large_to_embed_stay_beside() {
    let output = transform(Shipped::Eml, &[("attachment_max", "100")], &sample()).await;
    let packaged = package(&output);
    let held: Vec<usize> = packaged.contents.iter().map(|contents| contents.attachments.len()).collect();
    assert_eq!(held, [1, 1, 0, 0]);
    let mail = &read_with_python("mail", &packaged.files)[0];
    assert!(
        text(mail, "text/plain")
            .contains("copy: archive-20261122T101500Z-000000007-b29c79f87f6064c602be290c6393ddba.eml")
    );
    let beside = package(&transform(Shipped::Eml, &[("attachments", "beside")], &sample()).await);
    assert!(beside.contents.iter().all(|contents| contents.attachments.is_empty()));
}
