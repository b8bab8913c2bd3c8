//! What people ask for and the short answers: filters, rows, counts. Opens nothing.

use super::care::Report;
use balefire_model::{IncidentId, Severity, State, dfars};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How many rows a query gives where it does not say.
pub const LIMIT_DEFAULT: usize = 50;

/// How many rows a query gives at most.
pub const LIMIT_MAX: usize = 1000;

/// How many bytes of a title, and of the name of what detected it, a row shows; more is cut with a mark that says so.
pub const TITLE_BYTES_MAX: usize = 300;

/// Which incidents. All conditions must hold; the default has none.
#[derive(Clone, Debug)]
pub struct Query {
    /// Taken in at this time or later, by the id's milliseconds.
    pub since: Option<Timestamp>,
    /// Taken in before this time.
    pub until: Option<Timestamp>,
    /// One of these; empty means any. See [`at_least`].
    pub severities: Vec<Severity>,
    /// From exactly this source.
    pub source: Option<String>,
    /// This text occurs, whatever its case, in the title, the description, the name of what detected it, or a label
    /// written as `name=value`. Every character stands for itself. Empty means any.
    pub text: Option<String>,
    /// In this state now; not those that repeat another one, whose state counts for them.
    pub state: Option<State>,
    /// Found by exactly this, as far as a row shows it.
    pub rule: Option<String>,
    /// Whose it is now.
    pub assigned_to: Option<Whose>,
    /// Only where controlled unclassified information is involved.
    pub is_cui: bool,
    /// Only what must be reported, whether it was or not: controlled information, high or critical.
    pub is_reportable: bool,
    /// How many, from 1 to [`LIMIT_MAX`]; what lies outside counts as the nearer end.
    pub limit: usize,
    /// Only those that sort after this one: the id of the last row of the page before.
    pub before: Option<IncidentId>,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            since: None,
            until: None,
            severities: Vec::new(),
            source: None,
            text: None,
            state: None,
            rule: None,
            assigned_to: None,
            is_cui: false,
            is_reportable: false,
            limit: LIMIT_DEFAULT,
            before: None,
        }
    }
}

/// Whose an incident is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Nobody's.
    Nobody,
    /// Of somebody of exactly this name.
    Of(String),
}

impl Whose {
    /// `nobody`, or a name.
    #[must_use]
    pub fn of(word: &str) -> Whose {
        if word == Whose::NOBODY { Whose::Nobody } else { Whose::Of(word.to_owned()) }
    }

    /// The word for nobody; no name.
    pub const NOBODY: &'static str = "nobody";

    /// As people say it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Whose::Nobody => Whose::NOBODY,
            Whose::Of(name) => name,
        }
    }

    pub(crate) fn takes(&self, assigned_to: Option<&str>) -> bool {
        match self {
            Whose::Nobody => assigned_to.is_none(),
            Whose::Of(name) => assigned_to == Some(name),
        }
    }
}

/// The severities from one upwards, for [`Query::severities`].
#[must_use]
pub fn at_least(least: Severity) -> Vec<Severity> {
    Severity::ALL.into_iter().filter(|severity| *severity >= least).collect()
}

/// An incident in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its id.
    pub id: IncidentId,
    /// When it was taken in.
    pub received_at: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// What has become of it.
    pub state: State,
    /// Whether controlled unclassified information is involved.
    pub cui_involved: bool,
    /// Whether it must be reported under DFARS 252.204-7012(c).
    pub dfars_reportable: bool,
    /// How it stands with its report, where it must be or was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// Where it came from.
    pub source: String,
    /// What found it, at most [`TITLE_BYTES_MAX`] bytes.
    pub detected_by: String,
    /// One line for people as the sender wrote it (not safe for a terminal), at most [`TITLE_BYTES_MAX`] bytes.
    pub title: String,
    /// The incident that it repeats, and whose state counts for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<IncidentId>,
    /// How often it came again.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeats: u64,
    /// When it last came again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How many incidents there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_severity_and_state: [[u64; STATES.len()]; SEVERITIES.len()],
}

impl Counts {
    /// Of one severity in one state.
    #[must_use]
    pub fn of(&self, severity: Severity, state: State) -> u64 {
        self.by_severity_and_state[index(severity_number(severity))][index(state_number(state))]
    }

    /// Of one severity.
    #[must_use]
    pub fn of_severity(&self, severity: Severity) -> u64 {
        STATES.into_iter().map(|state| self.of(severity, state)).sum()
    }

    /// In one state.
    #[must_use]
    pub fn of_state(&self, state: State) -> u64 {
        SEVERITIES.into_iter().map(|severity| self.of(severity, state)).sum()
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        STATES.into_iter().map(|state| self.of_state(state)).sum()
    }

    pub(crate) fn add(&mut self, severity: Severity, state: State, count: u64) {
        self.by_severity_and_state[index(severity_number(severity))][index(state_number(state))] += count;
    }
}

// The numbers are stored; a place in these lists never changes its meaning within a schema.
const SEVERITIES: [Severity; 5] = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
pub(crate) const STATES: [State; 3] = [State::Open, State::Acked, State::Resolved];

pub(crate) fn severity_number(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

pub(crate) fn severity_of(number: i64) -> Option<Severity> {
    SEVERITIES.get(usize::try_from(number).ok()?).copied()
}

pub(crate) fn state_number(state: State) -> i64 {
    match state {
        State::Open => 0,
        State::Acked => 1,
        State::Resolved => 2,
    }
}

pub(crate) fn state_of(number: i64) -> Option<State> {
    STATES.get(usize::try_from(number).ok()?).copied()
}

fn index(number: i64) -> usize {
    usize::try_from(number).expect("the numbers above are not negative")
}

impl Query {
    /// A bit for each severity that is asked for.
    pub(crate) fn severity_mask(&self) -> i64 {
        let is_asked = |severity: &Severity| self.severities.is_empty() || self.severities.contains(severity);
        let may_be = |severity: &Severity| !self.is_reportable || dfars::is_reportable(*severity, true);
        let wanted = SEVERITIES.into_iter().filter(|severity| is_asked(severity) && may_be(severity));
        wanted.fold(0, |mask, severity| mask | 1 << severity_number(severity))
    }
}

/// The part of an incident's JSON that text is looked for in; the rest is skipped, not parsed.
#[derive(Deserialize)]
struct Searchable<'a> {
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    detected_by: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A text to look for.
pub(crate) struct Needle(String);

impl Needle {
    /// `None` for a text that is everywhere.
    pub(crate) fn new(text: Option<&str>) -> Option<Needle> {
        text.filter(|text| !text.is_empty()).map(|text| Needle(folded(text)))
    }

    pub(crate) fn is_in_incident(&self, json: &[u8]) -> Result<bool, serde_json::Error> {
        let incident: Searchable<'_> = serde_json::from_slice(json)?;
        Ok(self.is_in(&incident.title)
            || self.is_in(&incident.detected_by)
            || self.is_in(&incident.description)
            || incident.labels.iter().any(|(name, value)| self.is_in(&format!("{name}={value}"))))
    }

    fn is_in(&self, text: &str) -> bool {
        if !text.is_ascii() {
            return folded(text).contains(&self.0);
        }
        let needle = self.0.as_bytes();
        text.as_bytes().windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    }
}

/// Lower case, character by character and with one sigma: the lower case of a text's part is then a part of the text's
/// lower case, which `str::to_lowercase` does not keep.
fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}
