//! What rsyslog's impstats writes, as rounds of counters: each round is what one interval wrote. Knows no clock; a line is
//! hostile text.

use balefire_model::text::{cut, one_line};
use jiff::civil::DateTime;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// As many counters of a round are kept.
const OBJECTS_MAX: usize = 2_000;

/// A name is shown no longer than this.
const NAME_MAX: usize = 100;

/// The first line of a round, since dynamic counters came (8.26).
const BEGIN: &str = "\"origin\": \"dynstats\"";

/// What a set of counters is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// Takes messages in.
    Input,
    /// Holds messages.
    Queue,
    /// Hands messages on.
    Action,
}

/// The counters of one thing.
pub(super) type Counters = BTreeMap<String, u64>;

/// The counters of one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) objects: BTreeMap<(Origin, String), Counters>,
    /// The time of each, as text: no zone stands with it.
    stamps: BTreeMap<(Origin, String), String>,
    lines: usize,
}

impl Round {
    /// All of one origin.
    pub(super) fn of(&self, origin: Origin) -> impl Iterator<Item = (&str, &Counters)> {
        let of = move |(key, counters)| {
            let (found, name): &(Origin, String) = key;
            (*found == origin).then_some((name.as_str(), counters))
        };
        self.objects.iter().filter_map(of)
    }

    /// Whether it has everything that another one has.
    pub(super) fn covers(&self, other: &Round) -> bool {
        other.objects.keys().all(|key| self.objects.contains_key(key))
    }

    /// Two parts of one, the older first; where each counter starts anew they add up.
    pub(super) fn joined(mut self, newer: Round, is_reset: bool) -> Round {
        for (key, counters) in newer.objects {
            let known = self.objects.entry(key).or_default();
            for (name, count) in counters {
                let before = if is_reset { known.get(&name).copied().unwrap_or(0) } else { 0 };
                known.insert(name, count.saturating_add(before));
            }
        }
        self
    }
}

/// Makes rounds of lines.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    open: Round,
    began: Option<DateTime>,
    /// Between the beginnings of the last rounds, in seconds.
    gaps: [Option<u64>; 2],
}

impl Rounds {
    /// One more line; the round that it ends, where it begins the next.
    pub(super) fn take(&mut self, line: &str) -> Option<Round> {
        let (stamp, object) = parse(line)?;
        // Every round begins with this. Two that were held up have the same second, and must not be taken for one.
        let mut ended = if line.contains(BEGIN) && !self.open.objects.is_empty() { self.settle() } else { None };
        if let Some((key, counters)) = object {
            // A name that comes again at the same second is another thing of the same name.
            if self.open.stamps.get(&key).is_some_and(|before| *before != stamp) {
                ended = self.settle();
            }
            if self.open.objects.is_empty() {
                self.begin(&stamp);
            }
            if self.open.objects.len() < OBJECTS_MAX {
                let sum = self.open.objects.entry(key.clone()).or_default();
                for (name, count) in counters {
                    let count: u64 = count;
                    let entry = sum.entry(name).or_default();
                    *entry = entry.saturating_add(count);
                }
                self.open.stamps.insert(key, stamp);
            }
        }
        self.open.lines += 1;
        ended
    }

    /// impstats' interval, as its last rounds tell it.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.gaps.iter().flatten().max().copied().map(Duration::from_secs)
    }

    fn begin(&mut self, stamp: &str) {
        // The day of the week comes first, and says nothing.
        let stamp = stamp.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        let began = DateTime::strptime("%b %d %H:%M:%S %Y", &stamp).ok();
        if let (Some(began), Some(before)) = (began, self.began) {
            // A clock that was set back tells no interval.
            let gap = began.duration_since(before).as_secs();
            self.gaps = [u64::try_from(gap).ok().filter(|gap| *gap > 0), self.gaps[0]];
        }
        self.began = began;
    }

    /// The round that is open, when nothing more comes for it.
    pub(super) fn settle(&mut self) -> Option<Round> {
        let round = std::mem::take(&mut self.open);
        (round.lines > 0).then_some(round)
    }
}

type Object = ((Origin, String), Counters);

/// `Sun Nov 22 20:15:18 2026: { "name": ..., "origin": ..., COUNTERS }`; the object is none where it is of no interest.
fn parse(line: &str) -> Option<(String, Option<Object>)> {
    let (stamp, json) = line.split_once(": {")?;
    let value: Value = serde_json::from_str(&format!("{{{json}")).ok()?;
    let (name, origin) = (value.get("name")?.as_str()?, value.get("origin")?.as_str()?);
    let counters = value.as_object()?.iter().filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)));
    let counters: Counters = counters.collect();
    let origin = match origin {
        "core.queue" => Some(Origin::Queue),
        "core.action" => Some(Origin::Action),
        _ if counters.contains_key("submitted") => Some(Origin::Input),
        _ => None,
    };
    let name = cut(&one_line(name), NAME_MAX).into_owned();
    Some((stamp.to_owned(), origin.map(|origin| ((origin, name), counters))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use proptest::prelude::*;

    fn line(second: u32, name: &str, origin: &str, counters: &str) -> String {
        format!("Sun Nov 22 20:15:{second:02} 2026: {{ \"name\": \"{name}\", \"origin\": \"{origin}\", {counters} }}")
    }

    #[test]
    fn a_round_ends_where_the_next_begins_and_equal_names_are_summed() {
        let mut rounds = Rounds::default();
        let input = |second, count| line(second, "imtcp(514)", "imtcp", &format!("\"submitted\": {count}"));
        assert_eq!(rounds.take(&input(16, 3)), None);
        assert_eq!(rounds.take(&input(16, 4)), None);
        assert_eq!(rounds.take(&line(17, "main Q", "core.queue", "\"size\": 0, \"enqueued\": 7")), None);
        let round = rounds.take(&input(26, 9)).unwrap();
        assert_eq!(round.of(Origin::Input).map(|(name, of)| (name, of["submitted"])).collect::<Vec<_>>(), {
            [("imtcp(514)", 7)]
        });
        assert_eq!(round.of(Origin::Queue).count(), 1);
        assert_eq!(rounds.settle().unwrap().of(Origin::Input).count(), 1);
        assert_eq!(rounds.interval(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn two_rounds_of_the_same_second_are_two() {
        let mut rounds = Rounds::default();
        let begin = line(16, "global", "dynstats", "\"values\": { }");
        let input = |count| line(16, "imuxsock", "imuxsock", &format!("\"submitted\": {count}"));
        assert_eq!((rounds.take(&begin), rounds.take(&input(308))), (None, None));
        let first = rounds.take(&begin).unwrap();
        assert_eq!(rounds.take(&input(309)), None);
        let counts =
            [first, rounds.settle().unwrap()].map(|round| round.of(Origin::Input).next().unwrap().1["submitted"]);
        assert_eq!(counts, [308, 309]);
    }

    #[test]
    fn what_is_no_statistics_is_passed_over() {
        let mut rounds = Rounds::default();
        for line in ["", "hello", "a: {", "a: {\"name\": 3}", "a: {\"name\": \"x\"}", "\u{0}: {}"] {
            assert_eq!(rounds.take(line), None);
        }
        assert_eq!(rounds.settle(), None);
    }

    const GOOD: [&str; 2] = [
        "Sun Nov 22 20:15:18 2026: { \"name\": \"main Q\", \"origin\": \"core.queue\", \"size\": 1, \"enqueued\": 18446744073709551615 }",
        "Sun Nov 22 20:15:19 2026: { \"name\": \"imtcp(514)\", \"origin\": \"imtcp\", \"submitted\": 18446744073709551615 }",
    ];

    proptest! {
        #[test]
        fn any_lines_are_rounds_or_nothing(lines in prop::collection::vec(like(&GOOD), 0..12)) {
            let mut rounds = Rounds::default();
            lines.iter().for_each(|line| drop(rounds.take(line)));
            rounds.settle();
        }
    }

    #[test]
    fn a_line_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |line| drop(Rounds::default().take(line)));
    }
}
