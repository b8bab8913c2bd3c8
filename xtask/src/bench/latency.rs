//! How long things took, counted in buckets that many threads may fill at once. A bucket is at most 1/64 wide of its
//! value, so a percentile is right to 2 %.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each power of two.
const PER_OCTAVE: u64 = 64;
const BUCKETS: usize = (64 * PER_OCTAVE) as usize;

/// Counts per bucket of microseconds.
pub(super) struct Latencies {
    buckets: Vec<AtomicU64>,
    max: AtomicU64,
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
    }

    /// How many were recorded.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The time that `share` (0 to 1) of all did not exceed, in milliseconds; 0 without any.
    pub(super) fn percentile_ms(&self, share: f64) -> f64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= wanted.max(1) {
                return upper_edge(index).min(self.max.load(Ordering::Relaxed)) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The longest, in milliseconds.
    pub(super) fn max_ms(&self) -> f64 {
        self.max.load(Ordering::Relaxed) as f64 / 1000.0
    }
}

fn bucket(micros: u64) -> usize {
    if micros < PER_OCTAVE {
        return micros as usize;
    }
    let shift = u64::from(micros.ilog2() - PER_OCTAVE.ilog2());
    ((shift + 1) * PER_OCTAVE + (micros >> shift) - PER_OCTAVE) as usize
}

/// The largest number of microseconds that falls into a bucket.
fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < PER_OCTAVE {
        return index;
    }
    let shift = index / PER_OCTAVE - 1;
    ((index % PER_OCTAVE + PER_OCTAVE + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_right_to_two_percent() {
        let latencies = Latencies::new();
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        for (share, exact) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = latencies.percentile_ms(share);
            assert!((found - exact).abs() / exact < 0.02, "{share}: {found}");
        }
        assert_eq!((latencies.count(), latencies.max_ms()), (1000, 1000.0));
    }

    #[test]
    fn every_value_lies_below_the_edge_of_its_bucket_and_above_the_one_before() {
        for micros in [0, 1, 63, 64, 65, 127, 128, 1000, 123_456, 10_000_000] {
            let index = bucket(micros);
            assert!(upper_edge(index) >= micros, "{micros}");
            assert!(index == 0 || upper_edge(index - 1) < micros, "{micros}");
        }
    }
}
