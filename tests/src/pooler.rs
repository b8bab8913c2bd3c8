//! A real PgBouncer in transaction mode with one connection to the server, which everybody who comes shares: what a session
//! leaves behind, the next one finds.

use crate::daemon::{Daemon, free_address, wait_for_listeners};
use crate::postgres::{DATABASE, PASSWORD, Postgres, USER};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// The pooler; it ends with its handle.
pub struct Pooler {
    _daemon: Daemon,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Pooler {
    /// Starts it before a server.
    ///
    /// # Panics
    /// Where it is not installed, or does not come up.
    #[must_use]
    pub fn before(postgres: &Postgres) -> Pooler {
        let address = free_address();
        let directory = postgres.directory();
        let path = |name: &str| directory.join(name).display().to_string();
        fs::write(path("users"), format!("\"{USER}\" \"{PASSWORD}\"\n")).expect("the directory is ours");
        let settings = format!(
            "[databases]\n{DATABASE} = host={} port={} user={USER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = 1\nlogfile = {}\n",
            directory.display(),
            postgres.address.port(),
            address.port(),
            path("users"),
            path("pooler.log"),
        );
        fs::write(path("pooler.ini"), settings).expect("the directory is ours");
        let mut command: Command = postgres.account(Path::new("/usr/sbin/pgbouncer"), "pgbouncer");
        let daemon = Daemon::start(command.arg(path("pooler.ini")));
        wait_for_listeners(&[address], || fs::read_to_string(path("pooler.log")).unwrap_or_default());
        Pooler { _daemon: daemon, address }
    }
}
