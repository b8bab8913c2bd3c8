//! One channel's queue: what waits, what is under way, and when the next one may go. The worst severity goes first; among
//! equals, what was tried less often, then what came first.

use balefire_model::{DeliveryId, Severity};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::retry::{Retry, later};

/// What the configuration says of a channel, as far as the engine cares.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    order: u64,
    pub delivery: DeliveryId,
}

impl Rank {
    pub(crate) fn new(severity: Severity, attempts: u32, order: u64, delivery: DeliveryId) -> Rank {
        Rank { severity: Reverse(severity), attempts, order, delivery }
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
    /// When the last attempts were made, as far back as the rates reach.
    pub recent: VecDeque<Timestamp>,
    /// How many attempts that is.
    pub keep: usize,
}

impl Queue {
    /// Takes the delivery that goes out next, if one may go out now.
    pub(crate) fn take(&mut self, now: Timestamp, policy: &ChannelPolicy) -> Option<DeliveryId> {
        while self.waiting.first().is_some_and(|(due, _)| *due <= now) {
            let (_, rank) = self.waiting.pop_first().expect("there is a first one");
            self.ready.insert(rank);
        }
        let window = if self.failures >= FAILING { 1 } else { policy.in_flight };
        if self.in_flight >= window || self.opens_at(now, policy).is_some() {
            return None;
        }
        self.ready.pop_first().map(|rank| rank.delivery)
    }

    /// When the channel may send again; `None` where it may now.
    fn opens_at(&self, now: Timestamp, policy: &ChannelPolicy) -> Option<Timestamp> {
        let paused = self.paused_until.filter(|until| *until > now);
        let limited = policy.rates.iter().filter_map(|rate| {
            let oldest = self.recent.len().checked_sub(rate.count as usize)?;
            Some(later(self.recent[oldest], rate.per)).filter(|opens| *opens > now)
        });
        paused.into_iter().chain(limited).max()
    }

    /// When it is worth looking at this queue again; `None` where only an input can change anything.
    pub(crate) fn wakes_at(&self, now: Timestamp, policy: &ChannelPolicy) -> Option<Timestamp> {
        let window = if self.failures >= FAILING { 1 } else { policy.in_flight };
        if self.in_flight >= window {
            return None;
        }
        let due = if self.ready.is_empty() { self.waiting.first().map(|(due, _)| *due)? } else { now };
        Some(due.max(self.opens_at(now, policy).unwrap_or(due)))
    }

    /// Remembers an attempt for the rates.
    pub(crate) fn attempted(&mut self, at: Timestamp) {
        self.recent.push_back(at);
        while self.recent.len() > self.keep {
            self.recent.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.waiting.len() + self.in_flight as usize
    }
}
