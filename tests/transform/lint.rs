//! The linter: each rule where it belongs, and silence where it does not.

use chancery::transform::{Finding, Severity, Shipped, Stylesheet, lint};

use super::{ROOT, Sheet};

/// A stylesheet's body and the rules it must break, in order of place. `R:` stands for a template that is used for every
/// message, `T:` for one that is used once.
#[rustfmt::skip]
const CASES: &[(&str, &[&str])] = &[
    // Nothing to find.
    ("T:<xsl:value-of select=\"count(//Message)\"/>", &[]),
    ("R:<xsl:value-of select=\"'//x[@id = current()/@id]'\"/>", &[]),
    ("R:<a b=\"{{//x}}{'preceding::y'}\" select=\"//Message\"/>", &[]),
    ("R:<xsl:if test=\"not(preceding-sibling::Message[1]/@type = @type)\"/>", &[]),
    ("R:<xsl:value-of select=\"key('k', @id)\"/>", &[]),
    ("R:<xsl:number/><xsl:number level=\"any\" from=\"Conversation\"/>", &[]),
    ("R:<xsl:value-of select=\"format-number(DateTimeUTC/@since1970 div 1000, '0')\"/>", &[]),
    ("R:<xsl:value-of select=\"Sender/@UserName | Sender/@userName\"/>", &[]),
    ("R:<xsl:value-of select=\".//DateTimeUTC/@string\"/>", &[]),
    ("R:<xsl:value-of select=\"str:tokenize(@content, ' ')[1]\"/>", &[]),
    ("R:<xsl:value-of select=\"div div mod * or\"/>", &[]),
    ("R:<xsl:if test=\"function-available('dyn:evaluate')\"><xsl:value-of select=\"dyn:evaluate('1')\"/></xsl:if>", &[]),
    ("R:<xsl:message><xsl:value-of select=\"@c:event\"/></xsl:message>", &[]),
    ("<xsl:variable name=\"all\" select=\"//Message[@id = $x]\"/><xsl:variable name=\"x\" select=\"1\"/>", &[]),
    ("<xsl:template match=\"FirstMessage//Sender\"/>", &[]),
    ("T:<xsl:value-of select=\"document('')/*/@version\"/><xsl:value-of select=\"document('beside.xml')/x\"/>", &[]),
    ("<xsl:output method=\"text\"/>R:<xsl:value-of select=\"@content\" disable-output-escaping=\"yes\"/>", &[]),
    // What is refused.
    ("<xsl:import href=\"/etc/passwd\"/>", &["import-outside"]),
    ("<xsl:include href=\"http://example.org/x.xsl\"/>", &["import-outside"]),
    ("<xsl:include href=\"../x.xsl\"/>", &["import-outside"]),
    ("<xsl:include href=\"missing.xsl\"/>", &["import-outside"]),
    ("T:<xsl:copy-of select=\"document('/etc/passwd')\"/>", &["document-outside"]),
    ("T:<xsl:copy-of select=\"document('https://example.org/x')\"/>", &["document-outside"]),
    ("T:<xsl:copy-of select=\"document(concat('beside', '.xml'))\"/>", &["document-computed"]),
    ("T:<xsl:copy-of select=\"document(@href)\"/>", &["document-computed"]),
    ("T:<exsl:document href=\"x\"/>", &["writes-document"]),
    ("T:<xsl:document href=\"x\"/>", &["writes-document"]),
    ("T:<xsl:result-document href=\"x\"/>", &["writes-document"]),
    ("T:<saxon:output href=\"x\"/>", &["writes-document"]),
    ("T:<dyn:anything/>", &["extension-element"]),
    ("<func:function name=\"str:f\"/>", &["extension-element"]),
    ("T:<xsl:for-each-group select=\"x\" group-by=\"y\"/>", &["unknown-instruction"]),
    ("T:<xsl:value-of select=\"upper-case(@content)\"/>", &["unknown-function"]),
    ("T:<xsl:value-of select=\"if (a) then b else c\"/>", &["unknown-function"]),
    ("T:<a b=\"{string-join(a, ',')}\"/>", &["unknown-function"]),
    ("T:<xsl:value-of select=\"dyn:evaluate('1')\"/>", &["unknown-function"]),
    ("T:<xsl:value-of select=\"str:nothing()\"/>", &["unknown-function"]),
    ("T:<xsl:value-of select=\"who:knows()\"/>", &["unknown-function"]),
    // What goes wrong.
    ("T:<xsl:value-of select=\"date:date-time()\"/>", &["not-repeatable"]),
    ("T:<xsl:value-of select=\"math:random()\"/>", &["not-repeatable"]),
    ("T:<xsl:value-of select=\"date:year(@joined)\"/>", &[]),
    ("T:<xsl:value-of select=\"unparsed-entity-uri('x')\"/>", &["needs-doctype"]),
    ("R:<xsl:value-of select=\"id('x')\"/>", &["needs-doctype"]),
    ("R:<xsl:value-of select=\"@content\" disable-output-escaping=\"yes\"/>", &["unescaped"]),
    ("R:<xsl:variable name=\"v\"><xsl:text disable-output-escaping=\"yes\">&lt;br></xsl:text></xsl:variable>", &["unescaped"]),
    ("R:<xsl:value-of select=\"Sender/@userName\"/>", &["user-name"]),
    ("R:<a b=\"{DateTimeUTC/@since1970 div 1000}\"/>", &["number-with-exponent"]),
    ("R:<xsl:value-of select=\"DateTimeUTC/@long - 5\"/>", &["ticks-lose-digits"]),
    ("R:<xsl:message><xsl:value-of select=\"@content\"/></xsl:message>", &["content-in-log"]),
    // What takes long.
    ("R:<xsl:value-of select=\"count(//Message)\"/>", &["searches-descendants"]),
    ("R:<xsl:value-of select=\"/descendant::Message[1]\"/>", &["searches-descendants"]),
    ("T:<xsl:for-each select=\"//Message\"><xsl:value-of select=\".//Sender/@id\"/></xsl:for-each>", &["searches-descendants"]),
    ("T:<xsl:value-of select=\"Conversation[.//Message]\"/>", &["searches-descendants"]),
    ("R:<xsl:value-of select=\"//Message[@id = current()/@id]/@content\"/>", &["join-without-key"]),
    ("R:<xsl:value-of select=\"/Conversations/Conversation/Messages/Message[@c:messageId = $id]\"/><xsl:variable name=\"id\"/>", &["join-without-key"]),
    ("R:<xsl:value-of select=\"../Message[@c:messageId = current()/@c:inReplyTo]/@content\"/>", &["join-without-key"]),
    ("R:<xsl:value-of select=\"preceding::Message[1]\"/>", &["whole-document-axis"]),
    ("R:<xsl:value-of select=\"following::Message\"/>", &["whole-document-axis"]),
    ("R:<xsl:number level=\"any\"/>", &["numbers-whole-document"]),
    ("R:<xsl:value-of select=\"count(preceding-sibling::Message)\"/>", &["counts-siblings"]),
    ("T:<xsl:for-each select=\"x[not(@uri = preceding-sibling::x/@uri)]\"/>", &["groups-by-siblings"]),
    // Worth a look.
    ("<xsl:output encoding=\"UTF-16\"/>", &["encoding"]),
    ("T:<xsl:apply-templates/>", &["built-in-rules"]),
    ("T:<xsl:apply-templates/>;<xsl:template match=\"text()\"/>", &[]),
    ("<xsl:template match=\"Message[@type = 'CHAT']\"/>", &["types"]),
    ("<xsl:template match=\"Message[@type = 'CHAT']\"/><xsl:template match=\"Message\"><a/></xsl:template>", &[]),
];

fn sheet(body: &str) -> Sheet {
    let expand = |marker: &str, open: &str, body: String| match body.split_once(marker) {
        Some((before, inner)) => match inner.split_once(';') {
            Some((inner, after)) => format!("{before}{open}{inner}</xsl:template>{after}"),
            None => format!("{before}{open}{inner}</xsl:template>"),
        },
        None => body,
    };
    // `&lt;` and the like hold semicolons of their own.
    let body = if body.contains("&lt;") {
        body.replacen("R:", "<xsl:template match=\"Message\">", 1)
            + if body.contains("R:") { "</xsl:template>" } else { "" }
    } else {
        let body = expand("R:", "<xsl:template match=\"Message\">", body.to_owned());
        expand("T:", "<xsl:template match=\"/\">", body)
    };
    Sheet::whole(&format!(
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:c=\"urn:chancery:1\"\n\
         xmlns:exsl=\"http://exslt.org/common\" xmlns:str=\"http://exslt.org/strings\" xmlns:math=\"http://exslt.org/math\"\n\
         xmlns:date=\"http://exslt.org/dates-and-times\" xmlns:dyn=\"http://exslt.org/dynamic\" xmlns:saxon=\"http://icl.com/saxon\"\n\
         xmlns:func=\"http://exslt.org/functions\" extension-element-prefixes=\"exsl str math date dyn saxon func\">\n\
         {body}\n</xsl:stylesheet>"
    ))
    .file("beside.xml", "<x/>")
}

fn findings(sheet: &Sheet) -> Vec<Finding> {
    lint(sheet.spec.stylesheet.as_ref().unwrap()).unwrap()
}

#[test]
fn each_rule_speaks_where_it_should_and_nowhere_else() {
    assert!(CASES.len() >= 60);
    let mut wrong = Vec::new();
    for (body, rules) in CASES {
        let found = findings(&sheet(body));
        let names: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
        if names != *rules {
            wrong.push(format!("{body}\n  expected {rules:?}\n  found {found:#?}"));
        }
        for finding in &found {
            assert!(finding.line >= 5 && finding.column >= 1 && !finding.cure.is_empty(), "{finding}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_column_is_that_of_the_word() {
    let found = findings(&sheet("R:\n\n  <a b=\"x{concat('é', upper-case(@c))}\"/>"));
    assert_eq!((found[0].line, found[0].column), (7, 23), "{}", found[0]);
    // Entities in between shift everything; then it is the attribute.
    let found = findings(&sheet("R:<xsl:if test=\"1 &lt; upper-case(a)\"/>"));
    assert_eq!((found[0].line, found[0].column), (5, 39), "{}", found[0]);
}

#[test]
fn imported_files_are_examined_under_their_own_name() {
    let sheet = sheet("<xsl:import href=\"part.xsl\"/>").file(
        "part.xsl",
        "<xsl:stylesheet version=\"2.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\n<xsl:import href=\"sheet.xsl\"/></xsl:stylesheet>",
    );
    let found = findings(&sheet);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!((finding.file.as_str(), finding.line, finding.rule), ("part.xsl", 1, "version"));
    assert_eq!(
        finding.to_string(),
        "part.xsl:1:17: warning [version]: version 2.0 is asked for, and XSLT 1.0 with EXSLT is there; write version=\"1.0\", and mend what then fails"
    );
}

#[test]
fn broken_xml_is_a_finding() {
    let found = findings(&Sheet::whole("<xsl:stylesheet"));
    assert_eq!((found[0].rule, found[0].severity), ("not-xml", Severity::Error));
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">\
        <!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;\"><!ENTITY f \"&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;\">\
        <!ENTITY g \"&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;\"><!ENTITY h \"&g;&g;&g;&g;&g;&g;&g;&g;&g;&g;\"><!ENTITY i \"&h;&h;&h;&h;&h;&h;&h;&h;&h;&h;\">]><x>&i;</x>";
    assert_eq!(findings(&Sheet::whole(bomb))[0].rule, "not-xml");
}

#[test]
fn what_is_shipped_is_clean() {
    for shipped in Shipped::ALL {
        assert_eq!(lint(&Stylesheet::Shipped(shipped)).unwrap(), [], "{}", shipped.name());
    }
    let old = Stylesheet::File(format!("{ROOT}/tests/data/old-layout.xsl").into());
    let found = lint(&old).unwrap();
    assert!(found.iter().all(|finding| finding.severity == Severity::Hint), "{found:?}");
}
