//! The splunk_hec kind: events for Splunk's HTTP Event Collector. Settings, what an event is, and what the reply to one
//! event means; requests are made in `exchange`.

use crate::bulk::settings::{Hidden, read_count, read_size, read_timeout, read_urls};
use crate::fit::fit;
use crate::{
    Bulk, BulkBounds, Channel, Exchange, Host, HttpTransport, Kind, Limits, Reply, Request, Step, Transport, body,
    record, reply,
};
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use balefire_model::{Cause, Delivery, Incident, Outcome, Reason};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;

mod exchange;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "splunk_hec",
    about: "events for Splunk's HTTP Event Collector",
    sample: &[("url", "https://splunk.example.org:8088"), ("token", "00000000-0000-0000-0000-000000000000")],
    resolve,
};

/// Splunk advises requests of some hundred kilobytes to a megabyte.
const BATCH_EVENTS: (u32, u32) = (500, 10_000);
const BATCH_BYTES: usize = 1 << 20;
const REQUESTS: (u32, u32) = (2, 16);
const EVENT_BYTES: usize = 1 << 20;
const BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=64 << 20;
const REPLY_BYTES_MAX: usize = 64 << 10;
/// Splunk advises one question in ten seconds; a commit takes some seconds, and who waits is a person's message.
const ACK_INTERVAL: Duration = Duration::from_secs(2);

struct SplunkHec {
    url: String,
    authorization: Secret,
    hidden: Hidden,
    form: Form,
    body: Body,
    index: Option<String>,
    sourcetype: String,
    source: Option<String>,
    host: Option<String>,
    /// How long to wait for the indexers' word, where that is asked for.
    ack_timeout: Option<Duration>,
    request_channel: String,
    timeout: Duration,
    transport: HttpTransport,
    bounds: BulkBounds,
    event_bytes_max: usize,
}

/// The debug form shows nothing that may be secret.
impl std::fmt::Debug for SplunkHec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplunkHec")
            .field("url", &crate::destination::origin(&self.url))
            .field("form", &self.form)
            .field("body", &self.body)
            .field("index", &self.index)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// How events stand in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One after the other.
    Events,
    /// In one JSON array, with nothing but index, source type and event.
    Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Native,
    Record,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let url = read_url(reader);
    let token = read_token(reader);
    let mut hidden = Hidden::default();
    hidden.hide(&token);
    let forms = [("events", Form::Events), ("array", Form::Array)];
    let form = reader
        .one_of(
            "form",
            "How a request holds events: `events`, one after the other, or `array`, as Cloudmarker did.",
            &forms,
        )
        .default_shown(Form::Events, "events");
    let bodies = [("native", Body::Native), ("record", Body::Record)];
    let body = reader
        .one_of(
            "body",
            "What an event is: `native`, our JSON, or `record`, an audit's record (`raw`, `ext`, `com`).",
            &bodies,
        )
        .default_shown(Body::Native, "native");
    let index = reader.text("index", "The index; the token's own, if left out.").optional();
    let sourcetype = reader.text("sourcetype", "The source type.").default("_json".to_owned());
    let source = reader.text("source", "The source; `balefire`, if left out.").optional();
    let host = reader.text("host", "The host; the incident's label `host`, if left out and there is one.").optional();
    let ack_timeout = read_ack_timeout(reader);
    let request_channel = read_request_channel(reader);
    let timeout = read_timeout(reader);
    let transport = HttpTransport::read(reader);
    let bounds = read_bounds(reader);
    let event_bytes_max = read_size(
        reader,
        ("event_bytes_max", "The largest event; what is larger is shortened with a note."),
        (EVENT_BYTES, "1MiB"),
        (BYTES, "16KiB to 64MiB"),
    );
    let authorization = Secret::new(format!("Splunk {token}"));
    Box::new(SplunkHec {
        url,
        authorization,
        hidden,
        form,
        body,
        index,
        sourcetype,
        source,
        host,
        ack_timeout,
        request_channel,
        timeout,
        transport,
        bounds,
        event_bytes_max,
    })
}

fn read_url(reader: &Reader<'_>) -> String {
    let example = "https://splunk.example.org:8088";
    let doc = "The collector's base address, without `/services/collector`.";
    let mut urls = read_urls(reader, "url", doc, example);
    if urls.len() > 1 {
        let allowed = "one address: acknowledgements belong to the collector that took the events";
        reader.reject("url", "holds more than one address", allowed);
    }
    let url = urls.swap_remove(0);
    // Cloudmarker's `uri` was the whole address.
    match url.find("/services/collector") {
        Some(at) => url[..at].to_owned(),
        None => url,
    }
}

fn read_token(reader: &Reader<'_>) -> String {
    let token = reader.secret("token", "The collector's token.").required(Secret::new("token".to_owned()));
    let token = token.expose();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.reject("token", "is empty or has characters that a header cannot carry", "visible ASCII characters");
    }
    token.to_owned()
}

fn read_ack_timeout(reader: &Reader<'_>) -> Option<Duration> {
    let acknowledges = reader
        .bool(
            "acknowledge",
            "Whether an event counts as delivered only once the indexers have written it; the token must allow that.",
        )
        .default(false);
    let timeout = reader
        .duration("ack_timeout", "How long to wait for that before the event is sent again.")
        .default_shown(Duration::from_secs(120), "2m");
    if reader.node("ack_timeout").is_some() && !acknowledges {
        reader.reject("ack_timeout", "has a meaning only with `acknowledge: true`", "");
    }
    if !(Duration::from_secs(2)..=Duration::from_secs(1800)).contains(&timeout) {
        reader.reject("ack_timeout", "is out of range", "2s to 30m");
    }
    acknowledges.then_some(timeout)
}

fn read_request_channel(reader: &Reader<'_>) -> String {
    let doc = "The channel of our requests, a UUID; give each node its own where several send with one token.";
    let channel = reader.text("request_channel", doc).default("f3e8ba1e-ba1e-8000-8000-ba1ef14e0001".to_owned());
    let is_uuid = channel.len() == 36
        && channel.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if !is_uuid {
        reader.reject("request_channel", "is no UUID", "such as f3e8ba1e-ba1e-8000-8000-ba1ef14e0001");
    }
    channel
}

fn read_bounds(reader: &Reader<'_>) -> BulkBounds {
    let parts_max = read_count(reader, "batch_events", "The most events in one request.", BATCH_EVENTS);
    let bytes_max = read_size(
        reader,
        ("batch_bytes", "The most bytes in one request, save for one event alone."),
        (BATCH_BYTES, "1MiB"),
        (BYTES, "16KiB to 64MiB"),
    );
    let exchanges_max = read_count(reader, "requests", "The most requests under way at once.", REQUESTS);
    BulkBounds {
        parts_max: parts_max as usize,
        bytes_max,
        exchanges_max: exchanges_max as usize,
        reply_bytes_max: REPLY_BYTES_MAX,
    }
}

impl Channel for SplunkHec {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: self.bounds.in_flight(),
            message_bytes_max: self.event_bytes_max,
            attempt_timeout: self.timeout,
            follows_up: false,
            has_template: false,
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

/// Splunk's docs, "Format events for HTTP Event Collector" (2026-11): event metadata.
#[derive(Serialize)]
struct Event<'a> {
    time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: &'a RawValue,
    /// Indexed beside the event: by them a search tells a repeat.
    fields: Fields,
}

#[derive(Serialize)]
struct Fields {
    balefire_delivery: String,
    balefire_incident: String,
    balefire_severity: &'static str,
}

/// The same as Cloudmarker's store sent it.
#[derive(Serialize)]
struct Bare<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    sourcetype: &'a str,
    event: &'a RawValue,
}

impl SplunkHec {
    fn part(&self, delivery: &Delivery<'_>) -> Vec<u8> {
        let is_first = matches!(delivery.reason, Reason::Opened | Reason::Fallback | Reason::Test);
        if self.body == Body::Record && is_first {
            let whole = record::fields(delivery.incident)
                .map(|fields| self.event(delivery, delivery.incident, object(&fields)));
            if let Some(whole) = whole.filter(|whole| whole.len() <= self.event_bytes_max) {
                return whole;
            }
        }
        let render = |incident: &Incident| self.event(delivery, incident, body::native(delivery, incident, None));
        fit(delivery.incident, self.event_bytes_max, render, Vec::len)
    }

    fn event(&self, delivery: &Delivery<'_>, incident: &Incident, json: Vec<u8>) -> Vec<u8> {
        let json = String::from_utf8(body::one_line_json(json)).expect("JSON that we wrote is UTF-8");
        let event = RawValue::from_string(json).expect("a body is JSON");
        let index = self.index.as_deref();
        let line = match self.form {
            Form::Array => serde_json::to_vec(&Bare { index, sourcetype: &self.sourcetype, event: &event }),
            Form::Events => serde_json::to_vec(&Event {
                time: seconds(incident),
                host: self.host.as_deref().or_else(|| incident.labels.get("host").map(String::as_str)),
                source: self.source.as_deref().unwrap_or("balefire"),
                sourcetype: &self.sourcetype,
                index,
                event: &event,
                fields: Fields {
                    balefire_delivery: delivery.id.to_string(),
                    balefire_incident: incident.id.to_string(),
                    balefire_severity: incident.severity.as_str(),
                },
            }),
        };
        line.expect("events have string keys and no failing serialisers")
    }
}

/// An object of kept fields.
fn object(fields: &[(&str, &RawValue)]) -> Vec<u8> {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{}", serde_json::Value::from(*name), value.get())).collect();
    format!("{{{}}}", fields.join(",")).into_bytes()
}

/// When it happened, in seconds since 1970; when we took it in, where the sender says a time before.
fn seconds(incident: &Incident) -> f64 {
    let time = incident.event_time.filter(|time| *time >= jiff::Timestamp::UNIX_EPOCH).unwrap_or(incident.received_at);
    // Milliseconds are what Splunk keeps, and a double has them exactly until long after the year 9999.
    Duration::from_millis(u64::try_from(time.as_millisecond()).unwrap_or(0)).as_secs_f64()
}

/// What the reply to one event means. The collector's own code says more than the status.
fn outcome(reply: &Reply, delivery: &Delivery<'_>) -> Outcome {
    let general = reply::http(reply, delivery.now);
    let Reply::Http(answer) = reply else { return general };
    let cause = match exchange::code(answer) {
        // Token, index and channel are settings, here or there: a person must act, and nothing is given up.
        Some(1..=4 | 7 | 10 | 11 | 14 | 16 | 21 | 22) => Cause::Auth,
        Some(9 | 18..=20 | 23 | 26 | 27) => {
            let detail = match general {
                Outcome::Rejected { detail, .. } => detail,
                other => return other,
            };
            return Outcome::Deferred { after_ms: None, detail };
        }
        Some(5 | 6 | 12 | 13 | 15) => Cause::Schema,
        _ => return general,
    };
    match general {
        Outcome::Rejected { detail, .. } => Outcome::Rejected { cause, detail },
        other => other,
    }
}

impl Bulk for SplunkHec {
    fn bounds(&self) -> BulkBounds {
        self.bounds
    }

    fn prepare(&self, _: usize) -> Option<Box<dyn Exchange + '_>> {
        None
    }

    fn exchange(&self, parts: Vec<Vec<u8>>, _: usize) -> Box<dyn Exchange + '_> {
        Box::new(exchange::Events::new(self, parts))
    }
}

#[cfg(test)]
mod tests;
