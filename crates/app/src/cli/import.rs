//! `balefire import`: reads another system's configuration, writes ours, and tells what became of every setting. What is
//! written is checked as `balefire check` would. What the systems have in common is here.

mod blueteam;
mod cloudmarker;

use super::output::{self, Output};
use super::{Exit, Failure, Place};
use crate::config::FILE_BYTES_MAX;
use crate::environment;
use crate::import::{File, Report, SecretFile, Verdict};
use anyhow::Context;
use clap::Subcommand;
use serde_json::{Map, json};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Make a configuration of another system's
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Make a configuration of Cloudmarker's: stores, alerts, audits
    Cloudmarker(cloudmarker::Cloudmarker),
    /// Make a configuration of the blue team's monitor's (BT-08): mail, syslog, console, alert_history
    Blueteam(blueteam::Blueteam),
}

impl Import {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Import::Cloudmarker(command) => command.run(output),
            Import::Blueteam(command) => command.run(output),
        }
    }
}

/// A file that was made, without a secret.
struct Made<'t> {
    path: PathBuf,
    text: &'t str,
}

/// Writes everything, or nothing where something is there already that may not be overwritten.
fn write(made: &[Made<'_>], secrets: &[SecretFile], directory: &str, force: bool) -> Result<(), Failure> {
    let made = made.iter().map(|made| (made.path.clone(), made.text, 0o640));
    let hidden = secrets.iter().map(|secret| (PathBuf::from(&secret.path), secret.content.expose(), 0o600));
    let files: Vec<(PathBuf, &str, u32)> = made.chain(hidden).collect();
    if files.iter().any(|(path, ..)| path == Path::new("-")) {
        let text = "--output: found -, and standard output has the report; allowed: the path of a file";
        return Err(Failure::new(Exit::Usage, text));
    }
    if let Some((path, _, _)) = files.iter().find(|(path, _, _)| path.exists()).filter(|_| !force) {
        let text = format!("{} is there already; allowed: another --output, or --force", path.display());
        return Err(Failure::new(Exit::Usage, text));
    }
    if !secrets.is_empty() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).with_context(|| format!("{directory} cannot be made"))?;
    }
    for (path, text, mode) in files {
        write_file(&path, text, mode).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// What an import came to, as it is told.
struct Outcome<'t> {
    report: &'t Report,
    secrets: &'t [SecretFile],
    /// What was written beside the secrets, by its name in JSON.
    written: &'t [(&'static str, String)],
    /// The verdicts that are counted, in words.
    counted: &'t [(Verdict, &'static str)],
}

impl Outcome<'_> {
    fn tell(&self, as_json: bool, output: &mut Output) -> Result<(), Failure> {
        let secrets: Vec<&str> = self.secrets.iter().map(|secret| secret.path.as_str()).collect();
        if as_json {
            let mut told: Map<_, _> =
                self.written.iter().map(|(name, path)| ((*name).to_owned(), json!(path))).collect();
            told.insert("secrets".to_owned(), json!(secrets));
            told.insert("lines".to_owned(), json!(self.report.lines));
            output.json(&told)?;
            return Ok(());
        }
        output.text(&self.report.text())?;
        let counts = self.counted.iter().map(|(verdict, word)| format!("{} {word}", self.report.count(*verdict)));
        output.line(&counts.collect::<Vec<_>>().join(", "))?;
        let written: Vec<&str> = self.written.iter().map(|(_, path)| path.as_str()).collect();
        output.line(&format!("written: {}", written.join(", ")))?;
        for path in secrets {
            output.line(&format!("written: {path} (a secret)"))?;
        }
        Ok(())
    }
}

/// What is odd about a configuration that was written.
struct Odd {
    name: String,
    lines: Vec<String>,
}

/// Checks what was written, as `balefire check` would.
fn check(written: &Path) -> Odd {
    let lines = match (Place { config: Some(written.to_owned()), data: None }).load() {
        Ok(loaded) => loaded.findings.iter().map(ToString::to_string).collect(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    };
    Odd { name: written.display().to_string(), lines }
}

impl Odd {
    /// Tells it, and how the command ends.
    fn told(&self) -> Exit {
        if self.lines.is_empty() {
            return Exit::Done;
        }
        output::tell(&format!("{} needs a person:", self.name));
        self.lines.iter().for_each(|line| output::tell(&format!("  {line}")));
        Exit::Refused
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))?)
}

fn read(path: &Path) -> Result<File, Failure> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("{name} cannot be read"));
    let file = file.map_err(|error| Failure { exit: Exit::Usage, error })?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("{name} cannot be read"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is no text in UTF-8"));
    Ok(File { name, text: text.map_err(|error| Failure { exit: Exit::Usage, error })? })
}

/// The file anew, for its owner alone where it holds a secret, also where one with other permissions was there.
fn write_file(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}

/// The path with the user's home for `~`; none where there is no home.
fn expanded(path: &Path) -> Option<PathBuf> {
    match path.strip_prefix("~") {
        Ok(rest) => Some(PathBuf::from(environment::variable("HOME")?).join(rest)),
        Err(_) => Some(path.to_owned()),
    }
}
