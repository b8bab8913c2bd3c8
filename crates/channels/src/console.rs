//! The console kind: a boxed panel on a terminal, a plain line elsewhere, on standard error. Says what is shown; whether
//! there is a terminal, how wide it is and whether it takes colours is the transport's business.

use crate::dialect::{self, Dialect};
use crate::{Channel, Host, Kind, Limits, Panel, Reply, Request, Screen, Step, Transport, reply, shown};
use anstyle::{AnsiColor, Color, Style};
use balefire_model::settings::Reader;
use balefire_model::{Delivery, Incident, Severity};
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind =
    Kind { key: "console", about: "a panel or a line on standard error", sample: &[], resolve };

/// A screenful: more than this scrolls away what matters.
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
const FIELD_BYTES_MAX: usize = 1024;
const LABELS_MAX: usize = 32;

#[derive(Debug)]
struct Console {
    dialect: Dialect,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let dialect = reader
        .one_of("dialect", "Which texts are shown: our own, or those of the BT-08 engine.", dialect::WORDS)
        .default_shown(Dialect::Native, "native");
    Box::new(Console { dialect })
}

impl Channel for Console {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: 1,
            message_bytes_max: 64 * 1024,
            attempt_timeout: Duration::from_secs(5),
            follows_up: false,
            has_template: false,
        }
    }

    fn transport(&self) -> Transport {
        Transport::Console
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Screen(screen(self.dialect, delivery.incident))),
            Some(answer) => Step::Done(reply::written(answer)),
        }
    }
}

fn screen(dialect: Dialect, incident: &Incident) -> Screen {
    let plain = match dialect {
        Dialect::Native | Dialect::Plan => plain_line(incident),
        Dialect::Shipped => dialect::shipped_console_line(incident, FIELD_BYTES_MAX),
    };
    let lines = match dialect {
        Dialect::Native => native_lines(incident),
        Dialect::Plan => plan_lines(incident),
        Dialect::Shipped => vec![plain.clone()],
    };
    let title = "SECURITY ALERT".to_owned();
    Screen { panel: Panel { title, lines, style: style(incident.severity) }, plain }
}

fn style(severity: Severity) -> Style {
    let coloured = |color: AnsiColor| Style::new().fg_color(Some(Color::Ansi(color)));
    match severity {
        Severity::Critical => coloured(AnsiColor::Red).bold(),
        Severity::High => coloured(AnsiColor::Red),
        Severity::Medium => coloured(AnsiColor::Yellow),
        Severity::Low => coloured(AnsiColor::Blue),
        Severity::Info => coloured(AnsiColor::White),
    }
}

fn field(text: &str) -> String {
    shown::line(text, FIELD_BYTES_MAX).into_owned()
}

fn plan_lines(incident: &Incident) -> Vec<String> {
    let mut shown = vec![
        field(&incident.title),
        format!("Severity: {} | Rule: {}", incident.severity, field(&incident.detected_by)),
        format!("NIST: {}", field(&incident.nist_controls.join(", "))),
    ];
    shown.extend(description_lines(&incident.description));
    shown
}

fn native_lines(incident: &Incident) -> Vec<String> {
    let mut shown = vec![
        field(&incident.title),
        format!("Severity: {} | Rule: {}", incident.severity, field(&incident.detected_by)),
    ];
    if !incident.nist_controls.is_empty() {
        shown.push(format!("NIST: {}", field(&incident.nist_controls.join(", "))));
    }
    if incident.cui_involved {
        shown.push("CUI: involved".to_owned());
    }
    shown.extend(description_lines(&incident.description));
    for (name, value) in incident.labels.iter().take(LABELS_MAX) {
        shown.push(format!("{}: {}", field(name), field(value)));
    }
    if incident.labels.len() > LABELS_MAX {
        shown.push(format!("… [cut: {} more labels]", incident.labels.len() - LABELS_MAX));
    }
    shown.push(format!("id: {}", incident.id));
    shown
}

/// The description line by line, so that no paragraph holds a line break or a tab.
fn description_lines(description: &str) -> Vec<String> {
    let shown = shown::paragraphs(description, DESCRIPTION_BYTES_MAX);
    if shown.is_empty() {
        return Vec::new();
    }
    shown.split('\n').map(|line| line.replace('\t', "    ")).collect()
}

fn plain_line(incident: &Incident) -> String {
    let mut line = format!(
        "SECURITY ALERT [{}] {} | rule={}",
        incident.severity.as_upper_str(),
        field(&incident.title),
        field(&incident.detected_by)
    );
    if !incident.nist_controls.is_empty() {
        line.push_str(" nist=");
        line.push_str(&field(&incident.nist_controls.join(",")));
    }
    if incident.cui_involved {
        line.push_str(" cui");
    }
    line.push_str(" id=");
    line.push_str(&incident.id.to_string());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::incident;

    #[test]
    fn the_native_panel_tells_everything_that_a_first_look_needs() {
        let shown = screen(Dialect::Native, &incident());
        assert_eq!(
            shown.panel.lines,
            [
                "Audit log stopped on web-1",
                "Severity: critical | Rule: audit_log_gap",
                "NIST: 3.3.4, 3.3.1",
                "CUI: involved",
                "No audit event for 600 s.",
                "Check auditd.",
                "host: web-1",
                "id: 01935f1c-7c00-7000-8000-000000000001",
            ]
        );
        assert_eq!(shown.panel.title, "SECURITY ALERT");
        assert_eq!(shown.panel.style, Style::new().fg_color(Some(AnsiColor::Red.into())).bold());
        assert_eq!(
            shown.plain,
            "SECURITY ALERT [CRITICAL] Audit log stopped on web-1 | rule=audit_log_gap nist=3.3.4,3.3.1 cui \
             id=01935f1c-7c00-7000-8000-000000000001"
        );
    }

    #[test]
    fn the_plan_panel_has_the_four_paragraphs_of_the_seed() {
        assert_eq!(
            screen(Dialect::Plan, &incident()).panel.lines,
            [
                "Audit log stopped on web-1",
                "Severity: critical | Rule: audit_log_gap",
                "NIST: 3.3.4, 3.3.1",
                "No audit event for 600 s.",
                "Check auditd.",
            ]
        );
    }

    #[test]
    fn the_shipped_line_is_that_of_the_shipped_engine() {
        assert_eq!(
            screen(Dialect::Shipped, &incident()).plain,
            "[ALERT] [CUI] [CRITICAL] Audit log stopped on web-1 (rule=audit_log_gap)"
        );
    }
}
