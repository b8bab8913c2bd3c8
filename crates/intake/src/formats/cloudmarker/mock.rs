//! The audit that Cloudmarker's `mockcloud` and `mockevent` make, to try a configuration with: ten records for a store, an
//! event for each third of them for an alert, and the marks around both. The same version gives the same bytes.

use serde_json::{Map, Value, json};

/// How many records the mock cloud has.
pub const RECORDS: usize = 10;

/// Every so many records, the first included, one is an event.
pub const EVENT_EVERY: usize = 3;

/// The audit's records in order, as one plugin gets them that is its store and its alert. `version` tells this run from others, as
/// `20261122_030000` does.
#[must_use]
pub fn audit(version: &str) -> Vec<Value> {
    let mut records = vec![mark("begin_audit", version, "store")];
    records.extend((0..RECORDS).map(|nth| cloud_record(nth, version)));
    records.extend([mark("end_audit", version, "store"), mark("begin_audit", version, "alert")]);
    records.extend((0..RECORDS).filter(|nth| nth % EVENT_EVERY == 0).map(|nth| event(nth, version)));
    records.push(mark("end_audit", version, "alert"));
    records
}

fn cloud_record(nth: usize, version: &str) -> Value {
    let com = json!({ "cloud_type": "mock", "record_type": "mock" });
    json!({
        "raw": { "data": nth },
        "ext": { "cloud_type": "mock", "record_type": source_type(nth), "data": nth },
        "com": com_of(&com, version, Origin { kind: "cloud", key: "mockcloud", class: "MockCloud", target_type: "store" }),
    })
}

fn event(nth: usize, version: &str) -> Value {
    let com = json!({
        "record_type": "mock_event",
        "description": format!("Data {nth} is a multiple of {EVENT_EVERY}."),
        "recommendation": "This is a mock event; nothing need be done.",
    });
    json!({
        "ext": { "cloud_type": "mock", "record_type": "mock_event", "data": nth, "n": EVENT_EVERY },
        "com": com_of(&com, version, Origin { kind: "event", key: "mockevent", class: "MockEvent", target_type: "alert" }),
    })
}

fn mark(record_type: &str, version: &str, target_type: &str) -> Value {
    let mut com = Map::new();
    com.insert("record_type".to_owned(), record_type.into());
    target(&mut com, version, target_type);
    json!({ "com": com })
}

fn source_type(nth: usize) -> &'static str {
    if nth.is_multiple_of(2) { "foo" } else { "bar" }
}

/// Who made a record, and for whom.
#[derive(Clone, Copy)]
struct Origin {
    kind: &'static str,
    key: &'static str,
    class: &'static str,
    target_type: &'static str,
}

fn com_of(own: &Value, version: &str, origin: Origin) -> Value {
    let Origin { kind, key, class, target_type } = origin;
    let mut com = own.as_object().cloned().unwrap_or_default();
    com.insert("origin_key".to_owned(), key.into());
    let class = format!("cloudmarker.{kind}s.{key}.{class}");
    com.insert("origin_class".to_owned(), class.into());
    com.insert("origin_worker".to_owned(), format!("mockaudit_{key}").into());
    com.insert("origin_type".to_owned(), kind.into());
    target(&mut com, version, target_type);
    Value::Object(com)
}

fn target(com: &mut Map<String, Value>, version: &str, target_type: &str) {
    com.insert("audit_key".to_owned(), "mockaudit".into());
    com.insert("audit_version".to_owned(), version.into());
    com.insert("target_key".to_owned(), "balefire".into());
    com.insert("target_worker".to_owned(), "mockaudit_balefire".into());
    com.insert("target_type".to_owned(), target_type.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_ten_records_four_events_and_marks_for_each_target() {
        let records = audit("20261122_030000");
        let count = |kind: &str| records.iter().filter(|record| record["com"]["record_type"] == kind).count();
        assert_eq!((count("mock"), count("mock_event")), (10, 4));
        assert_eq!((count("begin_audit"), count("end_audit"), records.len()), (2, 2, 18));
        assert_eq!(records[0]["com"]["record_type"], "begin_audit");
        assert_eq!(records[17]["com"]["record_type"], "end_audit");
        let data: Vec<_> = records[13..17].iter().filter_map(|record| record["ext"]["data"].as_u64()).collect();
        assert_eq!(data, [0, 3, 6, 9]);
    }
}
