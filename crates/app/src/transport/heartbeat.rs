//! A heartbeat to somebody who would miss it: one request over the client that channels use. When one goes is decided by who
//! sends it.

use super::describe;
use super::http::Http;
use balefire_channels::{HttpRequest, HttpTransport, Reply};
use balefire_watch::Peer;
use std::time::Duration;

/// Sends heartbeats to one address.
pub(crate) struct Heartbeat {
    http: Http,
    request: HttpRequest,
    timeout: Duration,
}

impl Heartbeat {
    /// # Errors
    /// Where the authorities cannot be read; in words.
    pub(crate) fn new(peer: &Peer) -> Result<Heartbeat, String> {
        let settings = HttpTransport { connect_timeout: peer.connect_timeout, ca_file: peer.ca_file.clone() };
        let http = Http::open(&settings, 1).map_err(|error| describe(&error))?;
        let bearer = peer.token.iter().map(|token| ("authorization".to_owned(), format!("Bearer {}", token.expose())));
        let agent = ("user-agent".to_owned(), format!("balefire/{}", env!("CARGO_PKG_VERSION")));
        let headers = bearer.chain([agent, ("content-length".to_owned(), "0".to_owned())]).collect();
        let request = HttpRequest { method: "POST", url: peer.url.expose().to_owned(), headers, body: Vec::new() };
        Ok(Heartbeat { http, request, timeout: peer.timeout })
    }

    /// Sends one. Cancel-safe.
    ///
    /// # Errors
    /// Why it did not arrive, in words that show nothing of the address but host and port.
    pub(crate) async fn send(&self) -> Result<(), String> {
        match tokio::time::timeout(self.timeout, self.http.exec(self.request.clone())).await {
            Ok(Reply::Http(reply)) if (200..300).contains(&reply.status) => Ok(()),
            Ok(Reply::Http(reply)) => Err(format!("it answers {}; allowed: 200 to 299", reply.status)),
            Ok(Reply::Failed { detail, .. }) => Err(detail),
            Ok(other) => Err(format!("it gives no answer of HTTP: {other:?}")),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }
}
