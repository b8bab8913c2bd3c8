//! A child process in a group of its own, so that what it starts ends with it. Knows neither what it is for nor its pipes.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A child that runs. Dropped, it is killed with everything in its group.
pub(crate) struct ProcessGroup {
    /// Its pipes are whoever's who takes them.
    pub(crate) child: Child,
    group: Option<Pid>,
}

impl ProcessGroup {
    /// Starts it. Must run inside the runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(command: &mut Command) -> io::Result<ProcessGroup> {
        // A group of its own: signals to ours do not reach it, and ours to it reach what it starts.
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(ProcessGroup { child, group })
    }

    /// Asks it to end (SIGTERM), makes it when `patience` is over, and with it everything in its group.
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
        ended
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
