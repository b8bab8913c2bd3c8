//! `balefire incidents stats` and `rules`: what many incidents come to, and which rules found them.

use super::words::{age, moment};
use crate::cli::channels::to_second;
use crate::cli::client::{Reach, parsed};
use crate::cli::history::{self, Ask, Span};
use crate::cli::listing::show_rows;
use crate::cli::output::{Output, Screen};
use crate::cli::table::{Cell, severity_style, table};
use crate::cli::{Exit, Failure, Place};
use anstyle::{AnsiColor, Style};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

/// How many rules the table shows; `--json` has them all.
const RULES_SHOWN: usize = 20;

/// From when to when, by the time at which incidents were taken in
#[derive(Debug, Args)]
struct Times {
    /// From this time on: 2026-11-22T03:00:00Z, 2026-11-22 (in UTC), or an age such as 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

impl Times {
    fn span(&self) -> Span {
        Span { since: self.since, until: self.until }
    }
}

const STATS_EXAMPLES: &str = "\
Examples:
  balefire incidents stats --since 30d
  balefire incidents stats --since 2026-10-01T00:00:00Z --until 2026-11-01T00:00:00Z --json

ACK is the time from when an incident was taken in until somebody first acknowledged or resolved it, END until it was
resolved: the median, what nine in ten did not exceed, and the longest; to within two in a hundred. IN TIME, LATE and
RUNNING hold it against the response time of its severity: critical at once (within a minute), high 15 min, medium 1 h,
low 24 h. Works without a server, too, on the data directory itself.";

/// Count incidents, and tell how long it took to acknowledge and to resolve them
#[derive(Debug, Args)]
#[command(after_help = STATS_EXAMPLES)]
pub(crate) struct StatsCommand {
    #[command(flatten)]
    times: Times,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl StatsCommand {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = parsed(&history::ask(place, &self.reach, &Ask::Stats(self.times.span()))?)?;
        if self.json {
            output.json(&found)?;
        } else {
            output.text(&shown(&found, output.screen))?;
        }
        Ok(Exit::Done)
    }
}

const HEADER: [&str; 13] = [
    "ALL",
    "OPEN",
    "ACKED",
    "RESOLVED",
    "ACK MEDIAN",
    "ACK P90",
    "ACK MAX",
    "END MEDIAN",
    "END P90",
    "END MAX",
    "IN TIME",
    "LATE",
    "RUNNING",
];

fn shown(found: &Value, screen: Screen) -> String {
    let items = |name: &str| found[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let of_severity = |item: &Value| {
        let severity = name(item, "severity");
        let mut row = measured(item);
        row.push(Cell::styled(&severity, severity_style(&severity)));
        row
    };
    let mut rows: Vec<_> = items("by_severity").iter().map(of_severity).collect();
    let mut all = measured(&found["total"]);
    all.push(Cell::new("(all)"));
    rows.push(all);
    let mut shown = table(&[&HEADER[..], &["SEVERITY"]].concat(), &rows, screen);
    let rules = items("by_rule");
    if !rules.is_empty() {
        let of_rule = |item: &Value| {
            let mut row = measured(item);
            row.push(Cell::new(&name(item, "rule")));
            row
        };
        let rows: Vec<_> = rules.iter().take(RULES_SHOWN).map(of_rule).collect();
        shown.push_str(&format!("\n{}", table(&[&HEADER[..], &["RULE"]].concat(), &rows, screen)));
    }
    let rest: u64 = rules.iter().skip(RULES_SHOWN).filter_map(|item| item["incidents"].as_u64()).sum();
    let rest = rest + found["of_other_rules"].as_u64().unwrap_or_default();
    if rest > 0 {
        shown.push_str(&format!("{rest} incidents of other rules\n"));
    }
    let count = |name: &str| found["dfars"][name].as_u64().unwrap_or_default();
    if count("reportable") > 0 {
        let (reportable, reported, overdue) = (count("reportable"), count("reported"), count("overdue"));
        let told = format!("{reportable} must be reported, {reported} reported, {overdue} overdue or late");
        shown.push_str(&format!("\nDFARS 252.204-7012: {told}\n"));
    }
    shown
}

fn measured(item: &Value) -> Vec<Cell> {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let time = |spread: &str, name: &str| item[spread][name].as_u64().map_or_else(|| "-".to_owned(), age);
    let late = count(&item["response"]["missed"]);
    let red = if late > 0 { AnsiColor::Red.on_default() } else { Style::new() };
    let mut cells: Vec<Cell> =
        ["incidents", "open", "acked", "resolved"].map(|name| Cell::new(&count(&item[name]).to_string())).into();
    for spread in ["to_acknowledge", "to_resolve"] {
        let times = ["median_seconds", "p90_seconds", "max_seconds"];
        cells.extend(times.map(|name| Cell::new(&time(spread, name))));
    }
    cells.push(Cell::new(&count(&item["response"]["kept"]).to_string()));
    cells.push(Cell::styled(&late.to_string(), red));
    cells.push(Cell::new(&count(&item["response"]["running"]).to_string()));
    cells
}

const RULES_EXAMPLES: &str = "\
Examples:
  balefire incidents rules --since 7d
  balefire incidents list --rule brute_force

Works without a server, too, on the data directory itself.";

/// List the rules that have found something: the values of `detected_by`
#[derive(Debug, Args)]
#[command(after_help = RULES_EXAMPLES)]
pub(crate) struct RulesCommand {
    #[command(flatten)]
    times: Times,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl RulesCommand {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let found = parsed(&history::ask(place, &self.reach, &Ask::Rules(self.times.span()))?)?;
        let rules = found["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        show_rows(rules, self.json, "no rule has found anything", output, listed)?;
        if let Some(rest) = found["of_other_rules"].as_u64().filter(|rest| *rest > 0) {
            crate::cli::output::tell(&format!("{rest} incidents are of further rules, which are left out"));
        }
        Ok(Exit::Done)
    }
}

fn listed(rules: &[Value], screen: Screen) -> String {
    let row = |rule: &Value| {
        let count = |name: &str| rule[name].as_u64().unwrap_or_default().to_string();
        let worst = rule["worst"].as_str().unwrap_or_default();
        vec![
            Cell::new(&count("incidents")),
            Cell::new(&count("open")),
            Cell::styled(worst, severity_style(worst)),
            Cell::new(&to_second(rule["last_at"].as_str().unwrap_or_default())),
            Cell::new(rule["rule"].as_str().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = rules.iter().map(row).collect();
    table(&["INCIDENTS", "OPEN", "WORST", "LAST", "RULE"], &rows, screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_and_times_stand_in_a_table_by_severity_and_by_rule() {
        let measured = json!({
            "incidents": 3, "open": 1, "acked": 1, "resolved": 1,
            "to_acknowledge": { "count": 2, "median_seconds": 30, "p90_seconds": 600, "max_seconds": 600 },
            "to_resolve": null, "response": { "kept": 1, "missed": 1, "running": 1 },
        });
        let mut of_severity = measured.clone();
        of_severity["severity"] = json!("high");
        let mut of_rule = measured.clone();
        of_rule["rule"] = json!("brute\u{1b}[2J");
        let found = json!({
            "total": measured, "by_severity": [of_severity], "by_rule": [of_rule], "of_other_rules": 4,
            "dfars": { "reportable": 2, "reported": 1, "overdue": 0 },
        });
        let expected = "\
ALL  OPEN  ACKED  RESOLVED  ACK MEDIAN  ACK P90  ACK MAX  END MEDIAN  END P90  END MAX  IN TIME  LATE  RUNNING  SEVERITY
3    1     1      1         30s         10m 0s   10m 0s   -           -        -        1        1     1        high
3    1     1      1         30s         10m 0s   10m 0s   -           -        -        1        1     1        (all)

ALL  OPEN  ACKED  RESOLVED  ACK MEDIAN  ACK P90  ACK MAX  END MEDIAN  END P90  END MAX  IN TIME  LATE  RUNNING  RULE
3    1     1      1         30s         10m 0s   10m 0s   -           -        -        1        1     1        brute\\u{1b}[2J
4 incidents of other rules

DFARS 252.204-7012: 2 must be reported, 1 reported, 0 overdue or late
";
        assert_eq!(shown(&found, Screen::default()), expected);
    }

    #[test]
    fn a_rule_has_its_line() {
        let rules = [json!({
            "rule": "brute_force", "incidents": 12, "open": 2, "worst": "critical", "last_at": "2026-11-22T03:00:00.5Z",
        })];
        let expected = "\
INCIDENTS  OPEN  WORST     LAST                  RULE
12         2     critical  2026-11-22 03:00:00Z  brute_force
";
        assert_eq!(listed(&rules, Screen::default()), expected);
    }
}
