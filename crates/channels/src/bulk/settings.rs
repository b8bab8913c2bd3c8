//! The settings that kinds over bulk requests share: where requests go, how long they may take, whom we trust. Knows no
//! kind.

use crate::destination::Destination;
use crate::{HttpReply, Reply};
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use std::time::Duration;

const PLACEHOLDER: &str = "http://localhost/";

/// The base addresses under `name`, without a slash at their end; at least one.
pub(crate) fn read_urls(reader: &Reader<'_>, name: &'static str, doc: &'static str, example: &str) -> Vec<String> {
    let texts = reader.texts(name, doc).required(vec![PLACEHOLDER.to_owned()]);
    let mut urls = Vec::with_capacity(texts.len());
    for text in texts {
        match Destination::parse(&text) {
            Ok(url) if url.as_str().contains('?') => {
                reader.reject(name, "has a query, and paths are put behind it", format!("such as {example}"));
            }
            Ok(url) => urls.push(url.as_str().trim_end_matches('/').to_owned()),
            Err(refused) => reader.reject(name, refused.to_string(), format!("such as {example}")),
        }
    }
    if urls.is_empty() {
        reader.reject(name, "holds no address that can be used", format!("such as {example}"));
        urls.push(PLACEHOLDER.trim_end_matches('/').to_owned());
    }
    urls
}

/// How long one request may take.
pub(crate) fn read_timeout(reader: &Reader<'_>) -> Duration {
    reader.duration("timeout", "How long one request may take in all.").default_shown(Duration::from_secs(30), "30s")
}

/// A size within a range, as a setting.
pub(crate) fn read_size(
    reader: &Reader<'_>,
    (name, doc): (&'static str, &'static str),
    (default, shown): (usize, &str),
    (range, allowed): (std::ops::RangeInclusive<usize>, &str),
) -> usize {
    let bytes = reader.bytes(name, doc).default_shown(default as u64, shown);
    match usize::try_from(bytes) {
        Ok(bytes) if range.contains(&bytes) => bytes,
        _ => {
            reader.reject(name, format!("{bytes} bytes is out of range"), allowed);
            default
        }
    }
}

/// A number of things within a range, as a setting.
pub(crate) fn read_count(
    reader: &Reader<'_>,
    name: &'static str,
    doc: &'static str,
    (default, max): (u32, u32),
) -> u32 {
    let count = reader.integer(name, doc, 1, i64::from(max)).default(i64::from(default));
    u32::try_from(count).unwrap_or(default)
}

/// Whether a text can be a header's value.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// What must not come back in an outcome when the far side repeats our request. Short words are no secrets, and hiding
/// them would hide the answer.
#[derive(Default)]
pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    /// Hides a secret in all forms in which it is sent.
    pub(crate) fn hide(&mut self, secret: &str) {
        if secret.len() >= 6 {
            self.0.push(secret.to_owned());
        }
    }

    /// The reply without secrets.
    pub(crate) fn redact(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Http(HttpReply { status, headers, body }) if !self.0.is_empty() => {
                let headers = headers.into_iter().map(|(name, value)| (name, self.clean(value))).collect();
                let body = match String::from_utf8(body) {
                    Ok(text) => self.clean(text).into_bytes(),
                    Err(error) => self.clean(String::from_utf8_lossy(error.as_bytes()).into_owned()).into_bytes(),
                };
                Reply::Http(HttpReply { status, headers, body })
            }
            Reply::Failed { cause, detail } => Reply::Failed { cause, detail: self.clean(detail) },
            other => other,
        }
    }

    fn clean(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), "***"),
            false => text,
        })
    }
}

/// A secret that stands in a header, checked.
pub(crate) fn read_header_secret(reader: &Reader<'_>, name: &'static str, doc: &'static str) -> Option<Secret> {
    let secret = reader.secret(name, doc).optional()?;
    if secret.expose().is_empty() || !is_header_value(secret.expose()) {
        reader.reject(name, "is empty or has characters that a header cannot carry", "visible ASCII characters");
    }
    Some(secret)
}
