//! The judge judged: what is planted is found, and what is right is not complained about.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::archive::{Archive, Book, Collected, Manner};
use crate::event::digest;
use crate::ledger::Ledger;
use crate::neighbour::Harm;
use crate::purge::Audit;
use crate::reader::{HostileReader, Sightings, Watched};

fn event(id: usize, text: &str) -> Vec<u8> {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/web/1","type":"chat.message.posted","subject":"room:1","time":"2026-11-22T10:00:0{id}Z","data":{{"sender":{{"uri":"sip:a"}},"message":{{"id":{id},"text":"{text}"}}}}}}"#
    )
    .into_bytes()
}

fn upload(bytes: &str) -> Vec<u8> {
    use base64::Engine as _;
    let inline = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!(
        r#"{{"specversion":"1.0","id":"9","source":"/web/1","type":"chat.file.uploaded","subject":"room:1","time":"2026-11-22T10:00:09Z","data":{{"sender":{{"uri":"sip:a"}},"file":{{"name":"a.txt","inline":"{inline}"}}}}}}"#
    )
    .into_bytes()
}

fn message(id: usize, text: &str) -> String {
    let long = 639_309_384_000_000_000_i64 + i64::try_from(id).unwrap() * 10_000_000;
    format!(
        r#"<Message type="CHAT" content="{text}" c:source="/web/1" c:event="{id}" c:kind="chat.message.posted" c:messageId="{id}"><Sender uri="sip:a"/><DateTimeUTC long="{long}"/></Message>"#
    )
}

fn file_message(name: &str) -> String {
    let long = 639_309_384_090_000_000_i64;
    format!(
        r#"<Message type="FILEUPLOAD" content="{name}" c:source="/web/1" c:event="9" c:kind="chat.file.uploaded"><Sender uri="sip:a"/><DateTimeUTC long="{long}"/></Message>"#
    )
}

fn document(messages: &[String]) -> String {
    let messages = messages.concat();
    format!(
        r#"<Conversations xmlns:c="urn:chancery:1"><Conversation><Channel uri="room:1"/><Messages>{messages}</Messages></Conversation></Conversations>"#
    )
}

fn act(id: usize, text: &str) -> String {
    let ms = 1_795_341_600_000_i64 + i64::try_from(id).unwrap() * 1000;
    format!("<Message><MessageId>{id}</MessageId><DateTimeUTC>{ms}</DateTimeUTC><Content>{text}</Content></Message>")
}

fn dump(acts: &[String]) -> String {
    let acts = acts.concat();
    format!("<FileDump><Conversation><RoomID>room:1</RoomID>{acts}</Conversation></FileDump>")
}

fn output(number: usize, text: &str) -> Obtained {
    let name = format!("a-20261122T100000Z-{number:09}.xml");
    Obtained { name, sha256: digest(text.as_bytes()), bytes: text.as_bytes().to_vec() }
}

fn delivered(layout: Layout, files: Vec<Obtained>) -> Delivered {
    Delivered { adapter: "a".into(), layout, files }
}

fn confirmed(bodies: &[(Nature, Vec<u8>)]) -> Vec<Entry> {
    let ledger = Ledger::in_memory();
    for (nature, body) in bodies {
        let number = ledger.hand_over(*nature, body.clone()).unwrap();
        ledger.confirm(number).unwrap();
    }
    ledger.entries()
}

fn two() -> Vec<Entry> {
    confirmed(&[(Nature::Ordinary, event(1, "one")), (Nature::Ordinary, event(2, "two"))])
}

fn judged(entries: &[Entry], delivered: Delivered) -> Judgement {
    judge(&Case { entries, delivered: &[delivered], quarantined: &[], unfinished: false })
}

#[track_caller]
fn charged(judgement: &Judgement, charges: &[Charge]) {
    let found: Vec<_> = judgement.findings.iter().map(|finding| finding.charge).collect();
    assert_eq!(found, charges, "{:?}", judgement.findings);
}

#[test]
fn what_is_right_is_not_complained_about() {
    let canonical = document(&[message(1, "one"), message(2, "two")]);
    let judgement = judged(&two(), delivered(Layout::Canonical, vec![output(1, &canonical)]));
    charged(&judgement, &[]);
    assert_eq!((judgement.events, judgement.archived, judgement.confirmed), (2, 2, 2));
    let judgement =
        judged(&two(), delivered(Layout::FileDump, vec![output(1, &dump(&[act(1, "one"), act(2, "two")]))]));
    charged(&judgement, &[]);
}

fn copy(number: usize, bytes: &str) -> Obtained {
    let name = format!("a-20261122T100000Z-{number:09}-1b96111015dc09fac607a4de684e9689.txt");
    Obtained { name, sha256: digest(bytes.as_bytes()), bytes: Vec::new() }
}

fn transfer(name: &str, status: &str) -> String {
    format!(
        "<FileTransferEnded><DateTimeUTC>1795341609000</DateTimeUTC><UserFileName>a.txt</UserFileName><FileName>{name}</FileName>\
         <Status>{status}</Status></FileTransferEnded>"
    )
}

#[test]
fn a_file_that_follows_is_its_event_once_and_neither_half_stands_alone() {
    let entries = confirmed(&[(Nature::Ordinary, upload("bytes"))]);
    let file = copy(2, "bytes");
    let owed = file_message("a.txt").replace(" c:kind=", " c:missing=\"not yet\" c:kind=");
    let whole = file_message(&file.name);
    let completes = whole.replace(" c:kind=", " c:completes=\"1\" c:kind=");
    let judge = |first: &[String], second: &[String]| {
        let files = vec![output(1, &document(first)), output(2, &document(second)), file.clone()];
        judged(&entries, delivered(Layout::Canonical, files))
    };
    let right = judge(std::slice::from_ref(&owed), std::slice::from_ref(&completes));
    charged(&right, &[]);
    assert_eq!(right.archived, 1);
    charged(&judge(std::slice::from_ref(&owed), &[]), &[Charge::Lost]);
    charged(&judge(std::slice::from_ref(&owed), std::slice::from_ref(&whole)), &[Charge::Twice]);
    charged(&judge(&[], std::slice::from_ref(&completes)), &[Charge::Wrong]);
    charged(&judge(&[owed.clone(), owed.clone()], std::slice::from_ref(&completes)), &[Charge::Twice]);
    charged(
        &judge(std::slice::from_ref(&owed), &[completes.clone(), completes.clone()]),
        &[Charge::Twice, Charge::Wrong],
    );

    let judge = |first: &[String], second: &[String]| {
        let files = vec![output(1, &dump(first)), output(2, &dump(second)), file.clone()];
        judged(&entries, delivered(Layout::FileDump, files))
    };
    let (failed, completed) = (transfer("a.txt", "Failed"), transfer(&file.name, "Completed"));
    charged(&judge(std::slice::from_ref(&failed), std::slice::from_ref(&completed)), &[]);
    charged(&judge(std::slice::from_ref(&failed), &[]), &[Charge::Lost]);
    charged(&judge(&[failed.clone(), failed.clone()], std::slice::from_ref(&completed)), &[Charge::Twice]);
    let elsewhere = failed.replace("a.txt</User", "b.txt</User");
    charged(&judge(&[elsewhere], std::slice::from_ref(&completed)), &[Charge::Foreign]);
}

#[test]
fn a_planted_loss_is_found() {
    let judgement = judged(&two(), delivered(Layout::Canonical, vec![output(1, &document(&[message(2, "two")]))]));
    charged(&judgement, &[Charge::Lost]);
    assert_eq!(judgement.archived, 1);
    charged(&judged(&two(), delivered(Layout::FileDump, vec![output(1, &dump(&[act(1, "one")]))])), &[Charge::Lost]);
    charged(&judged(&two(), delivered(Layout::Canonical, Vec::new())), &[Charge::Lost, Charge::Lost]);
    let case = Case {
        entries: &two(),
        delivered: &[delivered(Layout::Canonical, Vec::new())],
        quarantined: &[],
        unfinished: true,
    };
    charged(&judge(&case), &[Charge::Waiting, Charge::Waiting]);
}

#[test]
fn a_planted_duplicate_is_found_in_one_file_and_in_two() {
    let once = document(&[message(1, "one"), message(2, "two")]);
    let files = vec![output(1, &once), output(2, &document(&[message(2, "two")]))];
    charged(&judged(&two(), delivered(Layout::Canonical, files)), &[Charge::Twice]);
    let acts = dump(&[act(1, "one"), act(2, "two"), act(2, "two")]);
    charged(&judged(&two(), delivered(Layout::FileDump, vec![output(1, &acts)])), &[Charge::Twice]);
}

#[test]
fn planted_wrong_words_are_found() {
    let wrong = document(&[message(1, "one"), message(2, "too")]);
    let judgement = judged(&two(), delivered(Layout::Canonical, vec![output(1, &wrong)]));
    charged(&judgement, &[Charge::Wrong]);
    assert!(judgement.findings[0].detail.ends_with("differs in content"), "{judgement:?}");
    let acts = dump(&[act(1, "one"), act(2, "too")]);
    charged(&judged(&two(), delivered(Layout::FileDump, vec![output(1, &acts)])), &[Charge::Wrong]);
}

#[test]
fn a_planted_stranger_is_found() {
    let strange = document(&[message(1, "one"), message(2, "two"), message(3, "who?")]);
    charged(&judged(&two(), delivered(Layout::Canonical, vec![output(1, &strange)])), &[Charge::Foreign]);
    let acts = dump(&[act(1, "one"), act(2, "two"), act(3, "who?")]);
    charged(&judged(&two(), delivered(Layout::FileDump, vec![output(1, &acts)])), &[Charge::Foreign]);
}

#[test]
fn a_planted_half_file_is_found() {
    let whole = document(&[message(1, "one"), message(2, "two")]);
    let half = &whole[..whole.len() / 2];
    let judgement = judged(&two(), delivered(Layout::Canonical, vec![output(1, half)]));
    charged(&judgement, &[Charge::Lost, Charge::Lost, Charge::Partial]);
}

#[test]
fn both_sides_of_a_conflict_must_be_there_and_a_duplicate_must_not() {
    let bodies = [
        (Nature::Ordinary, event(1, "buy")),
        (Nature::Conflict, event(1, "sell")),
        (Nature::Duplicate, event(1, "buy")),
    ];
    let entries = confirmed(&bodies);
    let both = document(&[message(1, "buy"), message(1, "sell")]);
    charged(&judged(&entries, delivered(Layout::Canonical, vec![output(1, &both)])), &[]);
    let one = document(&[message(1, "buy")]);
    charged(&judged(&entries, delivered(Layout::Canonical, vec![output(1, &one)])), &[Charge::Lost]);
    let three = document(&[message(1, "buy"), message(1, "sell"), message(1, "buy")]);
    charged(&judged(&entries, delivered(Layout::Canonical, vec![output(1, &three)])), &[Charge::Twice]);
}

#[test]
fn what_was_never_confirmed_may_be_there_or_not_but_once() {
    let ledger = Ledger::in_memory();
    ledger.hand_over(Nature::Ordinary, event(1, "one")).unwrap();
    let entries = ledger.entries();
    for (times, charges) in [(0, &[][..]), (1, &[]), (2, &[Charge::Twice])] {
        let messages = vec![message(1, "one"); times];
        let judgement = judged(&entries, delivered(Layout::Canonical, vec![output(1, &document(&messages))]));
        charged(&judgement, charges);
    }
}

#[test]
fn an_attachment_is_judged_by_its_bytes() {
    let entries = confirmed(&[(Nature::Ordinary, upload("the report"))]);
    let name = "a-20261122T100000Z-000000001-ab.txt";
    let judged_with = |bytes: Option<&str>| {
        let copy =
            bytes.map(|bytes| Obtained { name: name.into(), sha256: digest(bytes.as_bytes()), bytes: Vec::new() });
        let files = copy.into_iter().chain([output(1, &document(&[file_message(name)]))]).collect();
        judged(&entries, delivered(Layout::Canonical, files))
    };
    charged(&judged_with(Some("the report")), &[]);
    charged(&judged_with(Some("another")), &[Charge::Wrong]);
    charged(&judged_with(None), &[Charge::Lost, Charge::Wrong]);
}

#[test]
fn poison_belongs_into_quarantine_whole_and_good_events_do_not() {
    let entries = confirmed(&[(Nature::Poison, b"{not json".to_vec()), (Nature::Ordinary, event(1, "one"))]);
    let files = || [delivered(Layout::Canonical, vec![output(1, &document(&[message(1, "one")]))])];
    let with = |quarantined: &[String]| {
        judge(&Case { entries: &entries, delivered: &files(), quarantined, unfinished: false })
    };
    let (poison, good) = (digest(b"{not json"), digest(&event(1, "one")));
    let judgement = with(std::slice::from_ref(&poison));
    charged(&judgement, &[]);
    assert_eq!(judgement.quarantined, 1);
    charged(&with(&[]), &[Charge::Lost]);
    charged(&with(&[digest(b"{not jso")]), &[Charge::Lost, Charge::Foreign]);
    charged(&with(&[poison.clone(), poison.clone()]), &[Charge::Twice]);
    charged(&with(&[poison, good]), &[Charge::Wrong]);
}

/// A share with its marker, an archive that collects from it, and a hostile reader that watches it.
struct Stage {
    dir: tempfile::TempDir,
    archive: Option<Archive>,
    reader: Option<HostileReader>,
}

impl Stage {
    fn new(manner: Option<Manner>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let share = dir.path().join("share");
        fs::create_dir_all(share.join(".inprogress")).unwrap();
        fs::write(share.join(".inprogress/share"), "a").unwrap();
        let mut stage = Self { dir, archive: None, reader: None };
        let watched = Watched { adapter: "a".into(), share, layout: Layout::Canonical };
        stage.reader = Some(HostileReader::open(vec![watched]).unwrap());
        if let Some(manner) = manner {
            let collected = stage.collected(manner);
            stage.archive = Some(Archive::open(&stage.dir.path().join("archive"), vec![collected]).unwrap());
        }
        stage
    }

    fn collected(&self, manner: Manner) -> Collected {
        let (adapter, share) = ("a".into(), self.share());
        Collected { adapter, share, manner, attachments_first: true, settled: Duration::ZERO }
    }

    fn share(&self) -> PathBuf {
        self.dir.path().join("share")
    }

    fn certificates(&self) -> PathBuf {
        self.dir.path().join("certificates")
    }

    /// Publishes as the product should: whole, by rename.
    fn publish(&self, name: &str, text: &str) {
        let temporary = self.share().join(".inprogress").join(name);
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.share().join(name)).unwrap();
    }

    fn certify(&self, name: &str, text: &str, disposal: &str) {
        fs::create_dir_all(self.certificates()).unwrap();
        let (size, sha256) = (text.len(), digest(text.as_bytes()));
        let file =
            format!(r#"{{"name":"{name}","kind":"output","size":{size},"sha256":"{sha256}","disposal":"{disposal}"}}"#);
        let certificate = format!(r#"{{"adapter":"a","files":[{file}]}}"#);
        fs::write(self.certificates().join("purge-1.json"), certificate).unwrap();
    }

    fn end(mut self, manner: Manner) -> Vec<Finding> {
        let (book, mut findings) = self.archive.take().map_or_else(|| (Book::new(), Vec::new()), Archive::close);
        let (sightings, _, seen, looks) = self.reader.take().unwrap().close(&book);
        assert!(looks > 0);
        findings.extend(seen);
        findings.extend(self.audit(manner, &book, &sightings));
        findings
    }

    fn audit(&self, manner: Manner, book: &Book, sightings: &Sightings) -> Vec<Finding> {
        let (shares, certificates) = ([self.collected(manner)], [self.certificates()]);
        Audit { shares: &shares, book, sightings, certificates: &certificates, finished: true }.findings().0
    }
}

#[track_caller]
fn eventually(mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Long enough for several looks of reader and archive.
fn looks() {
    std::thread::sleep(Duration::from_millis(250));
}

#[track_caller]
fn only(findings: &[Finding], charge: Charge) {
    assert!(!findings.is_empty() && findings.iter().all(|finding| finding.charge == charge), "{findings:?}");
}

const NAME: &str = "a-20261122T100000Z-000000001.xml";

#[test]
fn honest_delivery_and_purge_pass_for_every_kind_of_archive() {
    let text = document(&[message(1, "one")]);
    for manner in [Manner::Move, Manner::CopyAndDelete] {
        let stage = Stage::new(Some(manner));
        stage.publish(NAME, &text);
        eventually(|| !stage.share().join(NAME).exists());
        stage.certify(NAME, &text, "taken-by-archive");
        looks();
        assert_eq!(stage.end(manner), Vec::new());
    }
    let stage = Stage::new(Some(Manner::Acknowledge));
    stage.publish(NAME, &text);
    let acknowledgement = stage.share().join(format!("{NAME}.ack"));
    eventually(|| acknowledgement.exists());
    stage.certify(NAME, &text, "deleted");
    fs::remove_file(stage.share().join(NAME)).unwrap();
    fs::remove_file(acknowledgement).unwrap();
    looks();
    assert_eq!(stage.end(Manner::Acknowledge), Vec::new());
}

#[test]
fn a_half_file_on_the_share_is_found_by_the_hostile_reader() {
    let stage = Stage::new(None);
    let text = document(&[message(1, "one")]);
    fs::write(stage.share().join(NAME), &text[..text.len() / 2]).unwrap();
    looks();
    fs::write(stage.share().join(NAME), &text).unwrap();
    looks();
    only(&stage.end(Manner::Move), Charge::Partial);
}

#[test]
fn an_attachment_that_comes_after_its_output_is_found() {
    let stage = Stage::new(None);
    let attachment = "a-20261122T100000Z-000000001-ab.txt";
    stage.publish(NAME, &document(&[file_message(attachment)]));
    looks();
    stage.publish(attachment, "the report");
    looks();
    only(&stage.end(Manner::Move), Charge::Partial);
}

#[test]
fn a_name_that_comes_back_is_found() {
    let text = document(&[message(1, "one")]);
    for again in [text.clone(), document(&[message(2, "two")])] {
        let stage = Stage::new(Some(Manner::Move));
        stage.publish(NAME, &text);
        eventually(|| !stage.share().join(NAME).exists());
        looks();
        stage.publish(NAME, &again);
        stage.certify(NAME, &text, "taken-by-archive");
        looks();
        let findings = stage.end(Manner::Move);
        assert!(findings.iter().any(|finding| finding.charge == Charge::Twice), "{findings:?}");
    }
}

#[test]
fn planted_wrong_purges_are_found() {
    let text = document(&[message(1, "one")]);
    // Deleted although nobody took it.
    let stage = Stage::new(None);
    stage.publish(NAME, &text);
    looks();
    fs::remove_file(stage.share().join(NAME)).unwrap();
    looks();
    only(&stage.end(Manner::Acknowledge), Charge::WrongPurge);
    // Deleted after acknowledgement, but without a certificate, or with a false one.
    for certified in [None, Some((document(&[]), "deleted")), Some((text.clone(), "taken-by-archive"))] {
        let stage = Stage::new(Some(Manner::Acknowledge));
        stage.publish(NAME, &text);
        eventually(|| stage.share().join(format!("{NAME}.ack")).exists());
        if let Some((certified, disposal)) = certified {
            stage.certify(NAME, &certified, disposal);
        }
        fs::remove_file(stage.share().join(NAME)).unwrap();
        looks();
        only(&stage.end(Manner::Acknowledge), Charge::WrongPurge);
    }
}

#[test]
fn a_file_that_a_neighbour_changed_must_stay() {
    let text = document(&[message(1, "one")]);
    for harm in Harm::ALL {
        for purged in [false, true] {
            let stage = Stage::new(Some(Manner::Acknowledge));
            stage.archive.as_ref().unwrap().harm_next(harm);
            stage.publish(NAME, &text);
            eventually(|| stage.share().join(format!("{NAME}.ack")).exists());
            assert_ne!(fs::read(stage.share().join(NAME)).unwrap(), text.as_bytes());
            if purged {
                stage.certify(NAME, &text, "deleted");
                fs::remove_file(stage.share().join(NAME)).unwrap();
                looks();
            }
            let findings = stage.end(Manner::Acknowledge);
            match purged {
                true => only(&findings, Charge::WrongPurge),
                false => assert_eq!(findings, Vec::new()),
            }
        }
    }
}

#[test]
fn an_absent_share_proves_nothing() {
    let stage = Stage::new(Some(Manner::Acknowledge));
    stage.publish(NAME, &document(&[message(1, "one")]));
    eventually(|| stage.share().join(format!("{NAME}.ack")).exists());
    let away = stage.dir.path().join("away");
    fs::rename(stage.share(), &away).unwrap();
    fs::create_dir(stage.share()).unwrap();
    looks();
    fs::remove_dir(stage.share()).unwrap();
    fs::rename(&away, stage.share()).unwrap();
    looks();
    assert_eq!(stage.end(Manner::Acknowledge), Vec::new());
}

#[test]
fn an_acknowledged_output_must_not_stand_bare() {
    let stage = Stage::new(Some(Manner::Acknowledge));
    stage.publish(NAME, &document(&[message(1, "one")]));
    let acknowledgement = stage.share().join(format!("{NAME}.ack"));
    eventually(|| acknowledgement.exists());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(400) {
        // The archive writes it again and again; somebody removes it each time.
        let _ = fs::remove_file(&acknowledgement);
        std::thread::sleep(Duration::from_millis(1));
    }
    only(&stage.end(Manner::Acknowledge), Charge::Twice);
}
