//! The command line: one file a command. Exit codes are the same for all of them and stand in the help.

mod auditd_plugin;
mod channels;
mod check;
mod client;
mod dead_letters;
mod describe;
mod ends;
mod generate;
mod heartbeat;
mod history;
mod import;
mod incidents;
mod journal;
mod listing;
mod output;
mod parts;
mod place;
mod rebuild;
mod reload;
mod routes;
mod runs;
mod send;
mod sendmail;
mod serve;
mod table;
mod templates;
mod token;
mod watch;
mod why;

pub(crate) use place::Place;

use crate::config::Problems;
use crate::environment;
use clap::{Parser, Subcommand};
use client::ClientError;
use output::{Output, OutputError};
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
    /// Nothing fails, and something that is watched cannot be seen.
    Blind = 6,
}

const EXIT_CODES: &str = "\
Examples:
  balefire serve                                      with ./balefire.yaml, or with none at all
  balefire send --title 'Disk full' --severity high   send an incident
  balefire incidents list --since 2h                  what has come in
  balefire why 01935f1c                               the whole story of one incident

Exit codes:
  0  done
  1  failed; standard error says why
  2  the command line or the configuration is wrong
  3  no server answers
  4  something was refused, or a check found something
  5  there is no such incident, channel, record, dead letter, watcher or source
  6  nothing fails, and something that is watched cannot be seen (balefire watch status)";

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
    /// Send incidents to a running server
    Send(Box<send::Send>),
    /// Say that a source is alive, or what becomes of a job's run
    Heartbeat(heartbeat::Heartbeat),
    /// Take a mail on standard input as an incident, as sendmail takes it
    Sendmail(sendmail::Sendmail),
    /// Look at incidents, take them on, close them
    #[command(subcommand, visible_alias = "alerts")]
    Incidents(incidents::Incidents),
    /// Tell the whole story of one incident: every step from arrival to each delivery
    Why(why::Why),
    /// Say what an incident would take, and why
    #[command(subcommand)]
    Routes(routes::Routes),
    /// Look at channels and try them
    #[command(subcommand)]
    Channels(channels::Channels),
    /// Look at deliveries that were given up; send them on their way again or purge them
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Look at scheduled runs, start one
    #[command(subcommand)]
    Runs(runs::Runs),
    /// See whether audit logging works, drill its alarms, retire what is not expected any more
    #[command(subcommand)]
    Watch(watch::Watch),
    /// Look at messages before they are sent
    #[command(subcommand)]
    Templates(templates::Templates),
    /// Check the configuration: every problem, and what in it can do nothing
    Check(check::Check),
    /// Make a configuration of another system's, with a report of every setting
    #[command(subcommand)]
    Import(import::Import),
    /// Bring a changed configuration into force without a restart
    Reload(reload::Reload),
    /// Look at the journal itself, also while a server writes it
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Build the view of the journal anew; no server may run
    Rebuild(rebuild::Rebuild),
    /// Watch auditd as its plugin: told at once when it ends or stops to write, with the records kept
    AuditdPlugin(auditd_plugin::AuditdPlugin),
    /// Make tokens for senders
    #[command(subcommand)]
    Token(token::Token),
    /// Print the completions of a shell
    Completions(generate::Completions),
    /// Print the manual page
    Man(generate::Man),
    /// Print the reference of the configuration or of the command line, as Markdown
    #[command(hide = true)]
    Reference(generate::Reference),
}

pub(crate) fn main() -> ExitCode {
    if let Some(arguments) = environment::arguments_of("sendmail") {
        return sendmail::called_as_sendmail(arguments);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return match error.print().map_err(OutputError::from) {
                Ok(()) | Err(OutputError::Closed) => ExitCode::from(code as u8),
                Err(_) => ExitCode::from(Exit::Failed as u8),
            };
        }
    };
    let place = Place { config: cli.config, data: cli.data };
    let exit = match cli.command {
        Command::Serve(command) => command.run(place),
        Command::Sendmail(command) => return command.run(&place),
        other => run(other, &place),
    };
    ExitCode::from(exit as u8)
}

/// Runs a command that ends by itself.
fn run(command: Command, place: &Place) -> Exit {
    let mut output = Output::new();
    let ran = command.run(place, &mut output);
    let flushed = output.flush();
    match ran.and_then(|exit| Ok(flushed.map(|()| exit)?)) {
        Ok(exit) => exit,
        // Whoever read our output has seen enough.
        Err(failure) if matches!(failure.error.downcast_ref(), Some(OutputError::Closed)) => Exit::Done,
        Err(failure) => fail(failure.exit, failure.error.as_ref()),
    }
}

impl Command {
    fn run(self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Command::Serve(_) => unreachable!("`serve` has a runtime of its own"),
            Command::Sendmail(_) => unreachable!("`sendmail` has exit codes of its own"),
            Command::Send(command) => command.run(place, output),
            Command::Incidents(command) => command.run(place, output),
            Command::Why(command) => command.run(place, output),
            Command::Routes(command) => command.run(place, output),
            Command::Channels(command) => command.run(place, output),
            Command::DeadLetters(command) => command.run(place, output),
            Command::Runs(command) => command.run(place, output),
            Command::Heartbeat(command) => command.run(place, output),
            Command::Watch(command) => command.run(place, output),
            Command::AuditdPlugin(command) => command.run(place, output),
            Command::Templates(command) => command.run(place, output),
            Command::Check(command) => command.run(place, output),
            Command::Import(command) => command.run(output),
            Command::Reload(command) => command.run(place, output),
            Command::Journal(command) => command.run(place, output),
            Command::Rebuild(command) => command.run(place, output),
            Command::Token(command) => command.run(output),
            Command::Completions(command) => command.run(output),
            Command::Man(command) => command.run(output),
            Command::Reference(command) => command.run(output),
        }
    }
}

/// Why a command did not do what it was told to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, error: anyhow::Error::msg(message.into()) }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let error = error.into();
        let exit = if error.is::<Problems>() {
            Exit::Usage
        } else {
            error.downcast_ref().map_or(Exit::Failed, ClientError::exit)
        };
        Failure { exit, error }
    }
}

/// Tells a failure on standard error: one line, then its causes.
pub(crate) fn fail(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Exit {
    output::tell(&format!("balefire: {error}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        output::tell(&format!("  because: {error}"));
        cause = error.source();
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    #[test]
    fn the_help_names_every_exit_code() {
        for exit in
            [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable, Exit::Refused, Exit::NotFound, Exit::Blind]
        {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
