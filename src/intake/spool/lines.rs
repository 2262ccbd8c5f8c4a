//! Lines of a file in bounded memory. A line may be any bytes; only its length is limited.

use std::io::{self, BufRead};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line without its end (LF or CRLF).
    Whole(Vec<u8>),
    /// The line is longer than the limit; the reader stands in the middle of it.
    TooLong,
    /// There is no more.
    End,
}

/// Reads lines and counts them.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    max: usize,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// `max`: the longest line in bytes, without its end.
    pub(super) fn new(reader: R, max: usize) -> Self {
        Self { reader, max, number: 0, bytes: 0 }
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next line. A byte order mark at the very start is no part of the first.
    pub(super) fn next(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            line.extend_from_slice(&buffer[..taken]);
            let consumed = taken + usize::from(end.is_some());
            self.reader.consume(consumed);
            self.bytes += consumed as u64;
            if end.is_some() || consumed == 0 {
                if end.is_none() && line.is_empty() {
                    return Ok(Line::End);
                }
                self.number += 1;
                return Ok(self.finished(line));
            }
            // One more for the CR that is no part of the line.
            if line.len() > self.max + 1 {
                self.number += 1;
                return Ok(Line::TooLong);
            }
        }
    }

    fn finished(&self, mut line: Vec<u8>) -> Line {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if self.number == 1 && line.starts_with(b"\xEF\xBB\xBF") {
            line.drain(..3);
        }
        if line.len() > self.max { Line::TooLong } else { Line::Whole(line) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    fn all(bytes: &[u8], max: usize) -> Vec<Line> {
        // A tiny buffer, so that lines span several reads.
        let mut lines = Lines::new(io::BufReader::with_capacity(3, bytes), max);
        let mut read = Vec::new();
        loop {
            match lines.next().unwrap() {
                Line::End => return read,
                Line::TooLong => {
                    read.push(Line::TooLong);
                    return read;
                }
                line => read.push(line),
            }
        }
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn line_ends_of_both_kinds_and_none_at_all() {
        assert_eq!(all(b"one\ntwo\r\n\nfour", 10), [whole("one"), whole("two"), whole(""), whole("four")]);
        assert_eq!(all(b"", 10), []);
        assert_eq!(all(b"\n", 10), [whole("")]);
        assert_eq!(all(b"a\rb\n", 10), [whole("a\rb")]);
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_the_first_line_only() {
        assert_eq!(all(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n", 10), [whole("a"), whole("\u{feff}b")]);
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        assert_eq!(all(b"1234567890\r\n", 10), [whole("1234567890")]);
        assert_eq!(all(b"12345678901\n", 10), [Line::TooLong]);
        assert_eq!(all(b"1234567890123456789012345678901234567890", 10), [Line::TooLong]);
    }
}
