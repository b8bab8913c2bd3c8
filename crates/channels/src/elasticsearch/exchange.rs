//! The elasticsearch kind's requests: the index template once, then documents by `_bulk`. A node that does not answer is
//! replaced by the next one, a request that is too large is halved. Does not know what a document is.
//!
//! Sources: elastic.co/docs, bulk API and index template API (2026-11); docs.opensearch.org, bulk (2.19).

use super::{Body, Elasticsearch, document};
use crate::bulk::{failed, part_reply};
use crate::{BulkStep, Exchange, HttpReply, HttpRequest, Reply};
use balefire_model::Cause;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// As much of a result as helps to find the fault.
const WORDS_BYTES_MAX: usize = 400;

impl Elasticsearch {
    fn request(
        &self,
        method: &'static str,
        node: usize,
        path: &str,
        (media_type, body): (&str, Vec<u8>),
    ) -> HttpRequest {
        let base = &self.urls[node % self.urls.len()];
        let mut headers = vec![
            ("content-type".to_owned(), media_type.to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), concat!("balefire/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization".to_owned(), authorization.expose().to_owned()));
        }
        HttpRequest { method, url: format!("{base}{path}"), headers, body }
    }
}

/// Whether another node may do better: this one gave no answer, or one that says that it cannot.
fn is_nodes_fault(reply: &Reply) -> bool {
    match reply {
        Reply::Http(HttpReply { status: 502..=504, .. }) => true,
        Reply::Failed { cause, .. } => *cause == Cause::Network,
        _ => false,
    }
}

/// Which node is asked, and how many in a row have failed.
struct Nodes {
    node: usize,
    failed: usize,
    count: usize,
}

impl Nodes {
    fn new(channel: &Elasticsearch, node: usize) -> Nodes {
        let count = channel.urls.len();
        Nodes { node: node % count, failed: 0, count }
    }

    /// Takes note of a reply; whether the next node should be asked the same.
    fn moves_on(&mut self, reply: &Reply) -> bool {
        if !is_nodes_fault(reply) {
            self.failed = 0;
            return false;
        }
        self.node = (self.node + 1) % self.count;
        self.failed += 1;
        let is_left = self.failed < self.count;
        if !is_left {
            self.failed = 0;
        }
        is_left
    }
}

/// Puts the index template where the cluster has none of ours, or an older one.
pub(super) struct Preparation<'a> {
    channel: &'a Elasticsearch,
    nodes: Nodes,
    is_put: bool,
}

impl<'a> Preparation<'a> {
    pub(super) fn new(channel: &'a Elasticsearch, node: usize) -> Preparation<'a> {
        Preparation { channel, nodes: Nodes::new(channel, node), is_put: false }
    }

    fn request(&self) -> BulkStep {
        let target = &self.channel.target;
        let path = format!("/_index_template/balefire-{}", target.name);
        let (method, body) = if self.is_put {
            let keeps_records = self.channel.body == Body::Record;
            ("PUT", document::template(&target.name, target.is_data_stream, keeps_records).to_string().into_bytes())
        } else {
            ("GET", Vec::new())
        };
        let request = self.channel.request(method, self.nodes.node, &path, ("application/json", body));
        BulkStep::Send { request, after: Duration::ZERO }
    }

    fn done(&self, replies: Vec<Reply>) -> BulkStep {
        BulkStep::Done { replies, node: self.nodes.node }
    }

    /// Why there is no template, for every document that waits for it.
    fn refused(&self, reply: Reply) -> BulkStep {
        let what = "the index template cannot be put (`template: false` does without)";
        let reply = match self.channel.hidden.redact(reply) {
            Reply::Http(HttpReply { status, headers, body }) => {
                let words = format!("{what}: {}", String::from_utf8_lossy(&body));
                // What the template lacks is no fault of a document: with another status none is given up for it.
                let status = if matches!(status, 401 | 403 | 429 | 503) { status } else { 500 };
                Reply::Http(HttpReply { status, headers, body: words.into_bytes() })
            }
            other => other,
        };
        self.done(vec![reply])
    }
}

#[derive(Deserialize)]
struct Templates {
    index_templates: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    index_template: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: Option<u64>,
}

impl Exchange for Preparation<'_> {
    fn step(&mut self, reply: Option<Reply>) -> BulkStep {
        let Some(reply) = reply else { return self.request() };
        if self.nodes.moves_on(&reply) {
            return self.request();
        }
        let Reply::Http(answer) = &reply else { return self.refused(reply) };
        match (self.is_put, answer.status) {
            (true, 200..=299) => self.done(Vec::new()),
            (false, 200..=299) => {
                let Ok(found) = serde_json::from_slice::<Templates>(&answer.body) else {
                    return self.done(vec![stranger(answer.status)]);
                };
                let newest = found.index_templates.iter().filter_map(|named| named.index_template.version).max();
                if newest.is_some_and(|version| version >= u64::from(document::TEMPLATE_VERSION)) {
                    return self.done(Vec::new());
                }
                self.is_put = true;
                self.request()
            }
            (false, 404) => {
                self.is_put = true;
                self.request()
            }
            _ => self.refused(reply),
        }
    }
}

/// What answers there is something else: a proxy's page, another service.
fn stranger(status: u16) -> Reply {
    failed(Cause::Network, format!("HTTP {status}, but not an answer of Elasticsearch or OpenSearch"))
}

/// Creates documents.
pub(super) struct Documents<'a> {
    channel: &'a Elasticsearch,
    nodes: Nodes,
    parts: Vec<Vec<u8>>,
    replies: Vec<Option<Reply>>,
    /// What is still to be sent; the first is under way.
    ranges: VecDeque<Range<usize>>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(channel: &'a Elasticsearch, parts: Vec<Vec<u8>>, node: usize) -> Documents<'a> {
        let (replies, all) = (vec![None; parts.len()], 0..parts.len());
        Documents { channel, nodes: Nodes::new(channel, node), parts, replies, ranges: VecDeque::from([all]) }
    }

    fn next(&mut self) -> BulkStep {
        let Some(range) = self.ranges.front().cloned().filter(|range| !range.is_empty()) else {
            let missing = || failed(Cause::Network, "the document was not answered for");
            let replies = self.replies.drain(..).map(|reply| reply.unwrap_or_else(missing)).collect();
            return BulkStep::Done { replies, node: self.nodes.node };
        };
        let path = format!(
            "/{}/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason",
            self.channel.target.name
        );
        let body = self.parts[range].concat();
        let request = self.channel.request("POST", self.nodes.node, &path, ("application/x-ndjson", body));
        BulkStep::Send { request, after: Duration::ZERO }
    }

    /// The reply to all of a range, where it does not say more of each.
    fn answer_all(&mut self, range: Range<usize>, reply: &Reply) {
        for place in &mut self.replies[range] {
            *place = Some(reply.clone());
        }
    }

    /// One reply for each document of the range, from the answer's list of results.
    fn split(&mut self, range: Range<usize>, answer: &HttpReply) {
        let Ok(results) = serde_json::from_slice::<Results<'_>>(&answer.body) else {
            return self.answer_all(range, &stranger(answer.status));
        };
        if results.items.len() != range.len() {
            let detail = format!("the answer has {} results for {} documents", results.items.len(), range.len());
            return self.answer_all(range, &failed(Cause::Network, detail));
        }
        for (place, item) in self.replies[range].iter_mut().zip(results.items) {
            let Item { create: result } = item;
            let words = result.error.map(|error| error.words()).unwrap_or_default();
            *place = Some(self.channel.hidden.redact(part_reply(result.status, &words, answer)));
        }
    }
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    create: ItemResult<'a>,
}

#[derive(Deserialize)]
struct ItemResult<'a> {
    status: u16,
    #[serde(borrow, default)]
    error: Option<ItemError<'a>>,
}

#[derive(Deserialize)]
struct ItemError<'a> {
    r#type: String,
    #[serde(default)]
    reason: Option<String>,
    /// Says more than the reason where a field's value is at fault.
    #[serde(borrow, default)]
    caused_by: Option<&'a RawValue>,
}

impl ItemError<'_> {
    fn words(&self) -> String {
        let mut words = self.r#type.clone();
        if let Some(reason) = &self.reason {
            words = format!("{words}: {reason}");
        }
        let cause = self.caused_by.and_then(|cause| serde_json::from_str::<Because>(cause.get()).ok());
        if let Some(reason) = cause.and_then(|cause| cause.reason) {
            words = format!("{}; {reason}", balefire_model::text::cut(&words, WORDS_BYTES_MAX / 2));
        }
        balefire_model::text::cut(&words, WORDS_BYTES_MAX).into_owned()
    }
}

#[derive(Deserialize)]
struct Because {
    reason: Option<String>,
}

/// Whether a result, or the answer to a whole request, says that the index takes no writes now.
pub(super) fn is_block(body: &[u8]) -> bool {
    const NAME: &[u8] = b"cluster_block_exception";
    body[..body.len().min(WORDS_BYTES_MAX)].windows(NAME.len()).any(|words| words == NAME)
}

impl Exchange for Documents<'_> {
    fn step(&mut self, reply: Option<Reply>) -> BulkStep {
        let Some(reply) = reply else { return self.next() };
        // A document that an unheard answer was about is there already: asked again, the next node says so (409).
        if self.nodes.moves_on(&reply) {
            return self.next();
        }
        let range = self.ranges.pop_front().unwrap_or_default();
        match &reply {
            Reply::Http(answer) if (200..300).contains(&answer.status) => self.split(range, answer),
            // Too large together, or one of them spoils the others.
            Reply::Http(HttpReply { status: 400 | 413, .. }) if range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                self.ranges.push_front(middle..range.end);
                self.ranges.push_front(range.start..middle);
            }
            _ => {
                let reply = self.channel.hidden.redact(reply);
                self.answer_all(range, &reply);
                // The rest would hear the same, and would wait as long for it.
                if !matches!(reply, Reply::Http(HttpReply { status: 400 | 413, .. })) {
                    while let Some(rest) = self.ranges.pop_front() {
                        self.answer_all(rest, &reply);
                    }
                }
            }
        }
        self.next()
    }
}
