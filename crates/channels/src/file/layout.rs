//! The files of Cloudmarker's `FileStore`: for each worker one JSON list of the records as they came, as Python's
//! `json.dumps(record, indent=2)` writes them. Knows no disk.

use crate::{StoreFile, StorePart, body, record};
use balefire_model::{Delivery, Incident, RunPage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write;

/// What stands before, between and behind the records of a file.
const FRAME: [&str; 3] = ["[\n", ",\n", "\n]\n"];
/// Records that name no worker: the marks of begin and end.
const NO_WORKER: &str = "no_worker";
/// Names of files have 255 bytes at most, and more is added to them.
const NAME_BYTES_MAX: usize = 180;

/// An incident that belongs to no run, as a file of its own.
pub(super) fn alone(delivery: &Delivery<'_>) -> StorePart {
    let json = String::from_utf8(body::native(delivery, delivery.incident, None)).unwrap_or_default();
    let file = StoreFile { name: format!("no_run-{}.json", delivery.id), items: vec![as_python(&json).into_bytes()] };
    let set = delivery.id.to_string();
    StorePart { set, begun: None, is_first: true, is_last: true, files: vec![file], frame: FRAME }
}

/// A page of a run as a part of its set of files.
pub(super) fn part(delivery: &Delivery<'_>, page: &RunPage) -> StorePart {
    let mut files: Vec<StoreFile> = Vec::new();
    for incident in &page.records {
        let name = file_name(incident);
        let json = match record::fields(incident) {
            Some(fields) => fields_as_python(&fields),
            None => {
                let json = String::from_utf8(body::native(delivery, incident, None)).unwrap_or_default();
                as_python(&json)
            }
        };
        match files.iter_mut().find(|file| file.name == name) {
            Some(file) => file.items.push(json.into_bytes()),
            None => files.push(StoreFile { name, items: vec![json.into_bytes()] }),
        }
    }
    StorePart {
        set: delivery.id.to_string(),
        // The run's first record, where this is the first page, which is the one that counts.
        begun: page.records.first().map(|record| record.received_at),
        is_first: page.before == 0,
        is_last: page.is_last,
        files,
        frame: FRAME,
    }
}

#[derive(Deserialize)]
struct Com<'a> {
    #[serde(borrow, default)]
    origin_worker: Option<Cow<'a, str>>,
}

/// The file of a record's worker. What a path would be made of is no part of a name.
fn file_name(incident: &Incident) -> String {
    let com = incident.extra.get("com").and_then(|com| serde_json::from_str::<Com<'_>>(com.get()).ok());
    let worker = com.and_then(|com| com.origin_worker).unwrap_or(Cow::Borrowed(NO_WORKER));
    let is_harmless = |c: char| !c.is_control() && c != '/' && !balefire_model::text::is_unsafe(c);
    let mut name: String = worker.chars().map(|c| if is_harmless(c) { c } else { '_' }).collect();
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    name + ".json"
}

fn fields_as_python(fields: &[(&str, &RawValue)]) -> String {
    let member = |(name, value): &(&str, &RawValue)| format!("{}:{}", serde_json::Value::from(*name), value.get());
    as_python(&format!("{{{}}}", fields.iter().map(member).collect::<Vec<_>>().join(",")))
}

/// JSON laid out anew: two blanks for each depth, one member a line, ASCII only. Numbers keep the digits that they came with.
fn as_python(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '{' | '[' => {
                let close = if c == '{' { '}' } else { ']' };
                out.push(c);
                let after = rest[taken..].trim_start();
                if after.starts_with(close) {
                    taken = rest.len() - after.len() + 1;
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                taken = record::string_bytes(rest);
                out.push_str(&ascii(&rest[..taken]));
            }
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A JSON string as Python writes it; one that no text can hold, as with half of a pair, stays as it came.
fn ascii(json: &str) -> String {
    let Ok(text) = serde_json::from_str::<String>(json) else { return json.to_owned() };
    let mut out = String::with_capacity(json.len());
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a String takes everything");
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn incident(raw: &str, com: &str) -> Incident {
        let mut incident = fixture::incident();
        let keep = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        incident.extra.0 = vec![("raw".to_owned(), keep(raw)), ("com".to_owned(), keep(com))];
        incident
    }

    #[test]
    fn a_record_looks_as_python_writes_it() {
        let incident =
            incident(r#"{"b" :1.10,"a":[ ],"o":{},"l":[1e400,"gr\u00f6ßer\/\ud83d\ude00\u007f"]}"#, r#"{"x":null}"#);
        let expected = "{\n  \"raw\": {\n    \"b\": 1.10,\n    \"a\": [],\n    \"o\": {},\n    \"l\": [\n      1e400,\n      \
                        \"gr\\u00f6\\u00dfer/\\ud83d\\ude00\\u007f\"\n    ]\n  },\n  \"com\": {\n    \"x\": null\n  }\n}";
        assert_eq!(fields_as_python(&record::fields(&incident).expect("a record")), expected);
    }

    #[test]
    fn each_worker_has_a_file_and_no_name_leads_elsewhere() {
        let name = |com: &str| file_name(&incident("1", com));
        assert_eq!(name(r#"{"origin_worker":"mockaudit_mockcloud"}"#), "mockaudit_mockcloud.json");
        assert_eq!(name(r#"{"record_type":"begin_audit"}"#), "no_worker.json");
        assert_eq!(name(r#"{"origin_worker":"../../etc/x\n"}"#), "_.._.._etc_x_.json");
        assert_eq!(name(r#"{"origin_worker":""}"#), "_.json");
        assert!(name(&format!(r#"{{"origin_worker":"{}"}}"#, "ß".repeat(500))).len() < 200);
    }
}
