//! The kernel's stream of records held against the log: what the log does not have yet, and what it has passed over for good.
//! Knows neither sockets nor files, and not why the log lacks a record.

use crate::audit::serials::Serials;
use crate::look::Moment;
use std::collections::VecDeque;

/// A record that the log does not have.
#[derive(Debug)]
struct Waiting {
    serial: u64,
    since: Moment,
    line: String,
}

/// Records that came from the kernel and are not in the log.
#[derive(Debug)]
pub(super) struct Beside {
    /// The numbers that the log has.
    log: Serials,
    waiting: VecDeque<Waiting>,
    max: usize,
    /// How many were given up because too many waited.
    forgotten: u64,
}

impl Beside {
    /// So many records wait at most; those before them are given up.
    pub(super) fn new(max: usize) -> Beside {
        Beside { log: Serials::default(), waiting: VecDeque::new(), max, forgotten: 0 }
    }

    /// The kernel has sent this record.
    pub(super) fn came(&mut self, serial: u64, now: Moment, line: String) {
        if self.log.has(serial) {
            return;
        }
        if self.waiting.len() >= self.max {
            self.waiting.pop_front();
            self.forgotten += 1;
        }
        self.waiting.push_back(Waiting { serial, since: now, line });
    }

    /// The log has these lines: the numbers of records, and none where the daemon says that it has begun.
    pub(super) fn written(&mut self, lines: impl Iterator<Item = Option<u64>>, now: Moment) {
        for line in lines {
            match line {
                Some(serial) => self.log.take(serial, now.boot),
                None => self.log.daemon_started(),
            }
        }
        self.waiting.retain(|record| !self.log.has(record.serial));
    }

    /// Takes what the log has passed over: it has had later ones for so long that these will not come.
    pub(super) fn passed_over(&mut self, now: Moment) -> Vec<String> {
        let ranges = self.log.settled(now.boot);
        let is_lost = |serial: u64| ranges.iter().any(|(first, to)| (*first..=*to).contains(&serial));
        let (lost, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|record| is_lost(record.serial));
        self.waiting = waiting;
        let lost: VecDeque<Waiting> = lost;
        lost.into_iter().map(|record| record.line).collect()
    }

    /// The records that wait, oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|record| record.line.as_str())
    }

    /// They are kept elsewhere and wait no longer.
    pub(super) fn kept(&mut self) {
        self.waiting.clear();
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Since when the oldest waits.
    pub(super) fn since(&self) -> Option<Moment> {
        self.waiting.front().map(|record| record.since)
    }

    /// Whether the log may yet turn out to have passed something over.
    pub(super) fn is_settled(&self) -> bool {
        self.log.is_settled()
    }

    /// How many were given up since this was last asked.
    pub(super) fn forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn sent(serials: impl IntoIterator<Item = u64>) -> Beside {
        let mut beside = Beside::new(8);
        for serial in serials {
            beside.came(serial, at(0), format!("record {serial}"));
        }
        beside
    }

    #[test]
    fn what_the_log_has_waits_no_longer_in_whatever_order_it_comes() {
        let mut beside = sent([1, 2, 3]);
        beside.written([1, 3].map(Some).into_iter(), at(1));
        assert_eq!(beside.lines().collect::<Vec<_>>(), ["record 2"]);
        beside.written([2].map(Some).into_iter(), at(2));
        assert_eq!((beside.count(), beside.is_settled()), (0, true));
        beside.came(3, at(3), "comes after the log had it".to_owned());
        assert_eq!(beside.count(), 0);
    }

    #[test]
    fn what_the_log_passes_over_is_given_when_it_will_not_come_any_more() {
        let mut beside = sent([1]);
        beside.written([1].map(Some).into_iter(), at(0));
        // A daemon that was dead for a moment: what came meanwhile is found in one look together with what it writes again.
        for serial in 2..=5 {
            beside.came(serial, at(1), format!("record {serial}"));
        }
        beside.written([5].map(Some).into_iter(), at(1));
        assert_eq!((beside.passed_over(at(2)).len(), beside.is_settled()), (0, false));
        assert_eq!(beside.passed_over(at(4)), ["record 2", "record 3", "record 4"]);
        assert_eq!((beside.passed_over(at(9)).len(), beside.is_settled(), beside.count()), (0, true, 0));
    }

    #[test]
    fn a_gap_that_nobody_saw_filled_gives_nothing() {
        let mut beside = sent([]);
        beside.written([1, 9].map(Some).into_iter(), at(0));
        assert!(beside.passed_over(at(9)).is_empty());
    }

    #[test]
    fn more_than_may_wait_are_given_up_and_counted() {
        let mut beside = sent(1..=10);
        assert_eq!((beside.count(), beside.forgotten(), beside.forgotten()), (8, 2, 0));
        assert_eq!(beside.since(), Some(at(0)));
        beside.kept();
        assert_eq!(beside.count(), 0);
    }
}
