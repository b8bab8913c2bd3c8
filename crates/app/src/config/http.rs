//! The sections `http` and `socket`: where we listen, and who may send. Opens nothing.

use super::channels::Rate;
use super::named::{Named, read_named, report_own_source};
use super::resolve::read_format;
use balefire_intake::formats::Format;
use balefire_model::settings::{Node, Problem, Reader, Shape, Value};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The HTTP listener.
#[derive(Debug)]
pub(crate) struct Http {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Who may do what; without any, everybody who reaches a loopback address may do everything.
    pub(crate) tokens: Vec<Token>,
    /// The largest body that is taken.
    pub(crate) body_bytes_max: u64,
    /// The certificate, where the listener speaks TLS.
    pub(crate) tls: Option<Tls>,
    /// Under which address people reach us: without it, messages have no links.
    pub(crate) public_url: Option<String>,
}

/// A bearer token, of which only the hash is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its name: the source of what it sends.
    pub(crate) name: String,
    /// SHA-256 of the token.
    pub(crate) sha256: [u8; 32],
    /// What it may do.
    pub(crate) role: Role,
    /// How many incidents it may send; without one, as many as are accepted.
    pub(crate) rate: Option<Rate>,
    /// What it sends, where a request does not say.
    pub(crate) format: Format,
    /// For which sources it may send heartbeats, beside the one of its own name.
    pub(crate) heartbeats: Vec<String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Send incidents.
    Send,
    /// Everything.
    Admin,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// The certificate and what signs it.
    pub(crate) cert_file: PathBuf,
    /// The private key.
    pub(crate) key_file: PathBuf,
}

/// The Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its permissions.
    pub(crate) mode: u32,
}

/// Where the listener is, before the command line is heard.
pub(crate) struct HttpSettings {
    /// None for `listen: none`.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) body_bytes_max: u64,
    pub(crate) tls: Option<Tls>,
    pub(crate) public_url: Option<String>,
}

pub(crate) const LISTEN_FORM: &str =
    "an address and a port such as 127.0.0.1:9480, [::]:9480 or localhost:9480, or none";
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9480);
const BODY_BYTES_DEFAULT: u64 = 16 << 20;
/// A body is held in memory while it is decoded; past this, one sender could exhaust it.
const BODY_BYTES_MAX: u64 = 1 << 30;
const SHA256_FORM: &str = "64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them";

/// `none`, or an address and a port. Names are not looked up: only `localhost` is known.
pub(crate) fn parse_listen(text: &str) -> Option<Option<SocketAddr>> {
    if text == "none" {
        return Some(None);
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))));
    }
    text.parse().ok().map(Some)
}

/// Reads the section `http`.
pub(crate) fn read_http(reader: &Reader<'_>) -> HttpSettings {
    let doc = "Where HTTP is served; `none` serves only the socket. Anything but loopback needs a token.";
    let listen = reader.parsed("listen", doc, LISTEN_FORM, parse_listen);
    let listen = listen.default_shown(Some(LISTEN_DEFAULT), "127.0.0.1:9480");
    let doc = "Who may send: a name of your own for each bearer token. The name is the source of what it sends.";
    let describe = |sample: &Reader<'_>| {
        read_token(sample);
    };
    let tokens = read_named(reader, "tokens", doc, describe, |named| {
        let Named { key, reader } = named;
        report_own_source(reader.session(), key, "http.tokens");
        let token = Token { name: key.name.clone(), ..read_token(&reader) };
        reader.finish();
        token
    });
    report_repeated(reader, &tokens);
    let body = reader.bytes("body_bytes_max", "The largest body of one request; larger ones are refused with 413.");
    let body_bytes_max = body.default_shown(BODY_BYTES_DEFAULT, "16MiB");
    if !(1..=BODY_BYTES_MAX).contains(&body_bytes_max) {
        reader.reject("body_bytes_max", format!("found {body_bytes_max} bytes"), "1 byte to 1GiB");
    }
    let doc = "The certificate, PEM; with it the listener speaks TLS only.";
    let tls = reader.section("tls", doc, |reader| Tls {
        cert_file: PathBuf::from(reader.text("cert_file", "The certificate and its chain.").required(String::new())),
        key_file: PathBuf::from(reader.text("key_file", "Its private key.").required(String::new())),
    });
    let tls = tls.optional();
    let doc = "Under which address people reach this server. With it, messages carry a signed link that acknowledges \
               their incident; the path /ack/ must reach us there.";
    let form = "an address such as https://balefire.example.org";
    let public_url = reader.parsed("public_url", doc, form, parse_public_url).optional();
    HttpSettings { listen, tokens, body_bytes_max, tls, public_url }
}

fn parse_public_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"'<>\\".contains(&byte));
    (is_plain && !rest.is_empty() && !rest.starts_with('/')).then(|| text.trim_end_matches('/').to_owned())
}

/// A token without its name.
fn read_token(reader: &Reader<'_>) -> Token {
    let doc = "SHA-256 of the token; the token itself is never written down here.";
    // What was found is not shown: somebody may have put the token itself here.
    let text = |node: &Node| match &node.value {
        Value::Scalar { text, .. } => Ok(Some(text.clone())),
        _ => Ok(None),
    };
    let text = reader.field("sha256", doc, Shape::Text(SHA256_FORM), text).required(None);
    let sha256 = text.as_deref().and_then(parse_sha256);
    if sha256.is_none() && reader.node("sha256").is_some_and(|node| node.value != Value::Null) {
        reader.reject("sha256", "this is no SHA-256 in hexadecimal", SHA256_FORM);
    }
    let roles = [("send", Role::Send), ("admin", Role::Admin)];
    let role = reader.one_of("role", "What it may do: `send` incidents, or everything.", &roles);
    let doc = "How many incidents it may send, such as `500/s`; more are refused with 429. Unlimited if not set.";
    let rate = reader.parsed("rate", doc, "a count and a time such as 500/s or 10000/h", Rate::parse).optional();
    let role = role.default_shown(Role::Send, "send");
    let doc = "Ids of `watch.source` for which it may send heartbeats, beside its own name; `*` stands for anything.";
    let heartbeats = reader.texts("heartbeats", doc).optional().unwrap_or_default();
    let (sha256, format) = (sha256.unwrap_or_default(), read_format(reader));
    Token { name: String::new(), sha256, role, rate, format, heartbeats }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(hash)
}

/// One token under two names has no source.
fn report_repeated(reader: &Reader<'_>, tokens: &[Token]) {
    for (index, token) in tokens.iter().enumerate() {
        let first = tokens[..index].iter().find(|first| first.sha256 == token.sha256 && first.sha256 != [0; 32]);
        if let (Some(first), Some(node)) = (first, reader.node("tokens").and_then(|node| node.get(&token.name))) {
            reader.session().report(Problem {
                place: node.get("sha256").unwrap_or(node).place.clone(),
                path: format!("http.tokens.{}.sha256", token.name),
                what: format!("this is the token of `{}` too", first.name),
                allowed: Some("a token of its own for each source".to_owned()),
                hint: None,
            });
        }
    }
}

/// Reads the section `socket`.
pub(crate) fn read_socket(reader: &Reader<'_>, data: &Path) -> Socket {
    let path = reader.text("path", "Where the socket is; `balefire.sock` in the data directory if not set.").optional();
    let mode = reader.parsed("mode", "Who may open it, as octal permissions.", "0000 to 0777", |text| {
        let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777)
    });
    let mode = mode.default_shown(0o660, "0660");
    Socket { path: path.map_or_else(|| data.join("balefire.sock"), PathBuf::from), mode }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_literal_and_has_a_port() {
        assert_eq!(parse_listen("none"), Some(None));
        assert_eq!(parse_listen("localhost:80"), Some("127.0.0.1:80".parse().ok()));
        assert_eq!(parse_listen("[::]:9480"), Some("[::]:9480".parse().ok()));
        for text in ["", "9480", ":9480", "127.0.0.1", "example.org:80", "localhost:", "127.0.0.1:70000"] {
            assert_eq!(parse_listen(text), None, "{text}");
        }
    }

    #[test]
    fn a_hash_is_64_hexadecimal_digits() {
        assert_eq!(parse_sha256(&"aB".repeat(32)), Some([0xab; 32]));
        for text in ["", "ab", &"+1".repeat(32), &"ä".repeat(32), &"a".repeat(65)] {
            assert_eq!(parse_sha256(text), None, "{text}");
        }
    }
}
