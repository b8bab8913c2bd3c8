//! What the engine knows, all of it from records: `apply` is the only way to change it, live as in replay.

use crate::queue::{Queue, Rank};
use balefire_model::channel::Reason;
use balefire_model::record::{AttemptEnded, AttemptStarted, Configured, InputRead, Next, Planned, Routed, Submitted};
use balefire_model::{Cause, DeliveryId, IncidentId, Outcome, Position, Record, Severity};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};
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
    pub due: Option<Timestamp>,
    pub decided_at: Timestamp,
    pub order: u64,
}

impl Pending {
    pub(crate) fn rank(&self, delivery: DeliveryId) -> Rank {
        Rank::new(self.severity, self.attempts, self.order, delivery)
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
    /// Never iterated: its order would differ from run to run.
    pub(crate) pending: HashMap<DeliveryId, Pending>,
    pub(crate) names: Vec<String>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) orders: u64,
    pub(crate) keys: BTreeMap<String, Answered>,
    pub(crate) key_ages: VecDeque<(Timestamp, String)>,
    pub(crate) inputs: BTreeMap<String, (String, u64)>,
    pub(crate) digest: String,
    pub(crate) since_snapshot: u64,
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
            let head = queue.ready.first().or(queue.waiting.first().map(|(_, rank)| rank));
            QueueStatus {
                channel: name.clone(),
                depth: queue.len(),
                in_flight: queue.in_flight,
                untried: queue.untried,
                failures: queue.failures,
                paused_until: queue.paused_until,
                head_since: head.and_then(|rank| self.pending.get(&rank.delivery)).map(|p| p.decided_at),
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

    /// Takes note of a record, which stands at the current position.
    pub(crate) fn apply(&mut self, at: Timestamp, record: &Record) {
        self.position = self.position.plus(1);
        self.since_snapshot += 1;
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
            Record::Accepted(_) | Record::StateChanged(_) | Record::Started(_) | Record::Stopped(_) => {}
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

    fn routed(&mut self, at: Timestamp, routed: &Routed) {
        for Planned { delivery, channel, reason } in &routed.deliveries {
            let channel = self.channel(channel);
            let pending = Pending {
                incident: routed.incident,
                accepted_at: routed.accepted_at,
                channel,
                severity: routed.severity,
                reason: *reason,
                attempts: 0,
                in_flight: false,
                due: None,
                decided_at: at,
                order: self.orders,
            };
            self.orders += 1;
            let queue = self.queue(channel);
            queue.untried += 1;
            queue.ready.insert(pending.rank(*delivery));
            self.pending.insert(*delivery, pending);
        }
    }

    fn attempt_started(&mut self, at: Timestamp, started: &AttemptStarted) {
        let Some(pending) = self.pending.get_mut(&started.delivery) else { return };
        let rank = pending.rank(started.delivery);
        let queue = &mut self.queues[pending.channel as usize];
        queue.ready.remove(&rank);
        if let Some(due) = pending.due.take() {
            queue.waiting.remove(&(due, rank));
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
        note_health(queue, at, ended);
        match &ended.next {
            Next::Done | Next::GiveUp { .. } => {
                self.pending.remove(&ended.delivery);
            }
            Next::Retry(due) => {
                pending.due = Some(*due);
                queue.waiting.insert((*due, pending.rank(ended.delivery)));
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
            queue.paused_until = None;
        }
        (Outcome::Deferred { .. }, Next::Retry(due)) => queue.paused_until = Some(*due),
        (Outcome::Rejected { .. }, next) => {
            queue.failures = queue.failures.saturating_add(1);
            if let Next::Retry(due) = next
                && queue.failures >= crate::queue::FAILING
            {
                queue.paused_until = Some(rest(*due));
            }
        }
        (Outcome::Unknown | Outcome::Deferred { .. }, _) => {}
    }
}
