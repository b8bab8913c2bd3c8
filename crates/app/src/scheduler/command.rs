//! A scheduled command as a process: what it is started with, and what its end means. Knows nothing of what it writes.

use crate::config::Schedule;
use crate::environment;
use crate::process_group::ProcessGroup;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{ChildStderr, ChildStdout};

/// What of our own environment every command gets: without them few programs find anything.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// How long a command that was asked to end (SIGTERM) may take.
const TERM_PATIENCE: Duration = Duration::from_secs(5);

/// A command that runs. Dropped, it is killed with everything in its process group.
pub(super) struct Command(ProcessGroup);

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
        let mut group = ProcessGroup::start(&mut command).map_err(|error| match &schedule.directory {
            Some(directory) => format!("program {name:?} cannot be started in {}: {error}", directory.display()),
            None => format!("program {name:?} cannot be started: {error}"),
        })?;
        let pipes = (group.child.stdout.take(), group.child.stderr.take());
        let (Some(stdout), Some(stderr)) = pipes else { return Err("it has no pipes".to_owned()) };
        Ok((Command(group), stdout, stderr))
    }

    /// Waits until it has ended by itself. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.child.wait().await
    }

    /// Asks it to end, then makes it, and with it everything in its group.
    pub(super) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.0.end(TERM_PATIENCE).await
    }

    /// Kills what it has left behind in its group.
    pub(super) fn end_group(&mut self) {
        self.0.kill_rest();
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
