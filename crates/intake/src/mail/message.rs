//! The parts of a mail that matter, decoded: encoded words, charsets, transfer encodings and multipart are gone. Whatever
//! the bytes are, something comes of them.

use mail_parser::{Addr, Address, MessageParser, MimeHeaders};

/// As much of a mail is read.
pub const BYTES_MAX: usize = 10 << 20;

/// As many headers, recipients and attachments of a mail are kept.
const ITEMS_MAX: usize = 20;

/// A mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub subject: Option<String>,
    /// The sender's address.
    pub from: Option<String>,
    /// The sender's name.
    pub sender: Option<String>,
    /// Addresses of To, Cc and Bcc.
    pub recipients: Vec<String>,
    /// The text; of HTML, what a reader would see.
    pub text: String,
    /// What is left out: name, type and size of each attachment.
    pub attachments: Vec<String>,
    /// Where the mail was cut, where it was.
    pub cut_at: Option<usize>,
    /// `X-Cron-Env`, `X-Mailer` and the like, as `Name: value`.
    pub marks: Vec<String>,
}

/// Reads a mail of any size; past [`BYTES_MAX`] it is cut. Lines without a head are the text of a mail without one.
#[must_use]
pub fn read(bytes: &[u8]) -> Message {
    let cut_at = (bytes.len() > BYTES_MAX).then_some(BYTES_MAX);
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    // A line of mbox that some programs put first.
    let bytes = match bytes.strip_prefix(b"From ") {
        Some(rest) => &rest[rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1)..],
        None => bytes,
    };
    let plain = || Message { text: String::from_utf8_lossy(bytes).into_owned(), cut_at, ..Message::default() };
    if !begins_with_a_header(bytes) {
        return plain();
    }
    let Some(parsed) = MessageParser::default().parse(bytes) else { return plain() };
    let first = parsed.from().and_then(Address::first);
    let all = [parsed.to(), parsed.cc(), parsed.bcc()];
    let recipients = all.into_iter().flatten().flat_map(Address::iter).filter_map(address);
    let texts: Vec<_> = (0..parsed.text_body_count().min(ITEMS_MAX)).filter_map(|at| parsed.body_text(at)).collect();
    let attachments = parsed.attachments().take(ITEMS_MAX).map(|part| {
        let kind = part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        let name = part.attachment_name().unwrap_or("an attachment without a name");
        format!("{name} ({}, {} bytes)", kind.as_deref().unwrap_or("of no type"), part.len())
    });
    let is_mark = |name: &str| ["x-cron-env", "x-mailer", "auto-submitted", "x-smartd"].contains(&name);
    let marks = parsed.headers_raw().filter(|(name, _)| is_mark(&name.to_ascii_lowercase())).take(ITEMS_MAX);
    Message {
        subject: parsed.subject().map(str::to_owned),
        from: first.and_then(address).map(str::to_owned),
        sender: first.filter(|one| one.address().is_some()).and_then(Addr::name).map(str::to_owned),
        recipients: recipients.take(ITEMS_MAX).map(str::to_owned).collect(),
        text: texts.join("\n"),
        attachments: attachments.collect(),
        cut_at,
        marks: marks.map(|(name, value)| format!("{name}: {}", value.trim())).collect(),
    }
}

/// On the machine itself an address is a user's name alone, which the parser takes for a person's.
fn address<'a>(one: &'a Addr<'_>) -> Option<&'a str> {
    one.address().or(one.name())
}

/// Whether the first line is `Name: value`.
fn begins_with_a_header(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    colon > 0 && line[..colon].iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}
