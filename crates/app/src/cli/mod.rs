//! The command line: one file a command. Exit codes are the same for all of them and stand in the help.

mod serve;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// What the shell learns. Documented in the help and the manual page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// It failed; standard error says why.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No server answers.
    Unreachable = 3,
    /// Something was refused: at least one incident of several, or the finding of a check.
    Refused = 4,
    /// There is no such thing.
    NotFound = 5,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; standard error says why
  2  the command line or the configuration is wrong
  3  no server answers
  4  something was refused, or a check found something
  5  there is no such incident, channel or record";

/// A security alert engine: takes incidents in, makes each one durable before it says "accepted", routes it to many
/// channels, and can say of each why it did (not) go out.
#[derive(Debug, Parser)]
#[command(name = "balefire", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    /// The configuration; without it ./balefire.yaml, then /etc/balefire/balefire.yaml, then a built-in one
    #[arg(short, long, global = true, value_name = "FILE", env = "BALEFIRE_CONFIG")]
    config: Option<PathBuf>,
    /// The directory of the journal and its view, in place of the configuration's
    #[arg(short, long, global = true, value_name = "DIR", env = "BALEFIRE_DATA")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine: take incidents in and deliver them
    Serve(serve::Serve),
}

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return match error.print() {
                Ok(()) => ExitCode::from(code as u8),
                Err(_) => ExitCode::from(Exit::Failed as u8),
            };
        }
    };
    let place = Place { config: cli.config, data: cli.data };
    let exit = match cli.command {
        Command::Serve(command) => command.run(place),
    };
    ExitCode::from(exit as u8)
}

/// Which configuration and which data a command is about.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
}

/// Tells a failure on standard error: one line, then its causes.
#[expect(clippy::print_stderr, reason = "this is what standard error is for")]
pub(crate) fn fail(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Exit {
    eprintln!("balefire: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    exit
}
