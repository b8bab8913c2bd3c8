//! The elasticsearch kind, for OpenSearch too: a document per delivery, created under the delivery's own id, so that a
//! repeat is the same document. Settings, and what the reply to one document means; requests are made in `exchange`.

use crate::bulk::settings::{
    Hidden, is_header_value, read_count, read_header_secret, read_size, read_timeout, read_urls,
};
use crate::fit::fit;
use crate::{
    Bulk, BulkBounds, Channel, Exchange, Host, HttpReply, HttpTransport, Kind, Limits, Reply, Request, Step, Transport,
    reply,
};
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use balefire_model::{Cause, Delivery, Outcome, Reason};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

mod document;
mod exchange;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "elasticsearch",
    about: "documents in Elasticsearch or OpenSearch",
    sample: &[("urls", "https://search.example.org:9200")],
    resolve,
};

const INDEX_DEFAULT: &str = "balefire";
/// A thousand documents are some megabytes; more in one request gain little.
const BATCH_DOCUMENTS: (u32, u32) = (1000, 10_000);
const BATCH_BYTES: usize = 5 << 20;
/// Two, so that one is made while the other is indexed.
const REQUESTS: (u32, u32) = (2, 16);
const DOCUMENT_BYTES: usize = 16 << 20;
/// A node takes requests of 100 MB (`http.max_content_length`) unless told otherwise.
const BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=90 << 20;
/// A failed document's result is some 500 bytes: enough for ten thousand of them.
const REPLY_BYTES_MAX: usize = 16 << 20;

struct Elasticsearch {
    /// Base addresses of nodes.
    urls: Vec<String>,
    target: Target,
    body: Body,
    manages_template: bool,
    authorization: Option<Secret>,
    hidden: Hidden,
    timeout: Duration,
    transport: HttpTransport,
    bounds: BulkBounds,
    document_bytes_max: usize,
}

/// The debug form shows nothing that may be secret.
impl std::fmt::Debug for Elasticsearch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let origins: Vec<&str> = self.urls.iter().map(|url| crate::destination::origin(url)).collect();
        f.debug_struct("Elasticsearch")
            .field("urls", &origins)
            .field("target", &self.target)
            .field("body", &self.body)
            .field("authorization", &self.authorization)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Where documents go.
#[derive(Debug)]
struct Target {
    name: String,
    is_data_stream: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Native,
    Record,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let doc = "The base addresses of the nodes, tried in this order; private addresses are allowed.";
    let urls = read_urls(reader, "urls", doc, "https://search.example.org:9200");
    let target = read_target(reader);
    let body = reader
        .one_of(
            "body",
            "What is stored: `native`, our own document, or `record`, an audit's record (`raw`, `ext`, `com`) unchanged.",
            &[("native", Body::Native), ("record", Body::Record)],
        )
        .default_shown(Body::Native, "native");
    let manages_template = reader
        .bool("template", "Whether an index template is put where the cluster has none; see docs/elasticsearch.md.")
        .default(true);
    let mut hidden = Hidden::default();
    let authorization = read_authorization(reader, &mut hidden);
    let timeout = read_timeout(reader);
    let transport = HttpTransport::read(reader);
    let parts_max = read_count(reader, "batch_documents", "The most documents in one request.", BATCH_DOCUMENTS);
    let allowed = (BYTES, "16KiB to 90MiB");
    let bytes_max = read_size(
        reader,
        ("batch_bytes", "The most bytes in one request, save for one document alone."),
        (BATCH_BYTES, "5MiB"),
        allowed.clone(),
    );
    let document_bytes_max = read_size(
        reader,
        ("document_bytes_max", "The largest document; what is larger is shortened with a note."),
        (DOCUMENT_BYTES, "16MiB"),
        allowed,
    );
    let exchanges_max = read_count(reader, "requests", "The most requests under way at once.", REQUESTS);
    let bounds = BulkBounds {
        parts_max: parts_max as usize,
        bytes_max,
        exchanges_max: exchanges_max as usize,
        reply_bytes_max: REPLY_BYTES_MAX,
    };
    Box::new(Elasticsearch {
        urls,
        target,
        body,
        manages_template,
        authorization,
        hidden,
        timeout,
        transport,
        bounds,
        document_bytes_max,
    })
}

fn read_target(reader: &Reader<'_>) -> Target {
    let index = reader
        .text("index", "The index; made at the first document where the cluster allows that.")
        .default(INDEX_DEFAULT.to_owned());
    let stream = reader.text("data_stream", "A data stream instead of an index.").optional();
    if stream.is_some() && reader.node("index").is_some() {
        reader.reject("data_stream", "stands beside `index`", "one of the two");
    }
    let is_data_stream = stream.is_some();
    let (field, name) = match stream {
        Some(name) => ("data_stream", name),
        None => ("index", index),
    };
    // elastic.co/docs, create index API, 2026-11: path parameters.
    let is_name = !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(['-', '_', '+', '.'])
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'+' | b'.'));
    if !is_name {
        let allowed = "lower-case letters, digits, - _ + and . inside, at most 255 bytes";
        reader.reject(field, "is no name of an index that can be used here", allowed);
    }
    Target { name, is_data_stream }
}

fn read_authorization(reader: &Reader<'_>, hidden: &mut Hidden) -> Option<Secret> {
    let username = reader.text("username", "The user for basic authentication.").optional();
    let password = reader.secret("password", "The user's password.").optional();
    let api_key =
        read_header_secret(reader, "api_key", "An API key in its encoded form, instead of user and password.");
    if api_key.is_some() && username.is_some() {
        reader.reject("api_key", "stands beside `username`", "one of the two");
    }
    if let Some(key) = api_key {
        hidden.hide(key.expose());
        return Some(Secret::new(format!("ApiKey {}", key.expose())));
    }
    match (username, password) {
        (Some(username), Some(password)) => {
            if username.contains(':') || !is_header_value(&username) {
                reader.reject(
                    "username",
                    "has characters that a user's name cannot have here",
                    "visible ASCII without :",
                );
            }
            let encoded = STANDARD.encode(format!("{username}:{}", password.expose()));
            hidden.hide(password.expose());
            hidden.hide(&encoded);
            Some(Secret::new(format!("Basic {encoded}")))
        }
        (None, None) => None,
        (Some(_), None) => {
            reader.reject("username", "stands there without `password`", "both or none");
            None
        }
        (None, Some(_)) => {
            reader.reject("password", "stands there without `username`", "both or none");
            None
        }
    }
}

impl Channel for Elasticsearch {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: self.bounds.in_flight(),
            message_bytes_max: self.document_bytes_max,
            attempt_timeout: self.timeout,
            follows_up: false,
            // An index may refuse a record where it takes our own document.
            has_template: self.body == Body::Record,
        }
    }

    fn transport(&self) -> Transport {
        Transport::Bulk(self.transport.clone())
    }

    fn bulk(&self) -> Option<&dyn Bulk> {
        Some(self)
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Part(self.part(delivery))),
            Some(reply) => Step::Done(outcome(reply, delivery)),
        }
    }
}

/// Room for the line before a document.
const ACTION_BYTES_MAX: usize = 128;

impl Elasticsearch {
    /// Two lines: that a document is to be created under this id, and the document.
    fn part(&self, delivery: &Delivery<'_>) -> Vec<u8> {
        let document = self.document(delivery);
        let mut part = Vec::with_capacity(ACTION_BYTES_MAX + document.len());
        part.extend_from_slice(format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n", delivery.id).as_bytes());
        part.extend_from_slice(&document);
        part.push(b'\n');
        part
    }

    fn document(&self, delivery: &Delivery<'_>) -> Vec<u8> {
        let limit = self.document_bytes_max - ACTION_BYTES_MAX;
        let mut note = None;
        // That an incident is over, or has got no answer, is not in its record.
        let is_first = matches!(delivery.reason, Reason::Opened | Reason::Fallback | Reason::Test);
        if self.body == Body::Record && is_first {
            match document::record(delivery.incident, self.target.is_data_stream) {
                Some(_) if delivery.plain => note = Some("the record was refused: see `extra`"),
                Some(record) if record.len() <= limit => return record,
                Some(_) => note = Some("the record is larger than `document_bytes_max`"),
                None => {}
            }
        }
        fit(delivery.incident, limit, |incident| document::native(delivery, incident, note), Vec::len)
    }
}

/// What the reply to one document means.
fn outcome(reply: &Reply, delivery: &Delivery<'_>) -> Outcome {
    match reply {
        // Our id is a function of the delivery: what is there under it is what we sent before.
        Reply::Http(HttpReply { status: 409, .. }) => {
            Outcome::Delivered { receipt: "HTTP 409: it was there".to_owned() }
        }
        // An index that takes no writes, most often because its disk is nearly full: not our credentials.
        Reply::Http(HttpReply { status: 403, body, .. }) if exchange::is_block(body) => {
            match reply::http(reply, delivery.now) {
                Outcome::Rejected { detail, .. } => Outcome::Rejected { cause: Cause::Quota, detail },
                other => other,
            }
        }
        _ => reply::http(reply, delivery.now),
    }
}

impl Bulk for Elasticsearch {
    fn bounds(&self) -> BulkBounds {
        self.bounds
    }

    fn prepare(&self, node: usize) -> Option<Box<dyn Exchange + '_>> {
        self.manages_template.then(|| Box::new(exchange::Preparation::new(self, node)) as Box<dyn Exchange>)
    }

    fn exchange(&self, parts: Vec<Vec<u8>>, node: usize) -> Box<dyn Exchange + '_> {
        Box::new(exchange::Documents::new(self, parts, node))
    }
}

#[cfg(test)]
mod tests;
