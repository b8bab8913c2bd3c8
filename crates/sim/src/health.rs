//! The checker's part for channels that fail: they are an incident, told over channels that work, and so is their
//! recovery.

use crate::ledger::Ledger;
use balefire_engine::{CHANNEL_FAILING, CHANNEL_RECOVERED, OWN_SOURCE};
use balefire_model::record::{HealthChanged, Record, ReportStep, Reporting, Routed};
use balefire_model::{DeliveryId, Incident, IncidentId, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the incidents that tell of channels.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// Announced and to be accepted: of which channel, and, where it has recovered, what had told of its failing.
    announced: BTreeMap<IncidentId, (String, Option<IncidentId>)>,
    /// The channels that were to be told of a failing one.
    told: BTreeMap<IncidentId, BTreeSet<String>>,
    /// Of how many nobody could be told.
    pub untold: usize,
}

impl Ledger {
    /// A channel began to fail, or works again.
    pub(crate) fn health_changed(&mut self, changed: &HealthChanged) {
        let lane = self.lanes.entry(changed.channel.clone()).or_default();
        let fits = match changed.failing_since {
            Some(_) => lane.told_by.is_none() && lane.failing == Some(changed.cause),
            None => lane.told_by.is_some() && lane.failing.is_none(),
        };
        let waiting = lane.open.len() as u64 == changed.waiting;
        let before = lane.told_by.take();
        lane.told_by = changed.failing_since.map(|_| changed.told_by);
        let story = || format!("{changed:?} is not what the records say");
        self.demand(fits && waiting, story);
        self.telling.announced.insert(changed.told_by, (changed.channel.clone(), before));
    }

    /// Nobody but a channel's health makes incidents of the engine's own.
    pub(crate) fn check_own(&mut self, incident: &Incident) {
        let announced = self.telling.announced.get(&incident.id);
        let expected = announced.map(|(_, before)| if before.is_some() { CHANNEL_RECOVERED } else { CHANNEL_FAILING });
        let is_own = incident.source == OWN_SOURCE;
        let fits = is_own == expected.is_some() && expected.is_none_or(|expected| expected == incident.detected_by);
        self.demand(fits, || format!("{incident:?} is of the engine's making, and should be {expected:?}"));
    }

    /// Whoever works hears that a channel fails; whoever heard that hears that it is over.
    pub(crate) fn check_told(&mut self, routed: &Routed) {
        let Some((channel, before)) = self.telling.announced.remove(&routed.incident) else { return };
        let works =
            |name: &String| self.lanes.get(name).is_some_and(|lane| lane.policy.is_some() && lane.told_by.is_none());
        let to: BTreeSet<String> = routed.deliveries.iter().map(|planned| planned.channel.clone()).collect();
        let Some(before) = before else {
            let useless = to.iter().find(|name| !works(name)).cloned();
            let anybody = self.lanes.keys().any(works);
            self.telling.untold += usize::from(!anybody);
            self.telling.told.insert(routed.incident, to.clone());
            self.demand(useless.is_none(), || format!("that {channel} fails is told to {useless:?}, which fails too"));
            return self.demand(anybody != to.is_empty(), || format!("that {channel} fails is told to {to:?}"));
        };
        let told = self.telling.told.remove(&before).unwrap_or_default();
        // Who wants to hear of ends hears that the failing is over; where a person has closed that before, all do.
        let by_hand = self.closed_by_hand.contains(&before);
        let follows = |name: &String| {
            let policy = self.lanes.get(name).and_then(|lane| lane.policy.as_ref());
            policy.is_some_and(|policy| policy.follows_up)
        };
        let heard = |name: &String| {
            let course = self.courses.get(&DeliveryId::derive(before, Reason::Opened.as_str(), name));
            course.is_some_and(|course| course.delivered)
        };
        let wants = |name: &String| works(name) && heard(name) && (by_hand || !follows(name));
        let missing = told.into_iter().find(|name| wants(name) && !to.contains(name));
        self.demand(missing.is_none(), || format!("{missing:?} does not hear that {channel} works again"));
    }

    /// What the records of one append must have brought.
    pub(crate) fn check_health(&mut self) {
        let untold =
            self.lanes.iter().find(|(_, lane)| !lane.is_told()).map(|(name, lane)| format!("{name}: {lane:?}"));
        self.demand(untold.is_none(), || format!("nobody is told of the channel {untold:?}"));
        let open = self.telling.announced.keys().next().copied();
        self.demand(open.is_none(), || format!("{open:?} was announced and does not exist"));
    }
}

/// How many of these records' incidents tell of a failing channel or of a report that is due, and tell nobody.
pub(crate) fn alarming(records: &[Record]) -> usize {
    let telling: BTreeSet<IncidentId> = records
        .iter()
        .filter_map(|record| match record {
            Record::HealthChanged(changed) if changed.failing_since.is_some() => Some(changed.told_by),
            Record::Reporting(Reporting {
                step: ReportStep::Reminded { told_by } | ReportStep::Overdue { told_by },
                ..
            }) => Some(*told_by),
            _ => None,
        })
        .collect();
    let tells_nobody = |record: &&Record| match record {
        Record::Routed(routed) => telling.contains(&routed.incident) && routed.deliveries.is_empty(),
        _ => false,
    };
    records.iter().filter(tells_nobody).count()
}
