//! What whoever carries rows to PostgreSQL must know: where the server is, who we are there, and how the way is protected.

use super::PostgresTable;
use crate::BulkBounds;
use balefire_model::text::Secret;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to insert into a PostgreSQL table.
#[derive(Clone, Debug)]
pub struct PostgresTransport {
    /// The servers, tried in this order until one takes rows.
    pub endpoints: Vec<PostgresEndpoint>,
    /// The role.
    pub username: String,
    /// Its password, where the server wants one.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// What the server's lists of sessions call us.
    pub application: String,
    /// The table, and what may be done about it.
    pub table: PostgresTable,
    /// How often the table is asked for acknowledgements that somebody set there; `None`: never.
    pub poll: Option<Duration>,
    /// How much goes together; each insert is an exchange, each row a part.
    pub bounds: BulkBounds,
    /// How connections are protected.
    pub tls: PostgresTls,
    /// Own certificate authorities, PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// The files of our own certificate, with the chain, and its key, PEM, where the server wants to see who we are.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// How long to wait for a connection and the login, for each server.
    pub connect_timeout: Duration,
    /// How long the server may take for one statement.
    pub statement_timeout: Duration,
    /// How long the server may wait for a lock.
    pub lock_timeout: Duration,
}

/// Where a PostgreSQL server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresEndpoint {
    /// On a network.
    Host {
        /// The name or the address; IPv6 in brackets.
        name: String,
        /// The port.
        port: u16,
    },
    /// On this machine: its socket's path.
    Socket(PathBuf),
}

impl fmt::Display for PostgresEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostgresEndpoint::Host { name, port } => write!(f, "{name}:{port}"),
            PostgresEndpoint::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How a connection to PostgreSQL is protected (postgresql.org/docs/current/libpq-ssl.html, table 34.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresTls {
    /// Not at all.
    Disable,
    /// With TLS where the server has it, whoever it is.
    Prefer,
    /// With TLS, whoever answers.
    Require,
    /// With TLS, and a certificate of an authority that is trusted.
    VerifyCa,
    /// With TLS, and such a certificate for the host's name.
    VerifyFull,
}
