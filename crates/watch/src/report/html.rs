//! The report as one page of HTML: no script, nothing from elsewhere, readable when printed. Every text is escaped.

use super::{Case, Latency, Report};
use balefire_model::text::lines;
use jiff::Timestamp;
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "body{font:14px/1.45 sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#111}\
    h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #999}\
    table{border-collapse:collapse;width:100%;margin:.5em 0}th,td{border:1px solid #bbb;padding:.25em .5em;text-align:left;\
    vertical-align:top;overflow-wrap:anywhere}th{background:#eee}.bad{color:#a00;font-weight:bold}.ok{color:#060}\
    @media print{body{margin:0;max-width:none}tr,h2{break-inside:avoid}h2{break-after:avoid}}";

/// As many bars stand in the timeline.
const BARS_MAX: usize = 60;

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = format!("Alerts on failing audit logging: {} ({})", report.host, report.framework);
    put(&mut page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    put(&mut page, &escaped(&title));
    put(&mut page, &format!("</title><style>{STYLE}</style></head><body>\n<h1>{}</h1>\n", escaped(&title)));
    let (since, until, made) = (shown(report.period.since), shown(report.period.until), shown(report.made));
    put(&mut page, &format!("<p>From {since} to {until}. Made by Balefire at {made}.</p>\n"));
    let controls = report.controls.iter().map(|control| vec![control.id, control.asks, control.answered_by]);
    table(&mut page, "Controls", &["control", "asks for", "answered here by"], controls.map(texts));
    parameters(&mut page, report);
    recipients(&mut page, report);
    let known = report.types.iter().map(|known| vec![known.id, known.severity.as_str(), known.what, known.kind]);
    table(&mut page, "Types of failure", &["type", "severity at once", "what", "watch."], known.map(texts));
    let watchers = report.watchers.iter().map(watcher);
    table(&mut page, "Watchers", &["watcher", "watches", "state", "since", "proof, or what is wrong"], watchers);
    let uncovered = report.not_covered.iter().map(|said| vec![said.clone()]);
    table(&mut page, "What is not covered", &["what, and why"], uncovered);
    let latencies = [
        ("detection", &report.detection),
        ("notification", &report.notification),
        ("notification of drills", &report.drill_notification),
    ];
    let head = ["latency", "limit", "met", "missed", "not measured", "median", "90 %", "longest"];
    table(&mut page, "Latencies", &head, latencies.into_iter().map(|(name, latency)| of_latency(name, latency)));
    timeline(&mut page, report);
    put(&mut page, &format!("<h2>Failures ({})</h2>\n", report.failures.len()));
    report.failures.iter().for_each(|case| of_case(&mut page, case));
    put(&mut page, &format!("<h2>Drills ({})</h2>\n", report.drills.len()));
    report.drills.iter().for_each(|case| of_case(&mut page, case));
    put(&mut page, "</body></html>\n");
    page
}

fn parameters(page: &mut String, report: &Report) {
    let set = &report.parameters;
    let rows = [
        ("detected within (max_detect)", format!("{} s", set.max_detect_s)),
        ("accepted by a channel within (max_notify)", format!("{} s after that", set.max_notify_s)),
        ("becomes worse (escalate)", set.escalate.join("; ")),
        ("a watcher that cannot see is", set.blind.clone()),
        ("the team that must hear", set.recipients.clone().unwrap_or_else(|| "none: the routes alone decide".into())),
        ("drills by themselves", set.drills.clone().unwrap_or_else(|| "none".into())),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    table(page, "Parameters in force", &["parameter", "value"], rows);
}

fn recipients(page: &mut String, report: &Report) {
    let rows = report.recipients.iter().map(|recipients| {
        let channel = |one: &super::Recipient| {
            let people = if one.people.is_empty() { String::new() } else { format!(": {}", one.people.join(", ")) };
            format!("{} ({}){people}", one.channel, one.kind)
        };
        let channels: Vec<String> = recipients.channels.iter().map(channel).collect();
        let nobody = || "nobody: recorded only".to_owned();
        let channels = if channels.is_empty() { nobody() } else { channels.join("\n") };
        vec![recipients.failures.join(", "), channels]
    });
    table(page, "Recipients at this moment", &["types of failure", "channels and people"], rows);
}

fn watcher(watcher: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = text(&watcher["state"]);
    let said = match state.as_str() {
        "ok" => text(&watcher["proof"]),
        "failing" => text(&watcher["failures"][0]["summary"]),
        "blind" => text(&watcher["blind"]["why"]),
        _ => text(&watcher["waits"]),
    };
    vec![text(&watcher["name"]), text(&watcher["target"]), state, text(&watcher["since"]), said]
}

fn of_latency(name: &str, latency: &Latency) -> Vec<String> {
    let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3} s"));
    vec![
        name.to_owned(),
        format!("{} s", latency.limit_s),
        latency.met.to_string(),
        latency.missed.to_string(),
        latency.unmeasured.to_string(),
        seconds(latency.median_s),
        seconds(latency.p90_s),
        seconds(latency.max_s),
    ]
}

/// One bar a failure, from its detection to its end.
fn timeline(page: &mut String, report: &Report) {
    let all = report.period.until.duration_since(report.period.since).as_secs_f64();
    let bars: Vec<&Case> = report.failures.iter().filter(|case| !case.is_event).take(BARS_MAX).collect();
    if bars.is_empty() || all <= 0.0 {
        return;
    }
    let at = |time: Timestamp| (time.duration_since(report.period.since).as_secs_f64() / all).clamp(0.0, 1.0) * 600.0;
    let height = bars.len() * 16 + 4;
    put(page, &format!("<h2>Timeline</h2>\n<svg viewBox=\"0 0 900 {height}\" width=\"100%\" role=\"img\">"));
    for (row, case) in bars.into_iter().enumerate() {
        let (from, to) = (case.detected.unwrap_or(report.period.since), case.recovered.unwrap_or(report.period.until));
        let (x, y) = (at(from), row * 16 + 2);
        let (width, name) = ((at(to) - x).max(2.0), escaped(&format!("{} {}", case.watcher, case.failure)));
        let color = if case.recovered.is_some() { "#c60" } else { "#a00" };
        let bar =
            format!("<rect x=\"{:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" fill=\"{color}\"/>", x + 290.0);
        put(page, &format!("<text x=\"0\" y=\"{}\" font-size=\"11\">{name}</text>{bar}", y + 10));
    }
    put(page, "</svg>\n");
}

fn of_case(page: &mut String, case: &Case) {
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), shown);
    let seconds = |time: Option<f64>| time.map_or_else(|| "not measured".to_owned(), |time| format!("{time:.3} s"));
    let told =
        case.told.iter().map(|told| format!("{} {} at {}: {}", told.channel, told.status, time(told.at), told.answer));
    let told: Vec<String> = told.collect();
    let end = match (case.is_event, case.recovered) {
        (true, _) => "it has no end".to_owned(),
        (_, Some(recovered)) => format!("{}; lasted {}", shown(recovered), seconds(case.lasted_s)),
        (_, None) => "not over".to_owned(),
    };
    let allowed = case.allowed_s.map_or_else(String::new, |allowed| format!(", and {allowed:.3} s that were allowed"));
    let rows = [
        ("watcher", format!("{} ({})", case.watcher, case.target)),
        ("severity", case.severity.clone()),
        ("first bad", time(case.first_bad)),
        ("detected", format!("{}; after {}{allowed}", time(case.detected), seconds(case.detect_s))),
        ("sent", told.join("\n")),
        ("first accepted after", seconds(case.notify_s)),
        ("acknowledged", case.acknowledged.join("\n")),
        ("recovered", end),
        ("proof of the recovery", case.proof.clone()),
        ("loss", case.loss.clone().unwrap_or_else(|| "none known".to_owned())),
        ("cause", case.cause.clone()),
        ("remediation", case.remediation.clone()),
        ("actions", case.actions.join("\n")),
        ("explained by", case.parent.clone().unwrap_or_default()),
        ("evidence", case.evidence.join("\n")),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    let title = format!("{}: {}", case.failure, case.title);
    table_under(page, ("h3", &title), &["field", "value"], rows);
}

fn texts(row: Vec<&str>) -> Vec<String> {
    row.into_iter().map(str::to_owned).collect()
}

fn table(page: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    table_under(page, ("h2", title), head, rows);
}

fn table_under(
    page: &mut String,
    (level, title): (&str, &str),
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) {
    put(page, &format!("<{level}>{}</{level}>\n<table><thead><tr>", escaped(title)));
    head.iter().for_each(|cell| put(page, &format!("<th>{}</th>", escaped(cell))));
    put(page, "</tr></thead><tbody>\n");
    let mut is_empty = true;
    for row in rows {
        is_empty = false;
        put(page, "<tr>");
        row.iter().for_each(|cell| put(page, &format!("<td>{}</td>", escaped(cell).replace('\n', "<br>"))));
        put(page, "</tr>\n");
    }
    if is_empty {
        put(page, &format!("<tr><td colspan=\"{}\">none</td></tr>\n", head.len()));
    }
    put(page, "</tbody></table>\n");
}

fn shown(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Text that is only text: no markup, no control characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in lines(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn put(page: &mut String, text: &str) {
    page.write_str(text).expect("a String takes everything");
}
