//! The address of a MongoDB deployment: a connection string read far enough to refuse what would weaken a promise or
//! cannot work, and to put the credentials in. Looks nothing up. No error repeats the address, which may hold a password.

use crate::destination::{self, check_host};
use balefire_model::text::Secret;
use std::fmt::Write;

/// Options that may stand in the address. Others are settings of ours, weaken what we promise (`w`, `journal`,
/// `tlsInsecure`), or are of no use to a client that only inserts.
const OPTIONS: &[&str] = &[
    "appname",
    "authmechanism",
    "authsource",
    "directconnection",
    "heartbeatfrequencyms",
    "loadbalanced",
    "replicaset",
    "retrywrites",
    "ssl",
    "tls",
];

/// Mechanisms that do not show the password to whoever listens.
const MECHANISMS: &[&str] = &["SCRAM-SHA-256", "SCRAM-SHA-1"];

/// What is allowed, for people.
pub(super) const FORM: &str = "mongodb://host[:port][,host2[:port2]...][/authDatabase][?replicaSet=NAME&authSource=DB&tls=true]; options: appName, authMechanism, authSource, directConnection, heartbeatFrequencyMS, loadBalanced, replicaSet, retryWrites, tls";

/// Why an address is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Refused {
    #[error("is no mongodb:// address")]
    Scheme,
    #[error(
        "is a mongodb+srv:// address, whose hosts stand in the DNS, which is not asked; write them out as mongodb://host1,host2/?replicaSet=NAME&tls=true"
    )]
    Srv,
    #[error("has characters that must be percent-encoded")]
    Characters,
    #[error("host {number} {reason}")]
    Host { number: usize, reason: destination::Refused },
    #[error("has the option {0}, which is not taken here")]
    Option(String),
    #[error("names an authMechanism that is not SCRAM-SHA-256 or SCRAM-SHA-1")]
    Mechanism,
    #[error("has a user in it, and `username` stands beside it")]
    TwoUsers,
    #[error("has a user without a password; write `username` and `password` beside it")]
    NoPassword,
}

/// A checked address.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// As it stands in the connection string.
    user: Option<String>,
    hosts: String,
    /// The path and the options.
    rest: String,
}

impl Address {
    /// Checks a connection string (mongodb.com/docs/manual/reference/connection-string, 2026-11).
    pub(super) fn parse(uri: &str) -> Result<Address, Refused> {
        let uri = uri.trim();
        let Some(rest) = uri.strip_prefix("mongodb://") else {
            return Err(if uri.starts_with("mongodb+srv://") { Refused::Srv } else { Refused::Scheme });
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>`#".contains(&byte)) {
            return Err(Refused::Characters);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user.to_owned()), hosts),
            None => (None, authority),
        };
        for (number, host) in (1..).zip(hosts.split(',')) {
            check_host(host).map_err(|reason| Refused::Host { number, reason })?;
        }
        if user.as_ref().is_some_and(|user| user.split_once(':').is_none_or(|(_, password)| password.is_empty())) {
            return Err(Refused::NoPassword);
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        for option in query.split('&').filter(|option| !option.is_empty()) {
            check_option(option)?;
        }
        // The driver wants the slash before the options.
        let path = if path.is_empty() { "/" } else { path };
        let rest = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Ok(Address { user, hosts: hosts.to_owned(), rest })
    }

    /// Puts credentials in.
    pub(super) fn with_credentials(self, username: &str, password: &Secret) -> Result<Address, Refused> {
        if self.user.is_some() {
            return Err(Refused::TwoUsers);
        }
        Ok(Address { user: Some(format!("{}:{}", percent(username), percent(password.expose()))), ..self })
    }

    /// The hosts, for people.
    pub(super) fn hosts(&self) -> &str {
        &self.hosts
    }

    /// Whether an option has this value.
    pub(super) fn says(&self, name: &str, value: &str) -> bool {
        let query = self.rest.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|option| {
            option
                .split_once('=')
                .is_some_and(|(key, said)| key.eq_ignore_ascii_case(name) && said.eq_ignore_ascii_case(value))
        })
    }

    /// The whole connection string.
    pub(super) fn uri(&self) -> Secret {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        Secret::new(format!("mongodb://{user}{}{}", self.hosts, self.rest))
    }
}

/// The debug form shows the hosts only.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.hosts)
    }
}

fn check_option(option: &str) -> Result<(), Refused> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    if !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        // A name alone is no secret, unless somebody forgot to encode a password.
        let shown: String = name.chars().take(30).filter(char::is_ascii_alphanumeric).collect();
        return Err(Refused::Option(shown));
    }
    if name.eq_ignore_ascii_case("authmechanism") && !MECHANISMS.contains(&value) {
        return Err(Refused::Mechanism);
    }
    Ok(())
}

/// Percent-encoding of everything that is not unreserved (RFC 3986, section 2.3).
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: &str) {
        let found = match Address::parse(uri) {
            Ok(address) => address.uri().expose().to_owned(),
            Err(refused) => refused.to_string(),
        };
        assert_eq!(found, expected, "{uri}");
    }

    #[test]
    fn an_address_is_taken_as_it_is_or_refused_with_a_reason() {
        check("mongodb://db", "mongodb://db/");
        check(" mongodb://a:1,[::1]:2/x?replicaSet=r&TLS=true ", "mongodb://a:1,[::1]:2/x?replicaSet=r&TLS=true");
        check("mongodb://u:p%40@db", "mongodb://u:p%40@db/");
        check("http://db", "is no mongodb:// address");
        check("mongodb://", "host 1 has no host");
        check("mongodb://a,b:0", "host 2 has a host or port that cannot be read");
        check("mongodb://%2Ftmp%2Fm.sock", "host 1 has a host or port that cannot be read");
        check("mongodb://169.254.169.254", "host 1 points to a cloud metadata service, which must never be called");
        check("mongodb://db/?w=0", "has the option w, which is not taken here");
        check("mongodb://db/?tlsInsecure=true", "has the option tlsInsecure, which is not taken here");
        check("mongodb://db/?authMechanism=PLAIN", "names an authMechanism that is not SCRAM-SHA-256 or SCRAM-SHA-1");
        check("mongodb://u@db", "has a user without a password; write `username` and `password` beside it");
        check("mongodb://d b", "has characters that must be percent-encoded");
        assert_eq!(Address::parse("mongodb+srv://c.example.org"), Err(Refused::Srv));
    }

    #[test]
    fn credentials_are_encoded_and_never_stand_twice() {
        let password = Secret::new("p@:/%ä".to_owned());
        let address = Address::parse("mongodb://db/?tls=true").expect("an address");
        let address = address.with_credentials("u:1", &password).expect("no user yet");
        assert_eq!(address.uri().expose(), "mongodb://u%3A1:p%40%3A%2F%25%C3%A4@db/?tls=true");
        assert!(address.says("tls", "TRUE") && !address.says("tls", "false"));
        assert_eq!(address.with_credentials("v", &password), Err(Refused::TwoUsers));
    }
}
