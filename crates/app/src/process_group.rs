//! A child process in a group of its own, so that what it starts ends with it. Knows neither what it is for nor its pipes.

use crate::ids;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use std::process::ExitStatus;
use std::time::Duration;
use std::{fs, io};
use tokio::process::{Child, Command};

/// A variable of the child and of whatever it starts: by it those are known that have left the group (`setsid`).
const MARK: &str = "BALEFIRE_PROCESS";

/// How often those are looked for: what is killed may have started another one meanwhile.
const ROUNDS: usize = 20;

/// How long after a round the next one comes.
const ROUND: Duration = Duration::from_millis(10);

/// A child that runs. Dropped, it is killed with everything in its group.
pub(crate) struct ProcessGroup {
    /// Its pipes are whoever's who takes them.
    pub(crate) child: Child,
    group: Option<Pid>,
    /// `NAME=VALUE`, as it stands among its variables.
    mark: String,
}

impl ProcessGroup {
    /// Starts it. Must run inside the runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(command: &mut Command) -> io::Result<ProcessGroup> {
        let value = ids::process();
        // A group of its own: signals to ours do not reach it, and ours to it reach what it starts.
        let child = command.env(MARK, &value).process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(ProcessGroup { child, group, mark: format!("{MARK}={value}") })
    }

    /// Asks it to end (SIGTERM), makes it when `patience` is over, and with it everything that it has started, also what
    /// has left the group. Out of reach is only what runs as another user or has cleared its variables.
    pub(crate) async fn end(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.signal(Signal::KILL);
                self.child.wait().await
            }
        };
        self.kill_rest();
        self.kill_strays().await;
        ended
    }

    async fn kill_strays(&self) {
        for _ in 0..ROUNDS {
            let mark = self.mark.clone();
            let killed = tokio::task::spawn_blocking(move || kill_marked(mark.as_bytes())).await;
            match killed.map_err(io::Error::other).flatten() {
                Ok(0) => return,
                Ok(_) => tokio::time::sleep(ROUND).await,
                Err(error) => return tracing::warn!(%error, "what a program has left behind could not be looked for"),
            }
        }
        tracing::warn!("what a program has left behind does not end");
    }

    /// Kills what it has left behind, which may hold its pipes. Its number may be another's afterwards: once, and never again.
    pub(crate) fn kill_rest(&mut self) {
        self.signal(Signal::KILL);
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        match kill_process_group(group, signal) {
            // Nobody is left.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                tracing::warn!(%error, group = group.as_raw_nonzero(), "a process group could not be signalled")
            }
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Kills every process with this among its variables, and says how many there were.
fn kill_marked(mark: &[u8]) -> io::Result<usize> {
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else { continue };
        // Held by what is signalled: the number may be another's by then. What has ended meanwhile, and what is another
        // user's, is none of ours.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let Ok(variables) = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else { continue };
        if variables.split(|byte| *byte == 0).any(|variable| variable == mark)
            && pidfd_send_signal(&process, Signal::KILL).is_ok()
        {
            killed += 1;
        }
    }
    Ok(killed)
}
