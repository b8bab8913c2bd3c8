//! A run: a bracketed batch of records from a scanner, and an incident's part in it. Knows neither when a run ends nor who
//! hears of it.

use serde::{Deserialize, Serialize};

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
