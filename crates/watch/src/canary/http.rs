//! A canary for our own listener: one small request over a plain connection, with limits on time and size.

use crate::watcher::CANARY;
use balefire_model::text::{Secret, cut, one_line};
use serde_json::json;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A look must end within a second; the listener is on this machine.
const STEP_TIME_MAX: Duration = Duration::from_millis(250);

/// As much of the answer is read: its first line is what counts.
const ANSWER_BYTES_MAX: usize = 512;

/// Where the listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// `http://HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let rest = text.trim().strip_prefix("http://")?.trim_end_matches('/');
        let (host, port) = rest.rsplit_once(':')?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let is_good = !host.is_empty() && host.chars().all(is_host);
        is_good.then_some(Address { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("http://{host}:{port}: {source}")]
    Io { host: String, port: u16, source: io::Error },
    #[error("http://{host}:{port} answers {status}; allowed: 200, 201 or 202")]
    Status { host: String, port: u16, status: String },
}

/// The incident, known again by its nonce.
pub(crate) fn incident(nonce: &str) -> String {
    json!({
        "title": format!("Canary {nonce}"),
        "severity": "info",
        "detected_by": "balefire.canary",
        "description": "Written by Balefire itself to see that events come in.",
        "labels": { CANARY: nonce },
    })
    .to_string()
}

/// Posts it.
pub(crate) fn post(address: &Address, token: Option<&Secret>, body: &str) -> Result<(), PostError> {
    let Address { host, port } = address.clone();
    let answer = exchange(address, token, body);
    let answer = answer.map_err(|source| PostError::Io { host: host.clone(), port, source })?;
    match answer.split_ascii_whitespace().nth(1).unwrap_or("nothing") {
        "200" | "201" | "202" => Ok(()),
        other => Err(PostError::Status { host, port, status: cut(&one_line(other), 40).into_owned() }),
    }
}

fn exchange(address: &Address, token: Option<&Secret>, body: &str) -> io::Result<String> {
    let Address { host, port } = address;
    let place = (host.trim_matches(['[', ']']), *port).to_socket_addrs()?.next();
    let place = place.ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&place, STEP_TIME_MAX)?;
    stream.set_read_timeout(Some(STEP_TIME_MAX))?;
    stream.set_write_timeout(Some(STEP_TIME_MAX))?;
    let bearer = token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose())).unwrap_or_default();
    let request = format!(
        "POST /api/v1/incidents HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n{bearer}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(answer: &'static str) -> (Address, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; 4096];
            let length = stream.read(&mut heard).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(heard[..length].to_vec()).unwrap()
        });
        (address, heard)
    }

    #[test]
    fn one_that_comes_in_carries_its_nonce_and_token() {
        let (address, heard) = answering("HTTP/1.1 202 Accepted\r\n\r\n");
        let token = Secret::new("abc".to_owned());
        exchange(&address, Some(&token), &incident("0123")).ok();
        let heard = heard.join().unwrap();
        assert!(heard.contains("Authorization: Bearer abc\r\n") && heard.contains("0123"), "{heard}");
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        assert!(Address::parse("http://127.0.0.1:9480/").is_some());
        for text in ["https://a:1", "http://a", "http://a:x", "http://a b:1", "http://a\r\nX:1"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
