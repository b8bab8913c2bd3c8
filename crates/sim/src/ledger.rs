//! The checker that reads the durable journal and the receivers' mail, and nothing of the engine: it finds out on its own
//! what must hold, and says what does not.

use crate::config::STEADY;
use crate::network::{Sighting, mark};
use balefire_engine::{ChannelPolicy, Settings};
use balefire_model::record::{
    AttemptEnded, AttemptStarted, Configured, FollowedUp, Next, Planned, Routed, Submitted, Suppressed,
};
use balefire_model::{DeliveryId, Entry, Incident, IncidentId, Outcome, Record, Severity};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long the steady channel may take for a delivery while the process is up, in microseconds: the others fail for
/// hours at the same time.
const STEADY_BOUND: u64 = 60_000_000;

/// When something is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// For how long so far there was a process that could write, in microseconds.
    pub good: u64,
    /// By how much the clock has been set back so far, in microseconds.
    pub back: u64,
}

/// What the records say of one delivery.
#[derive(Debug)]
pub(crate) struct Course {
    pub incident: IncidentId,
    pub channel: String,
    pub severity: Severity,
    /// The delivery that must have ended before.
    behind: Option<DeliveryId>,
    planned: Moment,
    attempts: u32,
    under_way: bool,
    due: Option<Timestamp>,
    /// Ended attempts that did not bring it there for certain.
    uncertain: u32,
    receipts: u32,
    pub ended: bool,
    delivered: bool,
}

/// What the records say of one channel.
#[derive(Debug, Default)]
struct Lane {
    policy: Option<ChannelPolicy>,
    open: BTreeSet<DeliveryId>,
    under_way: u32,
    /// Since the rates were last changed or the clock was last set back.
    starts: Vec<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    read: usize,
    configs: BTreeMap<String, Arc<Settings>>,
    pub incidents: BTreeMap<IncidentId, String>,
    pub marks: BTreeMap<String, u32>,
    pub keys: BTreeMap<String, Vec<IncidentId>>,
    pub changes: BTreeSet<String>,
    routed: BTreeSet<IncidentId>,
    pub courses: BTreeMap<DeliveryId, Course>,
    lanes: BTreeMap<String, Lane>,
    /// Which ids were seen for a channel and a mark.
    seen: BTreeMap<(String, String), BTreeSet<String>>,
    /// What does not hold.
    pub faults: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(configs: impl Iterator<Item = Arc<Settings>>) -> Ledger {
        let configs = configs.map(|settings| (settings.digest.clone(), settings)).collect();
        Ledger { configs, ..Ledger::default() }
    }

    /// Notes a fault unless `holds`.
    pub(crate) fn demand(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Reads what has become durable.
    pub(crate) fn follow(&mut self, entries: &[Entry], moment: Moment) {
        for entry in &entries[self.read.min(entries.len())..] {
            match Record::decode(entry) {
                Ok(record) => self.take(entry.at, record, moment),
                Err(error) => self.faults.push(format!("a durable record cannot be read: {error}")),
            }
        }
        let (had, has) = (self.read, entries.len());
        self.demand(has >= had, || format!("the journal had {had} durable records and has {has}"));
        self.read = has;
    }

    fn take(&mut self, at: Timestamp, record: Record, moment: Moment) {
        match record {
            Record::Accepted(incident) => self.accepted(&incident),
            Record::Submitted(submitted) => self.submitted(submitted),
            Record::Routed(routed) => self.was_routed(&routed, moment),
            Record::AttemptStarted(started) => self.started(at, &started),
            Record::AttemptEnded(ended) => self.attempt_ended(&ended, moment),
            Record::StateChanged(change) => _ = self.changes.insert(change.by),
            Record::Configured(configured) => self.configured(&configured),
            Record::FollowedUp(followed) => self.followed_up(&followed, moment),
            Record::Suppressed(suppressed) => self.suppressed(&suppressed),
            Record::InputRead(_)
            | Record::Snapshot(_)
            | Record::Started(_)
            | Record::Stopped(_)
            | Record::HealthChanged(_)
            | Record::Redriven(_)
            | Record::Purged(_) => {}
        }
    }

    fn accepted(&mut self, incident: &Incident) {
        let mark = mark(&incident.title).unwrap_or_default();
        *self.marks.entry(mark.clone()).or_default() += 1;
        let twice = self.incidents.insert(incident.id, mark).is_some();
        self.demand(!twice, || format!("incident {} was accepted twice", incident.id));
    }

    fn submitted(&mut self, submitted: Submitted) {
        let Submitted { key, incidents, .. } = submitted;
        let twice = self.keys.insert(key.clone(), incidents).is_some();
        self.demand(!twice, || format!("the request with the key {key} was taken twice"));
    }

    fn was_routed(&mut self, routed: &Routed, moment: Moment) {
        let id = routed.incident;
        let known = self.incidents.contains_key(&id);
        let first = self.routed.insert(id);
        self.demand(known && first, || format!("incident {id} was routed before it was accepted, or twice"));
        let said = routed.history_only.as_ref().is_some_and(|reason| !reason.is_empty());
        self.demand(said == routed.deliveries.is_empty(), || {
            format!(
                "incident {id} has {} deliveries and history_only {:?}",
                routed.deliveries.len(),
                routed.history_only
            )
        });
        for planned in &routed.deliveries {
            let expected = DeliveryId::derive(id, planned.reason.as_str(), &planned.channel);
            self.demand(planned.delivery == expected, || {
                format!("delivery {} of {id} to {} should be {expected}", planned.delivery, planned.channel)
            });
            self.planned(id, routed.severity, planned, moment);
        }
    }

    fn planned(&mut self, incident: IncidentId, severity: Severity, planned: &Planned, moment: Moment) {
        self.lanes.entry(planned.channel.clone()).or_default().open.insert(planned.delivery);
        let course = Course {
            incident,
            channel: planned.channel.clone(),
            severity,
            behind: planned.behind,
            planned: moment,
            attempts: 0,
            under_way: false,
            due: None,
            uncertain: 0,
            receipts: 0,
            ended: false,
            delivered: false,
        };
        let twice = self.courses.insert(planned.delivery, course).is_some();
        self.demand(!twice, || format!("delivery {} was decided on twice", planned.delivery));
    }

    fn followed_up(&mut self, followed: &FollowedUp, moment: Moment) {
        let id = followed.incident;
        let known = self.routed.contains(&id);
        self.demand(known, || format!("incident {id} was followed up before it was routed"));
        for planned in &followed.deliveries {
            self.planned(id, followed.severity, planned, moment);
        }
    }

    fn suppressed(&mut self, suppressed: &Suppressed) {
        let Some(course) = self.courses.get_mut(&suppressed.delivery) else {
            return self.faults.push(format!("{suppressed:?}, which was never decided on"));
        };
        let fits = !course.ended && !course.under_way && !suppressed.rule.is_empty() && !suppressed.because.is_empty();
        let story = format!("{suppressed:?} does not follow on {course:?}");
        course.ended = true;
        self.lanes.entry(suppressed.channel.clone()).or_default().open.remove(&suppressed.delivery);
        self.demand(fits, || story);
    }

    /// Whether a delivery waits until another one has ended.
    fn is_behind(&self, course: &Course) -> bool {
        course.behind.and_then(|first| self.courses.get(&first)).is_some_and(|first| !first.ended)
    }

    fn started(&mut self, at: Timestamp, started: &AttemptStarted) {
        let AttemptStarted { delivery, attempt, channel, .. } = started;
        self.check_worst_first(at, started);
        let is_behind = self.courses.get(delivery).is_some_and(|course| self.is_behind(course));
        let Some(course) = self.courses.get_mut(delivery) else {
            return self.faults.push(format!("attempt {attempt} of {delivery}, which was never decided on"));
        };
        let in_turn = !course.ended
            && !course.under_way
            && !is_behind
            && *attempt == course.attempts + 1
            && course.channel == *channel;
        let story = format!("attempt {attempt} of {delivery} to {channel} does not follow on {course:?}");
        course.under_way = true;
        course.attempts = *attempt;
        course.due = None;
        self.demand(in_turn, || story);
        let lane = self.lanes.entry(channel.clone()).or_default();
        let (under_way, window) = (lane.under_way, lane.policy.as_ref().map_or(0, |policy| policy.in_flight));
        lane.under_way += 1;
        let crowded = lane.crowded(at);
        self.demand(under_way < window, || {
            format!("{channel} has {under_way} attempts under way of {window}, and one more")
        });
        self.demand(crowded.is_none(), || format!("{channel} gets more than {crowded:?} at {at}"));
    }

    /// No delivery that could go has a higher severity than the one that goes.
    fn check_worst_first(&mut self, at: Timestamp, started: &AttemptStarted) {
        let (Some(goes), Some(lane)) = (self.courses.get(&started.delivery), self.lanes.get(&started.channel)) else {
            return;
        };
        let waits = |id: &&DeliveryId| {
            let other = &self.courses[*id];
            let may_go = !other.under_way && other.due.is_none_or(|due| due <= at) && !self.is_behind(other);
            may_go && other.severity > goes.severity
        };
        if let Some(worse) = lane.open.iter().find(waits) {
            let fault =
                format!("{} of {} goes to {} while {worse} waits", started.delivery, goes.severity, goes.channel);
            self.faults.push(fault);
        }
    }

    fn attempt_ended(&mut self, ended: &AttemptEnded, moment: Moment) {
        let AttemptEnded { delivery, attempt, outcome, next, .. } = ended;
        let Some(course) = self.courses.get_mut(delivery) else {
            return self.faults.push(format!("the end of an attempt of {delivery}, which was never decided on"));
        };
        let in_turn = course.under_way && course.attempts == *attempt;
        let delivered = matches!(outcome, Outcome::Delivered { .. });
        let fits = match next {
            Next::Done => delivered,
            Next::Retry(_) => !delivered,
            Next::GiveUp { reason, .. } => !delivered && !reason.is_empty(),
        };
        let story = format!("the end {ended:?} does not follow on {course:?}");
        course.under_way = false;
        course.uncertain += u32::from(!delivered);
        course.due = if let Next::Retry(due) = next { Some(*due) } else { None };
        course.ended = course.due.is_none();
        course.delivered = delivered;
        let took = moment.good - course.planned.good;
        let bound = STEADY_BOUND + (moment.back - course.planned.back);
        let late = course.channel == STEADY && course.ended && took > bound;
        let lane = self.lanes.entry(course.channel.clone()).or_default();
        lane.under_way = lane.under_way.saturating_sub(1);
        if course.ended {
            lane.open.remove(delivery);
        }
        self.demand(in_turn && fits, || story);
        self.demand(!late, || format!("{delivery} to the steady channel took {took} µs of good time"));
    }

    fn configured(&mut self, configured: &Configured) {
        let Some(settings) = self.configs.get(&configured.digest).cloned() else {
            return self.faults.push(format!("an unknown configuration {} came into force", configured.digest));
        };
        for (_, lane) in self.lanes.iter_mut().filter(|(name, _)| !settings.channels.contains_key(*name)) {
            lane.policy = None;
        }
        for (name, policy) in &settings.channels {
            let lane = self.lanes.entry(name.clone()).or_default();
            lane.configure(policy);
        }
    }

    /// A message leaves: the attempt must be durable.
    pub(crate) fn sent(&mut self, delivery: DeliveryId, attempt: u32) {
        let durable = self.courses.get(&delivery).is_some_and(|course| course.under_way && course.attempts == attempt);
        self.demand(durable, || format!("attempt {attempt} of {delivery} was made before its start was durable"));
    }

    /// A receiver has a message.
    pub(crate) fn received(&mut self, delivery: DeliveryId, sighting: &Sighting) {
        let Some(course) = self.courses.get_mut(&delivery) else {
            return self.faults.push(format!("a message of {delivery}, which was never decided on"));
        };
        course.receipts += 1;
        let (channel, incident) = (course.channel.clone(), course.incident);
        let mark = self.incidents.get(&incident).cloned();
        let (Some(mark), true) = (mark.clone(), mark == sighting.mark) else {
            return self.faults.push(format!("{channel} got {sighting:?} for the incident {mark:?}"));
        };
        if let Some(id) = &sighting.id {
            self.demand(*id == delivery.to_string(), || format!("{channel} got {delivery} under the id {id}"));
            let ids = self.seen.entry((channel, mark.clone())).or_default();
            ids.insert(id.clone());
            let (ids, incidents) = (ids.len(), self.marks.get(&mark).copied().unwrap_or(0) as usize);
            self.demand(ids <= incidents, || format!("{mark} came under {ids} ids for {incidents} incidents"));
        }
    }

    /// Whether a delivery to one of these channels has no end yet.
    pub(crate) fn is_open(&self, channels: impl Iterator<Item = impl AsRef<str>>) -> bool {
        let mut channels = channels;
        channels.any(|name| self.lanes.get(name.as_ref()).is_some_and(|lane| !lane.open.is_empty()))
    }

    /// What must hold when everything has come to rest.
    pub(crate) fn close(&mut self, configured: &BTreeSet<String>) {
        let mut faults = Vec::new();
        for id in self.incidents.keys().filter(|id| !self.routed.contains(id)) {
            faults.push(format!("nothing was decided about incident {id}"));
        }
        for (id, course) in &self.courses {
            if !course.ended && configured.contains(&course.channel) {
                faults.push(format!("{id} has no ending: {course:?}"));
            }
            if course.delivered && course.receipts == 0 {
                faults.push(format!("{id} is delivered, but nobody got it: {course:?}"));
            }
            if course.receipts > 1 + course.uncertain {
                faults.push(format!("{id} came more often than attempts were in doubt: {course:?}"));
            }
        }
        self.faults.append(&mut faults);
    }

    /// How many deliveries were decided on, how many attempts were made and how many messages arrived.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let courses = self.courses.values();
        courses.fold((0, 0, 0), |(deliveries, attempts, receipts), course| {
            (deliveries + 1, attempts + u64::from(course.attempts), receipts + u64::from(course.receipts))
        })
    }
}

impl Lane {
    fn configure(&mut self, policy: &ChannelPolicy) {
        if self.policy.as_ref().is_none_or(|before| before.rates != policy.rates) {
            self.starts.clear();
        }
        self.policy = Some(policy.clone());
    }

    /// Takes a start; the rate that it breaks, if it breaks one.
    fn crowded(&mut self, at: Timestamp) -> Option<balefire_engine::Rate> {
        if self.starts.last().is_some_and(|last| at < *last) {
            self.starts.clear();
        }
        let rates = self.policy.as_ref().map(|policy| policy.rates.as_slice()).unwrap_or_default();
        let broken = rates.iter().find(|rate| {
            let first = self.starts.len().checked_sub(rate.count as usize);
            first.is_some_and(|first| at.duration_since(self.starts[first]).unsigned_abs() < rate.per)
        });
        let broken = broken.copied();
        self.starts.push(at);
        broken
    }
}
