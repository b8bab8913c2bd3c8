//! Whether what rsyslog took in went on: between two rounds of its counters, what was submitted must have been enqueued, what
//! was enqueued must leave, and nothing may be discarded or fail. Single counters stay at zero while it loses messages. Pure.

use super::rounds::{Counters, Origin, Round};
use crate::look::Failure;
use balefire_model::Severity;
use std::collections::BTreeMap;

/// After so many intervals without it, something is over.
const CLEAN: u32 = 2;

/// A queue from which nothing leaves for so many intervals is blocked.
const BLOCKED: u32 = 2;

/// So many messages may be on their way at any load.
const ON_THE_WAY: i128 = 10;

/// What is told of a queue's fill, in percent of what it can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// How many messages a queue can hold; the counters do not say.
    pub(super) size: Option<u64>,
    pub(super) warn: u64,
    pub(super) high: u64,
}

/// What two rounds came to, and what of earlier ones is not over.
#[derive(Debug, Default)]
pub(super) struct Balance {
    last: Option<Round>,
    /// Each counter starts anew at each round.
    is_reset: bool,
    /// Submitted and not enqueued, by the two last rounds: what only one of them says may still be on its way.
    surplus: i128,
    surplus_before: i128,
    /// So much of it is no loss, or was told.
    base: i128,
    /// For how many rounds nothing left a queue that has something.
    blocked: BTreeMap<String, u32>,
    open: BTreeMap<&'static str, Open>,
    /// What the last round said.
    pub(super) flow: Flow,
}

/// What went on in the last interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) rounds: u64,
    pub(super) submitted: u64,
    pub(super) enqueued: u64,
}

#[derive(Debug)]
struct Open {
    failure: Failure,
    clean: u32,
    lost: u64,
}

impl Balance {
    pub(super) fn new(is_reset: bool) -> Balance {
        Balance { is_reset, ..Balance::default() }
    }

    /// One more round.
    pub(super) fn take(&mut self, round: Round, fill: Fill) {
        let Some(last) = self.last.replace(round.clone()) else {
            self.flow.rounds = 1;
            return;
        };
        let change = Change { last: &last, round: &round, is_reset: self.is_reset };
        let mut found = Vec::new();
        found.extend(self.input_loss(&change));
        found.extend(queue_loss(&change));
        found.extend(self.queue_growth(&change, fill));
        found.extend(action_failed(&change));
        self.settle(found);
    }

    /// What is wrong now.
    pub(super) fn failures(&self) -> Vec<Failure> {
        self.open.values().map(|open| open.failure.clone()).collect()
    }

    fn settle(&mut self, found: Vec<Finding>) {
        for open in self.open.values_mut() {
            open.clean += 1;
        }
        for finding in found {
            let lost = self.open.get(finding.id).map_or(0, |open| open.lost).saturating_add(finding.lost);
            let summary = format!("rsyslog: {}", finding.what.join("; "));
            let mut failure = Failure::new(finding.id, finding.severity, summary).cured_by(finding.cure);
            if lost > 0 {
                failure = failure.losing(lost, "messages");
            }
            self.open.insert(finding.id, Open { failure, clean: 0, lost });
        }
        self.open.retain(|_, open| open.clean < CLEAN);
    }

    /// Submitted by all inputs, and enqueued by the main queue and those of rulesets.
    fn input_loss(&mut self, change: &Change<'_>) -> Option<Finding> {
        let submitted = change.sum(Origin::Input, "submitted");
        let enqueued = change.queues().filter(|(name, _)| !change.is_of_action(name));
        let enqueued: u64 = enqueued.map(|(name, now)| change.of(Origin::Queue, name, now, "enqueued")).sum();
        let limited = change.sum(Origin::Input, "ratelimit.discarded");
        self.flow = Flow { rounds: self.flow.rounds + 1, submitted, enqueued };
        let lost = self.missing(submitted, enqueued);
        if lost == 0 && limited == 0 {
            return None;
        }
        let mut what =
            vec![format!("{submitted} messages were submitted and {enqueued} enqueued in the last interval")];
        if limited > 0 {
            what.push(format!("{limited} were discarded by a rate limit"));
        }
        let cure = "see the rate limits of the inputs (imuxsock: `ratelimit.interval`, `ratelimit.burst`)";
        Some(Finding { id: "syslog.input_loss", severity: Severity::High, what, lost: lost.max(limited), cure })
    }

    /// How many messages are newly missing. The counters of one round are read one after the other, so that some messages
    /// are always on their way between two of them: only when nothing moves is every single one sure.
    fn missing(&mut self, submitted: u64, enqueued: u64) -> u64 {
        self.surplus += i128::from(submitted) - i128::from(enqueued);
        let lasting = self.surplus.min(self.surplus_before) - self.base;
        let now = self.surplus - self.base;
        self.surplus_before = self.surplus;
        let load = i128::from(submitted);
        let is_sure = submitted == 0 && enqueued == 0 && now > 0;
        let lost = match () {
            () if is_sure || now > ON_THE_WAY && now * 10 > load => now,
            () if lasting > ON_THE_WAY && lasting * 100 > load => lasting,
            () => 0,
        };
        // rsyslog enqueues messages of its own, which nobody submitted.
        self.base = (self.base + lost).min(self.surplus);
        u64::try_from(lost).unwrap_or(u64::MAX)
    }

    fn queue_growth(&mut self, change: &Change<'_>, fill: Fill) -> Option<Finding> {
        let (mut what, mut severity) = (Vec::new(), Severity::Medium);
        let mut blocked = BTreeMap::new();
        for (name, now) in change.queues() {
            let (size, was) = (count(now, "size"), change.last_of(Origin::Queue, name, "size"));
            let enqueued = change.of(Origin::Queue, name, now, "enqueued");
            let discarded = change.discarded(name, now);
            let left = was.saturating_add(enqueued).saturating_sub(size).saturating_sub(discarded);
            if size > 0 && left == 0 {
                let times = self.blocked.get(name).copied().unwrap_or(0) + 1;
                blocked.insert(name.to_owned(), times);
                if times >= BLOCKED {
                    what.push(format!("nothing leaves {name}, which holds {size}"));
                }
            }
            if change.of(Origin::Queue, name, now, "full") > 0 {
                severity = Severity::High;
                what.push(format!("{name} was full; who writes to it waits"));
            }
            let most = fill.size.unwrap_or(u64::MAX);
            let percent = u64::try_from(u128::from(size) * 100 / u128::from(most.max(1))).unwrap_or(u64::MAX);
            if percent >= fill.warn {
                severity = if percent >= fill.high { Severity::High } else { severity };
                what.push(format!("{name} holds {size} of {most}{}", until_full(was, size, most)));
            }
        }
        self.blocked = blocked;
        let cure = "see whether the targets of rsyslog's actions can be reached";
        (!what.is_empty()).then_some(Finding { id: "syslog.queue_growth", severity, what, lost: 0, cure })
    }
}

fn until_full(was: u64, size: u64, most: u64) -> String {
    match size.checked_sub(was).filter(|growth| *growth > 0) {
        Some(growth) => format!(", full in {} intervals", most.saturating_sub(size).div_ceil(growth)),
        None => String::new(),
    }
}

fn queue_loss(change: &Change<'_>) -> Option<Finding> {
    let (mut what, mut lost) = (Vec::new(), 0u64);
    for (name, now) in change.queues() {
        let discarded = change.discarded(name, now);
        if discarded > 0 {
            lost = lost.saturating_add(discarded);
            what.push(format!("{name} discarded {discarded} messages"));
        }
    }
    let cure = "see whether the targets of rsyslog's actions can be reached, and give their queues a disk";
    (lost > 0).then_some(Finding { id: "syslog.queue_loss", severity: Severity::High, what, lost, cure })
}

fn action_failed(change: &Change<'_>) -> Option<Finding> {
    let (mut what, mut lost) = (Vec::new(), 0u64);
    for (name, now) in change.round.of(Origin::Action) {
        let failed = change.of(Origin::Action, name, now, "failed");
        let suspended = change.of(Origin::Action, name, now, "suspended");
        if failed > 0 {
            lost = lost.saturating_add(failed);
            what.push(format!("action {name} failed for {failed} messages"));
        }
        if suspended > 0 {
            what.push(format!("action {name} was suspended {suspended} times"));
        }
    }
    let cure = "see rsyslog's own messages (`write error`, `action suspended`) for the cause";
    (!what.is_empty()).then_some(Finding { id: "syslog.action_failed", severity: Severity::High, what, lost, cure })
}

struct Finding {
    id: &'static str,
    severity: Severity,
    what: Vec<String>,
    lost: u64,
    cure: &'static str,
}

/// Two rounds that follow each other.
struct Change<'a> {
    last: &'a Round,
    round: &'a Round,
    is_reset: bool,
}

impl Change<'_> {
    fn queues(&self) -> impl Iterator<Item = (&str, &Counters)> {
        self.round.of(Origin::Queue)
    }

    /// Queues of actions carry the action's name, with `[DA]` for their part on the disk.
    fn is_of_action(&self, queue: &str) -> bool {
        let queue = queue.trim_end_matches("[DA]");
        let action = queue.strip_suffix(" queue");
        queue.ends_with("[DA]")
            || action.is_some_and(|action| self.round.objects.contains_key(&(Origin::Action, action.to_owned())))
    }

    fn last_of(&self, origin: Origin, name: &str, counter: &str) -> u64 {
        self.last.objects.get(&(origin, name.to_owned())).map_or(0, |counters| count(counters, counter))
    }

    /// By how much a counter rose. One that fell was started anew with its daemon.
    fn of(&self, origin: Origin, name: &str, now: &Counters, counter: &str) -> u64 {
        let now = count(now, counter);
        let was = if self.is_reset { 0 } else { self.last_of(origin, name, counter) };
        if now >= was { now - was } else { now }
    }

    fn sum(&self, origin: Origin, counter: &str) -> u64 {
        self.round.of(origin).map(|(name, now)| self.of(origin, name, now, counter)).sum()
    }

    fn discarded(&self, name: &str, now: &Counters) -> u64 {
        let of = |counter| self.of(Origin::Queue, name, now, counter);
        of("discarded.full").saturating_add(of("discarded.nf"))
    }
}

fn count(counters: &Counters, name: &str) -> u64 {
    counters.get(name).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::rounds::Rounds;
    use super::*;

    const FILL: Fill = Fill { size: Some(1000), warn: 50, high: 80 };

    /// What rsyslogd 8.2302 wrote of an input, a queue before a dead target and an output that fails.
    fn interval(
        second: usize,
        (submitted, enqueued): (u64, u64),
        (size, discarded): (u64, u64),
        failed: u64,
    ) -> String {
        let stamp = format!("Sun Nov 22 20:{:02}:{:02} 2026: ", second / 60, second % 60);
        [
            r#"{ "name": "global", "origin": "dynstats", "values": { } }"#.to_owned(),
            format!(
                r#"{{ "name": "imuxsock", "origin": "imuxsock", "submitted": {submitted}, "ratelimit.discarded": 0 }}"#
            ),
            r#"{ "name": "TCP-127.0.0.1-59999", "origin": "omfwd", "bytes.sent": 0 }"#.to_owned(),
            format!(
                r#"{{ "name": "fwd", "origin": "core.action", "processed": {enqueued}, "failed": {failed}, "suspended": 0 }}"#
            ),
            format!(
                r#"{{ "name": "fwd queue", "origin": "core.queue", "size": {size}, "enqueued": {enqueued}, "full": 0, "discarded.full": 0, "discarded.nf": {discarded}, "maxqsize": 80 }}"#
            ),
            format!(
                r#"{{ "name": "main Q", "origin": "core.queue", "size": 0, "enqueued": {enqueued}, "full": 0, "discarded.full": 0, "discarded.nf": 0, "maxqsize": 86 }}"#
            ),
        ]
        .map(|object| format!("{stamp}{object}\n"))
        .concat()
    }

    /// Submitted and enqueued; in the queue of the action and discarded by it; failed in all.
    type Interval = ((u64, u64), (u64, u64), u64);

    /// What is wrong after each interval.
    fn check(intervals: &[Interval]) -> Vec<Vec<String>> {
        let (mut balance, mut rounds, mut seen) = (Balance::default(), Rounds::default(), Vec::new());
        for (number, (input, queue, failed)) in intervals.iter().enumerate() {
            for line in interval(number * 10, *input, *queue, *failed).lines() {
                assert_eq!(rounds.take(line), None);
            }
            balance.take(rounds.settle().unwrap(), FILL);
            seen.push(balance.failures().into_iter().map(|failure| failure.id).collect());
        }
        seen
    }

    #[test]
    fn what_is_submitted_and_not_enqueued_is_lost_until_two_intervals_are_clean() {
        let quiet = (0, 0);
        let seen = check(&[((0, 0), quiet, 0), ((303, 23), quiet, 0), ((313, 33), quiet, 0), ((320, 40), quiet, 0)]);
        assert_eq!(seen, [vec![], vec!["syslog.input_loss"], vec!["syslog.input_loss"], vec![]]);
    }

    #[test]
    fn what_is_on_its_way_between_two_counters_is_not_lost() {
        let quiet = (0, 0);
        let rounds = [(0, 0), (1000, 992), (2000, 1997), (3000, 2991), (4000, 4000)].map(|input| (input, quiet, 0));
        assert!(check(&rounds).into_iter().all(|seen| seen.is_empty()));
    }

    #[test]
    fn a_few_messages_that_never_come_are_lost() {
        let quiet = (0, 0);
        let seen = check(&[((0, 0), quiet, 0), ((1000, 995), quiet, 0), ((1000, 995), quiet, 0)]);
        assert_eq!((seen[1].len(), seen[2].as_slice()), (0, &["syslog.input_loss".to_owned()][..]));
        let steady: Vec<_> = (0..30).map(|round| ((round * 1000, round * 999), quiet, 0)).collect();
        assert!(check(&steady).into_iter().any(|seen| !seen.is_empty()), "a little, again and again, is told");
    }

    #[test]
    fn a_dead_target_shows_in_its_queue_while_its_action_says_nothing_failed() {
        let seen = check(&[((0, 0), (0, 0), 0), ((150, 150), (80, 70), 0), ((200, 200), (80, 120), 0)]);
        assert_eq!(seen[1], ["syslog.queue_loss"]);
        assert_eq!(seen[2], ["syslog.queue_growth", "syslog.queue_loss"]);
    }

    #[test]
    fn a_queue_that_fills_is_told_with_the_time_that_is_left() {
        let seen = check(&[((0, 0), (0, 0), 0), ((600, 600), (500, 0), 0), ((950, 950), (800, 0), 0)]);
        assert_eq!(seen[1], ["syslog.queue_growth"]);
        assert_eq!(until_full(500, 800, 1000), ", full in 1 intervals");
    }

    #[test]
    fn an_output_that_fails_is_told_and_its_losses_are_summed() {
        let mut balance = Balance::default();
        for (number, failed) in [0, 150, 593].into_iter().enumerate() {
            let mut rounds = Rounds::default();
            for line in interval(number * 10, (failed, failed), (0, 0), failed).lines() {
                rounds.take(line);
            }
            balance.take(rounds.settle().unwrap(), FILL);
        }
        let failures = balance.failures();
        assert_eq!((failures[0].id.as_str(), failures[0].loss.as_ref().unwrap().count), ("syslog.action_failed", 593));
    }

    #[test]
    fn a_daemon_that_starts_anew_has_lost_nothing_by_that() {
        let quiet = (0, 0);
        let seen = check(&[((500, 500), quiet, 0), ((700, 700), quiet, 0), ((20, 20), quiet, 0), ((40, 40), quiet, 0)]);
        assert!(seen.into_iter().all(|seen| seen.is_empty()));
    }
}
