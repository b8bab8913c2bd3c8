//! What follows for an incident after it was routed: the message that it is over, the steps of its escalation, and the
//! channels that step in for one that fails.

use crate::engine::{Effects, Engine};
use crate::gather::Stale;
use crate::open::{About, Open, Told, opens};
use crate::queue::{ChannelPolicy, Fallback};
use crate::retry::later;
use crate::state::Pending;
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
            behind_also: Vec::new(),
            has_opened: false,
            opened: None,
            repeat_of: None,
        }
    }

    /// Takes note of a change of state. The channels that were told of the incident hear of its end, each after what it
    /// was told.
    pub(crate) fn change(&mut self, now: Timestamp, change: StateChanged, effects: &mut Effects) {
        let (incident, open) = (change.incident, self.state.open.get(change.incident).cloned());
        let told_as = self.state.matters.get(incident).and_then(|seen| seen.told_as);
        let (state, by) = (change.state, balefire_model::text::one_line(&change.by).into_owned());
        self.record(now, Record::StateChanged(change), effects);
        if state != State::Resolved {
            if let Some(open) = open {
                self.tell_acknowledgement(now, &open, None, effects);
            }
            return;
        }
        self.call_off(now, (incident, told_as), open.as_ref(), effects);
        let Some(open) = open else { return };
        let deliveries: Vec<Planned> = open.heard().filter_map(|channel| self.end_of(&open, channel)).collect();
        if !deliveries.is_empty() {
            let because = format!("resolved by {by}");
            let followed = open.about.followed_up(FollowUp::Resolved, because, deliveries);
            self.record(now, Record::FollowedUp(followed), effects);
        }
    }

    /// The message to a channel that an incident is over, where the channel wants to hear so and there is something to
    /// close: after all that is still on its way there.
    fn end_of(&self, open: &Open, channel: &str) -> Option<Planned> {
        self.settings.channels.get(channel).filter(|policy| policy.follows_up)?;
        let planned = self.plan_of(open.about.incident, Reason::Resolved, channel.to_owned());
        // Resolved once more, after a channel stood in late: a close that has not arrived yet will do.
        if self.state.pending.contains_key(&planned.delivery) || self.state.dead.get(planned.delivery).is_some() {
            return None;
        }
        self.after_what_was_told(open, planned)
    }

    /// A message that waits for all that is still on its way to its channel; `None` where there is nothing that it could
    /// be about.
    pub(crate) fn after_what_was_told(&self, open: &Open, planned: Planned) -> Option<Planned> {
        let told = || open.told.iter().filter(|told| *told.channel == *planned.channel);
        let arrived = told().any(|told| told.arrived == Some(true));
        // What was called off a moment ago is not on its way any more.
        let on_its_way = |told: &&Told| told.arrived.is_none() && self.state.pending.contains_key(&told.delivery);
        let mut behind = told().filter(on_its_way).map(|told| told.delivery);
        let (first, also): (_, Vec<DeliveryId>) = (behind.next(), behind.collect());
        let has_opened = arrived && first.is_some();
        let opened = told().find_map(|told| told.posted.as_deref()).map(|posted| posted.to_string());
        let planned = Planned { behind: first, behind_also: also, has_opened, opened, ..planned };
        (arrived || first.is_some()).then_some(planned)
    }

    /// What was given up and is sent on its way again for an incident that is over is closed once more.
    pub(crate) fn close_again(&mut self, now: Timestamp, delivery: DeliveryId, by: &str, effects: &mut Effects) {
        let Some(pending) = self.state.pending.get(&delivery).filter(|pending| opens(pending.reason)) else { return };
        let about = pending.about();
        let channel = &self.state.names[pending.channel as usize];
        let wants_ends = self.settings.channels.get(channel).is_some_and(|policy| policy.follows_up);
        let end = self.plan_of(about.incident, Reason::Resolved, channel.clone());
        let comes = self.state.pending.contains_key(&end.delivery) || self.state.dead.get(end.delivery).is_some();
        if self.state.open.end(about.incident).is_some() && wants_ends && !comes {
            let because = format!("{} sent delivery {delivery} again", balefire_model::text::one_line(by));
            let planned = Planned { behind: Some(delivery), ..end };
            let followed = about.followed_up(FollowUp::Resolved, because, vec![planned]);
            self.record(now, Record::FollowedUp(followed), effects);
        }
    }

    /// Nobody needs to be called any more for an incident that is over, and some channels want to hear only of what is
    /// still open.
    fn call_off(
        &mut self,
        now: Timestamp,
        (incident, told_as): (IncidentId, Option<IncidentId>),
        open: Option<&Open>,
        effects: &mut Effects,
    ) {
        let told = open.into_iter().flat_map(|open| &open.told);
        let mut messages: Vec<(DeliveryId, &str)> = told.map(|told| (told.delivery, told.channel.as_ref())).collect();
        // A channel that wants to hear of no ends is not among those told.
        let settings = self.settings.clone();
        let forgetful = settings.channels.iter().filter(|(_, policy)| !policy.follows_up);
        for (name, _) in forgetful {
            messages.push((DeliveryId::derive(incident, Reason::Opened.as_str(), name), name.as_str()));
            messages.extend(told_as.map(|last| (repeated(incident, last, name), name.as_str())));
        }
        for (step, escalation) in (0..).zip(open.into_iter().flat_map(|open| open.escalations())) {
            messages.extend(escalation.to.iter().map(|channel| (escalated(incident, step, channel), channel.as_str())));
        }
        for delivery in self.with_stand_ins(incident, &messages) {
            let Some(pending) = self.state.pending.get(&delivery).filter(|pending| !pending.in_flight) else {
                continue;
            };
            let channel = self.state.names[pending.channel as usize].clone();
            let policy = self.settings.channels.get(&channel);
            let wants_open = policy.is_some_and(|policy| policy.stale == Stale::OpenOnly);
            let (rule, what) = match pending.reason {
                Reason::Escalated => (RESOLVED_FIRST, "escalation"),
                Reason::Repeated => (RESOLVED_FIRST, "message that it came again"),
                // Whose it was is still of interest to who keeps it.
                Reason::Acked => continue,
                _ if wants_open => (OPEN_ONLY, "message"),
                _ => continue,
            };
            let because = format!("the incident was resolved before this {what} went out");
            let suppressed = Suppressed { delivery, incident, channel, rule: rule.to_owned(), because };
            self.suppress(now, suppressed, effects);
        }
    }

    /// Messages, and those that may stand in for them, each once.
    fn with_stand_ins(&self, incident: IncidentId, messages: &[(DeliveryId, &str)]) -> Vec<DeliveryId> {
        let mut found: Vec<(DeliveryId, &str)> = Vec::new();
        let mut left = messages.to_vec();
        left.reverse();
        while let Some((delivery, channel)) = left.pop() {
            if found.iter().any(|(known, _)| *known == delivery) {
                continue;
            }
            found.push((delivery, channel));
            let targets = self.settings.channels.get(channel).into_iter().flat_map(|policy| &policy.fallback);
            left.extend(targets.map(|step| (stand_in(incident, delivery, &step.channel), step.channel.as_str())));
        }
        found.into_iter().map(|(delivery, _)| delivery).collect()
    }

    /// Ends a delivery by a rule, and what waits to close it.
    pub(crate) fn suppress(&mut self, now: Timestamp, suppressed: Suppressed, effects: &mut Effects) {
        let delivery = suppressed.delivery;
        let closers = self.state.closers(delivery);
        self.record(now, Record::Suppressed(suppressed), effects);
        self.has_not_arrived(now, (delivery, "did not go out"), closers, effects);
    }

    /// A delivery has ended without arriving: what waits to close it has nothing to close, unless something else has
    /// arrived, or may yet.
    pub(crate) fn has_not_arrived(
        &mut self,
        now: Timestamp,
        (delivery, what): (DeliveryId, &str),
        mut closers: Vec<DeliveryId>,
        effects: &mut Effects,
    ) {
        let mut next = 0;
        while let Some(closer) = closers.get(next).copied() {
            next += 1;
            let Some(pending) = self.state.pending.get(&closer) else { continue };
            if pending.behind().next().is_some() || pending.rare.as_ref().is_some_and(|rare| rare.has_opened) {
                continue;
            }
            let suppressed = Suppressed {
                delivery: closer,
                incident: pending.incident,
                channel: self.state.names[pending.channel as usize].clone(),
                rule: NOTHING_TO_CLOSE.to_owned(),
                because: format!("delivery {delivery}, which it would close, {what}"),
            };
            // One acknowledgement waits for another.
            closers.extend(self.state.closers(closer));
            self.record(now, Record::Suppressed(suppressed), effects);
        }
    }

    /// Takes the steps of escalations whose time has come.
    pub(crate) fn escalate(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some((due, incident, step)) = self.state.open.next_due()
            && due <= now
        {
            let open = self.state.open.get(incident).expect("what escalates is open");
            let (about, escalation) = (open.about, open.escalations()[step as usize].clone());
            let Escalation { route, to, .. } = escalation;
            let plan = |channel: &String| {
                let planned = self.plan_of(incident, Reason::Escalated, channel.clone());
                Planned { delivery: escalated(incident, step, channel), ..planned }
            };
            let known = to.iter().filter(|channel| self.settings.channels.contains_key(*channel));
            let deliveries: Vec<Planned> = known.map(plan).collect();
            let because = format!("nobody has acknowledged it by {due}: step {} of route {route}", step + 1);
            let followed = about.followed_up(FollowUp::Escalated(step), because, deliveries);
            self.tell_more(now, followed, effects);
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
            let waits = Waits::of(delivery, &self.state.pending[&delivery]);
            let followed = self.stands_in(&waits, (policy, step), why);
            self.tell_more(now, followed, effects);
            left -= 1;
            // Who steps in may fail too, and may have been looked at before.
            let next = self.state.names.iter().position(|name| *name == policy.fallback[step as usize].channel);
            index = index.min(next.unwrap_or(index));
        }
    }

    /// The next delivery that a fallback should take, and which one.
    fn handed_on_next(&self, now: Timestamp, index: usize, policy: &ChannelPolicy) -> Option<(DeliveryId, u32)> {
        (0..).zip(&policy.fallback).find_map(|(step, fallback)| {
            let (delivery, due) = self.fallback_due(index, fallback)?;
            (due <= now).then_some((delivery, step))
        })
    }

    /// The first delivery that this fallback has not taken yet, and when it is to take it.
    fn fallback_due(&self, index: usize, fallback: &Fallback) -> Option<(DeliveryId, Timestamp)> {
        let queue = &self.state.queues[index];
        let (_, cause) = queue.failing.filter(|_| queue.told_by.is_some())?;
        if !fallback.on.iter().any(|on| on.takes_failing(cause)) {
            return None;
        }
        let target = self.state.names.iter().position(|name| *name == fallback.channel);
        let taken = target.and_then(|target| queue.handed_on.get(&u32::try_from(target).ok()?));
        let is_new = |delivery: &&DeliveryId| !self.state.is_taken_by(**delivery, &fallback.channel);
        let from = taken.copied().unwrap_or(0);
        let delivery = queue.by_order.range(from..).map(|(_, delivery)| delivery).find(is_new)?;
        let decided_at = self.state.pending.get(delivery)?.decided_at.into();
        Some((*delivery, later(decided_at, fallback.after)))
    }

    /// When [`Engine::fall_back`] has something to do.
    pub(crate) fn falls_back_at(&self, index: usize, policy: &ChannelPolicy) -> Option<Timestamp> {
        policy.fallback.iter().filter_map(|fallback| Some(self.fallback_due(index, fallback)?.1)).min()
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
        // A close is tried, and so can be given up, when it has something to close.
        let waits = Waits { about, delivery, reason: letter.reason, has_opened: true };
        for (step, fallback) in (0..).zip(&policy.fallback) {
            let is_taken = self.state.is_taken_by(delivery, &fallback.channel);
            if !is_taken && fallback.on.iter().any(|on| on.takes_given_up(cause)) {
                let because = format!("channel {} gave it up: {why}", policy.name);
                let followed = self.stands_in(&waits, (policy, step), because);
                self.tell_more(now, followed, effects);
            }
        }
    }

    /// A fallback's message in place of a delivery, or why it sends none. An end and an escalation read as such over a
    /// fallback, too.
    fn stands_in(&self, waits: &Waits, (policy, step): (&ChannelPolicy, u32), because: String) -> FollowedUp {
        let (incident, delivery) = (waits.about.incident, waits.delivery);
        let channel = &policy.fallback[step as usize].channel;
        let cause = FollowUp::Fallback { delivery, step, channel: channel.clone() };
        let id = stand_in(incident, delivery, channel);
        // An end comes once more where an incident is resolved once more.
        let comes = self.state.pending.contains_key(&id) || self.state.dead.get(id).is_some();
        let spared = if comes { Some("it did so before") } else { self.spared(waits, channel) };
        if let Some(spared) = spared {
            let because = format!("{because}; channel {channel} does not step in: {spared}");
            return waits.about.followed_up(cause, because, Vec::new());
        }
        let reason = match waits.reason {
            reason @ (Reason::Resolved | Reason::Escalated | Reason::Run | Reason::Repeated) => reason,
            _ => Reason::Fallback,
        };
        let planned = Planned {
            delivery: id,
            stands_in_for: Some(policy.name.clone()),
            ..self.plan_of(incident, reason, channel.clone())
        };
        let because = format!("{because}; channel {channel} steps in");
        waits.about.followed_up(cause, because, vec![planned])
    }

    /// Why a channel need not step in, if it need not.
    fn spared(&self, waits: &Waits, channel: &str) -> Option<&'static str> {
        if waits.reason == Reason::Acked {
            return Some("an acknowledgement is for the channel that keeps it");
        }
        let end = self.state.open.end(waits.about.incident);
        if waits.reason != Reason::Resolved {
            return end.map(|_| "the incident is over");
        }
        let closes_itself = |number: &u32| self.state.names[*number as usize] == channel;
        if !waits.has_opened {
            return Some("what this message would close has not gone out");
        }
        if end.is_some_and(|end| end.closing.iter().any(closes_itself)) {
            return Some("it hears itself that the incident is over");
        }
        let wants_ends = self.settings.channels.get(channel).is_some_and(|policy| policy.follows_up);
        (!wants_ends).then_some("it wants to hear of no ends")
    }
}

/// A delivery that another channel may take.
struct Waits {
    about: About,
    delivery: DeliveryId,
    reason: Reason,
    /// Where it closes: whether something has arrived that it closes.
    has_opened: bool,
}

impl Waits {
    fn of(delivery: DeliveryId, pending: &Pending) -> Waits {
        Waits { about: pending.about(), delivery, reason: pending.reason, has_opened: pending.has_opened() }
    }
}

/// The message of a channel that stands in for a delivery's own.
fn stand_in(incident: IncidentId, delivery: DeliveryId, channel: &str) -> DeliveryId {
    DeliveryId::derive(incident, &format!("{}\n{delivery}", Reason::Fallback.as_str()), channel)
}

/// The message of an escalation's step. A later step may name the same channel: that is another message.
fn escalated(incident: IncidentId, step: u32, channel: &str) -> DeliveryId {
    DeliveryId::derive(incident, &format!("{}-{step}", Reason::Escalated.as_str()), channel)
}

/// The message that an incident came again, the last time as this repeat.
pub(crate) fn repeated(first: IncidentId, last: IncidentId, channel: &str) -> DeliveryId {
    DeliveryId::derive(first, &format!("{}\n{last}", Reason::Repeated.as_str()), channel)
}

impl About {
    pub(crate) fn followed_up(self, cause: FollowUp, because: String, deliveries: Vec<Planned>) -> FollowedUp {
        let About { incident, accepted_at, severity } = self;
        FollowedUp {
            incident,
            accepted_at,
            severity,
            cui_involved: false,
            cause,
            because,
            deliveries,
            escalations: Vec::new(),
        }
    }
}
