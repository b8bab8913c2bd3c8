//! The calls of Slack's Web API that a message takes, as requests, and the talk that they make: each call's answer is the
//! next reply. Knows no recipient and decides nothing about what follows. Sources: docs.slack.dev/reference/methods,
//! each method's page; content types differ by method.

use super::answer::{Fault, Reading, Secrets};
use crate::destination::Destination;
use crate::{HttpRequest, Reply};
use balefire_model::Outcome;
use balefire_model::text::Secret;
use serde_json::Value;
use std::fmt::Write;

/// The methods, so that no other can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    LookupByEmail,
    Open,
    Post,
    Update,
    GetUploadUrl,
    CompleteUpload,
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Method::LookupByEmail => "users.lookupByEmail",
            Method::Open => "conversations.open",
            Method::Post => "chat.postMessage",
            Method::Update => "chat.update",
            Method::GetUploadUrl => "files.getUploadURLExternal",
            Method::CompleteUpload => "files.completeUploadExternal",
        }
    }

    /// Whether its allowance is the whole token's, and not one conversation's.
    fn is_shared(self) -> bool {
        !matches!(self, Method::Post | Method::Update)
    }
}

/// Where the API is and who we are there.
#[derive(Clone)]
pub(super) struct Account {
    /// Without a slash at its end.
    pub(super) api_url: String,
    pub(super) token: Secret,
    pub(super) secrets: Secrets,
}

/// What there is no reply to yet: the next request.
pub(super) struct Unanswered(pub(super) Box<HttpRequest>);

/// The calls of one attempt. The same replies lead to the same calls.
pub(super) struct Talk<'a> {
    account: &'a Account,
    replies: std::slice::Iter<'a, Reply>,
    reading: Reading<'a>,
    /// Methods that asked for patience: they are not called again in this attempt.
    resting: Vec<(Method, Outcome)>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(account: &'a Account, replies: &'a [Reply], now: jiff::Timestamp) -> Talk<'a> {
        let reading = Reading { secrets: &account.secrets, now };
        Talk { account, replies: replies.iter(), reading, resting: Vec::new() }
    }

    /// Calls a method with a body of JSON.
    pub(super) fn json(
        &mut self,
        method: Method,
        body: impl FnOnce() -> Value,
    ) -> Result<Result<Value, Fault>, Unanswered> {
        self.call(method, || ("application/json; charset=utf-8", body().to_string()))
    }

    /// Calls a method with a form.
    pub(super) fn form(&mut self, method: Method, fields: &[(&str, &str)]) -> Result<Result<Value, Fault>, Unanswered> {
        self.call(method, || ("application/x-www-form-urlencoded", form(fields)))
    }

    fn call(
        &mut self,
        method: Method,
        body: impl FnOnce() -> (&'static str, String),
    ) -> Result<Result<Value, Fault>, Unanswered> {
        if let Some((_, outcome)) = self.resting.iter().find(|(resting, _)| *resting == method) {
            return Ok(Err(Fault { outcome: outcome.clone(), is_everyones: false, code: String::new() }));
        }
        let Some(reply) = self.replies.next() else {
            let (content_type, body) = body();
            let url = format!("{}/{}", self.account.api_url, method.name());
            let mut request = post(url, content_type, body.into_bytes());
            let authorization = format!("Bearer {}", self.account.token.expose());
            request.headers.push(("authorization".to_owned(), authorization));
            return Err(Unanswered(Box::new(request)));
        };
        let answer = self.reading.api(reply).map_err(|fault| named(method, fault));
        match &answer {
            Err(fault) if method.is_shared() && matches!(fault.outcome, Outcome::Deferred { .. }) => {
                self.resting.push((method, fault.outcome.clone()));
            }
            _ => {}
        }
        Ok(answer)
    }

    /// Sends bytes to the address that Slack gave for them; without the token, which is not for that address.
    pub(super) fn upload(
        &mut self,
        url: &Destination,
        bytes: impl FnOnce() -> Vec<u8>,
    ) -> Result<Result<Value, Fault>, Unanswered> {
        match self.replies.next() {
            Some(reply) => Ok(self.reading.upload(reply)),
            None => {
                let request = post(url.as_str().to_owned(), "application/octet-stream", bytes());
                Err(Unanswered(Box::new(request)))
            }
        }
    }
}

fn post(url: String, content_type: &str, body: Vec<u8>) -> HttpRequest {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let user_agent = header("user-agent", concat!("balefire/", env!("CARGO_PKG_VERSION")));
    HttpRequest { method: "POST", url, headers: vec![header("content-type", content_type), user_agent], body }
}

/// The fault with the method in its words: scopes and allowances are each method's own.
fn named(method: Method, fault: Fault) -> Fault {
    let words = |detail: String| format!("{}: {detail}", method.name());
    let outcome = match fault.outcome {
        Outcome::Deferred { after_ms, detail } => Outcome::Deferred { after_ms, detail: words(detail) },
        Outcome::Rejected { cause, detail } => Outcome::Rejected { cause, detail: words(detail) },
        other => other,
    };
    Fault { outcome, ..fault }
}

/// `name=value&...` (URL standard, `application/x-www-form-urlencoded`).
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => text.push(char::from(byte)),
                other => write!(text, "%{other:02X}").expect("a String takes everything"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forms_values_cannot_become_fields() {
        assert_eq!(
            form(&[("email", "a+b&token=x@example.org"), ("n", "1")]),
            "email=a%2Bb%26token%3Dx%40example.org&n=1"
        );
    }
}
