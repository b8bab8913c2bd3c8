//! The serials of audit events: the kernel counts every event, so that a number which never comes is an event that was lost.
//! Says only how many are missing, never why.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Records of several processors come a little out of order: a number is missing when it has not come for so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// As many gaps are held open; where there are more, the oldest counts as missing at once.
const HOLES_MAX: usize = 1024;

/// Numbers that have not come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// How many.
    pub(crate) count: u64,
    /// The first and the last of them.
    pub(crate) span: Option<(u64, u64)>,
}

/// What was seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Serials {
    /// The highest.
    last: Option<u64>,
    /// What lies below it and has not come: from, to, and when it was found missing.
    #[serde(skip)]
    holes: BTreeMap<u64, (u64, Duration)>,
    /// A daemon has started: what comes next may be of a new count.
    #[serde(default)]
    has_started: bool,
}

impl Serials {
    /// The highest that was seen.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Forgets everything: the count has begun anew.
    pub(crate) fn reset(&mut self) {
        *self = Serials::default();
    }

    /// A daemon has begun to write: after a start of the machine the next number is a low one.
    pub(crate) fn daemon_started(&mut self) {
        self.has_started = true;
    }

    /// A number has come.
    pub(crate) fn take(&mut self, serial: u64, now: Duration) {
        let Some(last) = self.last else {
            self.last = Some(serial);
            return;
        };
        let is_new_count = std::mem::take(&mut self.has_started) && serial < last && !self.is_in_hole(serial);
        // The kernel counts in 32 bits, and goes on with 0.
        if is_new_count || last.saturating_sub(serial) > 1 << 31 {
            self.reset();
            self.last = Some(serial);
            return;
        }
        if serial > last {
            if serial > last + 1 {
                self.holes.insert(last + 1, (serial - 1, now));
            }
            self.last = Some(serial);
        } else {
            self.fill(serial);
        }
    }

    /// What has been missing for too long, each number told once.
    pub(crate) fn settle(&mut self, now: Duration) -> Missing {
        let mut missing = Missing::default();
        for (first, to) in self.settled(now) {
            missing.count += to - first + 1;
            missing.span = Some((missing.span.map_or(first, |(from, _)| from), to));
        }
        missing
    }

    /// The same as ranges, both ends included.
    pub(crate) fn settled(&mut self, now: Duration) -> Vec<(u64, u64)> {
        let is_over = |found: Duration| now.saturating_sub(found) >= PATIENCE;
        let too_many = self.holes.len().saturating_sub(HOLES_MAX);
        let firsts: Vec<u64> = self.holes.keys().copied().collect();
        let mut ranges = Vec::new();
        for (place, first) in firsts.into_iter().enumerate() {
            let Some(&(to, found)) = self.holes.get(&first) else { continue };
            if place >= too_many && !is_over(found) {
                continue;
            }
            self.holes.remove(&first);
            ranges.push((first, to));
        }
        ranges
    }

    /// Whether this number came, or is too old to say.
    pub(crate) fn has(&self, serial: u64) -> bool {
        self.last.is_some_and(|last| serial <= last) && !self.is_in_hole(serial)
    }

    /// Whether numbers are missing that may still come.
    pub(crate) fn is_settled(&self) -> bool {
        self.holes.is_empty()
    }

    fn is_in_hole(&self, serial: u64) -> bool {
        self.holes.range(..=serial).next_back().is_some_and(|(_, (to, _))| serial <= *to)
    }

    fn fill(&mut self, serial: u64) {
        let Some((&from, &(to, found))) = self.holes.range(..=serial).next_back() else { return };
        if serial > to {
            return;
        }
        self.holes.remove(&from);
        if from < serial {
            self.holes.insert(from, (serial - 1, found));
        }
        if serial < to {
            self.holes.insert(serial + 1, (to, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(serials: &[u64]) -> Serials {
        let mut seen = Serials::default();
        for serial in serials {
            seen.take(*serial, Duration::ZERO);
        }
        seen
    }

    fn missing(serials: &[u64]) -> (u64, Option<(u64, u64)>) {
        let mut seen = after(serials);
        assert_eq!(seen.settle(Duration::from_secs(2)), Missing::default(), "too early to say");
        let missing = seen.settle(Duration::from_secs(3));
        assert_eq!(seen.settle(Duration::from_secs(9)), Missing::default(), "told once");
        (missing.count, missing.span)
    }

    #[test]
    fn numbers_that_never_come_are_counted() {
        assert_eq!(missing(&[2, 3, 3, 4]), (0, None));
        assert_eq!(missing(&[104, 754]), (649, Some((105, 753))));
        assert_eq!(missing(&[1, 3, 7]), (4, Some((2, 6))));
    }

    #[test]
    fn numbers_that_come_out_of_order_are_not_missing() {
        assert_eq!(missing(&[10, 12, 11, 15, 13, 14]), (0, None));
        assert_eq!(missing(&[10, 15, 12]), (3, Some((11, 14))));
    }

    #[test]
    fn a_start_of_the_machine_begins_a_new_count() {
        let mut seen = after(&[5000]);
        seen.daemon_started();
        seen.take(4, Duration::ZERO);
        seen.take(5, Duration::ZERO);
        assert_eq!((seen.last(), seen.settle(Duration::from_secs(9)).count), (Some(5), 0));
    }

    #[test]
    fn a_start_of_the_daemon_alone_hides_nothing() {
        let mut seen = after(&[104]);
        seen.daemon_started();
        seen.take(754, Duration::ZERO);
        assert_eq!(seen.settle(Duration::from_secs(9)).count, 649);
    }

    #[test]
    fn more_gaps_than_are_held_are_told_early() {
        let serials: Vec<u64> = (0..2000).map(|n| n * 2).collect();
        assert_eq!(after(&serials).settle(Duration::ZERO).count, 1999 - HOLES_MAX as u64);
    }
}
