//! What people do about incidents: `ack`, `unack`, `resolve`, `assign`, `note` and `reported`. Needs a running server: each
//! of them is a record.

use crate::cli::client::{Question, Reach, encoded};
use crate::cli::output::{self, Output};
use crate::cli::parts::JSON;
use crate::cli::{Exit, Failure, Place, fail};
use crate::environment;
use balefire_model::text::one_line;
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

/// How what was done is told, and which server does it.
#[derive(Debug, Args)]
struct Doing {
    /// Who does it; without it, the user's name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON, one line an incident
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Doing {
    /// Every id gets its try; the worst of what happened is the exit.
    fn run(
        &self,
        (ids, verb, mut body): (&[String], &str, Value),
        (place, output): (&Place, &mut Output),
        told: impl Fn(&Value) -> String,
    ) -> Result<Exit, Failure> {
        let client = place.client(&self.reach)?;
        let by = self.by.clone().or_else(|| environment::variable("USER")).filter(|by| !by.is_empty());
        body["by"] = by.into();
        let body = body.to_string();
        let mut exit = Exit::Done;
        for id in ids {
            let mut question = Question::post(format!("/api/v1/incidents/{}/{verb}", encoded(id)));
            question.body = Some((JSON, Bytes::from(body.clone())));
            match client.ask(&question)?.json() {
                Ok(done) => {
                    if let Some(warning) = done["warning"].as_str() {
                        output::tell(&format!("balefire: warning: {warning}"));
                    }
                    if self.json {
                        output.json_line(&done)?;
                    } else {
                        output.line(&one_line(&told(&done)))?;
                    }
                }
                Err(failure) => exit = fail(failure.exit, failure.error.context(id.clone()).as_ref()),
            }
        }
        Ok(exit)
    }
}

fn text<'a>(done: &'a Value, name: &str) -> &'a str {
    done[name].as_str().unwrap_or_default()
}

/// A change of state
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The incidents' ids, or the beginnings of them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Why, or what was done
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    #[command(flatten)]
    doing: Doing,
}

impl Change {
    pub(super) fn run(&self, verb: &str, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let what = (self.ids.as_slice(), verb, json!({ "comment": self.comment }));
        self.doing.run(what, (place, output), |done| {
            let repeat = match text(done, "repeated_by") {
                "" => String::new(),
                repeat => format!(" (incident {repeat} is a repeat of it)"),
            };
            format!("{} {}{repeat}", text(done, "state"), text(done, "id"))
        })
    }
}

const ASSIGN_EXAMPLES: &str = "\
Examples:
  balefire incidents assign 01935f1c --to anna
  balefire incidents assign 01935f1c 01935f20 --to nobody
  balefire incidents list --assigned-to anna

Any name will do; where the configuration has `people` or `teams`, a name that is none of them gets a warning.";

/// Say whose incidents are
#[derive(Debug, Args)]
#[command(after_help = ASSIGN_EXAMPLES)]
pub(crate) struct Assign {
    /// The incidents' ids, or the beginnings of them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Whose: a person or a team; `nobody` takes it back
    #[arg(long, value_name = "WHO")]
    to: String,
    #[command(flatten)]
    doing: Doing,
}

impl Assign {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let what = (self.ids.as_slice(), "assign", json!({ "to": self.to }));
        self.doing.run(what, (place, output), |done| {
            let to = done["assigned_to"].as_str().unwrap_or("nobody");
            format!("assigned to {to} {}", text(done, "id"))
        })
    }
}

/// Write something down about incidents
#[derive(Debug, Args)]
pub(crate) struct Note {
    /// The incidents' ids, or the beginnings of them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// What to write down; at most 8 KiB
    #[arg(value_name = "TEXT", required = true)]
    text: String,
    #[command(flatten)]
    doing: Doing,
}

impl Note {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let what = (self.ids.as_slice(), "notes", json!({ "text": self.text }));
        self.doing.run(what, (place, output), |done| format!("noted {}", text(done, "id")))
    }
}

const REPORTED_EXAMPLES: &str = "\
Examples:
  balefire incidents list --reportable
  balefire incidents reported 01935f1c --by anna --reference 'DIBNet 2026-1234'
  balefire incidents reported 01935f1c --by anna --reference 'no report: it was a test'

The reminders of the report, incidents of Balefire's own, are resolved with it.";

/// Say that incidents were reported (DFARS 252.204-7012): their clock stops
#[derive(Debug, Args)]
#[command(after_help = REPORTED_EXAMPLES)]
pub(crate) struct Reported {
    /// The incidents' ids, or the beginnings of them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// The report's number, or why none is needed; at most 500 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    reference: String,
    #[command(flatten)]
    doing: Doing,
}

impl Reported {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let what = (self.ids.as_slice(), "reported", json!({ "reference": self.reference }));
        self.doing.run(what, (place, output), |done| {
            let remark = if done["dfars_reportable"] == true { "" } else { " (it need not have been)" };
            format!("reported {}{remark}", text(done, "id"))
        })
    }
}
