//! The postgres kind: a row of `alert_history` for each incident, under the incident's own id, so that what is inserted
//! again after an answer that was lost is there once. The end of an incident closes its row, and an acknowledgement is
//! noted there.

mod address;
mod incidents;
mod layout;
mod part;
mod refusal;
mod statement;
mod transport;

use self::address::Address;
pub use self::layout::{PostgresForm, PostgresLayout, PostgresMisfit, PostgresRows, PostgresStatement, PostgresTable};
use self::part::{Form, part};
pub use self::refusal::{is_about_row, is_about_table};
pub use self::transport::{PostgresEndpoint, PostgresTls, PostgresTransport};
use crate::{BulkBounds, Channel, Host, Kind, Limits, Reply, Request, Step, Transport};
use balefire_model::Delivery;
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "postgres",
    about: "rows of alert_history in PostgreSQL, each incident once",
    sample: &[("url", "postgresql://balefire@127.0.0.1/eqmon")],
    resolve,
};

/// A thousand rows are some megabytes; more in one statement gain little. While the one is committed, the next is made.
const BOUNDS: BulkBounds = BulkBounds { parts_max: 1000, bytes_max: 8 << 20, exchanges_max: 2, reply_bytes_max: 0 };
/// A row that is larger is shortened with a note; nobody lists it.
const ROW_BYTES_MAX: usize = 8 << 20;
/// PostgreSQL's limit for a name (NAMEDATALEN - 1).
const NAME_BYTES_MAX: usize = 63;
const TABLE: &str = "blueteam.alert_history";

#[derive(Debug)]
struct Postgres {
    transport: PostgresTransport,
    timeout: Duration,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let url = reader
        .secret("url", "The connection URI, `postgresql://host:5432/database`; it may hold user and password.")
        .required(Secret::new(PLACEHOLDER.to_owned()));
    let address = Address::parse(url.expose()).unwrap_or_else(|refused| {
        reader.reject("url", refused.to_string(), address::FORM);
        stand_in()
    });
    let (username, password) = read_login(reader, &address);
    let table = read_table(reader);
    let (tls, ca_file) = read_tls(reader, &address);
    let identity = read_identity(reader, tls);
    let poll = read_poll(reader);
    let timeout = reader
        .duration("timeout", "How long one attempt may take in all; a statement may take half of it, a lock a quarter.")
        .default_shown(Duration::from_secs(30), "30s");
    let connect_timeout = reader
        .duration("connect_timeout", "How long to wait for a connection and the login, for each host.")
        .default_shown(Duration::from_secs(5), "5s");
    let transport = PostgresTransport {
        endpoints: address.endpoints,
        username,
        password,
        database: address.database,
        application: address.application.unwrap_or_else(|| "balefire".to_owned()),
        table,
        poll,
        bounds: BOUNDS,
        tls,
        ca_file,
        identity,
        connect_timeout,
        // The server gives up before we do, so that it can say what it waited for.
        statement_timeout: timeout / 2,
        lock_timeout: timeout / 4,
    };
    Box::new(Postgres { transport, timeout })
}

const PLACEHOLDER: &str = "postgresql://balefire@localhost/balefire";

fn stand_in() -> Address {
    Address::parse(PLACEHOLDER).expect("the placeholder is an address")
}

fn read_login(reader: &Reader<'_>, address: &Address) -> (String, Option<Secret>) {
    let username = reader.text("username", "The role that we log in as, where `url` names none.").optional();
    let password = reader.secret("password", "The role's password, where `url` holds none.").optional();
    if username.is_some() && address.user.is_some() {
        reader.reject("username", "stands beside a user in `url`", "one of the two");
    }
    if password.is_some() && address.password.is_some() {
        reader.reject("password", "stands beside a password in `url`", "one of the two");
    }
    let username = username.or_else(|| address.user.clone()).unwrap_or_default();
    if username.is_empty() && !reader.is_describing() {
        reader.reject("url", "names no user", "postgresql://user@host/database, or `username` beside it");
    }
    (username, password.or_else(|| address.password.clone()))
}

fn read_table(reader: &Reader<'_>) -> PostgresTable {
    let table = reader.text("table", "The table, with its schema.").default(TABLE.to_owned());
    let words = [("no", None), ("plan", Some(PostgresForm::Plan)), ("shipped", Some(PostgresForm::Shipped))];
    let create = reader
        .one_of(
            "create",
            "What is made where it is missing: `no`, nothing; `plan` or `shipped`, the tables in this form, and in a table that is there our own columns. See docs/postgres.md.",
            &words,
        )
        .default_shown(None, "no");
    let may_repeat = reader
        .bool(
            "may_repeat",
            "Whether rows are written to a table that counts its rows and lacks our column `balefire_id`; an incident is there twice where an answer was lost.",
        )
        .default(false);
    let makes_incidents = reader
        .bool(
            "incidents",
            "Whether each incident of low or more has a row in the table that `incident_id` refers to (security_incidents), where there is one and our role may. See docs/postgres.md.",
        )
        .default(true);
    let is_name = |name: &str| {
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || "_$-".contains(c))
    };
    let (schema, name) = table.split_once('.').unwrap_or(("public", &table));
    if !is_name(schema) || !is_name(name) {
        reader.reject(
            "table",
            "is no name of a table",
            "schema.table, of letters, digits, _ $ and -, each at most 63 bytes",
        );
    }
    if create.is_some() && name != "alert_history" {
        reader.reject("create", "makes no table of another name", "a `table` called SCHEMA.alert_history");
    }
    PostgresTable { schema: schema.to_owned(), name: name.to_owned(), create, may_repeat, makes_incidents }
}

fn read_poll(reader: &Reader<'_>) -> Option<Duration> {
    let mut poll = POLL;
    let doc = "Acknowledgements that somebody sets in the table, such as a dashboard; see docs/postgres.md.";
    let section = |reader: &Reader<'_>| {
        let doc = "How often we look for them; `0s`: never.";
        poll = reader.duration("poll", doc).default_shown(POLL, "10s");
        if !poll.is_zero() && poll < POLL_MIN {
            reader.reject("poll", "is too often", "0s, or at least 100ms");
        }
    };
    reader.section("acknowledgements", doc, section).optional();
    (!poll.is_zero()).then_some(poll)
}

const POLL: Duration = Duration::from_secs(10);
const POLL_MIN: Duration = Duration::from_millis(100);

fn read_tls(reader: &Reader<'_>, address: &Address) -> (PostgresTls, Option<PathBuf>) {
    let words = [
        ("disable", PostgresTls::Disable),
        ("prefer", PostgresTls::Prefer),
        ("require", PostgresTls::Require),
        ("verify-ca", PostgresTls::VerifyCa),
        ("verify-full", PostgresTls::VerifyFull),
    ];
    let otherwise = if address.is_local() { PostgresTls::Prefer } else { PostgresTls::VerifyFull };
    let doc = "How connections are protected, in PostgreSQL's words; only `verify-full` makes sure who answers.";
    let is_own = reader.node("sslmode").is_some();
    let shown = "what `url` says; verify-full, and prefer where it is this machine";
    let own = reader.one_of("sslmode", doc, &words).default_shown(otherwise, shown);
    let said = address.sslmode.as_deref().map(|said| words.iter().find(|(word, _)| *word == said));
    if let Some(None) = said {
        reader.reject("url", "has an sslmode that is none", "disable, prefer, require, verify-ca, verify-full");
    }
    if is_own && said.is_some() {
        reader.reject("sslmode", "stands beside an sslmode in `url`", "one of the two");
    }
    let tls = said.flatten().filter(|_| !is_own).map_or(own, |(_, tls)| *tls);
    let ca_file = reader
        .text("ca_file", "A PEM file of certificate authorities to trust instead of the system's.")
        .optional()
        .map(PathBuf::from);
    if ca_file.is_some() && !matches!(tls, PostgresTls::VerifyCa | PostgresTls::VerifyFull) {
        reader.reject(
            "ca_file",
            "has a meaning only where certificates are checked",
            "`sslmode: verify-full` or `verify-ca` beside it",
        );
    }
    (tls, ca_file)
}

fn read_identity(reader: &Reader<'_>, tls: PostgresTls) -> Option<(PathBuf, PathBuf)> {
    let doc = "A PEM file of our own certificate and those that lead to its authority, for a server that wants one.";
    let certificate = reader.text("client_certificate", doc).optional().map(PathBuf::from);
    let doc = "The PEM file of the key of `client_certificate`, without a password.";
    let key = reader.text("client_key", doc).optional().map(PathBuf::from);
    let (given, missing) = match (&certificate, &key) {
        (Some(_), None) => ("client_certificate", "`client_key` beside it"),
        (None, Some(_)) => ("client_key", "`client_certificate` beside it"),
        (Some(_), Some(_)) if tls == PostgresTls::Disable => ("client_certificate", "an `sslmode` with TLS"),
        _ => return certificate.zip(key),
    };
    reader.reject(given, "can do nothing as it stands", missing);
    None
}

impl Channel for Postgres {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: BOUNDS.in_flight(),
            message_bytes_max: ROW_BYTES_MAX,
            attempt_timeout: self.timeout,
            // A dashboard counts what nobody has acknowledged.
            follows_up: true,
            has_template: false,
        }
    }

    fn transport(&self) -> Transport {
        Transport::Postgres(Box::new(self.transport.clone()))
    }

    fn hears_acks(&self) -> bool {
        true
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        let send = |form| Step::Send(Request::Part(part(delivery, form, ROW_BYTES_MAX)));
        match replies {
            [] => send(Form::Whole),
            // Numbers that PostgreSQL cannot count, and the like: the row matters more than the whole.
            [first] if refusal::may_be_body(first) => send(Form::Columns),
            [.., last] => Step::Done(refusal::outcome(last)),
        }
    }
}
