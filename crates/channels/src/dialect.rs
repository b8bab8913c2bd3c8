//! The texts of the BT-08 engine in both of its dialects, byte for byte where the incident is harmless: scripts grep for
//! them. Where it is hostile, they differ in one thing: it cannot forge a line, a field or a header.

use crate::mark;
use crate::shown::{bounded, line};
use balefire_model::Incident;
use balefire_model::text::{lines, one_line};
use std::borrow::Cow;

/// Whose texts a channel uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Our own.
    Native,
    /// Those of the BT-08 plan.
    Plan,
    /// Those of the engine that its authors released.
    Shipped,
}

/// The words of the setting `dialect`.
pub(crate) const WORDS: &[(&str, Dialect)] =
    &[("native", Dialect::Native), ("plan", Dialect::Plan), ("shipped", Dialect::Shipped)];

/// A rule's name or a list of controls is short; what is longer is an attack on the mail.
const NAME_BYTES_MAX: usize = 1024;
/// As much of a description as a person reads in a mail; the archive has all of it.
pub(crate) const DESCRIPTION_BYTES_MAX: usize = 32 * 1024;
/// As much of a title as a mail's reader shows.
pub(crate) const TITLE_BYTES_MAX: usize = 512;

/// `SECURITY_INCIDENT [CRITICAL] title | detected_by=rule nist=3.3.4,3.3.1 cui=True`, the plan's syslog line, in at most
/// `limit` bytes: the title gives way, what follows it does not. Of scans of our own the plan knows nothing; `internal_scan=True`
/// stands behind its line.
pub(crate) fn plan_syslog_line(incident: &Incident, limit: usize) -> String {
    let head = format!("SECURITY_INCIDENT [{}] ", incident.severity.as_upper_str());
    let tail = format!(
        " | detected_by={} nist={} cui={}{}",
        word(&incident.detected_by, limit / 4),
        word(&incident.nist_controls.join(","), limit / 4),
        python(incident.cui_involved),
        if incident.internal_scan.is_some() { " internal_scan=True" } else { "" },
    );
    let title = line(&incident.title, limit.saturating_sub(head.len() + tail.len()));
    format!("{head}{title}{tail}")
}

/// `SECURITY_INCIDENT[ [INTERNAL_SCAN]][ [CUI]] severity=s rule=r title="t" nist=a,b`, the shipped syslog line, in at
/// most `limit` bytes. Quotes and backslashes in the title are escaped, which the shipped engine forgot.
pub(crate) fn shipped_syslog_line(incident: &Incident, limit: usize) -> String {
    let head = format!(
        "SECURITY_INCIDENT{}{} severity={} rule={} title=\"",
        if incident.internal_scan.is_some() { " [INTERNAL_SCAN]" } else { "" },
        if incident.cui_involved { " [CUI]" } else { "" },
        incident.severity,
        word(&incident.detected_by, limit / 4),
    );
    let tail = format!("\" nist={}", word(&incident.nist_controls.join(","), limit / 4));
    let title = quoted(&incident.title, limit.saturating_sub(head.len() + tail.len()));
    format!("{head}{title}{tail}")
}

/// `[ALERT][ [CUI]] [HIGH] title (rule=x)`, the shipped console line; each field takes at most `field_bytes_max`.
pub(crate) fn shipped_console_line(incident: &Incident, field_bytes_max: usize) -> String {
    format!(
        "[ALERT]{} [{}] {} (rule={})",
        if incident.cui_involved { " [CUI]" } else { "" },
        incident.severity.as_upper_str(),
        line(&incident.title, field_bytes_max),
        line(&incident.detected_by, field_bytes_max),
    )
}

/// The subject of a mail: `[HIGH] title`, with `[INTERNAL SCAN] ` and, in the shipped dialect, `[CUI INCIDENT] ` before it
/// where they hold. Ours is the plan's.
pub(crate) fn mail_subject(dialect: Dialect, incident: &Incident) -> String {
    let shipped = dialect == Dialect::Shipped;
    format!(
        "{}{}[{}] {}",
        mark::scan(incident),
        if shipped && incident.cui_involved { "[CUI INCIDENT] " } else { "" },
        incident.severity.as_upper_str(),
        line(&incident.title, TITLE_BYTES_MAX)
    )
}

/// The body of a mail in one of the two dialects of BT-08, with line feeds, below sentences of our own where there are any.
pub(crate) fn mail_body(dialect: Dialect, incident: &Incident, sentences: &[String]) -> String {
    let shipped = dialect == Dialect::Shipped;
    let notice = mark::scan_sentence(incident).map(|sentence| format!("NOTICE: {sentence}\n\n")).unwrap_or_default();
    let ours = if sentences.is_empty() { String::new() } else { sentences.join("\n") + "\n\n" };
    format!(
        "{ours}{notice}Security Incident Detected\n{}\nTitle: {}\nSeverity: {}\n{}: {}\nNIST Controls: {}\n\
         CUI Involved: {}\n\nDescription:\n{}\n",
        "=".repeat(40),
        line(&incident.title, TITLE_BYTES_MAX),
        incident.severity,
        if shipped { "Rule" } else { "Detected by" },
        line(&incident.detected_by, NAME_BYTES_MAX),
        line(&incident.nist_controls.join(", "), NAME_BYTES_MAX),
        python(incident.cui_involved),
        shown_description(incident),
    )
}

fn python(truth: bool) -> &'static str {
    if truth { "True" } else { "False" }
}

/// The description with its line breaks; what stands at its end is kept as the sender wrote it.
fn shown_description(incident: &Incident) -> Cow<'_, str> {
    bounded(&incident.description, DESCRIPTION_BYTES_MAX, lines)
}

/// One word of at most `limit` bytes: white space would begin another field of the line.
fn word(text: &str, limit: usize) -> String {
    line(text, limit).replace(char::is_whitespace, "_")
}

/// A text that stands between quotes, in at most `limit` bytes.
fn quoted(text: &str, limit: usize) -> Cow<'_, str> {
    bounded(text, limit, |text| match one_line(text) {
        safe if safe.contains(['\\', '"']) => safe.replace('\\', "\\\\").replace('"', "\\\"").into(),
        safe => safe,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::incident;
    use proptest::prelude::*;

    #[test]
    fn the_syslog_lines_are_those_of_bt_08() {
        assert_eq!(
            plan_syslog_line(&incident(), 2048),
            "SECURITY_INCIDENT [CRITICAL] Audit log stopped on web-1 | detected_by=audit_log_gap nist=3.3.4,3.3.1 cui=True"
        );
        assert_eq!(
            shipped_syslog_line(&incident(), 2048),
            "SECURITY_INCIDENT [CUI] severity=critical rule=audit_log_gap title=\"Audit log stopped on web-1\" nist=3.3.4,3.3.1"
        );
        let mut bare = incident();
        bare.cui_involved = false;
        bare.nist_controls.clear();
        bare.labels.insert("internal_scan".into(), "true".into());
        assert!(!shipped_syslog_line(&bare, 2048).contains("INTERNAL"), "a label is only a sender's word");
        bare.internal_scan = Some("marker /run/m".into());
        assert_eq!(
            plan_syslog_line(&bare, 2048),
            "SECURITY_INCIDENT [CRITICAL] Audit log stopped on web-1 | detected_by=audit_log_gap nist= cui=False internal_scan=True"
        );
        assert_eq!(
            shipped_syslog_line(&bare, 2048),
            "SECURITY_INCIDENT [INTERNAL_SCAN] severity=critical rule=audit_log_gap title=\"Audit log stopped on web-1\" nist="
        );
    }

    #[test]
    fn the_mails_are_those_of_bt_08() {
        assert_eq!(mail_subject(Dialect::Plan, &incident()), "[CRITICAL] Audit log stopped on web-1");
        assert_eq!(mail_subject(Dialect::Shipped, &incident()), "[CUI INCIDENT] [CRITICAL] Audit log stopped on web-1");
        let plan = "Security Incident Detected\n========================================\n\
            Title: Audit log stopped on web-1\nSeverity: critical\nDetected by: audit_log_gap\n\
            NIST Controls: 3.3.4, 3.3.1\nCUI Involved: True\n\nDescription:\nNo audit event for 600 s.\nCheck auditd.\n";
        assert_eq!(mail_body(Dialect::Plan, &incident(), &[]), plan);
        assert_eq!(mail_body(Dialect::Shipped, &incident(), &[]), plan.replace("Detected by:", "Rule:"));
    }

    #[test]
    fn a_scan_of_our_own_is_marked_in_both_dialects() {
        let mut scanned = incident();
        scanned.internal_scan = Some("time interval nights".into());
        let subject = |dialect| mail_subject(dialect, &scanned);
        assert_eq!(subject(Dialect::Plan), "[INTERNAL SCAN] [CRITICAL] Audit log stopped on web-1");
        assert_eq!(subject(Dialect::Shipped), "[INTERNAL SCAN] [CUI INCIDENT] [CRITICAL] Audit log stopped on web-1");
        for dialect in [Dialect::Plan, Dialect::Shipped] {
            let notice = "NOTICE: An internal security scan was under way when this incident came in (time interval \
                          nights).\n\n";
            assert_eq!(mail_body(dialect, &scanned, &[]), format!("{notice}{}", mail_body(dialect, &incident(), &[])));
        }
    }

    #[test]
    fn a_title_cannot_leave_its_quotes_nor_a_rule_its_field() {
        let mut hostile = incident();
        hostile.title = "x\" nist=9.9.9 \\".into();
        hostile.detected_by = "r severity=info".into();
        assert_eq!(
            shipped_syslog_line(&hostile, 2048),
            "SECURITY_INCIDENT [CUI] severity=critical rule=r_severity=info title=\"x\\\" nist=9.9.9 \\\\\" nist=3.3.4,3.3.1"
        );
    }

    proptest! {
        #[test]
        fn lines_keep_their_limit_and_their_tail(title: String, rule: String, limit in 500usize..2000) {
            let mut hostile = incident();
            hostile.title = title.repeat(50);
            hostile.detected_by = rule.repeat(50);
            for line in [plan_syslog_line(&hostile, limit), shipped_syslog_line(&hostile, limit)] {
                prop_assert!(line.len() <= limit);
                prop_assert!(!line.chars().any(balefire_model::text::is_unsafe));
                prop_assert!(line.contains("nist=3.3.4,3.3.1"));
            }
        }
    }
}
