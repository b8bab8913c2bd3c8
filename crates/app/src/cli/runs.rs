//! `balefire runs`: when scheduled commands run next, what became of the last run, and a run at once.

use super::channels::to_second;
use super::client::{Question, Reach, encoded};
use super::listing::{Listing, Wanted};
use super::output::{Output, Screen};
use super::table::{Cell, table};
use super::{Exit, Failure, Place};
use anstyle::AnsiColor;
use balefire_model::text::one_line;
use clap::{Args, Subcommand};
use hyper::StatusCode;
use serde_json::Value;

/// Look at scheduled runs, start one
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List schedules with their next and their last run
    List(List),
    /// Start a run now, whatever the timetable says
    Start(Start),
}

impl Runs {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Runs::List(command) => command.run(place, output),
            Runs::Start(command) => command.run(place, output),
        }
    }
}

/// List schedules with their next and their last run
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl List {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let nothing = "nothing is scheduled; see `runs.schedules` in the configuration";
        let wanted = Wanted { path: "/api/v1/runs".to_owned(), member: "runs", nothing };
        self.listing.show(wanted, place, output, listed)?;
        Ok(Exit::Done)
    }
}

fn listed(runs: &[Value], screen: Screen) -> String {
    let row = |run: &Value| {
        let time = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), to_second);
        let last = &run["last"];
        let (became, style) = match (last.is_object(), last["fault"].as_str()) {
            (false, _) => ("-".to_owned(), anstyle::Style::new()),
            (true, None) => (format!("succeeded, {} records", last["accepted"]), anstyle::Style::new()),
            (true, Some(fault)) => (format!("failed: {fault}"), AnsiColor::Red.on_default()),
        };
        let state = match (run["state"].as_str().unwrap_or("-"), run["queued"].as_bool()) {
            (state, Some(true)) => format!("{state}, one waits"),
            (state, _) => state.to_owned(),
        };
        vec![
            Cell::new(run["name"].as_str().unwrap_or_default()),
            Cell::new(&state),
            Cell::new(&time(&run["next"])),
            Cell::new(&time(&last["started"])),
            Cell::styled(&became, style),
            Cell::new(run["timetable"].as_str().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    table(&["NAME", "STATE", "NEXT", "LAST", "RESULT", "TIMETABLE"], &rows, screen)
}

const START_EXAMPLES: &str = "\
Examples:
  balefire runs start nightly-audit
  balefire runs list                             what became of it

The timetable goes on as before. Exit code 1: a run of it is under way.";

/// Start a run now, whatever the timetable says
#[derive(Debug, Args)]
#[command(after_help = START_EXAMPLES)]
pub(crate) struct Start {
    /// The schedule's name
    #[arg(value_name = "NAME")]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Start {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let question = Question::post(format!("/api/v1/runs/{}/start", encoded(&self.name)));
        let answer = place.client(&self.reach)?.ask(&question)?;
        if answer.status == StatusCode::CONFLICT {
            // The command line is right, only the moment is not.
            return Err(Failure { exit: Exit::Failed, ..answer.failure() });
        }
        let started = answer.json()?;
        if self.json {
            output.json(&started)?;
        } else {
            let at = started["started"].as_str().unwrap_or_default();
            output.line(&one_line(&format!("{} was started at {}", self.name, to_second(at))))?;
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_schedule_has_its_line_whatever_became_of_its_last_run() {
        let runs = [
            json!({ "name": "new", "state": "idle", "next": "2026-11-23T00:00:00Z", "last": null, "queued": false,
                "timetable": "daily at 00:00 (UTC)" }),
            json!({ "name": "good", "state": "running", "next": null, "queued": true, "timetable": "cron @hourly (UTC)",
                "last": { "started": "2026-11-22T02:00:00.25Z", "accepted": 14 } }),
            json!({ "name": "bad", "state": "idle", "next": null, "queued": false, "timetable": "cron @hourly (UTC)",
                "last": { "started": "2026-11-22T02:00:00Z", "accepted": 0, "fault": "exit code 3" } }),
        ];
        let text = listed(&runs, Screen::default());
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
        let trimmed: Vec<Vec<&str>> = lines.iter().map(|line| line.iter().map(|cell| cell.trim()).collect()).collect();
        assert_eq!(trimmed[1][..5], ["new", "idle", "2026-11-23 00:00:00Z", "-", "-"]);
        assert_eq!(trimmed[2][1..5], ["running, one waits", "-", "2026-11-22 02:00:00Z", "succeeded, 14 records"]);
        assert_eq!(trimmed[3][1..5], ["idle", "-", "2026-11-22 02:00:00Z", "failed: exit code 3"]);
    }
}
