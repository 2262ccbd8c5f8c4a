//! Writers that encode as they go: base64 in lines, and texts as quoted-printable.

use std::io::{self, Write};

use encodify::{base64, qp};

/// Bytes that make whole lines of base64: 57 to a line of 76 characters.
const CHUNK: usize = 57 * 1024;

/// Encodes what is written to it as base64 in lines of 76 characters, each ended by CRLF.
pub(super) struct Base64Lines<W: Write> {
    out: W,
    waiting: Vec<u8>,
}

impl<W: Write> Base64Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, waiting: Vec::with_capacity(CHUNK) }
    }

    /// Writes what is left, and ends the last line. Without it the end is lost.
    pub(super) fn finish(mut self) -> io::Result<W> {
        base64::MIME.encode_to_writer(&self.waiting, &mut self.out)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Base64Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        if self.waiting.len() == CHUNK {
            base64::MIME.encode_to_writer(&self.waiting, &mut self.out)?;
            self.waiting.clear();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // What waits here makes no whole line yet.
        self.out.flush()
    }
}

/// Writes a text as quoted-printable, and a line break that belongs to whatever follows it. Line feeds, with or without
/// a carriage return before them, become the line breaks of mail; a carriage return alone is written as `=0D`.
pub(super) fn quoted_printable(text: &str, out: &mut impl Write) -> io::Result<()> {
    qp::BODY.encode_to_writer(text, out)?;
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]
    use super::*;

    #[test]
    fn base64_does_not_depend_on_how_it_is_written() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let whole = base64::MIME.encode(&bytes);
        for step in [1, 57, 1000, CHUNK, 199_999] {
            let mut lines = Base64Lines::new(Vec::new());
            for part in bytes.chunks(step) {
                lines.write_all(part).unwrap();
            }
            assert_eq!(lines.finish().unwrap(), whole.as_bytes(), "{step}");
        }
        assert_eq!(Base64Lines::new(Vec::new()).finish().unwrap(), b"");
    }
}
