//! `balefire token new`: a secret for a sender, shown once, and the lines that make the server know it.

use super::output::{self, Output};
use super::{Exit, Failure};
use crate::ids;
use balefire_model::id::hex;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Make tokens for senders
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token: printed once and kept nowhere
    New(New),
}

impl Token {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Token::New(command) => command.run(output),
        }
    }
}

/// Make a token: printed once and kept nowhere
#[derive(Debug, Args)]
#[command(
    after_help = "The token alone goes to standard output, so that TOKEN=$(balefire token new web) works; the lines\n\
                        for the configuration go to standard error. Only the hash of the token is ever configured."
)]
pub(crate) struct New {
    /// The sender's name: the source of what it sends
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What the token may do
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Print JSON: name, role, token and hash
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Send incidents
    #[default]
    Send,
    /// Everything
    Admin,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Role::Send => "send",
            Role::Admin => "admin",
        }
    }
}

impl New {
    fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        let token = ids::token()?;
        let sha256 = hash(token.expose());
        let role = self.role.as_str();
        if self.json {
            let value = json!({ "name": self.name, "role": role, "token": token.expose(), "sha256": sha256 });
            output.json(&value)?;
            return Ok(Exit::Done);
        }
        output.line(token.expose())?;
        output.flush()?;
        output::tell(&lines(&self.name, &sha256, role));
        Ok(Exit::Done)
    }
}

fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn lines(name: &str, sha256: &str, role: &str) -> String {
    format!(
        "Keep it: it is shown once. For the configuration, under `http:`, then `balefire reload`:\n  tokens:\n    \
         {name}: {{sha256: {sha256}, role: {role}}}"
    )
}

fn name(text: &str) -> Result<String, String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_good) {
        return Ok(text.to_owned());
    }
    Err("allowed: 1 to 64 letters, digits, `_`, `.` and `-`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_sha256sum_prints() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn two_tokens_differ_and_have_256_bits() {
        let (first, second) = (ids::token().unwrap(), ids::token().unwrap());
        assert_ne!(first, second);
        assert_eq!(first.expose().len(), "bf_".len() + 64);
    }

    #[test]
    fn a_name_is_one_that_the_configuration_takes() {
        assert!(name("web-1.dmz_a").is_ok());
        assert!(name("").is_err() && name("a b").is_err() && name("a\n").is_err() && name(&"a".repeat(65)).is_err());
    }
}
