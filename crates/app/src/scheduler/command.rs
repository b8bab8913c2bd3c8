//! A command as a process in a group of its own: what it starts ends with it. Knows no schedule and nothing of what it
//! writes.

use crate::config::Schedule;
use crate::environment;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStderr, ChildStdout};

/// What of our own environment every command gets: without them few programs find anything.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// How long a command that was asked to end (SIGTERM) may take.
const TERM_PATIENCE: Duration = Duration::from_secs(5);

/// A command that runs. Dropped, it is killed with everything in its process group.
pub(super) struct Command {
    child: Child,
    group: Option<Pid>,
}

impl Command {
    /// Starts it.
    ///
    /// # Errors
    /// In words, where the system does not start it.
    pub(super) fn start(schedule: &Schedule) -> Result<(Command, ChildStdout, ChildStderr), String> {
        let (name, arguments) = schedule.command.split_first().ok_or("no program is named")?;
        let mut command = tokio::process::Command::new(name);
        command.args(arguments).env_clear();
        let inherited = INHERITED.iter().copied().chain(schedule.env_from.iter().map(String::as_str));
        command.envs(inherited.filter_map(|name| Some((name, environment::variable(name)?))));
        command.envs(schedule.env.iter().map(|(name, value)| (name, value.expose())));
        if let Some(directory) = &schedule.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: signals to ours do not reach it, and ours to it reach what it starts.
        let started = command.process_group(0).kill_on_drop(true).spawn();
        let mut child = started.map_err(|error| match &schedule.directory {
            Some(directory) => format!("program {name:?} cannot be started in {}: {error}", directory.display()),
            None => format!("program {name:?} cannot be started: {error}"),
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pipes = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = pipes else { return Err("it has no pipes".to_owned()) };
        Ok((Command { child, group }, stdout, stderr))
    }

    /// Waits until it has ended by itself. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end, then makes it, and with it everything in its group.
    pub(super) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = match tokio::time::timeout(TERM_PATIENCE, self.child.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.signal(Signal::KILL);
                self.child.wait().await
            }
        };
        self.end_group();
        ended
    }

    /// Kills what it has left behind in its group.
    pub(super) fn end_group(&mut self) {
        self.signal(Signal::KILL);
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        match kill_process_group(group, signal) {
            // Nobody is left.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!(%error, group = group.as_raw_nonzero(), "a command could not be signalled"),
        }
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// What is wrong with an end, in words, and the exit code.
pub(super) fn judge(status: &io::Result<ExitStatus>) -> (Option<String>, Option<i32>) {
    match status {
        Ok(status) if status.success() => (None, Some(0)),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => (Some(format!("exit code {code}")), Some(code)),
            (None, Some(signal)) => (Some(format!("ended by signal {signal}")), None),
            (None, None) => (Some("it ended, and the system does not say how".to_owned()), None),
        },
        Err(error) => (Some(format!("it ended, and the system does not say how: {error}")), None),
    }
}
