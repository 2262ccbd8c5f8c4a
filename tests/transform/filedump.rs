//! The transform filedump, and stylesheets of the old days.

use std::path::Path;

use chancery::transform::{Shipped, Stylesheet, Transformer};

use super::{ROOT, bare_spec, read};

async fn shipped(parameters: &[(&str, &str)], document: &[u8]) -> String {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::Shipped(Shipped::FileDump));
    spec.parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let output = Transformer::start(spec).await.unwrap().transform(document).await.unwrap();
    String::from_utf8(output.bytes).unwrap()
}

#[tokio::test]
async fn filedump_reads_every_dialect_alike() {
    let full = String::from_utf8(read("tests/data/conversation-full.xml")).unwrap();
    let expected = shipped(&[], full.as_bytes()).await;
    assert_eq!(shipped(&[], full.replace(" UserName=", " userName=").as_bytes()).await, expected);

    // Without the list of participants they are found in what people did.
    let old = shipped(&[("elements", "core")], &read("tests/data/conversation-lync2013.xml")).await;
    for person in ["Anna Schmidt", "Carla Rossi", "Bob &quot;", "Bob \"Bobby\""] {
        let count = |element: &str| old.matches(&format!("<{element}><LoginName>{person}")).count();
        assert_eq!(count("ParticipantEntered"), count("ParticipantLeft"), "{person}");
    }
    assert_eq!(old.matches("<ParticipantEntered>").count(), 4);
    assert!(old.contains("<UserFileName>0b1e6a52-4f3d-4c0e-9b2a-5d8f0c7a1e11.pdf</UserFileName>"));
    assert!(!old.contains("<MessageId>") && !old.contains("<UserType>"));
}

#[tokio::test]
async fn filedump_balances_every_entering_with_a_leaving() {
    let message = |kind: &str, uri: &str, ms: u32| {
        format!(
            "<Message type=\"{kind}\" content=\"\" id=\"0\"><Sender UserName=\"{uri}\" id=\"1\" uri=\"{uri}\"/><DateTimeUTC since1970=\"{ms}\"/></Message>"
        )
    };
    let messages: String = [
        ("JOIN", "a", 1000),
        ("JOIN", "a", 2000),
        ("PART", "a", 3000),
        ("PART", "a", 3500),
        ("JOIN", "a", 4000),
        ("PART", "b", 5000),
        ("CHAT", "c", 6000),
        ("JOIN", "c", 7000),
    ]
    .iter()
    .map(|(kind, uri, ms)| message(kind, uri, *ms))
    .collect();
    let document = format!(
        "<Conversations><Conversation><Channel uri=\"r\" name=\"R\"/><FirstMessage/><Messages>{messages}</Messages>\
         <StartTimeUTC since1970=\"1000\"/><EndTimeUTC since1970=\"7000\"/></Conversation></Conversations>"
    );
    let output = shipped(&[("time_unit", "s"), ("login", "uri")], document.as_bytes()).await;
    let moves = |element: &str| {
        output
            .split(&format!("<{element}>"))
            .skip(1)
            .map(|part| {
                let between = |open: &str| part.split(open).nth(1).and_then(|rest| rest.split('<').next()).unwrap();
                format!("{}{}", between("<LoginName>"), between("<DateTimeUTC>"))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(moves("ParticipantEntered"), ["a1", "b1", "c1", "a4"]);
    assert_eq!(moves("ParticipantLeft"), ["a3", "b5", "a7", "c7"]);
}

/// Each producer's elements in its order; what a name in brackets holds differs between messages.
#[tokio::test]
async fn filedump_writes_the_elements_of_each_producer() {
    let document = read("tests/data/every-type.xml");
    for (elements, entered, message, ended) in [
        (
            "all",
            "LoginName DateTimeUTC InternalFlag ConversationID CorporateEmailID",
            "MessageId LoginName UserType DateTimeUTC Content",
            "LoginName DateTimeUTC UserFileName FileName Status",
        ),
        (
            "core",
            "LoginName DateTimeUTC InternalFlag ConversationID CorporateEmailID",
            "LoginName DateTimeUTC Content",
            "LoginName DateTimeUTC UserFileName FileName Status",
        ),
        (
            "mattermost",
            "LoginName UserType DateTimeUTC CorporateEmailID",
            "MessageId LoginName UserType DateTimeUTC Content",
            "LoginName DateTimeUTC UserFileName FileName Status",
        ),
        (
            "vendor",
            "LoginName DateTimeUTC InternalFlag ConversationID",
            "LoginName Content DateTimeUTC ConversationID",
            "LoginName UserFileName FileName Status DateTimeUTC",
        ),
    ] {
        let output = shipped(&[("elements", elements)], &document).await;
        let children = |element: &str| {
            let inside =
                output.split(&format!("<{element}>")).nth(1).unwrap().split(&format!("</{element}>")).next().unwrap();
            let names = inside.split('<').skip(1).filter(|tag| !tag.starts_with('/'));
            names.map(|tag| tag.split(['>', '/']).next().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(children("ParticipantEntered"), entered, "{elements}");
        assert_eq!(children("ParticipantLeft"), entered, "{elements}");
        assert_eq!(children("Message"), message, "{elements}");
        assert_eq!(children("FileTransferEnded"), ended, "{elements}");
        let status = if elements == "vendor" { "completed" } else { "Completed" };
        assert!(output.contains(&format!("<Status>{status}</Status>")) && output.contains("<Status>Failed</Status>"));
        assert_eq!(output.contains("<UpdatedType>"), elements == "all" || elements == "mattermost");
        let suffix = if elements == "mattermost" { "" } else { "_group_channel" };
        assert!(output.contains(&format!("Perspective=\"Rates &amp; Desks &lt;EMEA&gt;{suffix}\"")));
    }
}

#[tokio::test]
async fn filedump_refuses_parameters_it_does_not_know() {
    for (name, value) in [("time_unit", "minutes"), ("login", "phone"), ("elements", "some")] {
        let mut spec = bare_spec();
        spec.stylesheet = Some(Stylesheet::Shipped(Shipped::FileDump));
        spec.parameters.insert(name.into(), value.into());
        let error = Transformer::start(spec).await.unwrap().transform(b"<Conversations/>").await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn an_old_stylesheet_sees_no_difference_between_full_and_old_layout() {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::File(Path::new(ROOT).join("tests/data/old-layout.xsl")));
    let transformer = Transformer::start(spec).await.unwrap();
    let full = transformer.transform(&read("tests/data/conversation-full.xml")).await.unwrap().bytes;
    let old = transformer.transform(&read("tests/data/conversation-lync2013.xml")).await.unwrap().bytes;
    let (full, old) = (String::from_utf8(full).unwrap(), String::from_utf8(old).unwrap());
    assert_eq!(full, old);
    for found in [
        "<Room name=\"Rates &amp; Desks &lt;EMEA&gt;\"",
        "<Opening by=\"Anna Schmidt\" ticks=\"639309393001234567\">Good morning.\nTwo lines,\ta tab",
        ">Bob \"Bobby\" O'Neil</By>",
        "at=\"1795342500123\"",
    ] {
        assert!(full.contains(found), "{found}");
    }
}
