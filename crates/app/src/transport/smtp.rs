//! Mail over SMTP sessions (RFC 5321) with STARTTLS, implicit TLS or neither. Knows nothing of what a mail says, nor of
//! what follows from a server's answer.

use super::tls::{self, TlsError};
use super::{describe, harmless, no_answer};
use balefire_channels::{Mail, Reply, SmtpTls, SmtpTransport};
use balefire_model::Cause;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use std::future::Future;
use std::net::IpAddr;
use tokio::sync::Mutex;

/// The mail client of one channel, with its idle sessions.
///
/// The pool is our own: lettre's takes back a connection whose exchange was given up in the middle, and the next mail
/// would read the answers meant for the last one.
pub(super) struct Smtp {
    settings: SmtpTransport,
    tls: Option<TlsParameters>,
    hello: ClientId,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
    idle_max: usize,
}

/// What ends a session's work early.
enum Stop {
    /// The server said no; the session itself is sound.
    Refused(Reply),
    /// The session is of no more use.
    Broken(Reply),
}

impl Smtp {
    /// Reads the certificate authorities; connects nothing. Keeps up to `in_flight` idle sessions.
    ///
    /// # Errors
    /// [`TlsError`] for authorities that cannot be used.
    pub(super) fn open(settings: SmtpTransport, in_flight: u32) -> Result<Smtp, TlsError> {
        let tls = match settings.tls {
            SmtpTls::None => None,
            SmtpTls::StartTls | SmtpTls::Implicit => Some(parameters(&settings)?),
        };
        let hello = match settings.hello.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(settings.hello.clone()),
        };
        Ok(Smtp { settings, tls, hello, idle: Mutex::new(Vec::new()), idle_max: in_flight as usize })
    }

    /// Sends a mail to those of its recipients that the server takes, and names the others in the reply; where it takes
    /// none, the reply is the first refusal. A patient mail goes to all or to none where the server asks for patience. The wait for the answer to the message itself is limited only by the caller, since servers scan before
    /// they answer; every other step has the configured timeout. Cancel-safe: an unfinished session is closed.
    pub(super) async fn exec(&self, mail: Mail) -> Reply {
        let envelope = match envelope(&mail) {
            Ok(envelope) => envelope,
            Err(detail) => return Reply::Failed { cause: Cause::Schema, detail },
        };
        let mut session = match self.session().await {
            Ok(session) => session,
            Err(reply) => return reply,
        };
        match self.send(&mut session, envelope, &mail).await {
            Ok((response, refused)) => {
                self.keep(session).await;
                answer(&response, &refused)
            }
            Err(Stop::Refused(reply)) => {
                // Forget the half-made mail, so that the next one may use the session.
                if self.within(session.command("RSET\r\n")).await.is_ok() {
                    self.keep(session).await;
                }
                reply
            }
            Err(Stop::Broken(reply)) => reply,
        }
    }

    /// Ends idle sessions politely: a server would cut them off after some minutes, and log it as an error.
    pub(super) async fn rest(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().await);
        for mut session in idle {
            if self.within(session.quit()).await.is_err() {
                tracing::debug!(host = %self.settings.host, "an idle mail session had ended already");
            }
        }
    }

    async fn keep(&self, session: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().await;
        if idle.len() < self.idle_max {
            idle.push(session);
        }
    }

    /// An idle session that still answers, or a new one.
    async fn session(&self) -> Result<AsyncSmtpConnection, Reply> {
        loop {
            let idle = self.idle.lock().await.pop();
            let Some(mut session) = idle else {
                return self.connect().await;
            };
            if self.within(session.command(commands::Noop)).await.is_ok() {
                return Ok(session);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Reply> {
        let (host, port, timeout) = (self.settings.host.as_str(), self.settings.port, self.settings.timeout);
        let implicit = self.tls.clone().filter(|_| self.settings.tls == SmtpTls::Implicit);
        let connected = AsyncSmtpConnection::connect_tokio1((host, port), Some(timeout), &self.hello, implicit, None);
        let mut session = self.within(connected).await.map_err(Stop::reply)?;
        if let (SmtpTls::StartTls, Some(tls)) = (self.settings.tls, &self.tls) {
            if !session.can_starttls() {
                return Err(no_answer(format!("{host}:{port} does not offer STARTTLS; nothing was sent in the clear")));
            }
            self.within(session.starttls(tls.clone(), &self.hello)).await.map_err(Stop::reply)?;
        }
        if let Some((user, password)) = &self.settings.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            if session.server_info().get_auth_mechanism(&mechanisms).is_none() {
                let detail = format!("{host}:{port} offers neither AUTH PLAIN nor AUTH LOGIN");
                return Err(Reply::Failed { cause: Cause::Auth, detail });
            }
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            self.within(session.auth(&mechanisms, &credentials)).await.map_err(Stop::reply)?;
        }
        Ok(session)
    }

    async fn send(
        &self,
        session: &mut AsyncSmtpConnection,
        (from, to): (Option<Address>, Vec<Address>),
        mail: &Mail,
    ) -> Result<(Response, Vec<String>), Stop> {
        let message = mail.message.as_slice();
        let mut parameters = Vec::new();
        let mut require = |needed: bool, extension, parameter, what: &str, offer: &str| {
            if !needed {
                return Ok(());
            }
            if !session.server_info().supports_feature(extension) {
                let detail = format!("{what}, and the server does not offer {offer}");
                return Err(Stop::Refused(Reply::Failed { cause: Cause::Schema, detail }));
            }
            parameters.push(parameter);
            Ok(())
        };
        let wide = from.iter().chain(&to).any(|address| !AsRef::<str>::as_ref(address).is_ascii());
        require(wide, Extension::SmtpUtfEight, MailParameter::SmtpUtfEight, "an address is not ASCII", "SMTPUTF8")?;
        let eight_bit = MailParameter::Body(MailBodyParameter::EightBitMime);
        require(!message.is_ascii(), Extension::EightBitMime, eight_bit, "the message is not ASCII", "8BITMIME")?;

        self.within(session.command(commands::Mail::new(from, parameters))).await?;
        let refused = self.name_recipients(session, to, mail.is_patient).await?;
        self.within(session.command(commands::Data)).await?;
        // The library ends the last line itself.
        let message = message.strip_suffix(b"\r\n").unwrap_or(message);
        let response = session.message(message).await.map_err(|error| self.stop(&error))?;
        Ok((response, refused))
    }

    /// Names the recipients; returns what the server said of those that it does not take, where it takes others.
    async fn name_recipients(
        &self,
        session: &mut AsyncSmtpConnection,
        to: Vec<Address>,
        is_patient: bool,
    ) -> Result<Vec<String>, Stop> {
        let count = to.len();
        let (mut refused, mut first) = (Vec::new(), None);
        for recipient in to {
            let name = recipient.to_string();
            let accepted = self.within(session.command(commands::Rcpt::new(recipient, Vec::new()))).await;
            match accepted.map_err(|stop| stop.about(&name)) {
                Ok(_) => {}
                Err(Stop::Refused(Reply::Smtp { code, text })) if code >= 500 || !is_patient => {
                    refused.push(format!("{code} {text}"));
                    first.get_or_insert(Stop::Refused(Reply::Smtp { code, text }));
                }
                Err(stop) => return Err(stop),
            }
        }
        match first {
            Some(stop) if refused.len() == count => Err(stop),
            _ => Ok(refused),
        }
    }

    /// One step of a session within the configured time.
    async fn within<T>(
        &self,
        step: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Stop> {
        match tokio::time::timeout(self.settings.timeout, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.stop(&error)),
            Err(_) => {
                let SmtpTransport { host, port, timeout, .. } = &self.settings;
                Err(Stop::Broken(no_answer(format!("{host}:{port} did not answer within {timeout:?}"))))
            }
        }
    }

    fn stop(&self, error: &lettre::transport::smtp::Error) -> Stop {
        if let Some(code) = error.status() {
            let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let code = u16::from(code);
            let reply = Reply::Smtp { code, text: one_line(text.lines()) };
            // 421: the server closes the session (RFC 5321, section 3.8).
            return if code == 421 { Stop::Broken(reply) } else { Stop::Refused(reply) };
        }
        let SmtpTransport { host, port, .. } = &self.settings;
        let cause = if tls::is_certificate_fault(error) { Cause::Auth } else { Cause::Network };
        Stop::Broken(Reply::Failed { cause, detail: format!("{host}:{port}: {}", describe(error)) })
    }
}

impl Stop {
    fn reply(self) -> Reply {
        let (Stop::Refused(reply) | Stop::Broken(reply)) = self;
        reply
    }

    /// Says whom a refusal is about; behind the server's words, whose beginning has a meaning (RFC 3463).
    fn about(self, recipient: &str) -> Stop {
        match self {
            Stop::Refused(Reply::Smtp { code, text }) => {
                Stop::Refused(Reply::Smtp { code, text: harmless(&format!("{text} (about <{recipient}>)")) })
            }
            other => other,
        }
    }
}

/// The reply to an accepted message; its text often has the server's queue id. Whom it does not go to is said: it is
/// somebody who will not know.
fn answer(response: &Response, refused: &[String]) -> Reply {
    let mut text = one_line(response.message());
    if !refused.is_empty() {
        let refused = refused.join("; ");
        tracing::warn!(refused, "mail server takes the mail, but not for every recipient");
        text = harmless(&format!("{text}; not taken: {refused}"));
    }
    Reply::Smtp { code: u16::from(response.code()), text }
}

fn one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    harmless(lines.map(str::trim).collect::<Vec<_>>().join(" ").trim())
}

fn envelope(mail: &Mail) -> Result<(Option<Address>, Vec<Address>), String> {
    let address =
        |text: &String| text.parse::<Address>().map_err(|error| format!("{text:?} is no mail address: {error}"));
    // An empty sender is the null path of RFC 5321, section 4.5.5.
    let from = if mail.from.is_empty() { None } else { Some(address(&mail.from)?) };
    let to = mail.to.iter().map(address).collect::<Result<Vec<_>, _>>()?;
    if to.is_empty() {
        return Err("the mail has no recipient".to_owned());
    }
    Ok((from, to))
}

fn parameters(settings: &SmtpTransport) -> Result<TlsParameters, TlsError> {
    let builder = || TlsParameters::builder(settings.host.clone());
    let Some(path) = &settings.ca_file else {
        return builder().build_rustls().or_else(|error| {
            // As in `tls::client_config`: without authorities every handshake fails, but not the start.
            tls::warn_of_no_authorities(&error);
            builder().certificate_store(CertificateStore::None).build_rustls().map_err(TlsError::Mail)
        });
    };
    let mut own = builder().certificate_store(CertificateStore::None);
    for certificate in tls::authorities(path)? {
        own = own.add_root_certificate(Certificate::from_der(certificate.to_vec()).map_err(TlsError::Mail)?);
    }
    own.build_rustls().map_err(TlsError::Mail)
}

#[cfg(test)]
#[path = "smtp_tests.rs"]
mod tests;
