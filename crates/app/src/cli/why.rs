//! `balefire why`: an incident's whole story, one line a step, and how each delivery stands.

use super::client::{Reach, parsed};
use super::history::{self, Ask};
use super::output::{Output, Screen};
use super::table::{painted, severity_style};
use super::{Exit, Failure, Place};
use anstyle::Style;
use balefire_model::text::one_line;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

const EXAMPLES: &str = "\
Examples:
  balefire why 01935f1c              the beginning of an id is enough
  balefire why 01935f1c --json | jq .deliveries

Works without a server, too, on the data directory itself.";

/// Tell the whole story of one incident: every step from arrival to each delivery
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Why {
    /// The incident's id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Why {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let story = parsed(&history::ask(place, &self.reach, &Ask::Why(&self.id))?)?;
        if self.json {
            output.json(&story)?;
        } else {
            output.text(&told(&story, output.screen))?;
        }
        Ok(Exit::Done)
    }
}

/// The story for people.
fn told(story: &Value, screen: Screen) -> String {
    let severity = text(story, "severity");
    let title = painted(&one_line(text(story, "title")), Style::new().bold(), screen);
    let mut told = format!(
        "{}  {title}\n{}  {}  {}\n\n",
        painted(&one_line(severity).to_uppercase(), severity_style(severity), screen),
        one_line(text(story, "id")),
        one_line(text(story, "state")),
        one_line(text(story, "ending")),
    );
    if let Some(repeats) = story["repeats"].as_u64().filter(|repeats| *repeats > 0) {
        let last = one_line(text(story, "last_seen"));
        told = format!("{}\nseen {} times, last at {last}\n\n", told.trim_end(), repeats + 1);
    }
    let steps = story["story"].as_array().map(Vec::as_slice).unwrap_or_default();
    let begin = steps.first().and_then(time_of);
    for step in steps {
        let time = time_of(step);
        let since = time.zip(begin).map(|(time, begin)| elapsed(begin, time)).unwrap_or_default();
        let sentence = match text(step, "text") {
            "" => text(step, "step"),
            sentence => sentence,
        };
        told.push_str(&format!("{}  {since:>10}  {}\n", time.map(shown).unwrap_or_default(), one_line(sentence)));
    }
    let deliveries = endings(story);
    if !deliveries.is_empty() {
        told.push_str(&format!("\n{deliveries}"));
    }
    told
}

/// A line for each delivery: how it stands.
pub(crate) fn endings(story: &Value) -> String {
    let mut lines = String::new();
    let deliveries = deliveries(story);
    if deliveries.is_empty() {
        return format!("{}  {}\n", one_line(text(story, "id")), one_line(text(story, "ending")));
    }
    for delivery in deliveries {
        let attempts = delivery["attempts"].as_u64().unwrap_or_default();
        let plural = if attempts == 1 { "attempt" } else { "attempts" };
        let line = format!("{}: {}, {attempts} {plural}", label(delivery), standing(delivery, deliveries));
        lines.push_str(&one_line(&line));
        lines.push('\n');
    }
    lines
}

/// The channel, and what the delivery is for where it is no first notice.
fn label(delivery: &Value) -> String {
    let channel = text(delivery, "channel");
    match (text(delivery, "reason"), text(delivery, "stands_in_for")) {
        (_, first) if !first.is_empty() => format!("{channel} (stands in for {first})"),
        (reason @ ("resolved" | "escalated" | "repeated" | "fallback"), _) => format!("{channel} ({reason})"),
        _ => channel.to_owned(),
    }
}

/// How a delivery stands among those of its incident, in words.
fn standing(delivery: &Value, all: &[Value]) -> String {
    let status = &delivery["status"];
    let behind = all.iter().find(|other| other["delivery"].is_string() && other["delivery"] == delivery["behind"]);
    if let Some(first) = behind.filter(|first| *status == "waiting" && is_to_come(first)) {
        return format!("waits until delivery {} has ended", text(first, "delivery"));
    }
    if let Some(suppressed) = status.get("suppressed") {
        return format!("suppressed by {} ({})", text(suppressed, "rule"), text(suppressed, "because"));
    }
    if let Some(until) = status.get("retrying").and_then(Value::as_str) {
        return format!("put off until {until}{}", last_detail(delivery));
    }
    if let Some(given_up) = status.get("given_up") {
        return format!("given up ({}){}", text(given_up, "reason"), last_detail(delivery));
    }
    match status.as_str() {
        Some("delivered") => format!("delivered{}", last_detail(delivery)),
        Some("under_way") => "under way".to_owned(),
        Some(word) => word.to_owned(),
        None => "unknown".to_owned(),
    }
}

fn is_to_come(delivery: &Value) -> bool {
    let status = &delivery["status"];
    matches!(status.as_str(), Some("waiting" | "under_way")) || status.get("retrying").is_some()
}

/// What the far side said last, in brackets.
fn last_detail(delivery: &Value) -> String {
    let outcome = &delivery["last_outcome"];
    let said = ["delivered", "deferred", "rejected"].into_iter().find_map(|kind| {
        let outcome = outcome.get(kind)?;
        outcome.get("detail").or_else(|| outcome.get("receipt"))?.as_str()
    });
    said.filter(|said| !said.is_empty()).map(|said| format!(" [{said}]")).unwrap_or_default()
}

/// Whether every delivery that was decided on has an answer: delivered, given up, or put off.
pub(crate) fn is_settled(story: &Value) -> bool {
    let is_routed = story["story"].as_array().into_iter().flatten().any(|step| step["step"] == "routed");
    // A test of a channel is decided on without a route; its delivery shows that it was.
    (is_routed || !deliveries(story).is_empty())
        && !deliveries(story)
            .iter()
            .any(|delivery| matches!(delivery["status"].as_str(), Some("waiting" | "under_way")))
}

/// Whether nothing is missing: every delivery was delivered, or there is none.
pub(crate) fn is_delivered(story: &Value) -> bool {
    is_settled(story) && deliveries(story).iter().all(|delivery| delivery["status"] == "delivered")
}

fn deliveries(story: &Value) -> &[Value] {
    story["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn time_of(step: &Value) -> Option<Timestamp> {
    text(step, "at").parse().ok()
}

/// A time as people read it: UTC, to the millisecond.
pub(crate) fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

/// `+0.004s`
fn elapsed(begin: Timestamp, time: Timestamp) -> String {
    let ms = time.as_millisecond() - begin.as_millisecond();
    format!("{}{}.{:03}s", if ms < 0 { '-' } else { '+' }, ms.abs() / 1000, ms.abs() % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn story(status: Value) -> Value {
        json!({
            "id": "01935f1c-7c00-7000-8000-000000000001", "title": "Brute\u{202e} force", "severity": "high",
            "state": "open", "ending": "1 delivered, 0 still to come, 0 given up",
            "story": [
                { "at": "2026-11-22T03:00:00.123456Z", "step": "accepted", "text": "accepted from web" },
                { "at": "2026-11-22T03:00:00.127Z", "step": "routed", "text": "route all took it (\u{1b}[2J): hook" },
                { "at": "2026-11-22T03:01:01Z", "step": "stopped", "text": "" },
            ],
            "deliveries": [{ "channel": "hook", "attempts": 1, "status": status,
                "last_outcome": { "delivered": { "receipt": "200 OK" } } }],
        })
    }

    #[test]
    fn the_story_is_one_line_a_step_with_the_time_since_it_began() {
        let expected = "\
HIGH  Brute\\u{202e} force
01935f1c-7c00-7000-8000-000000000001  open  1 delivered, 0 still to come, 0 given up

2026-11-22 03:00:00.123Z     +0.000s  accepted from web
2026-11-22 03:00:00.127Z     +0.004s  route all took it (\\u{1b}[2J): hook
2026-11-22 03:01:01.000Z    +60.877s  stopped

hook: delivered [200 OK], 1 attempt
";
        assert_eq!(told(&story(json!("delivered")), Screen::default()), expected);
    }

    #[test]
    fn waiting_is_not_settled_and_putting_off_is_not_delivery() {
        let waiting = story(json!("waiting"));
        assert!(!is_settled(&waiting) && !is_delivered(&waiting));
        let retrying = story(json!({ "retrying": "2026-11-22T03:00:01Z" }));
        assert!(is_settled(&retrying) && !is_delivered(&retrying));
        let given_up = story(json!({ "given_up": { "cause": "auth", "reason": "no more" } }));
        assert!(is_settled(&given_up) && !is_delivered(&given_up));
        assert!(is_delivered(&story(json!("delivered"))));
    }

    #[test]
    fn a_delivery_says_what_it_is_for_and_what_it_waits_for() {
        let mut story = story(json!({ "retrying": "2026-11-22T03:00:01Z" }));
        story["deliveries"][0]["delivery"] = json!("d1");
        let resolved = json!({ "channel": "hook", "reason": "resolved", "delivery": "d2", "behind": "d1", "attempts": 0,
            "status": "waiting" });
        let stand_in = json!({ "channel": "mail", "reason": "fallback", "stands_in_for": "hook", "attempts": 0,
            "status": { "suppressed": { "rule": "resolved-first", "because": "it was over" } } });
        story["deliveries"].as_array_mut().unwrap().extend([resolved, stand_in]);
        let told = endings(&story);
        let lines: Vec<&str> = told.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "hook (resolved): waits until delivery d1 has ended, 0 attempts",
                "mail (stands in for hook): suppressed by resolved-first (it was over), 0 attempts",
            ]
        );
        story["deliveries"][0]["status"] = json!("delivered");
        assert!(endings(&story).contains("hook (resolved): waiting, 0 attempts"));
    }

    #[test]
    fn what_is_only_recorded_has_an_ending_too() {
        let mut story = story(json!("delivered"));
        story["deliveries"] = json!([]);
        assert!(is_delivered(&story));
        story["story"] = json!([]);
        assert!(!is_settled(&story));
    }

    #[test]
    fn an_answer_in_another_form_does_not_stop_the_telling() {
        assert!(told(&json!({}), Screen::default()).lines().count() >= 2);
    }
}
