//! The arguments of Cloudmarker's `send_email`, of the plugin EmailAlert as of the top-level `email`, become the settings of
//! a channel of the kind `email`.

use super::params::Params;
use crate::import::report::quoted;
use crate::import::secrets::Secrets;
use crate::import::{Out, text_of};
use balefire_model::settings::Value;

/// The settings of the channel `name`.
pub(super) fn email(params: &mut Params<'_>, name: &str, secrets: &mut Secrets) -> Out {
    let mut settings = Vec::new();
    let mut set = |key: &str, value: Out| settings.push((key.to_owned(), value));
    let host = host(params);
    set("host", Out::text(host));
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "::1");
    let username = params.text("username").filter(|username| !username.is_empty());
    let (tls, port_default) = protection(params, is_local || username.is_none());
    set("tls", Out::text(tls));
    match params.text("port").filter(|port| *port != "0") {
        Some(port) => {
            set("port", Out::Plain(port_of(port)));
            params.mapped("port", "port");
        }
        // Ours would be another one without TLS from the first byte.
        None => set("port", Out::Plain(port_default.to_owned())),
    }
    let password = params.text("password").filter(|password| !password.is_empty());
    match (username, password) {
        (Some(username), Some(password)) => {
            set("username", Out::text(username));
            set("password", secrets.keep(&format!("{name}-password"), password));
            params.mapped("username", "username");
            params.changed("password", "password", "kept in a file of its own, which only its owner may read");
        }
        (Some(_), None) => params.changed("username", "", "left out: there is no password, and no login without one"),
        (None, Some(_)) => params.changed("password", "", "left out: there is no username, and no login without one"),
        (None, None) => {}
    }
    match params.text("from_addr") {
        Some(from) => {
            set("from", Out::text(from));
            params.mapped("from_addr", "from");
        }
        None => {
            params.changed("from_addr", "from", "is missing: Cloudmarker fails when the run ends; write an address")
        }
    }
    set("to", Out::texts(recipients(params)));
    if let Some(subject) = params.text("subject") {
        set("subject_template", Out::text(format!("{}: {{{{ incident.title }}}}", literal(subject))));
        params.changed("subject", "subject_template", "what has happened follows the fixed subject");
    }
    params.dropped("debug", "`balefire why` tells each attempt; Cloudmarker's debug output had the password in it");
    params.dropped("content", "Cloudmarker overwrites it, too");
    Out::Map(settings)
}

fn host<'a>(params: &mut Params<'a>) -> &'a str {
    match params.text("host") {
        Some(host) if !host.is_empty() => {
            params.mapped("host", "host");
            host
        }
        _ => {
            let text = "empty or missing: localhost, as its documentation says; Cloudmarker itself connects nowhere then \
                        and sends no mail";
            params.changed("host", "host", text);
            "localhost"
        }
    }
}

/// Our word for `ssl_mode`, and the port that goes with it. A login never goes out in clear over a network.
fn protection(params: &mut Params<'_>, clear_is_safe: bool) -> (&'static str, &'static str) {
    const CHECKED: &str = "the server's certificate is checked now, which Cloudmarker does not do; `ca_file` takes your own \
                           authority";
    match params.text("ssl_mode").unwrap_or("ssl") {
        "ssl" => {
            params.changed("ssl_mode", "tls", CHECKED);
            ("tls", "465")
        }
        "starttls" => {
            params.changed("ssl_mode", "tls", CHECKED);
            ("starttls", "25")
        }
        "disable" if clear_is_safe => {
            params.mapped("ssl_mode", "tls");
            ("none", "25")
        }
        "disable" => {
            params.changed("ssl_mode", "tls", "starttls: a password is not sent in clear to another machine");
            ("starttls", "25")
        }
        other => {
            let text = format!("found {}, with which Cloudmarker sends no mail; tls was taken", quoted(other));
            params.changed("ssl_mode", "tls", &text);
            ("tls", "465")
        }
    }
}

fn recipients<'a>(params: &mut Params<'a>) -> Vec<&'a str> {
    let Some(node) = params.take("to_addrs") else {
        params.changed("to_addrs", "to", "is missing: Cloudmarker fails when the run ends; write at least one address");
        return Vec::new();
    };
    if let Value::Scalar { .. } = node.value {
        let text = "one text counts as one address, or several with commas; Cloudmarker takes each letter of it for an \
                    address, and sends no mail";
        params.changed("to_addrs", "to", text);
        return text_of(node).unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
    }
    params.mapped("to_addrs", "to");
    params.texts("to_addrs")
}

/// A number stays as it is; anything else is for `check` to refuse, with its place.
fn port_of(port: &str) -> String {
    if port.parse::<u16>().is_ok() { port.to_owned() } else { format!("{port:?}") }
}

/// Text that means itself in a template.
pub(super) fn literal(text: &str) -> String {
    text.replace('{', "{{ '{' }}")
}
