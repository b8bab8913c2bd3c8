//! `balefire templates render`: the message in the form in which each configured channel would send it, with secrets
//! masked. Sends nothing, and needs no server for a made-up incident.

use super::client::Reach;
use super::history::{self, Ask};
use super::output::{self, Output};
use super::{Exit, Failure, Place};
use crate::config::{Config, ConfiguredChannel};
use crate::http::masked;
use crate::{clock, ids, sample};
use balefire_channels::{Request, Step};
use balefire_model::text::{lines, one_line};
use balefire_model::{Delivery, DeliveryId, Incident, IncidentId, Reason, Repeats, Severity};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Look at messages before they are sent
#[derive(Debug, Subcommand)]
pub(crate) enum Templates {
    /// Show a message in the form in which each channel would send it; sends nothing
    Render(Render),
}

impl Templates {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Templates::Render(command) => command.run(place, output),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  balefire templates render                                    a made-up incident, over each channel
  balefire templates render --channel soc-mail --reason resolved
  balefire templates render --config new.yaml --incident 01935f1c

Secrets are shown as ***. A real incident is asked of the server or, where none runs, of the data directory.";

/// Show a message in the form in which each channel would send it; sends nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Render {
    /// Only over this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// An incident's id, or the beginning of it
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// A made-up incident with something in every field, as without --incident
    #[arg(long, conflicts_with = "incident")]
    sample: bool,
    /// Why the message goes out
    #[arg(long, value_name = "REASON", value_enum, default_value_t)]
    reason: Why,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Why a message goes out, as a word of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Why {
    /// The incident is new
    #[default]
    Opened,
    /// It is over
    Resolved,
    /// Nobody has acknowledged it in time
    Escalated,
    /// It came again
    Repeated,
    /// Another channel, which should have carried it, fails
    Fallback,
    /// It stands for many that are told of together
    Summary,
    /// Somebody tries the channel
    Test,
}

impl Why {
    fn reason(self) -> Reason {
        match self {
            Why::Opened => Reason::Opened,
            Why::Resolved => Reason::Resolved,
            Why::Escalated => Reason::Escalated,
            Why::Repeated => Reason::Repeated,
            Why::Fallback => Reason::Fallback,
            Why::Summary => Reason::Summary,
            Why::Test => Reason::Test,
        }
    }
}

impl Render {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let loaded = place.load()?;
        let channels = self.chosen(&loaded.config)?;
        if channels.is_empty() {
            output::tell("no channel is configured");
        }
        let (reason, now) = (self.reason.reason(), clock::now());
        let told_of = match &self.incident {
            Some(id) => self.find(place, id)?,
            None => made_up(ids::incident(), now),
        };
        let public_url = loaded.config.http.as_ref().and_then(|http| http.public_url.as_deref());
        let mut rendered = Vec::new();
        for channel in channels {
            let mut incident = told_of.clone();
            if reason == Reason::Test && self.incident.is_none() {
                incident = sample::test_incident(incident.id, now, &channel.name, "you");
            }
            // Who would have the real link could acknowledge; its form is enough here.
            let ack_url = public_url.map(|base| format!("{base}/ack/{}?s=***", incident.id));
            let stands_in_for = (reason == Reason::Fallback).then(|| behind(&loaded.config, &channel.name));
            let delivery =
                Delivery { ack_url: ack_url.as_deref(), ..delivery(channel, &incident, (reason, stands_in_for), now) };
            let step = channel.channel.step(&delivery, &[]);
            let (title, request) = (format!("{} ({})", channel.name, channel.kind.key), shown(&step));
            if self.json {
                rendered.push(json!({
                    "channel": channel.name, "kind": channel.kind.key, "reason": reason, "request": request,
                }));
            } else {
                output.text(&format!("== {} ==\n{}\n\n", one_line(&title), lines(told(&request).trim_end())))?;
            }
        }
        if self.json {
            output.json(&rendered)?;
        }
        Ok(Exit::Done)
    }

    fn chosen<'a>(&self, config: &'a Config) -> Result<Vec<&'a ConfiguredChannel>, Failure> {
        let Some(name) = &self.channel else { return Ok(config.channels.iter().collect()) };
        let found: Vec<_> = config.channels.iter().filter(|channel| channel.name == *name).collect();
        if found.is_empty() {
            let names: Vec<&str> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
            let there = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
            let message = format!("there is no channel {}; channels: {there}", one_line(name));
            return Err(Failure::new(Exit::NotFound, message));
        }
        Ok(found)
    }

    fn find(&self, place: &Place, id: &str) -> Result<Incident, Failure> {
        #[derive(Deserialize)]
        struct Shown {
            incident: Incident,
        }
        let found = history::ask(place, &self.reach, &Ask::Show(id))?;
        let shown: Shown = serde_json::from_str(&found)
            .map_err(|error| Failure::new(Exit::Failed, format!("the answer holds no incident: {error}")))?;
        Ok(shown.incident)
    }
}

/// The first attempt of the delivery that the engine would decide on.
fn delivery<'a>(
    channel: &'a ConfiguredChannel,
    incident: &'a Incident,
    (reason, stands_in_for): (Reason, Option<&'a str>),
    now: Timestamp,
) -> Delivery<'a> {
    let word = match (reason, stands_in_for) {
        (Reason::Escalated, _) => format!("{}-0", reason.as_str()),
        (Reason::Repeated, _) => format!("{}\n{}", reason.as_str(), incident.id),
        (Reason::Fallback, Some(other)) => {
            let waits = DeliveryId::derive(incident.id, Reason::Opened.as_str(), other);
            format!("{}\n{waits}", reason.as_str())
        }
        _ => reason.as_str().to_owned(),
    };
    Delivery {
        id: DeliveryId::derive(incident.id, &word, &channel.name),
        channel: &channel.name,
        reason,
        stands_in_for,
        resolved_at: (reason == Reason::Resolved).then_some(now),
        acknowledgement: None,
        repeats: (reason == Reason::Repeated).then_some(Repeats {
            count: 2,
            since: incident.received_at,
            last: incident.id,
        }),
        repeat_of: None,
        plain: false,
        ack_url: None,
        reached: None,
        opened: None,
        run: None,
        incident,
        attempt: 1,
        now,
    }
}

/// A channel that this one steps in for, or a name for one.
fn behind<'a>(config: &'a Config, name: &str) -> &'a str {
    let falls_back = |other: &&ConfiguredChannel| other.fallback.iter().any(|fallback| fallback.channel == name);
    config.channels.iter().find(falls_back).map_or("another-channel", |other| other.name.as_str())
}

/// Something in every field that channels show.
fn made_up(id: IncidentId, now: Timestamp) -> Incident {
    let labels = [("host", "web-1"), ("user", "alice")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Incident {
        title: "Sample: audit log stopped on web-1".to_owned(),
        severity: Severity::High,
        severity_original: Some("8".to_owned()),
        detected_by: "audit_log_gap".to_owned(),
        description: "No audit event for 600 s.\nThis incident is made up; nothing has happened.".to_owned(),
        nist_controls: vec!["3.3.4".to_owned(), "3.3.1".to_owned()],
        cui_involved: true,
        incident_id: Some("INC-1".to_owned()),
        labels: labels.into(),
        source: "sample".to_owned(),
        event_time: Some(now),
        notes: vec!["a note of normalisation".to_owned()],
        ..sample::test_incident(id, now, "sample", "you")
    }
}

/// The request as JSON, secrets masked.
fn shown(step: &Step) -> Value {
    match step {
        Step::Send(Request::Syslog(message)) => {
            let message = String::from_utf8_lossy(message).replace('\u{feff}', "");
            json!({ "kind": "syslog", "message": masked::shown(&message) })
        }
        Step::Send(Request::Screen(screen)) => json!({
            "kind": "screen",
            "panel": screen.panel.lines.iter().map(|line| masked::shown(line)).collect::<Vec<_>>(),
            "text": masked::shown(&screen.plain),
        }),
        Step::Send(request) => masked::request(request),
        Step::Done(outcome) => json!({ "kind": "nothing", "outcome": outcome }),
    }
}

/// The request for people.
fn told(request: &Value) -> String {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let items = |name: &str| request[name].as_array().map(Vec::as_slice).unwrap_or_default();
    match text("kind") {
        "http" => {
            let header = |header: &Value| {
                let part = |index: usize| header[index].as_str().unwrap_or_default();
                format!("{}: {}\n", part(0), part(1))
            };
            let headers: String = items("headers").iter().map(header).collect();
            format!("{} {}\n{headers}\n{}", text("method"), text("url"), text("body"))
        }
        "mail" => {
            let to: Vec<&str> = items("to").iter().filter_map(Value::as_str).collect();
            format!("from <{}> to <{}>\n\n{}", text("from"), to.join(">, <"), text("message"))
        }
        "syslog" => text("message").to_owned(),
        "line" => text("line").to_owned(),
        "document" => text("document").to_owned(),
        "screen" => {
            let panel: String =
                items("panel").iter().map(|line| format!("| {}\n", line.as_str().unwrap_or_default())).collect();
            format!("on a terminal:\n{panel}elsewhere:\n{}", text("text"))
        }
        _ => format!("sends nothing: {}", request["outcome"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_message_is_told_for_people() {
        let http = json!({
            "kind": "http", "method": "POST", "url": "https://h/***", "headers": [["a", "b"], ["c", "***"]], "body": "{}",
        });
        assert_eq!(told(&http), "POST https://h/***\na: b\nc: ***\n\n{}");
        let mail = json!({ "kind": "mail", "from": "a@h", "to": ["b@h", "c@h"], "message": "Subject: x\n\ny\n" });
        assert_eq!(told(&mail), "from <a@h> to <b@h>, <c@h>\n\nSubject: x\n\ny\n");
        let screen = json!({ "kind": "screen", "panel": ["x", "y"], "text": "z" });
        assert_eq!(told(&screen), "on a terminal:\n| x\n| y\nelsewhere:\nz");
        assert_eq!(told(&json!({ "kind": "syslog", "message": "<1>x" })), "<1>x");
        assert_eq!(told(&json!({ "kind": "line", "line": "{}" })), "{}");
        assert_eq!(told(&json!({ "kind": "document", "document": "{}" })), "{}");
    }

    #[test]
    fn a_made_up_incident_says_that_it_is_one() {
        let id: IncidentId = "01935f1c-7c00-7000-8000-000000000001".parse().unwrap();
        let incident = made_up(id, "2026-11-22T03:00:00Z".parse().unwrap());
        assert!(incident.title.starts_with("Sample") && incident.description.contains("made up"));
    }
}
