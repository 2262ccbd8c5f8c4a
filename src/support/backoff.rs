//! Waiting longer after each failure, with jitter, so that many clients do not return at once.

use std::time::Duration;

use rand::RngExt as _;

/// Doubles from a first delay up to a longest one; each wait is 50 to 100 % of the step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// A fresh sequence of waits.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        let step = self.step(self.failures);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// The full step after so many earlier failures, without jitter.
    pub fn step(&self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.min(30))).min(self.longest)
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}
