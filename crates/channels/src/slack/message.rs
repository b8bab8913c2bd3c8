//! A message as Slack takes it: Block Kit blocks, and a text for notifications. What an incident says is only text in it,
//! and each part keeps its limit. Knows no recipient. Limits: docs.slack.dev/reference/block-kit/blocks (150 characters of a
//! header, 3,000 of a section's text, 2,000 of a field, 10 fields, 50 blocks) and `chat.postMessage` (40,000 of the text).

use super::mrkdwn::{self, line, paragraphs};
use crate::dialect::TITLE_BYTES_MAX;
use crate::template::{Form, Template, made};
use crate::{Limits, mark};
use balefire_model::settings::Reader;
use balefire_model::{Delivery, Incident, Reason, Severity};
use serde_json::{Value, json};
use std::time::Duration;

/// Limits are Slack's in characters; ours are in bytes, of which there are never fewer.
const HEADER_BYTES_MAX: usize = 150;
const SECTION_BYTES_MAX: usize = 3_000;
const FIELD_BYTES_MAX: usize = 400;
/// Labels share one place.
const LABELS_BYTES_MAX: usize = 1_500;
const LABEL_BYTES_MAX: usize = 200;
const LABELS_MAX: usize = 20;
/// As much as a template may make: more than a screen of a chat.
const TEMPLATE_BYTES_MAX: usize = 12_000;
/// No message comes near it: the sum of the parts, each byte of which JSON may double, and their frames.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Slack takes about one message a second in a conversation (docs.slack.dev/apis/web-api/rate-limits); more at once only
/// asks to be told so.
const IN_FLIGHT: u32 = 2;

/// Where a message's text comes from.
#[derive(Debug)]
pub(crate) struct Texts {
    template: Option<Template>,
}

impl Texts {
    pub(crate) fn read(reader: &Reader<'_>) -> Texts {
        let doc = "The message as a template in Jinja syntax, in Slack's mrkdwn; values are escaped by themselves.";
        Texts { template: Template::read(reader, "template", doc, Form::Mrkdwn, TEMPLATE_BYTES_MAX) }
    }

    /// What holds for every message of these; `timeout` is for one attempt.
    pub(crate) fn limits(&self, timeout: Duration) -> Limits {
        Limits {
            in_flight: IN_FLIGHT,
            message_bytes_max: MESSAGE_BYTES_MAX,
            attempt_timeout: timeout,
            follows_up: true,
            has_template: self.template.is_some(),
        }
    }

    pub(crate) fn message(&self, delivery: &Delivery<'_>) -> Message {
        let Some(template) = &self.template else { return built_in(delivery, None) };
        match made(delivery, || template.render_marked(delivery, TEMPLATE_BYTES_MAX)) {
            Ok(text) => {
                Message { text: headline(delivery), blocks: pieces(&text).map(|text| section(mrkdwn(text))).collect() }
            }
            Err(note) => built_in(delivery, Some(&note)),
        }
    }
}

/// What is posted.
pub(crate) struct Message {
    /// For notifications and for programs that show no blocks.
    pub(crate) text: String,
    pub(crate) blocks: Vec<Value>,
}

/// `[RESOLVED] [CRITICAL] title`, escaped.
fn headline(delivery: &Delivery<'_>) -> String {
    let marks = mark::mark(delivery) + mark::scan(delivery.incident);
    let severity = delivery.incident.severity.as_upper_str();
    format!("{}[{severity}] {}", mrkdwn::escape(&marks), line(&delivery.incident.title, TITLE_BYTES_MAX))
}

fn built_in(delivery: &Delivery<'_>, note: Option<&str>) -> Message {
    let incident = delivery.incident;
    let mut blocks = vec![header(delivery)];
    let mut sentences: Vec<String> = mark::sentences(delivery, note);
    sentences.extend(mark::scan_sentence(incident));
    if !sentences.is_empty() {
        let told: Vec<_> = sentences.iter().map(|sentence| mrkdwn::escape(sentence)).collect();
        blocks.push(section(mrkdwn(&bold(&told.join("\n")))));
    }
    let title = line(&incident.title, SECTION_BYTES_MAX);
    if !blocks[0]["text"]["text"].as_str().is_some_and(|shown| shown.ends_with(&*title)) {
        blocks.push(section(plain(&title)));
    }
    let description = paragraphs(&incident.description, SECTION_BYTES_MAX);
    if !description.trim().is_empty() {
        blocks.push(section(plain(&description)));
    }
    let facts: Vec<Value> = facts(incident).iter().map(|(name, value)| mrkdwn(&format!("*{name}*\n{value}"))).collect();
    blocks.push(json!({ "type": "section", "fields": facts }));
    let labels = labels(incident);
    if !labels.is_empty() {
        blocks.push(context(&labels));
    }
    if let Some(url) = mark::ack_url(delivery) {
        // A link: a button would want an application that answers Slack's calls.
        blocks.push(section(mrkdwn(&format!("*<{}|Acknowledge>*", link(url)))));
    }
    blocks.push(context(&format!("Incident {} · delivery {}", incident.id, delivery.id)));
    Message { text: headline(delivery), blocks }
}

/// Each line of it in bold, where a line has nothing that would end that.
fn bold(text: &str) -> String {
    let bold = |line: &str| if line.contains('*') { line.to_owned() } else { format!("*{line}*") };
    text.lines().map(bold).collect::<Vec<_>>().join("\n")
}

fn header(delivery: &Delivery<'_>) -> Value {
    let incident = delivery.incident;
    let (marks, sign) = (mark::mark(delivery) + mark::scan(incident), sign(delivery));
    let marks = line(marks.trim_end(), HEADER_BYTES_MAX / 2);
    let space = if marks.is_empty() { "" } else { " " };
    let head = format!("{sign} {marks}{space}[{}] ", incident.severity.as_upper_str());
    let title = line(&incident.title, HEADER_BYTES_MAX.saturating_sub(head.len()));
    json!({ "type": "header", "text": plain(&(head + &title)) })
}

/// One look tells how bad it is.
fn sign(delivery: &Delivery<'_>) -> &'static str {
    match (delivery.reason, delivery.incident.severity) {
        (Reason::Resolved, _) => "✅",
        (_, Severity::Critical) => "🔴",
        (_, Severity::High) => "🟠",
        (_, Severity::Medium) => "🟡",
        (_, Severity::Low) => "🔵",
        (_, Severity::Info) => "⚪",
    }
}

/// At most ten, in two columns; every value is escaped.
fn facts(incident: &Incident) -> Vec<(&'static str, String)> {
    let shown = |text: &str| line(text, FIELD_BYTES_MAX).into_owned();
    let mut facts = vec![("Severity", incident.severity.as_upper_str().to_owned())];
    if let Some(original) = incident.severity_original.as_ref().filter(|text| !text.is_empty()) {
        facts.push(("Severity as sent", shown(original)));
    }
    facts.push(("Detected by", shown(&incident.detected_by)));
    facts.push(("Source", shown(&incident.source)));
    if !incident.nist_controls.is_empty() {
        facts.push(("NIST controls", shown(&joined(&incident.nist_controls, FIELD_BYTES_MAX))));
    }
    if incident.cui_involved {
        facts.push(("CUI involved", "yes".to_owned()));
    }
    facts.push(("Received", incident.received_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
    if let Some(time) = incident.event_time {
        facts.push(("Event time", time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
    }
    if let Some(id) = incident.incident_id.as_ref().filter(|text| !text.is_empty()) {
        facts.push(("Sender's id", shown(id)));
    }
    if !incident.notes.is_empty() {
        facts.push(("Notes", shown(&joined(&incident.notes, FIELD_BYTES_MAX))));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// As many of the texts as can be shown, and no more: senders send ten thousand.
fn joined(texts: &[String], limit: usize) -> String {
    let mut joined = String::new();
    for text in texts {
        if joined.len() > limit {
            break;
        }
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(text);
    }
    joined
}

fn labels(incident: &Incident) -> String {
    let mut shown = String::new();
    for (count, (name, value)) in incident.labels.iter().enumerate() {
        let label = format!("{}: {}", line(name, LABEL_BYTES_MAX), line(value, LABEL_BYTES_MAX));
        if count == LABELS_MAX || shown.len() + label.len() > LABELS_BYTES_MAX {
            shown.push_str(&format!(" · … [cut: {} more labels]", incident.labels.len() - count));
            break;
        }
        if count > 0 {
            shown.push_str(" · ");
        }
        shown.push_str(&label);
    }
    shown
}

fn section(text: Value) -> Value {
    json!({ "type": "section", "text": text })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [plain(text)] })
}

/// Text without formatting; colons of a sender's make no emoji.
fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// Formatted text in which Slack makes no links of its own.
fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// A URL within `<URL|text>`.
fn link(url: &str) -> String {
    mrkdwn::escape(url).replace('|', "%7C")
}

/// A long text in pieces that fit a section each, cut where a line ends if there is one.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.floor_char_boundary(SECTION_BYTES_MAX);
        let end = match rest[..end].rfind('\n') {
            Some(line_end) if end < rest.len() && line_end > 0 => line_end,
            _ => end,
        };
        let (piece, after) = rest.split_at(end);
        rest = after.trim_start();
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;

    fn texts(template: Option<&str>) -> Texts {
        let compile = |text| Template::compile(text, Form::Mrkdwn, TEMPLATE_BYTES_MAX).expect("a good template");
        Texts { template: template.map(compile) }
    }

    /// Every text of a message, and its limit.
    fn parts(message: &Message) -> Vec<(String, usize)> {
        let mut parts = vec![(message.text.clone(), 40_000)];
        for block in &message.blocks {
            let text = |value: &Value| value["text"].as_str().expect("a text").to_owned();
            match block["type"].as_str().expect("a type") {
                "header" => parts.push((text(&block["text"]), 150)),
                "section" if block["text"].is_object() => parts.push((text(&block["text"]), 3_000)),
                "section" => {
                    let fields = block["fields"].as_array().expect("fields");
                    assert!((1..=10).contains(&fields.len()), "{fields:?}");
                    parts.extend(fields.iter().map(|field| (text(field), 2_000)));
                }
                "context" => parts.push((text(&block["elements"][0]), 2_000)),
                other => panic!("{other}"),
            }
        }
        parts
    }

    fn check_limits(message: &Message) {
        assert!((1..=50).contains(&message.blocks.len()));
        for (text, limit) in parts(message) {
            let chars = text.chars().count();
            assert!((1..=limit).contains(&chars), "{chars} > {limit}: {text:.80}");
        }
    }

    #[test]
    fn a_message_says_what_it_is_about_at_one_look() {
        let incident = fixture::incident();
        let url = "https://b.example/ack/1?c=a&e=2&s=0";
        let message = texts(None).message(&Delivery { ack_url: Some(url), ..fixture::delivery(&incident) });
        check_limits(&message);
        assert_eq!(message.text, "[CRITICAL] Audit log stopped on web-1");
        let shown: Vec<String> = parts(&message).into_iter().map(|(text, _)| text).skip(1).collect();
        let delivery = fixture::delivery(&incident).id;
        assert_eq!(
            shown,
            [
                "🔴 [CRITICAL] Audit log stopped on web-1",
                "No audit event for 600 s.\nCheck auditd.",
                "*Severity*\nCRITICAL",
                "*Detected by*\naudit_log_gap",
                "*Source*\nhttp",
                "*NIST controls*\n3.3.4, 3.3.1",
                "*CUI involved*\nyes",
                "*Received*\n2026-11-02 03:04:05 UTC",
                "host: web-1",
                "*<https://b.example/ack/1?c=a&amp;e=2&amp;s=0|Acknowledge>*",
                &format!("Incident 01935f1c-7c00-7000-8000-000000000001 · delivery {delivery}"),
            ]
        );
    }

    #[test]
    fn an_end_is_marked_and_has_nothing_to_acknowledge() {
        let incident = fixture::incident();
        let resolved = Delivery {
            reason: Reason::Resolved,
            stands_in_for: Some("soc-pager"),
            ack_url: Some("https://b.example/ack"),
            ..fixture::delivery(&incident)
        };
        let shown: Vec<String> = parts(&texts(None).message(&resolved)).into_iter().map(|(text, _)| text).collect();
        assert_eq!(shown[0], "[RESOLVED] [FOR soc-pager] [CRITICAL] Audit log stopped on web-1");
        assert_eq!(shown[1], "✅ [RESOLVED] [FOR soc-pager] [CRITICAL] Audit log stopped on web-1");
        let sentences = "*This incident is over.*\n*This message stands in for channel soc-pager, which is failing.*";
        assert_eq!(shown[2], sentences);
        assert!(!shown.iter().any(|text| text.contains("Acknowledge")));
    }

    #[test]
    fn a_template_makes_the_text_and_its_values_are_only_text() {
        let mut incident = fixture::incident();
        incident.title = "<!channel> & <https://evil|x>".into();
        let template = texts(Some("*{{ incident.title }}* <https://soc.example|run book> {{ [incident.title] }}"));
        let message = template.message(&fixture::delivery(&incident));
        let escaped = "&lt;!channel&gt; &amp; &lt;https://evil|x&gt;";
        let expected = format!("*{escaped}* <https://soc.example|run book> ['{escaped}']");
        assert_eq!(message.blocks, [section(mrkdwn(&expected))]);
        assert_eq!(message.text, format!("[CRITICAL] {escaped}"));
    }

    #[test]
    fn a_long_text_is_cut_at_its_lines_into_pieces_that_fit() {
        let text = format!("{}\n", "x".repeat(1_000)).repeat(9);
        let cut: Vec<&str> = pieces(&text).collect();
        assert_eq!(cut.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [2_001, 2_001, 2_001, 2_001, 1_000]);
        let lengths: Vec<usize> = pieces(&"é".repeat(4_000)).map(str::len).collect();
        assert_eq!(lengths, [3_000, 3_000, 2_000]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_is_sent_limits_hold_and_nobody_is_mentioned(text: String, times in 1usize..60) {
            let hostile = format!("<!channel><@U1>&{text}\u{202e}\n").repeat(times);
            let mut incident = fixture::incident();
            incident.title = hostile.clone();
            incident.description = hostile.clone();
            incident.detected_by = hostile.clone();
            incident.source = hostile.clone();
            incident.severity_original = Some(hostile.clone());
            incident.incident_id = Some(hostile.clone());
            incident.event_time = Some(incident.received_at);
            incident.nist_controls = vec![hostile.clone(); 3];
            incident.notes = vec![hostile.clone()];
            incident.labels = (0..times).map(|n| (format!("{n}{hostile}"), hostile.clone())).collect();
            for template in [None, Some("{{ incident.title }} {{ incident.labels }}")] {
                let delivery = Delivery { stands_in_for: Some("<!here>"), ..fixture::delivery(&incident) };
                let message = texts(template).message(&delivery);
                check_limits(&message);
                for (text, _) in parts(&message) {
                    prop_assert!(!text.contains(['<', '>', '\u{202e}']), "{}", text);
                }
                let size = serde_json::to_vec(&message.blocks).expect("JSON").len();
                prop_assert!(size + message.text.len() < MESSAGE_BYTES_MAX - 4_096, "{}", size);
            }
        }
    }
}
