//! The shipped transforms over their common sample: expected output, and both ways to render.

use std::path::Path;
use std::process::Command;

use chancery::transform::{ConversationDocuments, Joiner, Part, Shipped};

use super::support::{extension, files, is_packaged, package, sample, transform, transform_counting, transformer};
use super::{ROOT, read};

/// Compares with the expected file; with `UPDATE_GOLDEN` set, writes it instead.
fn assert_expected(path: &str, found: &[u8]) {
    let file = Path::new(ROOT).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read(&file).unwrap_or_else(|error| panic!("{path}: {error}; UPDATE_GOLDEN=1 writes it"));
    assert!(found == expected, "{path} differs; UPDATE_GOLDEN=1 rewrites it, git shows how");
}

#[tokio::test]
async fn every_transform_gives_what_is_expected() {
    for shipped in Shipped::ALL {
        let name = shipped.name();
        let output = transform(shipped, &[], &sample()).await;
        assert_expected(&format!("transforms/{name}/expected.{}", extension(shipped)), output.as_bytes());
        if is_packaged(shipped) {
            for (number, (extension, bytes)) in package(&output).files.iter().enumerate() {
                assert_expected(&format!("transforms/{name}/expected/{}.{extension}", number + 1), bytes);
            }
        }
    }
}

/// That is how the service knows that there is something to package.
#[tokio::test]
async fn those_that_are_packaged_say_so() {
    for shipped in Shipped::ALL {
        let says = transformer(shipped, &[]).await.media_type() == Some(chancery::package::MEDIA_TYPE);
        assert_eq!(says, is_packaged(shipped), "{}", shipped.name());
    }
}

#[test]
fn each_folder_is_complete() {
    for shipped in Shipped::ALL {
        let folder = format!("transforms/{}", shipped.name());
        assert_eq!(read(&format!("{folder}/sample.xml")), read("transforms/sample.xml"), "{folder}");
        let page = String::from_utf8(read(&format!("{folder}/README.md"))).unwrap();
        for section in ["## Parameters", "## What becomes of what", "## What it cannot carry", "## How sure we are"] {
            assert!(page.contains(section), "{folder}/README.md lacks {section:?}");
        }
        let stylesheet = String::from_utf8(read(&format!("{folder}/{}.xsl", shipped.name()))).unwrap();
        for declared in stylesheet.split("<xsl:param name=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let global = stylesheet.contains(&format!("\n  <xsl:param name=\"{declared}\""));
            assert!(
                !global || declared == "chancery-part" || page.contains(&format!("`{declared}`")),
                "{folder}/README.md does not name the parameter {declared}"
            );
        }
        for shared in ["words.xsl", "mail.xsl"] {
            if let Ok(copy) = std::fs::read(Path::new(ROOT).join(&folder).join(shared)) {
                assert!(copy == read(&format!("transforms/eml/{shared}")), "{folder}/{shared} differs from eml's");
            }
        }
    }
}

#[tokio::test]
async fn whole_and_by_conversation_give_the_same_bytes() {
    let document = sample();
    let conversations: Vec<Vec<u8>> =
        ConversationDocuments::new(document.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert_eq!(conversations.len(), 4);
    let variants: [(Shipped, &[(&str, &str)]); 8] = [
        (Shipped::FileDump, &[("elements", "vendor"), ("time_unit", "s")]),
        (Shipped::FileDump, &[("elements", "mattermost")]),
        (Shipped::Html, &[("offset", "-05:30"), ("zone", "Newfoundland")]),
        (Shipped::Csv, &[("stays", "no"), ("formula_guard", "yes")]),
        (Shipped::Eml, &[("journal", "yes")]),
        (Shipped::Eml, &[("attachments", "beside")]),
        (Shipped::Rsmf, &[("events_max", "3")]),
        (Shipped::Akonix, &[("tell_all", "no")]),
    ];
    let plain = Shipped::ALL.map(|shipped| (shipped, [].as_slice()));
    for (shipped, parameters) in plain.into_iter().chain(variants) {
        let transformer = transformer(shipped, parameters).await;
        let whole = transformer.transform(document.as_bytes()).await.unwrap().bytes;
        let mut joiner = Joiner::new(Vec::new(), transformer.form().clone());
        for (number, conversation) in conversations.iter().enumerate() {
            let part = if number == 0 { Part::First } else { Part::Next };
            let result = transformer.transform_part(conversation, part).await.unwrap();
            joiner.add(&format!("conversation {number}"), &result.bytes).unwrap();
        }
        assert!(joiner.finish().unwrap() == whole, "{} with {parameters:?}", shipped.name());
    }
}

#[tokio::test]
async fn the_same_document_gives_the_same_bytes() {
    for shipped in Shipped::ALL {
        assert!(files(shipped, &[], &sample()).await == files(shipped, &[], &sample()).await, "{}", shipped.name());
    }
}

fn xmllint(schema: &str, document: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("document.xml");
    std::fs::write(&path, document).unwrap();
    let schema = Path::new(ROOT).join("schemas").join(schema);
    let output = Command::new("xmllint").args(["--noout", "--schema"]).arg(schema).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn outputs_follow_their_schemas() {
    for shipped in Shipped::ALL {
        let schema = match shipped {
            Shipped::Xml => "canonical.xsd",
            Shipped::Akonix => "lync2013.xsd",
            _ if is_packaged(shipped) => "package.xsd",
            _ => continue,
        };
        xmllint(schema, transform(shipped, &[], &sample()).await.as_bytes());
    }
    xmllint("package.xsd", transform(Shipped::Eml, &[("journal", "yes")], &sample()).await.as_bytes());
    xmllint("lync2013.xsd", transform_counting(Shipped::Akonix, &[("tell_all", "no")], &sample()).await.0.as_bytes());
}

#[tokio::test]
async fn xml_changes_nothing_that_a_reader_sees() {
    let copy = transform(Shipped::Xml, &[], &sample()).await;
    // Differences in spelling: libxml2 sees no need to escape an apostrophe, nor to end the last line.
    let spelled = sample().replace("&apos;", "'").replace("encoding=\"utf-8\"", "encoding=\"UTF-8\"");
    assert_eq!(copy, spelled.trim_end());
}

#[tokio::test]
async fn every_dialect_is_read() {
    let old = String::from_utf8(read("tests/data/conversation-lync2013.xml")).unwrap();
    for shipped in Shipped::ALL {
        if shipped == Shipped::Rsmf {
            let error = transformer(shipped, &[]).await.transform(old.as_bytes()).await.unwrap_err();
            assert!(error.to_string().contains("dialect"), "{error}");
            continue;
        }
        let full = transform(shipped, &[], &sample()).await;
        // What xml and jsonl copy they copy as it is spelled.
        if !matches!(shipped, Shipped::Xml | Shipped::Jsonl) {
            let older = transform(shipped, &[], &sample().replace(" UserName=", " userName=")).await;
            assert!(
                older.replace("UserName:", "userName:") == full.replace("UserName:", "userName:"),
                "{}",
                shipped.name()
            );
        }
        let output = transform(shipped, &[], &old).await;
        assert!(output.contains("Anna Schmidt") && output.contains("Good morning."), "{}", shipped.name());
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_by_name() {
    for (shipped, name, value) in [
        (Shipped::Csv, "formula_guard", "maybe"),
        (Shipped::Csv, "stays", "1"),
        (Shipped::Html, "offset", "Tokyo"),
        (Shipped::Html, "offset", "+9:00"),
        (Shipped::Html, "offset", "+19:00"),
        (Shipped::Akonix, "tell_all", "some"),
        (Shipped::Eml, "journal", "true"),
        (Shipped::Eml, "attachments", "inline"),
        (Shipped::GlobalRelay, "attachment_max", "250MB"),
        (Shipped::Assentor, "attachments", ""),
        (Shipped::Rsmf, "events_max", "0"),
    ] {
        let error = transformer(shipped, &[(name, value)]).await.transform(sample().as_bytes()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("parameter {name}: expected")), "{error}");
    }
}
