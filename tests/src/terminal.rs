//! A real terminal: tmux with a server of its own, whose screen can be read back. Knows nothing of what runs in it but its
//! process.

use crate::daemon::needed;
use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A terminal with one process in it, which ends with the handle.
pub struct Terminal {
    dir: TempDir,
}

impl Terminal {
    /// Opens a terminal of this size and runs a command in it, with these variables in its environment.
    ///
    /// # Panics
    /// Where tmux is missing or fails.
    #[must_use]
    pub fn run((columns, rows): (u16, u16), environment: &[(&str, &str)], command: &Command) -> Terminal {
        let dir =
            tempfile::Builder::new().prefix("balefire-tty-").tempdir().expect("a temporary directory can be made");
        let terminal = Terminal { dir };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut tmux = terminal.tmux(&["-u", "-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows]);
        // The terminal decides about colours, not the environment of the tests.
        tmux.env_remove("NO_COLOR").env("LC_ALL", "C.UTF-8");
        for (name, value) in environment {
            tmux.arg("-e").arg(format!("{name}={value}"));
        }
        tmux.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            tmux.current_dir(directory);
        }
        checked(tmux);
        terminal
    }

    /// What stands on the screen, with its colours as escape sequences where they are wanted.
    ///
    /// # Panics
    /// Where the process in the terminal has ended.
    #[must_use]
    pub fn screen(&self, with_colours: bool) -> String {
        let capture = ["capture-pane", "-p", "-t", "0"];
        let output = if with_colours {
            checked(self.tmux(&[&capture[..], &["-e"]].concat()))
        } else {
            checked(self.tmux(&capture))
        };
        String::from_utf8(output.stdout).expect("tmux prints UTF-8")
    }

    /// Waits until the screen holds a text, and gives the screen without colours.
    ///
    /// # Panics
    /// When the patience is over.
    #[must_use]
    pub fn wait_for(&self, text: &str) -> String {
        wait::until(&format!("the screen shows {text:?}"), || {
            let screen = self.screen(false);
            if screen.contains(text) { Ok(screen) } else { Err(screen) }
        })
    }

    /// Changes the size.
    ///
    /// # Panics
    /// Where tmux refuses.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        checked(self.tmux(&["resize-window", "-t", "0", "-x", &columns, "-y", &rows]));
    }

    /// The title of the window, which escape sequences can set.
    ///
    /// # Panics
    /// Where the process in the terminal has ended.
    #[must_use]
    pub fn title(&self) -> String {
        self.ask("#{pane_title}")
    }

    fn ask(&self, format: &str) -> String {
        let output = checked(self.tmux(&["display-message", "-p", "-t", "0", format]));
        String::from_utf8(output.stdout).expect("tmux prints UTF-8").trim().to_owned()
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(needed(Path::new("/usr/bin/tmux"), "tmux"));
        command.arg("-S").arg(self.dir.path().join("tmux")).args(arguments);
        command
    }
}

fn checked(mut command: Command) -> Output {
    let output = command.output().expect("tmux can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A hang-up, which is how terminals end their processes, means something else to a server. All of this fails
        // where the process has ended by itself, which is as good.
        let asked = self.tmux(&["display-message", "-p", "-t", "0", "#{pane_pid}"]).output();
        let number = asked.ok().and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok());
        let _ended = number.and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
        drop(self.tmux(&["kill-server"]).output());
    }
}
