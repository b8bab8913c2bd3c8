//! `balefire import cloudmarker`: reads another system's configuration, writes ours, and tells what became of every
//! setting. What is written is checked as `balefire check` would.

use super::output::{self, Output};
use super::{Exit, Failure, Place};
use crate::config::{FILE_BYTES_MAX, Problems};
use crate::environment;
use crate::import::Verdict;
use crate::import::cloudmarker::{self, BASE, File, Imported, SEARCH_PATH, Start, Target};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  balefire import cloudmarker                          what Cloudmarker itself would read
  balefire import cloudmarker base.yaml site.yaml -o balefire.yaml
  balefire import cloudmarker --cloudmarker /opt/cm/bin/cloudmarker --python /opt/balefire/python
  balefire import cloudmarker --json | jq '.lines[] | select(.verdict == \"no_counterpart\")'

Beside the file it writes cloudmarker-balefire.yaml, by which Cloudmarker sends its records here, and the directory secrets
with one file for each password and token, for its owner alone. Nothing is overwritten without --force. Exit code 4: what
was written has problems or findings, which are told; they come from what the settings say.";

/// Make a configuration of another system's
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Make a configuration of Cloudmarker's: stores, alerts, audits
    Cloudmarker(Cloudmarker),
}

impl Import {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Import::Cloudmarker(command) => command.run(output),
        }
    }
}

/// Make a configuration of Cloudmarker's: stores, alerts, audits
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cloudmarker {
    /// Cloudmarker's files, the later over the earlier; without any, those that it finds itself
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where our configuration goes
    #[arg(short, long, value_name = "FILE", default_value = "balefire.yaml")]
    output: PathBuf,
    /// The configuration's data directory
    #[arg(long, value_name = "DIR", default_value = "./balefire-data")]
    data_dir: String,
    /// Cloudmarker's command, for the schedule; the Python beside it runs classes of your own
    #[arg(long, value_name = "PROGRAM", default_value = "cloudmarker")]
    cloudmarker: String,
    /// Balefire's directory `python`, where that is not installed for Cloudmarker's Python
    #[arg(long, value_name = "DIR")]
    python: Option<PathBuf>,
    /// Leave it to Cloudmarker, or to your crontab, when the audits run
    #[arg(long)]
    no_schedule: bool,
    /// Import Cloudmarker's own configuration alone, as its `-c` without a file
    #[arg(long, conflicts_with = "files")]
    base_only: bool,
    /// Print Cloudmarker's own configuration, as far as it counts here, and do nothing else
    #[arg(short, long)]
    print_base_config: bool,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Cloudmarker {
    fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        if self.print_base_config {
            output.text(BASE)?;
            return Ok(Exit::Done);
        }
        let files = self.read()?;
        let target = self.target(&files)?;
        let imported = cloudmarker::import(&files, &target).map_err(Problems)?;
        self.write(&imported, &target)?;
        let written = Place { config: Some(self.output.clone()), data: None }.load();
        self.tell(&imported, &target, output)?;
        let odd: Vec<String> = match &written {
            Ok(loaded) => loaded.findings.iter().map(ToString::to_string).collect(),
            Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
        };
        if odd.is_empty() {
            return Ok(Exit::Done);
        }
        output::tell(&format!("{} needs a person:", self.output.display()));
        odd.iter().for_each(|line| output::tell(&format!("  {line}")));
        Ok(Exit::Refused)
    }

    /// Where everything will be.
    fn target(&self, files: &[File]) -> Result<Target, Failure> {
        let absolute =
            |path: &Path| std::path::absolute(path).with_context(|| format!("{} is no path", path.display()));
        let directory = absolute(&self.output)?.parent().map(Path::to_path_buf).unwrap_or_default();
        let inside = |name: &str| directory.join(name).display().to_string();
        let shown = |path: PathBuf| path.display().to_string();
        let start = Start {
            program: self.cloudmarker.clone(),
            python: python_beside(Path::new(&self.cloudmarker)),
            python_path: self.python.as_deref().map(absolute).transpose()?.map(shown),
            files: files.iter().map(|file| absolute(Path::new(&file.name)).map(shown)).collect::<Result<_, _>>()?,
            keeps_time: !self.no_schedule,
        };
        Ok(Target {
            secrets: inside("secrets"),
            overlay: inside("cloudmarker-balefire.yaml"),
            data: self.data_dir.clone(),
            home: environment::variable("HOME"),
            start,
        })
    }

    /// The files' texts. One that was named must be there: Cloudmarker would go on without it, and nobody would know.
    fn read(&self) -> Result<Vec<File>, Failure> {
        if self.base_only {
            return Ok(Vec::new());
        }
        let searched = self.files.is_empty();
        let paths: Vec<PathBuf> = if searched {
            SEARCH_PATH.iter().filter_map(|path| expanded(Path::new(path))).filter(|path| path.exists()).collect()
        } else {
            self.files.iter().map(|path| expanded(path).unwrap_or_else(|| path.clone())).collect()
        };
        if paths.is_empty() {
            let text = format!("no file of Cloudmarker's is there; looked for {}", SEARCH_PATH.join(", "));
            return Err(Failure::new(Exit::Usage, text));
        }
        paths.iter().map(|path| read(path)).collect()
    }

    fn write(&self, imported: &Imported, target: &Target) -> Result<(), Failure> {
        let secrets =
            imported.secrets.iter().map(|secret| (PathBuf::from(&secret.path), secret.content.expose(), 0o600));
        let files: Vec<(PathBuf, &str, u32)> = [
            (self.output.clone(), imported.balefire.as_str(), 0o640),
            (PathBuf::from(&target.overlay), imported.overlay.as_str(), 0o640),
        ]
        .into_iter()
        .chain(secrets)
        .collect();
        if let Some((path, _, _)) = files.iter().find(|(path, _, _)| path.exists()).filter(|_| !self.force) {
            let text = format!("{} is there already; allowed: another --output, or --force", path.display());
            return Err(Failure::new(Exit::Usage, text));
        }
        if !imported.secrets.is_empty() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&target.secrets).with_context(|| format!("{} cannot be made", target.secrets))?;
        }
        for (path, text, mode) in files {
            write_file(&path, text, mode).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    fn tell(&self, imported: &Imported, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let secrets: Vec<&str> = imported.secrets.iter().map(|secret| secret.path.as_str()).collect();
        if self.json {
            output.json(&json!({
                "output": self.output.display().to_string(),
                "overlay": target.overlay,
                "secrets": secrets,
                "lines": imported.report.lines,
            }))?;
            return Ok(());
        }
        output.text(&imported.report.text())?;
        let count = |verdict| imported.report.count(verdict);
        output.line(&format!(
            "{} mapped, {} changed, {} stay in Cloudmarker, {} without counterpart",
            count(Verdict::Mapped),
            count(Verdict::Changed),
            count(Verdict::Stays),
            count(Verdict::NoCounterpart),
        ))?;
        output.line(&format!("written: {}, {}", self.output.display(), target.overlay))?;
        for path in secrets {
            output.line(&format!("written: {path} (a secret)"))?;
        }
        Ok(())
    }
}

/// The Python in the directory of a command that was named with one; else the one on the path.
fn python_beside(command: &Path) -> String {
    let beside = command.parent().map(|directory| directory.join("python3"));
    let python = beside.filter(|python| python.is_absolute() && python.exists());
    python.map_or_else(|| "python3".to_owned(), |python| python.display().to_string())
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
