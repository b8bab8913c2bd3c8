//! `cargo xtask vm`: all scenarios of the audit watchers in a virtual machine, with the times that were measured. What is
//! expected stands with the scenarios, in tests/tests/audit_vm.rs.

use crate::workspace::{Build, Workspace, started};
use anyhow::{Context, Result, bail};

/// Whether all passed.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let words = match arguments {
        [] => None,
        [words] if !words.starts_with('-') => Some(words),
        other => bail!("vm does not know {other:?}; allowed: part of the name of a test in tests/tests/audit_vm.rs"),
    };
    let workspace = Workspace::load(&std::env::current_dir().context("no current directory")?)?;
    let mut command = started("cargo");
    command.env("BALEFIRE_BIN", workspace.binary(Build::Debug)?);
    command.args(["test", "--package", "balefire-tests", "--test", "audit_vm", "--locked", "--"]);
    command.args(words).args(["--include-ignored", "--nocapture", "--test-threads", "1"]);
    let status = command.status().context("cannot run cargo test")?;
    Ok(status.success())
}
