//! What a command of ours has said when it ended. Starts none.

use std::process::Output;

/// What it printed.
///
/// # Panics
/// Where that is not UTF-8.
#[must_use]
pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

/// What it printed, that must have ended with this code; for a failure, what it said on standard error.
///
/// # Panics
/// Where it ended with another code.
#[track_caller]
pub fn expect(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}{said}", out(output));
    if code == 0 { out(output) } else { said.into_owned() }
}
