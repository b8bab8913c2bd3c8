//! Values of fields: the right type and size, or an error that says what was found and what is allowed. Collects all
//! errors of an item. Does not know which fields there are.

use super::kept;
use super::value::{Object, Type, described};
use crate::error::{FieldError, shown};
use crate::limits::Limits;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the fields of one item.
pub(in crate::formats) struct Fields<'l> {
    pub(in crate::formats) limits: &'l Limits,
    pub(in crate::formats) errors: Vec<FieldError>,
    pub(in crate::formats) errors_left_out: usize,
}

impl<'l> Fields<'l> {
    pub(in crate::formats) fn new(limits: &'l Limits) -> Fields<'l> {
        Fields { limits, errors: Vec::new(), errors_left_out: 0 }
    }

    pub(in crate::formats) fn error(
        &mut self,
        field: impl Into<String>,
        found: impl Into<String>,
        allowed: &str,
        hint: &str,
    ) {
        // One is always told: an item without errors would count as good.
        if self.errors.len() >= self.limits.errors_per_item_max.max(1) {
            self.errors_left_out += 1;
            return;
        }
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let (field, found, allowed) = (field.into(), found.into(), allowed.to_owned());
        self.errors.push(FieldError { field, place: None, found, allowed, hint });
    }

    /// Whether there are at most `max`; an error otherwise.
    pub(in crate::formats) fn at_most(&mut self, field: &str, count: usize, max: usize, unit: &str) -> bool {
        if count > max {
            self.error(field, format!("{count} {unit}"), &format!("at most {max} {unit}"), "");
        }
        count <= max
    }

    /// A string's text.
    pub(in crate::formats) fn string<'a>(
        &mut self,
        field: &str,
        json: &'a str,
        allowed: &str,
        bytes_max: usize,
    ) -> Option<Cow<'a, str>> {
        if Type::of(json) != Type::String {
            self.error(field, described(json), allowed, hint_for_string(json, field));
            return None;
        }
        let text = self.text(field, json)?;
        self.at_most(field, text.len(), bytes_max, "bytes").then_some(text)
    }

    /// The text of a JSON string.
    fn text<'a>(&mut self, field: &str, json: &'a str) -> Option<Cow<'a, str>> {
        if !json.as_bytes().contains(&b'\\') {
            return Some(Cow::Borrowed(&json[1..json.len() - 1]));
        }
        if !self.escapes_are_whole(field, json) {
            return None;
        }
        match serde_json::from_str(json) {
            Ok(text) => Some(Cow::Owned(text)),
            Err(error) => {
                self.error(field, format!("a string that cannot be read ({error})"), "a JSON string", "");
                None
            }
        }
    }

    /// `true` or `false`.
    pub(in crate::formats) fn boolean(&mut self, field: &str, json: &str) -> bool {
        if Type::of(json) != Type::Boolean {
            let hint = if Type::of(json) == Type::String { "write it without quotes" } else { "" };
            self.error(field, described(json), "true or false", hint);
        }
        json == "true"
    }

    /// A list's values.
    pub(in crate::formats) fn list<'a>(
        &mut self,
        field: &str,
        json: &'a str,
        allowed: &str,
        max: usize,
    ) -> Vec<&'a RawValue> {
        if Type::of(json) != Type::List {
            let hint = if Type::of(json) == Type::String { "put it in square brackets" } else { "" };
            self.error(field, described(json), allowed, hint);
            return Vec::new();
        }
        let values: Vec<&RawValue> = serde_json::from_str(json).expect("the item's parser has accepted this list");
        if self.at_most(field, values.len(), max, "entries") { values } else { Vec::new() }
    }

    /// A list of strings.
    pub(in crate::formats) fn strings(&mut self, field: &str, json: &str, max: usize, bytes_max: usize) -> Vec<String> {
        let values = self.list(field, json, "a list of strings", max);
        let mut strings = Vec::with_capacity(values.len());
        for (nth, value) in values.into_iter().enumerate() {
            // Entries are named only where one is at fault: good ones are the rule.
            let before = self.errors.len();
            strings.extend(self.string("", value.get(), "a string", bytes_max).map(Cow::into_owned));
            for error in &mut self.errors[before..] {
                error.field = format!("{field}[{nth}]");
            }
        }
        strings
    }

    /// A list of objects, byte for byte.
    pub(in crate::formats) fn objects(&mut self, field: &str, json: &str, max: usize) -> Vec<Box<RawValue>> {
        let values = self.list(field, json, "a list of objects", max);
        let mut objects = Vec::with_capacity(values.len());
        for (nth, value) in values.into_iter().enumerate() {
            if Type::of(value.get()) != Type::Object {
                self.error(format!("{field}[{nth}]"), described(value.get()), "an object", "");
            } else if self.can_be_kept(&|| format!("{field}[{nth}]"), value.get(), 2) {
                objects.push(kept::on_one_line(value));
            }
        }
        objects
    }

    /// Whether JSON may be passed on unread. `outside` is how many levels it lies deep in its item.
    pub(in crate::formats) fn can_be_kept(&mut self, field: &dyn Fn() -> String, json: &str, outside: usize) -> bool {
        let max = self.limits.depth_max;
        if matches!(Type::of(json), Type::List | Type::Object) && kept::is_deeper(json, max.saturating_sub(outside)) {
            let found = format!("{} levels of lists and objects", kept::depth(json) + outside);
            self.error(field(), found, &format!("at most {max} levels, the item itself included"), "");
            return false;
        }
        !json.as_bytes().contains(&b'\\') || self.escapes_are_whole(&field(), json)
    }

    fn escapes_are_whole(&mut self, field: &str, json: &str) -> bool {
        let Some(lone) = kept::lone_surrogate(json) else {
            return true;
        };
        let found = format!("half of a surrogate pair ({})", &json[lone]);
        self.error(field, found, "\\u escapes of whole characters, beyond \\uffff in pairs such as \\ud83d\\ude00", "");
        false
    }

    /// A map of strings. Numbers and booleans become their text, `null` counts as absent.
    pub(in crate::formats) fn labels(&mut self, field: &str, json: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        if Type::of(json) != Type::Object {
            self.error(field, described(json), "an object of strings", "");
            return labels;
        }
        let Ok(Object(entries)) = serde_json::from_str(json) else {
            // The parser that accepted the item did not decode names; only an escape can be wrong in them.
            self.escapes_are_whole(field, json);
            return labels;
        };
        let limits = self.limits;
        if !self.at_most(field, entries.len(), limits.labels_max, "entries") {
            return labels;
        }
        let mut seen = BTreeSet::new();
        for (key, value) in &entries {
            if !seen.insert(&**key) {
                self.error(label_name(key), "the label twice", "each label once", "");
            } else if let Some(value) = self.label(key, value.get()) {
                labels.insert(key.clone().into_owned(), value);
            }
        }
        labels
    }

    fn label(&mut self, key: &str, json: &str) -> Option<String> {
        let limits = self.limits;
        if key.is_empty() || key.len() > limits.label_key_bytes_max {
            let found = format!("a key of {} bytes", key.len());
            self.error(label_name(key), found, &format!("1 to {} bytes", limits.label_key_bytes_max), "");
            return None;
        }
        match Type::of(json) {
            Type::Null => None,
            Type::Number | Type::Boolean if json.len() <= limits.label_value_bytes_max => Some(json.to_owned()),
            Type::String if !json.as_bytes().contains(&b'\\') && json.len() <= limits.label_value_bytes_max => {
                Some(json[1..json.len() - 1].to_owned())
            }
            Type::String => {
                self.string(&label_name(key), json, "a string", limits.label_value_bytes_max).map(Cow::into_owned)
            }
            Type::Number | Type::Boolean => {
                self.at_most(&label_name(key), json.len(), limits.label_value_bytes_max, "bytes");
                None
            }
            Type::List | Type::Object => {
                let hint = "labels are flat; fields beside the labels may hold anything";
                self.error(label_name(key), described(json), "a string, a number or a boolean", hint);
                None
            }
        }
    }
}

fn label_name(key: &str) -> String {
    format!("labels.{}", shown(key))
}

fn hint_for_string(json: &str, field: &str) -> &'static str {
    match Type::of(json) {
        Type::Number if field == "severity" => "a number says different things in different products; send the word",
        Type::Number | Type::Boolean => "put it in double quotes",
        _ => "",
    }
}
