//! The Python side as a user has it: Debian's Python with our package on its path, and the last release of Cloudmarker.
//! Knows where they are, and nothing of what is run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's Python: not what is first on the path, which may be a script around one.
pub const PYTHON: &str = "/usr/bin/python3";

/// Our Python package's directory.
///
/// # Panics
/// Where the tests do not run in their workspace.
#[must_use]
pub fn package() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests have a workspace");
    root.join("python")
}

/// The Python that has Cloudmarker 0.1.0; none where it is not installed, which is said.
///
/// # Panics
/// Where it is missing on a machine of the merge gate.
#[must_use]
pub fn cloudmarker() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let python = cache.join("balefire/cloudmarker-0.1.0/bin/python3");
    if python.exists() {
        return Some(python);
    }
    let why = format!("no Cloudmarker at {}; run scripts/test", python.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    crate::left_out(&why);
    None
}

/// A command with our package on its path, and which leaves no compiled files behind.
#[must_use]
pub fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env("PYTHONPATH", package()).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
