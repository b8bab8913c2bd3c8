//! What follows for an incident after it was routed: the message that it is over, the steps of its escalation, and the
//! channels that step in for one that fails.

use crate::engine::{Effects, Engine};
use crate::gather::Stale;
use crate::open::{About, Open};
use crate::queue::{ChannelPolicy, Fallback};
use crate::retry::later;
use crate::state::bit;
use balefire_model::record::{Escalation, FollowUp, FollowedUp, Planned, StateChanged, Suppressed};
use balefire_model::{Cause, DeliveryId, IncidentId, Reason, Record, State};
use jiff::Timestamp;

/// How many deliveries are handed on to a fallback at once; more follow in the next step, so that no step is long.
const HANDED_ON_MAX: usize = 256;

/// The rule's name where a message would close what was never opened.
const NOTHING_TO_CLOSE: &str = "nothing-to-close";
/// The rule's name where an escalation is not needed any more.
const RESOLVED_FIRST: &str = "resolved-first";
/// The rule's name where a channel hears only of what is still open.
const OPEN_ONLY: &str = "open-only";

impl Engine {
    /// A delivery to a channel, as the channel's policy wants it.
    pub(crate) fn plan_of(&self, incident: IncidentId, reason: Reason, channel: String) -> Planned {
        Planned {
            delivery: DeliveryId::derive(incident, reason.as_str(), &channel),
            follows_up: self.settings.channels.get(&channel).is_some_and(|policy| policy.follows_up),
            channel,
            reason,
            stands_in_for: None,
            behind: None,
        }
    }

    /// Takes note of a change of state. The channels that were told of the incident hear of its end, each after what it
    /// was told.
    pub(crate) fn change(&mut self, now: Timestamp, change: StateChanged, effects: &mut Effects) {
        let open = self.state.open.get(change.incident).cloned();
        let (state, by) = (change.state, balefire_model::text::one_line(&change.by).into_owned());
        self.record(now, Record::StateChanged(change), effects);
        let Some(open) = open.filter(|_| state == State::Resolved) else { return };
        self.call_off(now, &open, effects);
        let mut deliveries: Vec<Planned> = Vec::new();
        for told in open.told.iter().filter(|told| told.arrived != Some(false)) {
            let is_planned = deliveries.iter().any(|planned| planned.channel == told.channel);
            // What was called off a moment ago is not on its way any more.
            let is_over = told.arrived.is_none() && !self.state.pending.contains_key(&told.delivery);
            if is_planned || is_over || !self.settings.channels.contains_key(&told.channel) {
                continue;
            }
            let mut planned = self.plan_of(open.about.incident, Reason::Resolved, told.channel.clone());
            let arrived = open.told.iter().any(|other| other.channel == told.channel && other.arrived == Some(true));
            planned.behind = (!arrived).then_some(told.delivery);
            // Resolved once more, after a channel stood in late: a close that has not arrived yet will do.
            let known = self.state.pending.contains_key(&planned.delivery);
            if !known && self.state.dead.get(planned.delivery).is_none() {
                deliveries.push(planned);
            }
        }
        if !deliveries.is_empty() {
            let because = format!("resolved by {by}");
            let followed = open.about.followed_up(FollowUp::Resolved, because, deliveries);
            self.record(now, Record::FollowedUp(followed), effects);
        }
    }

    /// Nobody needs to be called any more for an incident that is over, and some channels want to hear only of what is
    /// still open.
    fn call_off(&mut self, now: Timestamp, open: &Open, effects: &mut Effects) {
        for told in open.told.iter().filter(|told| told.arrived.is_none()) {
            let Some(pending) = self.state.pending.get(&told.delivery).filter(|pending| !pending.in_flight) else {
                continue;
            };
            let policy = self.settings.channels.get(&told.channel);
            let wants_open = policy.is_some_and(|policy| policy.stale == Stale::OpenOnly);
            let (rule, what) = match pending.reason {
                Reason::Escalated => (RESOLVED_FIRST, "escalation"),
                _ if wants_open => (OPEN_ONLY, "message"),
                _ => continue,
            };
            let suppressed = Suppressed {
                delivery: told.delivery,
                incident: open.about.incident,
                channel: told.channel.clone(),
                rule: rule.to_owned(),
                because: format!("the incident was resolved before this {what} went out"),
            };
            self.record(now, Record::Suppressed(suppressed), effects);
        }
    }

    /// A delivery was given up: what waits to close it has nothing to close.
    pub(crate) fn given_up(
        &mut self,
        now: Timestamp,
        delivery: DeliveryId,
        closer: Option<DeliveryId>,
        effects: &mut Effects,
    ) {
        let Some((closer, pending)) = closer.and_then(|id| Some((id, self.state.pending.get(&id)?))) else { return };
        let suppressed = Suppressed {
            delivery: closer,
            incident: pending.incident,
            channel: self.state.names[pending.channel as usize].clone(),
            rule: NOTHING_TO_CLOSE.to_owned(),
            because: format!("delivery {delivery}, which it would close, was given up"),
        };
        self.record(now, Record::Suppressed(suppressed), effects);
    }

    /// Takes the steps of escalations whose time has come.
    pub(crate) fn escalate(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some((due, incident, step)) = self.state.open.next_due()
            && due <= now
        {
            let open = self.state.open.get(incident).expect("what escalates is open");
            let (about, escalation) = (open.about, open.escalations[step as usize].clone());
            let Escalation { route, to, .. } = escalation;
            let plan = |channel: &String| {
                let planned = self.plan_of(incident, Reason::Escalated, channel.clone());
                // A later step may name the same channel: that is another message.
                let reason = format!("{}-{step}", Reason::Escalated.as_str());
                Planned { delivery: DeliveryId::derive(incident, &reason, channel), ..planned }
            };
            let known = to.iter().filter(|channel| self.settings.channels.contains_key(*channel));
            let deliveries: Vec<Planned> = known.map(plan).collect();
            let because = format!("nobody has acknowledged it by {due}: step {} of route {route}", step + 1);
            let followed = about.followed_up(FollowUp::Escalated(step), because, deliveries);
            self.record(now, Record::FollowedUp(followed), effects);
        }
    }

    /// Hands on what has waited too long for a channel that fails.
    pub(crate) fn fall_back(&mut self, now: Timestamp, effects: &mut Effects) {
        let settings = self.settings.clone();
        let mut left = HANDED_ON_MAX;
        let mut index = 0;
        while left > 0 && index < self.state.names.len() {
            let policy = settings.channels.get(&self.state.names[index]);
            let Some((policy, (delivery, step))) =
                policy.and_then(|policy| Some((policy, self.handed_on_next(now, index, policy)?)))
            else {
                index += 1;
                continue;
            };
            let queue = &self.state.queues[index];
            let (since, cause) = queue.failing.expect("only what fails hands on");
            let why = format!("channel {} fails since {since} ({})", policy.name, cause.as_str());
            let about = self.state.pending[&delivery].about();
            let followed = self.stands_in(about, delivery, (policy, step), why);
            self.record(now, Record::FollowedUp(followed), effects);
            left -= 1;
            // Who steps in may fail too, and may have been looked at before.
            let next = self.state.names.iter().position(|name| *name == policy.fallback[step as usize].channel);
            index = index.min(next.unwrap_or(index));
        }
    }

    /// The next delivery that a fallback should take, and which one.
    fn handed_on_next(&self, now: Timestamp, index: usize, policy: &ChannelPolicy) -> Option<(DeliveryId, u32)> {
        let queue = &self.state.queues[index];
        (0..).zip(&policy.fallback).find_map(|(step, fallback)| {
            let (delivery, due) = self.fallback_due(index, step, fallback)?;
            (due <= now && queue.told_by.is_some()).then_some((delivery, step))
        })
    }

    /// The first delivery that this fallback has not taken yet, and when it is to take it.
    fn fallback_due(&self, index: usize, step: u32, fallback: &Fallback) -> Option<(DeliveryId, Timestamp)> {
        let queue = &self.state.queues[index];
        let (_, cause) = queue.failing.filter(|_| queue.told_by.is_some())?;
        if !fallback.on.takes_failing(cause) {
            return None;
        }
        let from = queue.handed_on.get(step as usize).copied().unwrap_or(0);
        let is_new = |delivery: &&DeliveryId| self.state.steps_taken(**delivery) & bit(step) == 0;
        let delivery = queue.by_order.range(from..).map(|(_, delivery)| delivery).find(is_new)?;
        let decided_at = self.state.pending.get(delivery)?.decided_at.into();
        Some((*delivery, later(decided_at, fallback.after)))
    }

    /// When [`Engine::fall_back`] has something to do.
    pub(crate) fn falls_back_at(&self, index: usize, policy: &ChannelPolicy) -> Option<Timestamp> {
        let due = |(step, fallback)| self.fallback_due(index, step, fallback).map(|(_, due)| due);
        (0..).zip(&policy.fallback).filter_map(due).min()
    }

    /// A delivery has reached its end without arriving: every fallback that is there for that and was not asked takes it
    /// at once.
    pub(crate) fn fall_back_at_once(
        &mut self,
        now: Timestamp,
        delivery: DeliveryId,
        (cause, why): (Cause, &str),
        effects: &mut Effects,
    ) {
        let Some(letter) = self.state.dead.get(delivery).cloned() else { return };
        let settings = self.settings.clone();
        let Some(policy) = settings.channels.get(&letter.channel) else { return };
        let about = About { incident: letter.incident, accepted_at: letter.accepted_at, severity: letter.severity };
        for (step, fallback) in (0..).zip(&policy.fallback) {
            let is_taken = self.state.steps_taken(delivery) & bit(step) != 0;
            if !is_taken && fallback.on.takes_given_up(cause) {
                let because = format!("channel {} gave it up: {why}", policy.name);
                let followed = self.stands_in(about, delivery, (policy, step), because);
                self.record(now, Record::FollowedUp(followed), effects);
            }
        }
    }

    /// A fallback's message in place of a delivery.
    fn stands_in(
        &self,
        about: About,
        delivery: DeliveryId,
        (policy, step): (&ChannelPolicy, u32),
        because: String,
    ) -> FollowedUp {
        let channel = &policy.fallback[step as usize].channel;
        // With the step: after a reload another step may name the channel that an earlier one named.
        let reason = format!("{}-{step}\n{delivery}", Reason::Fallback.as_str());
        let planned = Planned {
            delivery: DeliveryId::derive(about.incident, &reason, channel),
            stands_in_for: Some(policy.name.clone()),
            ..self.plan_of(about.incident, Reason::Fallback, channel.clone())
        };
        let because = format!("{because}; channel {channel} steps in");
        about.followed_up(FollowUp::Fallback { delivery, step }, because, vec![planned])
    }
}

impl About {
    fn followed_up(self, cause: FollowUp, because: String, deliveries: Vec<Planned>) -> FollowedUp {
        let About { incident, accepted_at, severity } = self;
        FollowedUp { incident, accepted_at, severity, cause, because, deliveries }
    }
}
