//! The slack kind: one message for each incident over the Web API with a bot's token, to channels and to people. What has
//! arrived is in the outcome's words, so that a repeat goes to the others only, and an end into the thread of its beginning.

mod answer;
mod calls;
mod message;
mod mrkdwn;
mod recipient;
mod report;
mod round;

pub(crate) use self::answer::{Reading, Secrets};
use self::calls::{Account, Talk};
pub(crate) use self::message::Texts;
pub(crate) use self::mrkdwn::escape as escape_mrkdwn;
use self::recipient::Recipient;
use self::report::Attach;
use crate::destination::Destination;
use crate::{Channel, Host, HttpTransport, Kind, Limits, Reply, Request, RunRecords, Step, TakesRuns, Transport};
use balefire_model::settings::Reader;
use balefire_model::text::{Secret, cut};
use balefire_model::{Delivery, Outcome};
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "slack",
    about: "a message in Slack to channels and people, with a bot's token",
    sample: &[("token", "xoxb-123456789012-abcdefghijkl"), ("to", "C024BE91L")],
    resolve,
};

/// Each takes up to seven calls.
const RECIPIENTS_MAX: usize = 50;

struct Slack {
    account: Account,
    to: Vec<Recipient>,
    texts: Texts,
    /// Whether the end of an incident goes into the thread of its first message.
    thread: bool,
    attach: Attach,
    /// Whether a run without findings makes a message, too.
    send_empty: bool,
    timeout: Duration,
    transport: HttpTransport,
}

/// The debug form shows no secret.
impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack")
            .field("api_url", &self.account.api_url)
            .field("to", &self.to)
            .field("texts", &self.texts)
            .field("thread", &self.thread)
            .field("attach", &self.attach)
            .field("send_empty", &self.send_empty)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let token = reader
        .secret("token", "The bot's token; `chat:write` is needed, `users:read.email` and `im:write` for people.")
        .required(Secret::default());
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.reject("token", "has characters that a header cannot carry", "visible ASCII characters");
    }
    let to = read_recipients(reader);
    let api_url = read_api_url(reader);
    let thread = reader
        .bool(
            "thread",
            "Whether the end of an incident goes into the thread of its first message, which is marked as over.",
        )
        .default(true);
    let attach = Attach::read(reader);
    let doc = "With `collect: run`: whether a run in which nothing is worse than info makes a message, too.";
    let send_empty = reader.bool("send_empty", doc).default(false);
    let texts = Texts::read(reader);
    let timeout = reader
        .duration("timeout", "How long one attempt may take in all, for all recipients.")
        .default_shown(Duration::from_secs(30), "30s");
    let transport = HttpTransport::read(reader);
    let secrets = Secrets::new([token.expose()]);
    let account = Account { api_url, token, secrets };
    Box::new(Slack { account, to, texts, thread, attach, send_empty, timeout, transport })
}

fn read_recipients(reader: &Reader<'_>) -> Vec<Recipient> {
    let texts = reader
        .texts(
            "to",
            "Whom it is for; one or a list: e-mail addresses, ids of channels and users, #names of channels, \
             `person:NAME`, `team:NAME`.",
        )
        .required(Vec::new());
    let mut to: Vec<Recipient> = Vec::with_capacity(texts.len());
    for text in &texts {
        match Recipient::parse(text) {
            Some(recipient) if to.contains(&recipient) => {}
            Some(recipient) => to.push(recipient),
            None => reader.reject("to", format!("found {:?}", cut(text, 80)), recipient::FORM),
        }
    }
    if texts.is_empty() && !reader.is_describing() && reader.node("to").is_some() {
        reader.reject("to", "names nobody", recipient::FORM);
    }
    if to.len() > RECIPIENTS_MAX {
        let what = format!("{} recipients are too many for one message", to.len());
        reader.reject("to", what, "at most 50; use a channel");
    }
    to
}

fn read_api_url(reader: &Reader<'_>) -> String {
    let usual = "https://slack.com/api";
    let text = reader
        .text("api_url", "Where the Web API is; https://slack-gov.com/api for GovSlack.")
        .default(usual.to_owned());
    match Destination::parse(&text) {
        Ok(url) => url.as_str().trim_end_matches('/').to_owned(),
        Err(refused) => {
            reader.reject("api_url", refused.to_string(), "a URL such as https://slack.com/api");
            usual.to_owned()
        }
    }
}

impl Channel for Slack {
    fn limits(&self) -> Limits {
        self.texts.limits(self.timeout)
    }

    fn transport(&self) -> Transport {
        Transport::Http(self.transport.clone())
    }

    /// The message is that of the run's end; the records are the report beside it.
    fn runs(&self) -> Option<TakesRuns> {
        Some(TakesRuns {
            records: RunRecords::OnePage,
            page_records_max: 10_000,
            page_bytes_max: 6 << 20,
            marks: false,
            by_default: false,
        })
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        if !self.send_empty && delivery.run.is_some_and(|page| page.findings() == 0) {
            let receipt = "no message: the run has no findings, and send_empty is false".to_owned();
            return Step::Done(Outcome::Delivered { receipt });
        }
        let mut talk = Talk::new(&self.account, replies, delivery.now);
        match round::round(self, delivery, &mut talk) {
            Ok(outcome) => Step::Done(outcome),
            Err(unanswered) => Step::Send(Request::Http(*unanswered.0)),
        }
    }
}
