//! What is made from the descriptions of the command line and of the configuration: completions, manual page, reference.

use super::output::Output;
use super::{Cli, Exit, Failure};
use crate::config;
use anyhow::Context;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  balefire completions bash > /etc/bash_completion.d/balefire")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "balefire", &mut script);
        output.text(&String::from_utf8(script).context("the completions are no text")?)?;
        Ok(Exit::Done)
    }
}

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  balefire man | man -l -\n  balefire man --out /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        match &self.out {
            Some(dir) => clap_mangen::generate_to(Cli::command(), dir)
                .with_context(|| format!("the pages cannot be written to {}", dir.display()))?,
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command()).render(&mut page)?;
                output.text(&String::from_utf8(page).context("the page is no text")?)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Print the reference of the configuration or of the command line, as Markdown
#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// Which one
    #[arg(value_enum, default_value_t)]
    what: What,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum What {
    /// docs/configuration.md
    #[default]
    Configuration,
    /// docs/cli.md
    Cli,
}

impl Reference {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        match self.what {
            What::Configuration => output.text(&config::reference())?,
            What::Cli => output.text(&command_line())?,
        }
        Ok(Exit::Done)
    }
}

/// The help of all commands, as Markdown.
fn command_line() -> String {
    let mut text = "# The command line\n\nMade by `balefire reference cli`; every command says the same with \
                    `--help`.\n"
        .to_owned();
    // The same width everywhere: the file must not depend on somebody's terminal.
    let mut root = without_environment(Cli::command().term_width(100));
    root.build();
    push_help(&mut text, &mut root);
    text
}

/// Values of variables that are set where the reference is made do not belong into it.
fn without_environment(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(without_environment)
}

fn push_help(text: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(inner) = command.find_subcommand_mut(&name) {
            push_help(text, inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_every_command_and_no_hidden_one() {
        let text = command_line();
        for name in ["serve", "send", "incidents list", "routes test", "journal cat", "token new"] {
            assert!(text.contains(&format!("\n## balefire {name}\n")), "{name}");
        }
        assert!(!text.contains("## balefire reference") && !text.contains("## balefire help"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn every_shell_gets_its_completions() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "balefire", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("incidents"), "{shell}");
        }
    }
}
