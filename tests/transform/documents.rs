//! `document()`, `xsl:import`, parameters, profiles, and stylesheets that change on disk.

use chancery::transform::{Part, TransformError, Transformer};

use super::Sheet;

fn copying(address: &str) -> Sheet {
    Sheet::new(&format!("<xsl:template match=\"/\">\n<xsl:copy-of select=\"{address}\"/></xsl:template>"))
}

#[tokio::test]
async fn files_of_the_own_folder_are_read_where_they_are_named() {
    let sheet = copying("document('codes.xml')/codes/code[@id = 2]")
        .file("codes.xml", "<codes><code id=\"1\"/><code id=\"2\">two</code></codes>");
    assert!(sheet.run("<a/>").await.unwrap().contains("<code id=\"2\">two</code>"));

    // In a folder below, with a name that needs escapes, as part of a larger path, and from an imported file.
    let sheet = Sheet::new(
        "<xsl:import href=\"parts/part.xsl\"/><xsl:template match=\"/\"><r><xsl:call-template name=\"p\"/>\
         <xsl:copy-of select=\"/a/b | document(&quot;a%20b.xml&quot;, document(''))/x\"/></r></xsl:template>",
    )
    .file("a b.xml", "<x>space</x>");
    std::fs::create_dir(sheet.folder.path().join("parts")).unwrap();
    let sheet = sheet
        .file(
            "parts/part.xsl",
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:template name=\"p\">\
             <xsl:value-of select=\"document('beside.xml')\"/></xsl:template></xsl:stylesheet>",
        )
        .file("parts/beside.xml", "<y>beside</y>");
    let output = sheet.run("<a/>").await.unwrap();
    assert!(output.contains("beside") && output.contains("<x>space</x>"), "{output}");

    // The same name as a text or worked out: what was read is there.
    let sheet = copying("document(concat('co', 'des.xml')) | document('codes.xml')").file("codes.xml", "<codes/>");
    assert!(sheet.run("<a/>").await.unwrap().contains("<codes/>"));
}

#[tokio::test]
async fn everything_else_is_refused_with_place_and_cure() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.xml"), "<secret/>").unwrap();
    for (address, cure) in [
        ("'/etc/passwd'", "copy the file there"),
        ("'file:///etc/passwd'", "copy the file there"),
        ("'../secret.xml'", "copy the file there"),
        ("'link.xml'", "copy the file there"),
        ("'http://127.0.0.1:9/x'", "no network"),
        ("'ftp://127.0.0.1/x'", "no network"),
        ("concat('la', 'te.xml')", "in so many words"),
        ("//@href", "in so many words"),
        ("'none.xml'", "No such file"),
    ] {
        let sheet = copying(&format!("document({address})")).file("late.xml", "<secret/>");
        std::os::unix::fs::symlink(outside.path().join("secret.xml"), sheet.folder.path().join("link.xml")).unwrap();
        let error = sheet.run("<a href=\"late.xml\"/>").await.unwrap_err();
        let shown: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
        assert!(matches!(error, TransformError::Failed { .. }), "{address}: {error}");
        assert!(
            shown.iter().any(|line| line.starts_with("sheet.xsl:5: ") && line.contains(cure)),
            "{address}: {shown:?}"
        );
        assert!(!shown.join("").contains("<secret"), "{shown:?}");
    }
    for import in ["/etc/passwd", "http://127.0.0.1:9/x.xsl", "../x.xsl"] {
        let error = Sheet::new(&format!("\n<xsl:import href=\"{import}\"/>")).refusal().await;
        let shown: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
        assert!(
            shown.iter().any(|line| line.starts_with("sheet.xsl:5: ") && line.contains("refused; a transform")),
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn a_parameter_that_nobody_declared_is_refused_with_those_that_are() {
    let sheet = Sheet::new(
        "<xsl:import href=\"part.xsl\"/><xsl:param name=\"time_unit\"/><xsl:param name=\"x:in\" xmlns:x=\"urn:x\"/>\
         <xsl:template match=\"/\"><xsl:param name=\"inner\"/><ok/></xsl:template>",
    )
    .file(
        "part.xsl",
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:param name=\"imported\"/></xsl:stylesheet>",
    );
    let with = |name: &str| {
        let mut spec = sheet.spec.clone();
        spec.parameters.insert(name.into(), "1".into());
        spec
    };
    for name in ["time_unit", "{urn:x}in", "imported"] {
        Transformer::start(with(name)).await.unwrap();
    }
    for (name, cure) in [("time-unit", "did you mean time_unit?"), ("colour", "declare it"), ("inner", "declare it")] {
        let error = Transformer::start(with(name)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("parameter {name} is not declared")) && error.contains(cure), "{error}");
        assert!(error.contains("time_unit, ") && error.contains("imported"), "{error}");
    }
    let bare = Sheet::new("<xsl:template match=\"/\"><ok/></xsl:template>")
        .with(|spec| drop(spec.parameters.insert("x".into(), "1".into())));
    assert!(bare.refusal().await.to_string().contains("it declares none"));
}

#[tokio::test]
async fn a_stylesheet_learns_which_part_it_makes() {
    let body = "<xsl:output method=\"text\"/><xsl:param name=\"chancery-part\" select=\"'whole'\"/>\
        <xsl:template match=\"/\"><xsl:value-of select=\"$chancery-part\"/></xsl:template>";
    let transformer = Sheet::new(body).start().await;
    for (part, word) in [(Part::First, "first"), (Part::Next, "next")] {
        assert_eq!(transformer.transform_part(b"<a/>", part).await.unwrap().bytes, word.as_bytes());
    }
    assert_eq!(transformer.transform(b"<a/>").await.unwrap().bytes, b"whole");
    let silent = Sheet::new("<xsl:output method=\"text\"/><xsl:template match=\"/\">x</xsl:template>").start().await;
    assert_eq!(silent.transform_part(b"<a/>", Part::Next).await.unwrap().bytes, b"x");
}

#[tokio::test]
async fn a_change_on_disk_is_noticed_by_content() {
    let sheet = Sheet::new(
        "<xsl:import href=\"part.xsl\"/><xsl:template match=\"/\"><xsl:copy-of select=\"document('codes.xml')\"/></xsl:template>",
    )
    .file("part.xsl", "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"/>")
    .file("codes.xml", "<codes/>");
    let transformer = sheet.start().await;
    assert!(transformer.is_current().await);
    let path = |name: &str| sheet.folder.path().join(name);
    let main = std::fs::read_to_string(path("sheet.xsl")).unwrap();
    // Written again with the same content: nothing has changed.
    std::fs::write(path("sheet.xsl"), &main).unwrap();
    assert!(transformer.is_current().await);
    for (name, text) in [("codes.xml", "<codes>1</codes>"), ("part.xsl", "<x/>"), ("sheet.xsl", "")] {
        let before = std::fs::read(path(name)).unwrap();
        std::fs::write(path(name), text).unwrap();
        assert!(!transformer.is_current().await, "{name}");
        std::fs::write(path(name), before).unwrap();
        assert!(transformer.is_current().await, "{name}");
    }
    std::fs::remove_file(path("codes.xml")).unwrap();
    assert!(!transformer.is_current().await);
}

#[tokio::test]
async fn a_link_turned_to_another_stylesheet_is_a_change() {
    let one = Sheet::new("<xsl:template match=\"/\"><one/></xsl:template>");
    let two = Sheet::new("<xsl:template match=\"/\"><two/></xsl:template>");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("current.xsl");
    std::os::unix::fs::symlink(one.folder.path().join("sheet.xsl"), &link).unwrap();
    let mut spec = one.spec.clone();
    spec.stylesheet = Some(chancery::transform::resolve(link.to_str().unwrap(), std::path::Path::new("/")).unwrap());
    let transformer = Transformer::start(spec.clone()).await.unwrap();
    assert!(transformer.is_current().await);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(two.folder.path().join("sheet.xsl"), &link).unwrap();
    assert!(!transformer.is_current().await);
    let renewed = Transformer::start(spec).await.unwrap();
    assert!(renewed.transform(b"<a/>").await.unwrap().bytes.ends_with(b"<two/>\n"));
}

#[tokio::test]
async fn an_error_names_the_message_it_happened_at() {
    let sheet = Sheet::new(
        "<xsl:template match=\"Message\">\n<xsl:if test=\"@c:event = 'e-2'\" xmlns:c=\"urn:chancery:1\"><xsl:value-of select=\"str:nothing()\"/></xsl:if></xsl:template>",
    );
    let document = |attributes: [&str; 2]| {
        format!(
            "<Conversations xmlns:c=\"urn:chancery:1\"><Conversation><Channel uri=\"ma-chan://x/1\"/><Messages>\
             <Message {}/><Message {}/></Messages></Conversation></Conversations>",
            attributes[0], attributes[1]
        )
    };
    let error =
        sheet.run(&document(["c:source=\"/s\" c:event=\"e-1\"", "c:source=\"/s\" c:event=\"e-2\""])).await.unwrap_err();
    let first = error.to_string();
    assert!(first.contains("sheet.xsl:5: ") && first.contains("(at event e-2 of /s)"), "{first}");

    // Without the namespace it is counted; a stylesheet's own stop knows its place too.
    let sheet = Sheet::new(
        "<xsl:template match=\"Message\">\n\n<xsl:if test=\"@id = 7\"><xsl:message terminate=\"yes\">seven</xsl:message></xsl:if></xsl:template>",
    );
    let error = sheet.run(&document(["id=\"1\"", "id=\"7\""])).await.unwrap_err().to_string();
    assert!(error.contains("sheet.xsl:6: it stopped itself: seven (at message 2 of room ma-chan://x/1)"), "{error}");
}

#[tokio::test]
async fn a_profile_counts_each_template() {
    let sheet = Sheet::new(
        "<xsl:import href=\"part.xsl\"/>\n<xsl:template match=\"/\"><xsl:apply-templates select=\"//b\" mode=\"m\"/></xsl:template>\n\
         <xsl:template match=\"b\" mode=\"m\"><xsl:call-template name=\"p\"/></xsl:template>\n<xsl:template match=\"never\"/>",
    )
    .file(
        "part.xsl",
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\n<xsl:template name=\"p\"><x/></xsl:template></xsl:stylesheet>",
    );
    let transformer = sheet.start().await;
    // Counts are of one run, not of all before it.
    for _ in 0..2 {
        let done = transformer.profile(format!("<a>{}</a>", "<b/>".repeat(50)).as_bytes()).await.unwrap();
        let mut costs: Vec<_> = done
            .costs
            .iter()
            .map(|cost| {
                (
                    cost.file.as_str(),
                    cost.line,
                    cost.pattern.as_str(),
                    cost.name.as_str(),
                    cost.mode.as_str(),
                    cost.calls,
                )
            })
            .collect();
        costs.sort_unstable();
        assert_eq!(
            costs,
            [("part.xsl", 2, "", "p", "", 50), ("sheet.xsl", 5, "/", "", "", 1), ("sheet.xsl", 6, "b", "", "m", 50)]
        );
        assert!(done.costs.iter().map(|cost| cost.micros).sum::<u64>() < 60_000_000);
    }
    assert!(transformer.transform(b"<a/>").await.unwrap().costs.is_empty());
}
