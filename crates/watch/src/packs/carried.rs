//! Events within events: services, queues and shippers wrap what they carry, as objects, as lists, and as JSON in a text. Knows
//! no pack. Looks only where a service or a shipper puts an event, never where a sender's own words are.

use super::field::at;
use serde_json::Value;
use std::borrow::Cow;

/// As many wrappings are taken off: a queue holds a notification, that a bucket's message, that a list of records.
const DEPTH_MAX: usize = 8;
/// As many events in one are looked at.
const EVENTS_MAX: usize = 256;
/// As much text is decoded of one event, all of its wrappings together.
const DECODED_BYTES_MAX: usize = 4 << 20;

/// Where one event is carried: EventBridge, Wazuh, Elastic's agents, Google's sinks, Azure's alerts, AKS, Defender.
const ONE: [&str; 17] = [
    "detail",
    "raw",
    "record",
    "data",
    "event",
    "properties",
    "result",
    "aws",
    "gcp",
    "azure",
    "office365",
    "o365audit",
    "o365.audit",
    "kubernetes.audit",
    "context.activityLog",
    "alertContext",
    "body",
];
/// Where many are: files of CloudTrail, Event Hubs, CloudWatch, Google's and Azure's answers, lists of Kubernetes.
const MANY: [&str; 7] = ["Records", "records", "Events", "logEvents", "entries", "value", "items"];
/// Where an event is JSON in a text that a service has written: SNS, SQS, `lookup-events`, AKS.
const TEXTS: [&str; 5] = ["Message", "CloudTrailEvent", "properties.log", "body", "Body"];
/// The same in what was taken from a log, where anybody may have written it.
const FREE: [&str; 6] = ["message", "_raw", "raw", "event.original", "log", "jsonPayload"];

/// One event, unwrapped.
#[derive(Debug)]
pub(super) struct Carried<'a> {
    pub(super) event: Cow<'a, Value>,
    /// It stood in a text that anybody may have written: believed when it tells of a failure, and not when it tells of an end.
    pub(super) is_free: bool,
    depth: usize,
}

/// The event, and all that it carries.
pub(super) fn carried(event: &Value) -> Vec<Carried<'_>> {
    let mut all = vec![Carried { event: Cow::Borrowed(event), is_free: false, depth: 0 }];
    let mut bytes_left = DECODED_BYTES_MAX;
    let mut next = 0;
    while next < all.len() && all.len() < EVENTS_MAX {
        let Carried { event, is_free, depth } = &all[next];
        let (event, is_free, depth) = (event.clone(), *is_free, *depth + 1);
        next += 1;
        if depth > DEPTH_MAX {
            continue;
        }
        let inner = match event {
            Cow::Borrowed(event) => inner(event, &mut bytes_left),
            Cow::Owned(event) => inner(&event, &mut bytes_left).into_iter().map(Inner::owned).collect(),
        };
        let room = EVENTS_MAX - all.len();
        let inner = inner.into_iter().take(room);
        all.extend(inner.map(|inner| Carried { event: inner.event, is_free: is_free || inner.is_free, depth }));
    }
    all
}

struct Inner<'a> {
    event: Cow<'a, Value>,
    is_free: bool,
}

impl Inner<'_> {
    fn owned(self) -> Inner<'static> {
        Inner { event: Cow::Owned(self.event.into_owned()), is_free: self.is_free }
    }
}

/// What is directly within.
fn inner<'a>(event: &'a Value, bytes_left: &mut usize) -> Vec<Inner<'a>> {
    let borrowed = |event: &'a Value| Inner { event: Cow::Borrowed(event), is_free: false };
    let ones = ONE.iter().filter_map(|path| at(event, path));
    let own = event.as_array().map(Vec::as_slice).unwrap_or_default();
    let many = MANY.iter().filter_map(|name| event.get(name)?.as_array()).flatten().chain(own);
    let mut found: Vec<Inner<'a>> =
        ones.chain(many).filter(|inner| inner.is_object()).take(EVENTS_MAX).map(borrowed).collect();
    let free = at(event, "jsonPayload").filter(|inner| inner.is_object());
    found.extend(free.map(|event| Inner { event: Cow::Borrowed(event), is_free: true }));
    let texts = TEXTS.iter().map(|path| (*path, false)).chain(FREE.iter().map(|path| (*path, true)));
    for (path, is_free) in texts {
        let Some(text) = at(event, path).and_then(Value::as_str) else { continue };
        let text = text.trim_start();
        if !(text.starts_with('{') || text.starts_with('[')) || text.len() > *bytes_left {
            continue;
        }
        *bytes_left -= text.len();
        // A text that is no JSON after all carries nothing.
        found.extend(serde_json::from_str(text).ok().map(|event| Inner { event: Cow::Owned(event), is_free }));
    }
    found
}
