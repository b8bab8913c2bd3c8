//! Asks a running server: HTTP/1.1 over its Unix socket or over TCP. Knows no command and no answer's meaning.

use super::output;
use super::{Exit, Failure};
use crate::clock;
use crate::transport::tls;
use balefire_model::text::Secret;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an answer may take: longer than the server itself waits for anything.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// The largest answer that is read; 10,000 receipts are about 3 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The rest between two tries where the server does not say how long.
const RETRY_REST: Duration = Duration::from_millis(500);

/// Which server a command asks. Without these it is the socket of the configuration or of --data.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Reach {
    /// The server's address, in place of the Unix socket, such as http://127.0.0.1:9480
    #[arg(long, value_name = "URL", env = "BALEFIRE_URL", help_heading = "Server")]
    pub url: Option<String>,
    /// The bearer token that the server asks for
    #[arg(long, value_name = "TOKEN", env = "BALEFIRE_TOKEN", hide_env_values = true, help_heading = "Server")]
    pub token: Option<TokenText>,
}

/// A token on the command line: prints as `***`.
#[derive(Clone, Debug)]
pub(crate) struct TokenText(pub Secret);

impl From<String> for TokenText {
    fn from(text: String) -> TokenText {
        TokenText(Secret::new(text))
    }
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Socket(PathBuf),
    Tcp { is_tls: bool, host: String, port: u16, prefix: String },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no server answers at {place}: is `balefire serve` running {with}?")]
    Unreachable {
        place: String,
        with: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the connection to {place} broke off before the answer was there")]
    Broken {
        place: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("no answer from {place} within {} s", ANSWER_TIME_MAX.as_secs())]
    Slow { place: String },
    #[error("--url: found {found:?}; allowed: http://HOST:PORT or https://HOST:PORT")]
    Url { found: String },
    #[error("--token: this cannot be a token; allowed: letters, digits and marks of ASCII")]
    Token,
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl ClientError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            ClientError::Unreachable { .. } | ClientError::Slow { .. } => Exit::Unreachable,
            ClientError::Url { .. } | ClientError::Token => Exit::Usage,
            ClientError::Broken { .. } | ClientError::Tls(_) | ClientError::Runtime(_) => Exit::Failed,
        }
    }
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub method: Method,
    /// With its query; see [`encoded`].
    pub path: String,
    /// Content-Type and content.
    pub body: Option<(&'static str, Bytes)>,
    pub idempotency_key: Option<String>,
}

impl Question {
    pub(crate) fn get(path: String) -> Question {
        Question { method: Method::GET, path, body: None, idempotency_key: None }
    }

    pub(crate) fn post(path: String) -> Question {
        Question { method: Method::POST, path, body: None, idempotency_key: None }
    }
}

/// The answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

impl Reply {
    /// The value that a good answer holds; a bad one is a failure in the server's words.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        parsed(&self.text()?)
    }

    /// The text of a good answer, byte for byte.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        if !self.status.is_success() {
            return Err(self.failure());
        }
        String::from_utf8(self.body.to_vec()).map_err(|_| Failure::new(Exit::Failed, NO_JSON))
    }

    /// What a bad answer says.
    pub(crate) fn failure(&self) -> Failure {
        let exit = match self.status {
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT => Exit::Usage,
            _ => Exit::Failed,
        };
        let problem: Option<Value> = serde_json::from_slice(&self.body).ok();
        let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        Failure::new(exit, detail.map_or_else(|| format!("the server answered {}", self.status), str::to_owned))
    }
}

const NO_JSON: &str = "the answer is no JSON; is this the address of a balefire server?";

/// The value of an answer.
pub(crate) fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::new(Exit::Failed, NO_JSON))
}

/// Asks one server.
pub(crate) struct Client {
    target: Target,
    authorization: Option<HeaderValue>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// Over TCP where `reach` says so, else over the socket that `socket` finds.
    pub(crate) fn new(reach: &Reach, socket: impl FnOnce() -> Result<PathBuf, Failure>) -> Result<Client, Failure> {
        let target = match &reach.url {
            Some(url) => parse_url(url).ok_or_else(|| ClientError::Url { found: url.clone() })?,
            None => Target::Socket(socket()?),
        };
        let authorization = reach.token.as_ref().map(|TokenText(token)| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            Ok::<_, ClientError>(value)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ClientError::Runtime)?;
        Ok(Client { target, authorization: authorization.transpose()?, runtime })
    }

    /// One question, one answer.
    pub(crate) fn ask(&self, question: &Question) -> Result<Reply, ClientError> {
        self.runtime.block_on(self.exchange(question))
    }

    /// Asks again while the server is too busy or the connection breaks, until `limit` is over. Only for questions that
    /// may be repeated.
    pub(crate) fn ask_patiently(&self, question: &Question, limit: Duration) -> Result<Reply, ClientError> {
        let begin = clock::monotonic();
        loop {
            let answered = self.ask(question);
            let rest = match &answered {
                Ok(reply) if is_busy(reply.status) => reply.retry_after.unwrap_or(RETRY_REST),
                Err(ClientError::Broken { .. }) => RETRY_REST,
                Ok(_) | Err(_) => return answered,
            };
            if begin.elapsed() + rest >= limit {
                return answered;
            }
            output::progress(&format!("the server is busy; trying again in {} s", rest.as_secs_f32()));
            self.rest(rest);
            output::progress_ends();
        }
    }

    /// Waits.
    pub(crate) fn rest(&self, time: Duration) {
        // Inside: a timer needs the runtime to be there when it is made.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    async fn exchange(&self, question: &Question) -> Result<Reply, ClientError> {
        match &self.target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|source| self.unreachable(source))?;
                self.speak(stream, "localhost", "", question).await
            }
            Target::Tcp { is_tls, host, port, prefix } => {
                let connect = tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect((host.as_str(), *port)));
                let stream = connect.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                let stream = stream.map_err(|source| self.unreachable(source))?;
                let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                if !is_tls {
                    return self.speak(stream, &name, prefix, question).await;
                }
                tls::install_provider();
                let connector = tokio_rustls::TlsConnector::from(Arc::new(tls::client_config(None)?));
                let server = rustls::pki_types::ServerName::try_from(host.clone())
                    .map_err(|_| ClientError::Url { found: host.clone() })?;
                let connect = tokio::time::timeout(CONNECT_TIME_MAX, connector.connect(server, stream));
                let stream = connect.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                let stream = stream.map_err(|source| self.unreachable(source))?;
                self.speak(stream, &name, prefix, question).await
            }
        }
    }

    /// Speaks HTTP over a stream, which ends with the answer.
    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
        prefix: &str,
        question: &Question,
    ) -> Result<Reply, ClientError> {
        let mut request = hyper::Request::builder()
            .method(&question.method)
            .uri(format!("{prefix}{}", question.path))
            .header(HOST, host);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(key) = &question.idempotency_key {
            request = request.header(HeaderName::from_static("idempotency-key"), key);
        }
        let (content_type, body) = question.body.clone().unzip();
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|error| self.broken(error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let connection = tokio::spawn(connection);
        let answered = tokio::time::timeout(ANSWER_TIME_MAX, async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|source| ClientError::Broken { place: self.place(), source })?;
            let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Reply { status: head.status, retry_after: retry_after.map(Duration::from_secs), body: body.to_bytes() })
        });
        let answered = answered.await.unwrap_or_else(|_| Err(ClientError::Slow { place: self.place() }));
        connection.abort();
        answered
    }

    fn place(&self) -> String {
        match &self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Tcp { is_tls, host, port, prefix } => {
                format!("{}://{host}:{port}{prefix}", if *is_tls { "https" } else { "http" })
            }
        }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        let with = match &self.target {
            Target::Socket(_) => "with this --config or --data",
            Target::Tcp { .. } => "there",
        };
        ClientError::Unreachable { place: self.place(), with, source }
    }

    fn broken(&self, error: impl std::error::Error + Send + Sync + 'static) -> ClientError {
        ClientError::Broken { place: self.place(), source: Box::new(error) }
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn parse_url(text: &str) -> Option<Target> {
    let uri: Uri = text.trim().parse().ok()?;
    let is_tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return None;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    Some(Target::Tcp { is_tls, host, port, prefix: uri.path().trim_end_matches('/').to_owned() })
}

/// Text as one part of a path or of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
