//! When an interval closes: pure rules from (last end, interval, clock) to the next window.
//!
//! It reads no clock and remembers nothing. Windows of one adapter follow each other without gap or
//! overlap, whatever the clock does; a window that cannot do so is refused by not being due.

use std::time::Duration;

use crate::config::Span;
use crate::model::Ticks;

/// 1970-01-01T00:00:00Z, the origin of the grid.
///
/// Midnight UTC lies on this grid for each interval that divides a day, just as it does on one counted
/// from the year 1; the other intervals (such as 7 h or 7 d) need some origin, and this is theirs.
const GRID_ORIGIN: i64 = 621_355_968_000_000_000;

/// How late a boundary may be noticed and still be the window's end. Beyond it the service was down or
/// stalled, events were committed meanwhile, and the window says so by ending when it is really cut.
pub const MISSED_AFTER: Duration = Duration::from_secs(5);

/// One slice of an adapter's time. `start < end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// End of the window before; for the first one, one interval before `end`.
    pub start: Ticks,
    /// When it closes.
    pub end: Ticks,
}

/// The window that must be cut now, if any.
///
/// It ends at the newest boundary, or at `now` when that boundary was missed by more than
/// [`MISSED_AFTER`]; the one after it is aligned again. An adapter without a `last_end` is due at once.
/// While the clock stands at or before `last_end` (it stepped back) nothing is due.
pub fn due(last_end: Option<Ticks>, interval: Span, now: Ticks) -> Option<Window> {
    let boundary = boundary_at_or_before(now, interval);
    let passed = last_end.is_none_or(|last_end| boundary > last_end);
    let end = if now.since(boundary) > MISSED_AFTER { now } else { boundary };
    let window = ending(last_end, interval, end);
    (passed && window.start < window.end).then_some(window)
}

/// The first boundary after both `now` and `last_end`: when to look at [`due`] again.
pub fn next_boundary(last_end: Option<Ticks>, interval: Span, now: Ticks) -> Ticks {
    let after = last_end.map_or(now, |last_end| last_end.max(now));
    boundary_at_or_before(after, interval).plus_ticks(interval_ticks(interval))
}

/// A window that closes at once, wherever the boundaries lie.
///
/// It ends at `now`, or one tick after `last_end` when the clock stands at or before that.
pub fn close_now(last_end: Option<Ticks>, interval: Span, now: Ticks) -> Window {
    let earliest = last_end.unwrap_or(Ticks::MIN).plus_ticks(1);
    ending(last_end, interval, now.max(earliest))
}

fn ending(last_end: Option<Ticks>, interval: Span, end: Ticks) -> Window {
    let start = last_end.unwrap_or_else(|| end.plus_ticks(-interval_ticks(interval)));
    Window { start, end }
}

fn boundary_at_or_before(instant: Ticks, interval: Span) -> Ticks {
    let since_origin = instant.ticks() - GRID_ORIGIN;
    Ticks::saturating_from_ticks(instant.ticks() - since_origin.rem_euclid(interval_ticks(interval)))
}

/// The interval in ticks, at least one: a zero interval must not stop the clock.
fn interval_ticks(interval: Span) -> i64 {
    i64::try_from(interval.get().as_nanos() / 100).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Ticks {
        Ticks::parse(text).unwrap()
    }

    fn span(text: &str) -> Span {
        text.parse().unwrap()
    }

    fn window(start: &str, end: &str) -> Option<Window> {
        Some(Window { start: at(start), end: at(end) })
    }

    #[test]
    fn the_grid_starts_in_1970() {
        assert_eq!(at("1970-01-01T00:00:00Z").ticks(), GRID_ORIGIN);
    }

    #[test]
    fn intervals_that_divide_a_day_align_to_midnight() {
        let now = at("2026-11-22T10:17:31.5Z");
        for (interval, expected) in [
            ("1m", "2026-11-22T10:18:00Z"),
            ("15m", "2026-11-22T10:30:00Z"),
            ("1h", "2026-11-22T11:00:00Z"),
            ("8h", "2026-11-22T16:00:00Z"),
            ("1d", "2026-11-23T00:00:00Z"),
        ] {
            assert_eq!(next_boundary(None, span(interval), now), at(expected), "{interval}");
        }
    }

    #[test]
    fn other_intervals_align_to_1970() {
        let seven_days = next_boundary(None, span("7d"), at("2026-11-22T10:17:31Z"));
        assert_eq!((seven_days.ticks() - GRID_ORIGIN) % (7 * 864_000_000_000), 0);
        assert_eq!(seven_days, at("2026-11-26T00:00:00Z"), "the grid of weeks begins on a Thursday");
    }

    #[test]
    fn a_boundary_noticed_in_time_is_the_end() {
        let last = Some(at("2026-11-22T10:00:00Z"));
        assert_eq!(due(last, span("15m"), at("2026-11-22T10:14:59.9999999Z")), None);
        let expected = window("2026-11-22T10:00:00Z", "2026-11-22T10:15:00Z");
        assert_eq!(due(last, span("15m"), at("2026-11-22T10:15:00Z")), expected);
        assert_eq!(due(last, span("15m"), at("2026-11-22T10:15:05Z")), expected);
    }

    #[test]
    fn a_missed_boundary_ends_the_window_now_and_the_next_is_aligned() {
        let last = Some(at("2026-11-22T10:00:00Z"));
        let late = due(last, span("15m"), at("2026-11-22T12:17:31Z"));
        assert_eq!(late, window("2026-11-22T10:00:00Z", "2026-11-22T12:17:31Z"));
        let end = late.map(|window| window.end);
        assert_eq!(due(end, span("15m"), at("2026-11-22T12:17:32Z")), None);
        assert_eq!(next_boundary(end, span("15m"), at("2026-11-22T12:17:32Z")), at("2026-11-22T12:30:00Z"));
        assert_eq!(
            due(end, span("15m"), at("2026-11-22T12:30:00.1Z")),
            window("2026-11-22T12:17:31Z", "2026-11-22T12:30:00Z")
        );
    }

    #[test]
    fn the_first_window_is_one_interval_long() {
        assert_eq!(
            due(None, span("15m"), at("2026-11-22T10:15:01Z")),
            window("2026-11-22T10:00:00Z", "2026-11-22T10:15:00Z")
        );
        assert_eq!(
            due(None, span("15m"), at("2026-11-22T10:22:00Z")),
            window("2026-11-22T10:07:00Z", "2026-11-22T10:22:00Z")
        );
    }

    #[test]
    fn a_clock_that_stepped_back_makes_nothing_due_until_it_has_passed() {
        let last = Some(at("2026-11-22T10:15:00Z"));
        assert_eq!(due(last, span("15m"), at("2026-11-22T09:45:00Z")), None);
        assert_eq!(due(last, span("15m"), at("2026-11-22T10:15:00Z")), None);
        assert_eq!(next_boundary(last, span("15m"), at("2026-11-22T09:45:00Z")), at("2026-11-22T10:30:00Z"));
    }

    #[test]
    fn closing_now_always_moves_on() {
        let last = at("2026-11-22T10:15:00Z");
        let behind = close_now(Some(last), span("15m"), at("2026-11-22T10:00:00Z"));
        assert_eq!(behind, Window { start: last, end: last.plus_ticks(1) });
        let first = close_now(None, span("15m"), at("2026-11-22T10:07:00Z"));
        assert_eq!(Some(first), window("2026-11-22T09:52:00Z", "2026-11-22T10:07:00Z"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn windows_follow_each_other_under_any_clock(
            interval_ms in 1_u64..=30 * 86_400_000,
            steps in proptest::collection::vec((any::<bool>(), -200_000_000_000_i64..400_000_000_000), 1..40),
            origin in 0_i64..=3_155_378_975_999_999_999,
        ) {
            let interval = Span::from_millis(interval_ms);
            let (mut now, mut last_end) = (Ticks::saturating_from_ticks(origin), None);
            for (by_hand, step) in steps {
                now = now.plus_ticks(step);
                let window = if by_hand { Some(close_now(last_end, interval, now)) } else { due(last_end, interval, now) };
                let next = next_boundary(last_end, interval, now);
                prop_assert!(next > now || next == Ticks::MAX);
                let Some(window) = window else { continue };
                // Only the very end of the calendar leaves no room to advance.
                prop_assert!(window.start < window.end || last_end == Some(Ticks::MAX) || window.end == Ticks::MAX);
                prop_assert!(last_end.is_none_or(|end| end == window.start));
                if !by_hand {
                    prop_assert!(window.end <= now);
                    prop_assert!(now.since(window.end) <= MISSED_AFTER);
                }
                last_end = Some(window.end);
            }
        }

        #[test]
        fn a_boundary_is_due_the_moment_it_comes(
            interval_ms in 1_000_u64..=30 * 86_400_000,
            last in 621_355_968_000_000_000_i64..=3_000_000_000_000_000_000,
        ) {
            let (interval, last) = (Span::from_millis(interval_ms), Ticks::saturating_from_ticks(last));
            let next = next_boundary(Some(last), interval, last);
            prop_assert_eq!(due(Some(last), interval, next), Some(Window { start: last, end: next }));
            prop_assert_eq!(due(Some(last), interval, next.plus_ticks(-1)), None);
        }
    }
}
