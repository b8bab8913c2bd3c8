//! When events of each source were last heard, and which canaries have arrived. Bounded; forgets with the process.

use crate::clock;
use balefire_intake::normalise::assign;
use balefire_model::{Incident, Severity};
use balefire_watch::{CANARY, Heard, Lag, LogRecord, LogRecords, Moment, Pulse, Sign, Skew, log_records};
use jiff::SignedDuration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// As many sources are kept apart: tokens, inputs and schedules are configured, and nobody configures more. Further ones are
/// not kept, and that is told once.
const SOURCES_MAX: usize = 20_000;

/// As many canaries are remembered; each is looked for within a minute or so.
const NONCES_MAX: usize = 1024;

/// As many records of one source wait to be counted; that is done every few seconds. Where there are more, that is told.
const LOG_RECORDS_MAX: usize = 50_000;

/// As much of a nonce as is remembered; ours are shorter.
const NONCE_BYTES_MAX: usize = 64;

/// As many of the events that come at once are asked for their time.
const OFFSETS_MAX: usize = 32;

/// What the journal keeps of jobs is under this name and the source's. No input has such a name: a slash is not allowed there.
const PREFIX: &str = "heartbeat/";

/// The source of what comes over the Unix socket: whoever may write to that is on this machine and may do everything.
const LOCAL: &str = "socket";

/// As whose word the plugin of auditd tells what it sees.
pub(crate) const PLUGIN: &str = "auditd-plugin";

/// What it says when auditd is gone, and the watcher that sees the same.
const GONE: &str = "audit.owner_lost";
const OWNER: &str = "kernel.owner";

/// So long after its last question the watcher is taken for one that looks; it does so every second.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// What was heard since the start, and what jobs told before.
#[derive(Debug, Default)]
pub(crate) struct HeardOf(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sources: HashMap<String, Heard>,
    nonces: VecDeque<(String, Moment)>,
    /// How far the times of sources are from ours.
    lags: HashMap<String, Lag>,
    /// What jobs told of their runs, and how often; of sources that are in the configuration.
    pulses: HashMap<String, (u64, Pulse)>,
    /// What waits to be counted, of sources whose records are followed.
    records: HashMap<String, LogRecords>,
    asked: Option<Moment>,
    /// When the watcher last asked for the plugin's word, and whether there is one that it does not know.
    asked_for_plugin: Option<Moment>,
    is_plugin_told: bool,
    told_full: bool,
}

/// The canaries among incidents, and how many others there are.
#[derive(Debug)]
pub(crate) struct Count {
    nonces: Vec<String>,
    /// How far the times of the events are from ours, where they have one of their own.
    offsets: Vec<SignedDuration>,
    others: u64,
    /// One was handed over to the watcher.
    is_plugin_told: bool,
    records: Vec<LogRecord>,
}

impl Count {
    pub(crate) fn of(incidents: &[Arc<Incident>]) -> Count {
        let nonce = |incident: &Arc<Incident>| {
            let nonce = incident.labels.get(CANARY)?;
            Some(balefire_model::text::cut(nonce, NONCE_BYTES_MAX).into_owned())
        };
        let nonces: Vec<String> = incidents.iter().filter_map(nonce).collect();
        let timed = incidents.iter().rev().filter_map(|incident| Some((incident.event_time?, incident.received_at)));
        let offsets = timed.take(OFFSETS_MAX).map(|(own, ours)| own.duration_since(ours)).collect();
        let is_handed_over = |incident: &Arc<Incident>| {
            is_of_plugin(incident) && incident.labels.get("parent").is_some_and(|parent| parent == OWNER)
        };
        let is_plugin_told = incidents.iter().any(is_handed_over);
        Count {
            others: incidents.len().saturating_sub(nonces.len()) as u64,
            nonces,
            offsets,
            is_plugin_told,
            records: Vec::new(),
        }
    }

    /// With the records of Windows' logs that are among them.
    pub(crate) fn with_records(mut self, incidents: &[Arc<Incident>]) -> Count {
        self.records = incidents.iter().flat_map(|incident| log_records(incident)).collect();
        self
    }
}

impl HeardOf {
    /// Takes note of what a source has sent.
    pub(crate) fn note(&self, source: &str, count: Count) {
        let now = clock::moment();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for nonce in count.nonces {
            if inner.nonces.len() == NONCES_MAX {
                inner.nonces.pop_front();
            }
            inner.nonces.push_back((nonce, now));
        }
        inner.is_plugin_told |= count.is_plugin_told && source == LOCAL;
        inner.hear(source, now, count.others);
        if !count.offsets.is_empty() && (inner.lags.len() < SOURCES_MAX || inner.lags.contains_key(source)) {
            let lag = inner.lags.entry(source.to_owned()).or_default();
            count.offsets.into_iter().for_each(|offset| lag.take(now, offset));
        }
        if count.records.is_empty() {
            return;
        }
        let waiting = inner.records.entry(source.to_owned()).or_default();
        let room = LOG_RECORDS_MAX.saturating_sub(waiting.records.len());
        waiting.is_cut |= count.records.len() > room;
        waiting.records.extend(count.records.into_iter().take(room));
    }

    /// The records of logs that a source has sent, each once.
    pub(super) fn log_records(&self, source: &str) -> LogRecords {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).records.remove(source).unwrap_or_default()
    }

    /// With what the journal knows of jobs. What is not understood is left out, and its job begins anew.
    pub(crate) fn knowing(now: Moment, inputs: &HashMap<String, (String, u64)>) -> HeardOf {
        let ours = inputs.iter().filter_map(|(input, (file, _))| Some((input.strip_prefix(PREFIX)?, file)));
        let pulses = ours.filter_map(|(id, file)| Some((id.to_owned(), (0, Pulse::read(now, file)?))));
        HeardOf(Mutex::new(Inner { pulses: pulses.take(SOURCES_MAX).collect(), ..Inner::default() }))
    }

    /// A source says that it is alive.
    pub(crate) fn beat(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hear(id, clock::moment(), 1);
    }

    /// A job tells of its run; `false` where there are too many of them. The job's id is in the configuration.
    pub(crate) fn take_sign(&self, id: &str, now: Moment, sign: Sign) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.pulses.len() >= SOURCES_MAX && !inner.pulses.contains_key(id) {
            return false;
        }
        let (number, pulse) = inner.pulses.entry(id.to_owned()).or_default();
        pulse.take(now, sign);
        *number += 1;
        true
    }

    /// What is known of a job, as the journal keeps it, and how many signs that was.
    pub(crate) fn written(&self, id: &str) -> (u64, String) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pulses.get(id).map(|(number, pulse)| (*number, pulse.write())).unwrap_or_default()
    }

    /// The name under which the journal keeps it.
    pub(crate) fn input_of(id: &str) -> String {
        format!("{PREFIX}{id}")
    }

    pub(super) fn pulse(&self, id: &str) -> Option<Pulse> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pulses.get(id).map(|(_, pulse)| pulse.clone())
    }

    /// What auditd's plugin on this machine says is the watcher's to tell, where that looks: one cause is one alert. Where it does
    /// not look, it stays what it is.
    pub(crate) fn hand_over(&self, source: &str, incident: &mut Incident) {
        if source != LOCAL || !is_of_plugin(incident) {
            return;
        }
        let now = clock::moment();
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner).asked_for_plugin;
        if asked.is_some_and(|asked| now.since(asked) < ASKED_WITHIN) {
            incident.labels.insert("parent".to_owned(), OWNER.to_owned());
            assign(incident, Severity::Info);
        }
    }

    /// Whether something was handed over since this was last asked.
    pub(super) fn plugin_told(&self) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked_for_plugin = Some(clock::moment());
        std::mem::take(&mut inner.is_plugin_told)
    }

    /// Somebody asks whether we are well.
    pub(crate) fn asked(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(clock::moment());
    }

    pub(super) fn when_asked(&self) -> Option<Moment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    pub(super) fn source(&self, name: &str) -> Option<Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sources.get(name).copied()
    }

    pub(super) fn sources(&self) -> Vec<(String, Heard)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sources.iter().map(|(name, heard)| (name.clone(), *heard)).collect()
    }

    pub(super) fn skews(&self) -> Vec<(String, Skew)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.lags.iter().filter_map(|(name, lag)| Some((name.clone(), lag.skew()?))).collect()
    }

    pub(super) fn arrived(&self, nonce: &str) -> Option<Moment> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.nonces.iter().find(|(known, _)| known == nonce).map(|(_, at)| *at)
    }
}

impl Inner {
    fn hear(&mut self, source: &str, now: Moment, events: u64) {
        if events == 0 {
            return;
        }
        if let Some(heard) = self.sources.get_mut(source) {
            (heard.last, heard.count) = (now, heard.count + events);
        } else if self.sources.len() < SOURCES_MAX {
            self.sources.insert(source.to_owned(), Heard { last: now, count: events });
        } else if !std::mem::replace(&mut self.told_full, true) {
            tracing::warn!(SOURCES_MAX, "more sources than are kept apart; the further ones are not watched");
        }
    }
}

fn is_of_plugin(incident: &Incident) -> bool {
    let says = |name: &str, value: &str| incident.labels.get(name).is_some_and(|found| found == value);
    says("watcher", PLUGIN) && says("failure", GONE) && says("change", "began")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::sample;

    fn incident(nonce: Option<&str>) -> Arc<Incident> {
        let mut incident = sample(clock::now());
        incident.labels.extend(nonce.map(|nonce| (CANARY.to_owned(), nonce.to_owned())));
        Arc::new(incident)
    }

    #[test]
    fn a_canary_arrives_and_does_not_count_as_heard_of_its_source() {
        let heard = HeardOf::default();
        heard.note("web", Count::of(&[incident(Some("0123"))]));
        assert!(heard.source("web").is_none() && heard.arrived("0123").is_some() && heard.arrived("4567").is_none());
        heard.note("web", Count::of(&[incident(None), incident(Some("4567")), incident(None)]));
        assert_eq!(heard.source("web").map(|heard| heard.count), Some(2));
        assert_eq!(heard.sources().len(), 1);
    }

    #[test]
    fn what_the_plugin_of_this_machine_says_is_handed_over_to_a_watcher_that_looks_and_only_then() {
        let heard = HeardOf::default();
        let said = |source: &str, failure: &str| {
            let mut incident = sample(clock::now());
            incident.severity = Severity::Critical;
            let labels = [("watcher", PLUGIN), ("failure", failure), ("change", "began")];
            incident.labels.extend(labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
            heard.hand_over(source, &mut incident);
            let severity = incident.severity;
            heard.note(source, Count::of(&[Arc::new(incident)]));
            severity
        };
        assert_eq!(said("socket", GONE), Severity::Critical, "nobody looks");
        assert!(!heard.plugin_told());
        assert_eq!(said("web", GONE), Severity::Critical, "it may be of another machine");
        assert_eq!(said("socket", "audit.suspended"), Severity::Critical);
        assert!(!heard.plugin_told());
        assert_eq!(said("socket", GONE), Severity::Info);
        assert!(heard.plugin_told() && !heard.plugin_told());
    }

    #[test]
    fn records_of_logs_are_handed_out_once_and_too_many_say_so() {
        let heard = HeardOf::default();
        let of = |number: usize| {
            let event =
                format!(r#"{{"EventID": 4624, "Channel": "Security", "Computer": "DC1", "EventRecordID": {number}}}"#);
            let mut incident = sample(clock::now());
            incident.events = vec![serde_json::value::RawValue::from_string(event).unwrap(); 50];
            Arc::new(incident)
        };
        let incidents = [of(7)];
        heard.note("wec", Count::of(&incidents).with_records(&incidents));
        let found = heard.log_records("wec");
        let first = LogRecord { computer: "dc1".to_owned(), channel: "security".to_owned(), number: 7 };
        assert_eq!((found.records.len(), found.is_cut, &found.records[0]), (50, false, &first));
        assert_eq!(heard.log_records("wec"), LogRecords::default());
        let count = || Count {
            nonces: Vec::new(),
            offsets: Vec::new(),
            others: 1,
            is_plugin_told: false,
            records: vec![first.clone(); LOG_RECORDS_MAX / 2 + 1],
        };
        heard.note("wec", count());
        heard.note("wec", count());
        let found = heard.log_records("wec");
        assert_eq!((found.records.len(), found.is_cut), (LOG_RECORDS_MAX, true));
    }

    #[test]
    fn no_more_canaries_are_remembered_than_the_bound_says() {
        let heard = HeardOf::default();
        let all: Vec<_> = (0..NONCES_MAX + 1).map(|n| incident(Some(&n.to_string()))).collect();
        heard.note("web", Count::of(&all));
        assert!(heard.arrived("0").is_none() && heard.arrived("1").is_some());
    }

    #[test]
    fn what_a_job_told_is_known_after_a_restart_and_its_silence_counts_from_there() {
        let (heard, now) = (HeardOf::default(), clock::moment());
        assert!(heard.take_sign("backup", now, Sign::Began));
        assert!(heard.take_sign("backup", now, Sign::Failed("why".to_owned())));
        let (number, written) = heard.written("backup");
        assert_eq!(number, 2);
        let inputs = [(HeardOf::input_of("backup"), (written, 7)), ("falco".to_owned(), ("12:34".to_owned(), 5))];
        let known = HeardOf::knowing(now, &inputs.into_iter().collect());
        assert_eq!((known.pulse("backup"), known.pulse("falco")), (heard.pulse("backup"), None));
        assert!(known.source("backup").is_none(), "nobody could be heard before the start");
    }

    #[test]
    fn events_with_a_time_of_their_own_say_how_far_it_is_from_ours() {
        let heard = HeardOf::default();
        let timed = |hours: i64| {
            let mut incident = sample(clock::now());
            incident.event_time = Some(incident.received_at + SignedDuration::from_hours(hours));
            Arc::new(incident)
        };
        let all: Vec<_> = (0..40).map(|_| timed(-2)).collect();
        heard.note("fw", Count::of(&all));
        heard.note("untimed", Count::of(&vec![incident(None); 40]));
        let skews: Vec<_> = heard.skews().into_iter().map(|(name, skew)| (name, skew.median_ms)).collect();
        assert_eq!(skews, [("fw".to_owned(), -7_200_000)]);
    }
}
