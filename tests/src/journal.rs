//! Files of a systemd journal, written by systemd's own program from its export format.

use crate::left_out;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes a journal as journald would; whether that can be done here, which CI does not take for an answer.
///
/// # Panics
/// Where the program fails.
pub fn write(file: &Path, entries: &[&[&str]]) -> bool {
    let program = Path::new("/lib/systemd/systemd-journal-remote");
    if !program.exists() {
        let why = "no systemd-journal-remote; install that Debian package, or run scripts/test";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        left_out(why);
        return false;
    }
    fs::create_dir_all(file.parent().expect("it is in a directory")).expect("the directory is ours");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").as_micros();
    let mut export = String::new();
    for (number, fields) in entries.iter().enumerate() {
        export.push_str(&format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n{}\n\n",
            now + number as u128,
            1_000_000 + number,
            fields.join("\n")
        ));
    }
    let mut child = Command::new(program)
        .arg("--output")
        .arg(file)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program can be started");
    child.stdin.take().expect("it has one").write_all(export.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    true
}
