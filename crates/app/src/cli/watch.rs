//! `balefire watch`: whether audit logging works, what cannot be seen and what would cure that, and what people do about
//! watchers.

mod posture;
mod report;

use super::client::{ClientError, Question, Reach};
use super::output::{self, Output, Screen};
use super::table::{Cell, table};
use super::{Exit, Failure, Place};
use crate::config::watch::usual;
use crate::watch::{lacks, once};
use anstyle::{AnsiColor, Style};
use balefire_model::text::one_line;
use balefire_watch::unit_lines;
use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::channels::to_second;

/// See whether audit logging works, drill its alarms, retire what is not expected any more
#[derive(Debug, Subcommand)]
pub(crate) enum Watch {
    /// Show each watcher: ok, failing, blind or unknown, since when, and how that is known
    Status(Status),
    /// Print the unit file lines that give the watchers what they lack now
    Caps(Caps),
    /// Send a marked alert the way that a real one of this watcher goes, and its end
    Drill(Drill),
    /// Say that a watcher is not expected any more
    Retire(Retire),
    /// Hold the settings of auditd, and of what belongs to it, against a STIG
    Posture(posture::Posture),
    /// Report on alerts of failing audit logging, for an assessor
    Report(report::Report),
}

impl Watch {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Watch::Status(command) => command.run(place, output),
            Watch::Caps(command) => command.run(place, output),
            Watch::Drill(command) => command.run(place, output),
            Watch::Retire(command) => command.run(place, output),
            Watch::Posture(command) => command.run(place, output),
            Watch::Report(command) => command.run(place, output),
        }
    }
}

const STATUS_EXAMPLES: &str = "\
Examples:
  balefire watch status                   as the running server sees it
  balefire watch status --once            with no server: looks now, as this user, for about three seconds
  balefire watch status --once --json     for scripts

Exit code 0: nothing fails and nothing is blind; 4: something fails; 6: nothing fails, and something cannot be seen. A
watcher of which nothing can be said yet is neither.

LATENCY is how long the last look took.";

/// Show each watcher: ok, failing, blind or unknown, since when, and how that is known
#[derive(Debug, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(crate) struct Status {
    /// Take the readings now, as this user, with no server
    #[arg(long)]
    once: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Status {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = if self.once { looked(place)? } else { asked(place, &self.reach)? };
        if self.json {
            output.json(&json!({ "watchers": found }))?;
        } else if found.is_empty() {
            output::tell("nothing is watched; see `watch` in the configuration, or `balefire watch status --once`");
        } else {
            output.text(&shown(&found, output.screen))?;
        }
        Ok(exit(&found))
    }
}

/// The readings of now: what the configuration names, or what can be watched on any machine.
fn looked(place: &Place) -> Result<Vec<Value>, Failure> {
    let watching = place.load()?.config.watch.unwrap_or_else(usual);
    let found = once(&watching);
    Ok(found.iter().map(|status| serde_json::to_value(status).expect("a status has string keys")).collect())
}

/// What the running server sees.
fn asked(place: &Place, reach: &Reach) -> Result<Vec<Value>, Failure> {
    let answer = place.client(reach)?.ask(&Question::get("/api/v1/watch".to_owned()))?.json()?;
    Ok(answer["watchers"].as_array().cloned().unwrap_or_default())
}

fn exit(watchers: &[Value]) -> Exit {
    let has = |watcher: &Value, what: &str| watcher[what].as_array().is_some_and(|all| !all.is_empty());
    if watchers.iter().any(|watcher| watcher["state"] == "failing" || has(watcher, "failures")) {
        Exit::Refused
    } else if watchers.iter().any(|watcher| watcher["state"] == "blind") {
        Exit::Blind
    } else {
        Exit::Done
    }
}

/// The table, and below it what fails and what cannot be seen, each with what to do.
fn shown(watchers: &[Value], screen: Screen) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |watcher: &Value| {
        let state = text(&watcher["state"]);
        let said = match state.as_str() {
            "ok" => text(&watcher["proof"]),
            "failing" => watcher["failures"][0]["summary"].as_str().unwrap_or_default().to_owned(),
            "blind" => text(&watcher["blind"]["why"]),
            _ => text(&watcher["waits"]),
        };
        let since = watcher["since"].as_str().map_or_else(|| "-".to_owned(), to_second);
        vec![
            Cell::new(&text(&watcher["name"])),
            Cell::styled(&state, style(&state)),
            Cell::new(&since),
            Cell::new(&took(watcher)),
            Cell::new(&said),
        ]
    };
    let rows: Vec<_> = watchers.iter().map(row).collect();
    let mut shown = table(&["NAME", "STATE", "SINCE", "LATENCY", "LAST PROOF, OR WHAT IS WRONG"], &rows, screen);
    let mut line = |line: String| {
        shown.push_str(&one_line(&line));
        shown.push('\n');
    };
    for watcher in watchers {
        let name = text(&watcher["name"]);
        for failure in watcher["failures"].as_array().into_iter().flatten() {
            line(format!("{name} fails: {} [{}]", text(&failure["summary"]), text(&failure["id"])));
            for (title, field) in [("cause", "cause"), ("do", "remediation"), ("explained by", "because_of")] {
                if let Some(said) = failure[field].as_str().filter(|said| !said.is_empty()) {
                    line(format!("  {title}: {said}"));
                }
            }
        }
        if watcher["blind"].is_object() {
            line(format!("{name} is blind: {}", text(&watcher["blind"]["why"])));
            line(format!("  cured by: {}", text(&watcher["blind"]["cure"])));
        }
    }
    shown
}

fn took(watcher: &Value) -> String {
    match watcher["took_us"].as_u64() {
        Some(us) if watcher["looked"].is_string() => {
            format!("{}.{} ms", us / 1000, us % 1000 / 100)
        }
        _ => "-".to_owned(),
    }
}

fn style(state: &str) -> Style {
    match state {
        "ok" => AnsiColor::Green.on_default(),
        "failing" => AnsiColor::Red.on_default().bold(),
        "blind" => AnsiColor::Yellow.on_default(),
        _ => Style::new().dimmed(),
    }
}

const CAPS_EXAMPLES: &str = "\
Examples:
  balefire watch caps                     what the running server lacks, or else this user
  balefire watch caps > /etc/systemd/system/balefire.service.d/watch.conf

Nothing lacks: only the line [Service].";

/// Print the unit file lines that give the watchers what they lack now
#[derive(Debug, Args)]
#[command(after_help = CAPS_EXAMPLES)]
pub(crate) struct Caps {
    /// Look now, as this user, in place of asking the server
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Caps {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = match (self.once, asked(place, &self.reach)) {
            (true, _) => looked(place)?,
            (false, Err(failure)) if is_unreachable(&failure) => {
                output::tell("no server answers: this is what it would lack with the rights of this user");
                looked(place)?
            }
            (false, found) => found?,
        };
        let lacks = lacks(&found);
        output.line("[Service]")?;
        for lack in &lacks {
            output.line(&one_line(&format!("# {}: {}", lack.watcher, lack.why)))?;
        }
        for line in unit_lines(&lacks) {
            output.line(&line)?;
        }
        Ok(Exit::Done)
    }
}

fn is_unreachable(failure: &Failure) -> bool {
    matches!(failure.error.downcast_ref(), Some(ClientError::Unreachable { .. }))
}

const DRILL_EXAMPLES: &str = "\
Examples:
  balefire watch drill kernel.owner --by anna
  balefire incidents list --rule watch.drill     all drills

Nothing is broken for it. The alert is marked (label `drill = true`, a title that begins with DRILL) and is over after ten
seconds. `watch: {drill: {every: 30d}}` drills one watcher after the other by itself.";

/// Send a marked alert the way that a real one of this watcher goes, and its end
#[derive(Debug, Args)]
#[command(after_help = DRILL_EXAMPLES)]
pub(crate) struct Drill {
    /// The watcher's name, as `balefire watch status` shows it
    #[arg(value_name = "NAME")]
    name: String,
    /// Who asks for it
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Drill {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let body = json!({ "name": self.name, "by": self.by });
        let begun = ordered(place, &self.reach, ("/api/v1/watch/drill", &body))?;
        if self.json {
            output.json(&begun)?;
        } else {
            let id = begun["id"].as_str().unwrap_or_default();
            output.line(&one_line(&format!("the drill has begun: balefire why {id}")))?;
        }
        Ok(Exit::Done)
    }
}

const RETIRE_EXAMPLES: &str = "\
Examples:
  balefire watch retire file:/var/log/old.log --comment 'moved to the collector' --by anna

What is taken out of the configuration stays expected, and is told, until it is retired: who did so, and why, is recorded.
Exit code 1: it is still in the configuration.";

/// Say that a watcher is not expected any more
#[derive(Debug, Args)]
#[command(after_help = RETIRE_EXAMPLES)]
pub(crate) struct Retire {
    /// The watcher's name, as `balefire watch status` shows it
    #[arg(value_name = "NAME")]
    name: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Retire {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let body = json!({ "name": self.name, "by": self.by, "comment": self.comment });
        let retired = ordered(place, &self.reach, ("/api/v1/watch/retire", &body))?;
        if self.json {
            output.json(&retired)?;
        } else {
            output.line(&one_line(&format!("{} is not expected any more", self.name)))?;
        }
        Ok(Exit::Done)
    }
}

fn ordered(place: &Place, reach: &Reach, (path, body): (&str, &Value)) -> Result<Value, Failure> {
    let body = Some(("application/json", Bytes::from(body.to_string())));
    let question = Question { body, ..Question::post(path.to_owned()) };
    let answer = place.client(reach)?.ask(&question)?;
    if answer.status == StatusCode::CONFLICT {
        // The command line is right, only the moment is not.
        return Err(Failure { exit: Exit::Failed, ..answer.failure() });
    }
    answer.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(name: &str, state: &str, failures: Value, blind: Value) -> Value {
        json!({ "name": name, "state": state, "since": "2026-11-22T02:00:00.25Z", "proof": "it grows", "waits": "",
            "failures": failures, "blind": blind, "looked": "2026-11-22T02:00:00Z", "took_us": 1234 })
    }

    fn failing() -> Value {
        let failures = json!([{ "id": "file.missing", "summary": "/a\nis gone", "cause": "", "remediation": "look" }]);
        watcher("file:/a", "failing", failures, Value::Null)
    }

    fn blind() -> Value {
        watcher("kernel.status", "blind", json!([]), json!({ "why": "EPERM", "cure": "CAP_AUDIT_CONTROL" }))
    }

    #[test]
    fn the_exit_code_says_the_worst_of_all() {
        let ok = watcher("clock", "ok", json!([]), Value::Null);
        assert_eq!(exit(std::slice::from_ref(&ok)), Exit::Done);
        assert_eq!(exit(&[ok.clone(), blind()]), Exit::Blind);
        assert_eq!(exit(&[ok, blind(), failing()]), Exit::Refused);
    }

    #[test]
    fn what_fails_and_what_is_blind_is_said_with_what_to_do() {
        let text = shown(&[failing(), blind()], Screen::default());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("failing  2026-11-22 02:00:00Z  1.2 ms   /a\\nis gone"), "{text}");
        assert_eq!(
            lines[3..],
            [
                "file:/a fails: /a\\nis gone [file.missing]",
                "  do: look",
                "kernel.status is blind: EPERM",
                "  cured by: CAP_AUDIT_CONTROL"
            ]
        );
    }
}
