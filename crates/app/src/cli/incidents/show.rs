//! `balefire incidents show`: one incident in full, with what became of it and what people did about it.

use super::words::countdown;
use crate::cli::client::{Reach, parsed};
use crate::cli::history::{self, Ask};
use crate::cli::output::{Output, Screen};
use crate::cli::table::{painted, severity_style};
use crate::cli::{Exit, Failure, Place, why};
use crate::clock;
use anstyle::Style;
use balefire_model::text::{lines, one_line};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

/// Show one incident with its state, its changes and its deliveries
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The incident's id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Show {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = history::ask(place, &self.reach, &Ask::Show(&self.id))?;
        if self.json {
            output.raw_json(&found)?;
        } else {
            output.text(&shown(&parsed(&found)?, clock::now(), output.screen))?;
        }
        Ok(Exit::Done)
    }
}

/// One incident for people: what was said of it, and what became of it.
fn shown(found: &Value, now: Timestamp, screen: Screen) -> String {
    let incident = &found["incident"];
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let severity = text(incident, "severity");
    let mut shown = format!(
        "{}  {}\n",
        painted(&one_line(&severity).to_uppercase(), severity_style(&severity), screen),
        painted(&one_line(&text(incident, "title")), Style::new().bold(), screen)
    );
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            shown.push_str(&format!("  {name:<17} {}\n", one_line(value)));
        }
    };
    fact("id", &text(incident, "id"));
    fact("state", &text(found, "state"));
    fact("assigned_to", &text(found, "assigned_to"));
    fact("report", &report(&found["report"], now));
    fact("received", &text(incident, "received_at"));
    fact("repeat of", &text(found, "repeat_of"));
    if let Some(repeats) = found["repeats"].as_u64().filter(|repeats| *repeats > 0) {
        fact("seen", &format!("{} times, last at {}", repeats + 1, text(found, "last_seen")));
    }
    for name in ["event_time", "source", "detected_by", "severity_original", "incident_id", "fingerprint"] {
        fact(name, &text(incident, name));
    }
    fact("nist_controls", &joined(&incident["nist_controls"]));
    fact("cui_involved", if incident["cui_involved"] == true { "yes" } else { "" });
    for (key, value) in incident["labels"].as_object().into_iter().flatten() {
        fact("label", &format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for (key, value) in incident["extra"].as_object().into_iter().flatten() {
        fact(&one_line(key), &value.to_string());
    }
    for note in incident["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        fact("note", note);
    }
    if let Some(count) = incident["events"].as_array().map(Vec::len).filter(|count| *count > 0) {
        fact("events", &format!("{count}; --json shows them"));
    }
    for change in found["changes"].as_array().into_iter().flatten() {
        let comment = text(change, "comment");
        let comment = if comment.is_empty() { comment } else { format!(": {comment}") };
        let line = format!("{} at {} by {}{comment}", text(change, "state"), text(change, "at"), text(change, "by"));
        fact("change", &line);
    }
    for assigned in found["assignments"].as_array().into_iter().flatten() {
        let to = assigned["to"].as_str().unwrap_or("nobody");
        fact("assigned", &format!("to {to} at {} by {}", text(assigned, "at"), text(assigned, "by")));
    }
    for note in found["notes"].as_array().into_iter().flatten() {
        fact("noted", &format!("at {} by {}: {}", text(note, "at"), text(note, "by"), text(note, "text")));
    }
    fact("history only", &text(found, "history_only"));
    if found["deliveries"].as_array().is_some_and(|deliveries| !deliveries.is_empty()) {
        for line in why::endings(found).lines() {
            fact("delivery", line);
        }
    }
    let description = text(incident, "description");
    if !description.is_empty() {
        shown.push_str(&format!("\n{}\n", lines(&description)));
    }
    shown
}

/// How it stands with the report that the law asks for.
fn report(report: &Value, now: Timestamp) -> String {
    let text = |name: &str| report[name].as_str();
    let due = text("due").and_then(|due| Some((due, due.parse().ok()?)));
    let due = due.map(|(due, time): (&str, Timestamp)| (format!("due {due}"), countdown(now, time)));
    match (text("reported_at"), text("reported_by"), due) {
        (Some(at), by, due) => {
            let reference = text("reference").map(|reference| format!(": {reference}")).unwrap_or_default();
            let due = due.map(|(due, _)| format!(" ({due})")).unwrap_or_default();
            format!("reported at {at} by {}{due}{reference}", by.unwrap_or_default())
        }
        (None, _, Some((due, left))) => format!("{due}, {left} (DFARS 252.204-7012)"),
        (None, _, None) => String::new(),
    }
}

fn joined(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_incident_is_shown_with_all_that_was_said_of_it() {
        let found = json!({
            "incident": {
                "id": "01935f1c-7c00-7000-8000-000000000001", "title": "T", "severity": "critical",
                "description": "one\ntwo\u{1b}", "labels": { "host": "web-1" }, "cui_involved": true,
                "extra": { "a\nb": [1] }, "received_at": "2026-11-22T03:00:00Z", "source": "http",
            },
            "state": "acked",
            "changes": [{ "state": "acked", "at": "2026-11-22T03:01:00Z", "by": "ann", "comment": "mine" }],
            "assigned_to": "ann", "report": { "due": "2026-11-25T03:00:00Z" },
            "assignments": [{ "to": "ann", "at": "2026-11-22T03:02:00Z", "by": "ben" }],
            "notes": [{ "text": "seen\nbefore", "at": "2026-11-22T03:03:00Z", "by": "ann" }],
            "deliveries": [{ "channel": "hook", "attempts": 2, "status": "delivered" }],
        });
        let expected = "\
CRITICAL  T
  id                01935f1c-7c00-7000-8000-000000000001
  state             acked
  assigned_to       ann
  report            due 2026-11-25T03:00:00Z, in 2d 23h (DFARS 252.204-7012)
  received          2026-11-22T03:00:00Z
  source            http
  cui_involved      yes
  label             host=web-1
  a\\nb              [1]
  change            acked at 2026-11-22T03:01:00Z by ann: mine
  assigned          to ann at 2026-11-22T03:02:00Z by ben
  noted             at 2026-11-22T03:03:00Z by ann: seen\\nbefore
  delivery          hook: delivered, 2 attempts

one
two\\u{1b}
";
        let now = "2026-11-22T04:00:00Z".parse().unwrap();
        assert_eq!(shown(&found, now, Screen::default()), expected);
    }
}
