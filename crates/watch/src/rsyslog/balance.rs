//! Whether what rsyslog took in went on: between two rounds of its counters, what was submitted must have been enqueued, what
//! was enqueued must leave, and nothing may be discarded or fail. Single counters stay at zero while it loses messages. Pure.

use super::rounds::{Counters, Origin, Round};
use crate::look::Failure;
use balefire_model::Severity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// After so many intervals in which something went its way and was not lost, it is over. One in which nothing came proves nothing.
const CLEAN: u32 = 2;

/// A queue from which nothing leaves for so many intervals is blocked.
const BLOCKED: u32 = 2;

/// A part of a round waits for so many others; what is not in them is not there any more.
const PARTS_MAX: u32 = 2;

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
    /// A part of the round: a daemon that is held up writes it piece by piece.
    part: Option<(Round, u32)>,
    /// Each counter starts anew at each round.
    is_reset: bool,
    /// Submitted and not enqueued, by the two last rounds: what only one of them says may still be on its way.
    surplus: i128,
    surplus_before: i128,
    /// So much of it is no loss, or was told.
    base: i128,
    /// For how many rounds nothing left a queue that has something.
    blocked: BTreeMap<String, u32>,
    open: Opens,
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

/// What is not over, by its id.
pub(super) type Opens = BTreeMap<String, Open>;

/// One thing that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    failure: Failure,
    lost: u64,
    /// The actions or queues that lost something and through which nothing has gone since.
    of: BTreeSet<String>,
    #[serde(skip)]
    clean: u32,
}

impl Balance {
    /// With what a start before this one knew to be wrong.
    pub(super) fn new(is_reset: bool, open: Opens) -> Balance {
        Balance { is_reset, open, ..Balance::default() }
    }

    /// What the next start must know.
    pub(super) fn open(&self) -> &Opens {
        &self.open
    }

    /// One more round.
    pub(super) fn take(&mut self, round: Round, fill: Fill) {
        let (round, parts) = match self.part.take() {
            Some((before, parts)) => (before.joined(round, self.is_reset), parts + 1),
            None => (round, 0),
        };
        // Every rsyslogd has a main queue.
        let is_whole = round.of(Origin::Queue).next().is_some();
        if parts < PARTS_MAX && !(is_whole && self.last.as_ref().is_none_or(|last| round.covers(last))) {
            self.part = Some((round, parts));
            return;
        }
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
        self.settle(&change, found);
    }

    /// What is wrong now.
    pub(super) fn failures(&self) -> Vec<Failure> {
        self.open.values().map(|open| open.failure.clone()).collect()
    }

    fn settle(&mut self, change: &Change<'_>, found: Vec<Finding>) {
        for (id, open) in &mut self.open {
            if change.goes_on(id, &open.of) {
                open.clean += 1;
            }
        }
        for finding in found {
            let before = self.open.get(finding.id);
            let lost = before.map_or(0, |open| open.lost).saturating_add(finding.lost);
            let of = before.iter().flat_map(|open| &open.of).cloned().chain(finding.of).collect();
            let summary = format!("rsyslog: {}", finding.what.join("; "));
            let mut failure = Failure::new(finding.id, finding.severity, summary).cured_by(finding.cure);
            if lost > 0 {
                failure = failure.losing(lost, "messages");
            }
            self.open.insert(finding.id.to_owned(), Open { failure, lost, of, clean: 0 });
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
        Some(Finding {
            id: "syslog.input_loss",
            severity: Severity::High,
            what,
            lost: lost.max(limited),
            of: Vec::new(),
            cure,
        })
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
            if size > 0 && change.left(name, now) == 0 {
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
        (!what.is_empty()).then_some(Finding {
            id: "syslog.queue_growth",
            severity,
            what,
            lost: 0,
            of: Vec::new(),
            cure,
        })
    }
}

fn until_full(was: u64, size: u64, most: u64) -> String {
    match size.checked_sub(was).filter(|growth| *growth > 0) {
        Some(growth) => format!(", full in {} intervals", most.saturating_sub(size).div_ceil(growth)),
        None => String::new(),
    }
}

fn queue_loss(change: &Change<'_>) -> Option<Finding> {
    let (mut what, mut lost, mut of) = (Vec::new(), 0u64, Vec::new());
    for (name, now) in change.queues() {
        let discarded = change.discarded(name, now);
        if discarded > 0 {
            of.push(name.to_owned());
            lost = lost.saturating_add(discarded);
            what.push(format!("{name} discarded {discarded} messages"));
        }
    }
    let cure = "see whether the targets of rsyslog's actions can be reached, and give their queues a disk";
    (lost > 0).then_some(Finding { id: "syslog.queue_loss", severity: Severity::High, what, lost, of, cure })
}

fn action_failed(change: &Change<'_>) -> Option<Finding> {
    let (mut what, mut lost, mut of) = (Vec::new(), 0u64, Vec::new());
    for (name, now) in change.round.of(Origin::Action) {
        let failed = change.of(Origin::Action, name, now, "failed");
        let suspended = change.of(Origin::Action, name, now, "suspended");
        if failed > 0 || suspended > 0 {
            of.push(name.to_owned());
        }
        if failed > 0 {
            lost = lost.saturating_add(failed);
            what.push(format!("action {name} failed for {failed} messages"));
        }
        if suspended > 0 {
            what.push(format!("action {name} was suspended {suspended} times"));
        }
    }
    let cure = "see rsyslog's own messages (`write error`, `action suspended`) for the cause";
    (!what.is_empty()).then_some(Finding { id: "syslog.action_failed", severity: Severity::High, what, lost, of, cure })
}

struct Finding {
    id: &'static str,
    severity: Severity,
    what: Vec<String>,
    lost: u64,
    /// The actions or queues that lost something.
    of: Vec<String>,
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

    /// By how much a counter rose. One that fell was started anew with its daemon; of one that was not there before nothing
    /// can be said.
    fn of(&self, origin: Origin, name: &str, now: &Counters, counter: &str) -> u64 {
        let now = count(now, counter);
        if !self.is_reset && !self.last.objects.contains_key(&(origin, name.to_owned())) {
            return 0;
        }
        let was = if self.is_reset { 0 } else { self.last_of(origin, name, counter) };
        if now >= was { now - was } else { now }
    }

    fn sum(&self, origin: Origin, counter: &str) -> u64 {
        self.round.of(origin).map(|(name, now)| self.of(origin, name, now, counter)).sum()
    }

    /// Whether something went through all that had lost something, and was not lost; what is not there any more loses nothing.
    fn goes_on(&self, id: &str, of: &BTreeSet<String>) -> bool {
        match id {
            "syslog.input_loss" => self.sum(Origin::Input, "submitted") > 0,
            "syslog.action_failed" => {
                let of_these = self.round.of(Origin::Action).filter(|(name, _)| of.contains(*name));
                let goes = |name: &str, now: &Counters| self.of(Origin::Action, name, now, "processed") > 0;
                of_these.into_iter().all(|(name, now)| goes(name, now))
            }
            "syslog.queue_loss" => self.queues().filter(|(name, _)| of.contains(*name)).all(|(name, now)| {
                count(now, "size") == 0 && self.of(Origin::Queue, name, now, "enqueued") > 0 || self.left(name, now) > 0
            }),
            _ => true,
        }
    }

    /// How many messages left a queue for where they were to go.
    fn left(&self, name: &str, now: &Counters) -> u64 {
        let was = self.last_of(Origin::Queue, name, "size");
        let came = was.saturating_add(self.of(Origin::Queue, name, now, "enqueued"));
        came.saturating_sub(count(now, "size")).saturating_sub(self.discarded(name, now))
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
mod tests;
