//! A document transformed whole, and by conversations and joined: the same bytes, whatever the stylesheet.

use chancery::transform::{ConversationDocuments, JoinError, Joiner, Part, Transformer};
use proptest::prelude::*;

use super::{ROOT, Sheet};

async fn both(transformer: &Transformer, document: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let whole = transformer.transform(document).await.unwrap().bytes;
    let mut joiner = Joiner::new(Vec::new(), transformer.form().clone());
    for (number, conversation) in ConversationDocuments::new(document).enumerate() {
        let part = if number == 0 { Part::First } else { Part::Next };
        let result = transformer.transform_part(&conversation.unwrap(), part).await.unwrap();
        joiner.add(&format!("conversation {}", number + 1), &result.bytes).unwrap();
    }
    (whole, joiner.finish().unwrap())
}

fn assert_same(whole: &[u8], joined: &[u8]) {
    assert_eq!(String::from_utf8_lossy(joined), String::from_utf8_lossy(whole));
    assert_eq!(joined, whole);
}

/// Text that has to be escaped, or is in no Latin alphabet.
fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "a", " ", "<", ">", "&", "\"", "'", "]]>", "</r>", "ü", "\n", "漢字", "😀", "--", "?>",
        ]),
        0..8,
    )
    .prop_map(|words| words.concat())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "&#10;")
}

fn document() -> impl Strategy<Value = String> {
    let conversation = (words(), prop::collection::vec(words(), 1..4)).prop_map(|(room, messages)| {
        let messages: String =
            messages.iter().map(|text| format!("<Message type=\"CHAT\" content=\"{}\"/>", escaped(text))).collect();
        format!("<Conversation><Channel uri=\"r{}\"/><Messages>{messages}</Messages></Conversation>", escaped(&room))
    });
    prop::collection::vec(conversation, 1..5)
        .prop_map(|all| format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Conversations xmlns:c=\"urn:chancery:1\">{}</Conversations>\n", all.concat()))
}

/// What stands for a conversation in the result; the second half begins with text or is nothing but text.
const ELEMENTS: [&str; 7] = [
    "<xsl:copy-of select=\".\"/>",
    "<room name=\"{Channel/@uri}\"><xsl:apply-templates select=\"Messages/Message\"/></room>",
    "<x:room xmlns:x=\"urn:x\" x:n=\"1\"><xsl:value-of select=\"Channel/@uri\"/></x:room>",
    "<xsl:if test=\"string-length(Channel/@uri) &gt; 3\"><long/></xsl:if>",
    "<one/><xsl:comment> &lt;/r> two </xsl:comment><three><r/></three>",
    "<xsl:element name=\"e\" namespace=\"urn:{string-length(Channel/@uri)}\"><r>x</r></xsl:element>",
    "<xsl:processing-instruction name=\"p\">i</xsl:processing-instruction><xsl:for-each select=\"Messages/Message\"><m><xsl:value-of select=\"@content\"/></m></xsl:for-each>",
];
const TEXTS: [&str; 3] = [
    "<xsl:value-of select=\"Channel/@uri\"/>",
    "<xsl:for-each select=\"Messages/Message\"><xsl:value-of select=\"@content\"/><xsl:text>&#10;</xsl:text></xsl:for-each>",
    "&#10;<b/>&#10;",
];
const ROOTS: [(&str, &str); 4] = [
    ("<r>", "</r>"),
    ("<r a=\"&lt;/r>\" xmlns=\"urn:r\" xmlns:x=\"urn:x\">", "</r>"),
    ("<x:r xmlns:x=\"urn:x\" x:b='1'>", "</x:r>"),
    ("<xsl:comment>before</xsl:comment><r>", "</r><xsl:comment> after </xsl:comment>"),
];
const OUTPUTS: [&str; 6] = [
    "method=\"xml\" indent=\"no\"",
    "method=\"xml\" indent=\"no\" omit-xml-declaration=\"yes\"",
    "method=\"xml\" indent=\"no\" encoding=\"ISO-8859-1\"",
    "method=\"xml\" doctype-system=\"r.dtd\" doctype-public=\"-//r//EN\" cdata-section-elements=\"m\"",
    "method=\"html\" indent=\"no\"",
    "method=\"text\" encoding=\"UTF-8\"",
];

fn stylesheet(output: &str, (open, close): (&str, &str), body: &str) -> Sheet {
    Sheet::new(&format!(
        "<xsl:output {output}/><xsl:template match=\"/\">{open}<xsl:apply-templates select=\"Conversations/Conversation\"/>{close}</xsl:template>\n\
         <xsl:template match=\"Conversation\">{body}</xsl:template>\n\
         <xsl:template match=\"Message\"><m><xsl:value-of select=\"@content\"/></m></xsl:template>"
    ))
}

fn run(sheet: &Sheet, document: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (whole, joined) = both(&sheet.start().await, document.as_bytes()).await;
        assert_same(&whole, &joined);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn joined_is_whole(
        document in document(),
        output in prop::sample::select(OUTPUTS.to_vec()),
        root in prop::sample::select(ROOTS.to_vec()),
        bodies in prop::collection::vec(prop::sample::select([ELEMENTS.as_slice(), TEXTS.as_slice()].concat()), 1..4),
    ) {
        run(&stylesheet(output, root, &bodies.concat()), &document);
    }

    /// Indented, as long as elements only stand below the document element.
    #[test]
    fn joined_is_whole_with_indentation(
        document in document(),
        root in prop::sample::select(ROOTS.to_vec()),
        bodies in prop::collection::vec(prop::sample::select(ELEMENTS.to_vec()), 1..4),
    ) {
        run(&stylesheet("method=\"xml\" indent=\"yes\"", root, &bodies.concat()), &document);
    }
}

#[tokio::test]
async fn the_shipped_transform_gives_the_same_both_ways() {
    let mut spec = super::bare_spec();
    spec.stylesheet = Some(chancery::transform::Stylesheet::Shipped(chancery::transform::Shipped::FileDump));
    let transformer = Transformer::start(spec).await.unwrap();
    let sample = chancery::assemble::sample_document(chancery::config::Dialect::Full).unwrap();
    for document in
        [super::read("tests/golden/canonical/full.xml"), super::read("tests/golden/canonical/lync2013.xml"), sample]
    {
        let (whole, joined) = both(&transformer, &document).await;
        assert_same(&whole, &joined);
        assert!(whole.len() > 1000, "{ROOT}");
    }
}

#[tokio::test]
async fn a_document_element_that_tells_of_its_conversations_is_an_error() {
    let sheet =
        stylesheet("method=\"xml\"", ("<r room=\"{Conversations/Conversation/Channel/@uri}\">", "</r>"), "<x/>");
    let transformer = sheet.start().await;
    let document = b"<Conversations><Conversation><Channel uri=\"one\"/></Conversation><Conversation><Channel uri=\"two\"/></Conversation></Conversations>";
    let mut joiner = Joiner::new(Vec::new(), transformer.form().clone());
    let mut outcome = Ok(());
    for conversation in ConversationDocuments::new(document.as_slice()) {
        let result = transformer.transform_part(&conversation.unwrap(), Part::First).await.unwrap();
        outcome = joiner.add("room two", &result.bytes);
    }
    let error = outcome.unwrap_err();
    assert!(matches!(&error, JoinError::Differs { .. }), "{error}");
    let text = error.to_string();
    assert!(["room two", "room=\"one\"", "room=\"two\""].iter().all(|part| text.contains(part)), "{text}");
}
