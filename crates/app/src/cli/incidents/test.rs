//! `balefire incidents test`: a test incident through the routes, or to one channel.

use super::words::severity;
use crate::cli::client::{Question, Reach, encoded};
use crate::cli::output::Output;
use crate::cli::parts::JSON;
use crate::cli::{Exit, Failure, Place, channels};
use crate::ids;
use balefire_model::Severity;
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  balefire incidents test                          as an incident of severity high would go
  balefire incidents test --severity critical
  balefire incidents test --channel soc-mail       to one channel, whatever the routes say

The test is an incident like any other: it stays in the history, and `balefire why ID` tells its story. What the routes
would do without sending anything: `balefire routes test`. Exit code 1: something was not delivered.";

/// Send a test incident through the routes, or to one channel, and wait for what comes of it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Test {
    /// To this channel only, without asking the routes
    #[arg(long, value_name = "NAME", conflicts_with_all = ["severity", "rule"])]
    channel: Option<String>,
    /// How bad it claims to be
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = severity)]
    severity: Severity,
    /// Which rule claims to have found it, for routes that look at `detected_by`
    #[arg(long, value_name = "NAME", default_value = "balefire.test")]
    rule: String,
    #[command(flatten)]
    waiting: channels::Waiting,
    #[command(flatten)]
    reach: Reach,
}

impl Test {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let client = place.client(&self.reach)?;
        let (path, body) = match &self.channel {
            Some(channel) => (format!("/api/v1/channels/{}/test", encoded(channel)), None),
            None => ("/api/v1/incidents".to_owned(), Some((JSON, Bytes::from(self.incident().to_string())))),
        };
        let question = Question { body, ..Question::post(path) };
        let answer = client.ask(&question)?.json()?;
        let id = answer["id"].as_str().or_else(|| answer["results"][0]["id"].as_str()).unwrap_or_default().to_owned();
        self.waiting.tell(&client, &id, output)
    }

    fn incident(&self) -> Value {
        json!({
            "title": "Test of the alert routes",
            "description": "This is a test; nothing has happened. It was asked for with `balefire incidents test`.",
            "severity": self.severity.as_str(),
            "detected_by": self.rule,
            "labels": { "test": "true" },
            // Each test is a matter of its own: no repeat of the one before.
            "fingerprint": format!("balefire.test {}", ids::incident()),
        })
    }
}
