//! Repeats: what is known again is counted and told of once more in time, and what is over is over. Decides what an incident
//! is to those before it; what was decided before is in the records.

use crate::engine::{Effects, Engine};
use crate::follow::repeated;
use crate::health::OWN_SOURCE;
use crate::retry::later;
use balefire_model::id::matter;
use balefire_model::record::{Escalation, FollowUp, FollowedUp, Planned, RepeatOf, Routed, Sighting, StateChanged};
use balefire_model::{Fingerprint, Incident, IncidentId, Position, Reason, Record, Repeats, Severity, State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use uuid::Uuid;

/// How many incidents are remembered to be known again. The one that was not seen for longest goes first: a repeat of it
/// is a new incident then.
const REMEMBERED_MAX: usize = 50_000;

/// How the names of rules begin by which watchers of audit logging find something, in `detected_by`.
pub const WATCH_RULE: &str = "watch.";

/// How many of those that may be meant are looked at for one incident.
const LOOKED_AT_MAX: usize = 64;

/// How many incidents one event ends at most, and how many are ended in one step because of their age.
const ENDED_MAX: usize = 256;

/// What came first so long ago is told anew: the ends of older incidents go out to nobody.
const FIRST_AGE_MAX: SignedDuration = SignedDuration::from_hours(29 * 24);

/// What the configuration says of repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupSettings {
    /// How long after it was last seen an incident is known again; `None`: every incident is a new one.
    pub window: Option<Duration>,
    /// How old the last message about it is when a repeat is told of.
    pub realert_after: Duration,
    /// After how long without a repeat it is over.
    pub resolve_after: Option<Duration>,
}

impl Default for DedupSettings {
    fn default() -> DedupSettings {
        let hour = Duration::from_secs(3600);
        DedupSettings { window: Some(hour), realert_after: hour, resolve_after: None }
    }
}

/// An incident that may come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub first: IncidentId,
    /// Where its record stands: which of two with one fingerprint came later.
    at: Position,
    matter: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<Uuid>,
    /// How often it has come again.
    repeats: u64,
    last_seen: Timestamp,
    /// When somebody was last told of it, and as what.
    told: Option<(Timestamp, Severity)>,
    /// The repeat of which the last message told, where that was not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_as: Option<IncidentId>,
}

impl Seen {
    fn known(&self) -> Known {
        (self.own, self.at, self.first)
    }
}

/// One of a matter: its sender's identifier, where its record stands, and which it is.
type Known = (Option<Uuid>, Position, IncidentId);

/// Those of one matter. Most are alone, and need no tree; the table has room for twice as many as there are, so that small
/// entries count.
#[derive(Clone, Debug)]
enum Alike {
    One(IncidentId),
    #[expect(clippy::box_collection, reason = "it is rare, and must not make room for itself where there is one")]
    Many(Box<BTreeSet<Known>>),
}

impl Alike {
    /// Takes another one in; `known` tells of one that is there.
    fn insert(&mut self, one: Known, known: impl FnOnce(IncidentId) -> Known) {
        match self {
            Alike::One(other) => *self = Alike::Many(Box::new(BTreeSet::from([known(*other), one]))),
            Alike::Many(many) => {
                many.insert(one);
            }
        }
    }

    /// Whether none is left.
    fn remove(&mut self, known: Known) -> bool {
        match self {
            Alike::One(_) => true,
            Alike::Many(many) => {
                many.remove(&known);
                many.is_empty()
            }
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matters {
    /// Each in a place of its own, as in [`crate::open::Opens`].
    incidents: BTreeMap<IncidentId, Box<Seen>>,
    /// Those of one matter, by their senders' identifiers, the earlier first. Asked for one matter at a time: the order of
    /// the table itself shows nowhere. A tree of these keys cost a twelfth of all the time of a flood.
    by_matter: HashMap<Uuid, Alike>,
    by_age: BTreeSet<(Timestamp, IncidentId)>,
}

impl Matters {
    pub(crate) fn get(&self, first: IncidentId) -> Option<&Seen> {
        self.incidents.get(&first).map(|seen| &**seen)
    }

    pub(crate) fn len(&self) -> usize {
        self.incidents.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.incidents.values().map(|seen| &**seen)
    }

    pub(crate) fn restore(&mut self, seen: Seen) {
        match self.by_matter.entry(seen.matter) {
            Entry::Occupied(mut alike) => {
                alike.get_mut().insert(seen.known(), |other| self.incidents[&other].known());
            }
            Entry::Vacant(place) => {
                place.insert(Alike::One(seen.first));
            }
        }
        self.by_age.insert((seen.last_seen, seen.first));
        self.incidents.insert(seen.first, Box::new(seen));
    }

    pub(crate) fn forget(&mut self, first: IncidentId) {
        let Some(seen) = self.incidents.remove(&first) else { return };
        if let Entry::Occupied(mut alike) = self.by_matter.entry(seen.matter)
            && alike.get_mut().remove(seen.known())
        {
            alike.remove();
        }
        self.by_age.remove(&(seen.last_seen, first));
    }

    /// Takes note of an incident that came.
    pub(crate) fn routed(&mut self, at: Timestamp, routed: &Routed) {
        let Some(Sighting { matter, own, repeat, says_over: false, is_told, .. }) = &routed.sighting else { return };
        if let Some(RepeatOf { of, number }) = repeat {
            let Some(seen) = self.incidents.get_mut(of) else { return };
            self.by_age.remove(&(seen.last_seen, *of));
            self.by_age.insert((at, *of));
            (seen.repeats, seen.last_seen) = (*number, at);
            return;
        }
        let told = is_told.then_some((at, routed.severity));
        let (first, at_position, matter, own) = (routed.incident, routed.accepted_at, *matter, *own);
        self.restore(Seen { first, at: at_position, matter, own, repeats: 0, last_seen: at, told, told_as: None });
        if self.incidents.len() > REMEMBERED_MAX
            && let Some((_, oldest)) = self.by_age.first().copied()
        {
            self.forget(oldest);
        }
    }

    /// Takes note that somebody is told of it again.
    pub(crate) fn told(&mut self, at: Timestamp, followed: &FollowedUp, last: IncidentId) {
        if let Some(seen) = self.incidents.get_mut(&followed.incident) {
            seen.told = Some((at, followed.severity));
            seen.told_as = Some(last);
        }
    }

    pub(crate) fn set_back(&mut self, earlier: impl Fn(Timestamp) -> Timestamp) {
        self.by_age = self.by_age.iter().map(|(seen, first)| (earlier(*seen), *first)).collect();
        for seen in self.incidents.values_mut() {
            seen.last_seen = earlier(seen.last_seen);
            seen.told = seen.told.map(|(at, severity)| (earlier(at), severity));
        }
    }

    /// When the incident that was not seen for longest is over.
    pub(crate) fn over_at(&self, after: Option<Duration>) -> Option<Timestamp> {
        let (seen, _) = self.by_age.first()?;
        Some(later(*seen, after?))
    }

    /// Those that an incident may be about, the latest first. Different identifiers of their senders make different
    /// incidents; none at all makes no difference.
    fn candidates(&self, matter: Uuid, own: Option<Uuid>) -> impl Iterator<Item = &Seen> {
        let alike = self.by_matter.get(&matter);
        let between = |from: Option<Uuid>, to: Option<Uuid>| self.between(alike, (from, to));
        let named = between(own.or(Some(Uuid::nil())), own.or(Some(Uuid::max())));
        let nameless = between(None, None);
        // Who has no identifier is rather one of those that have none.
        let (before, after) = if own.is_some() { (named, nameless) } else { (nameless, named) };
        before.rev().chain(after.rev())
    }

    /// Those with an identifier from one to the other, the earlier first.
    fn between(
        &self,
        alike: Option<&Alike>,
        (from, to): (Option<Uuid>, Option<Uuid>),
    ) -> impl DoubleEndedIterator<Item = &Seen> {
        let (nil, max) = (IncidentId(Uuid::nil()), IncidentId(Uuid::max()));
        let (one, many) = match alike {
            None => (None, None),
            Some(Alike::One(first)) => {
                (Some(first).filter(|first| (from..=to).contains(&self.incidents[first].own)), None)
            }
            Some(Alike::Many(many)) => {
                (None, Some(many.range((from, Position(0), nil)..=(to, Position(u64::MAX), max))))
            }
        };
        let many = many.into_iter().flatten().map(|(.., first)| first);
        one.into_iter().chain(many).map(|first| &*self.incidents[first])
    }
}

/// What follows on an incident's routing.
pub(crate) enum Follows {
    /// It is told of once more.
    Told {
        /// How.
        followed: Box<FollowedUp>,
        /// It is worse than the last message about it said.
        is_worse: bool,
    },
    /// These are over.
    Over(Vec<IncidentId>),
}

impl Engine {
    /// Finds out whether an incident is a repeat, or tells that something is over; takes it from those who need not hear of
    /// it, then.
    pub(crate) fn recognise(
        &self,
        now: Timestamp,
        dedup: &DedupSettings,
        incident: &Incident,
        routed: &mut Routed,
    ) -> Option<Follows> {
        let window = dedup.window?;
        let is_test = routed.deliveries.iter().any(|planned| planned.reason == Reason::Test);
        if is_test || incident.run.is_some() || is_own(incident) {
            return None;
        }
        let own = incident.incident_id.as_deref().map(matter);
        let mut sighting = Sighting {
            matter: matter_of(incident),
            own,
            repeat: None,
            says_over: incident.says_over(),
            is_told: false,
            because: String::new(),
        };
        if sighting.says_over {
            let open: Vec<IncidentId> =
                self.state.matters.candidates(sighting.matter, own).take(ENDED_MAX).map(|seen| seen.first).collect();
            let says = match &open[..] {
                [] => "it says that something is over, and nothing with its fingerprint is open".to_owned(),
                [first] => format!("it says that incident {first} is over"),
                [first, ..] => format!("it says that incident {first} and {} more are over", open.len() - 1),
            };
            self.keep_for_archives(routed, &mut sighting, open.first().copied(), says);
            routed.escalations.clear();
            routed.sighting = Some(sighting);
            return Some(Follows::Over(open));
        }
        let is_known = |seen: &&Seen| {
            later(seen.last_seen, window) > now && now.duration_since(seen.first.received_at()) < FIRST_AGE_MAX
        };
        let known = self.state.matters.candidates(sighting.matter, own).take(LOOKED_AT_MAX).find(is_known);
        let Some(seen) = known else {
            sighting.is_told = routed.deliveries.iter().any(|planned| !self.hears_repeats(&planned.channel));
            routed.sighting = Some(sighting);
            return None;
        };
        self.repeat(now, dedup.realert_after, (seen, incident), (routed, sighting))
    }

    /// What becomes of a repeat.
    fn repeat(
        &self,
        now: Timestamp,
        realert_after: Duration,
        (seen, incident): (&Seen, &Incident),
        (routed, mut sighting): (&mut Routed, Sighting),
    ) -> Option<Follows> {
        let number = seen.repeats + 1;
        let (first, since) = (seen.first, seen.first.received_at());
        sighting.repeat = Some(RepeatOf { of: first, number });
        let has_new_cui = incident.cui_involved && !self.state.told_cui.has(first);
        let is_worse = has_new_cui || seen.told.is_none_or(|(_, told)| incident.severity > told);
        let next = seen.told.map_or(now, |(at, _)| later(at, realert_after));
        let people = routed.deliveries.iter().map(|planned| &planned.channel);
        let people: Vec<String> = people.filter(|channel| !self.hears_repeats(channel)).cloned().collect();
        let escalations = std::mem::take(&mut routed.escalations);
        let is_told = !people.is_empty() && (is_worse || next <= now);
        let because = match (&routed.history_only, &seen.told) {
            _ if is_told => "told again".to_owned(),
            (Some(nobody), _) => nobody.clone(),
            (None, Some((_, told))) if !people.is_empty() => {
                format!("next message not before {next:.0}, unless it is worse than {told}")
            }
            (None, _) => "only archives are to hear of it".to_owned(),
        };
        let because = format!("repeat {number} of incident {first}, first seen {since:.0}; {because}");
        self.keep_for_archives(routed, &mut sighting, Some(first), because);
        routed.sighting = Some(sighting);
        let repeats = Repeats { count: number + 1, since, last: incident.id };
        let escalations = if is_worse { escalations } else { Vec::new() };
        is_told.then(|| {
            let followed = Box::new(self.tell_again((first, repeats), routed, (people, escalations)));
            Follows::Told { followed, is_worse }
        })
    }

    /// A message about the first incident under the text of the last one.
    fn tell_again(
        &self,
        (first, repeats): (IncidentId, Repeats),
        routed: &Routed,
        (people, escalations): (Vec<String>, Vec<Escalation>),
    ) -> FollowedUp {
        let plan = |channel: String| {
            let delivery = repeated(first, repeats.last, &channel);
            Planned { delivery, ..self.plan_of(first, Reason::Repeated, channel) }
        };
        let Repeats { count, since, last } = repeats;
        FollowedUp {
            incident: first,
            accepted_at: routed.accepted_at,
            severity: routed.severity,
            cui_involved: routed.cui_involved,
            cause: FollowUp::Repeated(repeats),
            because: format!("seen {count} times since {since:.0}, the last time as {last} ({})", routed.severity),
            deliveries: people.into_iter().map(plan).collect(),
            escalations,
        }
    }

    /// Only archives hear of it, as of something that belongs to another incident; the words say why.
    fn keep_for_archives(
        &self,
        routed: &mut Routed,
        sighting: &mut Sighting,
        belongs_to: Option<IncidentId>,
        because: String,
    ) {
        routed.deliveries.retain(|planned| self.hears_repeats(&planned.channel));
        for planned in &mut routed.deliveries {
            // What ends is the first one.
            planned.follows_up = false;
            let keeps_acks = self.settings.channels.get(&planned.channel).is_some_and(|policy| policy.hears_acks);
            planned.repeat_of = belongs_to.filter(|_| keeps_acks);
        }
        if routed.deliveries.is_empty() {
            routed.history_only = Some(because);
        } else {
            sighting.because = because;
        }
    }

    fn hears_repeats(&self, channel: &str) -> bool {
        self.settings.channels.get(channel).is_some_and(|policy| policy.repeats)
    }

    /// Whether an incident is a matter of its own to whoever must report it: no repeat, unless that is worse than what was
    /// told and nobody watches the first one.
    pub(crate) fn is_new_matter(&self, routed: &Routed, follows: Option<&Follows>) -> bool {
        match follows {
            None => routed.sighting.as_ref().is_none_or(|sighting| sighting.repeat.is_none()),
            Some(Follows::Told { followed, is_worse }) => {
                *is_worse && !self.state.reports.is_watched(followed.incident)
            }
            Some(Follows::Over(_)) => false,
        }
    }

    /// Does what follows on an incident that is in.
    pub(crate) fn follow_sighting(
        &mut self,
        now: Timestamp,
        (incident, source): (IncidentId, &str),
        follows: Follows,
        effects: &mut Effects,
    ) {
        let open = match follows {
            Follows::Told { followed, .. } => return self.tell_more(now, *followed, effects),
            Follows::Over(open) => open,
        };
        let change =
            |incident, comment| StateChanged { incident, state: State::Resolved, by: source.to_owned(), comment };
        for first in open {
            self.change(now, change(first, format!("incident {incident} says so")), effects);
        }
        // What says that something is over is itself nothing to take care of.
        let own = change(incident, "it says that something is over".to_owned());
        self.record(now, Record::StateChanged(own), effects);
    }

    /// Ends what was not seen for too long.
    pub(crate) fn end_unseen(&mut self, now: Timestamp, effects: &mut Effects) {
        let Some(after) = self.settings.dedup.resolve_after else { return };
        for _ in 0..ENDED_MAX {
            let Some((seen, first)) = self.state.matters.by_age.first().copied() else { return };
            if later(seen, after) > now {
                return;
            }
            let comment =
                format!("not seen again for {:#}", SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX));
            let by = OWN_SOURCE.to_owned();
            self.change(now, StateChanged { incident: first, state: State::Resolved, by, comment }, effects);
        }
    }
}

/// Whether it is of our own making: those are told each time, but for what watchers of audit logging find.
fn is_own(incident: &Incident) -> bool {
    (incident.source == OWN_SOURCE && !incident.detected_by.starts_with(WATCH_RULE))
        || incident.detected_by.starts_with("balefire.")
}

/// What an incident is about. What a watcher finds is another matter than anything that a sender can name: nobody ends or
/// hides it by sending its fingerprint.
fn matter_of(incident: &Incident) -> Uuid {
    let Fingerprint(fingerprint) = &incident.fingerprint;
    if incident.source == OWN_SOURCE { matter(&format!("{OWN_SOURCE}\n{fingerprint}")) } else { matter(fingerprint) }
}
