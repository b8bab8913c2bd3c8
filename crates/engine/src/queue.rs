//! One channel's queue: what waits, what is under way, and when the next one may go. The worst severity goes first; among
//! equals, what was tried less often, then what came first.

use balefire_model::{Cause, DeliveryId, IncidentId, Position, Severity};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::gather::{Digest, Stale, Storm};
use crate::retry::{Retry, later};

/// What the configuration says of a channel, as far as the engine cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelPolicy {
    /// Its name.
    pub name: String,
    /// Its kind's key.
    pub kind: String,
    /// How many deliveries may be under way at once.
    pub in_flight: u32,
    /// How patient it is.
    pub retry: Retry,
    /// All of them hold.
    pub rates: Vec<Rate>,
    /// The channels that step in when this one fails, in order.
    pub fallback: Vec<Fallback>,
    /// Whether it hears when an incident is over that it was told of.
    pub follows_up: bool,
    /// Whether it hears, beside that, when somebody acknowledges such an incident, or takes that back.
    pub hears_acks: bool,
    /// Whether a message that the far side refuses may be the fault of the user's template.
    pub has_template: bool,
    /// When too much is too much.
    pub storm: Option<Storm>,
    /// What becomes of the backlog after an outage.
    pub stale: Stale,
    /// One message a day in place of many.
    pub digest: Option<Digest>,
    /// Whether it gets the records of a run together, when the run is over.
    pub collects: bool,
    /// Whether the marks of a run's begin and end are among them.
    pub marks: bool,
    /// Whether it hears of every repeat by itself, as archives do, and of none as another message about the first.
    pub repeats: bool,
}

/// A channel that steps in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub channel: String,
    /// How long a delivery must have waited.
    pub after: Duration,
    /// For which failures.
    pub on: Vec<FallbackOn>,
}

/// For which failures a fallback steps in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FallbackOn {
    /// Whatever it is.
    #[default]
    Any,
    /// Refused credentials.
    Auth,
    /// The far side cannot be reached, does not answer, or fails in itself.
    Network,
    /// The message was given up.
    Rejected,
}

impl FallbackOn {
    /// Whether it steps in while the channel fails for this cause.
    pub(crate) fn takes_failing(self, cause: Cause) -> bool {
        match self {
            FallbackOn::Any => true,
            FallbackOn::Auth => cause == Cause::Auth,
            FallbackOn::Network => matches!(cause, Cause::Network | Cause::Quota),
            FallbackOn::Rejected => false,
        }
    }

    /// Whether it steps in when a delivery was given up for this cause.
    pub(crate) fn takes_given_up(self, cause: Cause) -> bool {
        matches!(self, FallbackOn::Any | FallbackOn::Rejected) || self.takes_failing(cause)
    }
}

/// The part of a channel's window that only critical deliveries may use: an eighth, up to this many, where there
/// is room for four.
const RESERVED_MAX: u32 = 8;

impl ChannelPolicy {
    /// How many deliveries of this severity may make the channel busy.
    fn window(&self, severity: Severity) -> u32 {
        if severity == Severity::Critical || self.in_flight < 4 {
            return self.in_flight;
        }
        self.in_flight - (self.in_flight / 8).clamp(1, RESERVED_MAX)
    }
}

impl Rate {
    /// How many of the window's attempts deliveries of this severity may use: a fifth is kept for critical
    /// ones, from 5 on.
    fn share(&self, severity: Severity) -> u32 {
        if severity == Severity::Critical { self.count } else { self.count - self.count / 5 }
    }
}

/// At most `count` attempts in any window of length `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at most [`Rate::COUNT_MAX`], since as many times are remembered.
    pub count: u32,
    /// The window.
    pub per: Duration,
}

impl Rate {
    /// The largest count.
    pub const COUNT_MAX: u32 = 100_000;
}

/// The failures in a row from which a channel counts as failing: one probe at a time then.
pub(crate) const FAILING: u32 = 3;

/// What the queue orders by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    severity: Reverse<Severity>,
    attempts: u32,
    pub order: u64,
}

impl Rank {
    pub(crate) fn new(severity: Severity, attempts: u32, order: u64) -> Rank {
        Rank { severity: Reverse(severity), attempts, order }
    }

    /// Not after any other of its severity.
    pub(crate) fn first_of(severity: Severity) -> Rank {
        Rank::new(severity, 0, 0)
    }

    pub(crate) fn severity(&self) -> Severity {
        self.severity.0
    }
}

/// A channel's queue. Everything in it follows from records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pub ready: BTreeSet<Rank>,
    pub waiting: BTreeSet<(Timestamp, Rank)>,
    pub in_flight: u32,
    /// Those that no attempt was made of.
    pub untried: usize,
    /// Failures since the last success.
    pub failures: u32,
    /// Nothing goes out before this time.
    pub paused_until: Option<Timestamp>,
    /// Since when attempts fail, and for which cause the last one did.
    pub failing: Option<(Timestamp, Cause)>,
    /// The incident that tells of it.
    pub told_by: Option<IncidentId>,
    /// Who heard of that incident, where somebody resolved it before the channel worked again.
    pub heard: Option<Vec<String>>,
    /// All that have no end, by the order in which they were decided on.
    pub by_order: BTreeMap<u64, DeliveryId>,
    /// For each channel that stepped in, by number: the deliveries before this one were handed on to it, or did not need
    /// it.
    pub handed_on: BTreeMap<u32, u64>,
    /// When the last attempts were made, as far back as the rates reach.
    pub recent: VecDeque<Timestamp>,
    /// How many attempts that is.
    pub keep: usize,
    /// How many there are of each severity, info first.
    pub counts: [usize; 5],
    /// When the last message was decided on that stands for many.
    pub summarised_at: Option<Timestamp>,
    /// When the channel last came back.
    pub recovered_at: Option<Timestamp>,
    /// The return after which the backlog was looked at. Forgotten by a restart, like the next one.
    pub looked_at: Option<Timestamp>,
    /// Up to which severity deliveries stay where they are, because they are being gathered, and where the journal ended
    /// when that began.
    pub gathering: Option<(Severity, Position)>,
}

impl Queue {
    /// Takes the delivery that goes out next, if one may go out now.
    pub(crate) fn take(&mut self, now: Timestamp, policy: &ChannelPolicy) -> Option<DeliveryId> {
        while self.waiting.first().is_some_and(|(due, _)| *due <= now) {
            let (_, rank) = self.waiting.pop_first().expect("there is a first one");
            self.ready.insert(rank);
        }
        let severity = self.ready.first()?.severity.0;
        if self.held_up_to(policy).is_some_and(|held| severity <= held) {
            return None;
        }
        if self.in_flight >= self.window(policy, severity) || self.opens_at(now, policy, severity).is_some() {
            return None;
        }
        let rank = self.ready.pop_first()?;
        Some(self.delivery(&rank))
    }

    /// The delivery of a place in the queue.
    pub(crate) fn delivery(&self, rank: &Rank) -> DeliveryId {
        self.by_order[&rank.order]
    }

    fn window(&self, policy: &ChannelPolicy, severity: Severity) -> u32 {
        if self.is_failing() { 1 } else { policy.window(severity) }
    }

    /// Whether so much has failed that one attempt at a time is enough to find out when it is over.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures >= FAILING
    }

    /// When the channel may send something of this severity again; `None` where it may now.
    fn opens_at(&self, now: Timestamp, policy: &ChannelPolicy, severity: Severity) -> Option<Timestamp> {
        let paused = self.paused_until.filter(|until| *until > now);
        let limited = policy.rates.iter().filter_map(|rate| {
            let oldest = self.recent.len().checked_sub(rate.share(severity) as usize)?;
            Some(later(self.recent[oldest], rate.per)).filter(|opens| *opens > now)
        });
        paused.into_iter().chain(limited).max()
    }

    /// When it is worth looking at this queue again; `None` where only an input can change anything.
    pub(crate) fn wakes_at(&self, now: Timestamp, policy: &ChannelPolicy) -> Option<Timestamp> {
        let held = self.held_up_to(policy);
        // What is waiting may be worse than what is ready, and may go earlier for it.
        let ready = self.ready.first().map(|rank| (now, rank.severity.0));
        let waiting = self.waiting.first().map(|(due, rank)| (*due, rank.severity.0));
        let goes = |(due, severity): (Timestamp, Severity)| {
            let is_free = held.is_none_or(|held| severity > held);
            let has_room = self.in_flight < self.window(policy, severity);
            (is_free && has_room).then(|| due.max(self.opens_at(now, policy, severity).unwrap_or(due)))
        };
        // Until the one that is waiting is due, its severity does not count; at that time it is looked at again.
        let due = waiting
            .map(|(due, _)| due)
            .filter(|due| *due > now && self.in_flight < self.window(policy, Severity::Critical));
        [ready.and_then(goes), waiting.and_then(goes), due].into_iter().flatten().min()
    }

    /// What lies ready and was tried before.
    pub(crate) fn tried(&self) -> impl Iterator<Item = &Rank> {
        Severity::ALL.into_iter().flat_map(|severity| {
            let tried = Rank::new(severity, 1, 0);
            self.ready.range(tried..).take_while(move |rank| rank.severity() == severity)
        })
    }

    /// Remembers an attempt for the rates.
    pub(crate) fn attempted(&mut self, at: Timestamp) {
        self.recent.push_back(at);
        while self.recent.len() > self.keep {
            self.recent.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_order.len()
    }
}
