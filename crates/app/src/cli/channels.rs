//! `balefire channels`: what waits for each channel, and whether a test message arrives.

use super::client::{Question, Reach, encoded};
use super::output::{self, Output, Screen};
use super::table::{Cell, table};
use super::{Exit, Failure, Place, send, why};
use anstyle::AnsiColor;
use balefire_model::text::one_line;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// Look at channels and try them
#[derive(Debug, Subcommand)]
pub(crate) enum Channels {
    /// List channels with what waits for them
    List(List),
    /// Send a test message to one channel and wait for what comes of it
    Test(Test),
}

impl Channels {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Channels::List(command) => command.run(place, output),
            Channels::Test(command) => command.run(place, output),
        }
    }
}

/// List channels with what waits for them
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl List {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = place.client(&self.reach)?.ask(&Question::get("/api/v1/channels".to_owned()))?.json()?;
        let channels = found["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
        if self.json {
            output.json(&channels)?;
        } else if channels.is_empty() {
            output::tell("no channel is configured");
        } else {
            output.text(&listed(channels, output.screen))?;
        }
        Ok(Exit::Done)
    }
}

fn listed(channels: &[Value], screen: Screen) -> String {
    let row = |channel: &Value| {
        let queue = &channel["queue"];
        let count = |name: &str| queue[name].as_u64().unwrap_or_default();
        let failures = count("failures");
        let style = if failures > 0 { AnsiColor::Red.on_default() } else { anstyle::Style::new() };
        let kind = channel["kind"].as_str().unwrap_or("(no longer configured)");
        vec![
            Cell::new(channel["name"].as_str().unwrap_or_default()),
            Cell::new(kind),
            Cell::new(&count("depth").to_string()),
            Cell::new(&count("in_flight").to_string()),
            Cell::styled(&failures.to_string(), style),
            Cell::new(queue["paused_until"].as_str().unwrap_or("-")),
        ]
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    table(&["NAME", "KIND", "QUEUE", "UNDER WAY", "FAILURES", "PAUSED UNTIL"], &rows, screen)
}

const TEST_EXAMPLES: &str = "\
Examples:
  balefire channels test soc-mail
  balefire channels test soc-mail --no-wait      only ask for it

The test is an incident like any other: it stays in the history, and `balefire why ID` tells its story. Exit code 1: it
was not delivered.";

/// Send a test message to one channel and wait for what comes of it
#[derive(Debug, Args)]
#[command(after_help = TEST_EXAMPLES)]
pub(crate) struct Test {
    /// The channel's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Wait for the result, as it does without --no-wait too
    #[arg(long, hide = true, conflicts_with = "no_wait")]
    wait: bool,
    /// Do not wait for the result
    #[arg(long)]
    no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::incidents::duration)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Test {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let client = place.client(&self.reach)?;
        let asked = client.ask(&Question::post(format!("/api/v1/channels/{}/test", encoded(&self.name))))?.json()?;
        let id = asked["id"].as_str().unwrap_or_default();
        if self.no_wait {
            if self.json {
                output.json(&asked)?;
            } else {
                output.line(&one_line(&format!("asked for; see `balefire why {id}`")))?;
            }
            return Ok(Exit::Done);
        }
        let story = send::follow(&client, id, self.timeout)?;
        if self.json {
            output.json(&json!({ "id": id, "ending": story["ending"], "deliveries": story["deliveries"] }))?;
        } else {
            output.text(&why::endings(&story))?;
        }
        Ok(if why::is_delivered(&story) { Exit::Done } else { Exit::Failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_line_also_the_one_that_is_gone() {
        let channels = [
            json!({ "name": "hook", "kind": "webhook", "configured": true, "queue": {
                "depth": 3, "in_flight": 1, "failures": 2, "paused_until": "2026-11-22T03:00:00Z" } }),
            json!({ "name": "old", "kind": null, "configured": false, "queue": { "depth": 1 } }),
            json!({ "name": "screen", "kind": "console", "configured": true, "queue": null }),
        ];
        let expected = "\
NAME    KIND                    QUEUE  UNDER WAY  FAILURES  PAUSED UNTIL
hook    webhook                 3      1          2         2026-11-22T03:00:00Z
old     (no longer configured)  1      0          0         -
screen  console                 0      0          0         -
";
        assert_eq!(listed(&channels, Screen::default()), expected);
    }
}
