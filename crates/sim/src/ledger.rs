//! The checker that reads the durable journal and the receivers' mail, and nothing of the engine: it finds out on its own
//! what must hold, and says what does not.

use crate::acks::Acks;
use crate::config::STEADY;
use crate::follow::Follow;
use crate::health::Telling;
use crate::lane::Lane;
use crate::network::{Sighting, mark};
use crate::repeats::Repeating;
use crate::reports::Reports;
use crate::runs::Runs;
use crate::summary::Summaries;
use balefire_engine::{ChannelPolicy, OWN_SOURCE, RUN_ENDED, RUN_STARTED, Settings};
use balefire_model::record::{
    AttemptEnded, AttemptStarted, Configured, Next, Planned, Redriven, Routed, Submitted, Suppressed,
};
use balefire_model::{
    Cause, DeliveryId, Entry, Incident, IncidentId, Outcome, Position, Reason, Record, Severity, State,
};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long the steady channel may take for a delivery while the process is up, in microseconds: the others fail for
/// hours at the same time.
const STEADY_BOUND: u64 = 60_000_000;

const DAY: SignedDuration = SignedDuration::from_hours(24);

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
    /// The marks of the incidents whose text its message shows, the latest last: a repeat's where it tells of one, and
    /// several where it was decided on several times.
    marks: Vec<String>,
    pub channel: String,
    pub severity: Severity,
    pub reason: Reason,
    pub is_stand_in: bool,
    follows_up: bool,
    /// Among all deliveries, in the order of the decisions.
    pub order: usize,
    /// The deliveries that must have ended before.
    pub behind: Vec<DeliveryId>,
    /// Whether something that it closes had arrived when it was decided on.
    has_opened: bool,
    planned: Moment,
    /// When it was decided on, or sent on its way again.
    pub decided_at: Timestamp,
    /// Whether the next attempt leaves the user's template out.
    plain: bool,
    attempts: u32,
    pub under_way: bool,
    pub due: Option<Timestamp>,
    /// Ended attempts that did not bring it there for certain.
    uncertain: u32,
    receipts: u32,
    pub ended: bool,
    pub delivered: bool,
}

impl Course {
    /// Whether it tells of something that may be over.
    pub(crate) fn tells(&self) -> bool {
        !matches!(self.reason, Reason::Resolved | Reason::Acked | Reason::Test)
    }

    /// Whether it tells a channel of something whose end that channel wants to hear.
    pub(crate) fn opens(&self) -> bool {
        self.follows_up && self.tells()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    read: usize,
    configs: BTreeMap<String, Arc<Settings>>,
    pub incidents: BTreeMap<IncidentId, String>,
    pub marks: BTreeMap<String, u32>,
    pub keys: BTreeMap<String, Vec<IncidentId>>,
    pub changes: BTreeSet<String>,
    pub routed: BTreeSet<IncidentId>,
    decisions: usize,
    pub courses: BTreeMap<DeliveryId, Course>,
    pub by_incident: BTreeMap<IncidentId, Vec<DeliveryId>>,
    pub lanes: BTreeMap<String, Lane>,
    /// What will not be made, by a rule.
    pub called_off: BTreeSet<DeliveryId>,
    /// What was given up and neither sent on its way again nor purged.
    pub dead: BTreeSet<DeliveryId>,
    /// Who moved which dead letters.
    pub moved: BTreeMap<String, BTreeSet<DeliveryId>>,
    /// Incidents of the engine's making that a person resolved.
    pub closed_by_hand: BTreeSet<IncidentId>,
    pub follow: Follow,
    pub summaries: Summaries,
    pub telling: Telling,
    pub runs: Runs,
    pub reports: Reports,
    pub repeating: Repeating,
    pub acks: Acks,
    /// The marks of incidents, by where they stand.
    accepted_at: BTreeMap<Position, String>,
    /// How many deliveries were decided on for a channel and a mark, and which ids were seen.
    seen: BTreeMap<(String, String), (usize, BTreeSet<String>)>,
    /// Whether one channel never fails.
    pub has_steady: bool,
    /// What does not hold.
    pub faults: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(configs: impl Iterator<Item = Arc<Settings>>, has_steady: bool) -> Ledger {
        let configs = configs.map(|settings| (settings.digest.clone(), settings)).collect();
        Ledger { configs, has_steady, ..Ledger::default() }
    }

    /// What is known of a channel.
    fn lane(&mut self, channel: &str) -> &mut Lane {
        if !self.lanes.contains_key(channel) {
            self.lanes.insert(channel.to_owned(), Lane::default());
        }
        self.lanes.get_mut(channel).expect("it is there by now")
    }

    /// Notes a fault unless `holds`.
    pub(crate) fn demand(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Reads what has become durable.
    pub(crate) fn follow(&mut self, entries: &[Entry], records: &[Record], moment: Moment) {
        for (place, (entry, record)) in (0..).zip(entries.iter().zip(records)).skip(self.read) {
            if let Record::Accepted(incident) = record {
                self.accepted_at.insert(Position(place), mark(&incident.title).unwrap_or_default());
            }
            self.take(entry.at, record, moment);
        }
        let (had, has) = (self.read, entries.len());
        self.demand(has >= had, || format!("the journal had {had} durable records and has {has}"));
        self.read = has;
    }

    fn take(&mut self, at: Timestamp, record: &Record, moment: Moment) {
        match record {
            Record::Accepted(incident) => self.accepted(incident),
            Record::Submitted(submitted) => self.submitted(submitted),
            Record::Routed(routed) => self.was_routed(at, routed, moment),
            Record::AttemptStarted(started) => self.started(at, started),
            Record::AttemptEnded(ended) => self.attempt_ended(at, ended, moment),
            Record::StateChanged(change) => {
                let by_hand = change.state == State::Resolved && change.by != OWN_SOURCE;
                self.closed_by_hand.extend(by_hand.then_some(change.incident));
                self.state_changed(at, change);
            }
            Record::Configured(configured) => self.configured(configured),
            Record::FollowedUp(followed) => self.followed_up(at, followed, moment),
            Record::Suppressed(suppressed) => self.suppressed(suppressed),
            Record::HealthChanged(changed) => self.health_changed(changed),
            Record::Redriven(redriven) => self.redriven(at, redriven, moment),
            Record::Purged(purged) => {
                let dead = self.dead.remove(&purged.delivery) && !purged.comment.is_empty();
                self.demand(dead, || format!("{purged:?} is no dead letter, or for no reason"));
                self.moved.entry(purged.by.clone()).or_default().insert(purged.delivery);
            }
            Record::ClockSetBack(set) => self.clock_set_back(set.from.duration_since(at)),
            Record::RunEnded(ended) => self.run_ended(ended),
            Record::Reporting(reporting) => self.reporting(at, reporting),
            Record::Assigned(assigned) => _ = self.changes.insert(assigned.by.clone()),
            Record::Noted(noted) => _ = self.changes.insert(noted.by.clone()),
            Record::InputRead(_) | Record::Snapshot(_) | Record::Started(_) | Record::Stopped(_) => {}
        }
    }

    fn accepted(&mut self, incident: &Incident) {
        // What tells of a report has the title of another incident in its own.
        let tells_of_report = self.tells_of_report(incident);
        let mark = mark(&incident.title).unwrap_or_default();
        *self.marks.entry(mark.clone()).or_default() += u32::from(!tells_of_report);
        let twice = self.incidents.insert(incident.id, mark).is_some();
        self.demand(!twice, || format!("incident {} was accepted twice", incident.id));
        self.matter_accepted(incident);
        let tells_of_run = [RUN_STARTED, RUN_ENDED].contains(&incident.detected_by.as_str());
        if !tells_of_run && !tells_of_report && !self.summary_accepted(incident) {
            self.check_own(incident);
        }
    }

    fn submitted(&mut self, submitted: &Submitted) {
        let Submitted { key, incidents, .. } = submitted;
        let twice = self.keys.insert(key.clone(), incidents.clone()).is_some();
        self.demand(!twice, || format!("the request with the key {key} was taken twice"));
    }

    fn was_routed(&mut self, at: Timestamp, routed: &Routed, moment: Moment) {
        let id = routed.incident;
        let known = self.incidents.contains_key(&id);
        let first = self.routed.insert(id);
        self.demand(known && first, || format!("incident {id} was routed before it was accepted, or twice"));
        let said = routed.history_only.as_ref().is_some_and(|reason| !reason.is_empty());
        self.run_routed(routed);
        self.matter_routed(at, routed);
        self.demand(said == (routed.deliveries.is_empty() && routed.collected.is_empty()), || {
            format!(
                "incident {id} has {} deliveries and history_only {:?}",
                routed.deliveries.len(),
                routed.history_only
            )
        });
        let muted = routed.routes.iter().filter(|taken| taken.muted_by.is_some());
        for taken in muted {
            let silent = taken.channels.is_empty() && routed.escalations.iter().all(|step| step.route != taken.route);
            self.demand(silent, || format!("route {} is muted, and incident {id} goes out by it", taken.route));
        }
        self.check_told(routed);
        self.summary_routed(at, routed);
        self.escalates(id, &routed.escalations);
        for planned in &routed.deliveries {
            let expected = DeliveryId::derive(id, planned.reason.as_str(), &planned.channel);
            self.demand(planned.delivery == expected, || {
                format!("delivery {} of {id} to {} should be {expected}", planned.delivery, planned.channel)
            });
            self.planned(at, (id, routed.accepted_at, routed.severity), planned, moment);
        }
    }

    pub(crate) fn planned(
        &mut self,
        at: Timestamp,
        (incident, accepted_at, severity): (IncidentId, Position, Severity),
        planned: &Planned,
        moment: Moment,
    ) {
        let Planned {
            delivery,
            channel,
            reason,
            stands_in_for,
            behind,
            behind_also,
            has_opened,
            opened: _,
            repeat_of: _,
            follows_up,
        } = planned.clone();
        // What stands for a run stands in line as the worst.
        let is_worst = matches!(reason, Reason::Run | Reason::Acked);
        let severity = if is_worst { Severity::Critical } else { severity };
        self.lanes.entry(channel.clone()).or_default().open.insert((Reverse(severity), delivery));
        let mark = self.accepted_at.get(&accepted_at).cloned();
        if let Some(mark) = &mark {
            self.seen.entry((channel.clone(), mark.clone())).or_default().0 += 1;
        }
        self.decisions += 1;
        let course = Course {
            incident,
            marks: mark.into_iter().collect(),
            channel,
            severity,
            reason,
            is_stand_in: stands_in_for.is_some(),
            follows_up,
            order: self.decisions,
            behind: behind.into_iter().chain(behind_also).collect(),
            has_opened,
            planned: moment,
            decided_at: at,
            plain: false,
            attempts: 0,
            under_way: false,
            due: None,
            uncertain: 0,
            receipts: 0,
            ended: false,
            delivered: false,
        };
        let before = self.courses.insert(delivery, course);
        self.summaries.forget(delivery);
        let Some(before) = before else { return self.by_incident.entry(incident).or_default().push(delivery) };
        // A person resolves once more, and more was sent since: the close comes again under its id, where it has arrived
        // or was called off.
        let repeated = reason == Reason::Resolved && before.ended;
        if let Some(course) = self.courses.get_mut(&delivery) {
            course.receipts = before.receipts;
            course.marks.splice(0..0, before.marks);
            course.uncertain = before.uncertain + u32::from(before.delivered);
        }
        self.comes_again(delivery);
        self.demand(repeated, || format!("{planned:?} of {incident} was decided on twice"));
    }

    /// Rules that call off what is not needed say the truth.
    fn suppressed(&mut self, suppressed: &Suppressed) {
        let Some(course) = self.courses.get_mut(&suppressed.delivery) else {
            return self.faults.push(format!("{suppressed:?}, which was never decided on"));
        };
        let follows = !course.ended && !course.under_way && !suppressed.because.is_empty();
        course.ended = true;
        let course = &self.courses[&suppressed.delivery];
        let is_true = match suppressed.rule.as_str() {
            "nothing-to-close" => {
                let in_vain = |first: &DeliveryId| self.courses.get(first).is_some_and(|c| c.ended && !c.delivered);
                let follows = matches!(course.reason, Reason::Resolved | Reason::Acked);
                follows && !course.has_opened && course.behind.iter().all(in_vain)
            }
            "resolved-first" => {
                let is_late = matches!(course.reason, Reason::Escalated | Reason::Repeated);
                is_late && self.follow.resolved.contains(&course.incident)
            }
            "open-only" => self.wants_open_only(course),
            _ => self.is_told_of(suppressed, course),
        };
        let place = (Reverse(course.severity), suppressed.delivery);
        self.called_off.insert(suppressed.delivery);
        self.told_of(suppressed);
        self.lanes.entry(suppressed.channel.clone()).or_default().open.remove(&place);
        let course = &self.courses[&suppressed.delivery];
        let story = (!follows || !is_true).then(|| format!("{suppressed:?} does not follow on {course:?}"));
        self.faults.extend(story);
    }

    /// What waits for a time waits for as long as before: the engine's time to try does not grow either.
    fn clock_set_back(&mut self, by: SignedDuration) {
        self.demand(by.is_positive(), || format!("the clock was set back by {by}"));
        for course in self.courses.values_mut() {
            course.decided_at -= by;
        }
        for lane in self.lanes.values_mut() {
            lane.forget_starts();
        }
        self.follow.steps.values_mut().for_each(|step| step.due -= by);
        self.follow.asleep.values_mut().for_each(|step| step.due -= by);
        self.set_reports_back(by);
        self.repeats_set_back(by);
    }

    /// Somebody sent a dead letter on its way again.
    fn redriven(&mut self, at: Timestamp, redriven: &Redriven, moment: Moment) {
        let Redriven { delivery, by, behind, .. } = redriven.clone();
        let dead = self.dead.remove(&delivery);
        self.decisions += 1;
        let order = self.decisions;
        self.demand(dead, || format!("{delivery} was sent again by {by}, and is no dead letter"));
        self.moved.entry(by).or_default().insert(delivery);
        if let Some(course) = self.courses.get_mut(&delivery) {
            course.ended = false;
            course.plain = false;
            course.decided_at = at;
            course.order = order;
            course.planned = moment;
            let place = (Reverse(course.severity), delivery);
            self.lanes.entry(course.channel.clone()).or_default().open.insert(place);
            if course.reason == Reason::Acked {
                course.behind.extend(behind);
            }
            let (incident, channel, reason) = (course.incident, course.channel.clone(), course.reason);
            if reason != Reason::Resolved {
                let end = DeliveryId::derive(incident, Reason::Resolved.as_str(), &channel);
                let note = self.newest_note(incident, &channel);
                for later in [Some(end), note.filter(|note| *note != delivery)].into_iter().flatten() {
                    self.waits_also(later, delivery);
                }
            }
            self.closes_again(delivery);
        }
    }

    /// What has not gone out yet goes out after what is on its way again.
    fn waits_also(&mut self, later: DeliveryId, delivery: DeliveryId) {
        let later = self.courses.get_mut(&later).filter(|later| !later.ended && !later.under_way);
        if let Some(later) = later.filter(|later| !later.behind.contains(&delivery)) {
            later.behind.push(delivery);
        }
    }

    /// The last message to a channel of who takes care of an incident that is not over.
    fn newest_note(&self, incident: IncidentId, channel: &str) -> Option<DeliveryId> {
        let planned = self.by_incident.get(&incident).filter(|_| !self.follow.resolved.contains(&incident))?;
        let is_note = |course: &Course| course.reason == Reason::Acked && course.channel == channel;
        planned.iter().rev().find(|id| is_note(&self.courses[*id])).copied()
    }

    /// Who gets a message again about what is over hears again that it is, after it.
    fn closes_again(&mut self, delivery: DeliveryId) {
        let course = &self.courses[&delivery];
        let (incident, channel) = (course.incident, course.channel.clone());
        let others = self.by_incident[&incident].iter().filter(|id| self.courses[*id].channel == channel);
        if course.reason == Reason::Resolved {
            let opens = |id: &&&DeliveryId| self.courses[**id].opens() && !self.courses[**id].ended;
            let behind: Vec<DeliveryId> = others.filter(|id| opens(&id)).copied().collect();
            self.courses.get_mut(&delivery).expect("it was found").behind = behind;
        } else if course.opens() && self.follow.resolved.contains(&incident) {
            let end = DeliveryId::derive(incident, Reason::Resolved.as_str(), &channel);
            let comes = self.courses.get(&end).is_some_and(|end| !end.ended) || self.dead.contains(&end);
            let policy = self.lanes.get(&channel).and_then(|lane| lane.policy.as_ref());
            if !comes && policy.is_some_and(|policy| policy.follows_up) {
                self.follow.must_close.entry((incident, channel)).or_default().insert(delivery);
            }
        }
    }

    /// What the records of one append must have brought: nothing is left to do that could be done.
    pub(crate) fn batch_over(&mut self, at: Timestamp, draining: bool) {
        self.check_health();
        self.check_summaries();
        self.check_followed(at);
        self.check_repeats();
        if draining {
            return;
        }
        let mut faults = Vec::new();
        for (name, lane) in &self.lanes {
            let worst = lane.open.iter().take_while(|(severity, _)| severity.0 == Severity::Critical);
            let may_go = |id: &DeliveryId| {
                let course = &self.courses[id];
                !course.under_way && course.due.is_none_or(|due| due <= at) && !self.is_behind(course)
            };
            if lane.has_room_for_critical(at)
                && let Some((_, waits)) = worst.into_iter().find(|(_, id)| may_go(id))
            {
                faults.push(format!("at {at}, {waits} is critical and waits for {name}, which has room"));
            }
        }
        self.faults.append(&mut faults);
    }

    /// Whether a delivery waits until another one has ended.
    pub(crate) fn is_behind(&self, course: &Course) -> bool {
        course.behind.iter().filter_map(|first| self.courses.get(first)).any(|first| !first.ended)
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
        let story =
            (!in_turn).then(|| format!("attempt {attempt} of {delivery} to {channel} does not follow on {course:?}"));
        course.under_way = true;
        course.attempts = *attempt;
        course.due = None;
        let severity = course.severity;
        self.faults.extend(story);
        self.check_closes(*delivery);
        self.check_held(at, *delivery, channel);
        let broken = self.lane(channel).start(at, severity);
        self.faults.extend(broken.map(|broken| format!("{channel}: {broken}")));
    }

    /// No delivery that could go has a higher severity than the one that goes.
    fn check_worst_first(&mut self, at: Timestamp, started: &AttemptStarted) {
        let (Some(goes), Some(lane)) = (self.courses.get(&started.delivery), self.lanes.get(&started.channel)) else {
            return;
        };
        let waits = |(_, id): &&(Reverse<Severity>, DeliveryId)| {
            let other = &self.courses[id];
            !other.under_way && other.due.is_none_or(|due| due <= at) && !self.is_behind(other)
        };
        let mut worse = lane.open.iter().take_while(|(severity, _)| severity.0 > goes.severity);
        if let Some((_, worse)) = worse.find(waits) {
            let fault = format!(
                "{} of {} goes to {} while {worse} waits: {:?}",
                started.delivery, goes.severity, goes.channel, self.courses[worse]
            );
            self.faults.push(fault);
        }
    }

    fn attempt_ended(&mut self, at: Timestamp, ended: &AttemptEnded, moment: Moment) {
        let AttemptEnded { delivery, attempt, outcome, next, .. } = ended;
        self.check_patience(at, ended);
        let Some(course) = self.courses.get_mut(delivery) else {
            return self.faults.push(format!("the end of an attempt of {delivery}, which was never decided on"));
        };
        let in_turn = course.under_way && course.attempts == *attempt && course.channel == ended.channel;
        let delivered = matches!(outcome, Outcome::Delivered { .. });
        let fits = match next {
            Next::Done => delivered,
            Next::Retry(_) => !delivered,
            Next::GiveUp { reason, .. } => !delivered && !reason.is_empty(),
        };
        let story = (!in_turn || !fits).then(|| format!("the end {ended:?} does not follow on {course:?}"));
        course.under_way = false;
        course.uncertain += u32::from(!delivered);
        course.due = if let Next::Retry(due) = next { Some(*due) } else { None };
        course.ended = course.due.is_none();
        course.delivered = delivered;
        course.plain |= ended.plain_next;
        let took = moment.good - course.planned.good;
        let bound = STEADY_BOUND + (moment.back - course.planned.back);
        let late = self.has_steady && course.channel == STEADY && course.ended && took > bound;
        let place = course.ended.then_some((Reverse(course.severity), *delivery));
        let lane = self.lane(&ended.channel);
        lane.end(ended);
        if let Some(place) = place {
            lane.open.remove(&place);
        }
        if let Next::GiveUp { cause, .. } = next {
            self.dead.insert(*delivery);
            self.needs_stand_in(*delivery, &ended.channel, *cause);
        }
        self.faults.extend(story);
        self.demand(!late, || format!("{delivery} to the steady channel took {took} µs of good time"));
    }

    /// What is given up had its time, and its try without the template; who asks for patience gets it.
    fn check_patience(&mut self, at: Timestamp, ended: &AttemptEnded) {
        let Some(course) = self.courses.get(&ended.delivery) else { return };
        let unknown = ChannelPolicy::default();
        let policy = self.lanes.get(&course.channel).and_then(|lane| lane.policy.as_ref()).unwrap_or(&unknown);
        let is_payload = matches!(ended.outcome, Outcome::Rejected { cause: Cause::Size | Cause::Schema, .. });
        let plain_next = is_payload && policy.has_template && !course.plain;
        let right = match (&ended.outcome, &ended.next) {
            (Outcome::Deferred { after_ms: Some(ms), .. }, Next::Retry(due)) => {
                due.duration_since(at) >= SignedDuration::from_millis(i64::try_from(*ms).unwrap_or(i64::MAX)).min(DAY)
            }
            (_, Next::GiveUp { cause: Cause::Size | Cause::Schema | Cause::Gone, .. }) => !plain_next,
            (_, Next::GiveUp { cause, .. }) => {
                let asked = if *cause == Cause::Quota { DAY.unsigned_abs() } else { Duration::from_secs(75) };
                let longest = asked.max(policy.retry.cap.mul_f64(1.25));
                at.duration_since(course.decided_at) + SignedDuration::try_from(longest).expect("hours at most")
                    > SignedDuration::try_from(policy.retry.horizon).expect("hours at most")
            }
            _ => true,
        };
        let kept = right && plain_next == ended.plain_next;
        let story = (!kept).then(|| format!("{ended:?} at {at} is not what {policy:?} says of {course:?}"));
        self.faults.extend(story);
    }

    fn configured(&mut self, configured: &Configured) {
        let Some(settings) = self.configs.get(&configured.digest).cloned() else {
            return self.faults.push(format!("an unknown configuration {} came into force", configured.digest));
        };
        self.repeats_configured(&settings);
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
        course.receipts += u32::from(!sighting.is_copy);
        let (channel, marks) = (course.channel.clone(), course.marks.clone());
        let Some(mark) = marks.iter().find(|mark| sighting.mark.as_ref() == Some(mark)).cloned() else {
            return self.faults.push(format!("{channel} got {sighting:?} for the incident {marks:?}"));
        };
        if let Some(id) = &sighting.id {
            self.demand(*id == delivery.to_string(), || format!("{channel} got {delivery} under the id {id}"));
            let (decided, ids) = self.seen.entry((channel, mark.clone())).or_default();
            ids.insert(id.clone());
            let (ids, decided) = (ids.len(), *decided);
            self.demand(ids <= decided, || format!("{mark} came under {ids} ids for {decided} deliveries"));
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
        self.check_runs();
        self.check_reports();
    }

    /// How many deliveries were decided on, how many attempts were made and how many messages arrived.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let courses = self.courses.values();
        courses.fold((0, 0, 0), |(deliveries, attempts, receipts), course| {
            (deliveries + 1, attempts + u64::from(course.attempts), receipts + u64::from(course.receipts))
        })
    }
}
