//! A real PostgreSQL of Debian's in a directory of its own, reached by our binary over TCP with a password and, where it is
//! asked for, TLS; the tests look into it with `psql` over its socket, which knows nothing of us. Both forms of
//! `alert_history` as their users have them.

use crate::certificates::Certificates;
use crate::daemon::{Daemon, free_address, needed};
use crate::{left_out, wait};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The role that our binary logs in as, unless a test has another.
pub const USER: &str = "soc";
/// The role's password.
pub const PASSWORD: &str = "open-sesame-4711";
/// The database.
pub const DATABASE: &str = "eqmon";
/// The account that Debian makes for it: PostgreSQL does not run as root.
const ACCOUNT: &str = "postgres";

/// `blueteam.alert_history` with UUID keys, rules and linked events.
pub const PLAN: &str = "
CREATE SCHEMA blueteam;
CREATE TABLE blueteam.alert_rules (
    rule_id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, severity TEXT NOT NULL, nist_controls TEXT[],
    enabled BOOLEAN DEFAULT TRUE, config JSONB DEFAULT '{}', created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE TABLE blueteam.security_incidents (
    incident_id UUID PRIMARY KEY DEFAULT gen_random_uuid(), title TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')), description TEXT,
    status TEXT NOT NULL DEFAULT 'detected'
        CHECK (status IN ('detected', 'analyzing', 'contained', 'eradicated', 'recovered', 'closed')),
    detected_at TIMESTAMPTZ NOT NULL DEFAULT now(), detected_by TEXT, correlation_rule TEXT, nist_controls TEXT[],
    assigned_to TEXT, cui_involved BOOLEAN DEFAULT FALSE, dfars_reportable BOOLEAN DEFAULT FALSE,
    dfars_reported_at TIMESTAMPTZ, contained_at TIMESTAMPTZ, eradicated_at TIMESTAMPTZ, recovered_at TIMESTAMPTZ,
    closed_at TIMESTAMPTZ, root_cause TEXT, lessons_learned TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(), updated_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE TABLE blueteam.alert_history (
    alert_id UUID PRIMARY KEY DEFAULT gen_random_uuid(), rule_id TEXT REFERENCES blueteam.alert_rules(rule_id),
    severity TEXT NOT NULL, title TEXT NOT NULL, description TEXT, event_ids UUID[],
    incident_id UUID REFERENCES blueteam.security_incidents(incident_id),
    acknowledged BOOLEAN DEFAULT FALSE, acknowledged_by TEXT, acknowledged_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX ON blueteam.alert_history (created_at DESC) WHERE acknowledged = FALSE;
";

/// `blueteam.alert_history` with counted rows and a check of the severity.
pub const SHIPPED: &str = "
CREATE SCHEMA blueteam;
CREATE TABLE blueteam.security_incidents (
    incident_id SERIAL PRIMARY KEY, title TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')), description TEXT,
    status TEXT NOT NULL DEFAULT 'open'
        CHECK (status IN ('open', 'contained', 'eradicated', 'recovered', 'closed')),
    detected_at TIMESTAMPTZ NOT NULL DEFAULT now(), detected_by TEXT, assigned_to TEXT,
    cui_involved BOOLEAN NOT NULL DEFAULT FALSE, dfars_reportable BOOLEAN NOT NULL DEFAULT FALSE,
    dfars_reported_at TIMESTAMPTZ, contained_at TIMESTAMPTZ, eradicated_at TIMESTAMPTZ, recovered_at TIMESTAMPTZ,
    closed_at TIMESTAMPTZ, root_cause TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(), updated_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE TABLE blueteam.alert_history (
    alert_id SERIAL PRIMARY KEY, rule_id TEXT,
    severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low', 'info')),
    title TEXT NOT NULL, description TEXT,
    incident_id INTEGER REFERENCES blueteam.security_incidents(incident_id) ON DELETE SET NULL,
    acknowledged BOOLEAN NOT NULL DEFAULT FALSE, acknowledged_by TEXT, acknowledged_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now());
CREATE INDEX ON blueteam.alert_history (created_at DESC) WHERE acknowledged = FALSE;
CREATE INDEX ON blueteam.alert_history (created_at DESC);
";

/// The server with its directory; what it has stays over its stops.
pub struct Postgres {
    dir: TempDir,
    programs: PathBuf,
    daemon: Option<Daemon>,
    has_tls: bool,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Postgres {
    /// Starts one without TLS that has this schema; the role [`USER`] owns the database and all that is in it. None where
    /// it is not installed, which is said; in CI that is a failure.
    ///
    /// # Panics
    /// Where it does not come up, and in CI where it is not installed.
    #[must_use]
    pub fn start(schema: &str) -> Option<Postgres> {
        Postgres::with(schema, None)
    }

    /// As [`Postgres::start`], with this certificate.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn with_tls(schema: &str, certificates: &Certificates) -> Option<Postgres> {
        Postgres::with(schema, Some(certificates))
    }

    fn with(schema: &str, certificates: Option<&Certificates>) -> Option<Postgres> {
        let programs = programs()?;
        let dir = tempfile::Builder::new().prefix("balefire-pg-").tempdir().expect("a directory can be made");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("the directory is ours");
        let has_tls = certificates.is_some();
        let mut postgres = Postgres { dir, programs, daemon: None, has_tls, address: free_address() };
        if let Some(certificates) = certificates {
            for (name, from) in [("server.pem", certificates.certificate()), ("server.key", certificates.key())] {
                fs::copy(from, postgres.path(name)).expect("the directory is ours");
                fs::set_permissions(postgres.path(name), fs::Permissions::from_mode(0o600)).expect("the file is ours");
            }
        }
        postgres.give_away();
        let made = postgres
            .program("initdb")
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(postgres.path("data"))
            .output()
            .expect("initdb can be started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.resume();
        let role = format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'");
        said(&postgres.ask("postgres", "postgres", &role));
        said(&postgres.ask("postgres", "postgres", &format!("CREATE DATABASE {DATABASE} OWNER {USER}")));
        said(&postgres.ask(USER, DATABASE, schema));
        Some(postgres)
    }

    /// From its next start on it lets nobody in over TCP without a certificate of this authority for the role's name.
    ///
    /// # Panics
    /// Where its files cannot be written.
    pub fn wants_certificates(&mut self, certificates: &Certificates) {
        fs::copy(certificates.authority(), self.path("clients.pem")).expect("the directory is ours");
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 cert\n";
        fs::write(self.path("data/pg_hba.conf"), rules).expect("the directory is ours");
        self.give_away();
    }

    /// A standby of it that has every row before its commit is told of.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn standby(&self) -> Postgres {
        let dir = tempfile::Builder::new().prefix("balefire-pg-").tempdir().expect("a directory can be made");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("the directory is ours");
        let programs = self.programs.clone();
        let mut standby = Postgres { dir, programs, daemon: None, has_tls: false, address: free_address() };
        standby.give_away();
        let mut copy = standby.program("pg_basebackup");
        copy.args(["-U", "postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-h"]);
        copy.arg(self.dir.path()).args(["-p", &self.address.port().to_string(), "-D"]).arg(standby.path("data"));
        said(&copy.output().expect("pg_basebackup can be started"));
        standby.resume();
        self.run("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.run("SELECT pg_reload_conf()");
        wait::until("the standby is waited for", || match self.sql("SELECT sync_state FROM pg_stat_replication") {
            state if state == "sync" => Ok(()),
            state => Err(state),
        });
        standby
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.path("data")).arg("-p").arg(self.address.port().to_string());
        let sockets = self.dir.path().display();
        let mut options = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={sockets}"),
            "max_connections=20".to_owned(),
            "shared_buffers=16MB".to_owned(),
            // What a process has written outlives it; nothing here cuts the power.
            "fsync=off".to_owned(),
            "logging_collector=on".to_owned(),
            format!("log_directory={sockets}"),
            "log_filename=log".to_owned(),
            format!("ssl={}", if self.has_tls { "on" } else { "off" }),
        ];
        if self.has_tls {
            options.push(format!("ssl_cert_file={sockets}/server.pem"));
            options.push(format!("ssl_key_file={sockets}/server.key"));
        }
        if self.path("clients.pem").exists() {
            options.push(format!("ssl_ca_file={sockets}/clients.pem"));
        }
        for option in options {
            command.args(["-c", &option]);
        }
        self.daemon = Some(Daemon::start(&mut command));
        wait::until("the database answers", || match self.ask("postgres", "postgres", "SELECT 1") {
            answer if answer.status.success() => Ok(()),
            answer => Err(format!("{}; its log: {}", String::from_utf8_lossy(&answer.stderr), self.log())),
        });
    }

    /// Stops it as an administrator does: sessions are told and closed.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Ends it in the middle of whatever it does; it recovers at its next start.
    pub fn crash(&mut self) {
        self.end(Signal::QUIT);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(signal);
            // On its way already; what follows only waits.
            daemon.stop();
        }
    }

    /// What SQL as its owner gives, one row a line, columns divided by `|`.
    ///
    /// # Panics
    /// Where it is refused.
    #[must_use]
    pub fn sql(&self, sql: &str) -> String {
        said(&self.ask("postgres", DATABASE, sql))
    }

    /// As [`Postgres::sql`], where nothing is to be given.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn run(&self, sql: &str) {
        said(&self.ask("postgres", DATABASE, sql));
    }

    /// Runs a file of SQL with variables as a role.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn run_file(&self, user: &str, path: &Path, variables: &[&str]) {
        let mut command = self.psql(user, DATABASE);
        command.env("PGOPTIONS", "-c search_path=blueteam").arg("-1");
        for variable in variables {
            command.args(["-v", variable]);
        }
        said(&command.arg("-f").arg(path).output().expect("psql can be started"));
    }

    /// What a role is told of some SQL, whether it may or not.
    ///
    /// # Panics
    /// Where `psql` cannot be started.
    #[must_use]
    pub fn ask(&self, user: &str, database: &str, sql: &str) -> Output {
        self.psql(user, database).args(["-c", sql]).output().expect("psql can be started")
    }

    /// A session of a role that is at this until it is killed.
    ///
    /// # Panics
    /// Where `psql` cannot be started.
    #[must_use]
    pub fn hold(&self, user: &str, sql: &str) -> Child {
        let mut command = self.psql(user, DATABASE);
        command.args(["-c", sql]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("psql can be started")
    }

    /// What SQL as [`USER`] gives through whatever listens at this address.
    ///
    /// # Panics
    /// Where it is refused.
    #[must_use]
    pub fn through(&self, address: SocketAddr, sql: &str) -> String {
        let uri = format!("postgresql://{USER}:{PASSWORD}@{address}/{DATABASE}");
        said(&Command::new("psql").args(["-X", "-q", "-At", &uri, "-c", sql]).output().expect("psql can be started"))
    }

    fn psql(&self, user: &str, database: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-h"]);
        command.arg(self.dir.path()).args(["-p", &self.address.port().to_string()]);
        command
    }

    /// The rows of the history as JSON objects, the oldest first; those about Balefire itself are left out.
    ///
    /// # Panics
    /// Where they cannot be read.
    #[must_use]
    pub fn rows(&self) -> Vec<Value> {
        let rows = self.sql(
            "SELECT coalesce(json_agg(r), '[]') FROM (SELECT * FROM blueteam.alert_history \
             WHERE rule_id NOT LIKE 'balefire%' ORDER BY created_at, title) r",
        );
        serde_json::from_str(&rows).expect("a list")
    }

    /// How many rows the history has; those about Balefire itself are left out.
    ///
    /// # Panics
    /// Where they cannot be counted.
    #[must_use]
    pub fn count(&self) -> usize {
        let count = self.sql("SELECT count(*) FROM blueteam.alert_history WHERE rule_id NOT LIKE 'balefire%'");
        count.parse().expect("a number")
    }

    /// Its directory, which holds its socket.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program of this Debian package, as the server's account where we are root.
    pub(crate) fn account(&self, program: &Path, package: &str) -> Command {
        let program = needed(program, package);
        if !rustix::process::geteuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new(needed(Path::new("/usr/bin/setpriv"), "util-linux"));
        command.args([&format!("--reuid={ACCOUNT}"), &format!("--regid={ACCOUNT}"), "--clear-groups"]).arg(program);
        command.current_dir(self.dir.path());
        command
    }

    fn program(&self, name: &str) -> Command {
        self.account(&self.programs.join(name), "postgresql")
    }

    fn give_away(&self) {
        if rustix::process::geteuid().is_root() {
            let owner = format!("{ACCOUNT}:{ACCOUNT}");
            let status = Command::new("chown").args(["-R", &owner]).arg(self.dir.path()).status();
            assert!(status.expect("chown can be started").success(), "the account {ACCOUNT} is there");
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A polite end would wait for sessions that nobody closes any more.
        self.crash();
    }
}

/// What a program has said, without its last line break.
///
/// # Panics
/// Where it has failed.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Where the server's programs are: Debian keeps a directory for each version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|directory| directory.join("initdb").exists());
    found.sort();
    if let Some(newest) = found.pop() {
        return Some(newest);
    }
    let why = "PostgreSQL is not installed; install the Debian package postgresql, or run scripts/test";
    assert!(std::env::var_os("CI").is_none(), "{why}");
    left_out(why);
    None
}
