//! The checker's part for what follows an incident: its end, its escalation, and the channels that step in for others.

use crate::lane::{takes_given_up, takes_waiting};
use crate::ledger::{Ledger, Moment};
use balefire_model::record::{Escalation, FollowUp, FollowedUp, Planned, StateChanged};
use balefire_model::{Cause, DeliveryId, IncidentId, Reason, State};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of what follows.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// The incidents that are over.
    pub resolved: BTreeSet<IncidentId>,
    /// The steps of escalations that must come, unless somebody acts.
    pub steps: BTreeMap<(IncidentId, u32), Escalation>,
    /// Those that somebody keeps from coming by taking care of the incident.
    pub asleep: BTreeMap<(IncidentId, u32), Escalation>,
    /// How many steps each escalation has had.
    had: BTreeMap<IncidentId, u32>,
    /// For which delivery which channels stood in.
    stand_ins: BTreeMap<DeliveryId, Vec<String>>,
    /// Which must be there at the end of this batch.
    must_stand_in: Vec<(DeliveryId, String)>,
    /// Which channels must hear of an end, at the end of this batch, and of what they were told.
    pub must_close: BTreeMap<(IncidentId, String), BTreeSet<DeliveryId>>,
}

impl Ledger {
    /// Somebody acknowledged or resolved an incident, or gave it back: what is still to come comes again.
    pub(crate) fn state_changed(&mut self, at: Timestamp, change: &StateChanged) {
        let StateChanged { incident, state, by, .. } = change.clone();
        self.acks_changed(change);
        self.changes.insert(by);
        if state == State::Open {
            let woken = self.follow.asleep.extract_if(.., |(of, _), _| *of == incident);
            let woken: Vec<_> = woken.filter(|(_, step)| step.due > at).collect();
            self.follow.steps.extend(woken);
            return;
        }
        let stopped: Vec<_> = self.follow.steps.extract_if(.., |(of, _), _| *of == incident).collect();
        self.follow.asleep.extend(stopped);
        if state == State::Resolved {
            self.follow.asleep.retain(|(of, _), _| *of != incident);
            self.follow.had.remove(&incident);
            self.matter_ended(incident);
        }
        if state != State::Resolved || !self.follow.resolved.insert(incident) {
            return;
        }
        for id in self.by_incident.get(&incident).into_iter().flatten() {
            let course = &self.courses[id];
            let policy = self.lanes.get(&course.channel).and_then(|lane| lane.policy.as_ref());
            if course.opens() && policy.is_some_and(|policy| policy.follows_up) && (course.delivered || !course.ended) {
                self.follow.must_close.entry((incident, course.channel.clone())).or_default().insert(*id);
            }
        }
    }

    /// More deliveries follow.
    pub(crate) fn followed_up(&mut self, at: Timestamp, followed: &FollowedUp, moment: Moment) {
        let id = followed.incident;
        let known = self.routed.contains(&id);
        let said = !followed.because.is_empty();
        self.demand(known && said, || format!("{followed:?} without a reason, or before it was routed"));
        match &followed.cause {
            FollowUp::Resolved => self.closed(followed),
            FollowUp::Acknowledgement(acknowledgement) => self.told_of_ack(followed, acknowledgement),
            FollowUp::Escalated(step) => self.escalated(at, followed, *step),
            FollowUp::Fallback { delivery, step, channel } => self.stood_in(followed, *delivery, (*step, channel)),
            FollowUp::Repeated(repeats) => {
                self.told_again(at, followed, repeats);
                self.escalates(id, &followed.escalations);
            }
        }
        for planned in &followed.deliveries {
            self.planned(at, (id, followed.accepted_at, followed.severity), planned, moment);
        }
    }

    /// Steps of an escalation are decided on, after those that there were.
    pub(crate) fn escalates(&mut self, incident: IncidentId, steps: &[Escalation]) {
        let had = self.follow.had.entry(incident).or_default();
        for asked in steps {
            self.follow.steps.insert((incident, *had), asked.clone());
            *had += 1;
        }
    }

    fn closed(&mut self, followed: &FollowedUp) {
        let id = followed.incident;
        for planned in &followed.deliveries {
            self.follow.must_close.remove(&(id, planned.channel.clone()));
            self.check_id(id, planned, Reason::Resolved, "resolved");
            let opens = |other: &&DeliveryId| {
                let other = &self.courses[*other];
                other.channel == planned.channel && other.opens() && !other.ended
            };
            let waits = |first: &DeliveryId| planned.behind == Some(*first) || planned.behind_also.contains(first);
            let overtaken = self.by_incident.get(&id).into_iter().flatten().filter(opens).find(|first| !waits(first));
            let fault = overtaken.map(|first| format!("{planned:?} may overtake {first}"));
            self.faults.extend(fault);
        }
        let over = self.follow.resolved.contains(&id);
        self.demand(over, || format!("{followed:?} of what nobody resolved"));
    }

    fn escalated(&mut self, at: Timestamp, followed: &FollowedUp, step: u32) {
        let id = followed.incident;
        let Some(Escalation { due, to, .. }) = self.follow.steps.remove(&(id, step)) else {
            return self.faults.push(format!("{followed:?}, which nobody planned, or after somebody acted"));
        };
        let known = to.iter().filter(|name| self.lanes.get(*name).is_some_and(|lane| lane.policy.is_some()));
        let same = known.eq(followed.deliveries.iter().map(|planned| &planned.channel));
        self.demand(due <= at && same, || format!("{followed:?} at {at}, but it was due at {due} for {to:?}"));
        for planned in &followed.deliveries {
            self.check_id(id, planned, Reason::Escalated, &format!("escalated-{step}"));
        }
    }

    fn stood_in(&mut self, followed: &FollowedUp, delivery: DeliveryId, (step, target): (u32, &String)) {
        let Some(course) = self.courses.get(&delivery) else {
            return self.faults.push(format!("{followed:?}, but that was never decided on"));
        };
        let channel = course.channel.clone();
        let arrived = course.delivered;
        let names = |planned: &Planned| planned.stands_in_for.as_ref() == Some(&channel);
        let policy = self.lanes.get(&channel).and_then(|lane| lane.policy.as_ref());
        let fallback = policy.and_then(|policy| policy.fallback.get(step as usize)).map(|step| step.channel.clone());
        let is_over = self.follow.resolved.contains(&followed.incident);
        let is_close = course.reason == Reason::Resolved;
        // A note is for the channel that keeps it.
        let is_note = course.reason == Reason::Acked;
        let fits = match &followed.deliveries[..] {
            [planned] => {
                let reads = (planned.reason == Reason::Resolved) == is_close;
                names(planned) && *target == planned.channel && reads && is_over == is_close
            }
            // What is over is not told of any more; its end is, where it was.
            [] => is_over || is_note,
            _ => false,
        };
        let first = !self.has_stand_in(delivery, target);
        self.follow.stand_ins.entry(delivery).or_default().push(target.clone());
        self.demand(first, || format!("{target} takes {delivery} of {channel} twice"));
        let fits = fits && fallback.as_ref() == Some(target);
        self.demand(fits && !arrived, || format!("{followed:?} is not what {channel} wants: {fallback:?}"));
        for planned in &followed.deliveries {
            self.check_id(followed.incident, planned, planned.reason, &format!("fallback\n{delivery}"));
        }
    }

    /// A delivery is decided on once more: others may stand in once more.
    pub(crate) fn comes_again(&mut self, delivery: DeliveryId) {
        self.follow.stand_ins.remove(&delivery);
    }

    fn has_stand_in(&self, delivery: DeliveryId, target: &str) -> bool {
        self.follow.stand_ins.get(&delivery).is_some_and(|targets| targets.iter().any(|taken| taken == target))
    }

    fn check_id(&mut self, incident: IncidentId, planned: &Planned, reason: Reason, words: &str) {
        let expected = DeliveryId::derive(incident, words, &planned.channel);
        let fits = planned.delivery == expected && planned.reason == reason;
        self.demand(fits, || format!("{planned:?} of {incident} should be {reason:?} under {expected}"));
    }

    /// A delivery was given up: what is there for that steps in at once.
    pub(crate) fn needs_stand_in(&mut self, delivery: DeliveryId, channel: &str, cause: Cause) {
        let Some(lane) = self.lanes.get(channel) else { return };
        let steps = lane.steps(|on| takes_given_up(on, cause));
        self.follow.must_stand_in.extend(steps.into_iter().map(|(target, _)| (delivery, target)));
    }

    /// Something that should have followed by now.
    pub(crate) fn overdue(&self, at: Timestamp) -> Option<String> {
        self.overdue_step(at)
            .or_else(|| self.overdue_end(at))
            .or_else(|| self.lanes.keys().find_map(|channel| self.overdue_stand_in(channel, at)))
    }

    fn overdue_step(&self, at: Timestamp) -> Option<String> {
        let step = self.follow.steps.iter().find(|(_, escalation)| escalation.due <= at);
        step.map(|((id, step), _)| format!("step {step} of the escalation of {id} has not come"))
    }

    fn overdue_stand_in(&self, channel: &str, at: Timestamp) -> Option<String> {
        let lane = &self.lanes[channel];
        let cause = lane.failing.filter(|_| lane.told_by.is_some())?;
        let steps = lane.steps(|on| takes_waiting(on, cause));
        if steps.is_empty() {
            return None;
        }
        // They are taken in the order of the decisions, also where the clock was set back between two of them.
        for (target, after) in steps {
            let waiting = lane.open.iter().filter(|(_, id)| !self.has_stand_in(*id, &target));
            let first = waiting.min_by_key(|(_, id)| self.courses[id].order);
            let after = SignedDuration::try_from(after).expect("hours at most");
            if let Some((_, id)) = first.filter(|(_, id)| self.courses[id].decided_at + after <= at) {
                return Some(format!("nothing stands in for {id}, which waits for {channel}"));
            }
        }
        None
    }

    /// What the records of one append must have brought.
    pub(crate) fn check_followed(&mut self, at: Timestamp) {
        for (delivery, target) in std::mem::take(&mut self.follow.must_stand_in) {
            let there = self.has_stand_in(delivery, &target);
            self.demand(there, || format!("{delivery} was given up, and {target} does not stand in"));
        }
        for ((incident, channel), told) in std::mem::take(&mut self.follow.must_close) {
            let all_called_off = told.iter().all(|id| self.called_off.contains(id));
            self.demand(all_called_off, || format!("{channel} does not hear that {incident} is over: {told:?}"));
        }
        self.check_acks();
        let fault = self.overdue_step(at);
        self.faults.extend(fault.map(|fault| format!("at {at}, {fault}")));
    }

    /// A message that closes comes after what it closes.
    pub(crate) fn check_closes(&mut self, closer: DeliveryId) {
        let course = &self.courses[&closer];
        if course.reason != Reason::Resolved || course.is_stand_in {
            return;
        }
        let others = self.by_incident[&course.incident].iter().map(|id| (id, &self.courses[id]));
        // The channel may have come to hear of ends since it was told.
        let opens = others.filter(|(_, other)| other.channel == course.channel && other.tells());
        let opened = opens.into_iter().any(|(_, other)| other.delivered);
        self.demand(opened, || format!("{closer} closes what was never opened"));
    }
}
