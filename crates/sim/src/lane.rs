//! What the records say of one channel: what is open, what is under way, how often it started lately, and whether it
//! fails. Worked out from the records alone, by the words of the documentation.

use balefire_engine::{ChannelPolicy, FallbackOn, Rate};
use balefire_model::record::{AttemptEnded, Next};
use balefire_model::{Cause, DeliveryId, IncidentId, Outcome, Severity};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// From how many failures in a row on a channel fails.
const FAILING: u32 = 3;

/// The longest window of a rate in the simulation.
const RATE_WINDOW_MAX: SignedDuration = SignedDuration::from_mins(10);

/// What the records say of one channel.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// As configured; `None` while it is not.
    pub policy: Option<ChannelPolicy>,
    /// What has no end, the worst first.
    pub open: BTreeSet<(Reverse<Severity>, DeliveryId)>,
    pub under_way: u32,
    /// Since the rates were last changed or the clock was last set back.
    starts: Vec<Timestamp>,
    /// Starts before a clock that was set back, or under other rates, count for a while for the engine, and not here.
    unsure_until: Option<Timestamp>,
    failures: u32,
    /// For which cause the last attempt failed, while it fails.
    pub failing: Option<Cause>,
    /// Whether the incident that tells of it is due.
    must_tell: bool,
    /// The incident that tells of it.
    pub told_by: Option<IncidentId>,
    paused_until: Option<Timestamp>,
}

/// The parts of a window and of a rate that are kept for critical deliveries: an eighth of the window, at least one and
/// at most eight, where it has room for four; a fifth of each rate.
fn window(policy: &ChannelPolicy, severity: Severity) -> u32 {
    let kept = if policy.in_flight < 4 { 0 } else { (policy.in_flight / 8).clamp(1, 8) };
    if severity == Severity::Critical { policy.in_flight } else { policy.in_flight - kept }
}

fn share(rate: &Rate, severity: Severity) -> u32 {
    if severity == Severity::Critical { rate.count } else { rate.count - rate.count / 5 }
}

impl Lane {
    pub(crate) fn configure(&mut self, policy: &ChannelPolicy) {
        if self.policy.as_ref().is_none_or(|before| before.rates != policy.rates) {
            self.forget_starts();
        }
        self.policy = Some(policy.clone());
    }

    /// Takes a start; what it breaks, if it breaks something.
    pub(crate) fn start(&mut self, at: Timestamp, severity: Severity) -> Option<String> {
        let most = match &self.policy {
            Some(_) if self.failures >= FAILING => 1,
            Some(policy) => window(policy, severity),
            None => 0,
        };
        let mut broken = (self.under_way >= most)
            .then(|| format!("{} attempts are under way of {most} for {severity}, and one more", self.under_way));
        if self.starts.last().is_some_and(|last| at < *last) {
            self.forget_starts();
        }
        let rates = self.policy.as_ref().map(|policy| policy.rates.as_slice()).unwrap_or_default();
        let crowded = |rate: &&Rate| {
            let first = self.starts.len().checked_sub(share(rate, severity) as usize);
            first.is_some_and(|first| at.duration_since(self.starts[first]).unsigned_abs() < rate.per)
        };
        if let Some(rate) = rates.iter().find(crowded) {
            broken = Some(format!("more than {rate:?} allows for {severity} at {at}"));
        }
        self.under_way += 1;
        self.starts.push(at);
        broken
    }

    pub(crate) fn forget_starts(&mut self) {
        let last = self.starts.iter().max().map(|last| *last + RATE_WINDOW_MAX);
        self.unsure_until = self.unsure_until.max(last);
        self.starts.clear();
    }

    /// Takes what an attempt came to.
    pub(crate) fn end(&mut self, ended: &AttemptEnded) {
        self.under_way = self.under_way.saturating_sub(1);
        match (&ended.outcome, &ended.next) {
            (
                Outcome::Delivered { .. } | Outcome::Rejected { cause: Cause::Size | Cause::Schema | Cause::Gone, .. },
                _,
            ) => {
                self.failures = 0;
                self.failing = None;
                self.must_tell = false;
                self.paused_until = None;
            }
            (Outcome::Rejected { cause, .. }, _) => {
                self.failures += 1;
                self.failing = Some(*cause);
                self.must_tell |= *cause == Cause::Auth || self.failures >= FAILING;
            }
            (Outcome::Deferred { .. }, Next::Retry(due)) => self.paused_until = Some(*due),
            (Outcome::Deferred { .. } | Outcome::Unknown, _) => {}
        }
    }

    /// Whether a person must have been told of the channel what the records say of it.
    pub(crate) fn is_told(&self) -> bool {
        self.must_tell == self.told_by.is_some()
    }

    /// Whether nothing but an attempt of the same channel may keep a critical delivery waiting.
    pub(crate) fn has_room_for_critical(&self, at: Timestamp) -> bool {
        let Some(policy) = &self.policy else { return false };
        let over = |until: Option<Timestamp>| until.is_none_or(|until| until <= at);
        let set_back = self.starts.last().is_some_and(|last| at < *last);
        let clear = over(self.unsure_until) && over(self.paused_until) && !set_back;
        let open = |rate: &Rate| {
            let first = self.starts.len().checked_sub(rate.count as usize);
            first.is_none_or(|first| at.duration_since(self.starts[first]).unsigned_abs() >= rate.per)
        };
        clear && self.failures < FAILING && self.under_way < policy.in_flight && policy.rates.iter().all(open)
    }

    /// The channels that its fallback names for a cause, and after how long.
    pub(crate) fn steps(&self, takes: impl Fn(FallbackOn) -> bool) -> Vec<(String, std::time::Duration)> {
        let fallback = self.policy.as_ref().map(|policy| policy.fallback.as_slice()).unwrap_or_default();
        let taken = fallback.iter().filter(|step| step.on.iter().any(|on| takes(*on)));
        taken.map(|step| (step.channel.clone(), step.after)).collect()
    }
}

/// Whether a fallback steps in for what waits while a channel fails.
pub(crate) fn takes_waiting(on: FallbackOn, cause: Cause) -> bool {
    match on {
        FallbackOn::Any => true,
        FallbackOn::Auth => cause == Cause::Auth,
        FallbackOn::Network => cause == Cause::Network || cause == Cause::Quota,
        FallbackOn::Rejected => false,
    }
}

/// Whether a fallback steps in for what was given up.
pub(crate) fn takes_given_up(on: FallbackOn, cause: Cause) -> bool {
    on == FallbackOn::Rejected || takes_waiting(on, cause)
}
