//! How a business day goes: when people talk, and how many of them are in.

/// How busy the day is, as (share of the day, rate): an early start, the morning peak, lunch, the
/// afternoon, the close.
const BUSY: &[(f64, f64)] = &[
    (0.00, 0.4),
    (0.08, 0.9),
    (0.20, 1.8),
    (0.32, 1.5),
    (0.45, 0.9),
    (0.52, 0.5),
    (0.60, 1.1),
    (0.72, 1.6),
    (0.84, 1.4),
    (0.93, 0.7),
    (1.00, 0.2),
];

/// The share of a room's members who are in, over the share of the day's events.
const PRESENT: &[(f64, f64)] =
    &[(0.00, 0.1), (0.10, 0.85), (0.42, 0.9), (0.50, 0.6), (0.58, 0.85), (0.90, 0.8), (0.99, 0.05), (1.00, 0.0)];

/// The share of the day that has passed when a share of its events has happened. Grows with `share`.
pub(super) fn time_of_share(share: f64) -> f64 {
    let area = |(left, right): (&(f64, f64), &(f64, f64))| (right.0 - left.0) * (left.1 + right.1) / 2.0;
    let pieces = || BUSY.iter().zip(&BUSY[1..]);
    let mut wanted = share.clamp(0.0, 1.0) * pieces().map(area).sum::<f64>();
    for (left, right) in pieces() {
        let piece = area((left, right));
        if wanted <= piece {
            // Within a piece the rate is taken as constant; the curve is fine enough for that.
            return left.0 + (right.0 - left.0) * wanted / piece;
        }
        wanted -= piece;
    }
    1.0
}

/// How many of so many members should be in when a share of the day's events has happened.
pub(super) fn present_of(members: usize, share: f64) -> usize {
    let at = PRESENT.iter().zip(&PRESENT[1..]).find(|(_, right)| share <= right.0);
    let part = at.map_or(0.0, |(left, right)| left.1 + (right.1 - left.1) * (share - left.0) / (right.0 - left.0));
    // The cast is far below the numbers that a double cannot hold exactly.
    (members as f64 * part).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_runs_forward_from_start_to_end() {
        let times: Vec<_> = (0..=1000).map(|i| time_of_share(f64::from(i) / 1000.0)).collect();
        assert!(times.is_sorted());
        assert!(times[0].abs() < 1e-9 && (times[1000] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rooms_fill_in_the_morning_and_empty_at_night() {
        assert_eq!((present_of(20, 0.1), present_of(20, 0.5), present_of(20, 1.0)), (17, 12, 0));
    }
}
