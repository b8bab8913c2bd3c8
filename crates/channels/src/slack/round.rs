//! One attempt's way round the recipients: each gets the message or a reason why not, and none keeps it from the others.
//! A function of the delivery and the replies. Knows neither how a request is written nor what a message says.

use super::answer::Fault;
use super::calls::{Method, Talk, Unanswered};
use super::recipient::{Recipient, is_id, is_time};
use super::report::Report;
use super::{Slack, message::Message};
use crate::destination::Destination;
use crate::shown::line;
use balefire_model::{Cause, Delivery, Outcome, Reason};
use serde_json::{Value, json};

/// As much as a receipt says of one recipient's trouble.
const TROUBLE_BYTES_MAX: usize = 300;
/// The troubles that a receipt names; the others are counted.
const TROUBLES_MAX: usize = 8;

/// A message in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    channel: String,
    /// Its name there; none where Slack did not say it.
    time: Option<String>,
}

/// What a channel's earlier words say of where messages are: `C1=C1/1700000000.000100, ann@x.org=D2/1700000000.000200`,
/// the form that [`Round::posted`] writes.
fn place(posted: Option<&str>, recipient: &Recipient) -> Option<Place> {
    let item = |item: &str| -> Option<Place> {
        let (name, place) = item.trim().split_once('=')?;
        if name != recipient.as_str() {
            return None;
        }
        let (channel, time) = place.split_once('/').map_or((place, None), |(channel, time)| (channel, Some(time)));
        let time = time.filter(|time| is_time(time)).map(str::to_owned);
        Some(Place { channel: channel.to_owned(), time })
    };
    posted?.split(',').find_map(item)
}

/// What has become of the message so far.
#[derive(Default)]
pub(super) struct Round<'a> {
    posted: Vec<(&'a Recipient, Place)>,
    refused: Vec<(&'a Recipient, Outcome)>,
    /// What is not as it should be where the message did arrive.
    notes: Vec<String>,
}

/// Asks all recipients once. Each attempt begins with another one, so that one that hangs cannot starve the rest.
pub(super) fn round(slack: &Slack, delivery: &Delivery<'_>, talk: &mut Talk<'_>) -> Result<Outcome, Unanswered> {
    let mut round = Round::default();
    let mut everyones: Option<Outcome> = None;
    let first = delivery.attempt.saturating_sub(1) as usize % slack.to.len().max(1);
    for recipient in slack.to.iter().cycle().skip(first).take(slack.to.len()) {
        if let Some(place) = place(delivery.reached, recipient) {
            round.posted.push((recipient, place));
            continue;
        }
        if let Some(outcome) = &everyones {
            round.refused.push((recipient, not_tried(outcome)));
            continue;
        }
        match round.tell(slack, recipient, delivery, talk)? {
            Ok(place) => round.posted.push((recipient, place)),
            Err(fault) => {
                everyones = fault.is_everyones.then(|| fault.outcome.clone());
                round.refused.push((recipient, fault.outcome));
            }
        }
    }
    Ok(round.outcome())
}

fn not_tried(outcome: &Outcome) -> Outcome {
    let detail = "not tried".to_owned();
    match outcome {
        Outcome::Rejected { cause, .. } => Outcome::Rejected { cause: *cause, detail },
        _ => Outcome::Rejected { cause: Cause::Network, detail },
    }
}

impl<'a> Round<'a> {
    /// One recipient's message, with all that belongs to it.
    fn tell(
        &mut self,
        slack: &Slack,
        recipient: &'a Recipient,
        delivery: &Delivery<'_>,
        talk: &mut Talk<'_>,
    ) -> Result<Result<Place, Fault>, Unanswered> {
        let opened = place(delivery.opened, recipient)
            .filter(|place| slack.thread && delivery.reason == Reason::Resolved && place.time.is_some());
        let channel = match (&opened, recipient) {
            (Some(opened), _) => Ok(opened.channel.clone()),
            (None, Recipient::Conversation(id)) => Ok(id.clone()),
            (None, Recipient::User(id)) => conversation(id, talk)?,
            (None, Recipient::Email(address)) => match user(address, talk)? {
                Ok(id) => conversation(&id, talk)?,
                Err(fault) => Err(fault),
            },
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(fault) => return Ok(Err(fault)),
        };
        let thread = opened.as_ref().and_then(|place| place.time.as_deref());
        let mut posted = post(slack, (&channel, thread), delivery, talk)?;
        let mut marks_first = opened.is_some();
        if let Err(fault) = &posted
            && marks_first
            && is_thread_gone(&fault.code)
        {
            marks_first = false;
            posted = post(slack, (&channel, None), delivery, talk)?;
        }
        let here = match posted {
            Ok(answer) => told_at(&channel, &answer),
            Err(fault) => return Ok(Err(fault)),
        };
        if let (true, Some(opened)) = (marks_first, &opened)
            && let Err(fault) = update(slack, opened, delivery, talk)?
        {
            self.note(recipient, "the first message is not marked as over", &fault);
        }
        if slack.attach.wants(delivery.reason)
            && let Err(fault) = attach(slack, (&here, thread.filter(|_| marks_first)), delivery, talk)?
        {
            self.note(recipient, "the report is not attached", &fault);
        }
        Ok(Ok(here))
    }

    fn note(&mut self, recipient: &Recipient, what: &str, fault: &Fault) {
        self.notes.push(format!("{}: {what}: {}", recipient.as_str(), words(&fault.outcome)));
    }

    /// One outcome for all of them: it is delivered where nothing can be made good by trying again, and somebody has it.
    fn outcome(self) -> Outcome {
        let posted = self.posted();
        let retry = self.refused.iter().map(|(_, outcome)| outcome).filter(|outcome| !is_final(outcome));
        let again = retry.max_by_key(|outcome| rank(outcome)).cloned();
        let tell = |kind: &str, outcome: &(&Recipient, Outcome)| {
            let trouble = format!("{kind}{}: {}", outcome.0.as_str(), words(&outcome.1));
            line(&trouble, TROUBLE_BYTES_MAX).into_owned()
        };
        let kind = if posted.is_empty() { "" } else { "not " };
        let mut troubles: Vec<String> = self.refused.iter().map(|refused| tell(kind, refused)).collect();
        troubles.extend(self.notes.iter().map(|note| line(note, TROUBLE_BYTES_MAX).into_owned()));
        let more = troubles.len().saturating_sub(TROUBLES_MAX);
        troubles.truncate(TROUBLES_MAX);
        if more > 0 {
            troubles.push(format!("and {more} more"));
        }
        let words: Vec<String> = Some(posted).filter(|posted| !posted.is_empty()).into_iter().chain(troubles).collect();
        let words = words.join("; ");
        match (again, self.posted.is_empty(), self.refused.first()) {
            (Some(Outcome::Deferred { .. }), _, _) => Outcome::Deferred { after_ms: self.patience(), detail: words },
            (Some(Outcome::Rejected { cause, .. }), _, _) => Outcome::Rejected { cause, detail: words },
            (_, true, Some((_, Outcome::Rejected { cause, .. }))) => Outcome::Rejected { cause: *cause, detail: words },
            _ => Outcome::Delivered { receipt: words },
        }
    }

    /// Where the message is, in the words that [`Outcome::posted`] finds and [`place`] reads.
    fn posted(&self) -> String {
        let item = |(recipient, place): &(&Recipient, Place)| match &place.time {
            Some(time) => format!("{}={}/{time}", recipient.as_str(), place.channel),
            None => format!("{}={}", recipient.as_str(), place.channel),
        };
        let items: Vec<String> = self.posted.iter().map(item).collect();
        if items.is_empty() { String::new() } else { format!("{}{}", Outcome::POSTED, items.join(", ")) }
    }

    /// The longest that anybody asked for.
    fn patience(&self) -> Option<u64> {
        let asked = self.refused.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Deferred { after_ms, .. } => *after_ms,
            _ => None,
        });
        asked.max()
    }
}

/// Whether no further attempt helps.
fn is_final(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected { cause: Cause::Size | Cause::Schema | Cause::Gone, .. })
}

/// What the whole attempt counts as where recipients differ: what a person must mend before what time does.
fn rank(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Rejected { cause: Cause::Auth, .. } => 3,
        Outcome::Rejected { .. } => 2,
        _ => 1,
    }
}

fn words(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Deferred { detail, .. } | Outcome::Rejected { detail, .. } => detail,
        Outcome::Delivered { receipt } => receipt,
        Outcome::Unknown => "unknown",
    }
}

/// The names of errors that say that there is no such thread (any more).
fn is_thread_gone(code: &str) -> bool {
    matches!(
        code,
        "cannot_reply_to_message" | "invalid_thread_ts" | "message_not_found" | "thread_locked" | "thread_not_found"
    )
}

/// The id of a user.
fn user(address: &str, talk: &mut Talk<'_>) -> Result<Result<String, Fault>, Unanswered> {
    let answer = talk.form(Method::LookupByEmail, &[("email", address)])?;
    Ok(answer.and_then(|answer| id(&answer["user"]["id"], Method::LookupByEmail)))
}

/// The conversation with a user, opened where there was none.
fn conversation(user: &str, talk: &mut Talk<'_>) -> Result<Result<String, Fault>, Unanswered> {
    let answer = talk.json(Method::Open, || json!({ "users": user }))?;
    Ok(answer.and_then(|answer| id(&answer["channel"]["id"], Method::Open)))
}

fn id(value: &Value, method: Method) -> Result<String, Fault> {
    match value.as_str().filter(|id| is_id(id)) {
        Some(id) => Ok(id.to_owned()),
        None => Err(unfit(format!("{}: the answer has no id", method.name()))),
    }
}

/// An answer that is not what its method promises.
fn unfit(detail: String) -> Fault {
    let outcome = Outcome::Rejected { cause: Cause::Network, detail };
    Fault { outcome, is_everyones: false, code: String::new() }
}

/// Posts the message, as a reply where there is a thread.
fn post(
    slack: &Slack,
    (channel, thread): (&str, Option<&str>),
    delivery: &Delivery<'_>,
    talk: &mut Talk<'_>,
) -> Result<Result<Value, Fault>, Unanswered> {
    talk.json(Method::Post, || {
        let mut body = body(channel, slack.texts.message(delivery), delivery);
        body["unfurl_links"] = false.into();
        body["unfurl_media"] = false.into();
        if let Some(thread) = thread {
            body["thread_ts"] = thread.into();
        }
        body
    })
}

/// Shows in the first message of an incident that it is over.
fn update(
    slack: &Slack,
    opened: &Place,
    delivery: &Delivery<'_>,
    talk: &mut Talk<'_>,
) -> Result<Result<Value, Fault>, Unanswered> {
    talk.json(Method::Update, || {
        let mut body = body(&opened.channel, slack.texts.message(delivery), delivery);
        body["ts"] = opened.time.as_deref().into();
        body
    })
}

/// The metadata names the delivery, so that whoever reads the conversation knows a repeat.
fn body(channel: &str, message: Message, delivery: &Delivery<'_>) -> Value {
    json!({
        "channel": channel,
        "text": message.text,
        "blocks": message.blocks,
        "link_names": false,
        "parse": "none",
        "metadata": { "event_type": "balefire_notification", "event_payload": {
            "delivery": delivery.id.to_string(),
            "incident": delivery.incident.id.to_string(),
            "type": crate::body::event_type(delivery.reason),
        } },
    })
}

/// Where the message is, as far as the answer says it.
fn told_at(channel: &str, answer: &Value) -> Place {
    let told = answer["channel"].as_str().filter(|id| is_id(id));
    let time = answer["ts"].as_str().filter(|time| is_time(time)).filter(|_| told.is_some());
    Place { channel: told.unwrap_or(channel).to_owned(), time: time.map(str::to_owned) }
}

/// Attaches the report in the thread of the message (docs.slack.dev/messaging/working-with-files, "Uploading files").
fn attach(
    slack: &Slack,
    (place, thread): (&Place, Option<&str>),
    delivery: &Delivery<'_>,
    talk: &mut Talk<'_>,
) -> Result<Result<(), Fault>, Unanswered> {
    let Some(thread) = thread.or(place.time.as_deref()) else {
        return Ok(Err(unfit("it is not known where the message is".to_owned())));
    };
    let report = Report::of(delivery);
    let length = report.bytes.len().to_string();
    let answer = match talk.form(Method::GetUploadUrl, &[("filename", &report.name), ("length", &length)])? {
        Ok(answer) => answer,
        Err(fault) => return Ok(Err(fault)),
    };
    let file = match id(&answer["file_id"], Method::GetUploadUrl) {
        Ok(file) => file,
        Err(fault) => return Ok(Err(fault)),
    };
    let Some(url) = slack.upload_url(&answer["upload_url"]) else {
        return Ok(Err(unfit("the answer has no address to upload to".to_owned())));
    };
    if let Err(fault) = talk.upload(&url, || report.bytes)? {
        return Ok(Err(fault));
    }
    let completed = talk.json(
        Method::CompleteUpload,
        || json!({ "files": [{ "id": file, "title": report.name }], "channel_id": place.channel, "thread_ts": thread }),
    )?;
    Ok(completed.map(|_| ()))
}

impl Slack {
    /// An address for an upload, which must be no less protected than the API.
    fn upload_url(&self, value: &Value) -> Option<Destination> {
        let url = Destination::parse(value.as_str()?).ok()?;
        let is_protected = url.as_str().starts_with("https://");
        (is_protected || self.account.api_url.starts_with("http://")).then_some(url)
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
