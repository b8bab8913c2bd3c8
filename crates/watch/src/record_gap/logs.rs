//! The numbers of records in the logs of many computers: each log counts its own, so that a number which never comes is a record
//! that was lost on its way. Pure: numbers and moments in, what is missing out. Never says why.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// As many logs of one source are followed; beyond that the one that was silent the longest is forgotten, which loses a gap and
/// makes up none. All of them are written down together, at most once a minute.
pub(super) const LOGS_MAX: usize = 500;

/// As many gaps of one log are held open; where there are more, the oldest count as missing at once.
const HOLES_MAX: usize = 64;

/// A log: the computer and the channel, in small letters.
pub(super) type Name = (String, String);

/// What never came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) log: Name,
    pub(super) count: u64,
    /// The first of them and the last.
    pub(super) span: (u64, u64),
}

/// All logs of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Logs {
    #[serde(with = "as_list")]
    logs: BTreeMap<Name, Log>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Log {
    /// The highest number.
    last: u64,
    /// What lies below it and has not come: from, to. When it was found missing counts from the start after a restart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    holes: BTreeMap<u64, u64>,
    #[serde(skip)]
    found: BTreeMap<u64, Duration>,
    /// Only numbers below the highest come, and are not missing: since when, and the highest of them. A forwarder that sends
    /// again what it had sent does that for a while; a log that began anew, for ever.
    #[serde(skip)]
    low: Option<(Duration, u64)>,
    #[serde(skip)]
    heard: Duration,
}

impl Logs {
    pub(super) fn len(&self) -> usize {
        self.logs.len()
    }

    /// A record has come.
    pub(super) fn take(&mut self, log: Name, number: u64, now: Duration) {
        if !self.logs.contains_key(&log) && self.logs.len() >= LOGS_MAX {
            let oldest = self.logs.iter().min_by_key(|(_, log)| log.heard).map(|(name, _)| name.clone());
            oldest.map(|name| self.logs.remove(&name));
        }
        let log = self.logs.entry(log).or_insert_with(|| Log { last: number, ..Log::default() });
        log.heard = now;
        log.take(number, now);
    }

    /// What has been missing for `patience`; each number once.
    pub(super) fn settle(&mut self, now: Duration, patience: Duration) -> Vec<Missing> {
        let missing = |(name, log): (&Name, &mut Log)| {
            let (count, span) = log.settle(now, patience)?;
            Some(Missing { log: name.clone(), count, span })
        };
        self.logs.iter_mut().filter_map(missing).collect()
    }

    /// Some records were not looked at: every log goes on with its next one.
    pub(super) fn lose_track(&mut self) {
        self.logs.clear();
    }
}

impl Log {
    fn take(&mut self, number: u64, now: Duration) {
        if number > self.last {
            if number > self.last + 1 {
                self.holes.insert(self.last + 1, number - 1);
                self.found.insert(self.last + 1, now);
            }
            (self.last, self.low) = (number, None);
        } else if !self.fill(number) && number < self.last {
            let (since, highest) = self.low.unwrap_or((now, 0));
            self.low = Some((since, highest.max(number)));
        }
    }

    /// Whether it was missing.
    fn fill(&mut self, number: u64) -> bool {
        let hole = self.holes.range(..=number).next_back().map(|(from, to)| (*from, *to));
        let Some((from, to)) = hole.filter(|(_, to)| number <= *to) else { return false };
        let found = self.found.get(&from).copied();
        self.holes.remove(&from);
        self.found.remove(&from);
        let parts = [(from, number.saturating_sub(1)), (number.saturating_add(1), to)];
        for (from, to) in parts.into_iter().filter(|(from, to)| from <= to) {
            self.holes.insert(from, to);
            self.found.extend(found.map(|found| (from, found)));
        }
        true
    }

    fn settle(&mut self, now: Duration, patience: Duration) -> Option<(u64, (u64, u64))> {
        let is_over = |since: Duration| now.saturating_sub(since) >= patience;
        if let Some((since, highest)) = self.low
            && is_over(since)
        {
            // The log was set up anew, and counts from one.
            (self.last, self.low) = (highest, None);
            self.holes.clear();
            self.found.clear();
            return None;
        }
        // The clock of a start before this one says nothing.
        let holes: Vec<u64> = self.holes.keys().copied().collect();
        holes.iter().for_each(|from| _ = self.found.entry(*from).or_insert(now));
        let too_many = self.holes.len().saturating_sub(HOLES_MAX);
        let due = holes.into_iter().enumerate().filter(|(place, from)| *place < too_many || is_over(self.found[from]));
        let due: Vec<u64> = due.map(|(_, from)| from).collect();
        let spans: Vec<(u64, u64)> = due.iter().filter_map(|from| self.holes.remove_entry(from)).collect();
        due.iter().for_each(|from| _ = self.found.remove(from));
        let count = spans.iter().fold(0, |count: u64, (from, to)| count.saturating_add(to - from + 1));
        Some((count, (spans.first()?.0, spans.last()?.1)))
    }
}

/// Names of two words are no keys in JSON.
mod as_list {
    use super::{Log, Name};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(logs: &BTreeMap<Name, Log>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(logs)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Name, Log>, D::Error> {
        Ok(Vec::<(Name, Log)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(600);

    fn name() -> Name {
        ("pc".to_owned(), "security".to_owned())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    fn after(numbers: &[u64]) -> Logs {
        let mut logs = Logs::default();
        numbers.iter().for_each(|number| logs.take(name(), *number, at(0)));
        logs
    }

    fn missing(logs: &mut Logs, seconds: u64) -> Vec<(u64, (u64, u64))> {
        logs.settle(at(seconds), PATIENCE).into_iter().map(|missing| (missing.count, missing.span)).collect()
    }

    #[test]
    fn what_never_comes_is_missing_once() {
        let mut logs = after(&[10, 11, 15, 17]);
        assert_eq!(missing(&mut logs, 599), []);
        assert_eq!(missing(&mut logs, 600), [(4, (12, 16))]);
        assert_eq!(missing(&mut logs, 9000), []);
    }

    #[test]
    fn what_comes_late_twice_or_again_is_not_missing() {
        let mut logs = after(&[10, 14, 12, 11, 13, 13, 9, 10, 11]);
        assert_eq!(missing(&mut logs, 600), []);
    }

    #[test]
    fn a_cleared_log_counts_on_and_one_set_up_anew_begins_anew() {
        // Clearing keeps the count: the record that tells of it has the next number.
        let mut logs = after(&[5000, 5001]);
        assert_eq!(missing(&mut logs, 600), []);
        logs.take(name(), 1, at(700));
        logs.take(name(), 2, at(1000));
        assert_eq!(missing(&mut logs, 1400), []);
        logs.take(name(), 3, at(1500));
        logs.take(name(), 6, at(1500));
        assert_eq!(missing(&mut logs, 2100), [(2, (4, 5))]);
    }

    #[test]
    fn a_forwarder_that_sends_again_what_it_sent_makes_up_nothing() {
        let mut logs = after(&(1..=100).collect::<Vec<_>>());
        (40..=100).for_each(|number| logs.take(name(), number, at(5)));
        (101..=110).for_each(|number| logs.take(name(), number, at(6)));
        assert_eq!(missing(&mut logs, 9000), []);
        // Also where it takes longer than we wait.
        (40..=60).for_each(|number| logs.take(name(), number, at(9000)));
        assert_eq!(missing(&mut logs, 9600), []);
        (61..=120).for_each(|number| logs.take(name(), number, at(9601)));
        assert_eq!(missing(&mut logs, 20_000), []);
    }

    #[test]
    fn a_restart_keeps_the_count_and_what_was_missing() {
        let kept = serde_json::to_value(after(&[10, 15])).unwrap();
        let mut logs: Logs = serde_json::from_value(kept).unwrap();
        logs.take(name(), 18, at(0));
        assert_eq!(missing(&mut logs, 0), []);
        logs.take(name(), 12, at(1));
        logs.take(name(), 16, at(2));
        assert_eq!(missing(&mut logs, 700), [(4, (11, 17))]);
    }

    #[test]
    fn logs_and_gaps_are_bounded() {
        let mut logs = Logs::default();
        for number in 0..(LOGS_MAX as u64 + 50) {
            logs.take((format!("pc{number}"), "security".to_owned()), number, at(number));
        }
        assert_eq!((logs.len(), logs.settle(at(9000), PATIENCE)), (LOGS_MAX, Vec::new()));
        let mut logs = after(&(0..200).map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(missing(&mut logs, 0)[0].0, 199 - HOLES_MAX as u64);
        let mut ends = after(&[0, u64::MAX, u64::MAX - 1, 1]);
        assert_eq!(missing(&mut ends, 600)[0].1, (2, u64::MAX - 2));
    }
}
