//! The only place that reads environment variables and what the system says of this process.

use crate::transport::Terminal;
use balefire_channels::Host;
use std::io::IsTerminal;

/// An environment variable that is set and is UTF-8.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// This machine and process, as channels may know them.
pub(crate) fn host() -> Host {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Host { name, pid: std::process::id(), zone: jiff::tz::TimeZone::system() }
}

/// The arguments, where this process was called by such a name, as through a symbolic link. Those that are no UTF-8 are
/// told as what can be read of them.
pub(crate) fn arguments_of(name: &str) -> Option<Vec<String>> {
    let mut words = std::env::args_os();
    let called = words.next()?;
    let is_called_so = std::path::Path::new(&called).file_name().is_some_and(|called| called == name);
    is_called_so.then(|| words.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// What standard error can show.
pub(crate) fn terminal() -> Terminal {
    Terminal::of_stderr(std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref())
}

/// Whether colours are wanted on standard output: a terminal, and neither `NO_COLOR` (no-color.org) nor `TERM=dumb`.
pub(crate) fn colors_on_stdout() -> bool {
    std::io::stdout().is_terminal()
        && variable("NO_COLOR").is_none_or(|value| value.is_empty())
        && variable("TERM").as_deref() != Some("dumb")
}
