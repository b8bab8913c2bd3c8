//! The record of a cloud audit inside an incident: the fields `raw`, `ext` and `com` as their sender wrote them. Knows
//! nothing of how they are stored.

use balefire_model::Incident;
use serde_json::value::RawValue;

/// The names by which a record is known.
const NAMES: [&str; 3] = ["raw", "ext", "com"];

/// The record's fields in the order in which they came; `None` where the incident is no record.
pub(crate) fn fields(incident: &Incident) -> Option<Vec<(&str, &RawValue)>> {
    let fields: Vec<(&str, &RawValue)> =
        incident.extra.0.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
    fields.iter().any(|(name, _)| NAMES.contains(name)).then_some(fields)
}

/// How long the string is that the text begins with, both quotes included.
pub(crate) fn string_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}
