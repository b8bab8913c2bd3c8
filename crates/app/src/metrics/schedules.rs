//! What is counted of scheduled commands. Times are of the wall clock, so that an alert can ask how long ago one was.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BySchedule {
    schedule: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByScheduleAndCause {
    schedule: String,
    cause: &'static str,
}

type Float = Family<BySchedule, Gauge<f64, AtomicU64>>;

/// Everything that is counted of schedules.
#[derive(Default)]
pub(crate) struct Schedules {
    running: Family<BySchedule, Gauge>,
    last_start: Float,
    last_success: Float,
    last_duration: Float,
    failures: Family<ByScheduleAndCause, Counter>,
}

impl Schedules {
    pub(super) fn register(&self, r: &mut Registry) {
        let help = "1 while a run of the schedule is under way, else 0";
        r.register("schedule_running", help, self.running.clone());
        let (name, help) = ("schedule_last_start_timestamp", "When the last run of the schedule was started");
        r.register_with_unit(name, help, Unit::Seconds, self.last_start.clone());
        let (name, help) = ("schedule_last_success_timestamp", "When the last good run of the schedule ended");
        r.register_with_unit(name, help, Unit::Seconds, self.last_success.clone());
        let (name, help) = ("schedule_last_duration", "How long the last run of the schedule took that ended");
        r.register_with_unit(name, help, Unit::Seconds, self.last_duration.clone());
        let help = "Runs of the schedule that failed, were missed or overlapped, by cause";
        r.register("schedule_failures", help, self.failures.clone());
    }

    /// A run begins, or another one goes on.
    pub(crate) fn started(&self, schedule: &str, at: Timestamp) {
        self.last_start.get_or_create(&label(schedule)).set(seconds(at));
        self.running.get_or_create(&label(schedule)).set(1);
    }

    /// None is under way.
    pub(crate) fn idle(&self, schedule: &str) {
        self.running.get_or_create(&label(schedule)).set(0);
    }

    /// A run has ended, or did when we were started.
    pub(crate) fn ended(&self, schedule: &str, took: Duration) {
        self.last_duration.get_or_create(&label(schedule)).set(took.as_secs_f64());
    }

    /// A good run ended then.
    pub(crate) fn succeeded(&self, schedule: &str, at: Timestamp) {
        self.last_success.get_or_create(&label(schedule)).set(seconds(at));
    }

    /// Something was told of it. Causes are few and fixed.
    pub(crate) fn failed(&self, schedule: &str, cause: &'static str) {
        self.failures.get_or_create(&ByScheduleAndCause { schedule: schedule.to_owned(), cause }).inc();
    }

    /// It is not in the configuration any more: nobody is to wait for its next success.
    pub(crate) fn gone(&self, schedule: &str) {
        let label = label(schedule);
        self.running.remove(&label);
        for times in [&self.last_start, &self.last_success, &self.last_duration] {
            times.remove(&label);
        }
    }
}

fn label(schedule: &str) -> BySchedule {
    BySchedule { schedule: schedule.to_owned() }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
