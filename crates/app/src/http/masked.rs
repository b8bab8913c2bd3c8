//! A request as people may see it: what is or may be a secret is `***`. Knows requests, not the channels that make them;
//! where it cannot know, it hides.

use balefire_channels::{HttpRequest, Mail, Request, StoreFile};
use balefire_model::text;
use serde_json::{Value, json};

/// As much of a body as is shown.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What stands for a secret.
const MASK: &str = "***";

/// Headers that never hold a secret. All others may: users put keys into headers of their own.
const PLAIN_HEADERS: &[&str] = &[
    "accept",
    "content-length",
    "content-type",
    "date",
    "host",
    "idempotency-key",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
];

/// Parts of the names of members and form fields that hold secrets; compared without case and marks.
const SECRET_NAMES: &[&str] = &[
    "accesskey",
    "apikey",
    "authorization",
    "credential",
    "integrationkey",
    "passwd",
    "password",
    "privatekey",
    "routingkey",
    "secret",
    "servicekey",
    "signature",
    "token",
];

/// A part of the address's path that is so long may be a secret, as in webhooks of chats; shorter ones are names.
const PART_BYTES_MIN: usize = 12;

/// The same for addresses inside a text, where ids stand in paths, too, and signed links.
const PART_IN_TEXT_BYTES_MIN: usize = 32;

/// The request as JSON, by its kind.
pub(crate) fn request(request: &Request) -> Value {
    match request {
        Request::Http(request) => http(request),
        Request::Part(part) => json!({ "kind": "part", "lines": body(&String::from_utf8_lossy(part), "") }),
        Request::Mail(mail) => mailed(mail),
        Request::Syslog(message) => json!({ "kind": "syslog", "message": shown(&String::from_utf8_lossy(message)) }),
        Request::Line(line) => json!({ "kind": "line", "line": body(&String::from_utf8_lossy(line), "") }),
        Request::Document(document) => {
            json!({ "kind": "document", "document": body(&document.readable(), "application/json") })
        }
        Request::Exec(exec) => json!({ "kind": "exec", "line": body(&String::from_utf8_lossy(exec.line()), "") }),
        Request::Store(part) => {
            let file = |file: &StoreFile| json!({ "name": shown(&file.name), "records": file.items.len() });
            json!({ "kind": "files", "files": part.files.iter().map(file).collect::<Vec<_>>() })
        }
        Request::Screen(screen) => json!({ "kind": "screen", "text": shown(&screen.plain) }),
    }
}

fn http(request: &HttpRequest) -> Value {
    let header = |(name, value): &(String, String)| {
        let is_plain = PLAIN_HEADERS.contains(&name.to_ascii_lowercase().as_str());
        json!([name, if is_plain { value } else { MASK }])
    };
    let content_type = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or("", |(_, value)| value.as_str());
    json!({
        "kind": "http",
        "method": request.method,
        "url": address(&request.url, PART_BYTES_MIN),
        "headers": request.headers.iter().map(header).collect::<Vec<_>>(),
        "body": body(&String::from_utf8_lossy(&request.body), content_type),
    })
}

/// Decoded first: what cannot be read cannot be masked.
fn mailed(mail: &Mail) -> Value {
    json!({ "kind": "mail", "from": mail.from, "to": mail.to, "message": shown(&mail.readable()) })
}

/// A body by its type. One in which nothing is hidden keeps its form.
fn body(text: &str, content_type: &str) -> String {
    if content_type.starts_with("application/x-www-form-urlencoded") {
        return text::cut(&pairs(text, is_secret_name), BODY_BYTES_MAX).into_owned();
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let mut masked = value.clone();
            mask_members(&mut masked);
            let form = if masked == value { text.to_owned() } else { masked.to_string() };
            shown(&form)
        }
        Err(_) => shown(text),
    }
}

fn mask_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if is_secret_name(name) && !member.is_null() {
                    *member = MASK.into();
                } else {
                    mask_members(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_members),
        _ => {}
    }
}

fn is_secret_name(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// `name=value&name=value` without the values that are meant.
fn pairs(text: &str, is_meant: impl Fn(&str) -> bool) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_meant(name) => format!("{name}={MASK}"),
        Some(_) => pair.to_owned(),
        // Without a name it may be a value alone.
        None if is_meant(pair) => MASK.to_owned(),
        None => pair.to_owned(),
    };
    text.split('&').map(pair).collect::<Vec<_>>().join("&")
}

/// A text with the addresses in it masked, cut to what is shown.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["https://", "http://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| c.is_whitespace() || "\"'<>\\`)]}".contains(c)).unwrap_or(from.len());
        shown.push_str(before);
        shown.push_str(&address(&from[..end], PART_IN_TEXT_BYTES_MIN));
        rest = &from[end..];
    }
    shown.push_str(rest);
    text::cut(&shown, BODY_BYTES_MAX).into_owned()
}

/// An address without user and password, without the values of its query, and without long parts of its path.
fn address(url: &str, part_bytes_min: usize) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
    let mut parts = rest.split('/');
    let authority = parts.next().unwrap_or_default();
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    let mut masked = format!("{scheme}://{host}");
    for part in parts {
        masked = format!("{masked}/{}", if part.len() >= part_bytes_min { MASK } else { part });
    }
    match query {
        Some(query) => format!("{masked}?{}", pairs(query, |_| true)),
        None => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_request_is_shown_and_the_rest_is() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = request(&Request::Http(HttpRequest {
            method: "POST",
            url: "https://u:hunter2@hooks.example.org:8443/services/T0/XXhunter2longXX?key=hunter2&hunter2".to_owned(),
            headers: vec![
                header("content-type", "application/json"),
                header("authorization", "Bearer hunter2"),
                header("webhook-signature", "v1,hunter2"),
                header("x-own", "hunter2"),
                header("webhook-id", "d1"),
            ],
            body: br#"{"title":"T","routing_key":"hunter2","a":[{"Api-Key":"hunter2"}],
                "link":"https://u:hunter2@h/ack?sig=hunter2"}"#
                .to_vec(),
        }));
        let told = request.to_string();
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(request["url"], "https://***@hooks.example.org:8443/services/T0/***?key=***&***");
        assert_eq!(request["headers"][4], json!(["webhook-id", "d1"]));
        let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["title"], "T");
        assert_eq!(body["link"], "https://***@h/ack?sig=***");
    }

    #[test]
    fn a_form_keeps_its_fields_but_those_that_are_secret() {
        assert_eq!(body("token=abc&title=T", "application/x-www-form-urlencoded"), "token=***&title=T");
    }

    #[test]
    fn a_body_without_secrets_keeps_its_form() {
        let text = "{\"b\": 1.0,  \"a\": \"see http://example.org/runbook/7\"}";
        assert_eq!(body(text, "application/json"), text);
    }

    #[test]
    fn a_signed_link_in_a_mail_is_masked_however_it_is_encoded() {
        let message = "Subject: T\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\nContent-Transfer-\
                       Encoding: quoted-printable\r\n\r\nAck: https://b.example/ack?sig=3Dhun=\r\nter2\r\n--b\r\n\
                       Content-Transfer-Encoding: base64\r\n\r\naHR0cHM6Ly9iLmV4YW1wbGUvYWNrP3NpZz1odW50ZXIy\r\n--b--\r\n";
        let mail = Mail {
            from: "a@b".to_owned(),
            to: vec!["c@d".to_owned()],
            message: message.as_bytes().to_vec(),
            is_patient: true,
        };
        let told = request(&Request::Mail(mail)).to_string();
        assert!(!told.contains("ter2") && !told.contains("aHR0"), "{told}");
        assert!(told.contains("Subject: T"), "{told}");
        assert_eq!(told.matches("https://b.example/ack?sig=***").count(), 2, "{told}");
    }
}
