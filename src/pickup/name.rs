//! Names of files on the share: sortable by time, never used twice, the same when rendered again.

use crate::model::Ticks;
use crate::staging::BatchId;

/// The ending of a file by which an archive acknowledges another; no file of ours may end so.
const ACKNOWLEDGEMENT: &str = "ack";
/// The ending of attachments manifests, as the original product had it.
const ATTACHMENTS_MANIFEST: &str = "ATTACH";

/// Which of a batch's outputs a name is for; a batch with one output needs neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputPlace {
    /// The batch's how-many-th room, from 1, where each room has files of its own.
    pub room: Option<u64>,
    /// The how-many-th file of the room or batch, from 1, where there may be several.
    pub number: Option<u64>,
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

    /// The name of an output whose content is of the kind that `extension` says.
    pub fn output(&self, place: OutputPlace, extension: &str, compressed: bool) -> String {
        let ending = if compressed { ".zst" } else { "" };
        // Nothing of an output's own may read as an acknowledgement.
        let extension = if extension.eq_ignore_ascii_case(ACKNOWLEDGEMENT) { "bin" } else { extension };
        format!("{}.{extension}{ending}", self.stem_of(place))
    }

    /// The name of the attachments manifest of the output at the same place.
    pub fn attachments_manifest(&self, place: OutputPlace) -> String {
        format!("{}.{ATTACHMENTS_MANIFEST}", self.stem_of(place))
    }

    fn stem_of(&self, place: OutputPlace) -> String {
        let part = |letter: char, number: Option<u64>| number.map(|number| format!("-{letter}{number:06}"));
        let (room, number) = (part('r', place.room), part('p', place.number));
        format!("{}{}{}", self.stem, room.unwrap_or_default(), number.unwrap_or_default())
    }

    /// The name of an attachment: the batch, the start of its digest, and an ending of letters and
    /// digits. The original name itself travels in the output.
    pub fn attachment(&self, sha256: &[u8; 32], extension: Option<&str>) -> String {
        // A copy that ended in `.ack` would read as an acknowledgement.
        let extension = extension.filter(|extension| *extension != ACKNOWLEDGEMENT).unwrap_or("bin");
        format!("{}-{}.{extension}", self.stem, hex::encode(&sha256[..16]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn names() -> BatchNames {
        BatchNames::new("vantage", Ticks::parse("2026-11-22T10:15:00Z").unwrap(), 42)
    }

    #[test]
    fn names_say_adapter_time_batch_and_place() {
        let at = |room, number| OutputPlace { room, number };
        assert_eq!(names().output(at(None, None), "xml", false), "vantage-20261122T101500Z-000000042.xml");
        assert_eq!(names().output(at(None, None), "txt", true), "vantage-20261122T101500Z-000000042.txt.zst");
        assert_eq!(names().output(at(Some(7), None), "xml", false), "vantage-20261122T101500Z-000000042-r000007.xml");
        let both = "vantage-20261122T101500Z-000000042-r000007-p000002";
        assert_eq!(names().output(at(Some(7), Some(2)), "csv", false), format!("{both}.csv"));
        assert_eq!(names().attachments_manifest(at(Some(7), Some(2))), format!("{both}.ATTACH"));
        assert_eq!(names().output(at(None, None), "ACK", false), "vantage-20261122T101500Z-000000042.bin");
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
