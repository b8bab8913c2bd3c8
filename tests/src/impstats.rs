//! A real rsyslogd that takes messages at a local socket, hands them to the actions of a test, and writes its statistics every
//! second. Knows nothing of who reads them.

use crate::daemon::{Daemon, needed};
use crate::wait;
use rustix::process::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The daemon with its directory.
pub struct Impstats {
    dir: TempDir,
    daemon: Option<Daemon>,
}

impl Impstats {
    /// Starts it with these settings of its input and these actions, and waits until it has written statistics. `{dir}` in both
    /// stands for its directory.
    ///
    /// # Panics
    /// Where the package is missing, or it does not come up.
    #[must_use]
    pub fn start(input: &str, actions: &str) -> Impstats {
        let dir =
            tempfile::Builder::new().prefix("balefire-stats-").tempdir().expect("a temporary directory can be made");
        let text = r#"global(workDirectory="{dir}")
module(load="impstats" interval="1" format="json" resetCounters="off" log.file="{dir}/stats" log.syslog="off")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" socket="{dir}/log" ruleset="in" INPUT)
ruleset(name="in") { ACTIONS }
*.* action(name="own" type="omfile" file="{dir}/own.log")
"#;
        let text = text.replace("INPUT", input).replace("ACTIONS", actions);
        let text = text.replace("{dir}", &dir.path().display().to_string());
        fs::write(dir.path().join("conf"), text).expect("the directory is ours");
        let mut impstats = Impstats { dir, daemon: None };
        impstats.resume();
        impstats
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        let before = self.written();
        let program = needed(Path::new("/usr/sbin/rsyslogd"), "rsyslog");
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(self.path("conf")).arg("-i").arg(self.path("pid"));
        self.daemon = Some(Daemon::start(&mut command));
        wait::until("rsyslogd has written statistics", || {
            let written = self.written();
            if written > before { Ok(()) } else { Err(format!("{written} bytes")) }
        });
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

    /// SIGKILL: it ends with no word.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        let daemon = self.daemon.take().expect("it runs");
        daemon.signal(Signal::KILL);
    }

    /// Where it writes its statistics.
    #[must_use]
    pub fn stats(&self) -> PathBuf {
        self.path("stats")
    }

    /// Sends it so many messages.
    ///
    /// # Panics
    /// Where its socket does not take them.
    pub fn send(&self, messages: usize) {
        let socket = UnixDatagram::unbound().expect("a socket can be made");
        for number in 0..messages {
            let text = format!("<30>sshd[1]: message {number}");
            socket.send_to(text.as_bytes(), self.path("log")).expect("rsyslogd listens");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn written(&self) -> u64 {
        fs::metadata(self.stats()).map_or(0, |metadata| metadata.len())
    }
}
