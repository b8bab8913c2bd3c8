//! What is counted, in Prometheus' text form. Counts what is durable and what was refused; decides nothing.

mod schedules;
mod watchers;

pub(crate) use schedules::Schedules;

use crate::watch::{Status, Watchers};
use balefire_engine::{Engine, QueueStatus};
use balefire_model::record::{FollowUp, Next};
use balefire_model::{Outcome, Record, Severity};
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BySeverity {
    severity: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByChannel {
    channel: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByChannelAndCause {
    channel: String,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

type Float = Gauge<f64, AtomicU64>;
type HistogramFamily = Family<BySeverity, Histogram, fn() -> Histogram>;

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    accepted: Family<BySeverity, Counter>,
    refused: Family<ByReason, Counter>,
    delivered: Family<ByChannel, Counter>,
    failed: Family<ByChannelAndCause, Counter>,
    retried: Family<ByChannel, Counter>,
    given_up: Family<ByChannel, Counter>,
    queue_depth: Family<ByChannel, Gauge>,
    queue_age: Family<ByChannel, Float>,
    channel_failing: Family<ByChannel, Gauge>,
    dead_letters: Family<ByChannel, Gauge>,
    follow_ups: Family<ByKind, Counter>,
    fsync: Histogram,
    to_delivered: HistogramFamily,
    view_failures: Counter,
    journal_records: Gauge,
    /// Of scheduled commands.
    pub(crate) schedules: Schedules,
    /// As the engine's thread last left it.
    standing: Mutex<Standing>,
}

/// How the channels stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// What waits for each.
    pub queues: Vec<QueueStatus>,
    /// No configured channel can carry anything, as far as is known.
    pub every_channel_fails: bool,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let seconds: fn() -> Histogram = || {
            Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
            ])
        };
        let mut metrics = Metrics {
            registry: Registry::with_prefix("balefire"),
            accepted: Family::default(),
            refused: Family::default(),
            delivered: Family::default(),
            failed: Family::default(),
            retried: Family::default(),
            given_up: Family::default(),
            queue_depth: Family::default(),
            queue_age: Family::default(),
            channel_failing: Family::default(),
            dead_letters: Family::default(),
            follow_ups: Family::default(),
            fsync: Histogram::new([
                0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
            ]),
            to_delivered: Family::new_with_constructor(seconds),
            view_failures: Counter::default(),
            journal_records: Gauge::default(),
            schedules: Schedules::default(),
            standing: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("incidents_accepted", "Incidents that are durable, by severity", self.accepted.clone());
        r.register("incidents_refused", "Incidents that were not accepted, by reason", self.refused.clone());
        r.register("deliveries_delivered", "Deliveries that reached their channel", self.delivered.clone());
        r.register("attempts_failed", "Attempts that failed, by channel and cause", self.failed.clone());
        r.register("attempts_retried", "Attempts after the first", self.retried.clone());
        r.register("deliveries_given_up", "Deliveries that ended without success", self.given_up.clone());
        r.register("queue_depth", "Deliveries without an end, by channel", self.queue_depth.clone());
        let name = "queue_oldest_age";
        let help = "Age of the delivery that goes out next, by channel";
        r.register_with_unit(name, help, Unit::Seconds, self.queue_age.clone());
        let help = "1 while a channel fails and that is told to others, else 0";
        r.register("channel_failing", help, self.channel_failing.clone());
        let help = "Deliveries that were given up and neither redriven nor purged, by channel";
        r.register("dead_letters", help, self.dead_letters.clone());
        let help = "Decisions on further notifications of an incident, by what they follow from";
        r.register("follow_ups", help, self.follow_ups.clone());
        r.register_with_unit("journal_fsync", "Time of one append with its sync", Unit::Seconds, self.fsync.clone());
        let name = "event_to_delivered";
        let help = "Time from receipt to delivery, by severity";
        r.register_with_unit(name, help, Unit::Seconds, self.to_delivered.clone());
        r.register("view_failures", "Times that the view could not follow the journal", self.view_failures.clone());
        r.register("journal_records", "Records in the journal", self.journal_records.clone());
        self.schedules.register(r);
    }

    /// Takes note of a durable record.
    pub(crate) fn count(&self, record: &Record) {
        match record {
            Record::Accepted(incident) => {
                self.accepted.get_or_create(&BySeverity { severity: incident.severity.as_str() }).inc();
            }
            Record::AttemptStarted(started) if started.attempt > 1 => {
                self.retried.get_or_create(&ByChannel { channel: started.channel.clone() }).inc();
            }
            Record::FollowedUp(followed) => {
                let kind = match &followed.cause {
                    FollowUp::Resolved => "resolved",
                    FollowUp::Acknowledgement(_) => "acked",
                    FollowUp::Escalated(_) => "escalated",
                    FollowUp::Fallback { .. } => "fallback",
                    FollowUp::Repeated(_) => "repeated",
                };
                self.follow_ups.get_or_create(&ByKind { kind }).inc();
            }
            Record::AttemptEnded(ended) => {
                let channel = ByChannel { channel: ended.channel.clone() };
                match &ended.outcome {
                    Outcome::Delivered { .. } => _ = self.delivered.get_or_create(&channel).inc(),
                    Outcome::Rejected { cause, .. } => {
                        let label = ByChannelAndCause { channel: ended.channel.clone(), cause: cause.as_str() };
                        self.failed.get_or_create(&label).inc();
                    }
                    Outcome::Deferred { .. } | Outcome::Unknown => {}
                }
                if matches!(ended.next, Next::GiveUp { .. }) {
                    self.given_up.get_or_create(&channel).inc();
                }
            }
            _ => {}
        }
    }

    /// Takes note of incidents that were not accepted. Reasons are few and fixed.
    pub(crate) fn refused(&self, reason: &'static str, count: usize) {
        self.refused.get_or_create(&ByReason { reason }).inc_by(count as u64);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.fsync.observe(took.as_secs_f64());
    }

    pub(crate) fn delivered_after(&self, severity: Severity, seconds: f64) {
        self.to_delivered.get_or_create(&BySeverity { severity: severity.as_str() }).observe(seconds);
    }

    pub(crate) fn view_failed(&self) {
        self.view_failures.inc();
    }

    /// Takes note of what waits.
    pub(crate) fn queues(&self, engine: &Engine, now: Timestamp) {
        let state = engine.state();
        self.journal_records.set(i64::try_from(state.position().0).unwrap_or(i64::MAX));
        let queues = state.queues();
        for queue in &queues {
            let channel = ByChannel { channel: queue.channel.clone() };
            self.queue_depth.get_or_create(&channel).set(i64::try_from(queue.depth).unwrap_or(i64::MAX));
            let age = queue.head_since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
            self.queue_age.get_or_create(&channel).set(age);
            self.channel_failing.get_or_create(&channel).set(i64::from(queue.failing_since.is_some()));
            self.dead_letters.get_or_create(&channel).set(i64::try_from(queue.dead).unwrap_or(i64::MAX));
        }
        let standing = Standing { queues, every_channel_fails: engine.every_channel_fails() };
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// What waited for each channel when the engine last went round.
    pub(crate) fn queues_now(&self) -> Vec<QueueStatus> {
        self.standing_now().queues
    }

    /// How the channels stood when the engine last went round.
    pub(crate) fn standing_now(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The text that a scrape gets.
    pub(crate) fn text(&self, now: Timestamp, audit: &Watchers) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        let list = audit.list();
        let measures: Vec<_> = list.iter().map(Status::measure).collect();
        watchers::encode(&mut text, (&measures, &audit.counts()), now)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}
