//! The address of a PostgreSQL server: a connection URI (postgresql.org/docs/current/libpq-connect.html, section 34.1.1.2)
//! taken apart. Looks nothing up. No error repeats the address, which may hold a password.

use crate::PostgresEndpoint;
use crate::destination::{self, check_host};
use balefire_model::text::Secret;
use std::path::PathBuf;

/// What is allowed, for people.
pub(super) const FORM: &str = "postgresql://host[:port][,host2[:port2]...]/database, or postgresql:///database?host=/directory for a local socket; options: application_name, host, port, sslmode, target_session_attrs";

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// Why an address is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Refused {
    #[error("is no postgresql:// address")]
    Scheme,
    #[error("has characters that must be percent-encoded, or percent signs without two hexadecimal digits behind them")]
    Characters,
    #[error("host {number} {reason}")]
    Host { number: usize, reason: destination::Refused },
    #[error("names no host")]
    NoHost,
    #[error("names a local socket beside hosts")]
    Mixed,
    #[error("names no database")]
    NoDatabase,
    #[error("has the option {0}, which is not taken here")]
    Option(String),
    #[error("wants target_session_attrs that cannot take rows; only a server that takes writes can")]
    ReadOnly,
}

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// At least one; either hosts or one socket.
    pub(super) endpoints: Vec<PostgresEndpoint>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: String,
    pub(super) sslmode: Option<String>,
    pub(super) application: Option<String>,
}

#[derive(Default)]
struct Options {
    directory: Option<String>,
    port: Option<u16>,
    sslmode: Option<String>,
    application: Option<String>,
}

impl Address {
    /// Takes a connection URI apart.
    pub(super) fn parse(uri: &str) -> Result<Address, Refused> {
        let uri = uri.trim();
        let rest = uri.strip_prefix("postgresql://").or_else(|| uri.strip_prefix("postgres://"));
        let rest = rest.ok_or(Refused::Scheme)?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>`#".contains(&byte)) {
            return Err(Refused::Characters);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (credentials, hosts),
            None => ("", authority),
        };
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(decode(password)?))),
            None => (credentials, None),
        };
        let options = read_options(query)?;
        let endpoints = read_endpoints(hosts, &options)?;
        let database = decode(database)?;
        if database.is_empty() {
            return Err(Refused::NoDatabase);
        }
        let user = Some(decode(user)?).filter(|user| !user.is_empty());
        Ok(Address { endpoints, user, password, database, sslmode: options.sslmode, application: options.application })
    }

    /// Whether nobody on a network can listen.
    pub(super) fn is_local(&self) -> bool {
        self.endpoints.iter().all(|endpoint| match endpoint {
            PostgresEndpoint::Socket(_) => true,
            PostgresEndpoint::Host { name, .. } => {
                let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
                name == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
        })
    }
}

fn read_endpoints(hosts: &str, options: &Options) -> Result<Vec<PostgresEndpoint>, Refused> {
    let port = options.port.unwrap_or(PORT);
    let socket = |directory: &str| PostgresEndpoint::Socket(PathBuf::from(format!("{directory}/.s.PGSQL.{port}")));
    if hosts.to_ascii_lowercase().starts_with("%2f") {
        return if hosts.contains(',') { Err(Refused::Mixed) } else { Ok(vec![socket(&decode(hosts)?)]) };
    }
    match (&options.directory, hosts) {
        (Some(directory), "") => return Ok(vec![socket(directory)]),
        (Some(_), _) => return Err(Refused::Mixed),
        (None, "") => return Err(Refused::NoHost),
        (None, _) => {}
    }
    let read = |(number, host): (usize, &str)| {
        check_host(host).map_err(|reason| Refused::Host { number, reason })?;
        let colon = host.rfind(':').filter(|colon| !host[*colon..].contains(']'));
        let (name, own) = colon.map_or((host, None), |colon| (&host[..colon], host[colon + 1..].parse().ok()));
        Ok(PostgresEndpoint::Host { name: name.to_owned(), port: own.unwrap_or(port) })
    };
    (1..).zip(hosts.split(',')).map(read).collect()
}

fn read_options(query: &str) -> Result<Options, Refused> {
    let mut options = Options::default();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decode(value)?;
        // A name alone is no secret, unless somebody forgot to encode a password.
        let refused =
            || Refused::Option(name.chars().take(30).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
        match name {
            "sslmode" => options.sslmode = Some(value),
            "application_name" => options.application = Some(value),
            "host" if value.starts_with('/') => options.directory = Some(value),
            "port" => options.port = Some(value.parse().map_err(|_| refused())?),
            "target_session_attrs" if matches!(value.as_str(), "any" | "read-write" | "primary") => {}
            "target_session_attrs" => return Err(Refused::ReadOnly),
            _ => return Err(refused()),
        }
    }
    Ok(options)
}

/// Percent-decoding (RFC 3986, section 2.1) of text without NUL, which no name and no password can have.
fn decode(text: &str) -> Result<String, Refused> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or(Refused::Characters)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte != 0);
        bytes.push(byte.ok_or(Refused::Characters)?);
        rest = behind;
    }
    String::from_utf8(bytes).map_err(|_| Refused::Characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: &str) {
        let found = match Address::parse(uri) {
            Ok(Address { endpoints, user, password, database, sslmode, application }) => {
                let password = password.as_ref().map_or("", Secret::expose);
                let places: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
                let more = [sslmode, application].into_iter().flatten().collect::<Vec<_>>().join(" ");
                format!("{} {user:?} {password} {database} {more}", places.join(","))
            }
            Err(refused) => refused.to_string(),
        };
        assert_eq!(found.trim_end(), expected, "{uri}");
    }

    #[test]
    fn an_address_is_taken_apart_or_refused_with_a_reason() {
        check("postgresql://db/eqmon", "db:5432 None  eqmon");
        check(
            " postgres://u%40x:p%40%3A@a:1,[::1]:2,c/e%2Fq?sslmode=require&application_name=soc&port=7 ",
            "a:1,[::1]:2,c:7 Some(\"u@x\") p@: e/q require soc",
        );
        check("postgresql:///eqmon?host=/run/postgresql", "/run/postgresql/.s.PGSQL.5432 None  eqmon");
        check("postgresql://u@%2Ftmp%2Fx/eqmon?port=6000", "/tmp/x/.s.PGSQL.6000 Some(\"u\")  eqmon");
        check("mysql://db/x", "is no postgresql:// address");
        check("postgresql:///x", "names no host");
        check("postgresql://db/", "names no database");
        check("postgresql://a/x?host=/run", "names a local socket beside hosts");
        check("postgresql://a,b:0/x", "host 2 has a host or port that cannot be read");
        check(
            "postgresql://169.254.169.254/x",
            "host 1 points to a cloud metadata service, which must never be called",
        );
        check("postgresql://db/x?options=-c%20a", "has the option options, which is not taken here");
        check("postgresql://db/x?sslrootcert=/ca.pem", "has the option sslrootcert, which is not taken here");
        for bad in
            ["postgresql://d b/x", "postgresql://u:%0@db/x", "postgresql://u:a%00b@db/x", "postgresql://%+1@db/x"]
        {
            assert_eq!(Address::parse(bad), Err(Refused::Characters), "{bad}");
        }
        assert_eq!(Address::parse("postgresql://db/x?target_session_attrs=read-only"), Err(Refused::ReadOnly));
    }

    #[test]
    fn only_what_stays_on_the_machine_is_local() {
        let is_local = |uri: &str| Address::parse(uri).expect("an address").is_local();
        for local in ["postgresql://localhost/x", "postgresql://127.0.0.2,[::1]:3/x", "postgresql:///x?host=/run"] {
            assert!(is_local(local), "{local}");
        }
        for remote in ["postgresql://db/x", "postgresql://127.0.0.1,db/x", "postgresql://10.0.0.1/x"] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
