//! One instant, stored once, shown in the three forms of the compliance layout.

use std::fmt;
use std::time::SystemTime;

use jiff::Span;
use jiff::civil::{Date, date};

/// Ticks between 0001-01-01T00:00:00Z and 1970-01-01T00:00:00Z.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// The last tick of the year 9999, the end of the .NET calendar.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;
const TICKS_PER_MILLI: i64 = 10_000;
const TICKS_PER_SECOND: i64 = 10_000_000;
const FIRST_DAY: Date = date(1, 1, 1);

/// An instant in UTC, counted in 100 ns ticks since 0001-01-01T00:00:00Z.
///
/// This is the .NET `DateTime` tick that the compliance layout writes as `@long`; the millisecond
/// and text forms are derived from it, so the three can never disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(i64);

/// Why a text is not an instant that Chancery can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an RFC 3339 time between the years 0001 and 9999 such as 2026-11-22T10:15:00.1234567Z, found {found:?}"
)]
pub struct BadTime {
    found: String,
}

impl Ticks {
    /// The earliest instant, 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);
    /// The latest instant, the last tick of the year 9999.
    pub const MAX: Self = Self(MAX_TICKS);

    /// An instant from its tick count; `None` outside the years 0001 to 9999.
    pub fn from_ticks(ticks: i64) -> Option<Self> {
        (0..=MAX_TICKS).contains(&ticks).then_some(Self(ticks))
    }

    /// The nearest representable instant to a tick count.
    pub fn saturating_from_ticks(ticks: i64) -> Self {
        Self(ticks.clamp(0, MAX_TICKS))
    }

    /// The current instant of the system clock.
    pub fn now() -> Self {
        // A clock set before 1970 reads as 1970; it is wrong by more than this matters.
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(UNIX_EPOCH_TICKS).plus(since_epoch)
    }

    /// Reads an RFC 3339 time. Digits beyond the seventh of the fraction are cut off.
    ///
    /// # Errors
    /// [`BadTime`] when the text is no RFC 3339 time or lies outside the years 0001 to 9999.
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        Self::parse_rfc3339(text).ok_or_else(|| BadTime { found: text.chars().take(64).collect() })
    }

    /// jiff reads the civil part; fraction and offset are read here, because jiff refuses a tenth
    /// fraction digit and RFC 3339 does not, and jiff's own instants end hours before the year 9999 does.
    fn parse_rfc3339(text: &str) -> Option<Self> {
        const CIVIL_LEN: usize = "2026-11-22T10:15:00".len();
        let (civil, rest) = text.split_at_checked(CIVIL_LEN)?;
        let shape = civil.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => matches!(byte, b'T' | b't' | b' '),
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
        if !shape {
            return None;
        }
        let date: Date = civil[..10].parse().ok()?;
        let part = |at: usize| civil[at..at + 2].parse::<i64>().ok();
        let (hour, minute, second) = (part(11)?, part(14)?, part(17)?);
        // A leap second reads as the last second of its minute, as most clocks show it.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (fraction, offset) = match rest.strip_prefix('.') {
            Some(digits) => {
                let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                let kept = &digits[..end.min(7)];
                (format!("{kept:0<7}").parse::<i64>().ok().filter(|_| end > 0)?, &digits[end..])
            }
            None => (0, rest),
        };
        let days = i64::from(FIRST_DAY.until(date).ok()?.get_days());
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second.min(59) - offset_seconds(offset)?;
        Self::from_ticks(seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(fraction)?)
    }

    /// The .NET tick count (`@long`).
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since 1970 (`@since1970`), truncated, not rounded: the published samples
    /// of the layout only come out right this way.
    pub fn since_1970_ms(self) -> i64 {
        (self.0 - UNIX_EPOCH_TICKS) / TICKS_PER_MILLI
    }

    /// ISO 8601 in UTC (`@string`): up to seven fraction digits, trailing zeros removed, no point
    /// on a whole second.
    pub fn iso(self) -> String {
        let (date, fraction) = self.civil();
        let mut out = date;
        if fraction != 0 {
            let digits = format!("{fraction:07}");
            out.push('.');
            out.push_str(digits.trim_end_matches('0'));
        }
        out.push('Z');
        out
    }

    /// `20261122T101500Z`: sorts by time and is safe in a file name.
    pub fn file_stamp(self) -> String {
        let (date, _) = self.civil();
        date.chars().filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
    }

    /// `YYYY-MM-DDTHH:MM:SS` and the ticks within the second.
    fn civil(self) -> (String, i64) {
        let seconds = self.0 / TICKS_PER_SECOND;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Every day from year 1 to 9999 is inside jiff's calendar.
        let date = FIRST_DAY.checked_add(Span::new().days(days)).unwrap_or(FIRST_DAY);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        (format!("{date}T{hour:02}:{minute:02}:{:02}", second % 60), self.0 % TICKS_PER_SECOND)
    }

    /// This instant plus a number of ticks, held inside the calendar.
    pub fn plus_ticks(self, ticks: i64) -> Self {
        Self(self.0.saturating_add(ticks).clamp(0, MAX_TICKS))
    }

    /// This instant plus a duration, held inside the calendar.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        self.plus_ticks(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX))
    }

    /// This instant minus a duration, held inside the calendar.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        self.plus_ticks(-i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX))
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let ticks = u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0);
        std::time::Duration::from_nanos(ticks.saturating_mul(100))
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}

/// The seconds a zone is ahead of UTC: `Z`, `z`, `+HH:MM` or `-HH:MM`.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number =
        |two: &str| two.parse::<i64>().ok().filter(|_| two.len() == 2 && two.bytes().all(|b| b.is_ascii_digit()));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}
