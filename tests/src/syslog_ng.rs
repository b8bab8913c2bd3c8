//! A real syslog-ng (unpacked by scripts/syslog-ng) that takes messages at a local socket and hands them to a file and to an
//! address where nobody listens. Knows nothing of who asks it for its statistics.

use crate::daemon::{Daemon, free_address};
use crate::{left_out, wait};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// How many messages it keeps for the address where nobody listens.
pub const KEPT: usize = 100;

/// The daemon with its directory.
pub struct SyslogNg {
    dir: TempDir,
    daemon: Option<Daemon>,
}

impl SyslogNg {
    /// Starts it, and waits until it listens. None where it is not there, which is said; in CI that is a failure.
    ///
    /// # Panics
    /// Where it does not come up, and in CI where it is not there.
    #[must_use]
    pub fn start() -> Option<SyslogNg> {
        let root = unpacked()?;
        let dir = tempfile::Builder::new().prefix("balefire-ng-").tempdir().expect("a temporary directory can be made");
        let text = format!(
            "@version: 3.38\noptions {{ stats-freq(0); stats-level(1); time-reopen(1); }};\n\
             source s {{ unix-dgram(\"{dir}/log\"); }};\n\
             destination file {{ file(\"{dir}/out\"); }};\n\
             destination dead {{ network(\"127.0.0.1\" port({port}) transport(\"tcp\") log-fifo-size({KEPT})); }};\n\
             log {{ source(s); destination(file); destination(dead); }};\n",
            dir = dir.path().display(),
            port = free_address().port(),
        );
        fs::write(dir.path().join("conf"), text).expect("the directory is ours");
        let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
        command.args(["-F", "--no-caps", "-f"]).arg(dir.path().join("conf"));
        command.arg("-R").arg(dir.path().join("persist")).arg("-p").arg(dir.path().join("pid"));
        command.arg("-c").arg(dir.path().join("ctl"));
        command.arg(format!("--module-path={}", root.join("usr/lib/syslog-ng/3.38").display()));
        command.env("LD_LIBRARY_PATH", libraries(&root));
        let syslog_ng = SyslogNg { daemon: Some(Daemon::start(&mut command)), dir };
        wait::until("syslog-ng listens", || {
            let is_there = syslog_ng.ctl().exists() && syslog_ng.dir.path().join("log").exists();
            if is_there { Ok(()) } else { Err("no sockets".to_owned()) }
        });
        Some(syslog_ng)
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
    }

    /// Its control socket.
    #[must_use]
    pub fn ctl(&self) -> PathBuf {
        self.dir.path().join("ctl")
    }

    /// Sends it so many messages.
    ///
    /// # Panics
    /// Where its socket does not take them.
    pub fn send(&self, messages: usize) {
        let socket = UnixDatagram::unbound().expect("a socket can be made");
        for number in 0..messages {
            let text = format!("<30>sshd[1]: message {number}");
            socket.send_to(text.as_bytes(), self.dir.path().join("log")).expect("syslog-ng listens");
        }
    }
}

/// Where the libraries are; Debian keeps them in a directory of the machine's kind.
fn libraries(root: &Path) -> String {
    let mut found = vec![root.join("usr/lib/syslog-ng").display().to_string()];
    for directory in ["usr/lib", "lib"] {
        let entries = fs::read_dir(root.join(directory)).into_iter().flatten().filter_map(Result::ok);
        found.extend(entries.map(|entry| entry.path().display().to_string()));
    }
    found.join(":")
}

/// As scripts/syslog-ng leaves it.
fn unpacked() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let root = cache.join("balefire-tests/syslog-ng-a");
    if root.join("usr/sbin/syslog-ng").exists() {
        return Some(root);
    }
    let why = format!("{} is not there; run scripts/syslog-ng", root.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    left_out(&why);
    None
}
