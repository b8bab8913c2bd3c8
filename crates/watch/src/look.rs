//! What a watcher says after one look: that what it watches works and how that is known, that it fails and how, that it
//! cannot be seen, or that there is nothing to say yet. Only data.

use balefire_model::Severity;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The label that says for how many seconds it might be so before it was wrong.
pub(crate) const ALLOWED: &str = "allowed";

/// One moment on two clocks. Every deadline counts on `boot`, which goes on through suspension and which nobody sets; `wall`
/// is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the machine started: `CLOCK_BOOTTIME`.
    pub boot: Duration,
    /// The wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// How long ago `earlier` was.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        self.boot.saturating_sub(earlier.boot)
    }
}

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// How things stand.
    pub sight: Sight,
    /// What happened, and is not a state that ends: a counter was reset, a rule was deleted. Each is told once.
    pub events: Vec<Failure>,
}

impl Look {
    /// It works, and `proof` says how that is known: the size that grew, the nonce that arrived.
    #[must_use]
    pub fn ok(proof: impl Into<String>) -> Look {
        Sight::Ok { proof: proof.into() }.into()
    }

    /// Nothing can be said yet, and `why`. Whatever was said before stays.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Look {
        Sight::Unknown { why: why.into() }.into()
    }

    /// It cannot be seen.
    #[must_use]
    pub fn blind(why: impl Into<String>, cure: impl Into<String>) -> Look {
        Sight::Blind { why: why.into(), cure: cure.into() }.into()
    }

    /// It fails, where there is a failure; else as `proof` says.
    #[must_use]
    pub fn of(failures: Vec<Failure>, proof: impl Into<String>) -> Look {
        match failures.is_empty() {
            true => Look::ok(proof),
            false => Sight::Failing(failures).into(),
        }
    }

    /// With what happened beside it.
    #[must_use]
    pub fn with(mut self, events: Vec<Failure>) -> Look {
        self.events = events;
        self
    }
}

impl From<Sight> for Look {
    fn from(sight: Sight) -> Look {
        Look { sight, events: Vec::new() }
    }
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It works. A failure from before ends here, so say this only where flow proves it, never because the cause is gone.
    Ok {
        /// How that is known.
        proof: String,
    },
    /// These, and only these, are wrong now; at least one. What was wrong before and is not named is over.
    Failing(Vec<Failure>),
    /// The sensor itself fails. What was wrong before stays wrong.
    Blind {
        /// What was tried and what came of it: `open /var/log/audit/audit.log: permission denied`.
        why: String,
        /// Which right would cure that: `group adm`, `CAP_AUDIT_READ`.
        cure: String,
    },
    /// Nothing can be said yet.
    Unknown {
        /// What is waited for.
        why: String,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it is, in the catalogue's terms: `file.truncated`. One watcher has one failure of an id at a time for each thing.
    pub id: String,
    /// Which of the things that its watcher watches; empty where that watches one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// How bad it is at once; the longer it lasts, the worse it becomes.
    pub severity: Severity,
    /// What is wrong, in one line, with the thing's name and the figures.
    pub summary: String,
    /// What brought it about, as far as it can be seen.
    pub cause: String,
    /// What a person should do now: a command where there is one.
    pub remediation: String,
    /// The last time at which it is known to have worked, or the first at which it did not.
    pub first_bad: Option<Timestamp>,
    /// How much is lost, as far as it can be counted.
    pub loss: Option<Loss>,
    /// Further facts for routes to match on.
    pub labels: BTreeMap<String, String>,
    /// Other watchers that see the same cause in their own way, each with the id under which they tell it. Who tells first is the
    /// alert; the other one is told as explained by it, unless it is worse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_as: Vec<(String, String)>,
}

impl Failure {
    /// A failure with what every one has.
    #[must_use]
    pub fn new(id: &str, severity: Severity, summary: impl Into<String>) -> Failure {
        Failure {
            id: id.to_owned(),
            of: String::new(),
            severity,
            summary: summary.into(),
            cause: String::new(),
            remediation: String::new(),
            first_bad: None,
            loss: None,
            labels: BTreeMap::new(),
            same_as: Vec::new(),
        }
    }

    /// Of one of the things that its watcher watches.
    #[must_use]
    pub fn of(mut self, thing: impl Into<String>) -> Failure {
        self.of = thing.into();
        self
    }

    /// By what it is known again as long as its watcher names it.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (&self.id, &self.of)
    }

    /// With its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Failure {
        self.cause = cause.into();
        self
    }

    /// With what to do.
    #[must_use]
    pub fn cured_by(mut self, remediation: impl Into<String>) -> Failure {
        self.remediation = remediation.into();
        self
    }

    /// With the last time at which it is known to have worked.
    #[must_use]
    pub fn since(mut self, first_bad: Timestamp) -> Failure {
        self.first_bad = Some(first_bad);
        self
    }

    /// With how long it may be so before it is wrong, by the settings: the report takes nothing else for a late detection.
    #[must_use]
    pub fn allowed_for(self, allowed: Duration) -> Failure {
        self.labelled(ALLOWED, format!("{:.3}", allowed.as_secs_f64()))
    }

    /// With how much is lost.
    #[must_use]
    pub fn losing(mut self, count: u64, unit: &str) -> Failure {
        self.loss = Some(Loss { count, unit: unit.to_owned() });
        self
    }

    /// Told by another watcher, too, under this id.
    #[must_use]
    pub fn also_told_by(mut self, watcher: &str, id: &str) -> Failure {
        self.same_as.push((watcher.to_owned(), id.to_owned()));
        self
    }

    /// With one more fact.
    #[must_use]
    pub fn labelled(mut self, name: &str, value: impl Into<String>) -> Failure {
        self.labels.insert(name.to_owned(), value.into());
        self
    }
}

/// How much is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How many.
    pub count: u64,
    /// Of what: `records`, `messages`, `bytes`.
    pub unit: String,
}
