//! Panels on a terminal, plain lines elsewhere, on standard error; plain lines on standard output. Knows how to draw, not what is drawn.

use super::{describe, no_answer};
use anstyle::Style;
use balefire_channels::{ConsoleStream, Panel, Reply, Screen};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What standard error can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Whether a person sees it; panels are drawn only there.
    pub(crate) is_terminal: bool,
    /// Columns, where the terminal does not tell.
    pub(crate) width: u16,
    /// Whether colours are wanted and understood.
    pub(crate) color: bool,
}

impl Terminal {
    /// What there is on standard error, given the variables `NO_COLOR` (no colours where it is set and not empty,
    /// <https://no-color.org>) and `TERM` (`dumb`: no panels; unset: no colours).
    pub(crate) fn of_stderr(no_color: Option<&OsStr>, term: Option<&OsStr>) -> Terminal {
        let stderr = io::stderr();
        Terminal::new(stderr.is_terminal(), columns(&stderr), no_color, term)
    }

    fn new(is_terminal: bool, width: Option<u16>, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Terminal {
        let is_terminal = is_terminal && term != Some(OsStr::new("dumb"));
        let color = is_terminal && term.is_some() && no_color.is_none_or(OsStr::is_empty);
        Terminal { is_terminal, width: width.unwrap_or(WIDTH_DEFAULT), color }
    }
}

const WIDTH_DEFAULT: u16 = 80;

/// Wider lines are hard to read.
const WIDTH_MAX: u16 = 120;

/// Narrower terminals get the plain line.
const WIDTH_MIN: u16 = 24;

/// What one write may take: as much as the kernel promises to take at once when it says "writable" (pipe(7), PIPE_BUF),
/// so that a reader who stopped cannot block us for longer than we choose.
const WRITE_BYTES_MAX: usize = 4096;

/// Standard error or standard output for one channel. The writes run on a blocking thread, at most one at a time.
pub(super) struct Console {
    out: Arc<Out>,
    /// A batch that was given up on may still be waiting for the reader; the next one waits for it.
    under_way: Option<JoinHandle<Vec<Reply>>>,
}

struct Out {
    /// What people call it.
    name: &'static str,
    to: OwnedFd,
    terminal: Terminal,
    patience: Duration,
}

impl Console {
    /// Takes the stream; waits at most `patience` for a reader who has stopped. `terminal` is what standard error can show.
    ///
    /// # Errors
    /// Where the stream is closed or no more files can be opened.
    pub(super) fn open(stream: ConsoleStream, terminal: Terminal, patience: Duration) -> io::Result<Console> {
        let (name, to, terminal) = match stream {
            ConsoleStream::Stderr => ("standard error", io::stderr().as_fd().try_clone_to_owned()?, terminal),
            ConsoleStream::Stdout => {
                let to = io::stdout().as_fd().try_clone_to_owned()?;
                ("standard output", to, Terminal { is_terminal: false, ..terminal })
            }
        };
        Ok(Console::over(Out { name, to, terminal, patience }))
    }

    fn over(out: Out) -> Console {
        Console { out: Arc::new(out), under_way: None }
    }

    /// Shows screens in order; one reply each. Cancel-safe.
    pub(super) async fn exec(&mut self, screens: Vec<Screen>) -> Vec<Reply> {
        if let Some(task) = &mut self.under_way {
            if let Err(error) = task.await {
                tracing::error!(stream = self.out.name, %error, "showing alerts failed");
            }
            self.under_way = None;
        }
        let count = screens.len();
        let out = Arc::clone(&self.out);
        let task = self.under_way.insert(tokio::task::spawn_blocking(move || out.show(&screens)));
        let ended = task.await;
        self.under_way = None;
        ended.unwrap_or_else(|error| vec![no_answer(format!("{}: {error}", self.out.name)); count])
    }
}

impl Out {
    fn show(&self, screens: &[Screen]) -> Vec<Reply> {
        // Asked each time: windows are resized.
        let width = columns(&self.to).unwrap_or(self.terminal.width).min(WIDTH_MAX);
        let mut text = String::new();
        let mut ends = Vec::with_capacity(screens.len());
        for screen in screens {
            if self.terminal.is_terminal && width >= WIDTH_MIN {
                draw(&screen.panel, usize::from(width), self.terminal.color, &mut text);
            } else {
                text.push_str(&screen.plain);
                text.push('\n');
            }
            ends.push(text.len());
        }
        let (written, error) = match self.write(text.as_bytes()) {
            Ok(()) => (text.len(), None),
            Err((written, error)) => (written, Some(error)),
        };
        let reply = |end: usize| match &error {
            Some(error) if end > written => no_answer(format!("{}: {}", self.name, describe(error))),
            _ => Reply::Written(format!("shown on {}", self.name)),
        };
        ends.into_iter().map(reply).collect()
    }

    /// Writes all; on failure says how many bytes went out before it.
    fn write(&self, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let all = bytes.len();
        while !bytes.is_empty() {
            let fail = |error: io::Error| (all - bytes.len(), error);
            self.wait().map_err(fail)?;
            match rustix::io::write(&self.to, &bytes[..bytes.len().min(WRITE_BYTES_MAX)]) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(fail(error.into())),
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let limit = Timespec {
            tv_sec: i64::try_from(self.patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(self.patience.subsec_nanos()),
        };
        loop {
            match poll(&mut [PollFd::new(&self.to, PollFlags::OUT)], Some(&limit)) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing")),
                // Ready, or in an error that the write will name.
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn columns(out: &impl AsFd) -> Option<u16> {
    rustix::termios::tcgetwinsize(out).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// Draws a box of `width` columns, its edges and first line in the panel's style.
fn draw(panel: &Panel, width: usize, color: bool, out: &mut String) {
    let style = if color { panel.style } else { Style::new() };
    let (on, off) = (style.render(), style.render_reset());
    let inner = width - 4;
    let title = wrap(&panel.title, inner - 2).into_iter().next().unwrap_or_default();
    let line = |count: usize| "─".repeat(count);
    let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a String takes everything");
    put(format_args!("{on}╭─ {title} {}╮{off}\n", line(inner - 1 - title.width())));
    let rows = panel
        .lines
        .iter()
        .enumerate()
        .flat_map(|(index, text)| wrap(text, inner).into_iter().map(move |row| (index == 0, row)));
    for (is_first, row) in rows {
        let gap = " ".repeat(inner.saturating_sub(row.width()));
        if is_first {
            put(format_args!("{on}│ {row}{gap} │{off}\n"));
        } else {
            put(format_args!("{on}│{off} {row}{gap} {on}│{off}\n"));
        }
    }
    put(format_args!("{on}╰{}╯{off}\n", line(inner + 2)));
}

/// Breaks a text into rows of at most `width` columns: at line breaks, at spaces, and inside words that are too long.
/// At least one row, which may be empty.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut row = String::new();
        let mut used = 0;
        for word in line.replace('\t', "    ").split(' ') {
            let needs = word.width();
            if used > 0 && used + 1 + needs > width {
                rows.push(std::mem::take(&mut row));
                used = 0;
            } else if used > 0 {
                row.push(' ');
                used += 1;
            }
            for c in word.chars() {
                let columns = c.width().unwrap_or(0);
                if used + columns > width {
                    rows.push(std::mem::take(&mut row));
                    used = 0;
                }
                row.push(c);
                used += columns;
            }
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
