//! What a measurement gives: figures with their spread, never a single number.

use serde::{Deserialize, Serialize};

/// Whose figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whose {
    /// Chancery's.
    Chancery,
    /// What the machine does when nothing but the bare work is done.
    Limit,
    /// A program that a user would write instead.
    Peer,
}

/// One thing that was measured, several times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was done, for people.
    pub(crate) what: String,
    /// Who did it.
    pub(crate) whose: Whose,
    /// Unit of `values`: `events/s`, `MB/s`, `ms`, `MiB`, `s`, `µs`.
    pub(crate) unit: String,
    /// One value for each run, in the order of the runs.
    pub(crate) values: Vec<f64>,
}

/// A ratio of two figures that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// What is compared with what, for people.
    pub(crate) what: String,
    /// The quotient of the medians.
    pub(crate) value: f64,
    /// What it is to be, if a target stands.
    pub(crate) target: Option<Target>,
}

/// A target.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, whose: Whose, unit: &str) -> Self {
        Self { what: what.into(), whose, unit: unit.to_owned(), values: Vec::new() }
    }

    /// The value in the middle, or the mean of the two that share it; 0 without values.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => 0.0,
            (odd, middle) if odd % 2 == 1 => sorted[middle],
            (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// Smallest and largest value.
    pub(crate) fn spread(&self) -> (f64, f64) {
        let fold = |pick: fn(f64, f64) -> f64| self.values.iter().copied().reduce(pick).unwrap_or(0.0);
        (fold(f64::min), fold(f64::max))
    }

    /// This figure's median over another's.
    pub(crate) fn over(&self, what: impl Into<String>, other: &Self, target: Option<Target>) -> Ratio {
        Ratio { what: what.into(), value: self.median() / other.median(), target }
    }
}

impl Target {
    pub(crate) fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// The value below which the given share of values lies: `0.5`, `0.99`. 0 without values.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_quantiles_are_in_the_middle_and_at_the_edge() {
        let mut figure = Figure::new("x", Whose::Limit, "s");
        assert!(figure.median().abs() < f64::EPSILON);
        figure.values = vec![3.0, 1.0, 2.0];
        assert!((figure.median() - 2.0).abs() < f64::EPSILON);
        figure.values.push(10.0);
        assert!((figure.median() - 2.5).abs() < f64::EPSILON);
        assert_eq!(figure.spread(), (1.0, 10.0));
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((quantile(&mut values, 0.5) - 50.0).abs() < f64::EPSILON);
        assert!((quantile(&mut values, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!((quantile(&mut [7.0], 0.99) - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn targets_include_their_bound() {
        assert!(Target::AtLeast(0.75).met_by(0.75) && !Target::AtLeast(0.75).met_by(0.74));
        assert!(Target::AtMost(300.0).met_by(300.0) && !Target::AtMost(300.0).met_by(301.0));
    }
}
