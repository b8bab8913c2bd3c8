//! How a program ended, in words.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The end of a session.
pub(super) struct Ending {
    /// What it was, for whoever waits for an answer.
    pub(super) words: String,
    /// It ended by itself, with success, and owed no answer.
    pub(super) is_clean: bool,
}

/// What `fault` we found, or else how it ended by itself, and what it said last.
pub(super) fn words(
    program: &str,
    fault: Option<String>,
    status: &io::Result<ExitStatus>,
    last: Option<&str>,
) -> String {
    let what = fault.unwrap_or_else(|| match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}"),
            (None, None) => "it ended".to_owned(),
        },
        Err(error) => format!("it ended, and the system does not say how: {error}"),
    });
    match last {
        Some(last) => format!("program {program}: {what}; it said last: {last}"),
        None => format!("program {program}: {what}; it said nothing"),
    }
}
