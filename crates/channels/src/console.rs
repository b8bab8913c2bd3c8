//! The console kind: a boxed panel on a terminal, a plain line elsewhere, on standard error or standard output. Says what is shown; whether
//! there is a terminal, how wide it is and whether it takes colours is the transport's business.

use crate::dialect::{self, Dialect};
use crate::mark;
use crate::template::{Form, Template, made};
use crate::{Channel, ConsoleStream, Host, Kind, Limits, Panel, Reply, Request, Screen, Step, Transport, reply, shown};
use anstyle::{AnsiColor, Color, Style};
use balefire_model::settings::Reader;
use balefire_model::{Delivery, Incident, Reason, Severity};
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "console",
    about: "a panel or a line on standard error, or lines on standard output",
    sample: &[],
    resolve,
};

/// A screenful: more than this scrolls away what matters.
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
const FIELD_BYTES_MAX: usize = 1024;
const LABELS_MAX: usize = 32;
const TEMPLATE_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug)]
struct Console {
    stream: ConsoleStream,
    dialect: Dialect,
    template: Option<Template>,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let streams = [("stderr", ConsoleStream::Stderr), ("stdout", ConsoleStream::Stdout)];
    let doc =
        "Where it is shown: `stderr`, with panels on a terminal, or `stdout`, a line each, without panels and colours.";
    let stream = reader.one_of("to", doc, &streams).default_shown(ConsoleStream::Stderr, "stderr");
    let dialect = reader
        .one_of("dialect", "Which texts are shown: our own, or those of the BT-08 engine.", dialect::WORDS)
        .default_shown(Dialect::Native, "native");
    let doc = "What is shown as a template in Jinja syntax, one or several lines, instead of a dialect's; docs/templates.md has \
               the names that it knows. The dialect's text is shown where it fails.";
    let template = Template::read(reader, "template", doc, Form::Lines, TEMPLATE_BYTES_MAX);
    Box::new(Console { stream, dialect, template })
}

impl Channel for Console {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: 1,
            message_bytes_max: 64 * 1024,
            attempt_timeout: Duration::from_secs(5),
            follows_up: false,
            has_template: self.template.is_some(),
        }
    }

    fn transport(&self) -> Transport {
        Transport::Console(self.stream)
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Screen(self.screen(delivery))),
            Some(answer) => Step::Done(reply::written(answer)),
        }
    }
}

impl Console {
    fn screen(&self, delivery: &Delivery<'_>) -> Screen {
        let Some(template) = &self.template else { return built_in(self.dialect, delivery, None) };
        match made(delivery, || template.render_marked(delivery, TEMPLATE_BYTES_MAX)) {
            Ok(text) => {
                let rows = text.lines().map(|row| row.replace('\t', "    "));
                let lines: Vec<String> = rows.filter(|row| !row.trim().is_empty()).collect();
                panel(delivery, lines.join(" | "), lines)
            }
            Err(note) => built_in(self.dialect, delivery, Some(&note)),
        }
    }
}

fn panel(delivery: &Delivery<'_>, plain: String, lines: Vec<String>) -> Screen {
    let title = "SECURITY ALERT".to_owned();
    Screen { panel: Panel { title, lines, style: style(delivery) }, plain }
}

fn built_in(dialect: Dialect, delivery: &Delivery<'_>, note: Option<&str>) -> Screen {
    let incident = delivery.incident;
    let mark = mark::mark(delivery);
    let line = match dialect {
        Dialect::Native | Dialect::Plan => plain_line(incident),
        Dialect::Shipped => dialect::shipped_console_line(incident, FIELD_BYTES_MAX),
    };
    let plain = format!("{mark}{line}{}", note.map(|note| format!(" | note: {note}")).unwrap_or_default());
    let mut lines = match dialect {
        Dialect::Native => native_lines(incident),
        Dialect::Plan => plan_lines(incident),
        Dialect::Shipped => return panel(delivery, plain.clone(), vec![plain]),
    };
    lines[0].insert_str(0, &(mark + mark::scan(incident)));
    let sentences = mark::sentences(delivery, note).into_iter().chain(mark::scan_sentence(incident));
    lines.splice(1..1, sentences.collect::<Vec<_>>());
    panel(delivery, plain, lines)
}

fn style(delivery: &Delivery<'_>) -> Style {
    let coloured = |color: AnsiColor| Style::new().fg_color(Some(Color::Ansi(color)));
    if delivery.reason == Reason::Resolved {
        return coloured(AnsiColor::Green);
    }
    match delivery.incident.severity {
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
    if incident.internal_scan.is_some() {
        line.push_str(" internal_scan");
    }
    line.push_str(" id=");
    line.push_str(&incident.id.to_string());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, incident};

    fn screen(dialect: Dialect, incident: &Incident) -> Screen {
        built_in(dialect, &fixture::delivery(incident), None)
    }

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
    fn a_scan_of_our_own_is_shown_as_one() {
        let mut scanned = incident();
        scanned.internal_scan = Some("time interval nights".into());
        for dialect in [Dialect::Native, Dialect::Plan] {
            let shown = screen(dialect, &scanned);
            assert_eq!(shown.panel.lines[0], "[INTERNAL SCAN] Audit log stopped on web-1");
            assert!(shown.panel.lines[1].contains("(time interval nights)"), "{:?}", shown.panel.lines);
            assert!(shown.plain.contains(" internal_scan id="), "{}", shown.plain);
        }
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

    #[test]
    fn what_is_over_is_green_and_says_so_and_a_stand_in_names_the_other_channel() {
        let incident = incident();
        let over = Delivery { reason: Reason::Resolved, ..fixture::delivery(&incident) };
        let shown = built_in(Dialect::Native, &over, None);
        assert_eq!(shown.panel.lines[..2], ["[RESOLVED] Audit log stopped on web-1", "This incident is over."]);
        assert_eq!(shown.panel.style, Style::new().fg_color(Some(AnsiColor::Green.into())));
        assert!(shown.plain.starts_with("[RESOLVED] SECURITY ALERT [CRITICAL] Audit log"), "{}", shown.plain);
        let reason = Reason::Fallback;
        let stand_in = Delivery { reason, stands_in_for: Some("soc-mail"), ..fixture::delivery(&incident) };
        assert_eq!(
            built_in(Dialect::Shipped, &stand_in, Some("n")).plain,
            "[FOR soc-mail] [ALERT] [CUI] [CRITICAL] Audit log stopped on web-1 (rule=audit_log_gap) | note: n"
        );
        let lines = built_in(Dialect::Plan, &stand_in, Some("n")).panel.lines;
        assert_eq!(lines[1..3], ["This message stands in for channel soc-mail, which is failing.", "Note: n"]);
    }
}
