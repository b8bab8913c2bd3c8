//! The repository's own commands: `cargo xtask ci | tidy | bench | vm`. Knows the repository and its tools; nothing of the
//! product links against it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod bench;
mod ci;
mod tidy;
mod tree;
mod vm;
mod workspace;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  ci [--quick]          everything that must hold before a change is merged; --quick leaves out what takes minutes
  tidy                  the house rules that a compiler does not know
  bench [NAME]          measures the built binary; without a name: lists the benches and their options
  vm [WORDS]            fails audit for real in a virtual machine, all scenarios or those whose test has WORDS in its name
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well; an error where that could not be found out.
fn run(arguments: &[String]) -> Result<bool> {
    let root = root()?;
    std::env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(true);
    };
    match command.as_str() {
        "ci" => ci::run(rest),
        "tidy" if rest.is_empty() => tidy::run(&root),
        "tidy" => bail!("tidy takes no arguments, found {:?}", rest[0]),
        "bench" => bench::run(rest),
        "vm" => vm::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(true)
        }
        other => bail!("no command {other:?}; allowed: ci, tidy, bench, vm"),
    }
}

/// The repository's root: the parent of this package.
fn root() -> Result<PathBuf> {
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let package = PathBuf::from(package);
    Ok(package.parent().context("the package xtask has no parent directory")?.to_owned())
}
