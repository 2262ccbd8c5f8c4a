//! Heads of the log: its size and its root at a moment. A signed head binds every entry before it.

use std::fmt;

use super::merkle::Hash;

/// The first line.
const FORMAT: &str = "chancery-head-1";

/// What stands for the size of the head before the first.
const NO_PREVIOUS: &str = "-";

/// The head of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many entries it covers.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The size of the head before it; none for the first. So a head that is taken away is missed.
    pub previous: Option<u64>,
    /// When its last entry was recorded (RFC 3339).
    pub at: String,
    /// The fingerprint of the key that signs it.
    pub key: String,
}

impl fmt::Display for Head {
    /// The bytes that are signed: five lines after the format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let previous = self.previous.map_or_else(|| NO_PREVIOUS.to_owned(), |size| size.to_string());
        let (size, root, at, key) = (self.size, hex::encode(self.root), &self.at, &self.key);
        writeln!(f, "{FORMAT}\nsize {size}\nroot {root}\nprevious {previous}\nat {at}\nkey {key}")
    }
}

impl Head {
    /// Reads what [`fmt::Display`] writes, and nothing else.
    ///
    /// # Errors
    /// What was expected, and on which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<&str> = text.lines().collect();
        let line = |at: usize, word: &str| {
            lines
                .get(at)
                .and_then(|line| line.strip_prefix(word)?.strip_prefix(' '))
                .ok_or_else(|| format!("line {}: expected `{word}` and a value", at + 1))
        };
        if lines.first() != Some(&FORMAT) {
            return Err(format!("line 1: expected `{FORMAT}`"));
        }
        let size = line(1, "size")?;
        let size = size.parse().map_err(|_| "line 2: expected `size` and a number".to_owned())?;
        let mut root = [0; 32];
        hex::decode_to_slice(line(2, "root")?, &mut root)
            .map_err(|_| "line 3: expected `root` and 64 hexadecimal digits".to_owned())?;
        let previous = match line(3, "previous")? {
            NO_PREVIOUS => None,
            number => Some(number.parse().map_err(|_| "line 4: expected `previous` and a number or -".to_owned())?),
        };
        let head = Self { size, root, previous, at: line(4, "at")?.to_owned(), key: line(5, "key")?.to_owned() };
        if head.to_string() != text {
            return Err("expected six lines without anything more".to_owned());
        }
        Ok(head)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test should panic")]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written_and_not_otherwise() {
        let (at, key) = ("2026-11-22T10:00:00Z".to_owned(), "SHA256:abc".to_owned());
        let head = Head { size: 12, root: [0xab; 32], previous: Some(7), at, key };
        let text = head.to_string();
        assert_eq!(Head::parse(&text).unwrap(), head);
        let first = Head { previous: None, ..head.clone() };
        assert_eq!(Head::parse(&first.to_string()).unwrap(), first);
        for (from, to) in [("size 12", "size 012"), ("abab", "ABAB"), ("\nat", "\n\nat"), ("head-1", "head-2")] {
            assert!(Head::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(Head::parse(&format!("{text}more\n")).is_err());
        assert!(Head::parse(text.trim_end()).is_err());
    }
}
