//! How much one source may send: a bucket that fills with time. Full, it holds what may come at once.

use crate::queue::Rate;
use jiff::Timestamp;
use std::time::Duration;

/// What a source has left.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    rate: Rate,
    left: f64,
    since: Timestamp,
}

impl Allowance {
    /// All of it.
    #[must_use]
    pub fn full(rate: Rate, now: Timestamp) -> Allowance {
        Allowance { rate, left: f64::from(rate.count), since: now }
    }

    /// The rate that it follows.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes `count` incidents off. More at once than the rate's count are let in when the bucket is full, and paid back
    /// before the next: otherwise a large batch could never come in.
    ///
    /// # Errors
    /// How long to wait until as many may come.
    pub fn take(&mut self, now: Timestamp, count: usize) -> Result<(), Duration> {
        let capacity = f64::from(self.rate.count);
        let per_second = capacity / self.rate.per.as_secs_f64();
        // A clock that was set back gives nothing and takes nothing.
        let passed = now.duration_since(self.since).as_secs_f64().max(0.0);
        self.left = (self.left + passed * per_second).min(capacity);
        self.since = now;
        let count = count as f64;
        let missing = count.min(capacity) - self.left;
        if missing > 1e-9 {
            return Err(Duration::from_secs_f64(missing / per_second));
        }
        self.left -= count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn ten_a_second() -> Allowance {
        Allowance::full(Rate { count: 10, per: Duration::from_secs(1) }, at(0))
    }

    #[test]
    fn what_is_used_up_comes_back_with_time() {
        let mut allowance = ten_a_second();
        assert_eq!(allowance.take(at(0), 10), Ok(()));
        assert_eq!(allowance.take(at(0), 1), Err(Duration::from_millis(100)));
        assert_eq!(allowance.take(at(100), 1), Ok(()));
        assert_eq!(allowance.take(at(5_000), 10), Ok(()));
        assert!(allowance.take(at(5_000), 1).is_err(), "it never holds more than its capacity");
    }

    #[test]
    fn a_batch_larger_than_the_capacity_comes_in_and_is_paid_back() {
        let mut allowance = ten_a_second();
        assert_eq!(allowance.take(at(0), 30), Ok(()));
        assert_eq!(allowance.take(at(2_000), 1), Err(Duration::from_millis(100)));
        assert_eq!(allowance.take(at(2_100), 1), Ok(()));
    }

    #[test]
    fn a_clock_set_back_gives_nothing() {
        let mut allowance = ten_a_second();
        assert_eq!(allowance.take(at(1_000), 10), Ok(()));
        assert!(allowance.take(at(0), 1).is_err());
    }
}
