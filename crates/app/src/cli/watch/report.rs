//! `balefire watch report`: what was alerted on, how fast and to whom, for an assessor. Gathers; what it comes to is decided in
//! `balefire_watch::report`.

use crate::cli::client::Reach;
use crate::cli::history::{self, Ask};
use crate::cli::output::{self, Output};
use crate::cli::{Exit, Failure, Place};
use crate::config::watch::usual;
use crate::config::{Config, Watching};
use crate::watch::{once, sample};
use crate::{clock, environment};
use anyhow::Context;
use balefire_engine::OWN_SOURCE;
use balefire_model::State;
use balefire_model::text::one_line;
use balefire_store::view::{LIMIT_MAX, Query};
use balefire_watch::report::{
    CATALOGUE, Facts, Framework, Latency, Parameters, Period, Recipient, Recipients, Report as Made, begins_before,
    page, report, seconds,
};
use balefire_watch::{KINDS, Rise};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As many incidents are looked at; a report of more is no report.
const INCIDENTS_MAX: usize = 20_000;

const EXAMPLES: &str = "\
Examples:
  balefire watch report --framework 800-171r2 --period 30d
  balefire watch report --framework pci --period 2026-10 --html october.html
  balefire watch report --framework stig --period 90d --json | jq .notification

In it: the parameters in force, who hears of which failure at this moment, the types of failure, each watcher and what is not
covered, every audit failure of the period with all that a record of it must have, latencies against the limits, drills, and
what of that answers which control. Works without a server, too, on the data directory itself; watchers are looked at now then,
as this user.";

/// Report on alerts of failing audit logging, for an assessor
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Report {
    /// For which framework: 800-171r2, 800-171r3, 800-53, pci or stig
    #[arg(long, value_name = "FRAMEWORK", value_parser = framework)]
    framework: Framework,
    /// Over which time: 30d up to now, a month such as 2026-10, a day, or FROM..TO with days (UTC)
    #[arg(long, value_name = "PERIOD", default_value = "30d")]
    period: String,
    /// Write a page of HTML, for its owner only
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

fn framework(text: &str) -> Result<Framework, String> {
    Framework::parse(text).ok_or_else(|| "allowed: 800-171r2, 800-171r3, 800-53, pci, stig".to_owned())
}

#[derive(Deserialize)]
struct Page {
    incidents: Vec<Value>,
    #[serde(default)]
    next: Option<balefire_model::IncidentId>,
}

impl Report {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let now = clock::now();
        let form = "allowed: 30d, 2026-10, 2026-10-05, 2026-10-01..2026-11-01";
        let period = period(&self.period, now).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("--period: found {:?}; {form}", one_line(&self.period)))
        })?;
        let config = place.load()?.config;
        let (incidents, all_seen) = self.incidents(place, period)?;
        let made = report(self.facts(place, &config, (period, now), all_seen), &incidents);
        if let Some(path) = &self.html {
            write(path, &page(&made))?;
        }
        if self.json {
            output.json(&made)?;
        } else {
            output.text(&shown(&made))?;
        }
        Ok(Exit::Done)
    }

    /// Those that tell of audit failures, and whether they are all: of the period, and of what began before it and was not
    /// over then.
    fn incidents(&self, place: &Place, period: Period) -> Result<(Vec<Value>, bool), Failure> {
        // Every one of them has a label `failure`, or `audit_failure`.
        let query = Query { text: Some("failure=".to_owned()), limit: LIMIT_MAX, ..Query::default() };
        let of_period = Query { since: Some(period.since), until: Some(period.until), ..query.clone() };
        let (mut found, mut all_seen) = self.pages(place, of_period)?;
        let before = Query { until: Some(period.since), source: Some(OWN_SOURCE.to_owned()), ..query };
        let open = [State::Open, State::Acked].map(|state| Query { state: Some(state), ..before.clone() });
        // One that ended in the period is known by when it says that it began; milliseconds are cut off there.
        let began = begins_before(&found, period.since).and_then(|began| began.checked_sub(1.second()).ok());
        let ended = began.map(|began| Query { since: Some(began), ..before });
        for query in open.into_iter().chain(ended) {
            let (more, is_all) = self.pages(place, query)?;
            found.extend(more);
            all_seen &= is_all;
        }
        let mut seen = BTreeSet::new();
        found.retain(|shown| seen.insert(shown["incident"]["id"].as_str().unwrap_or_default().to_owned()));
        Ok((found, all_seen))
    }

    /// The answer, page by page, and whether it is all.
    fn pages(&self, place: &Place, mut query: Query) -> Result<(Vec<Value>, bool), Failure> {
        let mut found = Vec::new();
        let (source, mut answer) = history::open(place, &self.reach, &Ask::Export(&query))?;
        loop {
            let page: Page = serde_json::from_str(&answer).context("the answer has another form than an export's")?;
            found.extend(page.incidents);
            let Some(next) = page.next else { return Ok((found, true)) };
            if found.len() >= INCIDENTS_MAX {
                return Ok((found, false));
            }
            query.before = Some(next);
            answer = source.ask(&Ask::Export(&query))?;
        }
    }

    fn facts(&self, place: &Place, config: &Config, (period, made): (Period, Timestamp), all_seen: bool) -> Facts {
        let mut remarks = Vec::new();
        if config.watch.is_none() {
            remarks.push("the configuration has no section `watch`: no server watches anything by itself".to_owned());
        }
        if !all_seen {
            remarks.push(format!("the period has more than {INCIDENTS_MAX} incidents: the oldest are left out"));
        }
        remarks.extend(
            crate::config::watch::findings(config).map(|finding| format!("{}: {}", finding.subject, finding.text)),
        );
        let watching = config.watch.clone().unwrap_or_else(usual);
        let watchers = super::asked(place, &self.reach).unwrap_or_else(|_| {
            remarks.push("no server answers: the watchers were looked at now, with the rights of this user".to_owned());
            once(&watching).iter().filter_map(|status| serde_json::to_value(status).ok()).collect()
        });
        let is_watched = |key: &str| watching.watched.iter().any(|watched| watched.kind == key);
        let not_configured = KINDS.iter().filter(|kind| config.watch.is_none() || !is_watched(kind.key));
        Facts {
            framework: self.framework,
            period,
            made,
            host: environment::host().name,
            parameters: parameters(&watching),
            recipients: recipients(config, made),
            watchers,
            not_configured: not_configured.map(|kind| format!("watch.{}", kind.key)).collect(),
            remarks,
        }
    }
}

fn parameters(watching: &Watching) -> Parameters {
    let rules = &watching.rules;
    let shown = |time: std::time::Duration| {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        format!("{time:#}")
    };
    let rise = |rise: &Rise| match rise {
        Rise::ByOne => "one step worse".to_owned(),
        Rise::To(severity) => format!("at least {severity}"),
    };
    Parameters {
        max_detect_s: seconds(rules.max_detect),
        max_notify_s: seconds(rules.max_notify),
        escalate: rules.escalate.iter().map(|(after, to)| format!("after {}: {}", shown(*after), rise(to))).collect(),
        blind: rules.blind.to_string(),
        recipients: rules.recipients.clone(),
        drills: watching.drill_every.map(|every| format!("every {}", shown(every))),
    }
}

/// Who hears of each type of failure at this moment; types that go the same way stand together.
fn recipients(config: &Config, now: Timestamp) -> Vec<Recipients> {
    let mut found: Vec<Recipients> = Vec::new();
    for known in CATALOGUE {
        let mut incident = sample(now);
        incident.title = known.id.to_owned();
        incident.detected_by = format!("{}{}", balefire_engine::WATCH_RULE, known.id);
        incident.severity = known.severity;
        incident
            .labels
            .extend([("failure".to_owned(), known.id.to_owned()), ("kind".to_owned(), known.kind.to_owned())]);
        let decision = config.routing.decide(&Arc::new(incident), now);
        let channels = config.channels.iter().filter(|channel| decision.channels.contains(&channel.name));
        let channels: Vec<Recipient> = channels
            .map(|channel| Recipient {
                channel: channel.name.clone(),
                kind: channel.kind.key.to_owned(),
                people: config.people.reached_by(&channel.name).cloned().collect(),
            })
            .collect();
        match found.iter_mut().find(|known| known.channels == channels) {
            Some(same) => same.failures.push(known.id.to_owned()),
            None => found.push(Recipients { failures: vec![known.id.to_owned()], channels }),
        }
    }
    found
}

/// `30d`, `2026-10`, `2026-10-05` or `2026-10-01..2026-11-01`.
fn period(text: &str, now: Timestamp) -> Option<Period> {
    let start = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let day = |text: &str| text.trim().parse::<Date>().ok();
    let text = text.trim();
    let (since, until) = if let Some((from, to)) = text.split_once("..") {
        (start(day(from)?)?, start(day(to)?)?)
    } else if let Some(date) = day(text) {
        (start(date)?, start(date.tomorrow().ok()?)?)
    } else if let Some(first) = day(&format!("{text}-01")) {
        (start(first)?, start(first.checked_add(1.month()).ok()?)?)
    } else {
        let span = SignedDuration::try_from(balefire_model::settings::parse_duration(text)?).ok()?;
        (now.checked_sub(span).ok()?, now)
    };
    (since < until).then_some(Period { since, until })
}

fn write(path: &Path, page: &str) -> Result<(), Failure> {
    let cannot = || format!("{} cannot be written", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(cannot)?;
    file.write_all(page.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)?;
    output::tell(&format!("the report is in {}", path.display()));
    Ok(())
}

/// The short form, for a terminal.
fn shown(made: &Made) -> String {
    let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3} s"));
    let latency = |name: &str, latency: &Latency| {
        let (median, p90, max) = (seconds(latency.median_s), seconds(latency.p90_s), seconds(latency.max_s));
        format!(
            "{name}: limit {} s, {} met, {} missed, {} not measured; median {median}, 90 % {p90}, longest {max}",
            latency.limit_s, latency.met, latency.missed, latency.unmeasured
        )
    };
    let open = made.failures.iter().filter(|case| !case.is_event && case.recovered.is_none()).count();
    let mut lines = vec![
        format!("{} on {}, from {:.0} to {:.0}", made.framework, made.host, made.period.since, made.period.until),
        format!("{} failures, {open} of them not over; {} drills", made.failures.len(), made.drills.len()),
        latency("detection", &made.detection),
        latency("notification", &made.notification),
        latency("drills", &made.drill_notification),
    ];
    lines.push(format!("{} watchers; not covered:", made.watchers.len()));
    lines.extend(made.not_covered.iter().map(|said| format!("  {said}")));
    lines.push("failures:".to_owned());
    lines.extend(made.failures.iter().map(|case| {
        let at = case.detected.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
        let lasted = if case.is_event { "happened".to_owned() } else { format!("lasted {}", seconds(case.lasted_s)) };
        let told = seconds(case.notify_s);
        format!(
            "  {at} {} {} [{}] {lasted}; told after {told}: {}",
            case.severity, case.watcher, case.failure, case.title
        )
    }));
    lines.push("controls:".to_owned());
    lines.extend(
        made.controls.iter().map(|control| format!("  {}: {} -> {}", control.id, control.asks, control.answered_by)),
    );
    lines.iter().map(|line| format!("{}\n", one_line(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_an_age_a_month_a_day_or_from_and_to() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let found = |text: &str| period(text, now).map(|period| format!("{} {}", period.since, period.until));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found("30d"), some("2026-10-23T12:00:00Z 2026-11-22T12:00:00Z"));
        assert_eq!(found("2026-10"), some("2026-10-01T00:00:00Z 2026-11-01T00:00:00Z"));
        assert_eq!(found("2026-10-05"), some("2026-10-05T00:00:00Z 2026-10-06T00:00:00Z"));
        assert_eq!(found("2026-10-01..2026-10-08"), some("2026-10-01T00:00:00Z 2026-10-08T00:00:00Z"));
        for text in ["", "x", "2026-13", "2026-10-08..2026-10-01", "0s"] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
