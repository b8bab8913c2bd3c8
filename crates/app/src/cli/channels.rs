//! `balefire channels`: what waits for each channel, and whether a test message arrives.

use super::client::{Client, Question, Reach, encoded};
use super::incidents::age;
use super::listing::{Listing, Wanted};
use super::output::{Output, Screen};
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
    #[command(flatten)]
    listing: Listing,
}

impl List {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let nothing = "no channel is configured";
        let wanted = Wanted { path: "/api/v1/channels".to_owned(), member: "channels", nothing };
        self.listing.show(wanted, place, output, listed)?;
        Ok(Exit::Done)
    }
}

fn listed(channels: &[Value], screen: Screen) -> String {
    let row = |channel: &Value| {
        let queue = &channel["queue"];
        let count = |name: &str| queue[name].as_u64().unwrap_or_default();
        let word = |name: &str| queue[name].as_str().unwrap_or("-").to_owned();
        let red = |is_bad: bool| if is_bad { AnsiColor::Red.on_default() } else { anstyle::Style::new() };
        let (failures, dead) = (count("failures"), count("dead"));
        let fails = queue["failing_since"].is_string();
        let oldest = queue["oldest_age_seconds"].as_u64().map_or_else(|| "-".to_owned(), age);
        let kind = channel["kind"].as_str().unwrap_or("(no longer configured)");
        vec![
            Cell::new(channel["name"].as_str().unwrap_or_default()),
            Cell::new(kind),
            Cell::new(&count("depth").to_string()),
            Cell::new(&count("in_flight").to_string()),
            Cell::new(&oldest),
            Cell::styled(&dead.to_string(), red(dead > 0)),
            Cell::styled(&failures.to_string(), red(failures > 0)),
            Cell::styled(&to_second(&word("failing_since")), red(fails)),
            Cell::styled(&word("cause"), red(fails)),
            Cell::new(&to_second(&word("paused_until"))),
        ]
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    let header =
        ["NAME", "KIND", "QUEUE", "UNDER WAY", "OLDEST", "DEAD", "FAILURES", "FAILING SINCE", "CAUSE", "PAUSED UNTIL"];
    table(&header, &rows, screen)
}

/// A time without its fraction; anything else as it is.
pub(crate) fn to_second(text: &str) -> String {
    text.parse::<jiff::Timestamp>()
        .map_or_else(|_| text.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
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
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    reach: Reach,
}

/// Whether somebody waits for what comes of a test, and how it is told.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
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
}

impl Test {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let client = place.client(&self.reach)?;
        let asked = client.ask(&Question::post(format!("/api/v1/channels/{}/test", encoded(&self.name))))?.json()?;
        self.waiting.tell(&client, asked["id"].as_str().unwrap_or_default(), output)
    }
}

impl Waiting {
    /// Tells what comes of a test incident.
    pub(crate) fn tell(&self, client: &Client, id: &str, output: &mut Output) -> Result<Exit, Failure> {
        if self.no_wait {
            if self.json {
                output.json(&json!({ "id": id }))?;
            } else {
                output.line(&one_line(&format!("asked for; see `balefire why {id}`")))?;
            }
            return Ok(Exit::Done);
        }
        let story = send::follow(client, id, self.timeout)?;
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
                "depth": 3, "in_flight": 1, "failures": 2, "paused_until": "2026-11-22T03:00:00Z", "dead": 4,
                "failing_since": "2026-11-22T02:00:00.5Z", "cause": "auth", "oldest_age_seconds": 3725 } }),
            json!({ "name": "old", "kind": null, "configured": false, "queue": { "depth": 1 } }),
            json!({ "name": "screen", "kind": "console", "configured": true, "queue": null }),
        ];
        let expected = "\
NAME    KIND                    QUEUE  UNDER WAY  OLDEST  DEAD  FAILURES  FAILING SINCE         CAUSE  PAUSED UNTIL
hook    webhook                 3      1          1h 2m   4     2         2026-11-22 02:00:00Z  auth   2026-11-22 03:00:00Z
old     (no longer configured)  1      0          -       0     0         -                     -      -
screen  console                 0      0          -       0     0         -                     -      -
";
        assert_eq!(listed(&channels, Screen::default()), expected);
    }
}
