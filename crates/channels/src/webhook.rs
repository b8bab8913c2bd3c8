//! The webhook kind: JSON, or what a template makes, to an URL, signed as Standard Webhooks says. The id and the body are
//! the same for every attempt; only the time and with it the signature differ.

use crate::body;
use crate::destination::Destination;
use crate::fit::fit;
use crate::shown::line;
use crate::signature::SigningKey;
use crate::template::{Form, Template, made};
use crate::{Channel, Host, HttpRequest, HttpTransport, Kind, Limits, Reply, Request, Step, Transport, reply};
use balefire_model::settings::Reader;
use balefire_model::text::{Secret, one_line};
use balefire_model::{Delivery, Incident, Outcome};
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "webhook",
    about: "an HTTP request with a JSON body, signed (Standard Webhooks)",
    sample: &[("url", "https://hooks.example.org/balefire")],
    resolve,
};

/// Requests under way at once: enough to fill a connection pool at 20,000 a second over a millisecond's distance.
const IN_FLIGHT: u32 = 128;
const BODY_BYTES_DEFAULT: u64 = 1 << 20;
/// Below this a body cannot hold what names an incident.
const BODY_BYTES_MIN: u64 = 4 * 1024;
const BODY_BYTES_MAX: u64 = 64 << 20;

struct Webhook {
    url: Destination,
    method: &'static str,
    body: Body,
    key: Option<SigningKey>,
    token: Option<Secret>,
    headers: Vec<(String, Secret)>,
    timeout: Duration,
    transport: HttpTransport,
    body_bytes_max: usize,
    /// What must not come back in an outcome when the far side repeats our request.
    secrets: Vec<String>,
}

/// The debug form shows nothing that may be secret.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .field("method", &self.method)
            .field("body", &self.body)
            .field("key", &self.key)
            .field("token", &self.token)
            .field("headers", &self.headers)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Body {
    Native,
    CloudEvents { source: String },
    Alertmanager,
    Template { template: Box<Template>, content_type: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyWord {
    Native,
    CloudEvents,
    Alertmanager,
    Template,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let url = read_url(reader);
    let method =
        reader.one_of("method", "The method of the request.", &[("POST", "POST"), ("PUT", "PUT")]).default("POST");
    let body_bytes_max = read_body_bytes_max(reader);
    let body = read_body(reader, body_bytes_max);
    let key = read_key(reader);
    let token = reader.secret("token", "A bearer token, sent as `authorization: Bearer TOKEN`.").optional();
    if token.as_ref().is_some_and(|token| !is_header_value(token.expose()) || token.expose().is_empty()) {
        reject(reader, "token", "is empty or has characters that a header cannot carry", "visible ASCII characters");
    }
    let headers = read_headers(reader, token.is_some());
    let timeout = reader
        .duration("timeout", "How long one attempt may take in all.")
        .default_shown(Duration::from_secs(10), "10s");
    let mut secrets: Vec<String> = headers.iter().map(|(_, value)| value.expose().to_owned()).collect();
    secrets.extend(token.iter().map(|token| token.expose().to_owned()));
    secrets.extend(url.as_str().split(['/', '?', '&', '=']).skip(3).map(str::to_owned));
    // Short words are no secrets, and hiding them would hide the answer.
    secrets.retain(|secret| secret.len() >= 12);
    let transport = HttpTransport::read(reader);
    Box::new(Webhook { url, method, body, key, token, headers, timeout, transport, body_bytes_max, secrets })
}

/// Reports a problem without repeating the value, which may be a secret.
fn reject(reader: &Reader<'_>, name: &str, what: &str, allowed: &str) {
    reader.reject(name, what, allowed);
}

fn read_url(reader: &Reader<'_>) -> Destination {
    let placeholder = "http://localhost/";
    let text = reader
        .text(
            "url",
            "Where requests go; http or https. Private addresses are allowed, cloud metadata services are not.",
        )
        .required(placeholder.to_owned());
    match Destination::parse(&text) {
        Ok(url) => url,
        Err(refused) => {
            reader.reject("url", refused.to_string(), "a URL such as https://hooks.example.org/x");
            Destination::parse(placeholder).expect("the placeholder is a URL")
        }
    }
}

fn read_body_bytes_max(reader: &Reader<'_>) -> usize {
    let bytes = reader
        .bytes("body_bytes_max", "The largest body that the receiver takes; what is larger is shortened with a note.")
        .default_shown(BODY_BYTES_DEFAULT, "1MiB");
    if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&bytes) {
        reader.reject("body_bytes_max", format!("{bytes} bytes is out of range"), "4KiB to 64MiB");
    }
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn read_body(reader: &Reader<'_>, body_bytes_max: usize) -> Body {
    let words = [
        ("native", BodyWord::Native),
        ("cloudevents", BodyWord::CloudEvents),
        ("alertmanager", BodyWord::Alertmanager),
        ("template", BodyWord::Template),
    ];
    let word = reader.one_of("body", "Which form the body has.", &words).default_shown(BodyWord::Native, "native");
    let template = reader
        .text(
            "template",
            "The body in Jinja syntax, for `body: template`; knows `incident`, `delivery` and `type` of the native body.",
        )
        .optional();
    let content_type = reader
        .text("content_type", "What the template makes; it decides how values are escaped, and JSON is checked.")
        .default("application/json".to_owned());
    let source = reader
        .text("source", "The `source` of a CloudEvent; keep it the same on all nodes.")
        .default("/balefire".to_owned());
    for (name, needed, only) in [
        ("template", BodyWord::Template, "`body: template`"),
        ("content_type", BodyWord::Template, "`body: template`"),
        ("source", BodyWord::CloudEvents, "`body: cloudevents`"),
    ] {
        if reader.node(name).is_some() && word != needed {
            reader.reject(name, format!("has a meaning only with {only}"), "");
        }
    }
    match (word, template) {
        (BodyWord::CloudEvents, _) => Body::CloudEvents { source: read_source(reader, source) },
        (BodyWord::Alertmanager, _) => Body::Alertmanager,
        (BodyWord::Template, Some(text)) => compile(reader, &text, content_type, body_bytes_max),
        (BodyWord::Template, None) => {
            reader.reject("template", "is missing, and `body: template` needs it", "a template in Jinja syntax");
            Body::Native
        }
        (BodyWord::Native, _) => Body::Native,
    }
}

fn read_source(reader: &Reader<'_>, source: String) -> String {
    if source.is_empty() || source.len() > 256 || !source.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.reject("source", "is no URI reference", "such as /balefire or urn:example:soc");
    }
    source
}

fn compile(reader: &Reader<'_>, text: &str, content_type: String, body_bytes_max: usize) -> Body {
    if !is_header_value(&content_type) || !content_type.contains('/') {
        reader.reject("content_type", "is no media type", "a media type such as application/json or text/plain");
    }
    match Template::compile(text, Form::of_content_type(&content_type), body_bytes_max) {
        Ok(template) => Body::Template { template: Box::new(template), content_type },
        Err(refused) => {
            reader.reject("template", one_line(&refused.to_string()), "");
            Body::Native
        }
    }
}

fn read_key(reader: &Reader<'_>) -> Option<SigningKey> {
    let secret =
        reader.secret("secret", "The key that signs requests: `whsec_` and base64, or any other text.").optional()?;
    let key = SigningKey::parse(secret.expose());
    if key.is_none() {
        reader.reject("secret", "holds no key", "`whsec_` and base64 of at least one byte, or any other text");
    }
    key
}

/// Headers that we set ourselves or that belong to the connection.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

fn read_headers(reader: &Reader<'_>, has_token: bool) -> Vec<(String, Secret)> {
    let read =
        reader.secret_map("headers", "Further headers; a value may be {file: PATH}.").optional().unwrap_or_default();
    let mut headers: Vec<(String, Secret)> = Vec::with_capacity(read.len());
    for (name, value) in read {
        let lower = name.to_ascii_lowercase();
        let token_chars = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let problem = if lower.is_empty() || !lower.bytes().all(token_chars) {
            "is no header name"
        } else if RESERVED.contains(&lower.as_str()) {
            "is set by balefire itself"
        } else if has_token && lower == "authorization" {
            "is set by `token`"
        } else if headers.iter().any(|(other, _)| *other == lower) {
            "stands there twice"
        } else if !is_header_value(value.expose()) {
            "has characters in its value that a header cannot carry"
        } else {
            headers.push((lower, value));
            continue;
        };
        reader.reject("headers", format!("`{}` {problem}", line(&name, 80)), "");
    }
    headers
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

impl Channel for Webhook {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: IN_FLIGHT,
            message_bytes_max: self.body_bytes_max,
            attempt_timeout: self.timeout,
            follows_up: true,
            has_template: matches!(self.body, Body::Template { .. }),
        }
    }

    fn transport(&self) -> Transport {
        Transport::Http(self.transport.clone())
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Http(self.request(delivery))),
            Some(answer) => Step::Done(self.outcome(answer, delivery)),
        }
    }
}

impl Webhook {
    fn request(&self, delivery: &Delivery<'_>) -> HttpRequest {
        let (body, content_type) = self.body(delivery);
        let id = delivery.id.to_string();
        let unix_seconds = delivery.now.as_second();
        let mut headers = Vec::with_capacity(6 + self.headers.len());
        let mut header = |name: &str, value: String| headers.push((name.to_owned(), value));
        header("content-type", content_type.to_owned());
        header("webhook-timestamp", unix_seconds.to_string());
        if let Some(key) = &self.key {
            header("webhook-signature", key.sign(&id, unix_seconds, &body));
        }
        header("webhook-id", id);
        if let Some(token) = &self.token {
            header("authorization", format!("Bearer {}", token.expose()));
        }
        for (name, value) in &self.headers {
            header(name, value.expose().to_owned());
        }
        if !self.headers.iter().any(|(name, _)| name == "user-agent") {
            header("user-agent", concat!("balefire/", env!("CARGO_PKG_VERSION")).to_owned());
        }
        HttpRequest { method: self.method, url: self.url.as_str().to_owned(), headers, body }
    }

    fn body(&self, delivery: &Delivery<'_>) -> (Vec<u8>, &str) {
        let fitted =
            |render: &dyn Fn(&Incident) -> Vec<u8>| fit(delivery.incident, self.body_bytes_max, render, Vec::len);
        match &self.body {
            Body::Native => (fitted(&|incident| body::native(delivery, incident, None)), "application/json"),
            Body::CloudEvents { source } => (
                fitted(&|incident| body::cloud_event(delivery, incident, source)),
                "application/cloudevents+json; charset=utf-8",
            ),
            Body::Alertmanager => (fitted(&|incident| body::alertmanager(delivery, incident)), "application/json"),
            Body::Template { template, content_type } => {
                match made(delivery, || template.render(delivery, self.body_bytes_max)) {
                    Ok(rendered) => (rendered.into_bytes(), content_type),
                    Err(note) => {
                        (fitted(&|incident| body::native(delivery, incident, Some(&note))), "application/json")
                    }
                }
            }
        }
    }

    /// What the reply means; what the far side repeats of our secrets does not get into the record.
    fn outcome(&self, answer: &Reply, delivery: &Delivery<'_>) -> Outcome {
        match answer {
            Reply::Http(http) if !(200..300).contains(&http.status) && !self.secrets.is_empty() => {
                let mut redacted = http.clone();
                redacted.body = self.redact(&String::from_utf8_lossy(&http.body)).into_bytes();
                for (_, value) in &mut redacted.headers {
                    *value = self.redact(value);
                }
                reply::http(&Reply::Http(redacted), delivery.now)
            }
            Reply::Failed { cause, detail } => {
                reply::http(&Reply::Failed { cause: *cause, detail: self.redact(detail) }, delivery.now)
            }
            _ => reply::http(answer, delivery.now),
        }
    }

    fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}
