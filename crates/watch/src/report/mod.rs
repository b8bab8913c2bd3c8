//! The report on audit-failure alerting for an assessor: cases out of incidents, their latencies against the limits, and
//! what each control of a framework is answered by. Pure: incidents in as their JSON, a report out as data.

mod case;
mod catalogue;
mod framework;
mod html;

pub use case::{Case, Told, begins_before, cases};
pub use catalogue::{CATALOGUE, Known};
pub use framework::{Control, Framework};
pub use html::page;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// What is in force.
#[derive(Clone, Debug, Serialize)]
pub struct Parameters {
    /// Within so many seconds a failure is to be seen.
    pub max_detect_s: f64,
    /// Within so many more a channel is to have accepted the alert.
    pub max_notify_s: f64,
    /// How a failure becomes worse, in words, in order.
    pub escalate: Vec<String>,
    /// How bad it is that a watcher cannot see.
    pub blind: String,
    /// The team that must hear; none where the routes alone decide.
    pub recipients: Option<String>,
    /// How often drills are held by themselves, in words.
    pub drills: Option<String>,
}

/// Who hears of a kind of failure at this moment.
#[derive(Clone, Debug, Serialize)]
pub struct Recipients {
    /// The kinds of failure that go this way.
    pub failures: Vec<String>,
    /// Each channel: its name, its kind and the people that it names.
    pub channels: Vec<Recipient>,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recipient {
    /// Its name.
    pub channel: String,
    /// Its kind.
    pub kind: String,
    /// The people that it names.
    pub people: Vec<String>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Period {
    /// From this time on.
    pub since: Timestamp,
    /// Before this time.
    pub until: Timestamp,
}

/// What is known beside the incidents.
#[derive(Clone, Debug)]
pub struct Facts {
    /// For which framework.
    pub framework: Framework,
    /// Over which time.
    pub period: Period,
    /// When it was made.
    pub made: Timestamp,
    /// This machine's name.
    pub host: String,
    /// What is in force.
    pub parameters: Parameters,
    /// Who hears.
    pub recipients: Vec<Recipients>,
    /// The watchers as `balefire watch status --json` has them.
    pub watchers: Vec<Value>,
    /// Kinds of watcher that are not configured.
    pub not_configured: Vec<String>,
    /// What else an assessor must know, in sentences.
    pub remarks: Vec<String>,
}

/// How a kind of latency compares with its limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// The limit in seconds.
    pub limit_s: f64,
    /// How often it was kept,
    pub met: usize,
    /// and how often not, those included that never came.
    pub missed: usize,
    /// How many could not be measured.
    pub unmeasured: usize,
    /// In seconds, of those that were measured.
    pub median_s: Option<f64>,
    /// Nine of ten were not slower.
    pub p90_s: Option<f64>,
    /// The slowest.
    pub max_s: Option<f64>,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The framework's word.
    pub framework: &'static str,
    /// Its controls, and what answers them here.
    pub controls: &'static [Control],
    /// Over which time.
    pub period: Period,
    /// When it was made.
    pub made: Timestamp,
    /// On which machine.
    pub host: String,
    /// What is in force.
    pub parameters: Parameters,
    /// Who hears of which failure at this moment.
    pub recipients: Vec<Recipients>,
    /// The types of failure that are alerted on.
    pub types: &'static [Known],
    /// The watchers.
    pub watchers: Vec<Value>,
    /// What is not covered: blind, unknown, not configured.
    pub not_covered: Vec<String>,
    /// From the last time at which it worked to its detection.
    pub detection: Latency,
    /// From its detection to the first channel that accepted the alert.
    pub notification: Latency,
    /// Failures of the period, the oldest first; those that began before it and were not over, too.
    pub failures: Vec<Case>,
    /// Drills of the period.
    pub drills: Vec<Case>,
    /// The time from the begin of a drill to the first channel that accepted it.
    pub drill_notification: Latency,
}

/// Puts it together. `incidents` are those of `balefire incidents export --format json`, in any order; what was over before the
/// period is passed over.
#[must_use]
pub fn report(known: Facts, incidents: &[Value]) -> Report {
    let cases = cases(incidents).into_iter().filter(|case| case.reaches(known.period.since));
    let (drills, failures): (Vec<Case>, Vec<Case>) = cases.partition(|case| case.is_drill);
    let limits = (known.parameters.max_detect_s, known.parameters.max_notify_s);
    let detect = failures.iter().filter(|case| case.is_failure()).map(|case| case.detect_s);
    let notify = |cases: &[Case]| {
        let told: Vec<_> = cases.iter().filter(|case| case.is_failure() && case.parent.is_none()).collect();
        latency(limits.1, told.iter().map(|case| case.notify_s), true)
    };
    Report {
        framework: known.framework.as_str(),
        controls: known.framework.controls(),
        period: known.period,
        made: known.made,
        host: known.host,
        not_covered: not_covered(&known.watchers, &known.not_configured, known.remarks),
        parameters: known.parameters,
        recipients: known.recipients,
        types: CATALOGUE,
        watchers: known.watchers,
        detection: latency(limits.0, detect, false),
        notification: notify(&failures),
        drill_notification: notify(&drills),
        failures,
        drills,
    }
}

/// What was not measured counts as missed where something ought to have come.
fn latency(limit_s: f64, measured: impl Iterator<Item = Option<f64>>, is_missed: bool) -> Latency {
    let all: Vec<Option<f64>> = measured.collect();
    let mut known: Vec<f64> = all.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    let met = known.iter().filter(|seconds| **seconds <= limit_s).count();
    let none = all.len() - known.len();
    let at = |share: f64| {
        let place = (known.len() as f64 * share).ceil() as usize;
        known.get(place.saturating_sub(1)).copied()
    };
    Latency {
        limit_s,
        met,
        missed: known.len() - met + if is_missed { none } else { 0 },
        unmeasured: if is_missed { 0 } else { none },
        median_s: at(0.5),
        p90_s: at(0.9),
        max_s: known.last().copied(),
    }
}

fn not_covered(watchers: &[Value], not_configured: &[String], remarks: Vec<String>) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut said = Vec::new();
    for watcher in watchers {
        let name = text(&watcher["name"]);
        match watcher["state"].as_str() {
            Some("blind") => {
                let (why, cure) = (text(&watcher["blind"]["why"]), text(&watcher["blind"]["cure"]));
                said.push(format!("{name} is blind: {why}; cured by {cure}"));
            }
            Some("unknown") => said.push(format!("{name}: nothing can be said yet: {}", text(&watcher["waits"]))),
            _ => {}
        }
    }
    said.extend(not_configured.iter().map(|kind| format!("{kind} is not configured: nothing of it is watched")));
    said.extend(remarks);
    said
}

/// Seconds of a time.
#[must_use]
pub fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests;
