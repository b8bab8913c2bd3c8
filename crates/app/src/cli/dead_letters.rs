//! `balefire dead-letters`: deliveries that were given up: listed, shown with request and reply, sent on their way again,
//! purged.

use super::channels::to_second;
use super::client::{Question, Reach, encoded};
use super::incidents::age;
use super::listing::{Listing, Wanted};
use super::output::{self, Output, Screen};
use super::parts::JSON;
use super::table::{Cell, severity_style, table};
use super::{Exit, Failure, Place};
use crate::clock;
use crate::environment;
use balefire_model::text::{lines, one_line};
use bytes::Bytes;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Look at deliveries that were given up; send them on their way again or purge them
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List deliveries that were given up, the oldest first
    List(List),
    /// Show one with the request that was last made, the reply, and its attempts; secrets are ***
    Show(Show),
    /// Send dead letters on their way again, under the same ids
    Redrive(Redrive),
    /// Give dead letters up for good, for a reason that is recorded
    Purge(Purge),
}

impl DeadLetters {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            DeadLetters::List(command) => command.run(place, output),
            DeadLetters::Show(command) => command.run(place, output),
            DeadLetters::Redrive(command) => command.order.run("redrive", None, place, output),
            DeadLetters::Purge(command) => command.order.run("purge", Some(&command.reason), place, output),
        }
    }
}

/// Which dead letters; all conditions hold.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only those to this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Only those that were given up for this cause
    #[arg(long, value_parser = ["auth", "quota", "size", "schema", "gone", "network"])]
    cause: Option<String>,
    /// Only those of this incident, by its id or the beginning of it; can be a list with commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    incident: Vec<String>,
    /// Only those that were given up before this time: 2026-11-22T03:00:00Z, or an age such as 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
}

const LIST_EXAMPLES: &str = "\
Examples:
  balefire dead-letters list
  balefire dead-letters list --channel hook --cause schema
  balefire dead-letters list --json | jq -r '.[].delivery'";

/// List deliveries that were given up, the oldest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many, 1 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    listing: Listing,
}

impl List {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let wanted = Wanted { path: self.path(), member: "dead_letters", nothing: "no dead letter matches" };
        let table = |letters: &[Value], screen| listed(letters, clock::now(), screen);
        let found = self.listing.show(wanted, place, output, table)?;
        if let Some(left @ 1..) = found["left"].as_u64() {
            output::tell(&format!("{left} more; --limit shows up to 1000"));
        }
        Ok(Exit::Done)
    }

    fn path(&self) -> String {
        let Filter { channel, cause, incident, before } = &self.filter;
        let members = [
            ("channel", channel.clone()),
            ("cause", cause.clone()),
            ("incident", (!incident.is_empty()).then(|| incident.join(","))),
            ("before", before.clone()),
            ("limit", Some(self.limit.to_string())),
        ];
        let set = members.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
        format!("/api/v1/dead-letters?{}", set.collect::<Vec<_>>().join("&"))
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn listed(letters: &[Value], now: Timestamp, screen: Screen) -> String {
    let row = |letter: &Value| {
        let severity = text(letter, "severity");
        let since = text(letter, "at").parse::<Timestamp>();
        let since = since.map(|at| age(now.duration_since(at).as_secs().max(0).unsigned_abs())).unwrap_or_default();
        vec![
            Cell::new(text(letter, "delivery")),
            Cell::new(text(letter, "channel")),
            Cell::styled(severity, severity_style(severity)),
            Cell::new(&since),
            Cell::new(&letter["attempts"].to_string()),
            Cell::new(text(letter, "cause")),
            Cell::new(text(letter, "why")),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    table(&["DELIVERY", "CHANNEL", "SEVERITY", "DEAD FOR", "ATTEMPTS", "CAUSE", "WHY"], &rows, screen)
}

/// Show one with the request that was last made, the reply, and its attempts; secrets are ***
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The delivery's id, as the list shows it
    #[arg(value_name = "DELIVERY")]
    delivery: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Show {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let question = Question::get(format!("/api/v1/dead-letters/{}", encoded(&self.delivery)));
        let found = place.client(&self.reach)?.ask(&question)?.json()?;
        if self.json {
            output.json(&found)?;
        } else {
            output.text(&shown(&found))?;
        }
        Ok(Exit::Done)
    }
}

/// One dead letter for people.
fn shown(found: &Value) -> String {
    let mut shown = String::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            shown.push_str(&format!("{name:<14} {}\n", one_line(value)));
        }
    };
    fact("delivery", text(found, "delivery"));
    fact("incident", format!("{}  {}", text(found, "incident"), text(found, "title")).trim_end());
    for name in ["channel", "severity", "reason"] {
        fact(name, text(found, name));
    }
    fact("stands in for", text(found, "stands_in_for"));
    fact("given up", &format!("{} ({}): {}", to_second(text(found, "at")), text(found, "cause"), text(found, "why")));
    for tried in found["tries"].as_array().into_iter().flatten() {
        let began = to_second(text(tried, "started_at"));
        fact(&format!("attempt {}", tried["attempt"]), &format!("{began}  {}", told_outcome(&tried["outcome"])));
    }
    shown.push_str("\nRequest, as the channel makes it now; secrets are ***\n");
    match text(found, "request_note") {
        "" => shown.push_str(&told_request(&found["request"])),
        note => shown.push_str(&format!("  {}\n", one_line(note))),
    }
    shown.push_str(&format!("\nReply\n  {}\n", one_line(&told_outcome(&found["reply"]))));
    shown
}

fn told_request(request: &Value) -> String {
    let mut told = String::new();
    let mut line = |line: &str| {
        told.push_str(format!("  {}", one_line(line)).trim_end());
        told.push('\n');
    };
    match text(request, "kind") {
        "http" => {
            line(&format!("{} {}", text(request, "method"), text(request, "url")));
            for header in request["headers"].as_array().into_iter().flatten() {
                let part = |index: usize| header[index].as_str().unwrap_or_default();
                line(&format!("{}: {}", part(0), part(1)));
            }
            line("");
        }
        "mail" => {
            line(&format!("envelope from {}", text(request, "from")));
            for to in request["to"].as_array().into_iter().flatten() {
                line(&format!("envelope to {}", to.as_str().unwrap_or_default()));
            }
            line("");
        }
        _ => {}
    }
    let content = ["body", "message", "line", "text"].into_iter().find_map(|name| request[name].as_str());
    for content in lines(content.unwrap_or_default()).lines() {
        line(content);
    }
    told
}

/// What an attempt came to, in words.
fn told_outcome(outcome: &Value) -> String {
    if let Some(rejected) = outcome.get("rejected") {
        return format!("failed, {}: {}", text(rejected, "cause"), text(rejected, "detail"));
    }
    if let Some(deferred) = outcome.get("deferred") {
        return format!("deferred by the far side: {}", text(deferred, "detail"));
    }
    match outcome.as_str() {
        Some("unknown") => "interrupted: the far side may have it or not".to_owned(),
        _ => "no answer".to_owned(),
    }
}

const ORDER_EXIT: &str = "Exit code 5: nothing matched, or one of the named deliveries is no dead letter.";

const REDRIVE_EXAMPLES: &str = "\
Examples:
  balefire dead-letters redrive 3f0c9a52-1b2c-8d3e-9f40-5a6b7c8d9e0f
  balefire dead-letters redrive --channel hook --cause schema
  balefire dead-letters redrive --all

Each goes on under its id, so that a receiver that has it already can tell. Exit code 5: nothing matched, or one of the
named deliveries is no dead letter.";

/// Send dead letters on their way again, under the same ids
#[derive(Debug, Args)]
#[command(after_help = REDRIVE_EXAMPLES)]
pub(crate) struct Redrive {
    #[command(flatten)]
    order: Order,
}

/// Give dead letters up for good, for a reason that is recorded
#[derive(Debug, Args)]
#[command(after_help = ORDER_EXIT)]
pub(crate) struct Purge {
    #[command(flatten)]
    order: Order,
    /// Why; `balefire why` tells it
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What is to be done with which.
#[derive(Debug, Args)]
pub(crate) struct Order {
    /// The deliveries' ids, as the list shows them
    #[arg(value_name = "DELIVERY")]
    deliveries: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All that the other conditions leave; without any, all
    #[arg(long)]
    all: bool,
    /// Who does it; without it, the user's name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Order {
    fn run(&self, verb: &str, reason: Option<&String>, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let Filter { channel, cause, incident, before } = &self.filter;
        let is_empty = self.deliveries.is_empty() && incident.is_empty();
        if is_empty && channel.is_none() && cause.is_none() && before.is_none() && !self.all {
            let message = "which dead letters? allowed: ids, --channel, --cause, --incident, --before, or --all";
            return Err(Failure::new(Exit::Usage, message));
        }
        let by = self.by.clone().or_else(|| environment::variable("USER")).filter(|by| !by.is_empty());
        let mut body = json!({ "deliveries": self.deliveries, "incidents": incident, "all": self.all });
        let members = [("channel", channel), ("cause", cause), ("before", before), ("by", &by)];
        for (name, value) in members.into_iter().chain([("reason", &reason.cloned())]) {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        let mut question = Question::post(format!("/api/v1/dead-letters/{verb}"));
        question.body = Some((JSON, Bytes::from(body.to_string())));
        let answer = place.client(&self.reach)?.ask(&question)?.json()?;
        let (moved, left) = (answer["moved"].as_u64().unwrap_or(0), answer["left"].as_u64().unwrap_or(0));
        let missing = answer["not_found"].as_array().map(Vec::as_slice).unwrap_or_default();
        if self.json {
            output.json(&answer)?;
        } else if moved > 0 {
            let done = if verb == "purge" { "purged" } else { "sent on their way again" };
            output.line(&format!("{moved} {done}"))?;
        }
        for delivery in missing.iter().filter_map(Value::as_str) {
            output::tell(&format!("there is no dead letter {delivery}"));
        }
        if moved == 0 && missing.is_empty() {
            output::tell("no dead letter matches");
        }
        if left > 0 {
            output::tell(&format!("{left} are left: say it again"));
        }
        Ok(if moved == 0 || !missing.is_empty() { Exit::NotFound } else { Exit::Done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_shown_with_request_and_reply_and_nothing_in_it_acts() {
        let found = json!({
            "delivery": "d1", "incident": "i1", "title": "T\u{1b}[2J", "channel": "hook", "severity": "high",
            "reason": "opened", "at": "2026-11-22T03:00:01.5Z", "cause": "schema", "why": "400 Bad Request",
            "tries": [{ "attempt": 1, "started_at": "2026-11-22T03:00:01Z",
                "outcome": { "rejected": { "cause": "schema", "detail": "400: no \u{202e}title" } } }],
            "request": { "kind": "http", "method": "POST", "url": "http://h/x",
                "headers": [["authorization", "***"]], "body": "{\n\"a\": 1}" },
            "reply": { "rejected": { "cause": "schema", "detail": "400: no title" } },
        });
        let expected = "\
delivery       d1
incident       i1  T\\u{1b}[2J
channel        hook
severity       high
reason         opened
given up       2026-11-22 03:00:01Z (schema): 400 Bad Request
attempt 1      2026-11-22 03:00:01Z  failed, schema: 400: no \\u{202e}title

Request, as the channel makes it now; secrets are ***
  POST http://h/x
  authorization: ***

  {
  \"a\": 1}

Reply
  failed, schema: 400: no title
";
        assert_eq!(shown(&found), expected);
    }

    #[test]
    fn a_filter_asks_for_what_it_says() {
        let filter = Filter {
            channel: Some("a&b".to_owned()),
            cause: Some("auth".to_owned()),
            incident: vec!["1".to_owned(), "2".to_owned()],
            before: Some("2h".to_owned()),
        };
        let list = List { filter, limit: 7, listing: Listing::default() };
        assert_eq!(list.path(), "/api/v1/dead-letters?channel=a%26b&cause=auth&incident=1%2C2&before=2h&limit=7");
    }

    #[test]
    fn the_list_is_a_table_of_harmless_lines() {
        let letter = json!({ "delivery": "d1", "channel": "hook", "severity": "high", "at": "2026-11-22T03:00:00Z",
            "attempts": 2, "cause": "schema", "why": "400\r\nx" });
        let expected = "\
DELIVERY  CHANNEL  SEVERITY  DEAD FOR  ATTEMPTS  CAUSE   WHY
d1        hook     high      1h 5m     2         schema  400\\r\\nx
";
        let now = "2026-11-22T04:05:00Z".parse().unwrap();
        assert_eq!(listed(&[letter], now, Screen::default()), expected);
    }
}
