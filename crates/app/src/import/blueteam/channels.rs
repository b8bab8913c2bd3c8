//! The alerting and the database of the blue team's monitor become channels: mail, syslog, console, and rows of
//! `alert_history`. What is switched off becomes none, and that is told.

use super::dialect::Dialect;
use super::keys::Keys;
use crate::config::{Environment, expanded, is_understood};
use crate::import::report::quoted;
use crate::import::secrets::Secrets;
use crate::import::{Out, Verdict};

/// The password as both engines find it; none is sent where neither variable is set.
const PASSWORD: &str = "${EQMON_AUTH_DB_PASS:-${DB_PASS:-}}";

const EMAIL: [&str; 5] = [
    "alerting.email.enabled",
    "alerting.email.smtp_host",
    "alerting.email.smtp_port",
    "alerting.email.from_address",
    "alerting.email.recipients",
];

/// What the channels are made of.
pub(super) struct Making<'m, 'a> {
    pub(super) dialect: Dialect,
    pub(super) env: &'m Environment<'m>,
    pub(super) keys: &'m mut Keys<'a>,
    pub(super) secrets: &'m mut Secrets,
}

impl<'a> Making<'_, 'a> {
    /// The channels with their names, and the table that has every incident.
    pub(super) fn channels_and_history(mut self) -> (Vec<(String, Out)>, Option<Out>) {
        let made = [("email", self.email()), ("syslog", self.syslog()), ("console", self.console())];
        let named = |(kind, settings): (&str, Option<Out>)| {
            settings.map(|settings| (kind.to_owned(), Out::map([(kind, settings)])))
        };
        (made.into_iter().filter_map(named).collect(), self.history())
    }

    fn dialect(&self) -> (String, Out) {
        ("dialect".to_owned(), Out::text(self.dialect.as_str()))
    }

    /// Whether a switch is on. One that is a reference counts as the environment has it now.
    fn is_on(&mut self, path: &str, default: bool, to: &str) -> bool {
        let Some(text) = self.keys.text(path) else { return default };
        let Some(word) = expanded(text, self.env) else {
            let said = format!("{} says nothing now; {default} was taken", quoted(text));
            self.keys.tell(Verdict::Changed, path, to, &said);
            return default;
        };
        let on = match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" | "" => Some(false),
            _ => None,
        };
        match on {
            Some(on) if text.contains("${") => {
                let said =
                    format!("{} is {on} now, and that was taken for ever; import again to change it", quoted(text));
                self.keys.tell(Verdict::Changed, path, to, &said);
            }
            Some(true) => self.keys.tell(Verdict::Mapped, path, to, ""),
            Some(false) => self.keys.tell(Verdict::Mapped, path, "", "off: there is no such channel"),
            None => {
                let said = format!("found {}, which the engine takes for true; allowed: true, false", quoted(&word));
                self.keys.tell(Verdict::Changed, path, to, &said);
            }
        }
        on.unwrap_or(true)
    }

    fn email(&mut self) -> Option<Out> {
        let on = self.is_on(EMAIL[0], false, "channels.email");
        let recipients = self.keys.texts("alerting.email.recipients");
        let why_not = match (on, recipients.is_empty()) {
            (false, _) => "is left out: mail is off",
            (true, true) => "is left out: there are no recipients, and the engine sends no mail then, either",
            (true, false) => "",
        };
        if !why_not.is_empty() {
            EMAIL[1..].iter().for_each(|path| self.keys.tell_set(Verdict::NoCounterpart, path, "", why_not));
            if on {
                self.keys.tell(Verdict::Changed, EMAIL[4], "", "write recipients: nobody gets mail without");
            }
            return None;
        }
        let (host, tls) = self.mail_server();
        let mut settings = vec![("host".to_owned(), host), ("tls".to_owned(), Out::text(tls))];
        let port = self.keys.text("alerting.email.smtp_port").unwrap_or("587");
        settings.push(("port".to_owned(), self.number("alerting.email.smtp_port", port)));
        let from = self.keys.text("alerting.email.from_address").unwrap_or("blueteam@eqmon.local");
        settings.push(("from".to_owned(), self.keys.value("alerting.email.from_address", from)));
        // People write several into one text; a comma between quotes belongs to a name.
        let is_list = |text: &&str| text.contains(',') && !text.contains(['"', '$']);
        let has_lists = recipients.iter().any(is_list);
        let each = |text: &'a str| if is_list(&text) { text.split(',').collect() } else { vec![text] };
        let each = recipients.iter().flat_map(|text| each(text)).map(str::trim).filter(|to| !to.is_empty());
        let to = each.map(|to| self.keys.value("alerting.email.recipients", to)).collect();
        settings.push(("to".to_owned(), Out::List(to)));
        settings.push(self.dialect());
        self.keys.tell_set(Verdict::Mapped, "alerting.email.from_address", "channels.email.email.from", "");
        match has_lists {
            true => self.keys.tell(
                Verdict::Changed,
                EMAIL[4],
                "channels.email.email.to",
                "several in one text are a list here",
            ),
            false => self.keys.tell(Verdict::Mapped, EMAIL[4], "channels.email.email.to", ""),
        }
        Some(Out::Map(settings))
    }

    /// The mail server, and how mails to it are protected. The engine knows no TLS at all.
    fn mail_server(&mut self) -> (Out, &'static str) {
        let host = self.keys.text("alerting.email.smtp_host").unwrap_or("localhost");
        let port = self.keys.text("alerting.email.smtp_port").unwrap_or("587");
        let to = "channels.email.email.tls";
        let (tls, said) = match usual(port).as_str() {
            _ if is_here(&usual(host)) => ("none", ""),
            "587" => (
                "starttls",
                "mails are protected now, and the server's certificate is checked; `tls: none` sends them in clear as before",
            ),
            "465" => ("tls", "TLS from the first byte, which the engine does not speak"),
            _ => ("none", "mails cross the network in clear, as before; `tls: starttls` protects them"),
        };
        let verdict = if said.is_empty() { Verdict::Mapped } else { Verdict::Changed };
        self.keys.tell_set(Verdict::Mapped, "alerting.email.smtp_port", "channels.email.email.port", "");
        match self.keys.node("alerting.email.smtp_host") {
            Some(_) => {
                self.keys.tell(verdict, "alerting.email.smtp_host", &format!("channels.email.email.host, {to}"), said)
            }
            None => self.keys.tell(verdict, "alerting.email.smtp_host", to, "is not set: localhost, as in the engine"),
        }
        (self.keys.value("alerting.email.smtp_host", host), tls)
    }

    fn syslog(&mut self) -> Option<Out> {
        const FACILITY: &str = "alerting.syslog.facility";
        const TO: &str = "channels.syslog.syslog.facility";
        let on = self.is_on("alerting.syslog.enabled", true, "channels.syslog");
        let facility = self.keys.text(FACILITY);
        if !on {
            self.keys.tell_set(Verdict::NoCounterpart, FACILITY, "", "is left out: syslog is off");
            return None;
        }
        let own = facility.map(|text| if text.contains("${") { text.to_owned() } else { text.to_lowercase() });
        let own = own.as_deref().map_or("local6", |text| text.strip_prefix("log_").unwrap_or(text));
        match (facility, self.dialect) {
            (None, _) => {}
            (Some(_), Dialect::Plan) if own != "local6" => {
                let said = "counts now: the engine of the plan logs to local6 whatever stands here";
                self.keys.tell(Verdict::Changed, FACILITY, TO, said);
            }
            (Some(_), _) => self.keys.tell(Verdict::Mapped, FACILITY, TO, ""),
        }
        let facility = self.keys.value(FACILITY, own);
        // Said although it is the default: consumers ask the log for this name.
        let ident = ("ident".to_owned(), Out::text("eqmon-blueteam"));
        Some(Out::Map(vec![("facility".to_owned(), facility), ident, self.dialect()]))
    }

    fn console(&mut self) -> Option<Out> {
        const VERBOSE: &str = "monitoring.verbose";
        let shown = match self.dialect {
            Dialect::Plan => {
                let said = "the console is always there; `balefire serve --log debug` tells more of the engine itself";
                self.keys.tell_set(Verdict::NoCounterpart, VERBOSE, "", said);
                true
            }
            Dialect::Shipped => self.is_on(VERBOSE, false, "channels.console"),
        };
        // The released engine prints, and what reads that goes on reading it.
        let to = (self.dialect == Dialect::Shipped).then(|| ("to".to_owned(), Out::text("stdout")));
        shown.then(|| Out::Map(to.into_iter().chain([self.dialect()]).collect()))
    }

    fn history(&mut self) -> Option<Out> {
        const TO: &str = "history.postgres";
        if self.keys.node("database").is_none() {
            let said = "is not set: no rows are written; Balefire's own history has every incident";
            self.keys.tell(Verdict::NoCounterpart, "database", "", said);
            return None;
        }
        let mut settings = vec![("url".to_owned(), self.url())];
        match self.keys.text("database.user") {
            Some(user) => {
                settings.push(("username".to_owned(), self.keys.value("database.user", user)));
                self.keys.tell(Verdict::Mapped, "database.user", &format!("{TO}.username"), "");
            }
            None => {
                let said = "is not set: write the role that may add rows";
                self.keys.tell(Verdict::Changed, "database.user", &format!("{TO}.username"), said);
            }
        }
        let password = self.password(&format!("{TO}.password"));
        settings.push(("password".to_owned(), password));
        settings.push(("table".to_owned(), Out::text("blueteam.alert_history")));
        let said = match self.dialect {
            Dialect::Plan => {
                "each incident is a row, also where its rule has none in alert_rules; `create: plan` adds the column `balefire` \
                 with controls, CUI and events"
            }
            Dialect::Shipped => {
                // Rows that are only counted cannot tell a repeat.
                settings.push(("create".to_owned(), Out::text("shipped")));
                "each incident is a row, where the engine writes none; `create: shipped` adds the columns `balefire_id` and \
                 `balefire`, or the table's owner does with packaging/postgres/balefire.sql"
            }
        };
        self.keys.tell(Verdict::Changed, "database", TO, said);
        Some(Out::Map(settings))
    }

    fn url(&mut self) -> Out {
        const TO: &str = "history.postgres.url";
        let [host, port, name] = [("host", "localhost"), ("port", "5432"), ("name", "eqmon")].map(|(key, otherwise)| {
            let path = format!("database.{key}");
            let text = self.keys.text(&path).unwrap_or(otherwise);
            if key == "host" && !is_here(&usual(text)) && !text.starts_with('/') {
                let said = "over TLS, and the server's certificate is checked; `ca_file` takes your own authority, and \
                            `sslmode: prefer` is what was before";
                self.keys.tell(Verdict::Changed, &path, TO, said);
            } else {
                self.keys.tell_set(Verdict::Mapped, &path, TO, "");
            }
            let written = self.keys.written(&path, text);
            if written.contains("${") { written } else { encoded(&written) }
        });
        Out::Reference(if host.starts_with('/') {
            format!("postgresql:///{name}?host={host}&port={port}")
        } else if host.contains(':') && !host.contains("${") {
            format!("postgresql://[{host}]:{port}/{name}")
        } else {
            format!("postgresql://{host}:{port}/{name}")
        })
    }

    /// A reference stays one; what is written out goes into a file of its own.
    fn password(&mut self, to: &str) -> Out {
        const OWN: &str = "database.password";
        match self.keys.text(OWN) {
            None => {
                let said = "the first of the two that the environment of `balefire serve` has; none is sent where it has neither";
                self.keys.tell(Verdict::Mapped, "(EQMON_AUTH_DB_PASS, DB_PASS)", to, said);
                Out::Reference(PASSWORD.to_owned())
            }
            Some(text) if is_only_references(text) => {
                self.keys.tell(Verdict::Mapped, OWN, to, "");
                Out::Reference(text.to_owned())
            }
            Some(text) => {
                let said = match text.contains("${") {
                    true => {
                        "holds a secret of its own beside the reference: what it comes to now is kept in a file of its own, \
                         and the variable counts no more; `password: \"${NAME}\"` has it count"
                    }
                    false => "kept in a file of its own, which only its owner may read",
                };
                self.keys.tell(Verdict::Changed, OWN, to, said);
                let secret = expanded(text, self.env).unwrap_or_else(|| text.to_owned());
                self.secrets.keep("alert_history-password", &secret)
            }
        }
    }

    /// A number, or a reference to one; what is neither is for `check` to refuse, with its place.
    fn number(&mut self, path: &str, text: &str) -> Out {
        if text.parse::<u16>().is_ok() { Out::Plain(text.to_owned()) } else { self.keys.value(path, text) }
    }
}

/// What a text comes to where the environment says nothing.
fn usual(text: &str) -> String {
    expanded(text, &|_| None).unwrap_or_else(|| text.to_owned())
}

fn is_here(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// Whether no letter of the text is a secret's own: references without defaults, or with defaults that are such.
fn is_only_references(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else { return false };
    is_understood(text)
        && match inner.split_once(":-") {
            None => !inner.contains(['$', '}']),
            Some((name, default)) => !name.contains(['$', '}']) && (default.is_empty() || is_only_references(default)),
        }
}

/// Percent-encoded for an address (RFC 3986, section 2.1), save for what stands in hosts and paths.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
