//! One JSON object to one draft: which fields there are and what each may hold.

use super::fields::Fields;
use super::kept;
use super::value::{Object, Type, described};
use crate::draft::Draft;
use crate::error::shown;
use balefire_model::Severity;
use balefire_model::incident::Extra;
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The fields that mean something to us. All others are kept as they are.
const KNOWN: [&str; 11] = [
    "title",
    "severity",
    "detected_by",
    "description",
    "nist_controls",
    "cui_involved",
    "incident_id",
    "events",
    "labels",
    "fingerprint",
    "event_time",
];

/// An item's fields, sorted into ours and others.
struct Sorted<'a> {
    /// In the order of [`KNOWN`]; `null` is absent.
    known: [Option<&'a str>; KNOWN.len()],
    extra: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// The draft that an object describes. What is wrong with it is in `fields.errors`: without any, the draft is good.
pub(super) fn draft(object: Object<'_>, fields: &mut Fields<'_>) -> Draft {
    let Sorted { known, extra } = sort(object, fields);
    let [title, severity, detected_by, description, nist_controls, cui, incident_id, events, labels, fingerprint, time] =
        known;
    let limits = fields.limits;
    Draft {
        title: self::title(title, &extra, fields),
        severity: severity.and_then(|json| name("severity", json, Severity::ALLOWED, fields)),
        detected_by: detected_by
            .and_then(|json| name("detected_by", json, "a string", fields))
            .filter(|text| !text.trim().is_empty()),
        description: description
            .and_then(|json| fields.string("description", json, "a string", limits.description_bytes_max))
            .map(Cow::into_owned)
            .unwrap_or_default(),
        nist_controls: nist_controls
            .map(|json| fields.strings("nist_controls", json, limits.nist_controls_max, limits.name_bytes_max))
            .unwrap_or_default(),
        cui_involved: cui.is_some_and(|json| fields.boolean("cui_involved", json)),
        incident_id: incident_id.and_then(|json| self::incident_id(json, fields)),
        events: events.map(|json| fields.objects("events", json, limits.events_max)).unwrap_or_default(),
        labels: labels.map(|json| fields.labels("labels", json)).unwrap_or_default(),
        fingerprint: fingerprint.and_then(|json| self::fingerprint(json, fields)),
        event_time: time.and_then(|json| event_time(json, fields)),
        extra: self::extra(extra, fields),
        ..Draft::default()
    }
}

fn sort<'a>(object: Object<'a>, fields: &mut Fields<'_>) -> Sorted<'a> {
    let mut sorted = Sorted { known: [None; KNOWN.len()], extra: Vec::with_capacity(object.0.len()) };
    let mut seen = [false; KNOWN.len()];
    for (name, value) in object.0 {
        let Some(nth) = KNOWN.iter().position(|known| *known == name) else {
            sorted.extra.push((name, value));
            continue;
        };
        if std::mem::replace(&mut seen[nth], true) {
            twice(KNOWN[nth], fields);
            continue;
        }
        sorted.known[nth] = Some(value.get()).filter(|json| Type::of(json) != Type::Null);
    }
    sorted
}

fn twice(field: &str, fields: &mut Fields<'_>) {
    fields.error(shown(field), "the field twice", "each field once", "which of the two is meant cannot be known");
}

fn title(json: Option<&str>, extra: &[(Cow<'_, str>, &RawValue)], fields: &mut Fields<'_>) -> String {
    const ALLOWED: &str = "a string that is not blank";
    let Some(json) = json else {
        let near = extra.iter().find(|(name, _)| name.eq_ignore_ascii_case("title"));
        let hint = near.map(|(name, _)| format!("\"{name}\" is there; names of fields are in lower case"));
        fields.error("title", "nothing", ALLOWED, hint.as_deref().unwrap_or_default());
        return String::new();
    };
    let Some(text) = fields.string("title", json, ALLOWED, fields.limits.title_bytes_max) else {
        return String::new();
    };
    if text.trim().is_empty() {
        fields.error("title", described(json), ALLOWED, "");
    }
    text.into_owned()
}

fn name(field: &str, json: &str, allowed: &str, fields: &mut Fields<'_>) -> Option<String> {
    fields.string(field, json, allowed, fields.limits.name_bytes_max).map(Cow::into_owned)
}

fn incident_id(json: &str, fields: &mut Fields<'_>) -> Option<String> {
    if Type::of(json) == Type::Number {
        let bytes_max = fields.limits.name_bytes_max;
        return fields.at_most("incident_id", json.len(), bytes_max, "bytes").then(|| json.to_owned());
    }
    name("incident_id", json, "a string or a number", fields)
}

fn fingerprint(json: &str, fields: &mut Fields<'_>) -> Option<String> {
    const ALLOWED: &str = "a string that is not blank";
    let text = name("fingerprint", json, ALLOWED, fields)?;
    if text.trim().is_empty() {
        fields.error("fingerprint", described(json), ALLOWED, "leave it out to have it computed");
        return None;
    }
    Some(text)
}

fn event_time(json: &str, fields: &mut Fields<'_>) -> Option<Timestamp> {
    const ALLOWED: &str = "a time as in RFC 3339, such as 2026-11-22T14:03:00Z";
    if Type::of(json) == Type::Number {
        let hint = "a number may be seconds, milliseconds or nanoseconds; send the time as text";
        fields.error("event_time", described(json), ALLOWED, hint);
        return None;
    }
    let text = name("event_time", json, ALLOWED, fields)?;
    match text.trim().parse() {
        Ok(time) => Some(time),
        Err(_) => {
            let without_zone = text.trim().parse::<jiff::civil::DateTime>().is_ok();
            let hint = if without_zone { "the zone is missing; add Z or an offset such as +01:00" } else { "" };
            fields.error("event_time", described(json), ALLOWED, hint);
            None
        }
    }
}

/// Up to so many names, comparing each with each is faster than a set.
const FEW: usize = 16;

/// What is kept as it came, save for line breaks between tokens.
pub(in crate::formats) fn extra(extra: Vec<(Cow<'_, str>, &RawValue)>, fields: &mut Fields<'_>) -> Extra {
    let limits = fields.limits;
    if !fields.at_most("", extra.len(), limits.extra_fields_max, "fields beside ours") {
        return Extra::default();
    }
    let mut names = BTreeSet::new();
    let mut keep = Vec::with_capacity(extra.len());
    for (nth, (name, value)) in extra.iter().enumerate() {
        let repeated = if extra.len() <= FEW {
            extra[..nth].iter().any(|(earlier, _)| earlier == name)
        } else {
            !names.insert(&**name)
        };
        if repeated {
            twice(name, fields);
        }
        if name.len() > limits.extra_key_bytes_max {
            let found = format!("a name of {} bytes", name.len());
            fields.error(shown(name), found, &format!("at most {} bytes", limits.extra_key_bytes_max), "");
        } else if fields.can_be_kept(&|| shown(name), value.get(), 1) {
            keep.push((name.clone().into_owned(), kept::on_one_line(value)));
        }
    }
    Extra(keep)
}
