//! The fields of an incident that a condition may name, and how they are looked up:
//!
//! 1. **Built-in fields** first: `title`, `severity`, `severity_original`, `detected_by`, `description`,
//!    `nist_controls`, `cui_involved`, `internal_scan`, `incident_id`, `source`, `fingerprint`, `id`, and `events.N` with
//!    a path into the event, such as `events.0.ip_address` (the first event is 0).
//! 2. **`labels.NAME`** is the label of that name, whatever it is; **`extra.PATH`** looks only into what else the sender
//!    wrote.
//! 3. **Any other name** is the label of that name; where there is none, the sender's other field of exactly that name;
//!    where there is none, the name is taken apart at its dots and followed into objects by key and into arrays by
//!    number (from 0): `ext.record_type`, `results.0.port`. Of equal keys in one object the first counts.
//!
//! A text is its text; a JSON number, `true` and `false` are as they were written; `null` is as if missing; an array is a
//! list; an object is its JSON text.

use balefire_model::Incident;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::fmt;

/// How many steps a path may have.
pub(super) const STEPS_MAX: usize = 16;

/// A field of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Title,
    Severity,
    SeverityOriginal,
    DetectedBy,
    Description,
    NistControls,
    CuiInvolved,
    InternalScan,
    IncidentId,
    Source,
    Fingerprint,
    Id,
    /// An event by its number, and the way into it.
    Event(usize, Path),
    Label(String),
    Extra(Path),
    /// A label, or else one of the sender's other fields.
    Open(Path),
}

/// A way into JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The field as it was written. What a reading remembers goes by it.
    field: String,
    /// The name before it was taken apart.
    whole: String,
    steps: Vec<String>,
}

/// Why a name is no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldError {
    /// `labels.` or `extra.` and nothing after it, or two dots in a row.
    Empty,
    /// `events` without a number.
    EventNumber,
    /// More than [`STEPS_MAX`] steps.
    Steps,
}

impl Field {
    /// The field of a name.
    pub(super) fn parse(name: &str) -> Result<Field, FieldError> {
        Ok(match name {
            "title" => Field::Title,
            "severity" => Field::Severity,
            "severity_original" => Field::SeverityOriginal,
            "detected_by" => Field::DetectedBy,
            "description" => Field::Description,
            "nist_controls" => Field::NistControls,
            "cui_involved" => Field::CuiInvolved,
            "internal_scan" => Field::InternalScan,
            "incident_id" => Field::IncidentId,
            "source" => Field::Source,
            "fingerprint" => Field::Fingerprint,
            "id" => Field::Id,
            "events" => return Err(FieldError::EventNumber),
            _ => return Field::parse_path(name),
        })
    }

    fn parse_path(name: &str) -> Result<Field, FieldError> {
        if let Some(label) = name.strip_prefix("labels.") {
            return if label.is_empty() { Err(FieldError::Empty) } else { Ok(Field::Label(label.to_owned())) };
        }
        if let Some(rest) = name.strip_prefix("extra.") {
            return Ok(Field::Extra(Path::parse(name, rest)?));
        }
        if let Some(rest) = name.strip_prefix("events.") {
            let (number, rest) = rest.split_once('.').map_or((rest, None), |(number, rest)| (number, Some(rest)));
            let number = number.parse().map_err(|_| FieldError::EventNumber)?;
            let path = match rest {
                Some(rest) => Path::parse(name, rest)?,
                None => Path { field: name.to_owned(), whole: String::new(), steps: Vec::new() },
            };
            return Ok(Field::Event(number, path));
        }
        Ok(Field::Open(Path::parse(name, name)?))
    }

    /// Whether one of the field's values passes. A missing field and an empty list are one empty value.
    pub(super) fn any<'a>(&'a self, reading: &Reading<'a>, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let incident = reading.incident;
        let mut text = |text: &str| test(Value { text, shape: Shape::Text });
        match self {
            Field::Title => text(&incident.title),
            Field::DetectedBy => text(&incident.detected_by),
            Field::Description => text(&incident.description),
            Field::Source => text(&incident.source),
            Field::Fingerprint => text(&incident.fingerprint.0),
            Field::Severity => test(Value { text: incident.severity.as_str(), shape: Shape::Word }),
            Field::CuiInvolved => test(Value::truth(incident.cui_involved)),
            Field::InternalScan => test(Value::truth(incident.internal_scan.is_some())),
            Field::Id => text(incident.id.0.as_hyphenated().encode_lower(&mut [0; 36])),
            Field::SeverityOriginal => test(Value::optional(incident.severity_original.as_deref())),
            Field::IncidentId => test(Value::optional(incident.incident_id.as_deref())),
            Field::Label(name) => test(Value::optional(incident.labels.get(name).map(String::as_str))),
            Field::NistControls if incident.nist_controls.is_empty() => test(Value::MISSING),
            Field::NistControls => incident.nist_controls.iter().any(|control| text(control)),
            Field::Event(number, path) => {
                let event = incident.events.get(*number).map(|event| &**event);
                any_json(event.and_then(|event| reading.follow(path, event, &path.steps)), test)
            }
            Field::Extra(path) => any_json(reading.extra(path), test),
            Field::Open(path) => match incident.labels.get(&path.whole) {
                Some(label) => text(label),
                None => any_json(reading.extra(path), test),
            },
        }
    }
}

impl Path {
    fn parse(field: &str, whole: &str) -> Result<Path, FieldError> {
        let steps: Vec<String> = whole.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            return Err(FieldError::Empty);
        }
        if steps.len() > STEPS_MAX {
            return Err(FieldError::Steps);
        }
        Ok(Path { field: field.to_owned(), whole: whole.to_owned(), steps })
    }
}

/// One value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    pub(super) text: &'v str,
    pub(super) shape: Shape,
}

/// What a value's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing: the text is empty.
    Missing,
    /// What somebody wrote.
    Text,
    /// A JSON number.
    Number,
    /// A severity, `true`, `false` or the JSON text of an object.
    Word,
}

impl Value<'_> {
    const MISSING: Value<'static> = Value { text: "", shape: Shape::Missing };

    fn truth(truth: bool) -> Value<'static> {
        Value { text: if truth { "true" } else { "false" }, shape: Shape::Word }
    }

    fn optional(text: Option<&str>) -> Value<'_> {
        text.map_or(Value::MISSING, |text| Value { text, shape: Shape::Text })
    }
}

/// An incident that is being asked several conditions: what was found deep in its JSON is looked for once per field.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    incident: &'a Incident,
    /// As many entries as the configuration has different paths, at most.
    followed: RefCell<Vec<(&'a str, Option<&'a RawValue>)>>,
}

impl<'a> Reading<'a> {
    /// Nothing is read yet.
    pub(crate) fn of(incident: &'a Incident) -> Reading<'a> {
        Reading { incident, followed: RefCell::default() }
    }

    /// What is read.
    pub(crate) fn incident(&self) -> &'a Incident {
        self.incident
    }

    fn extra(&self, path: &'a Path) -> Option<&'a RawValue> {
        let extra = &self.incident.extra;
        if let Some(value) = extra.get(&path.whole) {
            return Some(value);
        }
        let (first, rest) = path.steps.split_first().filter(|(_, rest)| !rest.is_empty())?;
        self.follow(path, extra.get(first)?, rest)
    }

    fn follow(&self, path: &'a Path, from: &'a RawValue, steps: &[String]) -> Option<&'a RawValue> {
        if steps.is_empty() {
            return Some(from);
        }
        let known = self.followed.borrow().iter().find(|(field, _)| *field == path.field).map(|(_, found)| *found);
        known.unwrap_or_else(|| {
            let found = steps.iter().try_fold(from, |value, step| child(value, step));
            self.followed.borrow_mut().push((&path.field, found));
            found
        })
    }
}

/// The member of an object or the element of an array; `None` where there is none.
fn child<'a>(value: &'a RawValue, step: &str) -> Option<&'a RawValue> {
    let json = value.get();
    // Asked only where it can succeed, because an error costs an allocation.
    if !json.starts_with(['{', '[']) {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    // A RawValue is well-formed; what can fail is a key with a lone surrogate, which no step names.
    reader.deserialize_any(Child(step)).ok().flatten()
}

struct Child<'s>(&'s str);

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(KeyIs(self.0))? {
            if is_it && found.is_none() {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let number: Option<usize> = self.0.parse().ok();
        let mut found = None;
        let mut at = 0;
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if Some(at) == number {
                found = Some(element);
            }
            at += 1;
        }
        Ok(found)
    }
}

/// Whether a key is this one, without keeping it.
struct KeyIs<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

fn any_json(value: Option<&RawValue>, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let Some(json) = value.map(RawValue::get) else { return test(Value::MISSING) };
    if !json.starts_with('[') {
        return with_json(json, test);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(json).expect("a RawValue that begins with [ is an array");
    if elements.is_empty() {
        return test(Value::MISSING);
    }
    elements.into_iter().any(|element| with_json(element.get(), test))
}

fn with_json(json: &str, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    match json.as_bytes().first() {
        Some(b'"') => {
            if let Ok(text) = serde_json::from_str::<&str>(json) {
                return test(Value { text, shape: Shape::Text });
            }
            match serde_json::from_str::<String>(json) {
                Ok(text) => test(Value { text: &text, shape: Shape::Text }),
                // A lone surrogate (`\ud800`) is no text in UTF-8; its JSON form is what can be asked.
                Err(_) => test(Value { text: json, shape: Shape::Word }),
            }
        }
        Some(b'n') => test(Value::MISSING),
        Some(b'-' | b'0'..=b'9') => test(Value { text: json, shape: Shape::Number }),
        _ => test(Value { text: json, shape: Shape::Word }),
    }
}
