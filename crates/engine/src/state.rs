//! What the engine knows, all of it from records: `apply` is the only way to change it, live as in replay.

use crate::deadletter::{DeadLetter, DeadLetters};
use crate::dedup::Matters;
use crate::open::{About, Opens};
use crate::queue::{Queue, Rank};
use crate::report::Reports;
use crate::runs::Runs;
use crate::told_cui::ToldCui;
use balefire_model::channel::Reason;
use balefire_model::record::{
    AttemptEnded, AttemptStarted, Configured, FollowUp, FollowedUp, HealthChanged, InputRead, Next, Planned, Redriven,
    Routed, StateChanged, Submitted,
};
use balefire_model::{Acknowledgement, Cause, DeliveryId, IncidentId, Outcome, Position, Record, Repeats, Severity};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::NonZeroI64;
use std::sync::Arc;

/// A delivery that has not reached its end. Small: a million of them must fit.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub incident: IncidentId,
    pub accepted_at: Position,
    pub channel: u32,
    pub severity: Severity,
    pub reason: Reason,
    pub attempts: u32,
    pub in_flight: bool,
    pub due: Option<Micros>,
    pub decided_at: Micros,
    pub order: u64,
    /// Without the user's template from now on.
    pub plain: bool,
    /// It waits because its channel failed, and need not once the channel works again.
    pub waits_for_channel: bool,
    /// What few deliveries have.
    pub rare: Option<Box<Rare>>,
}

/// A time as records have it, to the microsecond: half the size of a [`Timestamp`], also where there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Micros(NonZeroI64);

/// Before any time that there is, so that counting from here gives no zero.
const BEFORE_ALL: i64 = i64::MIN;

impl From<Timestamp> for Micros {
    fn from(time: Timestamp) -> Micros {
        Micros(NonZeroI64::new(time.as_microsecond().wrapping_sub(BEFORE_ALL)).expect("no time is before all"))
    }
}

impl From<Micros> for Timestamp {
    fn from(time: Micros) -> Timestamp {
        Timestamp::from_microsecond(time.0.get().wrapping_add(BEFORE_ALL)).expect("it was a time before")
    }
}

/// What few deliveries have.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Rare {
    /// The channel that should have carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in_for: Option<String>,
    /// It waits until this one has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<DeliveryId>,
    /// And these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind_also: Vec<DeliveryId>,
    /// Something that it closes has arrived, while it waits for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_opened: bool,
    /// When the incident was resolved, where it tells of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// The acknowledgement that it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledgement: Option<Acknowledgement>,
    /// How often the incident came, where it tells of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeats>,
    /// The incident that it belongs to, where the channel keeps acknowledgements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<IncidentId>,
    /// What of it has arrived in earlier attempts, as [`Outcome::posted`] gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<String>,
    /// Where the message stands that it closes, as [`Outcome::posted`] gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<String>,
    /// The channels that stepped in for its own before it was sent on its way again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed_on: Vec<String>,
}

impl Pending {
    pub(crate) fn rank(&self) -> Rank {
        Rank::new(self.severity, self.attempts, self.order)
    }

    pub(crate) fn about(&self) -> About {
        About { incident: self.incident, accepted_at: self.accepted_at, severity: self.severity }
    }

    /// The deliveries that must have ended before this one begins.
    pub(crate) fn behind(&self) -> impl Iterator<Item = DeliveryId> + '_ {
        let rare = self.rare.as_deref();
        rare.into_iter().flat_map(|rare| rare.behind.iter().chain(&rare.behind_also).copied())
    }

    /// Whether something has arrived that it closes; `true` of what waits for nothing.
    pub(crate) fn has_opened(&self) -> bool {
        self.behind().next().is_none() || self.rare.as_ref().is_some_and(|rare| rare.has_opened)
    }

    pub(crate) fn resolved_at(&self) -> Option<Timestamp> {
        self.rare.as_ref().and_then(|rare| rare.resolved_at)
    }

    pub(crate) fn acknowledgement(&self) -> Option<Acknowledgement> {
        self.rare.as_ref().and_then(|rare| rare.acknowledgement.clone())
    }

    pub(crate) fn repeats(&self) -> Option<Repeats> {
        self.rare.as_ref().and_then(|rare| rare.repeats)
    }

    pub(crate) fn repeat_of(&self) -> Option<IncidentId> {
        self.rare.as_ref().and_then(|rare| rare.repeat_of)
    }

    pub(crate) fn reached(&self) -> Option<String> {
        self.rare.as_ref().and_then(|rare| rare.reached.clone())
    }

    pub(crate) fn opened(&self) -> Option<String> {
        self.rare.as_ref().and_then(|rare| rare.opened.clone())
    }

    pub(crate) fn stands_in_for(&self) -> Option<String> {
        self.rare.as_ref().and_then(|rare| rare.stands_in_for.clone())
    }
}

/// A request that was answered, so that its repeat gets the same answer.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub body: String,
    pub incidents: Arc<Vec<IncidentId>>,
}

/// How many idempotency keys are remembered; the oldest go first.
pub(crate) const KEYS_MAX: usize = 100_000;

/// How long an idempotency key is remembered.
const KEY_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The engine's memory.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) position: Position,
    /// A tree: it grows without being laid out anew as a whole, which a million deliveries would notice.
    pub(crate) pending: BTreeMap<DeliveryId, Pending>,
    pub(crate) names: Vec<String>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) orders: u64,
    /// The time of the last record.
    pub(crate) clock: Timestamp,
    pub(crate) keys: BTreeMap<String, Answered>,
    pub(crate) key_ages: VecDeque<(Timestamp, String)>,
    pub(crate) inputs: BTreeMap<String, (String, u64)>,
    pub(crate) digest: String,
    pub(crate) since_snapshot: u64,
    pub(crate) open: Opens,
    /// Which delivery, and who waits until it has ended: an end, and perhaps one that stands in for another's.
    pub(crate) behind: BTreeSet<(DeliveryId, DeliveryId)>,
    pub(crate) dead: DeadLetters,
    pub(crate) runs: Runs,
    pub(crate) reports: Reports,
    pub(crate) matters: Matters,
    pub(crate) told_cui: ToldCui,
}

/// A channel's queue, for metrics and `balefire channels list`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct QueueStatus {
    /// The channel.
    pub channel: String,
    /// Deliveries without an end, those under way included.
    pub depth: usize,
    /// Those under way.
    pub in_flight: u32,
    /// Those that no attempt was made of.
    pub untried: usize,
    /// Failures since the last success.
    pub failures: u32,
    /// Since when its failing is known, and told to others.
    pub failing_since: Option<Timestamp>,
    /// For which cause it fails, as long as that is told.
    pub cause: Option<Cause>,
    /// Its dead letters.
    pub dead: usize,
    /// When the oldest delivery without an end was decided on.
    pub oldest_since: Option<Timestamp>,
    /// Nothing goes out before this time.
    pub paused_until: Option<Timestamp>,
    /// When the delivery that goes out next was decided on.
    pub head_since: Option<Timestamp>,
}

impl State {
    /// The position of the next record.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// How far each input was read: which file, and the byte after the last line taken.
    #[must_use]
    pub fn inputs(&self) -> HashMap<String, (String, u64)> {
        self.inputs.clone().into_iter().collect()
    }

    /// How many attempts are under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.queues.iter().map(|queue| queue.in_flight).sum()
    }

    /// How many deliveries have not reached their end.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Every channel that something is or was queued for.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueStatus> {
        let status = |(name, queue): (&String, &Queue)| {
            let told = queue.told_by.and(queue.failing);
            let since = |delivery: DeliveryId| self.pending.get(&delivery).map(|pending| pending.decided_at.into());
            let head = queue.ready.first().or(queue.waiting.first().map(|(_, rank)| rank));
            QueueStatus {
                channel: name.clone(),
                depth: queue.len(),
                in_flight: queue.in_flight,
                untried: queue.untried,
                failures: queue.failures,
                failing_since: told.map(|(since, _)| since),
                cause: told.map(|(_, cause)| cause),
                dead: self.dead.count(name),
                oldest_since: queue.by_order.values().next().copied().and_then(since),
                paused_until: queue.paused_until,
                head_since: head.and_then(|rank| since(queue.delivery(rank))),
            }
        };
        self.names.iter().zip(&self.queues).map(status).collect()
    }

    /// The number of a channel; a new one where it has none yet.
    pub(crate) fn channel(&mut self, name: &str) -> u32 {
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.queues.push(Queue::default());
            self.names.len() - 1
        });
        u32::try_from(index).expect("channels are few")
    }

    pub(crate) fn queue(&mut self, channel: u32) -> &mut Queue {
        &mut self.queues[channel as usize]
    }

    /// Takes note that a record stands at the current position.
    pub(crate) fn pass(&mut self) {
        self.position = self.position.plus(1);
        self.since_snapshot += 1;
    }

    /// Takes note of a record, which stands at the current position.
    pub(crate) fn apply(&mut self, at: Timestamp, record: &Record) {
        self.pass();
        match record {
            Record::Routed(routed) => self.routed(at, routed),
            Record::AttemptStarted(started) => self.attempt_started(at, started),
            Record::AttemptEnded(ended) => self.attempt_ended(at, ended),
            Record::Submitted(submitted) => self.submitted(at, submitted),
            Record::InputRead(InputRead { input, file, offset }) => {
                self.inputs.insert(input.clone(), (file.clone(), *offset));
            }
            Record::Configured(configured) => self.configured(configured),
            Record::Snapshot(_) => self.since_snapshot = 0,
            Record::StateChanged(change) => self.state_changed(at, change),
            Record::FollowedUp(followed) => self.followed_up(at, followed),
            Record::Suppressed(suppressed) => self.suppressed(suppressed.delivery),
            Record::HealthChanged(changed) => self.health_changed(at, changed),
            Record::Redriven(redriven) => self.redriven(at, redriven),
            Record::Purged(purged) => self.dead.remove(purged.delivery),
            Record::Started(_) => self.started(),
            Record::ClockSetBack(set) => self.set_back(set.from.duration_since(at)),
            Record::RunEnded(ended) => self.runs.ended(&ended.id),
            Record::Reporting(reporting) => self.reports.apply(reporting),
            Record::Accepted(_) | Record::Stopped(_) | Record::Assigned(_) | Record::Noted(_) => {}
        }
        // A snapshot is written before its own record has a time.
        if !matches!(record, Record::Snapshot(_)) {
            self.clock = at;
        }
    }

    /// A channel that is not configured any more keeps its queue and its memory: it may come back.
    fn configured(&mut self, configured: &Configured) {
        self.digest.clone_from(&configured.digest);
        for (name, _) in &configured.channels {
            let keep = configured.attempts_kept.get(name).map_or(0, |keep| *keep as usize);
            let channel = self.channel(name);
            self.queue(channel).keep = keep;
        }
    }

    /// Whoever starts us may have mended what made a channel fail: it is tried at once.
    fn started(&mut self) {
        for queue in self.queues.iter_mut().filter(|queue| queue.failing.is_some()) {
            queue.paused_until = None;
        }
    }

    fn routed(&mut self, at: Timestamp, routed: &Routed) {
        let about = About { incident: routed.incident, accepted_at: routed.accepted_at, severity: routed.severity };
        self.open.routed(at, &about, routed);
        self.matters.routed(at, routed);
        self.told_cui.routed(routed);
        self.runs.routed(at, routed);
        for planned in &routed.deliveries {
            self.plan(at, &about, planned);
            if planned.reason == Reason::Summary {
                let channel = self.channel(&planned.channel);
                self.queue(channel).summarised_at = Some(at);
            }
        }
    }

    fn followed_up(&mut self, at: Timestamp, followed: &FollowedUp) {
        let FollowedUp { incident, accepted_at, severity, cause, .. } = followed;
        let about = About { incident: *incident, accepted_at: *accepted_at, severity: *severity };
        let (resolved_at, repeats) = match cause {
            FollowUp::Resolved => (Some(self.open.end(*incident).map_or(at, |over| over.since)), None),
            FollowUp::Acknowledgement(_) => (None, None),
            FollowUp::Escalated(step) => {
                self.open.escalated(*incident, *step);
                (None, None)
            }
            FollowUp::Fallback { delivery, channel, .. } => {
                self.handed_on(*delivery, channel);
                let dead = || self.dead.get(*delivery).map(|letter| (letter.resolved_at, letter.repeats));
                let waits = self.pending.get(delivery).map(|pending| (pending.resolved_at(), pending.repeats()));
                waits.or_else(dead).unwrap_or_default()
            }
            FollowUp::Repeated(repeats) => {
                self.matters.told(at, followed, repeats.last);
                self.told_cui.followed_up(followed);
                self.open.came_again(&about, &followed.escalations);
                (None, Some(*repeats))
            }
        };
        for planned in &followed.deliveries {
            let channel = self.channel(&planned.channel);
            self.open.planned(&about, planned);
            if planned.reason == Reason::Resolved {
                self.open.closes(*incident, channel);
            }
            self.plan(at, &about, planned);
            if (resolved_at.is_some() || repeats.is_some())
                && let Some(pending) = self.pending.get_mut(&planned.delivery)
            {
                let rare = pending.rare.get_or_insert_default();
                (rare.resolved_at, rare.repeats) = (resolved_at, repeats);
            }
            if let FollowUp::Acknowledgement(acknowledgement) = cause
                && let Some(pending) = self.pending.get_mut(&planned.delivery)
            {
                pending.rare.get_or_insert_default().acknowledgement = Some(acknowledgement.clone());
            }
        }
    }

    /// Takes note of a delivery that was decided on.
    fn plan(&mut self, at: Timestamp, about: &About, planned: &Planned) {
        let Planned { delivery, reason, stands_in_for, behind, behind_also, has_opened, opened, repeat_of, .. } =
            planned;
        let channel = self.channel(&planned.channel);
        // What it waits for may have ended since.
        let is_pending = |first: &DeliveryId| self.pending.contains_key(first);
        let behind = behind.filter(is_pending);
        let behind_also = behind_also.iter().copied().filter(is_pending).collect();
        let stands_in_for = stands_in_for.clone();
        let rare = Rare {
            stands_in_for,
            behind,
            behind_also,
            has_opened: *has_opened,
            opened: opened.clone(),
            repeat_of: *repeat_of,
            ..Rare::default()
        };
        let mut pending = self.next_pending(at, about, (channel, *reason), rare);
        if matches!(*reason, Reason::Run | Reason::Acked) {
            // No storm and no digest takes what stands for others from them, nor a person's word.
            pending.severity = Severity::Critical;
        }
        self.enqueue(*delivery, pending);
    }

    /// A delivery that comes after all others.
    fn next_pending(&mut self, at: Timestamp, about: &About, to: (u32, Reason), rare: Rare) -> Pending {
        let (channel, reason) = to;
        let order = self.orders;
        self.orders += 1;
        Pending {
            incident: about.incident,
            accepted_at: about.accepted_at,
            channel,
            severity: about.severity,
            reason,
            attempts: 0,
            in_flight: false,
            due: None,
            decided_at: at.into(),
            order,
            plain: false,
            waits_for_channel: false,
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// Puts a delivery where it belongs: none of its attempts is under way.
    pub(crate) fn enqueue(&mut self, delivery: DeliveryId, pending: Pending) {
        let queue = &mut self.queues[pending.channel as usize];
        queue.untried += usize::from(pending.attempts == 0);
        queue.by_order.insert(pending.order, delivery);
        queue.counts[pending.severity as usize] += 1;
        self.behind.extend(pending.behind().map(|first| (first, delivery)));
        match pending.due {
            _ if pending.behind().next().is_some() => {}
            Some(due) => _ = queue.waiting.insert((due.into(), pending.rank())),
            None => _ = queue.ready.insert(pending.rank()),
        }
        self.pending.insert(delivery, pending);
    }

    /// Forgets a delivery that has ended, and lets the one go that waited for it, unless it waits for another one, too.
    fn end(&mut self, delivery: DeliveryId, arrived: bool) -> Option<Pending> {
        let ended = self.pending.remove(&delivery)?;
        let queue = &mut self.queues[ended.channel as usize];
        queue.by_order.remove(&ended.order);
        queue.counts[ended.severity as usize] -= 1;
        queue.untried -= usize::from(ended.attempts == 0);
        for next in self.closers(delivery) {
            self.behind.remove(&(delivery, next));
            let Some(pending) = self.pending.get_mut(&next) else { continue };
            if let Some(rare) = &mut pending.rare {
                rare.behind = rare.behind.filter(|first| *first != delivery);
                rare.behind_also.retain(|first| *first != delivery);
                rare.has_opened |= arrived;
            }
            if pending.behind().next().is_none() {
                let rank = pending.rank();
                self.queues[pending.channel as usize].ready.insert(rank);
            }
        }
        Some(ended)
    }

    /// What waits until a delivery has ended.
    pub(crate) fn closers(&self, delivery: DeliveryId) -> Vec<DeliveryId> {
        let first = (delivery, DeliveryId(uuid::Uuid::nil()));
        let of_it = self.behind.range(first..).take_while(|(of, _)| *of == delivery);
        of_it.map(|(_, closer)| *closer).collect()
    }

    fn suppressed(&mut self, delivery: DeliveryId) {
        let Some(ended) = self.end(delivery, false) else { return };
        let rank = ended.rank();
        for first in ended.behind() {
            self.behind.remove(&(first, delivery));
        }
        let queue = &mut self.queues[ended.channel as usize];
        queue.ready.remove(&rank);
        if let Some(due) = ended.due {
            queue.waiting.remove(&(due.into(), rank));
        }
        self.open.ended(ended.incident, delivery, false);
    }

    /// Whether a channel was asked to step in for a delivery's own; of what has arrived nothing is known.
    pub(crate) fn is_taken_by(&self, delivery: DeliveryId, channel: &str) -> bool {
        match self.pending.get(&delivery) {
            Some(pending) => self.taken_by(pending).any(|name| name == channel),
            None => self.dead.get(delivery).is_some_and(|letter| letter.handed_on.iter().any(|name| name == channel)),
        }
    }

    /// The channels that were asked to step in for a delivery's own.
    fn taken_by<'a>(&'a self, pending: &'a Pending) -> impl Iterator<Item = &'a str> {
        let before = pending.rare.iter().flat_map(|rare| &rare.handed_on).map(String::as_str);
        let since = self.queues[pending.channel as usize].handed_on.iter();
        let since = since.filter(|(_, next)| **next > pending.order);
        before.chain(since.map(|(channel, _)| self.names[*channel as usize].as_str()))
    }

    fn handed_on(&mut self, delivery: DeliveryId, channel: &str) {
        let target = self.channel(channel);
        let Some(pending) = self.pending.get(&delivery) else { return self.dead.handed_on(delivery, channel) };
        let from = self.queues[pending.channel as usize].handed_on.entry(target).or_default();
        *from = (*from).max(pending.order + 1);
    }

    fn state_changed(&mut self, at: Timestamp, change: &StateChanged) {
        if change.state == balefire_model::State::Resolved
            && let Some(open) = self.open.get(change.incident)
        {
            // Its channels are still to hear that the one works again which it tells of; also those that gave it up, since
            // a dead letter may be sent on its way again.
            let told_by = |queue: &&mut Queue| queue.told_by == Some(change.incident);
            let mut heard: Vec<String> = open.told.iter().map(|told| told.channel.as_ref().to_owned()).collect();
            heard.sort_unstable();
            heard.dedup();
            self.queues.iter_mut().filter(told_by).for_each(|queue| queue.heard = Some(heard.clone()));
        }
        self.open.acknowledged(at, self.position, change);
        if change.state == balefire_model::State::Resolved {
            self.matters.forget(change.incident);
            self.told_cui.forget(change.incident);
        }
        let matters = !self.pending.is_empty() || self.dead.len() > 0;
        self.open.changed(at, change, matters);
    }

    fn health_changed(&mut self, at: Timestamp, changed: &HealthChanged) {
        let channel = self.channel(&changed.channel);
        let queue = self.queue(channel);
        if changed.failing_since.is_none() {
            queue.recovered_at = Some(at);
        }
        queue.told_by = changed.failing_since.map(|_| changed.told_by);
        queue.heard = None;
    }

    fn redriven(&mut self, at: Timestamp, redriven: &Redriven) {
        let delivery = redriven.delivery;
        let Some(dead) = self.dead.take(delivery) else { return };
        self.open.tried_again(dead.incident, delivery);
        let channel = self.channel(&dead.channel);
        let DeadLetter { stands_in_for, resolved_at, acknowledgement, repeats, repeat_of, handed_on, .. } = dead;
        let behind_also: Vec<DeliveryId> =
            redriven.behind.iter().copied().filter(|first| self.pending.contains_key(first)).collect();
        // It was tried, and so had something to close.
        let has_opened = !behind_also.is_empty();
        let reached = dead.reached;
        let rare = Rare {
            stands_in_for,
            resolved_at,
            acknowledgement,
            repeats,
            repeat_of,
            reached,
            handed_on,
            behind_also,
            has_opened,
            ..Rare::default()
        };
        let about = About { incident: dead.incident, accepted_at: dead.accepted_at, severity: dead.severity };
        let pending = self.next_pending(at, &about, (channel, dead.reason), rare);
        self.enqueue(delivery, Pending { attempts: dead.attempts, ..pending });
        if dead.reason != Reason::Resolved {
            let end = DeliveryId::derive(dead.incident, Reason::Resolved.as_str(), &dead.channel);
            self.hold(end, delivery);
            let note = self.open.newest_note(dead.incident, &dead.channel);
            note.filter(|note| *note != delivery).into_iter().for_each(|note| self.hold(note, delivery));
        }
    }

    /// The end of an incident, or who takes care of it, where that has not gone out yet, waits for a message that is on its
    /// way again.
    fn hold(&mut self, later: DeliveryId, delivery: DeliveryId) {
        let Some(pending) = self.pending.get_mut(&later).filter(|pending| !pending.in_flight) else { return };
        let rank = pending.rank();
        let (due, has_opened) = (pending.due.take(), pending.has_opened());
        let rare = pending.rare.get_or_insert_default();
        rare.behind_also.push(delivery);
        rare.has_opened = has_opened;
        let queue = &mut self.queues[pending.channel as usize];
        queue.ready.remove(&rank);
        if let Some(due) = due {
            queue.waiting.remove(&(due.into(), rank));
        }
        self.behind.insert((delivery, later));
    }

    fn attempt_started(&mut self, at: Timestamp, started: &AttemptStarted) {
        let Some(pending) = self.pending.get_mut(&started.delivery) else { return };
        let rank = pending.rank();
        let queue = &mut self.queues[pending.channel as usize];
        queue.ready.remove(&rank);
        if let Some(due) = pending.due.take() {
            queue.waiting.remove(&(due.into(), rank));
        }
        queue.in_flight += 1;
        queue.untried -= usize::from(pending.attempts == 0);
        queue.attempted(at);
        pending.in_flight = true;
        pending.attempts = started.attempt;
    }

    fn attempt_ended(&mut self, at: Timestamp, ended: &AttemptEnded) {
        let Some(pending) = self.pending.get_mut(&ended.delivery) else { return };
        let queue = &mut self.queues[pending.channel as usize];
        queue.in_flight -= u32::from(pending.in_flight);
        pending.in_flight = false;
        let was_failing = queue.is_failing();
        note_health(queue, at, ended);
        let is_back = was_failing && !queue.is_failing();
        let channel = pending.channel;
        match &ended.next {
            Next::Retry(due) => {
                let due = Micros::from(*due);
                pending.due = Some(due);
                pending.plain |= ended.plain_next;
                pending.waits_for_channel = matches!(ended.outcome, Outcome::Rejected { .. });
                if let Some(posted) = ended.outcome.posted() {
                    pending.rare.get_or_insert_default().reached = Some(posted.to_owned());
                }
                queue.waiting.insert((due.into(), pending.rank()));
            }
            Next::Done => {
                self.open.ended(pending.incident, ended.delivery, true);
                if let Some(posted) = ended.outcome.posted() {
                    self.open.posted(pending.incident, ended.delivery, posted);
                    self.closes(ended.delivery, posted);
                }
                self.end(ended.delivery, true);
            }
            Next::GiveUp { cause, reason } => {
                self.open.ended(pending.incident, ended.delivery, false);
                if let Some(pending) = self.end(ended.delivery, false) {
                    let handed_on = self.taken_by(&pending).map(str::to_owned).collect();
                    let letter = DeadLetter::new(at, ended, &pending, (*cause, reason));
                    let letter = DeadLetter { handed_on, ..letter };
                    self.dead.insert(ended.delivery, letter);
                }
            }
        }
        if is_back {
            self.let_go(channel);
        }
    }

    /// What waits for a delivery closes what stands there.
    fn closes(&mut self, delivery: DeliveryId, posted: &str) {
        for next in self.closers(delivery) {
            if let Some(pending) = self.pending.get_mut(&next) {
                pending.rare.get_or_insert_default().opened.get_or_insert_with(|| posted.to_owned());
            }
        }
    }

    /// A channel works again: what it failed to carry need not wait any longer. What the far side asked to come later does.
    fn let_go(&mut self, channel: u32) {
        let queue = &mut self.queues[channel as usize];
        let waiting = std::mem::take(&mut queue.waiting);
        for (due, rank) in waiting {
            match self.pending.get_mut(&queue.delivery(&rank)).filter(|pending| pending.waits_for_channel) {
                Some(pending) => {
                    pending.due = None;
                    pending.waits_for_channel = false;
                    queue.ready.insert(rank);
                }
                None => _ = queue.waiting.insert((due, rank)),
            }
        }
        // What was due may have been looked at, and lies ready; in replay it still waits.
        for rank in queue.tried() {
            if let Some(pending) =
                self.pending.get_mut(&queue.delivery(rank)).filter(|pending| pending.waits_for_channel)
            {
                pending.due = None;
                pending.waits_for_channel = false;
            }
        }
    }

    fn submitted(&mut self, at: Timestamp, submitted: &Submitted) {
        self.key_ages.push_back((at, submitted.key.clone()));
        let answered = Answered { body: submitted.body.clone(), incidents: Arc::new(submitted.incidents.clone()) };
        self.keys.insert(submitted.key.clone(), answered);
        while let Some((since, _)) = self.key_ages.front() {
            if self.key_ages.len() <= KEYS_MAX && at.duration_since(*since) <= KEY_AGE_MAX {
                break;
            }
            let (_, key) = self.key_ages.pop_front().expect("there is a front");
            self.keys.remove(&key);
        }
    }
}

/// What an outcome says of the channel itself. A failing channel rests for half of the time until the failed delivery is
/// due again, so that the probe is another delivery: one that poisons its channel cannot hold up the rest.
fn note_health(queue: &mut Queue, at: Timestamp, ended: &AttemptEnded) {
    let rest = |due: Timestamp| at.checked_add(due.duration_since(at) / 2).unwrap_or(due);
    match (&ended.outcome, &ended.next) {
        (Outcome::Delivered { .. } | Outcome::Rejected { cause: Cause::Size | Cause::Schema | Cause::Gone, .. }, _) => {
            queue.failures = 0;
            queue.failing = None;
            queue.paused_until = None;
        }
        (Outcome::Deferred { .. }, Next::Retry(due)) => queue.paused_until = Some(*due),
        (Outcome::Rejected { cause, .. }, next) => {
            queue.failures = queue.failures.saturating_add(1);
            queue.failing = Some((queue.failing.map_or(at, |(since, _)| since), *cause));
            if let Next::Retry(due) = next
                && queue.failures >= crate::queue::FAILING
            {
                queue.paused_until = Some(rest(*due));
            }
        }
        (Outcome::Unknown | Outcome::Deferred { .. }, _) => {}
    }
}
