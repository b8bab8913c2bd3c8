//! HTTP requests over pooled connections. Refuses to connect to cloud metadata, follows no redirect, reads a bounded
//! answer. Knows nothing of what is sent nor of what an answer means.

use super::tls::{self, TlsError};
use super::{describe, harmless, no_answer};
use balefire_channels::{HTTP_REPLY_BYTES_MAX, HttpReply, HttpRequest, HttpTransport, Reply, is_metadata_address};
use balefire_model::Cause;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long an idle connection is kept. Shorter than the 60 s at which common servers and balancers (nginx, AWS ALB) close
/// theirs, so that we seldom write into a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The most headers of an answer; more fails the attempt.
const REPLY_HEADERS_MAX: usize = 100;

/// The most bytes that an answer's head may have.
const REPLY_HEAD_BYTES_MAX: usize = 64 * 1024;

/// The HTTP client of one channel.
pub(super) struct Http {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    reply_bytes_max: usize,
}

impl Http {
    /// Reads the certificate authorities; connects nothing. Keeps up to `in_flight` idle connections per server.
    ///
    /// # Errors
    /// [`TlsError`] for authorities that cannot be used.
    pub(super) fn open(settings: &HttpTransport, in_flight: u32) -> Result<Http, TlsError> {
        let mut config = tls::client_config(settings.ca_file.as_deref())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = HttpsConnector::from((Connector { timeout: settings.connect_timeout }, config));
        // A connection that the server closed while it was idle gives the request back unsent, and the client sends it
        // over another one (`retry_canceled_requests`, on by default): that is no failed attempt.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(in_flight as usize)
            .http1_max_headers(REPLY_HEADERS_MAX)
            .http1_max_buf_size(REPLY_HEAD_BYTES_MAX)
            .build(connector);
        Ok(Http { client, reply_bytes_max: HTTP_REPLY_BYTES_MAX })
    }

    /// Reads as much of an answer's body as this, if that is more than usual.
    pub(super) fn reading(self, reply_bytes_max: usize) -> Http {
        Http { reply_bytes_max: reply_bytes_max.max(HTTP_REPLY_BYTES_MAX), ..self }
    }

    /// Sends a request and reads the answer. The caller limits the time. Cancel-safe: a connection with an unfinished
    /// exchange is closed.
    pub(super) async fn exec(&self, request: HttpRequest) -> Reply {
        let request = match build(request) {
            Ok(request) => request,
            Err(detail) => return Reply::Failed { cause: Cause::Schema, detail },
        };
        match self.client.request(request).await {
            Ok(response) => read(response, self.reply_bytes_max).await,
            Err(error) => failure(&error),
        }
    }
}

/// The request as hyper wants it. What is wrong is said without showing the value: addresses and headers carry secrets.
fn build(request: HttpRequest) -> Result<Request<Full<Bytes>>, String> {
    let uri: Uri = request.url.parse().map_err(|error| format!("the URL cannot be used: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err("the URL cannot be used; allowed: http://HOST/... and https://HOST/...".to_owned());
    }
    let method =
        Method::from_bytes(request.method.as_bytes()).map_err(|_| format!("{:?} is no HTTP method", request.method))?;
    let mut built = Request::new(Full::new(Bytes::from(request.body)));
    *built.method_mut() = method;
    *built.uri_mut() = uri;
    for (name, value) in request.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::try_from(value).map_err(|_| {
            format!("the value of header {name} cannot be sent; allowed: visible characters on one line")
        })?;
        built.headers_mut().append(key, value);
    }
    Ok(built)
}

/// The answer with the beginning of its body. A body beyond the limit is not read: its connection is closed.
async fn read(response: Response<Incoming>, reply_bytes_max: usize) -> Reply {
    let (head, mut incoming) = response.into_parts();
    let status = head.status.as_u16();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let detail = format!("the answer {status} broke off after {} bytes: {}", body.len(), describe(&error));
                return no_answer(detail);
            }
        };
        // Trailers are of no use to anybody here.
        let Ok(data) = frame.into_data() else { continue };
        let room = reply_bytes_max - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if body.len() == reply_bytes_max {
            break;
        }
    }
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Reply::Http(HttpReply { status, headers: head.headers.iter().map(header).collect(), body })
}

fn failure(error: &hyper_util::client::legacy::Error) -> Reply {
    if let Some(connect) = tls::find::<ConnectError>(error) {
        let cause = match connect {
            ConnectError::Forbidden { .. } => Cause::Schema,
            _ => Cause::Network,
        };
        return Reply::Failed { cause, detail: describe(connect) };
    }
    if let Some(fault) = tls::find::<rustls::Error>(error) {
        let cause = if tls::is_certificate_fault(error) { Cause::Auth } else { Cause::Network };
        return Reply::Failed { cause, detail: harmless(&format!("TLS failed: {fault}")) };
    }
    if let Some(fault) = tls::find::<hyper::Error>(error) {
        if fault.is_incomplete_message() {
            return no_answer("the server closed the connection before it had answered");
        }
        if fault.is_parse() {
            return no_answer(format!("the answer is not HTTP/1.1: {}", describe(fault)));
        }
        return no_answer(describe(fault));
    }
    no_answer(describe(error))
}

/// Resolves, refuses, connects.
#[derive(Clone)]
struct Connector {
    timeout: Duration,
}

/// Why there is no connection. Says host and port, never the rest of the URL.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{host}: the name cannot be resolved")]
    Resolve {
        host: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{host}: the name has no address")]
    NoAddress { host: String },
    #[error("{host}: {address} serves cloud metadata; requests never go there")]
    Forbidden { host: String, address: IpAddr },
    #[error("{host}: no connection to {address}")]
    Refused {
        host: String,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{host}: no connection within {limit:?}")]
    TimedOut { host: String, limit: Duration },
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(connect(uri, self.timeout))
    }
}

async fn connect(uri: Uri, limit: Duration) -> Result<TokioIo<TcpStream>, ConnectError> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    match tokio::time::timeout(limit, connect_to(host, port, limit)).await {
        Ok(connected) => connected.map(TokioIo::new),
        Err(_) => Err(ConnectError::TimedOut { host: host.to_owned(), limit }),
    }
}

/// One of the host's addresses, each with its share of the time. A name with one forbidden address is refused as a whole:
/// that is an attack, not a fallback.
async fn connect_to(host: &str, port: u16, limit: Duration) -> Result<TcpStream, ConnectError> {
    let resolved = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> =
        resolved.map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })?.collect();
    if let Some(address) = addresses.iter().map(SocketAddr::ip).find(|address| is_metadata_address(*address)) {
        return Err(ConnectError::Forbidden { host: host.to_owned(), address });
    }
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = ConnectError::NoAddress { host: host.to_owned() };
    for address in addresses {
        // The address that was looked at is the one connected to; the name is not resolved again.
        let error = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match stream.set_nodelay(true) {
                Ok(()) => return Ok(stream),
                Err(error) => error,
            },
            Ok(Err(error)) => error,
            Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut),
        };
        last = ConnectError::Refused { host: host.to_owned(), address, source: error };
    }
    Err(last)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
