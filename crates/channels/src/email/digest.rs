//! A mail about a run: how many records of which severity and type, and then each of them, the worst first. Or the body that
//! Cloudmarker's `EmailAlert` made. Knows neither headers nor how parts are encoded.

use super::content::Content;
use crate::dialect::TITLE_BYTES_MAX;
use crate::mark;
use crate::record;
use crate::shown::{line, paragraphs};
use balefire_model::run::told_by_severity;
use balefire_model::settings::Reader;
use balefire_model::{Delivery, Incident, RunPage, Severity};
use serde_json::value::RawValue;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

/// As much text as a mail about a run has; encoded it may take three times as much.
const TEXT_BYTES_MAX: usize = 128 * 1024;
/// As much as is attached where the text is cut; together they keep the limit of a mail.
const ATTACHED_BYTES_MAX: usize = 320 * 1024;
const FIELD_BYTES_MAX: usize = 1024;
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
/// Lines of the table.
const TYPES_MAX: usize = 50;

/// What a mail about a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Digest,
    Cloudmarker,
}

/// The settings for runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    body: Body,
    send_empty: bool,
}

impl Digest {
    pub(super) fn read(reader: &Reader<'_>) -> Digest {
        let doc = "What a mail about a run says, with `collect: run`: counts and each record (`digest`), or what the \
                   `EmailAlert` of Cloudmarker wrote (`cloudmarker`).";
        let bodies = [("digest", Body::Digest), ("cloudmarker", Body::Cloudmarker)];
        let body = reader.one_of("body", doc, &bodies).default_shown(Body::Digest, "digest");
        let doc = "Whether a run in which nothing is worse than info makes a mail, too.";
        Digest { body, send_empty: reader.bool("send_empty", doc).default(false) }
    }

    /// Whether nobody wants to read of this run.
    pub(super) fn is_silent(self, page: &RunPage) -> bool {
        page.findings() == 0 && !self.send_empty
    }

    pub(super) fn content(self, delivery: &Delivery<'_>, page: &RunPage) -> Content {
        let mut records: Vec<&Incident> = page.records.iter().map(AsRef::as_ref).collect();
        if self.body == Body::Digest {
            records.sort_by_key(|record| Reverse(record.severity));
        }
        let (head, tell): (String, fn(&Incident) -> String) = match self.body {
            Body::Digest => (head(delivery, page), tell),
            Body::Cloudmarker => (String::new(), as_cloudmarker),
        };
        let mut text = head;
        let mut shown = 0;
        for record in &records {
            let told = tell(record);
            if text.len() + told.len() > TEXT_BYTES_MAX {
                break;
            }
            text.push_str(&told);
            shown += 1;
        }
        let missing = (records.len() - shown) as u64 + page.left_out;
        let attachment = (missing > 0).then(|| attached(&records));
        if missing > 0 {
            writeln!(text, "… [cut: {missing} more records; records.json has as many as a mail holds]")
                .expect("a String takes everything");
        }
        let worst = if page.findings() > 0 { format!("[{}] ", page.worst().as_upper_str()) } else { String::new() };
        let title = line(&delivery.incident.title, TITLE_BYTES_MAX);
        let counts = told_by_severity(&page.counts);
        let subject = format!("{}{worst}{title} ({counts})", mark::mark(delivery));
        Content { subject: line(&subject, TITLE_BYTES_MAX).into_owned(), text, page: None, attachment }
    }
}

/// What stands before the records.
fn head(delivery: &Delivery<'_>, page: &RunPage) -> String {
    let incident = delivery.incident;
    let mut head = format!("{}\n\n", line(&incident.title, TITLE_BYTES_MAX));
    for sentence in mark::sentences(delivery, None) {
        head = format!("{head}{sentence}\n\n");
    }
    head = format!("{head}{}\n", paragraphs(&incident.description, DESCRIPTION_BYTES_MAX));
    for note in incident.notes.iter().take(TYPES_MAX) {
        head = format!("{head}Note: {}\n", line(note, FIELD_BYTES_MAX));
    }
    let mut types: BTreeMap<(Reverse<Severity>, String), u64> = BTreeMap::new();
    for record in &page.records {
        let kind = field(record, "record_type").unwrap_or_else(|| line(&record.detected_by, FIELD_BYTES_MAX).into());
        *types.entry((Reverse(record.severity), kind)).or_default() += 1;
    }
    head.push('\n');
    for ((Reverse(severity), kind), count) in types.iter().take(TYPES_MAX) {
        writeln!(head, "{severity:<9}{count:>7}  {kind}").expect("a String takes everything");
    }
    if types.len() > TYPES_MAX {
        writeln!(head, "… [cut: {} more types]", types.len() - TYPES_MAX).expect("a String takes everything");
    }
    if page.left_out > 0 {
        writeln!(head, "… [cut: {} more records, which are not counted by type]", page.left_out)
            .expect("a String takes everything");
    }
    head.push('\n');
    head
}

/// One record.
fn tell(record: &Incident) -> String {
    let title = line(&record.title, TITLE_BYTES_MAX);
    let mut told = format!("[{}] {title}\n", record.severity.as_upper_str());
    let description = paragraphs(&record.description, DESCRIPTION_BYTES_MAX);
    if !description.trim().is_empty() {
        told = format!("{told}{description}\n");
    }
    for (name, key) in [("Recommendation", "recommendation"), ("Reference", "reference")] {
        if let Some(value) = field(record, key).filter(|value| !record.description.contains(value.as_str())) {
            told = format!("{told}{name}: {value}\n");
        }
    }
    if !record.nist_controls.is_empty() {
        told = format!("{told}NIST controls: {}\n", line(&record.nist_controls.join(", "), FIELD_BYTES_MAX));
    }
    format!("{told}Incident: {}\n\n", record.id)
}

/// A text in a record's `com`, or else in its `ext`, in one harmless line.
fn field(record: &Incident, name: &str) -> Option<String> {
    ["com", "ext"].into_iter().find_map(|bucket| {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(record.extra.get(bucket)?.get()).ok()?;
        let text: String = serde_json::from_str(fields.get(name)?.get()).ok()?;
        (!text.is_empty()).then(|| line(&text, FIELD_BYTES_MAX).into_owned())
    })
}

/// As many of the records as a mail holds, as a list of JSON.
fn attached(records: &[&Incident]) -> Vec<u8> {
    let mut list = b"[".to_vec();
    for record in records {
        let json = serde_json::to_vec(record).expect("an incident has string keys and no failing serialisers");
        if list.len() + json.len() > ATTACHED_BYTES_MAX {
            break;
        }
        if list.len() > 1 {
            list.extend_from_slice(b",\n");
        }
        list.extend(json);
    }
    list.push(b']');
    list
}

/// What `EmailAlert` wrote of a record: each of its buckets as Python shows it, and a blank line behind each.
fn as_cloudmarker(record: &Incident) -> String {
    let Some(fields) = record::fields(record) else { return tell(record) };
    let shown = |(_, value): &(&str, &RawValue)| format!("{}\n\n", line(&as_python(value.get()), TEXT_BYTES_MAX / 8));
    fields.iter().map(shown).collect()
}

/// JSON as Python's `repr` shows it.
fn as_python(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '"' => {
                taken = record::string_bytes(rest);
                out.push_str(&quoted(&serde_json::from_str::<String>(&rest[..taken]).unwrap_or_default()));
            }
            ',' => out.push_str(", "),
            ':' => out.push_str(": "),
            't' | 'f' | 'n' => {
                let (word, python) = match c {
                    't' => ("true", "True"),
                    'f' => ("false", "False"),
                    _ => ("null", "None"),
                };
                taken = word.len();
                out.push_str(python);
            }
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use balefire_model::{RunKey, Severity, run::RunId};
    use std::sync::Arc;

    fn record(severity: Severity, com: &str) -> Arc<Incident> {
        let mut incident = fixture::incident();
        incident.severity = severity;
        incident.extra.0 = vec![("com".into(), RawValue::from_string(com.into()).expect("JSON"))];
        Arc::new(incident)
    }

    fn page(records: Vec<Arc<Incident>>) -> RunPage {
        let mut counts = [0; 5];
        records.iter().for_each(|record| counts[record.severity as usize] += 1);
        let run = RunKey { key: "a".into(), version: "1".into(), worker: String::new() };
        RunPage { id: RunId { source: "http".into(), run }, records, before: 0, is_last: true, left_out: 0, counts }
    }

    const DIGEST: Digest = Digest { body: Body::Digest, send_empty: false };

    #[test]
    fn a_digest_counts_and_tells_the_worst_first() {
        let com = r#"{"record_type":"firewall_rule_event","recommendation":"Close\nport 22.","reference":"r-1"}"#;
        let page = page(vec![record(Severity::Info, "{}"), record(Severity::High, com)]);
        let incident = fixture::incident();
        let delivery = Delivery { run: Some(&page), ..fixture::delivery(&incident) };
        let content = DIGEST.content(&delivery, &page);
        assert_eq!(content.subject, "[HIGH] Audit log stopped on web-1 (1 high, 1 info)");
        assert!(content.text.contains("high           1  firewall_rule_event\n"), "{}", content.text);
        let told = content.text.find("[HIGH]").zip(content.text.find("[INFO]"));
        assert!(told.is_some_and(|(high, info)| high < info), "{}", content.text);
        assert!(content.text.contains("Recommendation: Close\\nport 22.\nReference: r-1\n"), "{}", content.text);
        assert!(content.attachment.is_none());
    }

    #[test]
    fn a_run_without_findings_makes_no_mail_unless_it_is_wanted() {
        let page = page(vec![record(Severity::Info, "{}")]);
        assert!(DIGEST.is_silent(&page));
        assert!(!Digest { send_empty: true, ..DIGEST }.is_silent(&page));
    }

    #[test]
    fn what_is_too_much_for_a_mail_is_counted_and_attached() {
        let page = page((0..2_000).map(|_| record(Severity::Low, "{}")).collect());
        let incident = fixture::incident();
        let content = DIGEST.content(&fixture::delivery(&incident), &page);
        assert!(content.text.len() < TEXT_BYTES_MAX + 200 && content.text.contains("more records; records.json"));
        let attached = content.attachment.expect("an attachment");
        let list: Vec<Incident> = serde_json::from_slice(&attached).expect("a list");
        assert!(!list.is_empty() && attached.len() <= ATTACHED_BYTES_MAX + 1);
    }

    #[test]
    fn the_body_of_cloudmarker_is_what_python_shows() {
        let told = as_cloudmarker(&record(Severity::Low, r#"{"a":"it's","b":[true,null, 1.50],"c":"\"'\n"}"#));
        assert_eq!(told, "{'a': \"it's\", 'b': [True, None, 1.50], 'c': '\"\\'\\n'}\n\n");
    }
}
