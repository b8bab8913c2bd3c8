//! The slack_webhook kind: the same message as the slack kind's, to the one channel that an incoming webhook belongs to.
//! It cannot mark, thread or attach: a webhook tells nothing of what it posted.

use crate::destination::Destination;
use crate::slack::{Reading, Secrets, Texts};
use crate::{Channel, Host, HttpRequest, HttpTransport, Kind, Limits, Reply, Request, Step, Transport};
use balefire_model::Delivery;
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use serde_json::json;
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "slack_webhook",
    about: "a message in a channel of Slack, over an incoming webhook",
    sample: &[("url", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX")],
    resolve,
};

struct SlackWebhook {
    url: Destination,
    texts: Texts,
    timeout: Duration,
    transport: HttpTransport,
    secrets: Secrets,
}

/// The debug form shows of the URL its origin only.
impl std::fmt::Debug for SlackWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackWebhook")
            .field("url", &self.url)
            .field("texts", &self.texts)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let url = read_url(reader);
    let texts = Texts::read(reader);
    let timeout = reader
        .duration("timeout", "How long one attempt may take in all.")
        .default_shown(Duration::from_secs(10), "10s");
    let transport = HttpTransport::read(reader);
    let secrets = Secrets::new(url.as_str().split(['/', '?', '&', '=']).skip(3));
    Box::new(SlackWebhook { url, texts, timeout, transport, secrets })
}

fn read_url(reader: &Reader<'_>) -> Destination {
    let placeholder = "https://localhost/";
    let doc = "The webhook's URL, which is a secret: who knows it can post.";
    let text = reader.secret("url", doc).required(Secret::new(placeholder.to_owned()));
    Destination::parse(text.expose()).unwrap_or_else(|refused| {
        reader.reject("url", refused.to_string(), "a URL such as https://hooks.slack.com/services/T000/B000/XXXX");
        Destination::parse(placeholder).expect("the placeholder is a URL")
    })
}

impl Channel for SlackWebhook {
    fn limits(&self) -> Limits {
        self.texts.limits(self.timeout)
    }

    fn transport(&self) -> Transport {
        Transport::Http(self.transport.clone())
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Http(self.request(delivery))),
            Some(reply) => Step::Done(Reading { secrets: &self.secrets, now: delivery.now }.webhook(reply)),
        }
    }
}

impl SlackWebhook {
    fn request(&self, delivery: &Delivery<'_>) -> HttpRequest {
        let message = self.texts.message(delivery);
        let body = json!({
            "text": message.text,
            "blocks": message.blocks,
            "unfurl_links": false,
            "unfurl_media": false,
        });
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("content-type", "application/json; charset=utf-8"),
            header("user-agent", concat!("balefire/", env!("CARGO_PKG_VERSION"))),
        ];
        HttpRequest { method: "POST", url: self.url.as_str().to_owned(), headers, body: body.to_string().into_bytes() }
    }
}
