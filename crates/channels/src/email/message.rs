//! Writes the message (RFC 5322, MIME). Every header is a function of the delivery, so that a repeat has the same bytes
//! and mail programs fold it into the first.

use super::address::Mailbox;
use super::content::Content;
use crate::dialect;
use crate::shown::{line, paragraphs};
use balefire_model::id::hex;
use balefire_model::{Delivery, DeliveryId, Incident, Reason, Severity};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};
use sha2::{Digest, Sha256};

/// As much of a name, a label or a list of controls as a mail shows.
pub(super) const FIELD_BYTES_MAX: usize = 512;
/// Labels that a mail shows.
pub(super) const LABELS_MAX: usize = 40;
/// Bytes in an encoded word's text: its 75 characters (RFC 2047, section 2) less the frame, as base64.
const WORD_BYTES_MAX: usize = 45;

/// What a message needs beside the delivery.
pub(super) struct Message<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) to: &'a [Mailbox],
    pub(super) cc: &'a [Mailbox],
}

impl Message<'_> {
    /// The bytes, with CR LF.
    pub(super) fn write(&self, delivery: &Delivery<'_>, content: Content) -> Vec<u8> {
        let incident = delivery.incident;
        let domain = self.from.domain();
        let (parent, references) = thread(delivery, domain);
        let mut message = MessageBuilder::new().from(address(self.from)).to(addresses(self.to));
        if !self.cc.is_empty() {
            message = message.cc(addresses(self.cc));
        }
        message = message
            .header("Subject", header_text(&content.subject))
            .date(incident.received_at.as_second())
            .message_id(format!("{}@{domain}", delivery.id))
            .in_reply_to(MessageId::new(parent))
            .references(MessageId::new_list(references.into_iter()))
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .header("X-Auto-Response-Suppress", Raw::new("All"));
        if incident.severity >= Severity::High && delivery.reason != Reason::Resolved {
            message = message.header("Importance", Raw::new("high"));
        }
        message
            .header("X-Balefire-Incident", Raw::new(incident.id.to_string()))
            .header("X-Balefire-Delivery", Raw::new(delivery.id.to_string()))
            .header("X-Balefire-Severity", Raw::new(incident.severity.as_str()))
            .header("X-Balefire-Fingerprint", header_text(&field(&incident.fingerprint.0)))
            .body(parts(delivery, content))
            .write_to_vec()
            .expect("a Vec takes everything")
    }
}

/// What the mail answers, and its ancestors (RFC 5322, section 3.6.4). Mails about the same thing share an ancestor that
/// nobody sent; what follows on an incident answers the mail that told of it on this channel.
fn thread(delivery: &Delivery<'_>, domain: &str) -> (String, Vec<String>) {
    let incident = delivery.incident;
    let thread = format!("thread.{}@{domain}", hex(&Sha256::digest(incident.fingerprint.0.as_bytes())[..16]));
    match delivery.reason {
        Reason::Acked | Reason::Resolved | Reason::Escalated | Reason::Repeated => {
            let opened = DeliveryId::derive(incident.id, Reason::Opened.as_str(), delivery.channel);
            let opened = format!("{opened}@{domain}");
            (opened.clone(), vec![thread, opened])
        }
        Reason::Opened | Reason::Fallback | Reason::Summary | Reason::Run | Reason::Test => {
            (thread.clone(), vec![thread])
        }
    }
}

fn parts(delivery: &Delivery<'_>, content: Content) -> MimePart<'static> {
    let text = MimePart::new("text/plain", content.text);
    if let Some(records) = content.attachment {
        let boundary = format!("=_{}", delivery.id.0.simple());
        let kind = ContentType::new("multipart/mixed").attribute("boundary", boundary);
        let records = MimePart::new("application/json", records).attachment("records.json");
        return MimePart::new(kind, BodyPart::Multipart(vec![text, records]));
    }
    let Some(page) = content.page else { return text };
    // `=_` cannot stand in quoted-printable or base64, and nobody knows a delivery's id before its incident is in.
    let boundary = format!("=_{}", delivery.id.0.simple());
    let kind = ContentType::new("multipart/alternative").attribute("boundary", boundary);
    MimePart::new(kind, BodyPart::Multipart(vec![text, MimePart::new("text/html", page)]))
}

fn address(mailbox: &Mailbox) -> Address<'_> {
    Address::new_address(mailbox.name.as_deref(), mailbox.address.as_str())
}

fn addresses(mailboxes: &[Mailbox]) -> Address<'_> {
    Address::new_list(mailboxes.iter().map(address).collect())
}

/// A header's text that reads as what it is, also where it looks like an encoded word (RFC 2047) itself.
fn header_text(text: &str) -> HeaderType<'static> {
    if !text.contains("=?") {
        return Text::new(text.to_owned()).into();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES_MAX));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    Raw::new(words.join(" ")).into()
}

/// One line of a mail.
pub(super) fn field(text: &str) -> String {
    line(text, FIELD_BYTES_MAX).into_owned()
}

/// What stands below the title in both parts: names and values.
pub(super) fn facts(incident: &Incident) -> Vec<(String, String)> {
    let mut facts = vec![
        ("Severity".to_owned(), severity(incident)),
        ("Detected by".to_owned(), field(&incident.detected_by)),
        ("Source".to_owned(), field(&incident.source)),
    ];
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if !incident.nist_controls.is_empty() {
        fact("NIST controls", field(&incident.nist_controls.join(", ")));
    }
    if incident.cui_involved {
        fact("CUI", "involved".to_owned());
    }
    if let Some(time) = incident.event_time {
        fact("Happened", format!("{time:.0}"));
    }
    fact("Received", format!("{:.0}", incident.received_at));
    if let Some(id) = &incident.incident_id {
        fact("Sender's id", field(id));
    }
    fact("Incident", incident.id.to_string());
    facts
}

fn severity(incident: &Incident) -> String {
    match &incident.severity_original {
        Some(original) if !original.eq_ignore_ascii_case(incident.severity.as_str()) => {
            format!("{} (sender wrote {})", incident.severity, field(original))
        }
        _ => incident.severity.to_string(),
    }
}

/// The labels that are shown, and how many are not.
pub(super) fn labels(incident: &Incident) -> (Vec<(String, String)>, usize) {
    let shown = incident.labels.iter().take(LABELS_MAX).map(|(name, value)| (field(name), field(value))).collect();
    (shown, incident.labels.len().saturating_sub(LABELS_MAX))
}

/// The description as both parts show it.
pub(super) fn description(incident: &Incident) -> String {
    paragraphs(&incident.description, dialect::DESCRIPTION_BYTES_MAX).into_owned()
}

/// Our own text part; the sentences stand below the title.
pub(super) fn native_text(incident: &Incident, sentences: &[String]) -> String {
    let mut text = format!("{}\n\n", line(&incident.title, dialect::TITLE_BYTES_MAX));
    let mut push = |row: String| {
        text.push_str(&row);
        text.push('\n');
    };
    if !sentences.is_empty() {
        push(format!("{}\n", sentences.join("\n")));
    }
    let description = description(incident);
    if !description.is_empty() {
        push(format!("{description}\n"));
    }
    for (name, value) in facts(incident) {
        push(format!("{:<14} {value}", format!("{name}:")));
    }
    let (shown, hidden) = labels(incident);
    if !shown.is_empty() {
        push("\nLabels:".to_owned());
    }
    for (name, value) in shown {
        push(format!("  {name}: {value}"));
    }
    if hidden > 0 {
        push(format!("  … [cut: {hidden} more labels]"));
    }
    for note in incident.notes.iter().take(LABELS_MAX) {
        push(format!("Note: {}", field(note)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::email::content::Texts;
    use crate::fixture;

    fn written(dialect: Dialect, incident: &Incident) -> String {
        written_as(dialect, &fixture::delivery(incident))
    }

    fn written_as(dialect: Dialect, delivery: &Delivery<'_>) -> String {
        let from = Mailbox::parse("Balefire <balefire@example.org>").expect("an address");
        let to = [Mailbox::parse("soc@example.org").expect("an address")];
        let message = Message { from: &from, to: &to, cc: &[] };
        let texts = Texts { dialect, subject: None, text: None, page: None };
        String::from_utf8(message.write(delivery, texts.content(delivery))).expect("mails are ASCII")
    }

    #[test]
    fn a_plan_mail_has_these_bytes() {
        let incident = fixture::incident();
        let id = fixture::delivery(&incident).id;
        let expected = "From: \"Balefire\" <balefire@example.org>\r\n\
            To: <soc@example.org>\r\n\
            Subject: [CRITICAL] Audit log stopped on web-1\r\n\
            Date: Mon, 2 Nov 2026 03:04:05 +0000\r\n\
            Message-ID: <ID@example.org>\r\n\
            In-Reply-To: <thread.THREAD@example.org>\r\n\
            References: <thread.THREAD@example.org>\r\n\
            Auto-Submitted: auto-generated\r\n\
            X-Auto-Response-Suppress: All\r\n\
            Importance: high\r\n\
            X-Balefire-Incident: 01935f1c-7c00-7000-8000-000000000001\r\n\
            X-Balefire-Delivery: ID\r\n\
            X-Balefire-Severity: critical\r\n\
            X-Balefire-Fingerprint: 83a654bc481b169321b893aa484ff0f4\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: text/plain; charset=\"utf-8\"\r\n\
            Content-Transfer-Encoding: 7bit\r\n\
            \r\n\
            Security Incident Detected\r\n\
            ========================================\r\n\
            Title: Audit log stopped on web-1\r\n\
            Severity: critical\r\n\
            Detected by: audit_log_gap\r\n\
            NIST Controls: 3.3.4, 3.3.1\r\n\
            CUI Involved: True\r\n\
            \r\n\
            Description:\r\n\
            No audit event for 600 s.\r\n\
            Check auditd.\r\n"
            .replace("ID", &id.to_string())
            .replace(&format!("Message-{id}"), "Message-ID")
            .replace("THREAD", &hex(&Sha256::digest(b"83a654bc481b169321b893aa484ff0f4")[..16]));
        assert_eq!(written(Dialect::Plan, &incident), expected);
    }

    #[test]
    fn the_native_text_reads_well() {
        assert_eq!(
            native_text(&fixture::incident(), &[]),
            "Audit log stopped on web-1\n\nNo audit event for 600 s.\nCheck auditd.\n\n\
             Severity:      critical\nDetected by:   audit_log_gap\nSource:        http\nNIST controls: 3.3.4, 3.3.1\n\
             CUI:           involved\nReceived:      2026-11-02T03:04:05Z\n\
             Incident:      01935f1c-7c00-7000-8000-000000000001\n\nLabels:\n  host: web-1\n"
        );
    }

    #[test]
    fn a_native_mail_has_both_parts_and_is_the_same_each_time() {
        let mail = written(Dialect::Native, &fixture::incident());
        assert!(mail.contains("Content-Type: multipart/alternative;\r\n boundary=\"=_"), "{mail}");
        assert!(mail.contains("Content-Type: text/plain") && mail.contains("Content-Type: text/html"), "{mail}");
        assert_eq!(mail, written(Dialect::Native, &fixture::incident()));
    }

    #[test]
    fn a_title_is_never_read_as_an_encoded_word() {
        let mut incident = fixture::incident();
        incident.title = "=?utf-8?B?DQpCY2M6IHhAeQ==?=".into();
        let mail = written(Dialect::Plan, &incident);
        let subject = mail.lines().find(|line| line.starts_with("Subject:")).expect("a subject");
        assert!(!subject.contains("DQpCY2M6IHhAeQ"), "{subject}");
        let first = subject.trim_start_matches("Subject: =?utf-8?B?").split('?').next().expect("a word");
        let decoded = STANDARD.decode(first).expect("base64");
        assert!(String::from_utf8_lossy(&decoded).starts_with("[CRITICAL] =?utf-8?B?"), "{subject}");
    }

    #[test]
    fn what_follows_on_an_incident_answers_the_mail_that_told_of_it() {
        let incident = fixture::incident();
        let opened = fixture::delivery(&incident);
        let thread = format!("thread.{}@example.org", hex(&Sha256::digest(b"83a654bc481b169321b893aa484ff0f4")[..16]));
        let of = |reason: Reason| {
            let id = DeliveryId::derive(incident.id, reason.as_str(), "soc");
            (id, written_as(Dialect::Plan, &Delivery { id, reason, ..opened }))
        };
        let marks =
            [(Reason::Resolved, "[RESOLVED]"), (Reason::Escalated, "[ESCALATED]"), (Reason::Repeated, "[REPEATED]")];
        for (reason, mark) in marks {
            let (id, mail) = of(reason);
            let expected = format!(
                "Subject: {mark} [CRITICAL] Audit log stopped on web-1\r\n\
                 Date: Mon, 2 Nov 2026 03:04:05 +0000\r\nMessage-ID: <{id}@example.org>\r\n\
                 In-Reply-To: <{}@example.org>\r\nReferences: <{thread}>\r\n <{0}@example.org>\r\n",
                opened.id
            );
            assert!(mail.contains(&expected), "{expected}\n{mail}");
        }
        assert!(!of(Reason::Resolved).1.contains("Importance: high"));
        let (_, fallback) = of(Reason::Fallback);
        assert!(fallback.contains(&format!("In-Reply-To: <{thread}>\r\nReferences: <{thread}>\r\n")), "{fallback}");
    }

    #[test]
    fn a_mail_that_stands_in_says_for_whom() {
        let incident = fixture::incident();
        let delivery =
            Delivery { reason: Reason::Fallback, stands_in_for: Some("soc-pager"), ..fixture::delivery(&incident) };
        let mail = written_as(Dialect::Shipped, &delivery);
        assert!(mail.contains("Subject: [FOR soc-pager] [CUI INCIDENT] [CRITICAL] Audit log"), "{mail}");
        let body = "\r\n\r\nThis message stands in for channel soc-pager, which is failing.\r\n\r\nSecurity Incident";
        assert!(mail.contains(body), "{mail}");
        let native = written_as(Dialect::Native, &delivery);
        assert_eq!(native.matches("stands in for channel soc-pager").count(), 2, "{native}");
    }
}
