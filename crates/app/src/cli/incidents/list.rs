//! `balefire incidents list`: the history as a list, by whatever people filter it by.

use super::words::{countdown, moment, severity, state};
use crate::cli::client::{Reach, parsed};
use crate::cli::history::{self, Ask};
use crate::cli::listing::show_rows;
use crate::cli::output::{Output, Screen};
use crate::cli::table::{Cell, severity_style, table};
use crate::cli::{Exit, Failure, Place};
use crate::clock;
use balefire_model::text::cut;
use balefire_model::{IncidentId, Severity, State};
use balefire_store::view::{LIMIT_DEFAULT, Query, Whose, at_least};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

/// Which incidents
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// From this time on: 2026-11-22T03:00:00Z, 2026-11-22 (in UTC), or an age such as 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only these severities; can be a list with commas
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',', value_parser = severity)]
    severity: Vec<Severity>,
    /// Only this severity and worse ones
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    min_severity: Option<Severity>,
    /// Only from this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only with this text in title, description, detected_by or a label; case does not matter
    #[arg(long)]
    text: Option<String>,
    /// Only in this state: open, acked or resolved
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// Only what this rule has found: exactly this `detected_by`
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only what is this person's or team's; `nobody`: what is nobody's
    #[arg(long, value_name = "WHO")]
    assigned_to: Option<String>,
    /// Only where controlled unclassified information is involved
    #[arg(long)]
    cui: bool,
    /// Only what must be reported under DFARS 252.204-7012, reported or not
    #[arg(long)]
    reportable: bool,
}

impl Filter {
    /// The question, without its limit.
    pub(super) fn query(&self) -> Result<Query, Failure> {
        let mut severities = self.severity.clone();
        if let Some(least) = self.min_severity {
            severities =
                at_least(least).into_iter().filter(|s| severities.is_empty() || severities.contains(s)).collect();
            if severities.is_empty() {
                return Err(Failure::new(Exit::Usage, "--severity and --min-severity together leave no severity"));
            }
        }
        Ok(Query {
            since: self.since,
            until: self.until,
            severities,
            source: self.source.clone(),
            text: self.text.clone(),
            state: self.state,
            rule: self.rule.clone(),
            assigned_to: self.assigned_to.as_deref().map(Whose::of),
            is_cui: self.cui,
            is_reportable: self.reportable,
            ..Query::default()
        })
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  balefire incidents list --since 2h --min-severity high
  balefire incidents list --state open --text 'brute force'
  balefire incidents list --assigned-to nobody --rule brute_force
  balefire incidents list --limit 1000 --json | jq -r '.[].id'

Works without a server, too, on the data directory itself.";

/// List incidents, newest first
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many, 1 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = LIMIT_DEFAULT as u16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only before this incident: the last id of a list gives the next page
    #[arg(long, value_name = "ID")]
    before: Option<IncidentId>,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl List {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let query = Query { limit: usize::from(self.limit), before: self.before, ..self.filter.query()? };
        let found = parsed(&history::ask(place, &self.reach, &Ask::List(&query))?)?;
        let rows = found["incidents"].as_array().map(Vec::as_slice).unwrap_or_default();
        show_rows(rows, self.json, "no incident matches", output, listed)?;
        Ok(Exit::Done)
    }
}

/// A column of the list that is there only where some incident has something in it.
type Extra = (&'static str, fn(&Value) -> Option<String>);

const EXTRAS: [Extra; 3] = [
    ("SEEN", |row| Some(format!("{} times", row["repeats"].as_u64().filter(|repeats| *repeats > 0)? + 1))),
    ("ASSIGNED TO", |row| row["assigned_to"].as_str().map(|to| cut(to, 40).into_owned())),
    ("REPORT", |row| {
        let report = row["report"].as_object()?;
        let time = |name: &str| report.get(name)?.as_str()?.parse::<Timestamp>().ok();
        match (time("reported_at"), time("due")) {
            (Some(_), _) => Some("reported".to_owned()),
            (None, Some(due)) => Some(countdown(clock::now(), due)),
            (None, None) => None,
        }
    }),
];

fn listed(rows: &[Value], screen: Screen) -> String {
    let extras: Vec<&Extra> = EXTRAS.iter().filter(|(_, of)| rows.iter().any(|row| of(row).is_some())).collect();
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let time = text("received_at").parse::<Timestamp>();
        let time = time.map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
        let (severity, state) = (text("severity"), text("state"));
        let mut cells = vec![
            Cell::new(&time),
            Cell::styled(&severity, severity_style(&severity)),
            Cell::new(if row["repeat_of"].is_null() { &state } else { "repeat" }),
            Cell::new(&cut(&text("source"), 40)),
            Cell::new(&text("id")),
        ];
        cells.extend(extras.iter().map(|(_, of)| Cell::new(&of(row).unwrap_or_else(|| "-".to_owned()))));
        cells.push(Cell::new(&text("title")));
        cells
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let mut header = vec!["TIME", "SEVERITY", "STATE", "SOURCE", "ID"];
    header.extend(extras.iter().map(|(name, _)| *name));
    header.push("TITLE");
    table(&header, &rows, screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_list_is_a_table_of_harmless_lines() {
        let rows = [json!({
            "id": "01935f1c-7c00-7000-8000-000000000001", "received_at": "2026-11-22T03:00:00.5Z", "severity": "high",
            "state": "open", "source": "http", "title": "a\r\nb",
        })];
        let expected = "\
TIME                  SEVERITY  STATE  SOURCE  ID                                    TITLE
2026-11-22 03:00:00Z  high      open   http    01935f1c-7c00-7000-8000-000000000001  a\\r\\nb
";
        assert_eq!(listed(&rows, Screen::default()), expected);
    }
}
