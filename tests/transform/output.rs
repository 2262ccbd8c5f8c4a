//! What is written: methods, encodings, messages, parameters, extensions.

use chancery::transform::{OutputMethod, TransformError, Transformer};

use super::Sheet;

#[tokio::test]
async fn output_methods_are_honoured() {
    let template = "<xsl:template match=\"/\"><html><br/>a &lt; b</html></xsl:template>";
    for (output, expected, method, extension) in [
        ("", "<?xml version=\"1.0\"?>\n<html><br/>a &lt; b</html>\n", OutputMethod::Xml, "xml"),
        (
            "<xsl:output method=\"xml\" omit-xml-declaration=\"yes\"/>",
            "<html><br/>a &lt; b</html>\n",
            OutputMethod::Xml,
            "xml",
        ),
        ("<xsl:output method=\"html\"/>", "<html>\n<br>a &lt; b</html>\n", OutputMethod::Html, "html"),
        ("<xsl:output method=\"text\" media-type=\"text/csv\"/>", "a < b", OutputMethod::Text, "txt"),
    ] {
        let transformer = Sheet::new(&format!("{output}{template}")).start().await;
        assert_eq!(transformer.method(), method, "{output}");
        assert_eq!(transformer.method().extension(), extension);
        assert_eq!(transformer.media_type(), output.contains("csv").then_some("text/csv"));
        let written = transformer.transform(b"<a/>").await.unwrap().bytes;
        if output.is_empty() {
            // XSLT 1.0, section 16: without xsl:output, a document element html makes it HTML.
            assert!(String::from_utf8_lossy(&written).contains("<br>"));
        } else {
            assert_eq!(String::from_utf8_lossy(&written), expected, "{output}");
        }
    }
}

#[tokio::test]
async fn the_encoding_is_honoured() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\" encoding=\"ISO-8859-1\"/><xsl:template match=\"/\"><xsl:value-of select=\"a\"/></xsl:template>",
    );
    let written = sheet.start().await.transform("<a>Grüße</a>".as_bytes()).await.unwrap().bytes;
    assert_eq!(written, b"Gr\xfc\xdfe");
}

#[tokio::test]
async fn messages_are_collected() {
    let sheet = Sheet::new(
        "<xsl:template match=\"/\"><xsl:for-each select=\"//b\"><xsl:message>seen <xsl:value-of select=\"@n\"/></xsl:message></xsl:for-each><ok/></xsl:template>",
    );
    let document = format!("<a>{}</a>", (0..150).map(|n| format!("<b n=\"{n}\"/>")).collect::<String>());
    let output = sheet.start().await.transform(document.as_bytes()).await.unwrap();
    assert_eq!(output.messages.len(), 100);
    assert_eq!(output.messages[7], "seen 7");
    assert_eq!(output.messages_dropped, 50);
}

#[tokio::test]
async fn parameters_are_texts_whatever_they_hold() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:param name=\"p\"/><xsl:param name=\"q\" select=\"'default'\"/>\
         <xsl:template match=\"/\"><xsl:value-of select=\"concat($p, '|', $q)\"/></xsl:template>",
    );
    for value in
        ["it's", "say \"x\"", "both ' and \"", "/a/b", "', document('/etc/passwd'), '", "", "ä\n\t😀 <&>", "{uri}x"]
    {
        let sheet = Sheet { folder: tempfile::tempdir().unwrap(), spec: sheet.spec.clone() }
            .with(|spec| drop(spec.parameters.insert("p".into(), value.into())));
        assert_eq!(sheet.run("<a/>").await.unwrap(), format!("{value}|default"));
    }
    for value in ["nul \0", "bell \u{7}"] {
        let mut spec = sheet.spec.clone();
        spec.parameters.insert("p".into(), value.into());
        assert!(matches!(Transformer::start(spec).await, Err(TransformError::Unusable { .. })));
    }
}

#[tokio::test]
async fn long_attributes_and_deep_recursion_of_old_stylesheets_work() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:template match=\"/\"><xsl:value-of select=\"string-length(a/@b)\"/>\
         <xsl:call-template name=\"down\"><xsl:with-param name=\"n\" select=\"5000\"/></xsl:call-template></xsl:template>\
         <xsl:template name=\"down\"><xsl:param name=\"n\"/><xsl:if test=\"$n &gt; 0\"><xsl:call-template name=\"down\">\
         <xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>",
    );
    let document = format!("<a b=\"{}\"/>", "x".repeat(200_000));
    assert_eq!(sheet.run(&document).await.unwrap(), "200000");
    // The parser's own limit of 10 MB for an attribute is lifted.
    let document = format!("<a b=\"{}\"/>", "x".repeat(11_000_000));
    assert_eq!(sheet.run(&document).await.unwrap(), "11000000");
}

#[tokio::test]
async fn registered_extensions_work_and_others_do_not() {
    let sheet = Sheet::new(
        "<xsl:output method=\"text\"/><xsl:template match=\"/\"><xsl:for-each select=\"str:tokenize('a b c')\">\
         <xsl:value-of select=\".\"/>;</xsl:for-each></xsl:template>",
    );
    assert_eq!(sheet.run("<a/>").await.unwrap(), "a;b;c;");
    let sheet = Sheet::new("<xsl:template match=\"/\"><xsl:value-of select=\"dyn:evaluate('1')\"/></xsl:template>");
    assert!(matches!(sheet.run("<a/>").await, Err(TransformError::Failed { .. })));
}
