//! `balefire incidents`: the history as a list, one incident in full, and what people do about them.

use super::client::{Question, Reach, encoded, parsed};
use super::history::{self, Ask};
use super::listing::show_rows;
use super::output::{Output, Screen};
use super::parts::JSON;
use super::table::{Cell, painted, severity_style, table};
use super::{Exit, Failure, Place, fail, why};
use crate::clock;
use crate::environment;
use anstyle::Style;
use balefire_model::text::{lines, one_line};
use balefire_model::{IncidentId, Severity, State};
use balefire_store::view::{LIMIT_DEFAULT, Query, at_least};
use bytes::Bytes;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// Look at incidents, take them on, close them
#[derive(Debug, Subcommand)]
pub(crate) enum Incidents {
    /// List incidents, newest first
    List(List),
    /// Show one incident with its state, its changes and its deliveries
    Show(Show),
    /// Say that somebody takes care of incidents
    Ack(Change),
    /// Say that incidents are over
    Resolve(Change),
}

impl Incidents {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Incidents::List(command) => command.run(place, output),
            Incidents::Show(command) => command.run(place, output),
            Incidents::Ack(command) => command.run("ack", place, output),
            Incidents::Resolve(command) => command.run("resolve", place, output),
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  balefire incidents list --since 2h --min-severity high
  balefire incidents list --state open --text 'brute force'
  balefire incidents list --limit 1000 --json | jq -r '.[].id'

Works without a server, too, on the data directory itself.";

/// List incidents, newest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    /// From this time on: 2026-11-22T03:00:00Z, or an age such as 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only these severities; can be a list with commas
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',', value_parser = severity)]
    severity: Vec<Severity>,
    /// Only this severity and worse ones
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    min_severity: Option<Severity>,
    /// Only from this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only with this text in title, description, detected_by or a label; case does not matter
    #[arg(long)]
    text: Option<String>,
    /// Only in this state: open, acked or resolved
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// At most so many, 1 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = LIMIT_DEFAULT as u16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only before this incident: the last id of a list gives the next page
    #[arg(long, value_name = "ID")]
    before: Option<IncidentId>,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl List {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = parsed(&history::ask(place, &self.reach, &Ask::List(&self.query()?))?)?;
        let rows = found["incidents"].as_array().map(Vec::as_slice).unwrap_or_default();
        show_rows(rows, self.json, "no incident matches", output, listed)?;
        Ok(Exit::Done)
    }

    fn query(&self) -> Result<Query, Failure> {
        let mut severities = self.severity.clone();
        if let Some(least) = self.min_severity {
            severities =
                at_least(least).into_iter().filter(|s| severities.is_empty() || severities.contains(s)).collect();
            if severities.is_empty() {
                return Err(Failure::new(Exit::Usage, "--severity and --min-severity together leave no severity"));
            }
        }
        Ok(Query {
            since: self.since,
            until: self.until,
            severities,
            source: self.source.clone(),
            text: self.text.clone(),
            state: self.state,
            limit: usize::from(self.limit),
            before: self.before,
        })
    }
}

fn listed(rows: &[Value], screen: Screen) -> String {
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let time = text("received_at").parse::<Timestamp>();
        let time = time.map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
        let severity = text("severity");
        vec![
            Cell::new(&time),
            Cell::styled(&severity, severity_style(&severity)),
            Cell::new(&text("state")),
            Cell::new(&balefire_model::text::cut(&text("source"), 40)),
            Cell::new(&text("id")),
            Cell::new(&text("title")),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    table(&["TIME", "SEVERITY", "STATE", "SOURCE", "ID", "TITLE"], &rows, screen)
}

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
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = history::ask(place, &self.reach, &Ask::Show(&self.id))?;
        if self.json {
            output.raw_json(&found)?;
        } else {
            output.text(&shown(&parsed(&found)?, output.screen))?;
        }
        Ok(Exit::Done)
    }
}

/// One incident for people: what was said of it, and what became of it.
fn shown(found: &Value, screen: Screen) -> String {
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
    fact("received", &text(incident, "received_at"));
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

fn joined(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// A change of state
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The incidents' ids, or the beginnings of them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Who does it; without it, the user's name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why, or what was done
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Print JSON, one line an incident
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Change {
    /// Every id gets its try; the worst of what happened is the exit.
    fn run(&self, verb: &str, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let client = place.client(&self.reach)?;
        let by = self.by.clone().or_else(|| environment::variable("USER")).filter(|by| !by.is_empty());
        let body = json!({ "by": by, "comment": self.comment }).to_string();
        let mut exit = Exit::Done;
        for id in &self.ids {
            let mut question = Question::post(format!("/api/v1/incidents/{}/{verb}", encoded(id)));
            question.body = Some((JSON, Bytes::from(body.clone())));
            match client.ask(&question)?.json() {
                Ok(changed) if self.json => output.json_line(&changed)?,
                Ok(changed) => {
                    let text = |name: &str| changed[name].as_str().unwrap_or_default();
                    output.line(&one_line(&format!("{} {}", text("state"), text("id"))))?;
                }
                Err(failure) => exit = fail(failure.exit, failure.error.context(id.clone()).as_ref()),
            }
        }
        Ok(exit)
    }
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    moment_seen_from(clock::now(), text)
}

fn moment_seen_from(now: Timestamp, text: &str) -> Result<Timestamp, String> {
    let age = balefire_model::settings::parse_duration(text);
    let moment = match age {
        Some(age) => now.checked_sub(age).ok(),
        None => text.parse().ok(),
    };
    moment.ok_or_else(|| "allowed: a time such as 2026-11-22T03:00:00Z, or an age such as 15m, 2h or 7d".to_owned())
}

/// A time span such as `30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    balefire_model::settings::parse_duration(text).ok_or_else(|| "allowed: a time such as 500ms, 30s or 5m".to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| format!("allowed: {}", Severity::ALLOWED))
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| "allowed: open, acked, resolved".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_a_table_of_harmless_lines() {
        let rows = [json!({
            "id": "01935f1c-7c00-7000-8000-000000000001", "received_at": "2026-11-22T03:00:00.5Z", "severity": "high",
            "state": "open", "source": "http", "title": "a\r\nb",
        })];
        let expected = "\
TIME                  SEVERITY  STATE  SOURCE  ID                                    TITLE
2026-11-22 03:00:00Z  high      open   http    01935f1c-7c00-7000-8000-000000000001  a\\r\\nb
";
        assert_eq!(listed(&rows, Screen::default()), expected);
    }

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
            "deliveries": [{ "channel": "hook", "attempts": 2, "status": "delivered" }],
        });
        let expected = "\
CRITICAL  T
  id                01935f1c-7c00-7000-8000-000000000001
  state             acked
  received          2026-11-22T03:00:00Z
  source            http
  cui_involved      yes
  label             host=web-1
  a\\nb              [1]
  change            acked at 2026-11-22T03:01:00Z by ann: mine
  delivery          hook: delivered, 2 attempts

one
two\\u{1b}
";
        assert_eq!(shown(&found, Screen::default()), expected);
    }

    #[test]
    fn an_age_is_a_time_before_now_and_other_words_are_refused() {
        let now: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        let then: Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        assert_eq!(moment_seen_from(now, "2h"), Ok(then));
        assert_eq!(moment_seen_from(now, "2026-11-22T01:00:00Z"), Ok(then));
        assert!(moment_seen_from(now, "yesterday").unwrap_err().contains("2h"));
    }
}
