//! The extension functions: every module of EXSLT that is promised, with values worked out by hand.

use super::Sheet;

async fn value(expression: &str) -> String {
    Sheet::whole(&format!(
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:exsl=\"http://exslt.org/common\"\n\
         xmlns:str=\"http://exslt.org/strings\" xmlns:math=\"http://exslt.org/math\" xmlns:set=\"http://exslt.org/sets\"\n\
         xmlns:date=\"http://exslt.org/dates-and-times\"><xsl:output method=\"text\"/>\n\
         <xsl:variable name=\"tree\"><v>3</v><v>1</v><v>2</v></xsl:variable>\n\
         <xsl:template match=\"/\"><xsl:for-each select=\"{expression}\"><xsl:value-of select=\".\"/>,</xsl:for-each></xsl:template></xsl:stylesheet>"
    ))
    .run("<n><i>5</i><i>7</i><i>5</i><i>2</i></n>")
    .await
    .unwrap()
}

async fn text(expression: &str) -> String {
    Sheet::whole(&format!(
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" xmlns:exsl=\"http://exslt.org/common\"\n\
         xmlns:str=\"http://exslt.org/strings\" xmlns:math=\"http://exslt.org/math\" xmlns:set=\"http://exslt.org/sets\"\n\
         xmlns:date=\"http://exslt.org/dates-and-times\"><xsl:output method=\"text\"/>\n\
         <xsl:variable name=\"tree\"><v>3</v><v>1</v><v>2</v></xsl:variable>\n\
         <xsl:template match=\"/\"><xsl:value-of select=\"{expression}\"/></xsl:template></xsl:stylesheet>"
    ))
    .run("<n><i>5</i><i>7</i><i>5</i><i>2</i></n>")
    .await
    .unwrap()
}

#[tokio::test]
async fn common() {
    assert_eq!(value("exsl:node-set($tree)/v").await, "3,1,2,");
    assert_eq!(text("exsl:object-type($tree)").await, "RTF");
}

#[tokio::test]
async fn strings() {
    assert_eq!(value("str:tokenize('a b,c', ' ,')").await, "a,b,c,");
    assert_eq!(value("str:split('a--b', '--')").await, "a,b,");
    assert_eq!(text("str:replace('banana', 'an', 'x')").await, "bxxa");
    assert_eq!(text("str:padding(5, 'ab')").await, "ababa");
    assert_eq!(text("str:align('7', '000', 'right')").await, "007");
    assert_eq!(text("str:concat(//i)").await, "5752");
    assert_eq!(text("str:encode-uri('a b/ü', true())").await, "a%20b%2F%C3%BC");
    assert_eq!(text("str:decode-uri('a%20b')").await, "a b");
}

#[tokio::test]
async fn math() {
    assert_eq!(text("math:max(//i)").await, "7");
    assert_eq!(text("math:min(//i)").await, "2");
    assert_eq!(value("math:highest(//i)").await, "7,");
    assert_eq!(value("math:lowest(//i)").await, "2,");
    assert_eq!(text("math:abs(-3)").await, "3");
    assert_eq!(text("math:power(2, 10)").await, "1024");
    assert_eq!(text("math:sqrt(81)").await, "9");
}

#[tokio::test]
async fn sets() {
    assert_eq!(value("set:distinct(//i)").await, "5,7,2,");
    assert_eq!(value("set:difference(//i, //i[. = 5])").await, "7,2,");
    assert_eq!(value("set:intersection(//i, //i[. = 5])").await, "5,5,");
    assert_eq!(text("set:has-same-node(//i, //i[2])").await, "true");
    assert_eq!(value("set:leading(//i, //i[3])").await, "5,7,");
    assert_eq!(value("set:trailing(//i, //i[3])").await, "2,");
}

#[tokio::test]
async fn dates() {
    assert_eq!(text("date:seconds('2026-11-22T10:00:00Z')").await, "1795341600");
    assert_eq!(text("date:add('2026-11-22T10:00:00Z', 'PT90M')").await, "2026-11-22T11:30:00Z");
    assert_eq!(text("date:difference('2026-11-22T10:00:00Z', '2026-11-23T11:00:00Z')").await, "P1DT1H");
    assert_eq!(text("date:day-name('2026-11-22')").await, "Sunday");
    assert_eq!(text("date:year('2026-11-22T10:00:00Z')").await, "2026");
    assert_eq!(text("date:week-in-year('2026-11-22')").await, "47");
}
