//! A run: a bracketed batch of records from a scanner, and an incident's part in it. Knows neither when a run ends nor who
//! hears of it.

use crate::incident::Incident;
use crate::severity::Severity;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which run. Runs of different sources are different ones, also where their keys are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// What was run: Cloudmarker's `audit_key`.
    pub key: String,
    /// Which time it was run: Cloudmarker's `audit_version`.
    pub version: String,
    /// Which of the run's outputs wrote the record: Cloudmarker's `target_worker`. May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker: String,
}

/// What an incident is to its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMark {
    /// The run begins with it.
    Begin,
    /// One of its records.
    Record,
    /// The run ends with it.
    End,
}

/// An incident's part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPart {
    /// Which run.
    pub run: RunKey,
    /// What it is to the run.
    pub mark: RunMark,
}

/// A run, told from those of all other senders.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId {
    /// Where it came from, as [`Incident::source`].
    pub source: String,
    /// Which of its source's runs.
    #[serde(flatten)]
    pub run: RunKey,
}

/// Records of a run for a channel that takes them together, in the order in which they came.
#[derive(Clone, Debug)]
pub struct RunPage {
    /// Which run.
    pub id: RunId,
    /// These records; marks of begin and end are among them where the channel wants them.
    pub records: Vec<Arc<Incident>>,
    /// How many came in earlier pages of the same attempt.
    pub before: u64,
    /// Whether no further page follows.
    pub is_last: bool,
    /// How many there are that no page holds, because they would be too many or too large. Archives get all.
    pub left_out: u64,
    /// How many there are of each severity in all pages and beyond, info first; without marks.
    pub counts: [u64; 5],
}

impl RunPage {
    /// How many records there are in all, without marks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many of them are findings: those that are worse than info.
    #[must_use]
    pub fn findings(&self) -> u64 {
        findings(&self.counts)
    }

    /// The worst severity among them; info where there are none.
    #[must_use]
    pub fn worst(&self) -> Severity {
        worst(&self.counts)
    }
}

/// How many of these, counted by severity with info first, are findings: worse than info.
#[must_use]
pub fn findings(counts: &[u64; 5]) -> u64 {
    counts.iter().skip(1).sum()
}

/// The worst severity of these; info where there are none.
#[must_use]
pub fn worst(counts: &[u64; 5]) -> Severity {
    Severity::ALL.into_iter().filter(|severity| counts[*severity as usize] > 0).max().unwrap_or(Severity::Info)
}

/// `1 high, 3 low`, the worst first; `none` where there are none.
#[must_use]
pub fn told_by_severity(counts: &[u64; 5]) -> String {
    let mut severities = Severity::ALL.to_vec();
    severities.sort_unstable_by(|a, b| b.cmp(a));
    let count = |severity: Severity| (counts[severity as usize], severity);
    let some = severities.into_iter().map(count).filter(|(count, _)| *count > 0);
    let told: Vec<String> = some.map(|(count, severity)| format!("{count} {severity}")).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_told_with_the_worst_first_and_info_is_no_finding() {
        let counts = [8, 3, 0, 1, 0];
        assert_eq!(told_by_severity(&counts), "1 high, 3 low, 8 info");
        assert_eq!((findings(&counts), worst(&counts)), (4, Severity::High));
        assert_eq!((told_by_severity(&[0; 5]).as_str(), worst(&[0; 5])), ("none", Severity::Info));
    }

    #[test]
    fn a_run_is_stored_flat_and_without_an_empty_worker() {
        let run = RunKey { key: "a".into(), version: "1".into(), worker: String::new() };
        let id = RunId { source: "http".into(), run };
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#"{"source":"http","key":"a","version":"1"}"#);
        assert_eq!(serde_json::from_str::<RunId>(&json).unwrap(), id);
    }
}
