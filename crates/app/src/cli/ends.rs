//! The ends of the runs in files of a cloud audit: which runs are in what is sent, and which of them lack their end. A
//! `FileStore` keeps the marks of only one of them in its directory. Sends nothing.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What tells runs apart in `com`.
const IDENTITY: [&str; 4] = ["audit_key", "audit_version", "target_worker", "target_type"];

/// The runs that were seen.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// By what tells them apart, as JSON: whether the end was among the records.
    seen: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    com: Value,
}

impl Ends {
    /// Takes note of the items of a request: a list, or one a line. What is no record is of no run.
    pub(super) fn see(&mut self, body: &[u8]) {
        match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Ok(items) => items.iter().for_each(|item| self.see_item(item.get().as_bytes())),
            Err(_) => body.split(|byte| *byte == b'\n').for_each(|line| self.see_item(line)),
        }
    }

    fn see_item(&mut self, item: &[u8]) {
        let Ok(Record { com: Value::Object(com) }) = serde_json::from_slice(item) else { return };
        let Some(run) = run_of(&com) else { return };
        let is_end = com.get("record_type").is_some_and(|kind| kind == "end_audit");
        *self.seen.entry(run).or_default() |= is_end;
    }

    /// The marks that end the runs whose end was not among the records.
    pub(super) fn missing(&self) -> Vec<Value> {
        let open = self.seen.iter().filter(|(_, has_end)| !**has_end);
        open.filter_map(|(run, _)| serde_json::from_str::<Map<String, Value>>(run).ok())
            .map(|mut com| {
                com.insert("record_type".to_owned(), "end_audit".into());
                json!({ "com": com })
            })
            .collect()
    }
}

/// What tells the run of a record from others; none where it names none.
fn run_of(com: &Map<String, Value>) -> Option<String> {
    let has = |name: &str| com.get(name).is_some_and(|value| !value.is_null());
    if !has("record_type") || !has("audit_key") || !has("audit_version") {
        return None;
    }
    let fields = IDENTITY.into_iter().filter_map(|name| Some((name.to_owned(), com.get(name)?.clone())));
    serde_json::to_string(&fields.collect::<Map<_, _>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_end_is_not_there_gets_one_and_the_others_do_not() {
        let record = |audit: &str, kind: &str| {
            json!({"raw": [1], "com": {
                "record_type": kind, "audit_key": audit, "audit_version": "1",
                "target_worker": "w", "target_type": "store", "target_key": "files",
            }})
        };
        let mut ends = Ends::default();
        ends.see(json!([record("a", "mock"), record("b", "mock"), {"title": "none"}, 7]).to_string().as_bytes());
        ends.see(format!("{}\n{{broken\n\n{}\n", record("b", "end_audit"), record("a", "mock")).as_bytes());
        let end = json!({"com": {
            "record_type": "end_audit", "audit_key": "a", "audit_version": "1",
            "target_worker": "w", "target_type": "store",
        }});
        assert_eq!(ends.missing(), [end]);
    }

    #[test]
    fn records_that_name_no_run_have_no_end() {
        let mut ends = Ends::default();
        ends.see(br#"[{"com":{"record_type":"x","audit_key":"a"}},{"com":null},{"com":{"audit_key":"a","audit_version":"1"}}]"#);
        assert!(ends.missing().is_empty());
    }
}
