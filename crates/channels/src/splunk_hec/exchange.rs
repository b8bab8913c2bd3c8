//! The splunk_hec kind's requests: events, and the question whether the indexers have written them. An event that spoils a
//! request is left out, a request that is too large is halved. Does not know what an event is.
//!
//! Sources: help.splunk.com, "Format events for HTTP Event Collector", "About HTTP Event Collector Indexer
//! Acknowledgment", "Troubleshoot HTTP Event Collector" (2026-11).

use super::{ACK_INTERVAL, Form, SplunkHec};
use crate::bulk::failed;
use crate::{BulkStep, Exchange, HttpReply, HttpRequest, Reply};
use balefire_model::Cause;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

#[derive(Deserialize)]
struct Answer {
    code: u64,
    #[serde(rename = "ackId", default)]
    ack_id: Option<u64>,
    /// Counted from 0.
    #[serde(rename = "invalid-event-number", default)]
    invalid_event_number: Option<usize>,
}

#[derive(Deserialize)]
struct Acks {
    acks: BTreeMap<String, bool>,
}

/// The collector's code in an answer.
pub(super) fn code(answer: &HttpReply) -> Option<u64> {
    serde_json::from_slice::<Answer>(&answer.body).ok().map(|answer| answer.code)
}

/// 0 is success; 24 and 25 say that queues fill, and that the events were taken.
fn is_taken(code: u64) -> bool {
    matches!(code, 0 | 24 | 25)
}

/// What was asked last.
enum Asked {
    /// To take the events of the first set.
    Events,
    /// Whether this has been written; how often that was asked.
    Ack { id: u64, times: u64, taken: Reply },
}

/// Sends events.
pub(super) struct Events<'a> {
    channel: &'a SplunkHec,
    parts: Vec<Vec<u8>>,
    replies: Vec<Option<Reply>>,
    /// What is still to be sent, as numbers of parts; the first set is under way.
    sets: VecDeque<Vec<usize>>,
    asked: Asked,
}

impl<'a> Events<'a> {
    pub(super) fn new(channel: &'a SplunkHec, parts: Vec<Vec<u8>>) -> Events<'a> {
        let (replies, all) = (vec![None; parts.len()], (0..parts.len()).collect());
        Events { channel, parts, replies, sets: VecDeque::from([all]), asked: Asked::Events }
    }

    fn next(&mut self) -> BulkStep {
        self.asked = Asked::Events;
        self.sets.retain(|set| !set.is_empty());
        let Some(set) = self.sets.front() else {
            let missing = || failed(Cause::Network, "the event was not answered for");
            let replies = self.replies.drain(..).map(|reply| reply.unwrap_or_else(missing)).collect();
            return BulkStep::Done { replies, node: 0 };
        };
        let parts: Vec<&[u8]> = set.iter().map(|number| self.parts[*number].as_slice()).collect();
        let body = match self.channel.form {
            Form::Events => parts.join(&b'\n'),
            Form::Array => [b"[".as_slice(), &parts.join(&b','), b"]"].concat(),
        };
        BulkStep::Send { request: self.request("/services/collector/event", body), after: Duration::ZERO }
    }

    fn ask(&self, id: u64) -> BulkStep {
        let request = self.request("/services/collector/ack", format!("{{\"acks\":[{id}]}}").into_bytes());
        BulkStep::Send { request, after: ACK_INTERVAL }
    }

    fn request(&self, path: &str, body: Vec<u8>) -> HttpRequest {
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("authorization".to_owned(), self.channel.authorization.expose().to_owned()),
            ("user-agent".to_owned(), concat!("balefire/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        if self.channel.ack_timeout.is_some() {
            headers.push(("x-splunk-request-channel".to_owned(), self.channel.request_channel.clone()));
        }
        HttpRequest { method: "POST", url: format!("{}{path}", self.channel.url), headers, body }
    }

    /// The reply to each event of the first set.
    fn settle(&mut self, reply: &Reply) {
        for number in self.sets.pop_front().unwrap_or_default() {
            self.replies[number] = Some(reply.clone());
        }
    }

    /// The same reply for all that is not settled: the rest would hear no other.
    fn settle_all(&mut self, reply: &Reply) {
        while !self.sets.is_empty() {
            self.settle(reply);
        }
    }

    fn take_events_reply(&mut self, reply: Reply) -> BulkStep {
        let reply = self.channel.hidden.redact(reply);
        let Reply::Http(answer) = &reply else {
            self.settle_all(&reply);
            return self.next();
        };
        let said = serde_json::from_slice::<Answer>(&answer.body).ok();
        match (answer.status, said) {
            (200..=299, Some(said)) if is_taken(said.code) => self.take_success(&said, reply),
            (200..=299, said) => {
                let what = said.map_or("not an answer of Splunk".to_owned(), |said| format!("code {}", said.code));
                let detail = format!("HTTP {}, but {what}", answer.status);
                self.settle_all(&failed(Cause::Network, detail));
                self.next()
            }
            (400, Some(Answer { code: 6 | 12 | 13 | 15, invalid_event_number: Some(number), .. })) => {
                self.leave_out(number, &reply);
                self.next()
            }
            // Too large together, or one of them spoils the others and is not named.
            (413, _) | (400, Some(Answer { code: 6 | 12 | 13 | 15, .. })) => {
                self.halve(&reply);
                self.next()
            }
            _ => {
                self.settle_all(&reply);
                self.next()
            }
        }
    }

    fn take_success(&mut self, said: &Answer, reply: Reply) -> BulkStep {
        match (self.channel.ack_timeout, said.ack_id) {
            (None, _) => {
                self.settle(&reply);
                self.next()
            }
            (Some(_), Some(id)) => {
                self.asked = Asked::Ack { id, times: 1, taken: reply };
                self.ask(id)
            }
            (Some(_), None) => {
                let detail = "the token gives no acknowledgements; allow them there, or set `acknowledge: false`";
                self.settle_all(&failed(Cause::Auth, detail));
                self.next()
            }
        }
    }

    /// The event that the collector names is refused; the others are sent again without it.
    fn leave_out(&mut self, number: usize, reply: &Reply) {
        let Some(set) = self.sets.front_mut() else { return };
        if number >= set.len() {
            return self.halve(reply);
        }
        let part = set.remove(number);
        self.replies[part] = Some(reply.clone());
    }

    fn halve(&mut self, reply: &Reply) {
        let Some(mut set) = self.sets.pop_front() else { return };
        if set.len() < 2 {
            self.sets.push_front(set);
            return self.settle(reply);
        }
        let rest = set.split_off(set.len() / 2);
        self.sets.push_front(rest);
        self.sets.push_front(set);
    }

    fn take_ack_reply(&mut self, (id, times, taken): (u64, u64, Reply), reply: Reply) -> BulkStep {
        let acks = match &reply {
            Reply::Http(answer) if answer.status == 200 => serde_json::from_slice::<Acks>(&answer.body).ok(),
            _ => None,
        };
        if acks.is_some_and(|acks| acks.acks.get(&id.to_string()) == Some(&true)) {
            self.settle(&taken);
            return self.next();
        }
        // A question that finds no answer is asked again, too: the events may be written all the same.
        let patience = self.channel.ack_timeout.unwrap_or_default();
        if ACK_INTERVAL.as_secs().saturating_mul(times + 1) <= patience.as_secs() {
            self.asked = Asked::Ack { id, times: times + 1, taken };
            return self.ask(id);
        }
        let detail = format!("taken, but not acknowledged by the indexers within {} s", patience.as_secs());
        self.settle_all(&failed(Cause::Network, detail));
        self.next()
    }
}

impl Exchange for Events<'_> {
    fn step(&mut self, reply: Option<Reply>) -> BulkStep {
        let Some(reply) = reply else { return self.next() };
        match std::mem::replace(&mut self.asked, Asked::Events) {
            Asked::Events => self.take_events_reply(reply),
            Asked::Ack { id, times, taken } => self.take_ack_reply((id, times, taken), reply),
        }
    }
}
