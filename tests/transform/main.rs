//! The transform stage through its worker process: what stylesheets may do, what they may not, and what
//! happens to those that try.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test should panic")]

mod browser;
mod commands;
mod day;
mod documents;
mod extensions;
mod filedump;
mod formats;
mod hostile;
mod join;
mod limits;
mod lint;
mod mails;
mod output;
mod refusals;
mod schemas;
mod shipped;
mod support;
mod worker;

use std::path::Path;

use chancery::transform::{Stylesheet, TransformError, TransformSpec, Transformer};
use tempfile::TempDir;

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A stylesheet in a folder of its own.
pub(crate) struct Sheet {
    pub(crate) folder: TempDir,
    pub(crate) spec: TransformSpec,
}

impl Sheet {
    /// Around the given top-level elements stands what every stylesheet needs.
    pub(crate) fn new(top_level: &str) -> Self {
        Self::whole(&format!(
            "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"\n\
             xmlns:exsl=\"http://exslt.org/common\" xmlns:str=\"http://exslt.org/strings\"\n\
             xmlns:dyn=\"http://exslt.org/dynamic\" extension-element-prefixes=\"exsl str dyn\">\n\
             {top_level}\n</xsl:stylesheet>"
        ))
    }

    pub(crate) fn whole(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.xsl");
        std::fs::write(&path, text).unwrap();
        let mut spec = bare_spec();
        spec.stylesheet = Some(Stylesheet::File(path));
        Self { folder, spec }
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut TransformSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    pub(crate) async fn start(&self) -> Transformer {
        Transformer::start(self.spec.clone()).await.unwrap()
    }

    pub(crate) async fn refusal(&self) -> TransformError {
        Transformer::start(self.spec.clone()).await.expect_err("the stylesheet should be refused")
    }

    pub(crate) async fn run(&self, document: &str) -> Result<String, TransformError> {
        let output = self.start().await.transform(document.as_bytes()).await?;
        Ok(String::from_utf8(output.bytes).unwrap())
    }
}

pub(crate) fn bare_spec() -> TransformSpec {
    let mut spec = TransformSpec::new("test");
    spec.program = Some(env!("CARGO_BIN_EXE_chancery").into());
    spec.limits.workers = 2;
    spec
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(ROOT).join(path)).unwrap()
}

/// Works for ever on `<slow/>`; the operation limit is far away.
pub(crate) const SLOW: &str = "<xsl:template match=\"/\"><xsl:if test=\"slow\"><xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"60\"/></xsl:call-template></xsl:if><ok/></xsl:template>\
    <xsl:template name=\"t\"><xsl:param name=\"n\"/><xsl:if test=\"$n &gt; 0\">\
    <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template>\
    <xsl:call-template name=\"t\"><xsl:with-param name=\"n\" select=\"$n - 1\"/></xsl:call-template></xsl:if></xsl:template>";
