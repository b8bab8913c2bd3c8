//! An incident as a line of CSV (RFC 4180), for spreadsheets: a cell that a sender wrote is never a formula there. Pure;
//! writes nothing.

use balefire_model::text::{lines, one_line};
use serde_json::Value;

/// A column's name, and what an incident has in it.
type Column = (&'static str, fn(&Value) -> String);

/// The columns. Their order and names stay; new ones come at the end.
const COLUMNS: [Column; 26] = [
    ("id", |found| text(&found["incident"]["id"])),
    ("received_at", |found| text(&found["incident"]["received_at"])),
    ("event_time", |found| text(&found["incident"]["event_time"])),
    ("severity", |found| text(&found["incident"]["severity"])),
    ("state", |found| text(&found["state"])),
    ("title", |found| text(&found["incident"]["title"])),
    ("detected_by", |found| text(&found["incident"]["detected_by"])),
    ("source", |found| text(&found["incident"]["source"])),
    ("description", |found| lines(found["incident"]["description"].as_str().unwrap_or_default()).into_owned()),
    ("nist_controls", |found| items(&found["incident"]["nist_controls"]).map(text).collect::<Vec<_>>().join(", ")),
    ("cui_involved", |found| truth(&found["incident"]["cui_involved"])),
    ("assigned_to", |found| text(&found["assigned_to"])),
    ("acknowledged_at", |found| changed(found, "acked", "at")),
    ("acknowledged_by", |found| changed(found, "acked", "by")),
    ("resolved_at", |found| changed(found, "resolved", "at")),
    ("resolved_by", |found| changed(found, "resolved", "by")),
    ("comments", |found| told(&found["changes"], "comment")),
    ("notes", |found| told(&found["notes"], "text")),
    ("dfars_reportable", |found| truth(&found["dfars_reportable"])),
    ("report_due", |found| text(&found["report"]["due"])),
    ("reported_at", |found| text(&found["report"]["reported_at"])),
    ("reported_by", |found| text(&found["report"]["reported_by"])),
    ("report_reference", |found| text(&found["report"]["reference"])),
    ("labels", labels),
    ("incident_id", |found| text(&found["incident"]["incident_id"])),
    ("fingerprint", |found| text(&found["incident"]["fingerprint"])),
];

/// The first line: the columns' names.
pub(super) fn header() -> String {
    line_of(COLUMNS.iter().map(|(name, _)| (*name).to_owned()))
}

/// The line of an incident, as `incidents show --json` has it.
pub(super) fn line(found: &Value) -> String {
    line_of(COLUMNS.iter().map(|(_, of)| of(found)))
}

fn line_of(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|text| cell(&text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A text as a cell. Spreadsheets take what begins with one of these signs, also in its wide form or behind blanks, as a
/// formula; a `'` before it makes it text.
fn cell(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let is_formula = text.trim_start().starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    // A semicolon and a tab separate cells for spreadsheets of other countries.
    if text.contains([',', '"', '\r', '\n', ';', '\t']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn text(value: &Value) -> String {
    one_line(value.as_str().unwrap_or_default()).into_owned()
}

fn truth(value: &Value) -> String {
    value.as_bool().unwrap_or_default().to_string()
}

fn items(value: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What the first change to a state says since the incident was last open: who comes later changes nothing.
fn changed(found: &Value, state: &str, member: &str) -> String {
    let since_open = items(&found["changes"]).rev().take_while(|change| change["state"] != "open");
    let first = since_open.filter(|change| change["state"] == state).last();
    first.map(|change| text(&change[member])).unwrap_or_default()
}

/// What people said, each with who and when.
fn told(said: &Value, member: &str) -> String {
    let said = items(said).filter(|one| one[member].as_str().is_some_and(|text| !text.is_empty()));
    let said = said.map(|one| format!("{} {}: {}", text(&one["at"]), text(&one["by"]), text(&one[member])));
    said.collect::<Vec<_>>().join("; ")
}

fn labels(found: &Value) -> String {
    let labels = found["incident"]["labels"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| format!("{}={}", one_line(name), text(value)));
    labels.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_cell_is_a_formula_and_none_leaves_its_place() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("one\ntwo", "\"one\ntwo\""),
            ("=1+1", "'=1+1"),
            ("  =1+1", "'  =1+1"),
            ("+49", "'+49"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1", "'＝1"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("a;=1", "\"a;=1\""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn who_was_first_since_it_was_last_open_has_acknowledged_it() {
        let change = |state: &str, by: &str| json!({ "state": state, "by": by });
        let found = json!({ "changes": [change("acked", "ann"), change("open", "ben"), change("acked", "cid"),
            change("acked", "dan"), change("resolved", "eve"), change("resolved", "fay")] });
        assert_eq!(changed(&found, "acked", "by"), "cid");
        assert_eq!(changed(&found, "resolved", "by"), "eve");
    }

    #[test]
    fn every_line_has_every_column_whatever_was_sent() {
        let found = json!({
            "incident": { "id": "01935f1c-7c00-7000-8000-000000000001", "title": "=cmd|' /C calc'!A0\u{1b}\r\nx", "labels": { "a": "b" },
                "nist_controls": ["3.3.4", "3.3.1"], "cui_involved": true, "description": "one\ntwo" },
            "state": "acked", "assigned_to": "anna", "dfars_reportable": false,
            "changes": [{ "state": "acked", "at": "2026-11-22T03:01:00Z", "by": "ann", "comment": "mine" }],
            "notes": [{ "at": "2026-11-22T03:02:00Z", "by": "ben", "text": "seen" }],
        });
        let line = line(&found);
        assert!(line.ends_with("\r\n"), "{line}");
        assert!(line.contains(",'=cmd|' /C calc'!A0\\u{1b}\\r\\nx,"), "{line}");
        assert!(line.contains("\"3.3.4, 3.3.1\",true,anna,2026-11-22T03:01:00Z,ann,,,"), "{line}");
        assert!(line.contains("2026-11-22T03:01:00Z ann: mine,2026-11-22T03:02:00Z ben: seen,false"), "{line}");
        assert_eq!(header().split(',').count(), COLUMNS.len());
    }

    #[test]
    fn what_was_taken_back_is_not_acknowledged() {
        let changes = json!([
            { "state": "acked", "at": "2026-11-22T03:01:00Z", "by": "ann" },
            { "state": "open", "at": "2026-11-22T03:02:00Z", "by": "ann" },
        ]);
        assert_eq!(changed(&json!({ "state": "open", "changes": changes }), "acked", "by"), "");
    }
}
