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
    /// The message of the canonical document that was being transformed, where that is known: its source and event,
    /// or its number and room.
    #[serde(default)]
    pub message: Option<String>,
    /// What is wrong.
    pub text: String,
}

/// What one template cost in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateCost {
    /// The file it stands in.
    pub file: String,
    /// The line of its start tag.
    pub line: u32,
    /// Its `match`, or empty.
    pub pattern: String,
    /// Its `name`, or empty.
    pub name: String,
    /// Its `mode`, or empty.
    pub mode: String,
    /// How often it was used.
    pub calls: u64,
    /// Time spent in it, less what the templates it used took, in microseconds.
    pub micros: u64,
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
    /// Where the last message was said.
    pub(super) last_message: Option<Box<Diagnostic>>,
    /// The parameters a stylesheet declares.
    pub(super) declared: Vec<String>,
    /// What the templates cost, where that was asked for.
    pub(super) costs: Vec<TemplateCost>,
}

impl Diagnostic {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { file: None, line: None, message: None, text: text.into() }
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
        f.write_str(&self.text)?;
        match &self.message {
            Some(message) => write!(f, " (at {message})"),
            None => Ok(()),
        }
    }
}

impl Log {
    /// Reads the shim's records: kind, code, line, file, place and text.
    pub(super) fn read(records: &[u8], dropped: u64) -> Self {
        let mut log = Self { dropped, ..Self::default() };
        for record in records.split(|&byte| byte == 0x1e).filter(|record| !record.is_empty()) {
            let mut fields = record.splitn(6, |&byte| byte == 0x1f).map(String::from_utf8_lossy);
            let mut next = || fields.next().unwrap_or_default();
            let (kind, code, line, file, place, text) = (next(), next(), next(), next(), next(), next());
            let code = code.parse().unwrap_or(0);
            let line = line.parse().ok().filter(|&line| line > 0);
            match &*kind {
                "D" => log.declared.push(text.into_owned()),
                "P" => log.costs.push(cost(code, line, &file, &text)),
                "E" => {
                    let text = for_operators(code, text.trim());
                    log.push_diagnostic(Diagnostic { file: file_name(&file), line, message: message_at(&place), text });
                }
                _ => {
                    let text = for_operators(code, text.trim());
                    if kind == "M" {
                        let (file, message) = (file_name(&file), message_at(&place));
                        log.last_message = Some(Box::new(Diagnostic { file, line, message, text: text.clone() }));
                    }
                    log.push_message(text);
                }
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

/// Which message a place is: source, event, number and room, where they are known.
fn message_at(place: &str) -> Option<String> {
    let mut parts = place.split('\x1d');
    let mut next = || parts.next().unwrap_or_default();
    match (next(), next(), next(), next()) {
        (source, event, _, _) if !event.is_empty() => Some(format!("event {event} of {source}")),
        (_, _, number, room) if !number.is_empty() => Some(format!("message {number} of room {room}")),
        (_, _, _, room) if !room.is_empty() => Some(format!("room {room}")),
        _ => None,
    }
}

fn cost(calls: u32, line: Option<u32>, file: &str, text: &str) -> TemplateCost {
    let mut parts = text.split('\x1d');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (micros, pattern, name, mode) = (next(), next(), next(), next());
    TemplateCost {
        file: file_name(file).unwrap_or_default(),
        line: line.unwrap_or_default(),
        pattern,
        name,
        mode,
        calls: calls.into(),
        micros: micros.parse().unwrap_or_default(),
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
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    #[test]
    fn records_become_diagnostics_and_messages() {
        let records = b"E\x1f5\x1f7\x1f/a/sheet%20one.xsl\x1f\x1fno such thing\n\x1eM\x1f0\x1f9\x1f/a.xsl\x1fs\x1de\x1d\x1dr\x1d\x1fhello\x1e\
            D\x1f0\x1f0\x1f\x1f\x1f{u}n\x1eP\x1f3\x1f4\x1f/a.xsl\x1f\x1f170\x1da|b\x1d\x1dm\x1e";
        let log = Log::read(records, 3);
        assert_eq!(log.diagnostics[0].to_string(), "sheet one.xsl:7: no such thing");
        assert_eq!(log.messages, ["hello"]);
        assert_eq!(log.dropped, 3);
        assert_eq!(log.last_message.unwrap().to_string(), "a.xsl:9: hello (at event e of s)");
        assert_eq!(log.declared, ["{u}n"]);
        let [cost] = &log.costs[..] else { panic!("{:?}", log.costs) };
        assert_eq!((cost.calls, cost.line, cost.micros, &*cost.pattern, &*cost.mode), (3, 4, 170, "a|b", "m"));
    }

    #[test]
    fn a_place_names_the_event_else_the_room() {
        for (place, shown) in [
            ("/s\x1de-1\x1d4\x1d\x1droom\x1d", Some("event e-1 of /s")),
            ("\x1d\x1d4\x1dma-chan://x/1\x1d", Some("message 4 of room ma-chan://x/1")),
            ("\x1d\x1d\x1dma-chan://x/1\x1d", Some("room ma-chan://x/1")),
            ("", None),
        ] {
            assert_eq!(message_at(place).as_deref(), shown);
        }
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
