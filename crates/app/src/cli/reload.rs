//! `balefire reload`: tells the server to bring its configuration into force again.

use super::client::{Question, Reach};
use super::output::{self, Output};
use super::{Exit, Failure, Place};
use balefire_model::text::one_line;
use clap::Args;

/// Bring a changed configuration into force without a restart
#[derive(Debug, Args)]
#[command(after_help = "The whole new configuration comes into force, or the old one stays; exit code 2: it stays.")]
pub(crate) struct Reload {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Reload {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let answer = place.client(&self.reach)?.ask(&Question::post("/api/v1/reload".to_owned()))?.json()?;
        if self.json {
            output.json(&answer)?;
            return Ok(Exit::Done);
        }
        for finding in answer["findings"].as_array().into_iter().flatten() {
            let text = finding.as_str().map_or_else(|| finding.to_string(), str::to_owned);
            output::tell(&one_line(&format!("finding: {text}")));
        }
        output.line("reloaded")?;
        Ok(Exit::Done)
    }
}
