//! The header of a syslog message, in the old form and the new. The time is that of the incident's arrival, not that of
//! the attempt: a repeat is the same message.

use crate::body::event_type;
use crate::shown::line;
use balefire_model::{Delivery, Severity};
use jiff::tz::TimeZone;

/// Marks UTF-8 text in RFC 5424 (section 6.4).
pub(super) const BOM: &[u8] = "\u{feff}".as_bytes();

/// RFC 5424, section 6.2.1, with the names of syslog(3).
pub(super) const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// As long as Linux lets a host's name be.
const HOST_BYTES_MAX: usize = 64;
/// RFC 5424, section 6.2.5.
const IDENT_BYTES_MAX: usize = 48;
const FINGERPRINT_BYTES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Rfc3164,
    Rfc5424,
}

/// What all messages of a channel have in common.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) facility: u8,
    pub(super) ident: String,
    pub(super) pid: u32,
    /// Left out for the local daemon, which knows it, as syslog(3) does.
    pub(super) host: Option<String>,
    /// For RFC 3164, whose times have no zone: receivers read them as local.
    pub(super) zone: TimeZone,
}

/// Checks an ident.
pub(super) fn ident(text: &str) -> Option<String> {
    let fits = (1..=IDENT_BYTES_MAX).contains(&text.len());
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"[]:".contains(&byte));
    (fits && visible).then(|| text.to_owned())
}

/// The machine's name as a header can carry it; `-` where there is none (RFC 5424's NILVALUE).
pub(super) fn host(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let name: String = name.chars().take(HOST_BYTES_MAX).map(safe).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

impl Header {
    /// Everything before the text.
    pub(super) fn write(&self, delivery: &Delivery<'_>) -> String {
        let priority = u16::from(self.facility) * 8 + level(delivery.incident.severity);
        match self.format {
            Format::Rfc3164 => self.write_3164(priority, delivery),
            Format::Rfc5424 => self.write_5424(priority, delivery),
        }
    }

    /// `<PRI>Mmm dd hh:mm:ss [host ]ident[pid]: `
    fn write_3164(&self, priority: u16, delivery: &Delivery<'_>) -> String {
        let time = delivery.incident.received_at.to_zoned(self.zone.clone()).strftime("%b %e %H:%M:%S");
        let host = self.host.as_deref().map(|host| format!("{host} ")).unwrap_or_default();
        format!("<{priority}>{time} {host}{}[{}]: ", self.ident, self.pid)
    }

    /// `<PRI>1 time host ident pid type [balefire@32473 ids] `
    fn write_5424(&self, priority: u16, delivery: &Delivery<'_>) -> String {
        format!(
            "<{priority}>1 {:.6} {} {} {} {} [balefire@32473 id=\"{}\" delivery=\"{}\" fingerprint=\"{}\"] ",
            delivery.incident.received_at,
            self.host.as_deref().unwrap_or("-"),
            self.ident,
            self.pid,
            event_type(delivery.reason),
            delivery.incident.id,
            delivery.id,
            param_value(&delivery.incident.fingerprint.0),
        )
    }
}

/// LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_NOTICE and LOG_INFO, as BT-08 maps them.
fn level(severity: Severity) -> u16 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

/// RFC 5424, section 6.3.3: `"`, `\` and `]` are escaped.
fn param_value(text: &str) -> String {
    let mut value = String::with_capacity(FINGERPRINT_BYTES_MAX);
    for c in line(text, FINGERPRINT_BYTES_MAX).chars() {
        if matches!(c, '"' | '\\' | ']') {
            value.push('\\');
        }
        value.push(c);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn header(format: Format, host: Option<&str>) -> Header {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        Header { format, facility: 22, ident: "eqmon-blueteam".into(), pid: 77, host: host.map(str::to_owned), zone }
    }

    #[test]
    fn the_local_form_is_that_of_the_c_library() {
        let incident = fixture::incident();
        let delivery = fixture::delivery(&incident);
        assert_eq!(header(Format::Rfc3164, None).write(&delivery), "<178>Nov  2 05:04:05 eqmon-blueteam[77]: ");
        assert_eq!(
            header(Format::Rfc3164, Some("web-1")).write(&delivery),
            "<178>Nov  2 05:04:05 web-1 eqmon-blueteam[77]: "
        );
    }

    #[test]
    fn severities_have_the_priorities_of_bt_08_under_local6() {
        let priorities = Severity::ALL.map(|severity| {
            let mut incident = fixture::incident();
            incident.severity = severity;
            let line = header(Format::Rfc3164, None).write(&fixture::delivery(&incident));
            (severity.as_str(), line[..5].to_owned())
        });
        let expected =
            [("critical", "<178>"), ("high", "<179>"), ("medium", "<180>"), ("low", "<181>"), ("info", "<182>")];
        let mut found: Vec<_> = priorities.iter().map(|(severity, priority)| (*severity, priority.as_str())).collect();
        found.sort_by_key(|(_, priority)| *priority);
        assert_eq!(found, expected);
    }

    #[test]
    fn the_new_form_carries_our_ids_and_a_hostile_fingerprint_stays_in_its_quotes() {
        let mut incident = fixture::incident();
        incident.fingerprint.0 = "a\"b]c\\d\n".into();
        let delivery = fixture::delivery(&incident);
        assert_eq!(
            header(Format::Rfc5424, Some("web-1")).write(&delivery),
            format!(
                "<178>1 2026-11-02T03:04:05.678901Z web-1 eqmon-blueteam 77 incident.opened [balefire@32473 \
                 id=\"{}\" delivery=\"{}\" fingerprint=\"a\\\"b\\]c\\\\d\\\\n\"] ",
                incident.id, delivery.id
            )
        );
    }

    #[test]
    fn names_cannot_break_the_header() {
        assert_eq!(host("we b\n1"), "we-b-1");
        assert_eq!(host(""), "-");
        assert_eq!(ident("eqmon-blueteam"), Some("eqmon-blueteam".to_owned()));
        for wrong in ["", "a b", "a[1]", "a:", "ä", "a\n", &"x".repeat(49)] {
            assert_eq!(ident(wrong), None, "{wrong:?}");
        }
    }
}
