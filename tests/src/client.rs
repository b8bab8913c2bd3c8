//! A small HTTP/1.1 client over any stream, so that a test decides about every byte. Knows nothing of incidents.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A server that says nothing for so long will not say anything.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// A token as the configuration has it.
#[must_use]
pub fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What can carry HTTP.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection that is kept open between requests.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    host: String,
    token: Option<String>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} with a body that is no JSON ({error}): {}", self.status, self.text()))
    }

    /// The ids of the accepted items, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let answer = self.json();
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        results.iter().filter_map(|result| result["id"].as_str()).map(str::to_owned).collect()
    }

    /// Itself, if the status is this one.
    ///
    /// # Panics
    /// If not, with the body.
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Connection {
    /// Over TCP.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn tcp(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
        Ok(Connection::over(stream, address.to_string()))
    }

    /// Over a Unix socket.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn unix(path: &Path) -> io::Result<Connection> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
        Ok(Connection::over(stream, "localhost".to_owned()))
    }

    /// Over a stream of any kind; the caller has set its timeouts. `host` is what the `Host` field says.
    pub fn over(stream: impl Read + Write + Send + 'static, host: String) -> Connection {
        Connection { stream: BufReader::new(Box::new(stream)), host, token: None }
    }

    /// Every request carries this bearer token from now on.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Connection {
        self.token = Some(token.to_owned());
        self
    }

    /// Asks with GET.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, &[], b"")
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.request("POST", path, &[("content-type", "application/json")], body)
    }

    /// Any request with a body of known length.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let length = body.len().to_string();
        let mut message = self.head(method, path, headers, &[("content-length", &length)]);
        message.extend_from_slice(body);
        self.write(&message)?;
        self.answer()
    }

    /// A request's head: what is common to all, then these.
    #[must_use]
    pub fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers.iter().chain(more) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// Where the connection breaks, or what comes is no HTTP.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let (first, headers) = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken(format!("no status in {first:?}")))?;
        let body = read_body(&mut self.stream, &headers)?;
        Ok(Answer { status, headers, body })
    }
}

impl Connection {
    /// Reads the head of an answer that has no body, and gives its status.
    ///
    /// # Errors
    /// Where the connection breaks, or what comes is no HTTP.
    pub fn status(&mut self) -> io::Result<u16> {
        let (first, _) = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| broken(format!("no status in {first:?}")))
    }
}

/// A message's first line, and its fields with names in lower case.
pub(crate) type Head = (String, Vec<(String, String)>);

/// Reads a message's head; none where the stream ends before it.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some(first) = read_line(stream)? else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some((first, headers)));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken(format!("no field in {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads the body that the fields announce.
pub(crate) fn read_body(stream: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let field = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| broken(format!("no size in {line:?}")))?;
            let begin = body.len();
            body.resize(begin + size, 0);
            stream.read_exact(&mut body[begin..])?;
            read_line(stream)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = field("content-length").unwrap_or("0");
    let length: usize = length.parse().map_err(|_| broken(format!("no length in {length:?}")))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
