//! Who asks, and what they may do: a bearer token, or the local machine.

use super::App;
use super::problem::Problem;
use crate::config::Role;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// TCP.
    Tcp(SocketAddr),
    /// The Unix socket: its file's permissions have let them in.
    Unix,
}

/// Somebody who may send incidents; the name is the source.
pub(crate) struct Sender(pub String);

/// Somebody who may do everything; the name says who.
pub(crate) struct Operator(pub String);

/// Somebody who says who they are: with a token, or over the Unix socket. For what a page in a browser on this machine could
/// ask for, too, without asking first: a plain GET.
pub(crate) struct Named {
    pub name: String,
    pub role: Role,
}

impl FromRequestParts<App> for Named {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (name, role) = match (bearer(&parts.headers)?, parts.extensions.get::<Peer>()) {
            (Some(token), _) => by_token(token, app)?,
            (None, Some(Peer::Unix)) => identify(parts, app)?,
            (None, _) => {
                let detail = "no token; allowed: `Authorization: Bearer TOKEN` with a token of `http.tokens`, also over \
                              loopback, or the Unix socket";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
            }
        };
        Ok(Named { name, role })
    }
}

impl FromRequestParts<App> for Sender {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        identify(parts, app).map(|(name, _)| Sender(name))
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match identify(parts, app)? {
            (name, Role::Admin) => Ok(Operator(name)),
            (name, Role::Send) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("the token of {name} may only send incidents; allowed: a token with `role: admin`"),
            )),
        }
    }
}

fn identify(parts: &Parts, app: &App) -> Result<(String, Role), Problem> {
    if let Some(token) = bearer(&parts.headers)? {
        return by_token(token, app);
    }
    match parts.extensions.get::<Peer>() {
        Some(Peer::Unix) => Ok(("socket".to_owned(), Role::Admin)),
        Some(Peer::Tcp(address)) if address.ip().to_canonical().is_loopback() && names_this_machine(&parts.headers) => {
            Ok(("http".to_owned(), Role::Admin))
        }
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "no token; allowed: `Authorization: Bearer TOKEN` with a token of `http.tokens`, or no token over loopback",
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map(Some).ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "this Authorization is not understood; allowed: Bearer TOKEN")
    })
}

fn by_token(token: &str, app: &App) -> Result<(String, Role), Problem> {
    // The comparison is of hashes: what its timing tells of a prefix tells nothing of the token.
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let config = app.config.borrow();
    let tokens = config.http.as_ref().map(|http| http.tokens.as_slice()).unwrap_or_default();
    let known = tokens.iter().find(|known| known.sha256 == hash);
    known.map(|known| (known.name.clone(), known.role)).ok_or_else(|| {
        app.metrics.refused("unauthorized", 1);
        Problem::new(StatusCode::UNAUTHORIZED, "this token is not known; allowed: a token of `http.tokens`")
    })
}

/// Whether the request names this machine. A page in a browser can reach loopback under a name of its own (DNS
/// rebinding), but not under ours.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass_without_a_token() {
        let with = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            names_this_machine(&headers)
        };
        assert!(with("127.0.0.1:9480"));
        assert!(with("localhost"));
        assert!(with("[::1]:9480"));
        assert!(!with("evil.example:9480"));
        assert!(!with("127.0.0.1.evil.example"));
    }
}
