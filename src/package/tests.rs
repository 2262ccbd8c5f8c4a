#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::io::{self, Cursor, Read};

use super::{Attachment, Contents, Files, PackageError, write};

#[derive(Default)]
struct Memory {
    files: Vec<(Vec<u8>, Contents)>,
}

impl Files for Memory {
    type File = Vec<u8>;

    fn create(&mut self, _extension: &str) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn complete(&mut self, file: Vec<u8>, contents: Contents) -> io::Result<()> {
        self.files.push((file, contents));
        Ok(())
    }
}

fn open(name: &str) -> io::Result<Attachment> {
    match name {
        "missing" => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        "breaking" => Ok(Attachment { size: 3, bytes: Box::new(Breaking) }),
        _ => Ok(Attachment { size: 100, bytes: Box::new(Cursor::new(vec![b'a'; 100])) }),
    }
}

/// A file whose disk fails.
struct Breaking;

impl Read for Breaking {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk fails"))
    }
}

fn package(inside: &str) -> Result<Vec<String>, PackageError> {
    let mut memory = Memory::default();
    let document =
        format!("<?xml version=\"1.0\"?>\n<package xmlns=\"urn:chancery:package:1\">\n{inside}\n</package>\n");
    write(document.as_bytes(), &open, &mut memory)?;
    Ok(memory.files.into_iter().map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).collect())
}

const HEADERS: &str = "<addresses name=\"From\"><address mail=\"a@b.example\"/></addresses>\
    <date name=\"Date\" at=\"2026-11-22T10:00:00.5Z\"/>";

fn mail(body: &str) -> String {
    format!("<file extension=\"eml\"><mail domain=\"chat.invalid\">{HEADERS}{body}</mail></file>")
}

#[test]
fn a_mail_is_written_as_described() {
    let body = "<header name=\"Subject\">Größe\r\nBcc: x@y.example</header><text>one\r\ntwo&#13;three\n=</text>";
    assert_eq!(
        package(&mail(body)).unwrap(),
        ["From: <a@b.example>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n\
          Subject: =?utf-8?B?R3LDtsOfZSBCY2M6IHhAeS5leGFtcGxl?=\r\nMIME-Version: 1.0\r\n\
          Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
          one\r\ntwo=0Dthree\r\n=3D\r\n"]
    );
}

#[test]
fn html_is_written_as_html() {
    let html = "<html xmlns:x=\"urn:x\" xmlns=\"\"><head><style>a &gt; b {}</style></head><body><br/><td/>\
                <p title=\"&quot;&lt;&#10;\">a &lt; b &amp; c&#13;d&#13;\ne</p></body></html>";
    let file = package(&mail(&format!("<html>{html}</html>"))).unwrap().remove(0);
    let body = file.split("\r\n\r\n").nth(1).unwrap().replace("=\r\n", "").replace("=3D", "=");
    assert_eq!(
        body,
        "<!DOCTYPE html>\r\n<html><head><style>a > b {}</style></head><body><br><td></td>\
         <p title=\"&quot;&lt;\r\n\">a &lt; b &amp; c\r\nd\r\ne</p></body></html>\r\n"
    );
}

#[test]
fn plain_files_and_empty_packages() {
    assert_eq!(
        package("<file extension=\"txt\"><text>a\nb &amp; <![CDATA[<c>]]></text></file>").unwrap(),
        ["a\nb & <c>"]
    );
    assert!(package("").unwrap().is_empty());
}

#[test]
fn boundaries_differ_and_none_begins_another() {
    let inner = format!(
        "<mail domain=\"chat.invalid\">{HEADERS}<multipart subtype=\"mixed\"><text>t</text></multipart></mail>"
    );
    let outer = format!(
        "<header name=\"X-A\">b</header><multipart subtype=\"mixed\"><multipart subtype=\"alternative\"><text>a</text><text>b</text></multipart>{inner}</multipart>"
    );
    let file = package(&mail(&outer)).unwrap().remove(0);
    let boundaries: Vec<&str> = file.split("boundary=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(boundaries.len(), 3);
    for (at, boundary) in boundaries.iter().enumerate() {
        assert_eq!(file.matches(&format!("--{boundary}--\r\n")).count(), 1);
        assert!(!boundaries.iter().enumerate().any(|(other, text)| other != at && text.starts_with(boundary)));
    }
}

#[test]
fn attachments_are_named_in_what_is_handed_over() {
    let mut memory = Memory::default();
    let inside = mail(
        "<multipart subtype=\"mixed\"><attachment source=\"b\"/><zip name=\"z.zip\"><entry name=\"x\" source=\"a\"/></zip></multipart>",
    );
    let document =
        format!("<package xmlns=\"urn:chancery:package:1\">{inside}<file extension=\"txt\"><text/></file></package>");
    write(document.as_bytes(), &open, &mut memory).unwrap();
    assert_eq!(memory.files[0].1.attachments.iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(memory.files[1].1.attachments.is_empty());
}

/// The header digest makes boundaries, so whoever knows a mail's headers knows them, and may write them into a text.
#[test]
fn a_text_that_holds_the_boundary_ends_no_part() {
    let with =
        |text: &str| mail(&format!("<multipart subtype=\"mixed\"><text>{text}</text><text>end</text></multipart>"));
    let file = package(&with("")).unwrap().remove(0);
    let boundary = file.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let forged = package(&with(&format!("\n--{boundary}\n--{boundary}--\n"))).unwrap().remove(0);
    assert!(forged.contains(&format!("boundary=\"{boundary}\"")), "the boundary is that of the headers");
    let delimiters = |file: &str| file.lines().filter(|line| line.starts_with(&format!("--{boundary}"))).count();
    assert_eq!((delimiters(&file), delimiters(&forged)), (3, 3));
}

#[test]
fn an_id_is_that_of_its_key_alone() {
    let of = |key: &str, rest: &str| {
        let file =
            package(&mail(&format!("<ids name=\"Message-ID\"><id key=\"{key}\"/></ids>{rest}"))).unwrap().remove(0);
        file.split("Message-ID: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned()
    };
    let id = of("room|2026-11-22", "<text>a</text>");
    assert_eq!(id, of("room|2026-11-22", "<header name=\"Subject\">other</header><text>b</text>"));
    assert_ne!(id, of("room|2026-11-23", "<text>a</text>"));
    let digits = id.strip_prefix('<').and_then(|id| id.strip_suffix("@chat.invalid>")).unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

/// Names and subjects as a source may send them: what comes out is ASCII, and no line is longer than mail allows.
#[test]
fn headers_are_ascii_and_folded() {
    let words = ["Größe ", "Ξεσκεπάζω ", "עטלף ", "نص ", "視野無限廣", "👩‍👩‍👧‍👦", "plain ", "x"];
    for text in words.into_iter().flat_map(|word| [1, 7, 40, 300].map(|times| word.repeat(times))) {
        let file = package(&mail(&format!(
            "<header name=\"Subject\">{text}</header><addresses name=\"To\"><address name=\"{text}\" mail=\"b@b.example\"/><address name=\"{text}\" mail=\"c@b.example\"/></addresses>\
             <multipart subtype=\"mixed\"><attachment source=\"a\" name=\"{text}.pdf\"/></multipart>"
        )))
        .unwrap()
        .remove(0);
        assert!(file.is_ascii(), "{text}");
        let longest = file.split("\r\n").map(str::len).max().unwrap();
        // Without a blank there is no place to fold; a name of a file is one word to a reader.
        let foldable = text.contains(' ') || !text.is_ascii();
        assert!(longest <= 998, "{longest} for {text}");
        let subject = file.split("Subject: ").nth(1).unwrap().split("\r\nTo: ").next().unwrap();
        assert!(!foldable || subject.split("\r\n").all(|line| line.len() <= 76), "{subject}");
    }
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let entries = "<entry name=\"ü.txt\">text</entry><entry name=\"b\" source=\"b\"/>";
    let zip = |at: &str| format!("<file extension=\"zip\"><zip{at}>{entries}</zip></file>");
    let bytes = |inside: &str| {
        let mut memory = Memory::default();
        let document = format!("<package xmlns=\"urn:chancery:package:1\">{inside}</package>");
        write(document.as_bytes(), &open, &mut memory).unwrap();
        memory.files.remove(0).0
    };
    let timeless = bytes(&zip(""));
    // Longer than the two seconds that an entry's time is told to.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(timeless, bytes(&zip("")));
    assert_ne!(timeless, bytes(&zip(" at=\"2026-11-22T10:00:00Z\"")));
    let inside = mail(&format!(
        "<multipart subtype=\"mixed\"><text>t</text><zip name=\"z.zip\">{entries}</zip><attachment source=\"c\"/></multipart>"
    ));
    assert_eq!(bytes(&inside), bytes(&inside));
}

/// Each broken document, the line of its error, and what the error says.
#[test]
fn errors_name_the_line_and_the_cure() {
    let mail_with = |headers: &str| {
        format!("<file extension=\"eml\">\n<mail domain=\"chat.invalid\">\n{headers}\n<text>a</text></mail></file>")
    };
    let cases: Vec<(String, usize, &str)> = vec![
        ("<mail/>".into(), 3, "expected file, found mail"),
        ("text".into(), 4, "expected elements inside package, found text"),
        ("<file/>".into(), 3, "file needs the attribute extension"),
        ("<file extension=\"../x\"><text/></file>".into(), 3, "1 to 16 letters and digits"),
        (
            "<file extension=\"a\" name=\"b\"><text/></file>".into(),
            3,
            "attribute name of file: expected no other attributes",
        ),
        ("<file extension=\"a\"/>".into(), 3, "file needs one of mail, zip and text"),
        ("<file extension=\"a\"><text/>\n<text/></file>".into(), 4, "it holds one element"),
        ("<file extension=\"a\"><html xmlns=\"\"/></file>".into(), 3, "found html outside the namespace"),
        ("<file extension=\"a\"><text>\n<b/></text></file>".into(), 4, "expected text inside text, found b"),
        ("<file extension=\"a\"><text>\n</file>".into(), 4, "not well-formed"),
        ("<file extension=\"a\"><text>&nbsp;</text></file>".into(), 3, "entity"),
        ("<file extension=\"eml\"><mail/></file>".into(), 3, "mail needs the attribute domain"),
        ("<file extension=\"eml\"><mail domain=\"a b\"/></file>".into(), 3, "a domain such as chat.invalid"),
        (mail_with(""), 4, "mail needs the header From"),
        (mail_with("<addresses name=\"From\"/>"), 5, "addresses needs an address"),
        (mail_with("<addresses name=\"From\"><address name=\"x\"/></addresses>"), 5, "a mail or a key"),
        (
            mail_with("<addresses name=\"From\"><address mail=\"a@b.c\"/><address mail=\"b@b.c\"/></addresses>"),
            5,
            "no more than one address",
        ),
        (mail_with(HEADERS.split_once("<date").unwrap().0), 4, "mail needs the header Date"),
        (mail_with(&format!("{HEADERS}\n<date name=\"Date\" at=\"2026-11-22T10:00:00Z\"/>")), 6, "does not have yet"),
        (mail_with("<date name=\"Date\" at=\"yesterday\"/>"), 5, "attribute at of date: expected a time in RFC 3339"),
        (mail_with("<header name=\"Bad Name\"/>"), 5, "letters, digits and -"),
        (mail_with("<header name=\"X:\"/>"), 5, "letters, digits and -"),
        (mail_with("<header name=\"Content-Type\"/>"), 5, "neither MIME-Version nor Content-"),
        (mail_with("<ids name=\"Message-ID\"/>"), 5, "ids needs an id"),
        (mail(""), 3, "mail needs one of text"),
        (mail("<text/>\n<text/>"), 4, "headers come first, and it holds one body"),
        (mail("<multipart subtype=\"mixed\"/>"), 3, "multipart needs a part"),
        (mail("<multipart subtype=\"signed\"><text/></multipart>"), 3, "mixed, alternative, related or digest"),
        (mail("<attachment source=\"missing\"/>"), 3, "the attachment missing cannot be read"),
        (mail("\n<attachment source=\"breaking\"/>"), 4, "the attachment breaking cannot be read"),
        (mail("<html><script xmlns=\"\">x</script></html>"), 3, "no script"),
        (mail("<html><style xmlns=\"\">&lt;/style&gt;</style></html>"), 3, "a style without"),
        (mail("<html><b/></html>"), 3, "expected elements of HTML"),
        (mail("<zip><entry name=\"a\"/></zip>"), 3, "zip needs the attribute name"),
        (mail("<zip name=\"z\"><entry name=\"../a\"/></zip>"), 3, "a file name without /"),
        (mail("<zip name=\"z\"><entry name=\"a\"/>\n<entry name=\"A\"/></zip>"), 4, "a name that no other entry has"),
        (mail("<envelope subject=\"s\"><id key=\"k\"/></envelope>"), 3, "envelope needs a sender"),
    ];
    for (inside, line, words) in cases {
        let error = package(&inside).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{said}\n{inside}");
        assert!(said.contains(&format!("line {line}:")), "{said}\n{inside}");
    }
    let deep = format!("{}<text/>{}", "<multipart subtype=\"mixed\">".repeat(20), "</multipart>".repeat(20));
    assert!(package(&mail(&deep)).unwrap_err().to_string().contains("within each other"));
    let other = write(b"<package/>", &open, &mut Memory::default()).unwrap_err().to_string();
    assert!(other.contains("package in the namespace") || other.contains("expected package"), "{other}");
    let binary = write(b"<package>\n\xff</package>", &open, &mut Memory::default()).unwrap_err().to_string();
    assert!(binary.contains("line 2: not well-formed XML: it is not UTF-8"), "{binary}");
}

#[test]
fn values_do_not_reach_operators() {
    let error = package(&mail("<header name=\"The Secret\"/><text/>")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("Secret"), "{error:?}");
}
