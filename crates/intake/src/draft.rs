//! The draft: one incident as its sender described it, checked field by field. Knows nothing of what we add or assume.

use balefire_model::incident::Extra;
use balefire_model::{RunPart, Severity};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a sender said of one incident. Absent and `null` are the same; text is exactly as it was written.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Never blank.
    pub title: String,
    /// The sender's word, whatever it is.
    pub severity: Option<String>,
    /// The rule or sensor that found it; never blank.
    pub detected_by: Option<String>,
    /// May be empty.
    pub description: String,
    /// Control ids, in the sender's order.
    pub nist_controls: Vec<String>,
    /// Whether controlled unclassified information is involved.
    pub cui_involved: bool,
    /// The sender's own identifier. A number is kept as its digits.
    pub incident_id: Option<String>,
    /// Objects, byte for byte.
    pub events: Vec<Box<RawValue>>,
    /// Numbers and booleans are kept as their JSON text.
    pub labels: BTreeMap<String, String>,
    /// The sender's own fingerprint; never blank.
    pub fingerprint: Option<String>,
    /// When it happened.
    pub event_time: Option<Timestamp>,
    /// Every other field in its order, byte for byte.
    pub extra: Extra,
    /// What it is.
    pub kind: Kind,
    /// What its format says where the sender has no word for its severity.
    pub assigned: Option<Assigned>,
    /// Its part in a run.
    pub run: Option<RunPart>,
}

/// What a draft is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// An incident in our own words.
    #[default]
    Incident,
    /// What an audit found.
    Finding,
    /// What an audit read, and judges elsewhere.
    CloudRecord,
    /// The begin or the end of an audit.
    Mark,
}

/// A severity that comes from the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// This one.
    Severity(Severity),
    /// None: the default counts, and these words say why.
    Unknown(String),
}
