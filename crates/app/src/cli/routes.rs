//! `balefire routes test`: which routes and channels an incident would take, and why. Needs no server and sends nothing.

use super::describe::Described;
use super::output::Output;
use super::parts::{self, Ended};
use super::{Exit, Failure, Place};
use crate::config::{self, Config};
use crate::{clock, ids};
use anyhow::Context;
use balefire_engine::route::{Step, Verdict, told_muted};
use balefire_intake::Limits;
use balefire_intake::formats::json::{Shape, decode};
use balefire_intake::normalise::{self, normalise};
use balefire_model::Incident;
use balefire_model::text::one_line;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Say what an incident would take, and why
#[derive(Debug, Subcommand)]
pub(crate) enum Routes {
    /// Say which routes and channels an incident would take, and why; sends nothing
    Test(Box<Test>),
}

impl Routes {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Routes::Test(command) => command.run(place, output),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  balefire routes test --title 'Disk full' --severity high --label host=web-1
  balefire routes test --config new.yaml incident.json
  balefire routes test --title 'Disk full' --at 2026-12-24T22:00:00+01:00

Exit code 4: an incident was no good, and the others were still tested.";

/// Say which routes and channels an incident would take, and why; sends nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Test {
    #[command(flatten)]
    described: Described,
    /// A file with incidents, as `send` takes it; - is standard input
    #[arg(value_name = "FILE", conflicts_with = "title", required_unless_present = "title")]
    file: Option<PathBuf>,
    /// The source that it would come from
    #[arg(long, value_name = "NAME", default_value = "socket")]
    source: String,
    /// The moment at which it would come, with its offset or Z; now if not given
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// Print JSON, one line an incident
    #[arg(long)]
    json: bool,
}

impl Test {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let loaded = place.load()?;
        let now = self.at.unwrap_or_else(clock::now);
        let mut exit = Exit::Done;
        let mut take = |body: &[u8], shape, output: &mut Output| -> Result<(), Failure> {
            let items = decode(body, shape, &Limits::default())
                .map_err(|error| Failure { exit: Exit::Usage, error: error.into() })?;
            for item in items {
                match item {
                    Ok(draft) => {
                        let context = normalise::Context {
                            id: ids::incident(),
                            source: &self.source,
                            received_at: now,
                            severity_default: loaded.config.severity_default,
                        };
                        let kind = draft.kind;
                        let mut incident = normalise(draft, &context);
                        config::weigh(&loaded.config.finding_rules, kind, &mut incident);
                        if let Some(watching) = &loaded.config.watch {
                            watching.mark(&mut incident);
                        }
                        self.test(&loaded.config, &incident, now, output)?;
                    }
                    Err(error) => {
                        super::output::tell(&format!("refused: {error}"));
                        exit = Exit::Refused;
                    }
                }
            }
            Ok(())
        };
        match (self.described.json(), &self.file) {
            (Some(incident), _) => take(incident.as_bytes(), Shape::Json, output)?,
            (None, Some(file)) => each_body(file, |body, shape| take(body, shape, output))?,
            (None, None) => unreachable!("the command line asks for one of the two"),
        }
        Ok(exit)
    }

    fn test(&self, config: &Config, incident: &Incident, now: Timestamp, output: &mut Output) -> Result<(), Failure> {
        let steps = config.routing.explain(incident, now);
        let decision = config.routing.decide(incident, now);
        if self.json {
            output.json_line(&json!({
                "title": incident.title,
                "severity": incident.severity,
                "steps": steps,
                "channels": decision.channels,
                "history_only": decision.history_only,
            }))?;
            return Ok(());
        }
        output.text(&told(incident, &steps, &decision.channels, decision.history_only.as_deref()))?;
        Ok(())
    }
}

fn told(incident: &Incident, steps: &[Step], channels: &[String], history_only: Option<&str>) -> String {
    let mut told = format!("{}  {}\n", incident.severity.as_upper_str(), one_line(&incident.title));
    for note in &incident.notes {
        told.push_str(&format!("  note: {}\n", one_line(note)));
    }
    for step in steps {
        let line = match &step.verdict {
            Verdict::Matched { because, channels, muted_by, goes_on } => {
                let to = match muted_by {
                    Some(muted_by) => told_muted(muted_by),
                    None if channels.is_empty() => "no channel".to_owned(),
                    None => channels.join(", "),
                };
                let then = if *goes_on { "; goes on" } else { "" };
                format!("matched    {}: {because} -> {to}{then}", step.route)
            }
            Verdict::Missed { condition, found } => format!("missed     {}: {condition}, but {found}", step.route),
            Verdict::Nothing { because } => format!("nothing    {}: {because}", step.route),
            Verdict::NotAsked { taken_by } => format!("not asked  {}: {taken_by} took it", step.route),
        };
        told.push_str(&format!("  {}\n", one_line(&line)));
    }
    let end = match history_only {
        Some(why) => format!("history only: {why}"),
        None => format!("goes to: {}", channels.join(", ")),
    };
    told.push_str(&format!("  {}\n", one_line(&end)));
    told
}

/// A moment as it is written on the command line.
fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "allowed: a time with its offset, such as 2026-11-22T03:00:00Z or ...+01:00".to_owned())
}

/// Passes on what a file holds, in the parts in which `send` would send it.
fn each_body(file: &Path, mut take: impl FnMut(&[u8], Shape) -> Result<(), Failure>) -> Result<(), Failure> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let each = |part: parts::Part| {
        take(&part.body, if part.content_type == parts::NDJSON { Shape::Ndjson } else { Shape::Json })
    };
    let ended = if file == Path::new("-") {
        parts::each_part(io::stdin().lock(), each)
    } else {
        parts::each_part(File::open(file).with_context(|| format!("{name} cannot be read"))?, each)
    };
    match ended {
        Ok(()) => Ok(()),
        Err(Ended::Sending(failure)) => Err(failure),
        Err(Ended::Input(error)) => Err(Failure { exit: Exit::Usage, error: anyhow::Error::from(error).context(name) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::IncidentId;

    #[test]
    fn every_route_says_what_it_does_and_why() {
        let id: IncidentId = "01935f1c-7c00-7000-8000-000000000001".parse().unwrap();
        let mut incident = crate::sample::test_incident(id, "2026-11-22T03:00:00Z".parse().unwrap(), "x", "y");
        incident.title = "T\n".to_owned();
        let matched = |muted_by: Option<&str>, goes_on| {
            let muted_by = muted_by.map(str::to_owned);
            Verdict::Matched { because: "always".into(), channels: vec![], muted_by, goes_on }
        };
        let step = |route: &str, verdict| Step { route: route.to_owned(), verdict };
        let steps = [
            step("a", Verdict::Missed { condition: "host = \"x\"".into(), found: "host is missing".into() }),
            step(
                "b",
                Verdict::Matched {
                    because: "severity is info".into(),
                    channels: vec!["c".into()],
                    muted_by: None,
                    goes_on: true,
                },
            ),
            step("m", matched(Some("nights"), true)),
            step("o", matched(Some("outside office"), true)),
            step("d", matched(None, false)),
            step("plan", Verdict::NotAsked { taken_by: "d".into() }),
        ];
        let expected = "\
INFO  T\\n
  missed     a: host = \"x\", but host is missing
  matched    b: severity is info -> c; goes on
  matched    m: always -> muted by time interval nights; goes on
  matched    o: always -> muted outside time interval office; goes on
  matched    d: always -> no channel
  not asked  plan: d took it
  goes to: c
";
        assert_eq!(told(&incident, &steps, &["c".to_owned()], None), expected);
        assert!(told(&incident, &[], &[], Some("no route matched")).ends_with("  history only: no route matched\n"));
    }
}
