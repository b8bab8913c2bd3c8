//! The checker's part for repeats: what is taken as one is one, of something that is open and was told of; what repeats for
//! long or gets worse is told again; what is over by an event or by age is over.

use crate::ledger::Ledger;
use balefire_engine::{DedupSettings, OWN_SOURCE, Settings};
use balefire_model::record::{FollowedUp, RepeatOf, Routed};
use balefire_model::{DeliveryId, Incident, IncidentId, Reason, Repeats, Severity};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What an incident says that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Matter {
    fingerprint: String,
    own: Option<String>,
    says_over: bool,
    cui_involved: bool,
}

impl Matter {
    /// Whether two incidents may be one.
    fn is(&self, other: &Matter) -> bool {
        let differ = self.own.is_some() && other.own.is_some() && self.own != other.own;
        self.fingerprint == other.fingerprint && !differ
    }
}

/// An incident that is open and may come again.
#[derive(Debug)]
struct Open {
    matter: Matter,
    repeats: u64,
    seen: Timestamp,
    told: Option<(Timestamp, Severity)>,
    /// Whether somebody was told that controlled information is involved.
    told_cui: bool,
}

/// A repeat that must be told of.
#[derive(Debug)]
struct MustTell {
    of: IncidentId,
    people: BTreeSet<String>,
    cui_involved: bool,
}

/// What is known of repeats.
#[derive(Debug, Default)]
pub(crate) struct Repeating {
    settings: DedupSettings,
    /// What routes say otherwise, by their names.
    by_route: BTreeMap<String, DedupSettings>,
    /// Those that repeats are looked for.
    matters: BTreeMap<IncidentId, Matter>,
    open: BTreeMap<IncidentId, Open>,
    /// Which repeats must be told of by the end of this batch, over which channels.
    must_tell: BTreeMap<IncidentId, MustTell>,
    /// Which incidents must be over by the end of this batch.
    must_end: BTreeSet<IncidentId>,
    /// How many messages told of a repeat, and how many incidents are over because an event said so.
    pub told: u64,
    pub ended: u64,
}

fn long(time: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(time).expect("hours at most")
}

impl Ledger {
    pub(crate) fn repeats_configured(&mut self, settings: &Settings) {
        self.repeating.settings = settings.dedup;
        let routes = settings.routing.routes.iter();
        self.repeating.by_route = routes.filter_map(|route| Some((route.name.clone(), route.dedup?))).collect();
    }

    /// Takes note of what an incident is about.
    pub(crate) fn matter_accepted(&mut self, incident: &Incident) {
        let (fingerprint, own) = (incident.fingerprint.0.clone(), incident.incident_id.clone());
        let matter = Matter { fingerprint, own, says_over: incident.says_over(), cui_involved: incident.cui_involved };
        if incident.run.is_none() && incident.source != OWN_SOURCE {
            self.repeating.matters.insert(incident.id, matter);
        }
    }

    /// What holds for repeats of an incident: what the first of its routes that says something says.
    fn repeats_by_route(&self, routed: &Routed) -> DedupSettings {
        let own = routed.routes.iter().find_map(|taken| self.repeating.by_route.get(&taken.route));
        own.copied().unwrap_or(self.repeating.settings)
    }

    /// What was decided about an incident fits to those before it.
    pub(crate) fn matter_routed(&mut self, at: Timestamp, routed: &Routed) {
        let id = routed.incident;
        let matter = self.repeating.matters.remove(&id);
        let settings = self.repeats_by_route(routed);
        let window = settings.window;
        let (Some(matter), Some(window), Some(sighting)) = (&matter, window, &routed.sighting) else {
            let right = routed.sighting.is_none() && (matter.is_none() || window.is_none());
            return self.demand(right, || format!("{routed:?} should be looked at for repeats, or should not"));
        };
        let right = sighting.says_over == matter.says_over;
        self.demand(right, || format!("{routed:?} says otherwise that something is over"));
        let hears_repeats = |channel: &String| {
            let policy = self.lanes.get(channel).and_then(|lane| lane.policy.as_ref());
            policy.is_some_and(|policy| policy.repeats)
        };
        let told_now = routed.deliveries.iter().any(|planned| !hears_repeats(&planned.channel));
        if matter.says_over {
            let same = self.repeating.open.iter().filter(|(_, open)| open.matter.is(matter)).map(|(first, _)| *first);
            self.repeating.must_end.extend(same.collect::<Vec<_>>());
            return self.demand(!told_now, || format!("{routed:?} tells people of an end by itself"));
        }
        let is_live = |open: &Open| open.seen + long(window) > at && open.matter.is(matter);
        let Some(RepeatOf { of, number }) = sighting.repeat else {
            let missed = self.repeating.open.iter().find(|(_, open)| is_live(open)).map(|(first, _)| *first);
            self.demand(missed.is_none(), || format!("{routed:?} is no repeat of {missed:?}"));
            let told = told_now.then_some((at, routed.severity));
            let told_cui = told_now && matter.cui_involved;
            let open = Open { matter: matter.clone(), repeats: 0, seen: at, told, told_cui };
            self.repeating.open.insert(id, open);
            return;
        };
        let people: BTreeSet<String> = routed
            .routes
            .iter()
            .flat_map(|taken| &taken.channels)
            .filter(|channel| !hears_repeats(channel))
            .cloned()
            .collect();
        let named = |words: &str| words.contains(&of.to_string()) && words.contains(&format!("repeat {number} of"));
        let says = routed.history_only.as_deref().unwrap_or(&sighting.because);
        let fits = named(says) && !told_now && routed.escalations.is_empty();
        let realert_after = long(settings.realert_after);
        let Some(open) = self.repeating.open.get_mut(&of).filter(|open| is_live(open)) else {
            return self.faults.push(format!("{routed:?} is no repeat: {of} is not open, another one, or long ago"));
        };
        let in_order = number == open.repeats + 1;
        (open.repeats, open.seen) = (number, at);
        let has_new_cui = matter.cui_involved && !open.told_cui;
        let is_worse = |severity| routed.severity > severity || has_new_cui;
        let is_due = open.told.is_none_or(|(told, severity)| is_worse(severity) || told + realert_after <= at);
        if is_due && !people.is_empty() {
            let cui_involved = matter.cui_involved;
            self.repeating.must_tell.insert(id, MustTell { of, people, cui_involved });
        }
        self.demand(fits && in_order, || format!("{routed:?} is not the next repeat of {of}, or does not say so"));
    }

    /// A repeat is told of: where it must be, once, to all people that routing names for it.
    pub(crate) fn told_again(&mut self, at: Timestamp, followed: &FollowedUp, repeats: &Repeats) {
        let (id, last) = (followed.incident, repeats.last);
        let due = self.repeating.must_tell.remove(&last);
        let to: BTreeSet<String> = followed.deliveries.iter().map(|planned| planned.channel.clone()).collect();
        let fits = due.as_ref().is_some_and(|due| due.of == id && due.people == to);
        self.demand(fits, || format!("{followed:?} is not what is due: {due:?}"));
        for planned in &followed.deliveries {
            let expected = DeliveryId::derive(id, &format!("repeated\n{last}"), &planned.channel);
            let right = planned.delivery == expected && planned.reason == Reason::Repeated;
            self.demand(right, || format!("{planned:?} of {id} should be under {expected}"));
        }
        self.repeating.told += 1;
        let known = self.repeating.open.get_mut(&id).map(|open| {
            open.told = Some((at, followed.severity));
            open.told_cui |= due.as_ref().is_some_and(|due| due.cui_involved);
            open.repeats + 1
        });
        self.demand(known == Some(repeats.count), || format!("{followed:?}, but it came {known:?} times"));
    }

    /// It is over: nothing repeats it any more.
    pub(crate) fn matter_ended(&mut self, incident: IncidentId) {
        self.repeating.open.remove(&incident);
        self.repeating.ended += u64::from(self.repeating.must_end.remove(&incident));
    }

    pub(crate) fn repeats_set_back(&mut self, by: SignedDuration) {
        for open in self.repeating.open.values_mut() {
            open.seen -= by;
            open.told = open.told.map(|(told, severity)| (told - by, severity));
        }
    }

    /// An incident that should be over by now, since it was not seen for so long.
    pub(crate) fn overdue_end(&self, at: Timestamp) -> Option<String> {
        let after = long(self.repeating.settings.resolve_after?);
        let late = self.repeating.open.iter().find(|(_, open)| open.seen + after <= at);
        late.map(|(first, open)| format!("{first} was not seen since {} and is still open", open.seen))
    }

    /// What the records of one append must have brought.
    pub(crate) fn check_repeats(&mut self) {
        let (must_tell, must_end) = (&mut self.repeating.must_tell, &mut self.repeating.must_end);
        let (untold, open) = (std::mem::take(must_tell), std::mem::take(must_end));
        self.demand(untold.is_empty(), || format!("nobody is told again of {untold:?}"));
        self.demand(open.is_empty(), || format!("an event said that {open:?} are over, and they are not"));
    }
}
