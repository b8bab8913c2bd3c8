//! What people see of watchers. Decides nothing.

use super::note::Note;
use balefire_watch::{BLIND, Failure, Lack, Open, Standing, State, Watched};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One watcher.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    name: String,
    kind: String,
    target: String,
    state: State,
    since: Option<Timestamp>,
    /// How it was last known to work, and when that was.
    proof: String,
    proved: Option<Timestamp>,
    /// What is waited for where nothing can be said yet.
    waits: String,
    failures: Vec<Failing>,
    blind: Option<Blind>,
    /// Whether it is in the configuration; where it is not, it is still expected.
    is_configured: bool,
    /// Watchers whose failure explains this one's.
    under: Vec<String>,
    every_ms: Option<u64>,
    /// When it was last looked at, and how long that took.
    looked: Option<Timestamp>,
    took_us: u64,
    /// How long the last canary took that arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_us: Option<u64>,
    /// Since when it is expected.
    expected: Timestamp,
    drilled: Option<Timestamp>,
}

/// What is known of the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    pub(super) at: Option<Timestamp>,
    pub(super) took: Duration,
    /// How long the last canary took.
    pub(super) round_trip: Option<Duration>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
struct Failing {
    #[serde(flatten)]
    failure: Failure,
    detected: Timestamp,
    /// As what it was told.
    told_as: balefire_model::Severity,
    because_of: Option<String>,
}

/// Why a watcher cannot see, and what would cure that.
#[derive(Clone, Debug, Serialize)]
struct Blind {
    why: String,
    cure: String,
}

impl Status {
    pub(super) fn of(
        name: &str,
        (note, standing): (&Note, &Standing),
        watched: Option<&Watched>,
        looked: Looked,
    ) -> Status {
        let failing = |open: &Open| Failing {
            failure: open.failure.clone(),
            detected: open.detected,
            told_as: open.severity,
            because_of: open.because_of.clone(),
        };
        Status {
            name: name.to_owned(),
            kind: note.kind.clone(),
            target: note.target.clone(),
            state: standing.state,
            since: standing.since,
            proof: standing.proof.clone(),
            proved: standing.proved,
            waits: standing.waits.clone(),
            failures: standing.open.iter().filter(|open| open.failure.id != BLIND).map(failing).collect(),
            blind: standing.blind.clone().map(|(why, cure)| Blind { why, cure }),
            is_configured: watched.is_some(),
            under: watched.map(|watched| watched.under.clone()).unwrap_or_default(),
            every_ms: watched.map(|watched| u64::try_from(watched.every.as_millis()).unwrap_or(u64::MAX)),
            looked: looked.at,
            took_us: u64::try_from(looked.took.as_micros()).unwrap_or(u64::MAX),
            round_trip_us: looked.round_trip.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            expected: note.expected,
            drilled: note.drilled,
        }
    }

    /// What metrics tell of it.
    pub(crate) fn measure(&self) -> Measure<'_> {
        Measure {
            name: &self.name,
            kind: &self.kind,
            state: self.state,
            proved: self.proved,
            look: self.looked.map(|_| Duration::from_micros(self.took_us)),
            round_trip: self.round_trip_us.map(Duration::from_micros),
        }
    }

    /// Whether nothing can be said of it yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.state == State::Unknown
    }
}

/// What metrics tell of a watcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) state: State,
    pub(crate) proved: Option<Timestamp>,
    /// How long the last look took.
    pub(crate) look: Option<Duration>,
    pub(crate) round_trip: Option<Duration>,
}

/// How often a failure began or happened, by kind and id; as many as there are in the catalogue.
pub(crate) type Counts = BTreeMap<(String, String), u64>;

/// The statuses of all watchers, for whoever asks. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    all: Arc<Mutex<BTreeMap<String, Status>>>,
    counts: Arc<Mutex<Counts>>,
}

impl Published {
    /// None: it is not expected any more.
    pub(super) fn set(&self, name: &str, status: Option<Status>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => _ = all.insert(name.to_owned(), status),
            None => _ = all.remove(name),
        }
    }

    /// One more failure of a kind.
    pub(super) fn count(&self, kind: &str, failure: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((kind.to_owned(), failure.to_owned())).or_default() += 1;
    }

    /// How many failures there were since the start.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By name.
    pub(crate) fn list(&self) -> Vec<Status> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// What watchers cannot see now, from their statuses as JSON.
pub(crate) fn lacks(watchers: &[serde_json::Value]) -> Vec<Lack> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let blind = watchers.iter().filter(|watcher| watcher["blind"].is_object());
    let lack = |watcher: &serde_json::Value| Lack {
        watcher: text(&watcher["name"]),
        why: text(&watcher["blind"]["why"]),
        cure: text(&watcher["blind"]["cure"]),
    };
    blind.map(lack).collect()
}
