//! The incident: an event after normalisation, and the states that it passes through.

use crate::id::{Fingerprint, IncidentId};
use crate::run::RunPart;
use crate::severity::Severity;
use jiff::Timestamp;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// One security incident. Its JSON form, in this field order, is what the journal, the archive, the native webhook body
/// and the API carry.
///
/// The eight fields `title`, `severity`, `detected_by`, `nist_controls`, `description`, `cui_involved`, `events` and
/// `incident_id` have the names and defaults of the BT-08 `SecurityIncident`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Ours; given at intake.
    pub id: IncidentId,
    /// One line for people. Never empty.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The severity as the sender wrote it; absent where the sender gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity_original: Option<String>,
    /// The rule or sensor that found it; the source's name where the sender gave none.
    pub detected_by: String,
    /// Text for people; may be empty, may have several lines.
    #[serde(default)]
    pub description: String,
    /// Control ids such as `3.3.4` (NIST SP 800-171).
    #[serde(default)]
    pub nist_controls: Vec<String>,
    /// Whether controlled unclassified information is involved.
    #[serde(default)]
    pub cui_involved: bool,
    /// The sender's own identifier, if it has one.
    #[serde(default)]
    pub incident_id: Option<String>,
    /// The events behind the incident, each exactly as the sender wrote it.
    #[serde(default)]
    pub events: Vec<Box<RawValue>>,
    /// Names and values to route and group by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Which incidents are about the same thing.
    pub fingerprint: Fingerprint,
    /// Where it came from: a token's, a file's or a listener's name. Set by us, never by the sender.
    pub source: String,
    /// When it happened, if the sender said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Timestamp>,
    /// When we took it in.
    pub received_at: Timestamp,
    /// What normalisation changed or assumed, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The run that it is part of, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunPart>,
    /// Why it counts as the doing of a security scan of our own, if it does. Set by us, never by the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_scan: Option<String>,
    /// Whatever else the sender wrote, byte for byte.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl Incident {
    /// Whether its sender says that something is over: its field `status` or `state` is `resolved`, whatever the case. Other
    /// words for it, such as `ok` and `closed`, stand in events that nobody may pass over.
    #[must_use]
    pub fn says_over(&self) -> bool {
        let says = |name| {
            let word = self.extra.get(name).and_then(|value| serde_json::from_str::<&str>(value.get()).ok());
            word.is_some_and(|word| word.trim().eq_ignore_ascii_case(State::Resolved.as_str()))
        };
        says("status") || says("state")
    }
}

/// The sender's other fields in the order and the bytes in which they came.
#[derive(Clone, Debug, Default)]
pub struct Extra(pub Vec<(String, Box<RawValue>)>);

impl Extra {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON text of one field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Extra;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Extra, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Extra(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What has become of an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has taken it yet.
    #[default]
    Open,
    /// Somebody has said that they take care of it.
    Acked,
    /// It is over.
    Resolved,
}

impl State {
    /// The lower-case word: `open`, `acked` or `resolved`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Acked => "acked",
            State::Resolved => "resolved",
        }
    }

    /// Reads one of the three words, whatever its case.
    #[must_use]
    pub fn parse(text: &str) -> Option<State> {
        [State::Open, State::Acked, State::Resolved]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
