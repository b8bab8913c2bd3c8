//! What many incidents come to: how many of each kind, and how long people took. A pure fold; opens nothing.

use super::query::STATES;
use balefire_model::{Severity, State, dfars};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many rules are told apart; the incidents of further ones are counted together.
pub const RULES_MAX: usize = 1_000;

/// Against what people's times are held.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// What is open is as old as it is now.
    pub now: Timestamp,
    /// In which time somebody should have taken an incident; `None`: that does not matter.
    pub response_time: fn(Severity) -> Option<Duration>,
}

/// How many incidents there are, and how long people took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// All of them.
    pub total: Measured,
    /// By severity, the worst first; without those of which there is none.
    pub by_severity: Vec<OfSeverity>,
    /// By the name of what found them, the most first.
    pub by_rule: Vec<OfRule>,
    /// How many incidents are of further rules, beyond [`RULES_MAX`].
    pub of_other_rules: u64,
    /// Those that must be reported under DFARS 252.204-7012(c).
    pub dfars: ReportCounts,
}

/// Of one severity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfSeverity {
    /// Which.
    pub severity: Severity,
    /// What they come to.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfRule {
    /// Its name, as its incidents say: not safe for a terminal.
    pub rule: String,
    /// What they come to.
    #[serde(flatten)]
    pub measured: Measured,
}

/// What some incidents come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// How many.
    pub incidents: u64,
    /// How many of them are open.
    pub open: u64,
    /// How many of them are acknowledged.
    pub acked: u64,
    /// How many of them are over.
    pub resolved: u64,
    /// From when they were taken in until somebody first acknowledged or resolved them.
    pub to_acknowledge: Option<Spread>,
    /// Until they were resolved, for those that are.
    pub to_resolve: Option<Spread>,
    /// How many were taken within the time that their severity allows.
    pub response: Response,
}

/// Times, in whole seconds; medians and the like to within two in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Half of them took at most so long.
    pub median_seconds: u64,
    /// Nine in ten of them took at most so long.
    pub p90_seconds: u64,
    /// All of them took at most so long.
    pub max_seconds: u64,
}

/// Whether incidents were taken in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// In time.
    pub kept: u64,
    /// Too late, or not at all though the time is over.
    pub missed: u64,
    /// There is time left.
    pub running: u64,
}

/// Incidents that must be reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportCounts {
    /// All of them.
    pub reportable: u64,
    /// Reported, in time or not.
    pub reported: u64,
    /// Reported too late, or not at all though the time is over.
    pub overdue: u64,
}

/// What is known of one incident's way.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) severity: Severity,
    pub(crate) state: State,
    pub(crate) cui_involved: bool,
    pub(crate) rule: String,
    pub(crate) received_at: Timestamp,
    /// When somebody first acknowledged or resolved it.
    pub(crate) taken_at: Option<Timestamp>,
    /// When it was last resolved.
    pub(crate) resolved_at: Option<Timestamp>,
    /// Until when it must be reported, where the configuration said so when it was taken in.
    pub(crate) report_due: Option<Timestamp>,
    pub(crate) reported_at: Option<Timestamp>,
}

/// Counts incidents one by one.
#[derive(Debug)]
pub(crate) struct Counting {
    measure: Measure,
    total: Sum,
    by_severity: BTreeMap<Severity, Sum>,
    by_rule: BTreeMap<String, Sum>,
    of_other_rules: u64,
    dfars: ReportCounts,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    by_state: [u64; STATES.len()],
    to_acknowledge: Times,
    to_resolve: Times,
    response: Response,
}

/// Times in steps that grow with them, so that any number of them takes little memory.
#[derive(Clone, Debug, Default)]
struct Times {
    max_seconds: u64,
    /// How many of each step.
    steps: BTreeMap<u32, u64>,
}

/// Below this each second is a step of its own; above, each step is a 64th of the power of two that it is in.
const EXACT_BELOW: u64 = 128;

impl Times {
    fn add(&mut self, from: Timestamp, to: Timestamp) {
        // A clock that was set back makes no time less than nothing.
        let seconds = u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0);
        self.max_seconds = self.max_seconds.max(seconds);
        *self.steps.entry(step_of(seconds)).or_default() += 1;
    }

    fn spread(&self) -> Option<Spread> {
        let count = self.steps.values().sum::<u64>();
        let at = |percent: u64| {
            // The nearest rank: the least time that so many in a hundred do not exceed.
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let step = self.steps.iter().find(|(_, of_step)| {
                seen += **of_step;
                seen >= rank
            });
            step.map_or(0, |(step, _)| last_of(*step).min(self.max_seconds))
        };
        (count > 0).then(|| Spread {
            count,
            median_seconds: at(50),
            p90_seconds: at(90),
            max_seconds: self.max_seconds,
        })
    }
}

fn step_of(seconds: u64) -> u32 {
    let exact = u32::try_from(EXACT_BELOW).expect("it is small");
    if seconds < EXACT_BELOW {
        return u32::try_from(seconds).expect("it is below 128");
    }
    let power = seconds.ilog2() - EXACT_BELOW.ilog2();
    let part = (seconds >> (power + 1)) - EXACT_BELOW / 2;
    exact + power * exact / 2 + u32::try_from(part).expect("it is below 64")
}

/// The longest time of a step.
fn last_of(step: u32) -> u64 {
    let exact = u32::try_from(EXACT_BELOW).expect("it is small");
    if step < exact {
        return u64::from(step);
    }
    let (power, part) = ((step - exact) / (exact / 2), (step - exact) % (exact / 2));
    ((EXACT_BELOW / 2 + u64::from(part) + 1) << (power + 1)) - 1
}

impl Sum {
    fn add(&mut self, way: &Way, measure: &Measure) {
        let place = STATES.iter().position(|state| *state == way.state).expect("the list has all states");
        self.by_state[place] += 1;
        if let Some(taken_at) = way.taken_at {
            self.to_acknowledge.add(way.received_at, taken_at);
        }
        if let Some(resolved_at) = way.resolved_at.filter(|_| way.state == State::Resolved) {
            self.to_resolve.add(way.received_at, resolved_at);
        }
        let Some(allowed) = (measure.response_time)(way.severity) else { return };
        let end = way.taken_at.unwrap_or(measure.now);
        let is_late = end.duration_since(way.received_at).unsigned_abs() > allowed && end > way.received_at;
        match (is_late, way.taken_at) {
            (true, _) => self.response.missed += 1,
            (false, Some(_)) => self.response.kept += 1,
            (false, None) => self.response.running += 1,
        }
    }

    fn measured(&self) -> Measured {
        let [open, acked, resolved] = self.by_state;
        Measured {
            incidents: open + acked + resolved,
            open,
            acked,
            resolved,
            to_acknowledge: self.to_acknowledge.spread(),
            to_resolve: self.to_resolve.spread(),
            response: self.response,
        }
    }
}

impl Counting {
    pub(crate) fn new(measure: Measure) -> Counting {
        let (by_severity, by_rule) = (BTreeMap::new(), BTreeMap::new());
        let (total, dfars) = (Sum::default(), ReportCounts::default());
        Counting { measure, total, by_severity, by_rule, of_other_rules: 0, dfars }
    }

    pub(crate) fn add(&mut self, way: &Way) {
        self.total.add(way, &self.measure);
        self.by_severity.entry(way.severity).or_default().add(way, &self.measure);
        if self.by_rule.len() < RULES_MAX || self.by_rule.contains_key(&way.rule) {
            self.by_rule.entry(way.rule.clone()).or_default().add(way, &self.measure);
        } else {
            self.of_other_rules += 1;
        }
        if dfars::is_reportable(way.severity, way.cui_involved) {
            self.dfars.reportable += 1;
            self.dfars.reported += u64::from(way.reported_at.is_some());
            let end = way.reported_at.unwrap_or(self.measure.now);
            let due = way.report_due.unwrap_or_else(|| dfars::report_due(way.received_at));
            self.dfars.overdue += u64::from(end > due);
        }
    }

    pub(crate) fn stats(self) -> Stats {
        let of_severity =
            |(severity, sum): (&Severity, &Sum)| OfSeverity { severity: *severity, measured: sum.measured() };
        let of_rule = |(rule, sum): (String, Sum)| OfRule { rule, measured: sum.measured() };
        let mut by_rule: Vec<OfRule> = self.by_rule.into_iter().map(of_rule).collect();
        by_rule.sort_by_key(|of| std::cmp::Reverse(of.measured.incidents));
        Stats {
            total: self.total.measured(),
            by_severity: self.by_severity.iter().rev().map(of_severity).collect(),
            by_rule,
            of_other_rules: self.of_other_rules,
            dfars: self.dfars,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_holds_its_times_and_is_at_most_a_64th_wide() {
        for seconds in (0..5_000).chain([86_399, 86_400, 604_800, 31_536_000, u64::from(u32::MAX)]) {
            let last = last_of(step_of(seconds));
            assert!(last >= seconds && (last - seconds) * 64 <= seconds, "{seconds} is told as {last}");
            assert_eq!(step_of(last), step_of(seconds), "{seconds}");
            assert_ne!(step_of(last + 1), step_of(seconds), "{seconds}");
        }
    }

    #[test]
    fn the_median_and_the_ninth_tenth_are_those_of_the_sorted_times() {
        let mut times = Times::default();
        assert_eq!(times.spread(), None);
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for seconds in [50, 10, 20, 30, 40, 60, 70, 80, 90, 100] {
            times.add(at(1_000), at(1_000 + seconds));
        }
        let expected = Spread { count: 10, median_seconds: 50, p90_seconds: 90, max_seconds: 100 };
        assert_eq!(times.spread(), Some(expected));
        times.add(at(1_000), at(900));
        assert_eq!(times.spread().map(|spread| (spread.count, spread.max_seconds)), Some((11, 100)));
    }

    fn way(severity: Severity, taken_after: Option<i64>) -> Way {
        Way {
            severity,
            state: if taken_after.is_some() { State::Acked } else { State::Open },
            cui_involved: true,
            rule: "brute_force".to_owned(),
            received_at: Timestamp::UNIX_EPOCH,
            taken_at: taken_after.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            resolved_at: None,
            report_due: None,
            reported_at: None,
        }
    }

    #[test]
    fn a_response_is_kept_until_its_time_is_over_and_missed_after() {
        let response_time = |severity| (severity > Severity::Info).then_some(Duration::from_secs(900));
        let at = |now: i64| Measure { now: Timestamp::from_second(now).unwrap(), response_time };
        let ways = [(Some(900), [1, 0, 0]), (Some(901), [0, 1, 0]), (None, [0, 0, 1])];
        for (taken_after, [kept, missed, running]) in ways {
            let mut counting = Counting::new(at(900));
            counting.add(&way(Severity::High, taken_after));
            counting.add(&way(Severity::Info, taken_after));
            assert_eq!(counting.stats().total.response, Response { kept, missed, running }, "{taken_after:?}");
        }
        let mut counting = Counting::new(at(901));
        counting.add(&way(Severity::High, None));
        assert_eq!(counting.stats().total.response, Response { missed: 1, ..Response::default() });
    }

    #[test]
    fn no_number_of_rules_takes_more_memory_and_none_is_dropped_in_silence() {
        let mut counting = Counting::new(Measure { now: Timestamp::UNIX_EPOCH, response_time: |_| None });
        for number in 0..RULES_MAX + 5 {
            counting.add(&Way { rule: format!("rule {number}"), ..way(Severity::Low, None) });
        }
        let stats = counting.stats();
        assert_eq!((stats.by_rule.len(), stats.of_other_rules), (RULES_MAX, 5));
        assert_eq!(stats.total.incidents, RULES_MAX as u64 + 5);
    }
}
