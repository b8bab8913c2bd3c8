//! A plugin that is used as a store or as an alert becomes a channel: those that come with Cloudmarker one of our kinds, all
//! others a program under the Python host.

use super::Target;
use super::files::file;
use super::mail::{email, literal};
use super::params::Params;
use crate::import::secrets::{Secrets, says_secret};
use crate::import::{Out, text_of};
use balefire_model::settings::{Node, Value};

/// What a channel is made with, beside its arguments.
pub(super) struct Making<'a> {
    /// The channel's name.
    pub(super) name: &'a str,
    pub(super) target: &'a Target,
    pub(super) secrets: &'a mut Secrets,
}

/// The channel's settings.
pub(super) fn channel(class: &str, params: &mut Params<'_>, making: &mut Making<'_>) -> Out {
    match kind_of(class) {
        "email" => email(params, making.name, making.secrets),
        "slack" => slack(params, making.name, making.secrets),
        "elasticsearch" => elasticsearch(params),
        "mongodb" => mongodb(params, making.name, making.secrets),
        "splunk_hec" => splunk_hec(params, making.name, making.secrets),
        "file" => file(params, making.target.home.as_deref()),
        _ => exec(class, params, making),
    }
}

/// The kind that a class becomes.
pub(super) fn kind_of(class: &str) -> &'static str {
    match short(class) {
        Some("EmailAlert") => "email",
        Some("SlackAlert") => "slack",
        Some("EsStore") => "elasticsearch",
        Some("MongoDBStore") => "mongodb",
        Some("SplunkHECStore") => "splunk_hec",
        Some("FileStore") => "file",
        _ => "exec",
    }
}

/// Whether a kind has to be told to take a run as a whole, as everything in Cloudmarker does with its `done`.
pub(super) fn collects(kind: &str) -> bool {
    ["email", "slack", "exec"].contains(&kind)
}

/// The class's own name, where it is one of Cloudmarker's.
pub(super) fn short(class: &str) -> Option<&str> {
    class.starts_with("cloudmarker.").then(|| class.rsplit('.').next()).flatten()
}

fn slack(params: &mut Params<'_>, name: &str, secrets: &mut Secrets) -> Out {
    let mut settings = Vec::new();
    match params.text("bot_user_token") {
        Some(token) => {
            settings.push(("token".to_owned(), secrets.keep(&format!("{name}-token"), token)));
            let text = "kept in a file of its own; the bot needs users:read.email, im:write, chat:write and files:write, \
                        since what SlackAlert called has been retired";
            params.changed("bot_user_token", "token", text);
        }
        None => params.changed("bot_user_token", "token", "is missing: Cloudmarker fails when the run ends; write it"),
    }
    settings.push(("to".to_owned(), Out::texts(params.texts("to"))));
    match params.take("to").map(|node| &node.value) {
        None => {
            params.changed("to", "to", "is missing: Cloudmarker does not start with it; write at least one address")
        }
        Some(Value::Scalar { .. }) => {
            params.changed("to", "to", "one text counts as one address; Cloudmarker takes each letter of it for one");
        }
        Some(_) => params.mapped("to", "to"),
    }
    settings.push(("attach_report".to_owned(), Out::text("summaries")));
    if let Some(text) = params.text("text").filter(|text| !text.trim().is_empty()) {
        let template = format!("{}\n*{{{{ incident.title }}}}*\n{{{{ incident.description }}}}", literal(text));
        settings.push(("template".to_owned(), Out::text(template)));
        params.changed(
            "text",
            "template",
            "what has happened follows the fixed text; without it the message has more to see",
        );
    }
    params.dropped("temp_file", "the report is made in memory; no file is left behind");
    Out::Map(settings)
}

fn elasticsearch(params: &mut Params<'_>) -> Out {
    let host = params.text("host").unwrap_or("localhost");
    let port = params.text("port").unwrap_or("9200");
    params.mapped("host", "urls");
    params.mapped("port", "urls");
    let index = params.text("index").unwrap_or("cloudmarker");
    params.mapped("index", "index");
    let mut settings = vec![
        ("urls".to_owned(), Out::texts([format!("http://{}:{port}", bracketed(host))])),
        ("index".to_owned(), Out::text(index)),
        ("body".to_owned(), Out::text("record")),
    ];
    if let Some(bytes) = size(params) {
        settings.push(("batch_bytes".to_owned(), Out::Plain(bytes.clamp(64 << 10, 64 << 20).to_string())));
        params.changed("buffer_size", "batch_bytes", "bytes of one request; nothing waits for a buffer to be full");
    }
    Out::Map(settings)
}

fn mongodb(params: &mut Params<'_>, name: &str, secrets: &mut Secrets) -> Out {
    let host = params.text("host").unwrap_or("localhost");
    let port = params.text("port").unwrap_or("27017");
    let uri = if host.starts_with("mongodb://") || host.starts_with("mongodb+srv://") {
        host.to_owned()
    } else {
        format!("mongodb://{}:{port}/", bracketed(host))
    };
    params.mapped("host", "uri");
    params.mapped("port", "uri");
    // A connection string may hold a password.
    let uri = if uri.contains('@') { secrets.keep(&format!("{name}-uri"), &uri) } else { Out::text(uri) };
    let mut settings = vec![("uri".to_owned(), uri)];
    let username = params.text("username").filter(|text| !text.is_empty());
    let password = params.text("password").filter(|text| !text.is_empty());
    if let (Some(username), Some(password)) = (username, password) {
        settings.push(("username".to_owned(), Out::text(username)));
        settings.push(("password".to_owned(), secrets.keep(&format!("{name}-password"), password)));
        params.mapped("username", "username");
        params.changed("password", "password", "kept in a file of its own, which only its owner may read");
    } else if username.is_some() || password.is_some() {
        params.changed("username", "", "left out: username and password go together");
    }
    for (theirs, ours) in [("db", "database"), ("collection", "collection")] {
        settings.push((ours.to_owned(), Out::text(params.text(theirs).unwrap_or("cloudmarker"))));
        params.mapped(theirs, ours);
    }
    settings.push(("body".to_owned(), Out::text("record")));
    if let Some(count) = size(params) {
        settings.push(("batch_documents".to_owned(), Out::Plain(count.clamp(1, 10_000).to_string())));
        params.changed(
            "buffer_size",
            "batch_documents",
            "documents of one insert; nothing waits for a buffer to be full",
        );
    }
    Out::Map(settings)
}

fn splunk_hec(params: &mut Params<'_>, name: &str, secrets: &mut Secrets) -> Out {
    let mut settings = Vec::new();
    match params.text("uri") {
        Some(uri) => {
            let base = uri.split("/services/collector").next().unwrap_or(uri).trim_end_matches('/');
            settings.push(("url".to_owned(), Out::text(base)));
            params.mapped("uri", "url");
        }
        None => params.changed("uri", "url", "is missing: Cloudmarker fails at the start; write the address"),
    }
    match params.text("token") {
        Some(token) => {
            settings.push(("token".to_owned(), secrets.keep(&format!("{name}-token"), token)));
            params.changed("token", "token", "kept in a file of its own, which only its owner may read");
        }
        None => params.changed("token", "token", "is missing: Cloudmarker fails at the start; write it"),
    }
    for argument in ["index", "index_name"] {
        if let Some(index) = params.text(argument) {
            settings.push(("index".to_owned(), Out::text(index)));
            params.mapped(argument, "index");
        }
    }
    match params.text("ca_cert") {
        Some("false" | "False" | "no" | "off") => {
            params.changed(
                "ca_cert",
                "ca_file",
                "the server's certificate is always checked; name your authority here",
            );
        }
        Some("true" | "True" | "yes" | "on") => params.mapped("ca_cert", "ca_file"),
        Some(path) => {
            settings.push(("ca_file".to_owned(), Out::text(path)));
            params.mapped("ca_cert", "ca_file");
        }
        None => {}
    }
    for (key, value) in [("form", "array"), ("body", "record"), ("sourcetype", "json")] {
        settings.push((key.to_owned(), Out::text(value)));
    }
    if let Some(count) = size(params) {
        settings.push(("batch_events".to_owned(), Out::Plain(count.clamp(1, 10_000).to_string())));
        params.changed("buffer_size", "batch_events", "records of one request; nothing waits for a buffer to be full");
    }
    Out::Map(settings)
}

/// The argument `buffer_size`, where it is a number.
fn size(params: &mut Params<'_>) -> Option<u64> {
    let size = params.text("buffer_size")?;
    if size.parse::<u64>().is_err() {
        params.dropped("buffer_size", "it is no whole number; the usual size of a request was taken");
    }
    size.parse().ok()
}

/// Any class, unchanged, under the Python host.
fn exec(class: &str, params: &mut Params<'_>, making: &mut Making<'_>) -> Out {
    let (start, name) = (&making.target.start, making.name);
    let (mut open, mut hidden) = (Vec::new(), Vec::new());
    for (argument, node) in params.all() {
        match text_of(node) {
            Some(text) if says_secret(argument) && !text.is_empty() => {
                hidden.push((argument.to_owned(), making.secrets.keep(&format!("{name}-{argument}"), text)));
                params.changed(argument, &format!("secrets.{argument}"), "kept in a file of its own");
            }
            _ => {
                open.push((argument.to_owned(), any(node)));
                params.mapped(argument, &format!("settings.{argument}"));
            }
        }
    }
    let mut settings = vec![
        ("command".to_owned(), Out::texts([&*start.python, "-m", "balefire.host", class])),
        ("body".to_owned(), Out::text("record")),
    ];
    if let Some(path) = &start.python_path {
        settings.push(("env".to_owned(), Out::map([("PYTHONPATH", Out::text(&**path))])));
    }
    for (key, values) in [("settings", open), ("secrets", hidden)] {
        if !values.is_empty() {
            settings.push((key.to_owned(), Out::Map(values)));
        }
    }
    Out::Map(settings)
}

/// A value as it is: what was quoted stays text, what was not stays what it was.
fn any(node: &Node) -> Out {
    match &node.value {
        Value::Null => Out::Plain("null".to_owned()),
        Value::Scalar { text, quoted } => {
            let is_plain =
                !quoted && serde_json::from_str::<serde_json::Value>(text).is_ok_and(|json| !json.is_string());
            if is_plain { Out::Plain(text.clone()) } else { Out::text(text.clone()) }
        }
        Value::List(items) => Out::List(items.iter().map(any).collect()),
        Value::Map(entries) => Out::Map(entries.iter().map(|(key, node)| (key.name.clone(), any(node))).collect()),
    }
}

/// An IPv6 address in brackets, everything else as it is.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}
