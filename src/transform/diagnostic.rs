//! What libxml2 and libxslt said: errors and warnings with file and line, and the words of `xsl:message`.
//!
//! Text of an event does not belong into errors, which operators read. So a schema error that quotes the
//! offending value is cut down to the element, the attribute and the number of the rule.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::modules::file_name;

/// Most diagnostics kept of one call; the first say what is wrong.
const DIAGNOSTICS_MAX: usize = 20;
/// Most messages kept of one call.
const MESSAGES_MAX: usize = 100;
/// Longest text of a diagnostic or message, in characters.
const TEXT_MAX: usize = 2000;

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file it is about; `None` for the document given to the stylesheet.
    pub file: Option<String>,
    /// The line, from 1, where it is known.
    pub line: Option<u32>,
    /// What is wrong.
    pub text: String,
}

/// All that was said during one call.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Errors, in order.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The words of `xsl:message`, and warnings.
    pub(super) messages: Vec<String>,
    /// How many more there were.
    pub(super) dropped: u64,
}

impl Diagnostic {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { file: None, line: None, text: text.into() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.text)
    }
}

impl Log {
    /// Reads the shim's records: kind, code, line, file and text.
    pub(super) fn read(records: &[u8], dropped: u64) -> Self {
        let mut log = Self { dropped, ..Self::default() };
        for record in records.split(|&byte| byte == 0x1e).filter(|record| !record.is_empty()) {
            let mut fields = record.splitn(5, |&byte| byte == 0x1f).map(String::from_utf8_lossy);
            let mut next = || fields.next().unwrap_or_default();
            let (kind, code, line, file, text) = (next(), next(), next(), next(), next());
            let text = for_operators(code.parse().unwrap_or(0), text.trim());
            if kind == "E" {
                let line = line.parse().ok().filter(|&line| line > 0);
                log.push_diagnostic(Diagnostic { file: file_name(&file), line, text });
            } else {
                log.push_message(text);
            }
        }
        log
    }

    fn push_diagnostic(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    fn push_message(&mut self, message: String) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push(message);
        } else {
            self.dropped += 1;
        }
    }
}

/// The text of a libxml2 error, without a value it quotes.
///
/// Codes 1801 to 1879 are the rules of schema validation; those listed name elements and attributes only.
fn for_operators(code: u32, text: &str) -> String {
    const NAMES_ONLY: [u32; 9] = [1841, 1842, 1843, 1844, 1845, 1866, 1867, 1868, 1871];
    let quotes_a_value = (1801..=1879).contains(&code) && !NAMES_ONLY.contains(&code);
    let text = match text.find("': ") {
        Some(end) if quotes_a_value => format!("{}': its value is not allowed (rule {code})", &text[..end]),
        None if quotes_a_value => format!("a value is not allowed (rule {code})"),
        _ => text.to_owned(),
    };
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_diagnostics_and_messages() {
        let records = b"E\x1f5\x1f7\x1f/a/sheet%20one.xsl\x1fno such thing\n\x1eM\x1f0\x1f0\x1f\x1fhello\x1e";
        let log = Log::read(records, 3);
        assert_eq!(log.diagnostics[0].to_string(), "sheet one.xsl:7: no such thing");
        assert_eq!(log.messages, ["hello"]);
        assert_eq!(log.dropped, 3);
    }

    #[test]
    fn values_do_not_reach_operators() {
        let text =
            "Element 'Message', attribute 'id': 'the secret': x' is not a valid value of the atomic type 'xs:int'.";
        let shown = for_operators(1824, text);
        assert_eq!(shown, "Element 'Message', attribute 'id': its value is not allowed (rule 1824)");
        let order = "Element 'Messages': This element is not expected. Expected is ( Channel ).";
        assert_eq!(for_operators(1871, order), order);
    }
}
