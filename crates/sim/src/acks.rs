//! The checker's part for acknowledgements: every channel that keeps a note of them and was told of the incident hears who has
//! acknowledged it and that it was taken back, once and after that; nobody hears of what is not so.

use crate::ledger::Ledger;
use balefire_model::record::{FollowedUp, StateChanged};
use balefire_model::{Acknowledgement, DeliveryId, IncidentId, Reason, State};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// Who has acknowledged what.
    by: BTreeMap<IncidentId, String>,
    /// Whose acknowledgement was taken back last.
    taken_back: BTreeMap<IncidentId, String>,
    /// How often channels were told so.
    pub(crate) told_back: u64,
    /// Which channels have a note of it: they heard so, or it came from there.
    noted: BTreeSet<(IncidentId, String)>,
    /// Which channels must hear of it by the end of this batch, and of what they were told.
    must_hear: BTreeMap<(IncidentId, String), BTreeSet<DeliveryId>>,
}

impl Ledger {
    /// Whether a message about an incident has arrived at a channel.
    pub(crate) fn has_arrived(&self, incident: IncidentId, channel: &str) -> bool {
        let courses = self.by_incident.get(&incident).into_iter().flatten().map(|id| &self.courses[id]);
        courses.into_iter().any(|course| course.channel == channel && course.delivered)
    }

    /// What somebody takes care of, and is not over.
    pub(crate) fn acknowledged(&self) -> Vec<IncidentId> {
        self.acks.by.keys().filter(|id| !self.follow.resolved.contains(id)).copied().collect()
    }

    /// Somebody has changed the state of an incident.
    pub(crate) fn acks_changed(&mut self, change: &StateChanged) {
        let is_acked = self.acks.by.contains_key(&change.incident);
        let is_news = match change.state {
            State::Open => is_acked,
            State::Acked => !is_acked,
            State::Resolved => false,
        };
        if !is_news || self.follow.resolved.contains(&change.incident) {
            return;
        }
        match self.acks.by.remove(&change.incident) {
            Some(of) => _ = self.acks.taken_back.insert(change.incident, of),
            None => _ = self.acks.by.insert(change.incident, change.by.clone()),
        }
        // Who has noted it himself, on all that he has, need not hear so; who has no note need not hear that it is taken back.
        let knows = |channel: &str| change.by == format!("all rows of {channel}");
        let has_note = |channel: &str| self.acks.noted.contains(&(change.incident, channel.to_owned()));
        let is_taken_back = change.state == State::Open;
        for id in self.by_incident.get(&change.incident).into_iter().flatten() {
            let course = &self.courses[id];
            let policy = self.lanes.get(&course.channel).and_then(|lane| lane.policy.as_ref());
            let keeps = policy.is_some_and(|policy| policy.hears_acks) && !knows(&course.channel);
            let keeps = keeps && (!is_taken_back || has_note(&course.channel));
            if keeps && course.opens() && (course.delivered || !course.ended) {
                let told = self.acks.must_hear.entry((change.incident, course.channel.clone())).or_default();
                told.insert(*id);
            }
        }
        if is_taken_back {
            self.acks.noted.retain(|(of, _)| *of != change.incident);
        } else if let Some(channel) = change.by.strip_prefix("all rows of ") {
            self.acks.noted.insert((change.incident, channel.to_owned()));
        }
    }

    /// Channels hear of it.
    pub(crate) fn told_of_ack(&mut self, followed: &FollowedUp, acknowledgement: &Acknowledgement) {
        let id = followed.incident;
        let is_true = match acknowledgement {
            Acknowledgement::Given { by, .. } => self.acks.by.get(&id) == Some(by),
            Acknowledgement::TakenBack { of } => {
                self.acks.told_back += 1;
                !self.acks.by.contains_key(&id) && self.acks.taken_back.get(&id) == Some(of)
            }
        };
        self.demand(is_true, || format!("{followed:?} of what is not so"));
        for planned in &followed.deliveries {
            let place = (id, planned.channel.clone());
            self.acks.must_hear.remove(&place);
            if matches!(acknowledgement, Acknowledgement::Given { .. }) {
                self.acks.noted.insert(place);
            }
            let keeps = self.lanes.get(&planned.channel).and_then(|lane| lane.policy.as_ref());
            let keeps = keeps.is_some_and(|policy| policy.hears_acks) && planned.reason == Reason::Acked;
            self.demand(keeps, || format!("{planned:?} to a channel that keeps no such note"));
            let opens = |other: &&DeliveryId| {
                let other = &self.courses[*other];
                other.channel == planned.channel && other.tells() && (other.delivered || !other.ended)
            };
            let told: Vec<DeliveryId> =
                self.by_incident.get(&id).into_iter().flatten().filter(opens).copied().collect();
            self.demand(!told.is_empty(), || format!("{planned:?} of {id}, of which its channel was not told"));
        }
    }

    /// What the records of one append must have brought.
    pub(crate) fn check_acks(&mut self) {
        for ((incident, channel), told) in std::mem::take(&mut self.acks.must_hear) {
            let all_called_off = told.iter().all(|id| self.called_off.contains(id));
            let is_over = self.follow.resolved.contains(&incident);
            self.demand(all_called_off || is_over, || {
                format!("{channel} does not hear who takes care of {incident}, or that nobody does: {told:?}")
            });
        }
    }
}
