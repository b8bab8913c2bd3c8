//! The incidents that may still need another message: those whose channels want to hear of their end, and those that
//! escalate. Part of the engine's memory, and like all of it a function of the records.

use balefire_model::record::{Escalation, Planned, Routed, StateChanged};
use balefire_model::{Acknowledgement, DeliveryId, IncidentId, Position, Reason, Severity, State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// How long an incident is remembered that nobody resolves. Its end, when it comes later, is in the history and goes out
/// to nobody.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How many incidents are remembered; the oldest go first.
const COUNT_MAX: usize = 1_000_000;

/// Of how many incidents it is remembered that they are over, as long as deliveries wait or are dead; the oldest go first.
const OVER_MAX: usize = 100_000;

/// How many incidents are looked at for one answer about what nobody has acknowledged.
const LOOKED_AT_MAX: usize = 20_000;

/// Which incident, for a decision about its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub incident: IncidentId,
    pub accepted_at: Position,
    pub severity: Severity,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    pub about: About,
    /// What the channels that follow up were sent, in the order of the decisions.
    pub told: Box<[Told]>,
    /// What few incidents have: a million may be open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Box<Course>>,
}

/// What has become of an incident, and what is to come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The steps of its escalation, in order; those that came are kept for their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    /// Who has acknowledged it and when, as long as that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked: Option<(String, Timestamp)>,
    /// Where the journal stood when its state changed last.
    pub changed_at: Position,
}

/// A message that a later one may close.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub channel: Arc<str>,
    pub delivery: DeliveryId,
    /// `None` while it is on its way.
    pub arrived: Option<bool>,
    /// Where it stands, as [`balefire_model::Outcome::posted`] gave it: few kinds can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<Box<Box<str>>>,
    /// It tells of an acknowledgement: the last one that this channel was told of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_ack: bool,
}

/// An incident that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Over {
    /// Since when.
    pub since: Timestamp,
    /// The channels, by number, that hear so.
    pub closing: Vec<u32>,
}

impl Open {
    /// The steps of its escalation.
    pub(crate) fn escalations(&self) -> &[Escalation] {
        self.course.as_ref().map_or(&[], |course| &course.escalations)
    }

    /// Who has acknowledged it and when.
    pub(crate) fn acked(&self) -> Option<&(String, Timestamp)> {
        self.course.as_ref()?.acked.as_ref()
    }

    /// Where the journal stood when its state changed last.
    pub(crate) fn changed_at(&self) -> Position {
        self.course.as_ref().map_or(Position(0), |course| course.changed_at)
    }

    fn course(&mut self) -> &mut Course {
        self.course.get_or_insert_default()
    }

    /// The channels that were told of it, or will be, each once.
    pub(crate) fn heard(&self) -> impl Iterator<Item = &str> {
        let heard = |told: &&Told| told.arrived != Some(false);
        let channels = self.told.iter().filter(heard).map(|told| &*told.channel);
        let is_first = move |(place, channel): &(usize, &str)| {
            !self.told.iter().filter(heard).take(*place).any(|before| *before.channel == **channel)
        };
        channels.enumerate().filter(is_first).map(|(_, channel)| channel)
    }
}

impl Open {
    /// Whether a channel was told of it and holds it for open, and so do we.
    pub(crate) fn is_unacknowledged(&self, channel: &str) -> bool {
        let told = || self.told.iter().filter(|told| *told.channel == *channel);
        let has_arrived = told().any(|told| told.arrived == Some(true));
        self.acked().is_none() && has_arrived && !told().any(|told| told.arrived.is_none())
    }

    /// What has become of its acknowledgement since it was like this.
    pub(crate) fn acknowledgement_since(&self, before: &Open) -> Option<Acknowledgement> {
        match (before.acked(), self.acked()) {
            (None, Some((by, at))) => Some(Acknowledgement::Given { by: by.clone(), at: *at }),
            (Some((of, _)), None) => Some(Acknowledgement::TakenBack { of: of.clone() }),
            _ => None,
        }
    }
}

/// Whether a message for this reason tells of something whose end there is to tell.
pub(crate) fn opens(reason: Reason) -> bool {
    !matches!(reason, Reason::Acked | Reason::Resolved | Reason::Test)
}

/// How many messages of one incident are remembered, beside those that are on their way and the first that arrived on each
/// channel: an incident may come again for weeks.
const TOLD_MAX: usize = 64;

/// Forgets the oldest message of those that a later one need not know of to close what was told.
fn forget_surplus(told: &mut Vec<Told>) {
    let is_surplus = |place: usize| {
        let told_here = &told[place];
        let arrived_before = || {
            told[..place]
                .iter()
                .any(|before| before.channel == told_here.channel && !before.is_ack && before.arrived == Some(true))
        };
        match told_here.arrived {
            None => false,
            Some(true) => arrived_before(),
            Some(false) => true,
        }
    };
    if told.len() > TOLD_MAX
        && let Some(place) = (0..told.len()).find(|place| is_surplus(*place))
    {
        told.remove(place);
    }
}

/// All of them, by id, which is by time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opens {
    /// Each in a place of its own: the nodes of a tree that grows at its end are half empty.
    incidents: BTreeMap<IncidentId, Box<Open>>,
    /// Those that are over.
    over: BTreeMap<IncidentId, Over>,
    /// The channels' names, each once.
    names: BTreeSet<Arc<str>>,
    /// The steps to come.
    due: BTreeSet<(Timestamp, IncidentId, u32)>,
}

impl Opens {
    pub(crate) fn get(&self, incident: IncidentId) -> Option<&Open> {
        self.incidents.get(&incident).map(|open| &**open)
    }

    pub(crate) fn len(&self) -> usize {
        self.incidents.len()
    }

    /// The next step of an escalation.
    pub(crate) fn next_due(&self) -> Option<(Timestamp, IncidentId, u32)> {
        self.due.first().copied()
    }

    /// What is known of its end; `None` unless it is over.
    pub(crate) fn end(&self, incident: IncidentId) -> Option<&Over> {
        self.over.get(&incident)
    }

    /// A channel hears of an incident's end.
    pub(crate) fn closes(&mut self, incident: IncidentId, channel: u32) {
        self.over.entry(incident).and_modify(|over| over.closing.push(channel));
    }

    pub(crate) fn over(&self) -> impl Iterator<Item = (IncidentId, Over)> + '_ {
        self.over.iter().map(|(incident, over)| (*incident, over.clone()))
    }

    pub(crate) fn restore_over(&mut self, incident: IncidentId, over: Over) {
        self.over.insert(incident, over);
    }

    /// What is to come comes so much earlier.
    pub(crate) fn set_back(&mut self, earlier: impl Fn(Timestamp) -> Timestamp) {
        self.due = self.due.iter().map(|(due, incident, step)| (earlier(*due), *incident, *step)).collect();
        let courses = self.incidents.values_mut().filter_map(|open| open.course.as_mut());
        let escalations = courses.flat_map(|course| &mut course.escalations);
        escalations.for_each(|escalation| escalation.due = earlier(escalation.due));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.incidents.values().map(|open| &**open)
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = (Timestamp, IncidentId, u32)> + '_ {
        self.due.iter().copied()
    }

    /// Takes an incident back from a snapshot.
    pub(crate) fn restore(&mut self, mut open: Open) {
        open.told.iter_mut().for_each(|told| told.channel = self.name(&told.channel));
        self.incidents.insert(open.about.incident, Box::new(open));
    }

    pub(crate) fn restore_step(&mut self, step: (Timestamp, IncidentId, u32)) {
        self.due.insert(step);
    }

    pub(crate) fn routed(&mut self, at: Timestamp, about: &About, routed: &Routed) {
        for planned in &routed.deliveries {
            self.planned(about, planned);
        }
        if !routed.escalations.is_empty() {
            let open = self.entry(about);
            open.course().escalations = routed.escalations.clone();
            let steps = (0..).zip(&routed.escalations).map(|(step, escalation)| (escalation.due, about.incident, step));
            self.due.extend(steps);
        }
        self.forget_oldest(at);
    }

    /// Remembers what a channel is sent that wants to hear of the end.
    pub(crate) fn planned(&mut self, about: &About, planned: &Planned) {
        let is_ack = planned.reason == Reason::Acked;
        if !planned.follows_up || !(is_ack || opens(planned.reason)) {
            return;
        }
        let channel = self.name(&planned.channel);
        let told = Told { channel, delivery: planned.delivery, arrived: None, posted: None, is_ack };
        let open = self.entry(about);
        // The one before is among what this one waits for.
        let stays = |other: &Told| !(is_ack && other.is_ack && other.channel == told.channel);
        // One message is the rule, and a million incidents may be open.
        let before = std::mem::take(&mut open.told).into_iter().filter(stays);
        let mut all: Vec<Told> = before.chain([told.clone()]).collect();
        forget_surplus(&mut all);
        open.told = all.into();
    }

    /// Takes note of who acknowledges an incident, or that it is taken back. The first one stays whose it is.
    pub(crate) fn acknowledged(&mut self, at: Timestamp, position: Position, change: &StateChanged) {
        let Some(open) = self.incidents.get_mut(&change.incident) else { return };
        let course = open.course();
        course.changed_at = position;
        match change.state {
            State::Open => course.acked = None,
            State::Acked if course.acked.is_none() => {
                course.acked = Some((Acknowledgement::name(&change.by), at));
            }
            State::Acked | State::Resolved => {}
        }
    }

    /// What nobody has acknowledged, as far as is known, and a channel was told of: up to half of `limit` the newest, as
    /// many again from before `before`, and where the next answer goes on.
    pub(crate) fn unacknowledged(
        &self,
        channel: &str,
        before: Option<IncidentId>,
        limit: usize,
    ) -> (Vec<IncidentId>, Option<IncidentId>) {
        let (mut found, reached) = self.look(channel, None, limit / 2);
        let Some(reached) = reached else { return (found, None) };
        let from = before.map_or(reached, |before| before.min(reached));
        let (older, next) = self.look(channel, Some(from), limit / 2);
        found.extend(older);
        (found, next)
    }

    /// The same from before one of them, and the last that was looked at; `None` where there is none left.
    fn look(&self, channel: &str, before: Option<IncidentId>, limit: usize) -> (Vec<IncidentId>, Option<IncidentId>) {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        for (looked_at, (incident, open)) in self.incidents.range((Bound::Unbounded, end)).rev().enumerate() {
            if open.is_unacknowledged(channel) {
                found.push(*incident);
            }
            if found.len() >= limit || looked_at >= LOOKED_AT_MAX {
                return (found, Some(*incident));
            }
        }
        (found, None)
    }

    /// It came again: what is worse stands for it from now on. Further steps of its escalation come after those that it has.
    pub(crate) fn came_again(&mut self, about: &About, further: &[Escalation]) {
        let known = self.incidents.get_mut(&about.incident);
        if let Some(open) = known.filter(|open| open.about.severity < about.severity) {
            open.about = *about;
        }
        if further.is_empty() {
            return;
        }
        let open = self.entry(about);
        let first = u32::try_from(open.escalations().len()).expect("steps are few");
        open.course().escalations.extend_from_slice(further);
        let steps = (first..).zip(further).map(|(step, escalation)| (escalation.due, about.incident, step));
        self.due.extend(steps);
    }

    pub(crate) fn ended(&mut self, incident: IncidentId, delivery: DeliveryId, arrived: bool) {
        let Some(open) = self.incidents.get_mut(&incident) else { return };
        for told in open.told.iter_mut().filter(|told| told.delivery == delivery) {
            told.arrived = Some(arrived);
        }
    }

    /// Where a message stands that has arrived.
    pub(crate) fn posted(&mut self, incident: IncidentId, delivery: DeliveryId, posted: &str) {
        let Some(open) = self.incidents.get_mut(&incident) else { return };
        for told in open.told.iter_mut().filter(|told| told.delivery == delivery) {
            told.posted = Some(Box::new(posted.into()));
        }
    }

    /// The last message to a channel of who takes care of an incident.
    pub(crate) fn newest_note(&self, incident: IncidentId, channel: &str) -> Option<DeliveryId> {
        let told = &self.incidents.get(&incident)?.told;
        told.iter().rev().find(|told| told.is_ack && *told.channel == *channel).map(|told| told.delivery)
    }

    /// What was given up is on its way again.
    pub(crate) fn tried_again(&mut self, incident: IncidentId, delivery: DeliveryId) {
        let Some(open) = self.incidents.get_mut(&incident) else { return };
        for told in open.told.iter_mut().filter(|told| told.delivery == delivery) {
            told.arrived = None;
        }
    }

    pub(crate) fn escalated(&mut self, incident: IncidentId, step: u32) {
        let escalation = self.get(incident).and_then(|open| open.escalations().get(step as usize));
        if let Some(due) = escalation.map(|escalation| escalation.due) {
            self.due.remove(&(due, incident, step));
        }
    }

    /// Whoever acknowledges an incident ends its escalation; who resolves it, all that was to come. `matters`: something
    /// waits or is dead that may be about it.
    pub(crate) fn changed(&mut self, at: Timestamp, change: &StateChanged, matters: bool) {
        match change.state {
            _ if !matters => self.over.clear(),
            // Over is over, also for who takes note of it later.
            State::Open | State::Acked => {}
            State::Resolved => {
                self.over.insert(change.incident, Over { since: at, closing: Vec::new() });
            }
        }
        if self.over.len() > OVER_MAX {
            self.over.pop_first();
        }
        let Some(open) = self.incidents.get(&change.incident) else { return };
        if change.state == State::Open {
            // Nobody takes care of it any more. What would have been due meanwhile is not made up for.
            let steps = (0..).zip(open.escalations()).filter(|(_, escalation)| escalation.due > at);
            self.due.extend(steps.map(|(step, escalation)| (escalation.due, change.incident, step)));
            return;
        }
        for (step, escalation) in (0..).zip(open.escalations()) {
            self.due.remove(&(escalation.due, change.incident, step));
        }
        if change.state == State::Resolved {
            self.incidents.remove(&change.incident);
        }
    }

    fn name(&mut self, channel: &str) -> Arc<str> {
        if let Some(name) = self.names.get(channel) {
            return name.clone();
        }
        let name: Arc<str> = channel.into();
        self.names.insert(name.clone());
        name
    }

    fn entry(&mut self, about: &About) -> &mut Open {
        let new = || Box::new(Open { about: *about, told: Box::default(), course: None });
        self.incidents.entry(about.incident).or_insert_with(new)
    }

    fn forget_oldest(&mut self, at: Timestamp) {
        let first_kept = at.checked_sub(AGE_MAX).map_or(0, |time| u64::try_from(time.as_millisecond()).unwrap_or(0));
        while let Some(oldest) = self.incidents.first_entry() {
            if oldest.key().unix_ms() >= first_kept && self.incidents.len() <= COUNT_MAX {
                return;
            }
            let (id, open) = self.incidents.pop_first().expect("there is a first one");
            for (step, escalation) in (0..).zip(open.escalations()) {
                self.due.remove(&(escalation.due, id, step));
            }
        }
    }
}
