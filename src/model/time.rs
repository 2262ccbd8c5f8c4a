//! One instant, stored once, shown in the three forms of the compliance layout.

use std::fmt;

use jiff::Timestamp;

/// Ticks between 0001-01-01T00:00:00Z and 1970-01-01T00:00:00Z.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// The last tick of the year 9999, the end of the .NET calendar.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;
const NANOS_PER_TICK: i128 = 100;
const TICKS_PER_MILLI: i64 = 10_000;
const TICKS_PER_SECOND: i64 = 10_000_000;

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
        Self::from_timestamp(Timestamp::now())
    }

    fn from_timestamp(timestamp: Timestamp) -> Self {
        let ticks = timestamp.as_nanosecond().div_euclid(NANOS_PER_TICK) + i128::from(UNIX_EPOCH_TICKS);
        // jiff reaches back before year 1; such instants saturate at the first tick.
        Self(i64::try_from(ticks).unwrap_or(0).clamp(0, MAX_TICKS))
    }

    /// Reads an RFC 3339 time. Digits beyond the seventh of the fraction are cut off.
    ///
    /// # Errors
    /// [`BadTime`] when the text is no RFC 3339 time or lies outside the years 0001 to 9999.
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime { found: text.chars().take(64).collect() };
        // jiff reads nine fraction digits, RFC 3339 allows any number, and seven are kept.
        let timestamp: Timestamp = match fraction_beyond(text, 9) {
            Some((start, end)) => format!("{}{}", &text[..start], &text[end..]).parse(),
            None => text.parse(),
        }
        .map_err(|_| bad())?;
        let ticks = timestamp.as_nanosecond().div_euclid(NANOS_PER_TICK) + i128::from(UNIX_EPOCH_TICKS);
        i64::try_from(ticks).ok().and_then(Self::from_ticks).ok_or_else(bad)
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
        let fraction = self.0.rem_euclid(TICKS_PER_SECOND);
        let seconds = (self.0 - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_SECOND);
        // Every tick from year 1 to 9999 is inside jiff's range.
        let timestamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        (timestamp.strftime("%Y-%m-%dT%H:%M:%S").to_string(), fraction)
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

/// Where the fraction's digits after the first `keep` lie.
fn fraction_beyond(text: &str, keep: usize) -> Option<(usize, usize)> {
    let first = text.find('.')? + 1;
    let digits = text[first..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > keep).then_some((first + keep, first + digits))
}
