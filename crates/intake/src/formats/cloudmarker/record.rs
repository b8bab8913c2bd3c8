//! One record to one draft: title, severity, labels, run and fingerprint from `com`. Knows neither channels nor routes.

use super::findings::event_type;
use crate::draft::{Assigned, Draft, Kind};
use crate::error::shown;
use crate::formats::json::fields::Fields;
use crate::formats::json::item;
use crate::formats::json::value::{Object, Type, described};
use balefire_model::text::cut;
use balefire_model::{Fingerprint, RunKey, RunMark, RunPart, Severity};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What of `com` becomes labels, under the same names.
const LABELS: [&str; 9] = [
    "audit_key",
    "audit_version",
    "record_type",
    "cloud_type",
    "origin_type",
    "origin_worker",
    "target_type",
    "target_worker",
    "reference",
];

const ALLOWED: &str = "an object with `record_type`, as Cloudmarker writes it";

/// How much of a reference stands in a title.
const REFERENCE_BYTES_MAX: usize = 300;

/// Whether an object is a record: it has no title, and a `com` with a `record_type`.
pub(in crate::formats) fn is_record(object: &Object<'_>) -> bool {
    let mut com = None;
    for (name, value) in &object.0 {
        match &**name {
            "title" => return false,
            "com" => com = Some(value.get()),
            _ => {}
        }
    }
    com.is_some_and(|json| Com::read(json).is_some_and(|com| com.0.contains_key("record_type")))
}

/// The draft that a record describes. What is wrong with it is in `fields.errors`.
pub(in crate::formats) fn draft(object: Object<'_>, fields: &mut Fields<'_>) -> Draft {
    let bucket = |name: &str| object.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());
    let Some(json) = bucket("com") else {
        fields.error("com", "nothing", ALLOWED, "");
        return Draft::default();
    };
    let Some(com) = Com::read(json) else {
        fields.error("com", described(json), ALLOWED, "");
        return Draft::default();
    };
    let Some(record_type) = com.text("record_type").filter(|text| !text.trim().is_empty()) else {
        fields.error("com.record_type", "nothing", "a text that is not blank", "");
        return Draft::default();
    };
    let kind = kind(&record_type, com.text("origin_type").as_deref());
    let run = run(&com, &record_type);
    let identity = identity(&com, bucket("ext"), bucket("raw"));
    let shown = Shown { com: &com, record_type: &record_type, kind };
    let (assigned, nist_controls) = shown.weight();
    let limits = fields.limits;
    let draft = Draft {
        title: cut(&shown.title(), limits.title_bytes_max).into_owned(),
        detected_by: Some(cut(&record_type, limits.name_bytes_max).into_owned()),
        description: cut(&shown.description(), limits.description_bytes_max).into_owned(),
        nist_controls: nist_controls.iter().map(|&control| control.to_owned()).collect(),
        labels: com.labels(limits.label_value_bytes_max),
        fingerprint: Some(identity.0),
        kind,
        assigned: Some(assigned),
        run,
        ..Draft::default()
    };
    Draft { extra: item::extra(object.0, fields), ..draft }
}

fn kind(record_type: &str, origin_type: Option<&str>) -> Kind {
    match (record_type, origin_type) {
        ("begin_audit" | "end_audit", _) => Kind::Mark,
        (_, Some("cloud")) => Kind::CloudRecord,
        _ => Kind::Finding,
    }
}

/// The run that a record belongs to. A store and an alert of one name are two workers, each with marks of its own.
fn run(com: &Com<'_>, record_type: &str) -> Option<RunPart> {
    let (key, version) = (com.text("audit_key")?.into_owned(), com.text("audit_version")?.into_owned());
    let worker = com.text("target_worker").unwrap_or_default();
    let worker = match com.text("target_type") {
        Some(role) if !worker.is_empty() => format!("{worker}/{role}"),
        _ => worker.into_owned(),
    };
    let mark = match record_type {
        "begin_audit" => RunMark::Begin,
        "end_audit" => RunMark::End,
        _ => RunMark::Record,
    };
    Some(RunPart { run: RunKey { key, version, worker }, mark })
}

/// The same for the same finding in the next run: type, cloud, reference and audit count, and where there is no reference,
/// `ext` and `raw` do. When it was seen, by which run, and where it was written do not.
fn identity(com: &Com<'_>, ext: Option<&str>, raw: Option<&str>) -> Fingerprint {
    let mut parts = Vec::with_capacity(4);
    for name in ["audit_key", "cloud_type"] {
        parts.extend(com.text(name).map(|text| (name, text)));
    }
    match com.text("reference").filter(|text| !text.is_empty()) {
        Some(reference) => parts.push(("reference", reference)),
        None => {
            parts.extend(ext.map(|json| ("ext", Cow::Borrowed(json))));
            parts.extend(raw.map(|json| ("raw", Cow::Borrowed(json))));
        }
    }
    let record_type = com.text("record_type").unwrap_or_default();
    Fingerprint::derive("cloudmarker", &record_type, parts.iter().map(|(name, text)| (*name, &**text)))
}

/// What people read of a record.
struct Shown<'c> {
    com: &'c Com<'c>,
    record_type: &'c str,
    kind: Kind,
}

impl Shown<'_> {
    fn title(&self) -> String {
        if self.kind == Kind::Mark {
            let audit = self.com.text("audit_key").unwrap_or(Cow::Borrowed("?"));
            let verb = if self.record_type == "begin_audit" { "begins" } else { "ends" };
            return format!("Audit {audit} {verb}");
        }
        let words = event_type(self.record_type).filter(|_| self.kind == Kind::Finding).map(|known| known.title);
        let words = words.unwrap_or(self.record_type);
        match self.com.text("reference").filter(|text| !text.trim().is_empty()) {
            Some(reference) => format!("{words}: {}", cut(&reference, REFERENCE_BYTES_MAX)),
            None => words.to_owned(),
        }
    }

    fn description(&self) -> String {
        let text = |name| self.com.text(name).filter(|text| !text.trim().is_empty());
        match (text("description"), text("recommendation")) {
            (Some(description), Some(recommendation)) => {
                format!("{description}\n\nRecommendation: {recommendation}")
            }
            (Some(description), None) => description.into_owned(),
            (None, Some(recommendation)) => format!("Recommendation: {recommendation}"),
            (None, None) => String::new(),
        }
    }

    fn weight(&self) -> (Assigned, &'static [&'static str]) {
        match (self.kind, event_type(self.record_type)) {
            (Kind::Finding, Some(known)) => (Assigned::Severity(known.severity), known.nist_controls),
            (Kind::Finding, None) => {
                let what = format!("event type \"{}\" is not known", shown(self.record_type));
                (Assigned::Unknown(what), &[])
            }
            _ => (Assigned::Severity(Severity::Info), &[]),
        }
    }
}

/// The common bucket: its members, each with its text; of equal names the last counts, as in Python.
struct Com<'a>(BTreeMap<Cow<'a, str>, &'a str>);

impl<'a> Com<'a> {
    /// None where it is no object.
    fn read(json: &'a str) -> Option<Com<'a>> {
        if Type::of(json) != Type::Object {
            return None;
        }
        let Object(members) = serde_json::from_str(json).ok()?;
        Some(Com(members.into_iter().map(|(name, value)| (name, value.get())).collect()))
    }

    /// A member as text: a string's text, anything else as its JSON; `null` is absent.
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let json = *self.0.get(name)?;
        match Type::of(json) {
            Type::Null => None,
            // Half of a surrogate pair is no text; the record is refused for it elsewhere.
            Type::String => serde_json::from_str::<Cow<'_, str>>(json).ok(),
            _ => Some(Cow::Borrowed(json)),
        }
    }

    fn labels(&self, bytes_max: usize) -> BTreeMap<String, String> {
        let label = |name: &str| {
            let text = self.text(name).filter(|text| !text.is_empty())?;
            Some((name.to_owned(), cut(&text, bytes_max).into_owned()))
        };
        LABELS.into_iter().filter_map(label).collect()
    }
}
