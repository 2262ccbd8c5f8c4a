//! What is refused: broken stylesheets and documents, foreign files, endless work.

use chancery::transform::{Stylesheet, TransformError, Transformer};

use super::{Sheet, bare_spec};

#[tokio::test]
async fn a_malformed_stylesheet_is_named_with_its_line() {
    let error = Sheet::whole("<xsl:stylesheet version=\"1.0\"\n xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\n<xsl:template>\n</xsl:stylesheet>").refusal().await;
    assert!(matches!(error, TransformError::Unusable { .. }) && !error.retry_helps());
    assert!(error.to_string().contains("sheet.xsl:4"), "{error}");

    let error = Sheet::new("<xsl:template match=\"a[\"/>").refusal().await;
    let shown = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("sheet.xsl:4: ") && shown.contains("a["), "{shown}");

    let error = bare_spec_with_file("/nowhere/sheet.xsl").await;
    assert!(error.to_string().contains("/nowhere/sheet.xsl"), "{error}");
}

async fn bare_spec_with_file(path: &str) -> TransformError {
    let mut spec = bare_spec();
    spec.stylesheet = Some(Stylesheet::File(path.into()));
    Transformer::start(spec).await.expect_err("the file is not there")
}

#[tokio::test]
async fn a_failing_run_is_named_with_its_line() {
    let sheet = Sheet::new(
        "<xsl:template match=\"/\">\n\n<xsl:value-of select=\"nowhere:f()\" xmlns:nowhere=\"urn:x\"/></xsl:template>",
    );
    let error = sheet.run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }) && !error.retry_helps(), "{error}");
    let shown = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("sheet.xsl:6"), "{shown}");
}

#[tokio::test]
async fn a_stylesheet_may_stop_itself() {
    let sheet = Sheet::new(
        "<xsl:template match=\"/\"><xsl:message terminate=\"yes\">no room named</xsl:message></xsl:template>",
    );
    let error = sheet.run("<a/>").await.unwrap_err();
    assert!(error.to_string().contains("no room named"), "{error}");
}

#[tokio::test]
async fn documents_must_be_well_formed_and_bear_no_doctype() {
    let transformer = Sheet::new("<xsl:template match=\"/\"><ok/></xsl:template>").start().await;
    for document in [
        "<a><b>x</a>",
        "",
        "<a>\u{1}</a>",
        "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
        "<!DOCTYPE a SYSTEM \"/etc/passwd\"><a/>",
    ] {
        let error = transformer.transform(document.as_bytes()).await.unwrap_err();
        assert!(matches!(error, TransformError::Input { .. }), "{document}: {error}");
        assert!(!error.diagnostics().is_empty(), "{document}");
    }
    transformer.transform(b"<a/>").await.unwrap();
}

#[tokio::test]
async fn endless_recursion_and_endless_work_are_stopped() {
    let endless = Sheet::new(
        "<xsl:template match=\"/\"><xsl:call-template name=\"t\"/></xsl:template><xsl:template name=\"t\"><xsl:call-template name=\"t\"/></xsl:template>",
    );
    let error = endless.run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");

    let exponential = "<xsl:template match=\"/\"><xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"40\"/></xsl:call-template></xsl:template>\
        <xsl:template name=\"t\"><xsl:param name=\"n\"/><xsl:if test=\"$n &gt; 0\">\
        <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template>\
        <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>";
    let error =
        Sheet::new(exponential).with(|spec| spec.limits.operations_max = 100_000).run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");

    let quadratic = "<xsl:template match=\"/\"><xsl:value-of select=\"count(//b[count(//b[count(//b) &gt; 1]) &gt; 1])\"/></xsl:template>";
    let document = format!("<a>{}</a>", "<b/>".repeat(1000));
    let error =
        Sheet::new(quadratic).with(|spec| spec.limits.operations_max = 100_000).run(&document).await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn the_stack_holds_the_deepest_nesting_allowed() {
    let sheet = Sheet::new(
        "<xsl:template match=\"a\" name=\"t\"><xsl:choose><xsl:when test=\"true()\"><xsl:for-each select=\".\"><xsl:variable name=\"x\"><b>\
         <xsl:apply-templates select=\".\"/></b></xsl:variable><xsl:copy-of select=\"$x\"/></xsl:for-each></xsl:when></xsl:choose></xsl:template>",
    );
    let error = sheet.run("<a/>").await.unwrap_err();
    assert!(matches!(error, TransformError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn no_file_is_read_that_is_not_the_stylesheets_own() {
    let compile = [
        "<xsl:import href=\"/etc/passwd\"/>",
        "<xsl:include href=\"../../../../../../etc/passwd\"/>",
        "<xsl:import href=\"file:///etc/passwd\"/>",
        "<xsl:import href=\"http://127.0.0.1:9/x.xsl\"/>",
    ];
    for import in compile {
        let error = Sheet::new(import).refusal().await;
        let shown = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(shown.contains("refused"), "{import}: {shown}");
    }
    let entity = Sheet::whole(
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"/etc/hostname\">]><xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"><xsl:template match=\"/\"><a>&e;</a></xsl:template></xsl:stylesheet>",
    );
    assert!(matches!(entity.refusal().await, TransformError::Unusable { .. }));

    for address in ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x"] {
        let sheet = Sheet::new(&format!(
            "<xsl:template match=\"/\"><xsl:copy-of select=\"document('{address}')\"/></xsl:template>"
        ));
        let error = sheet.run("<a/>").await.unwrap_err();
        assert!(matches!(error, TransformError::Failed { .. }), "{address}: {error}");
        assert!(!error.diagnostics().is_empty());
    }
}

#[tokio::test]
async fn nothing_is_written() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("written");
    for element in ["exsl:document", "xsl:document"] {
        let sheet = Sheet::new(&format!(
            "<xsl:template match=\"/\"><{element} href=\"{}\" method=\"text\">x</{element}></xsl:template>",
            target.display()
        ));
        let error = sheet.run("<a/>").await;
        assert!(!target.exists(), "{element}");
        assert!(error.is_err(), "{element}");
    }
}

#[tokio::test]
async fn the_own_folder_and_the_own_text_are_open() {
    let sheet = Sheet::new(
        "<xsl:import href=\"parts/part.xsl\"/><xsl:output method=\"text\"/>\
         <m:words xmlns:m=\"urn:m\"><m:word>inside</m:word></m:words>\
         <xsl:template match=\"/\"><xsl:call-template name=\"part\"/>,<xsl:value-of select=\"document('')//m:word\" xmlns:m=\"urn:m\"/></xsl:template>",
    );
    std::fs::create_dir(sheet.folder.path().join("parts")).unwrap();
    let part = "<!DOCTYPE xsl:stylesheet [<!ENTITY word \"part &#228;\">]><xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
        <xsl:template name=\"part\">&word;<x>own</x>,<xsl:value-of select=\"document('')//x\"/></xsl:template></xsl:stylesheet>";
    let sheet = sheet.file("parts/part.xsl", part);
    assert_eq!(sheet.run("<a/>").await.unwrap(), "part äown,own,inside");
}
