//! The fence itself: nothing leaks, nothing is shared, errors name their place. Valgrind may run these.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::BTreeMap;

use super::{Fault, Parameters, RunLimits, Schema, Sheet};
use crate::transform::modules::Modules;

const LIMITS: RunLimits = RunLimits { depth_max: 3000, operations_max: 1_000_000 };

fn modules(text: &str) -> Modules {
    Modules::carried(&[("sheet.xsl", text.as_bytes())])
}

fn sheet(body: &str) -> Modules {
    modules(&format!(
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\n<xsl:param name=\"p\"/>{body}</xsl:stylesheet>"
    ))
}

#[test]
fn compile_transform_and_drop_many_times() {
    let parameters = BTreeMap::from([("p".to_owned(), "it's \"quoted\"".to_owned())]);
    let parameters = Parameters::new(&parameters).unwrap();
    for round in 0..20 {
        let body = "<xsl:output method=\"text\"/><xsl:template match=\"/\"><xsl:number value=\"7\"/><xsl:value-of select=\"concat(a, $p)\"/></xsl:template>";
        let mut compiled = Sheet::compile(sheet(body)).unwrap();
        assert_eq!(compiled.method().as_deref(), Some("text"));
        let output = compiled.transform(format!("<a>{round}</a>").as_bytes(), &parameters, LIMITS, false).unwrap();
        assert_eq!(output.bytes, format!("7{round}it's \"quoted\"").as_bytes());
        assert!(matches!(compiled.transform(b"<a>", &parameters, LIMITS, false), Err(Fault::Input(_))));
    }
}

#[test]
fn every_way_to_fail_cleans_up() {
    for broken in ["", "<a", "<xsl:template match=\"a[\"/>", "<xsl:import href=\"other.xsl\"/>"] {
        let modules = if broken.starts_with("<xsl") { sheet(broken) } else { modules(broken) };
        let log = Sheet::compile(modules).err().unwrap();
        assert!(!log.diagnostics.is_empty(), "{broken}");
        assert!(Schema::compile(self::modules(broken)).is_err(), "{broken}");
    }
    for failing in [
        "<xsl:message terminate=\"yes\">stop</xsl:message>",
        "<xsl:value-of select=\"f()\"/>",
        "<xsl:copy-of select=\"document('/etc/hostname')\"/>",
        "<xsl:call-template name=\"t\"/>",
    ] {
        let body = format!("<xsl:template name=\"t\" match=\"/\">{failing}</xsl:template>");
        let mut compiled = Sheet::compile(sheet(&body)).unwrap();
        assert!(
            matches!(compiled.transform(b"<a/>", &Parameters::default(), LIMITS, false), Err(Fault::Run(_))),
            "{failing}"
        );
    }
}

#[test]
fn schemas_accept_and_refuse() {
    let text =
        "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"><xs:element name=\"a\" type=\"xs:int\"/></xs:schema>";
    let mut schema = Schema::compile(modules(text)).unwrap();
    schema.validate(b"<a>1</a>").unwrap();
    assert!(matches!(schema.validate(b"<a>x</a>"), Err(Fault::Invalid(log)) if log.diagnostics.len() == 1));
    assert!(matches!(schema.validate(b"a"), Err(Fault::Input(_))));
}

#[test]
fn threads_take_turns() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let body = "<xsl:template match=\"/\"><xsl:number value=\"3\" format=\"i\"/></xsl:template>";
                let mut compiled = Sheet::compile(sheet(body)).unwrap();
                for _ in 0..20 {
                    let output = compiled.transform(b"<a/>", &Parameters::default(), LIMITS, false).unwrap();
                    assert!(output.bytes.ends_with(b"iii\n"));
                }
            });
        }
    });
}
