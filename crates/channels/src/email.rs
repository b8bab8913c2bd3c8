//! The email kind: one mail for each incident, over SMTP. Its Message-ID is a function of the delivery, and mails about
//! the same thing share a thread. What an incident or a template says cannot add a header, a recipient or a piece of HTML.

mod address;
mod content;
mod digest;
mod html;
mod message;
mod readable;

use self::address::Mailbox;
use self::content::Texts;
use self::digest::Digest;
use self::message::Message;
pub(crate) use self::readable::readable;
use crate::{
    Channel, Host, Kind, Limits, Mail, Reply, Request, RunRecords, SmtpTls, SmtpTransport, Step, TakesRuns, Transport,
    reply,
};
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use balefire_model::{Delivery, Outcome};
use std::path::PathBuf;
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "email",
    about: "a mail over SMTP, text and HTML",
    sample: &[("host", "mail.example.org"), ("from", "balefire@example.org"), ("to", "soc@example.org")],
    resolve,
};

/// So many attempts wait for every recipient.
const PATIENT_ATTEMPTS: u32 = 3;
/// SMTP sessions at once: what a mail server takes from one client without complaint (Postfix's default is 50).
const IN_FLIGHT: u32 = 4;
/// No mail of ours comes near it: every part of it is cut before. Mail servers take 10 MiB and more.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const RECIPIENTS_MAX: usize = 100;

#[derive(Debug)]
struct Email {
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    texts: Texts,
    digest: Digest,
}

fn resolve(reader: &Reader<'_>, host: &Host) -> Box<dyn Channel> {
    let transport = read_transport(reader, host);
    let from = reader.parsed("from", "The sender.", address::FORM, Mailbox::parse).required(Mailbox::placeholder());
    let to = read_recipients(reader, "to", "The recipients; one or a list: addresses, `person:NAME`, `team:NAME`.");
    if to.is_empty() && !reader.is_describing() && reader.node("to").is_some() {
        reader.reject("to", "names nobody", address::FORM);
    }
    let cc = read_recipients(reader, "cc", "Recipients of a copy; one or a list, as in `to`.");
    if to.len() + cc.len() > RECIPIENTS_MAX {
        let what = format!("{} recipients are too many for one mail", to.len() + cc.len());
        reader.reject("to", what, "at most 100; use a list address of the mail server");
    }
    let texts = Texts::read(reader);
    let digest = Digest::read(reader);
    Box::new(Email { transport, from, to, cc, texts, digest })
}

fn read_recipients(reader: &Reader<'_>, name: &'static str, doc: &'static str) -> Vec<Mailbox> {
    let field = reader.texts(name, doc);
    let texts = if name == "to" { field.required(Vec::new()) } else { field.optional().unwrap_or_default() };
    let mut mailboxes = Vec::with_capacity(texts.len());
    for text in texts {
        match Mailbox::parse(&text) {
            Some(mailbox) => mailboxes.push(mailbox),
            None => {
                let shown = balefire_model::text::cut(&text, 80).into_owned();
                reader.reject(name, format!("found {shown:?}"), address::FORM);
            }
        }
    }
    mailboxes
}

fn read_transport(reader: &Reader<'_>, host: &Host) -> SmtpTransport {
    let server = reader
        .parsed("host", "The mail server.", "a host's name or address", address::server)
        .required("localhost".to_owned());
    let words = [
        ("starttls", SmtpTls::StartTls),
        ("tls", SmtpTls::Implicit),
        ("implicit", SmtpTls::Implicit),
        ("none", SmtpTls::None),
    ];
    let tls = reader
        .one_of(
            "tls",
            "How the session is protected; `tls`, also called `implicit`, is TLS from the first byte.",
            &words,
        )
        .default_shown(SmtpTls::StartTls, "starttls");
    let usual_port = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    let port = reader
        .integer("port", "Its port.", 1, 65_535)
        .default_shown(usual_port, "587 with starttls, 465 with tls, 25 with none");
    let credentials = read_credentials(reader, tls, &server);
    let ca_file = reader
        .text("ca_file", "A PEM file of certificate authorities to trust instead of the system's.")
        .optional()
        .map(PathBuf::from);
    if ca_file.is_some() && tls == SmtpTls::None {
        reader.reject("ca_file", "has no meaning with `tls: none`", "");
    }
    let own_name = address::server(&host.name).unwrap_or_else(|| "localhost".to_owned());
    let hello = reader
        .parsed("hello", "The name that we say in EHLO.", "a host's name or address", address::server)
        .default_shown(own_name, "this machine's name");
    let timeout = reader
        .duration("timeout", "How long each step of the session may take.")
        .default_shown(Duration::from_secs(30), "30s");
    let port = u16::try_from(port).expect("the range of the setting is that of ports");
    SmtpTransport { host: server, port, tls, credentials, ca_file, hello, timeout }
}

fn read_credentials(reader: &Reader<'_>, tls: SmtpTls, server: &str) -> Option<(String, Secret)> {
    let username = reader.text("username", "The user that we log in as; no login, if left out.").optional();
    let password = reader.secret("password", "The user's password.").optional();
    let credentials = match (username, password) {
        (Some(username), Some(password)) => (username, password),
        (None, None) => return None,
        (Some(_), None) => {
            reader.reject("username", "stands without `password`", "both or neither");
            return None;
        }
        (None, Some(_)) => {
            reader.reject("password", "stands without `username`", "both or neither");
            return None;
        }
    };
    if tls == SmtpTls::None && !address::is_loopback(server) {
        let what = "would cross the network unprotected with `tls: none`";
        reader.reject("password", what, "`tls: starttls`, `tls: tls`, or a mail server on this machine");
    }
    Some(credentials)
}

impl Channel for Email {
    fn limits(&self) -> Limits {
        // Greeting, EHLO, STARTTLS, EHLO, AUTH, MAIL, RCPT, DATA and the message; a session that takes longer hangs.
        let attempt_timeout = self.transport.timeout.saturating_mul(4);
        Limits {
            in_flight: IN_FLIGHT,
            message_bytes_max: MESSAGE_BYTES_MAX,
            attempt_timeout,
            follows_up: true,
            has_template: self.texts.has_template(),
        }
    }

    fn transport(&self) -> Transport {
        Transport::Smtp(self.transport.clone())
    }

    fn runs(&self) -> Option<TakesRuns> {
        Some(TakesRuns {
            records: RunRecords::OnePage,
            page_records_max: 5_000,
            page_bytes_max: 4 << 20,
            marks: false,
            by_default: false,
        })
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        if delivery.run.is_some_and(|page| self.digest.is_silent(page)) {
            let receipt = "no mail: the run has no findings, and send_empty is false".to_owned();
            return Step::Done(Outcome::Delivered { receipt });
        }
        match replies.last() {
            None => Step::Send(Request::Mail(self.mail(delivery))),
            Some(answer) => Step::Done(reply::smtp(answer)),
        }
    }
}

impl Email {
    fn mail(&self, delivery: &Delivery<'_>) -> Mail {
        let message = Message { from: &self.from, to: &self.to, cc: &self.cc };
        let mut to: Vec<String> = Vec::with_capacity(self.to.len() + self.cc.len());
        for mailbox in self.to.iter().chain(&self.cc) {
            if !to.contains(&mailbox.address) {
                to.push(mailbox.address.clone());
            }
        }
        Mail {
            from: self.from.address.clone(),
            to,
            message: message.write(
                delivery,
                match delivery.run {
                    Some(page) => self.texts.with_subject(self.digest.content(delivery, page), delivery),
                    None => self.texts.content(delivery),
                },
            ),
            // Greylisting lets the second attempt pass; one full mailbox must not keep the mail from the others for long.
            is_patient: delivery.attempt <= PATIENT_ATTEMPTS,
        }
    }
}
