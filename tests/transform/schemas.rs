//! Our schemas, and the check of outputs against a schema.

use std::path::Path;

use chancery::transform::{TransformError, TransformSpec, Transformer};

use super::{ROOT, Sheet, bare_spec, read};

fn schema_spec(schema: &str) -> TransformSpec {
    let mut spec = bare_spec();
    spec.schema = Some(Path::new(ROOT).join("schemas").join(schema));
    spec
}

#[tokio::test]
async fn the_sample_follows_the_full_schema_and_broken_variants_do_not() {
    let transformer = Transformer::start(schema_spec("canonical.xsd")).await.unwrap();
    let sample = String::from_utf8(read("tests/data/every-type.xml")).unwrap();
    transformer.validate(sample.as_bytes()).await.unwrap();
    let old_spelling = sample.replace(" UserName=", " userName=");
    transformer.validate(old_spelling.as_bytes()).await.unwrap();

    for (from, to) in [
        ("type=\"CHAT\"", "type=\"SHOUT\""),
        ("id=\"4711\"", "id=\"2147483648\""),
        ("<Messages>", "<Messages>leaked text"),
        ("c:late=\"true\"", "c:late=\"perhaps\""),
        ("c:late=\"true\"", "c:tardy=\"true\""),
        ("c:size=\"", "c:size=\"-"),
        ("FirstMessage", "SecondMessage"),
        ("Channel uri=", "Channel url="),
        ("<c:Member ", "<c:Person "),
        ("since1970=\"1795342500123\"", "since1970=\"morning\""),
    ] {
        assert!(sample.contains(from), "{from}");
        let broken = sample.replace(from, to);
        let error = transformer.validate(broken.as_bytes()).await.unwrap_err();
        assert!(matches!(error, TransformError::Invalid { .. }), "{to}: {error}");
    }
    let error = transformer.validate(b"<Conversations>").await.unwrap_err();
    assert!(matches!(error, TransformError::Input { .. }), "{error}");
}

#[tokio::test]
async fn the_old_layout_follows_its_schema_and_ours_does_not() {
    let transformer = Transformer::start(schema_spec("lync2013.xsd")).await.unwrap();
    let old = String::from_utf8(read("tests/data/conversation-lync2013.xml")).unwrap();
    transformer.validate(old.as_bytes()).await.unwrap();
    transformer.validate(&read("tests/data/conversation-full.xml")).await.unwrap_err();
    for (from, to) in [
        ("type=\"CHAT\"", "type=\"EDIT\""),
        ("id=\"4711\"", "id=\"2147483648\""),
        ("<Channel ", "<Channel islogged=\"\" "),
        (" UserName=", " userName="),
    ] {
        let broken = old.replacen(from, to, 1);
        assert_ne!(broken, old, "{from}");
        assert!(matches!(transformer.validate(broken.as_bytes()).await, Err(TransformError::Invalid { .. })), "{to}");
    }
}

#[tokio::test]
async fn errors_of_a_schema_do_not_quote_content() {
    let transformer = Transformer::start(schema_spec("canonical.xsd")).await.unwrap();
    let sample = String::from_utf8(read("tests/data/every-type.xml")).unwrap();
    let error = transformer.validate(sample.replace("id=\"4711\"", "id=\"the secret\"").as_bytes()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    assert!(error.to_string().contains("attribute 'id'"), "{error}");
}

#[tokio::test]
async fn the_output_of_a_stylesheet_is_checked() {
    let schema = "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"><xs:element name=\"good\"/></xs:schema>";
    let sheet = |output: &str| {
        let sheet = Sheet::new(output).file("own.xsd", schema);
        let path = sheet.folder.path().join("own.xsd");
        sheet.with(|spec| spec.schema = Some(path))
    };
    let transformer = sheet("<xsl:template match=\"/\"><xsl:element name=\"{name(*)}\"/></xsl:template>").start().await;
    transformer.transform(b"<good/>").await.unwrap();
    assert!(matches!(transformer.transform(b"<bad/>").await, Err(TransformError::Invalid { .. })));
    let error = sheet("<xsl:output method=\"text\"/>").refusal().await;
    assert!(error.to_string().contains("schema"), "{error}");
}

#[tokio::test]
async fn a_schema_may_include_only_its_own_folder() {
    let schema = "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">\n<xs:include schemaLocation=\"/etc/passwd\"/></xs:schema>";
    let sheet = Sheet::new("").file("own.xsd", schema);
    let path = sheet.folder.path().join("own.xsd");
    let error = sheet.with(|spec| spec.schema = Some(path)).refusal().await;
    assert!(error.diagnostics().iter().any(|diagnostic| diagnostic.text.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn the_sample_for_authors_follows_the_schemas() {
    use chancery::assemble::sample_document;
    use chancery::config::Dialect;

    for (dialect, schema) in
        [(Dialect::Full, "canonical.xsd"), (Dialect::Ocs2007r2, "canonical.xsd"), (Dialect::Lync2013, "lync2013.xsd")]
    {
        let transformer = Transformer::start(schema_spec(schema)).await.unwrap();
        let sample = sample_document(dialect).unwrap();
        if let Err(error) = transformer.validate(&sample).await {
            panic!("{dialect:?}: {:?}", error.diagnostics());
        }
    }
}
