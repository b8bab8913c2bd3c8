//! A mail as a program of the machine writes it becomes an incident: what it is about, who sent it, and how bad that is.
//! Knows neither where the bytes come from nor where the incident goes.

mod known;
mod message;

pub use message::{BYTES_MAX, Message, read};

use balefire_model::text::{cut, lines, one_line};
use jiff::Timestamp;
use known::Verdict;
use serde_json::{Map, Value, json};

/// As much of the text stands in an incident; the limit of a description leaves room for escapes.
const TEXT_BYTES_MAX: usize = 200 * 1024;

/// As much of a subject becomes the title.
const TITLE_BYTES_MAX: usize = 1024;

/// As much of any other text becomes a label.
const LABEL_BYTES_MAX: usize = 1024;

/// What is known beside the mail itself.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// This machine's name.
    pub host: String,
    /// The sender's address (`-f`), where the caller named one.
    pub from: Option<String>,
    /// The sender's full name (`-F`), where the caller named one.
    pub name: Option<String>,
    /// Recipients that the caller named.
    pub recipients: Vec<String>,
    /// The user that called, by the number that nobody can make up.
    pub user: u32,
    /// When it was called.
    pub at: Timestamp,
}

/// The mail as an incident in our own JSON form: within all limits of decoding, whatever the mail holds.
#[must_use]
pub fn incident(message: &Message, envelope: &Envelope) -> Value {
    let from = message.from.clone().or_else(|| envelope.from.clone());
    let verdict = known::judge(message, from.as_deref().unwrap_or_default());
    let mut incident = Map::new();
    let title = title(message, &envelope.host);
    incident.insert("title".to_owned(), title.into());
    if let Some(severity) = verdict.severity {
        incident.insert("severity".to_owned(), severity.as_str().into());
    }
    // As the watchers name it, so that the routes of their failures are those of this one, too.
    let detected_by = verdict.failure.map_or_else(|| verdict.program.to_owned(), |failure| format!("watch.{failure}"));
    incident.insert("detected_by".to_owned(), detected_by.into());
    incident.insert("description".to_owned(), description(message, envelope).into());
    if verdict.is_audit {
        incident.insert("nist_controls".to_owned(), json!(["3.3.4"]));
    }
    incident.insert("labels".to_owned(), labels(message, envelope, &verdict, from.as_deref()));
    incident.insert("event_time".to_owned(), envelope.at.to_string().into());
    Value::Object(incident)
}

/// The subject, else the first line of the text, with this machine's name where it does not stand there.
fn title(message: &Message, host: &str) -> String {
    let first_line = || message.text.lines().map(str::trim).find(|line| !line.is_empty());
    let subject = message.subject.as_deref().map(str::trim).filter(|subject| !subject.is_empty());
    let about = subject.or_else(first_line).unwrap_or("mail without subject and text");
    let about = one_line(about);
    let about = cut(&about, TITLE_BYTES_MAX);
    if host.is_empty() || names_host(&about, host) { about.into_owned() } else { format!("{about} ({host})") }
}

/// Whether the text holds the name as a word of its own, or its first part.
fn names_host(text: &str, host: &str) -> bool {
    let short = host.split('.').next().unwrap_or(host);
    let is_part = |c: char| c.is_alphanumeric() || c == '-';
    text.split(|c: char| !is_part(c)).any(|word| word.eq_ignore_ascii_case(short))
}

fn description(message: &Message, envelope: &Envelope) -> String {
    let text = lines(message.text.trim_end());
    let mut description = cut(&text, TEXT_BYTES_MAX).into_owned();
    let mut facts = vec![format!("Host: {}", envelope.host)];
    if let Some(sender) = message.sender.as_deref().or(envelope.name.as_deref()) {
        facts.push(format!("Sender: {}", one_line(&cut(sender, LABEL_BYTES_MAX))));
    }
    for attachment in &message.attachments {
        facts.push(format!("Left out: {}", one_line(&cut(attachment, LABEL_BYTES_MAX))));
    }
    if let Some(bytes) = message.cut_at {
        facts.push(format!("The mail was longer than {bytes} bytes; the rest is left out"));
    }
    if !description.is_empty() {
        description.push_str("\n\n");
    }
    description.push_str(&facts.join("\n"));
    description
}

fn labels(message: &Message, envelope: &Envelope, verdict: &Verdict, from: Option<&str>) -> Value {
    let mut labels = Map::new();
    let mut label = |name: &str, value: &str| {
        if !value.is_empty() {
            let value = one_line(value);
            labels.insert(name.to_owned(), cut(&value, LABEL_BYTES_MAX).into());
        }
    };
    label("host", &envelope.host);
    label("program", verdict.program);
    label("failure", verdict.failure.unwrap_or_default());
    label("mail_from", from.unwrap_or_default());
    let named = if envelope.recipients.is_empty() { &message.recipients } else { &envelope.recipients };
    label("mail_to", &named.join(", "));
    label("mail_uid", &envelope.user.to_string());
    for (name, value) in &verdict.labels {
        label(name, value);
    }
    Value::Object(labels)
}

#[cfg(test)]
mod tests;
