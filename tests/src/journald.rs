//! A real systemd-journald, in a mount namespace of its own: it takes the usual paths there, and nothing of the machine's. Seen
//! from outside through `/proc/PID/root`. Takes the rights of root.

use crate::daemon::{Daemon, needed};
use crate::{left_out, wait};
use rustix::process::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What it may do: nothing to the machine's audit and kernel log, and little at once.
const SETTINGS: &str = "[Journal]\nStorage=volatile\nAudit=\nReadKMsg=no\nRateLimitIntervalSec=3s\nRateLimitBurst=20\n";

/// What makes the namespace: file systems of its own where journald writes, and a process that keeps them.
const NAMESPACE: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal
printf '0123456789abcdef0123456789abcdef\\n' >/run/machine-id
mount --bind /run/machine-id /etc/machine-id
printf '%s' \"$SETTINGS\" >/run/systemd/journald.conf.d/test.conf
mount -t cgroup2 cgroup /sys/fs/cgroup || true
touch /run/ready
exec cat";

/// The daemon in its namespace; what it wrote stays over its stops.
pub struct Journald {
    /// Keeps the namespace.
    keeper: Child,
    daemon: Option<Daemon>,
}

impl Journald {
    /// Starts it, and waits until it listens; none where this user may not make a namespace, which CI does not take for an
    /// answer from root.
    ///
    /// # Panics
    /// Where it is not installed, or does not come up.
    #[must_use]
    pub fn start() -> Option<Journald> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", NAMESPACE]).env("SETTINGS", SETTINGS);
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut journald = Journald { keeper: keeper.expect("unshare can be started"), daemon: None };
        let is_made = wait::until("the namespace is made, or cannot be", || {
            let is_over = matches!(journald.keeper.try_wait(), Ok(Some(_)));
            let is_ready = journald.path("run/ready").exists();
            if is_over || is_ready { Ok(is_ready) } else { Err("neither".to_owned()) }
        });
        if !is_made {
            left_out("this user may not make a mount namespace");
            return None;
        }
        journald.resume();
        Some(journald)
    }

    /// Starts it again.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        let pid = self.keeper.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &pid]);
        command.arg(needed(Path::new("/lib/systemd/systemd-journald"), "systemd"));
        self.daemon = Some(Daemon::start(&mut command));
        wait::until("journald takes entries", || self.send("MESSAGE=hello\n").map_err(|error| error.to_string()));
    }

    /// SIGTERM: it says that it stops.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
    }

    /// SIGSTOP: it takes nothing from its sockets any more.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn freeze(&self) {
        self.daemon.as_ref().expect("it runs").signal(Signal::STOP);
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn thaw(&self) {
        self.daemon.as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("run/systemd/journal/socket")
    }

    /// Where it writes.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.path("run/log/journal")
    }

    /// As many entries at once from a service of this name, of which it suppresses most, and one more when it takes entries of it
    /// again; whether this machine lets a test have a service.
    #[must_use]
    pub fn flood(&self, service: &str, entries: usize) -> bool {
        let slice = self.path("sys/fs/cgroup/system.slice");
        let group = slice.join(service);
        // A slice of the machine's own stays.
        let is_ours = fs::create_dir(&slice).is_ok();
        let is_made = fs::create_dir(&group).is_ok() && group.join("cgroup.procs").exists();
        let is_done = is_made && self.run_in(&group, entries);
        if is_made {
            wait::until("the group is empty", || fs::remove_dir(&group).map_err(|error| error.to_string()));
        }
        if is_ours {
            fs::remove_dir(&slice).expect("it is empty");
        }
        is_done
    }

    /// A service is a process in a group of that name, which lives until all is sent, because journald asks who it is.
    fn run_in(&self, group: &Path, entries: usize) -> bool {
        let text = "echo $$ >\"$GROUP/cgroup.procs\" && exec python3 -c '
import os, select, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def send(count):
    for n in range(count):
        s.sendto(b\"MESSAGE=message %d\\nPRIORITY=6\\n\" % n, os.environ[\"SOCKET\"])
send(int(os.environ[\"ENTRIES\"]))
select.select([], [], [], 5)
send(1)
select.select([], [], [], 1)
'";
        let mut command = Command::new("sh");
        command.args(["-c", text]).env("GROUP", group).env("SOCKET", self.socket()).env("ENTRIES", entries.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn send(&self, entry: &str) -> std::io::Result<()> {
        UnixDatagram::unbound()?.send_to(entry.as_bytes(), self.socket()).map(|_| ())
    }

    /// A path in its namespace.
    fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(path)
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            // One that was frozen would not hear that it is to end.
            daemon.signal(Signal::CONT);
            daemon.stop();
        }
        // Its input ends, and with it the namespace.
        drop(self.keeper.stdin.take());
        wait::until("the namespace is gone", || match self.keeper.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}
