//! `balefire heartbeat`: a source says that it is alive, or a job what becomes of its run.

use super::client::{Question, Reach, encoded};
use super::output::Output;
use super::{Exit, Failure, Place};
use balefire_model::text::one_line;
use bytes::Bytes;
use clap::Args;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  balefire heartbeat fw-01                       it is alive; of a job: its run has ended well
  balefire heartbeat backup --start              a run begins; it must end within `run_max`
  balefire heartbeat backup --fail --reason 'exit code 3'

The id is one of `watch.source` with `heartbeat` or `schedule`. Any HTTP client does the same:
  curl -fsS --retry 5 -H 'Authorization: Bearer TOKEN' https://HOST/api/v1/heartbeat/backup/start";

/// How long a server that is busy is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Say that a source is alive, or what becomes of a job's run
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Heartbeat {
    /// The source's id
    #[arg(value_name = "ID")]
    id: String,
    /// A run begins
    #[arg(long, conflicts_with = "fail")]
    start: bool,
    /// The run has failed
    #[arg(long)]
    fail: bool,
    /// Why it has failed
    #[arg(long, value_name = "TEXT", requires = "fail")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Heartbeat {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let word = match (self.start, self.fail) {
            (true, _) => "/start",
            (_, true) => "/fail",
            _ => "",
        };
        let body = self.reason.as_ref().map(|reason| ("text/plain", Bytes::from(reason.clone())));
        let question = Question { body, ..Question::post(format!("/api/v1/heartbeat/{}{word}", encoded(&self.id))) };
        let heard = place.client(&self.reach)?.ask_patiently(&question, PATIENCE)?.json()?;
        if self.json {
            output.json(&heard)?;
        } else {
            output.line(&one_line(&format!(
                "heard of {} at {}",
                self.id,
                heard["heard"].as_str().unwrap_or_default()
            )))?;
        }
        Ok(Exit::Done)
    }
}
