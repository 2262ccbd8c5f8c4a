//! Names of files on the share: sortable by time, never used twice, the same when rendered again.

use crate::model::Ticks;
use crate::staging::BatchId;

/// The ending of an output's name, by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// XML.
    Xml,
    /// HTML.
    Html,
    /// Plain text.
    Text,
}

/// Makes the names of one batch's files.
///
/// `<adapter>-<end of the interval>-<batch>` begins each of them: batches of one adapter sort by
/// time, and the batch number makes the name unique for ever.
#[derive(Debug, Clone)]
pub struct BatchNames {
    stem: String,
}

impl BatchNames {
    /// The names of a batch.
    pub fn new(adapter: &str, interval_end: Ticks, batch: BatchId) -> Self {
        Self { stem: format!("{adapter}-{}-{batch:09}", interval_end.file_stamp()) }
    }

    /// The name of the batch's only output.
    pub fn output(&self, extension: Extension, compressed: bool) -> String {
        format!("{}.{}", self.stem, ending(extension, compressed))
    }

    /// The name of the output of the batch's `room`-th room, counted from 1.
    pub fn room_output(&self, room: u64, extension: Extension, compressed: bool) -> String {
        format!("{}-r{room:06}.{}", self.stem, ending(extension, compressed))
    }

    /// The name of an attachment: the batch, the start of its digest, and an ending of letters and
    /// digits. The original name itself travels in the output.
    pub fn attachment(&self, sha256: &[u8; 32], extension: Option<&str>) -> String {
        // A copy that ended in `.ack` would read as an acknowledgement.
        let extension = extension.filter(|extension| *extension != "ack").unwrap_or("bin");
        format!("{}-{}.{extension}", self.stem, hex::encode(&sha256[..16]))
    }
}

fn ending(extension: Extension, compressed: bool) -> String {
    let plain = match extension {
        Extension::Xml => "xml",
        Extension::Html => "html",
        Extension::Text => "txt",
    };
    if compressed { format!("{plain}.zst") } else { plain.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn names() -> BatchNames {
        BatchNames::new("vantage", Ticks::parse("2026-11-22T10:15:00Z").unwrap(), 42)
    }

    #[test]
    fn names_say_adapter_time_and_batch() {
        assert_eq!(names().output(Extension::Xml, false), "vantage-20261122T101500Z-000000042.xml");
        assert_eq!(names().output(Extension::Text, true), "vantage-20261122T101500Z-000000042.txt.zst");
        assert_eq!(names().room_output(7, Extension::Xml, false), "vantage-20261122T101500Z-000000042-r000007.xml");
    }

    #[test]
    fn attachments_are_named_by_batch_and_content() {
        let digest = [0xab; 32];
        let stem = "vantage-20261122T101500Z-000000042-abababababababababababababababab";
        for (extension, ending) in [(Some("pdf"), "pdf"), (None, "bin"), (Some("ack"), "bin")] {
            assert_eq!(names().attachment(&digest, extension), format!("{stem}.{ending}"));
        }
    }
}
