//! `balefire check`: every problem of a configuration, or what it comes to and what in it can do nothing. Starts nothing.

use super::output::{self, Output};
use super::{Exit, Failure, Place};
use crate::config::{self, Config, Finding, Problems};
use balefire_model::settings::Problem;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  balefire check                          the configuration that `balefire serve` would take here
  balefire check new.yaml --strict        what can do nothing fails the check, too
  balefire check --schema > schema.json   for editors

Exit code 2: it has problems; 4: findings, with --strict.";

/// Check the configuration: every problem, and what in it can do nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// The file, in place of the one that `balefire serve` would take
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Fail where something in it can do nothing or is unsafe
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print everything that was resolved; secrets show as ***
    #[arg(long, conflicts_with = "json")]
    print: bool,
    /// Print the JSON Schema of the configuration, and check nothing
    #[arg(long, conflicts_with_all = ["file", "strict", "json", "print"])]
    schema: bool,
}

impl Check {
    pub(crate) fn run(self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        if self.schema {
            output.json(&config::schema())?;
            return Ok(Exit::Done);
        }
        let place = match self.file {
            Some(file) => Place { config: Some(file), ..place.clone() },
            None => place.clone(),
        };
        let loaded = match place.load() {
            Ok(loaded) => loaded,
            Err(problems) if self.json => {
                let problems: Vec<Value> = problems.0.iter().map(problem_json).collect();
                output.json(&json!({ "ok": false, "problems": problems }))?;
                return Ok(Exit::Usage);
            }
            Err(problems) => return Ok(tell_problems(&problems)),
        };
        if self.json {
            let findings: Vec<Value> = loaded.findings.iter().map(finding_json).collect();
            output.json(&json!({ "ok": true, "findings": findings, "configuration": summary(&loaded.config) }))?;
        } else {
            for finding in &loaded.findings {
                output::tell(&format!("finding: {finding}"));
            }
            if self.print {
                output.json(&summary(&loaded.config))?;
            } else {
                output.line(&in_a_sentence(&loaded.config, loaded.findings.len()))?;
            }
        }
        Ok(if self.strict && !loaded.findings.is_empty() { Exit::Refused } else { Exit::Done })
    }
}

fn tell_problems(problems: &Problems) -> Exit {
    output::tell(&problems.to_string());
    Exit::Usage
}

fn problem_json(problem: &Problem) -> Value {
    json!({
        "file": &*problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "path": problem.path,
        "what": problem.what,
        "allowed": problem.allowed,
        "hint": problem.hint,
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "code": finding.code,
        "subject": finding.subject,
        "text": finding.text,
        "file": finding.place.as_ref().map(|place| place.file.to_string()),
        "line": finding.place.as_ref().map(|place| place.line),
    })
}

/// What was resolved, without secrets.
fn summary(config: &Config) -> Value {
    let channel = |channel: &config::ConfiguredChannel| {
        let settings = format!("{:?}", channel.channel);
        json!({ "name": channel.name, "kind": channel.kind.key, "settings": settings })
    };
    let route = |route: &balefire_engine::route::Route| {
        let matchers: Vec<&str> = route.matchers.iter().map(|matcher| matcher.text()).collect();
        json!({ "name": route.name, "match": matchers, "to": route.to, "continue": route.goes_on })
    };
    json!({
        "files": config.sources,
        "data": config.data,
        "http": config.http.as_ref().map(|http| http.listen.to_string()),
        "tokens": config.http.iter().flat_map(|http| &http.tokens).map(|token| &token.name).collect::<Vec<_>>(),
        "socket": config.socket.path,
        "severity_default": config.severity_default,
        "inputs": config.inputs.iter().map(|input| &input.name).collect::<Vec<_>>(),
        "channels": config.channels.iter().map(channel).collect::<Vec<_>>(),
        "routing": config.routing.preset.as_str(),
        "routes": config.routing.routes.iter().map(route).collect::<Vec<_>>(),
        "digest": config.digest,
    })
}

fn in_a_sentence(config: &Config, findings: usize) -> String {
    let file = config.sources.first().map_or("built-in configuration".to_owned(), |file| file.display().to_string());
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!(
        "{file}: good; {}, {}, preset `{}`, {}",
        counted(config.channels.len(), "channel"),
        counted(config.routing.routes.len(), "route"),
        config.routing.preset.as_str(),
        counted(findings, "finding"),
    )
}
