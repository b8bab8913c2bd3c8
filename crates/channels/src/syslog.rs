//! The syslog kind: one message for each incident, as RFC 3164 or RFC 5424, to the local daemon or over the network. What
//! an incident says cannot make a second message, nor end a field of this one. Framing is the transport's business.

mod message;
mod target;

use self::message::{Format, Header};
use crate::dialect::{plan_syslog_line, shipped_syslog_line};
use crate::fit::fit;
use crate::mark;
use crate::template::{Form, Template, made};
use crate::{Channel, Host, Kind, Limits, Reply, Request, Step, SyslogTarget, SyslogTransport, Transport, body, reply};
use balefire_model::Delivery;
use balefire_model::settings::Reader;
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind =
    Kind { key: "syslog", about: "the local syslog, or one over UDP, TCP or TLS", sample: &[], resolve };

/// Messages under way at once. The transport sends them in the order in which it was asked to.
const IN_FLIGHT: u32 = 32;
/// RFC 5426, section 3.2: what a receiver over UDP should take.
const UDP_BYTES_DEFAULT: u64 = 2048;
/// rsyslog's `maxMessageSize` and syslog-ng's `log-msg-size` are 8 KiB and 64 KiB by default.
const STREAM_BYTES_DEFAULT: u64 = 8192;
/// RFC 3164, section 4.1: what the oldest receivers take.
const MESSAGE_BYTES_MIN: u64 = 1024;
/// A JSON object names the incident in this much; the other texts need less.
const JSON_BYTES_MIN: u64 = 2048;
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// What stands behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Plan,
    Shipped,
    Json,
}

#[derive(Debug)]
struct Syslog {
    transport: SyslogTransport,
    header: Header,
    text: Text,
    message_bytes_max: usize,
    template: Option<Template>,
}

fn resolve(reader: &Reader<'_>, host: &Host) -> Box<dyn Channel> {
    let to = target::read(reader);
    let local = matches!(to, SyslogTarget::Local(_));
    let usual = if local { Format::Rfc3164 } else { Format::Rfc5424 };
    let formats = [("rfc3164", Format::Rfc3164), ("rfc5424", Format::Rfc5424)];
    let format = reader
        .one_of("format", "The form of a message.", &formats)
        .default_shown(usual, "rfc3164 for a local socket, rfc5424 over the network");
    let facility = reader
        .one_of("facility", "The facility that messages are logged under.", message::FACILITIES)
        .default_shown(22, "local6");
    let ident = reader
        .parsed(
            "ident",
            "The program's name in the log.",
            "1 to 48 visible ASCII characters without [ ] and :",
            message::ident,
        )
        .default("eqmon-blueteam".to_owned());
    let texts = [("plan", Text::Plan), ("shipped", Text::Shipped), ("json", Text::Json)];
    let text = reader
        .one_of("dialect", "The text of a message: one of the two lines of BT-08, or our JSON.", &texts)
        .default_shown(Text::Plan, "plan");
    let message_bytes_max = read_message_bytes_max(reader, &to, text);
    let doc = "The text of a message as a template in Jinja syntax, instead of a dialect's; docs/templates.md has the names \
               that it knows. The dialect's text goes out where it fails.";
    let template = Template::read(reader, "template", doc, Form::Line, message_bytes_max);
    let timeout = reader
        .duration("timeout", "How long to wait for a connection or a write.")
        .default_shown(Duration::from_secs(10), "10s");
    let header = Header {
        format,
        facility,
        ident,
        pid: host.pid,
        host: (!local || format == Format::Rfc5424).then(|| message::host(&host.name)),
        zone: host.zone.clone(),
    };
    Box::new(Syslog { transport: SyslogTransport { to, timeout }, header, text, message_bytes_max, template })
}

fn read_message_bytes_max(reader: &Reader<'_>, to: &SyslogTarget, text: Text) -> usize {
    let default = if matches!(to, SyslogTarget::Udp(_)) { UDP_BYTES_DEFAULT } else { STREAM_BYTES_DEFAULT };
    let bytes = reader
        .bytes("message_bytes_max", "The largest message that the receiver takes; titles and JSON are shortened to it.")
        .default_shown(default, "2KiB over UDP, 8KiB otherwise");
    let min = if text == Text::Json { JSON_BYTES_MIN } else { MESSAGE_BYTES_MIN };
    if !(min..=MESSAGE_BYTES_MAX).contains(&bytes) {
        let allowed = "1KiB to 1MiB; with `dialect: json` at least 2KiB";
        reader.reject("message_bytes_max", format!("{bytes} bytes is out of range"), allowed);
    }
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Channel for Syslog {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: IN_FLIGHT,
            message_bytes_max: self.message_bytes_max,
            attempt_timeout: self.transport.timeout,
            follows_up: false,
            has_template: self.template.is_some(),
        }
    }

    fn transport(&self) -> Transport {
        Transport::Syslog(self.transport.clone())
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Syslog(self.message(delivery))),
            Some(answer) => Step::Done(reply::written(answer)),
        }
    }
}

impl Syslog {
    fn message(&self, delivery: &Delivery<'_>) -> Vec<u8> {
        let mut message = self.header.write(delivery).into_bytes();
        let room = self.message_bytes_max.saturating_sub(message.len() + message::BOM.len());
        let text = match &self.template {
            None => self.built_in(delivery, room, None),
            Some(template) => match made(delivery, || template.render_marked(delivery, room)) {
                Ok(line) => line.into_bytes(),
                Err(note) => self.built_in(delivery, room, Some(&note)),
            },
        };
        if self.header.format == Format::Rfc5424 && !text.is_ascii() {
            message.extend_from_slice(message::BOM);
        }
        message.extend_from_slice(&text);
        message
    }

    /// The dialect's text. What BT-08 had no words for stands before and behind its line.
    fn built_in(&self, delivery: &Delivery<'_>, room: usize, note: Option<&str>) -> Vec<u8> {
        let line = match self.text {
            Text::Plan => plan_syslog_line,
            Text::Shipped => shipped_syslog_line,
            Text::Json => {
                let render = |incident: &_| body::one_line_json(body::native(delivery, incident, note));
                return fit(delivery.incident, room, render, Vec::len);
            }
        };
        let mark = mark::mark(delivery);
        let note = note.map(|note| format!(" note=\"{}\"", note.replace('"', "'"))).unwrap_or_default();
        let line = line(delivery.incident, room.saturating_sub(mark.len() + note.len()));
        (mark + &line + &note).into_bytes()
    }
}
