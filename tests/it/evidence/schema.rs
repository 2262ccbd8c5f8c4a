//! What the product writes is what its schema says, for every kind of batch.

use std::fs;

use serde_json::{Value, json};

use super::{entries, evidence};
use crate::support::{Lab, Store};

const ADAPTERS: &str = "[files]\nroot = \"repository\"\nwith_batch_max = \"1KiB\"\n\
    [[adapter]]\nname = \"canonical\"\ninterval = \"1h\"\nattachments_manifest = true\nkeep_after_collection = \"0s\"\n\
    [[adapter]]\nname = \"six\"\ninterval = \"1h\"\ndialect = \"lync2013\"\n\
    [[adapter]]\nname = \"own\"\ninterval = \"1h\"\ntransform = \"own.xsl\"\n";

/// Copies all, but stops at the word "unsayable".
const PICKY: &str = r#"<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="xml" encoding="UTF-8"/>
  <xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>
  <xsl:template match="Message[contains(@content, 'unsayable')]"><xsl:message terminate="yes">cannot say this</xsl:message></xsl:template>
</xsl:stylesheet>"#;

fn event(id: &str, kind: &str, data: Value) -> String {
    let mut all = json!({ "sender": { "uri": "sip:a@example.com" } });
    all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/web/1", "type": kind, "subject": "room:own",
        "time": "2026-11-22T10:00:00Z", "data": all,
    });
    event.to_string()
}

/// The manifests of every kind of batch: empty, ordinary, supplement, and supplement of files.
fn manifests() -> Vec<Value> {
    let lab = Lab::new(Store::Sqlite, ADAPTERS);
    fs::write(lab.path("own.xsl"), PICKY).unwrap();
    fs::write(lab.path("repository/large"), vec![7; 5000]).unwrap();
    lab.ok(&["run", "--once"]);
    let mut lines = lab.simulate(9, 200);
    lines.extend([
        event("bad", "chat.message.posted", json!({ "message": { "text": "unsayable" } })),
        event("small", "chat.file.uploaded", json!({ "file": { "name": "small.txt", "inline": "aGVsbG8=" } })),
        event("large", "chat.file.uploaded", json!({ "file": { "name": "large.bin", "location": "large" } })),
    ]);
    lab.spool("day.ndjson", &lines);
    assert_eq!(lab.run(&["run", "--once"]).status.code(), Some(1), "a conversation is set aside");
    fs::write(lab.path("own.xsl"), PICKY.replace("unsayable", "never said")).unwrap();
    let failed = lab.json(&["batch", "list", "--state", "failed"]);
    lab.ok(&["batch", "retry", &failed[0]["id"].to_string()]);
    lab.ok(&["run", "--once"]);
    entries(&evidence(&lab)).into_iter().filter(|entry| entry["format"] == "chancery-manifest-1").collect()
}

#[test]
fn every_manifest_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../../../schemas/manifest.schema.json")).unwrap();
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let manifests = manifests();
    for manifest in &manifests {
        let wrong: Vec<_> = schema.iter_errors(manifest).map(|error| error.to_string()).collect();
        assert_eq!(wrong, [""; 0], "{manifest}");
        for member in manifest.as_object().unwrap().keys() {
            let mut less = manifest.clone();
            less.as_object_mut().unwrap().remove(member);
            assert!(!schema.is_valid(&less), "{member} may be missing");
        }
    }

    let some = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        manifests.iter().find(|manifest| holds(manifest)).unwrap_or_else(|| panic!("no manifest {what}"))
    };
    let kinds = |manifest: &Value| {
        let outputs = manifest["outputs"].as_array().unwrap();
        outputs.iter().map(|output| output["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    some("of an empty interval", &|one| one["events"]["count"] == 0 && one["supplement_to"].is_null());
    some("with messages left out", &|one| one["became"]["left_out"].as_u64() > Some(0));
    some("with what was set aside", &|one| one["set_aside"][0]["room"] == "room:own");
    some("of a supplement", &|one| one["supplement_to"].is_u64() && one["events"]["count"].as_u64() > Some(0));
    let with_files = some("with attachments", &|one| one["adapter"] == "canonical" && one["files"]["missing"] == 1);
    assert!(kinds(with_files).ends_with(&["attachments-manifest".into(), "output".into()]), "{with_files}");
    assert!(kinds(with_files).starts_with(&["attachment".into()]), "{with_files}");

    // As docs/evidence.md says: a supplement of files has its files, and no events of its own.
    let of_files =
        some("of a supplement of files", &|one| one["supplement_to"].is_u64() && one["events"]["count"] == 0);
    assert_eq!((&of_files["types"], &of_files["sources"]), (&json!([]), &json!([])));
    assert_eq!(of_files["became"], json!({ "written": 0, "signal": 0, "left_out": 0, "set_aside": 0, "no_room": 0 }));
    assert_eq!((&of_files["written"]["conversations"], &of_files["written"]["messages"]), (&json!(1), &json!(0)));
    assert_eq!((&of_files["events"]["size"], &of_files["outputs"][0]["size"]), (&json!(0), &json!(5000)));
}
