//! `balefire import cloudmarker`: reads Cloudmarker's configuration, writes ours, and beside it the one by which Cloudmarker
//! sends its records here.

use super::{Made, Outcome, absolute, check, expanded, read, write};
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::config::Problems;
use crate::environment;
use crate::import::cloudmarker::{self, BASE, Imported, SEARCH_PATH, Start, Target};
use crate::import::{File, Verdict};
use clap::Args;
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
    pub(super) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        if self.print_base_config {
            output.text(BASE)?;
            return Ok(Exit::Done);
        }
        let files = self.read()?;
        let target = self.target(&files)?;
        let imported = cloudmarker::import(&files, &target).map_err(Problems)?;
        self.write(&imported, &target)?;
        let odd = check(&self.output);
        let outcome = Outcome {
            report: &imported.report,
            secrets: &imported.secrets,
            written: &[("output", self.output.display().to_string()), ("overlay", target.overlay.clone())],
            counted: &[
                (Verdict::Mapped, "mapped"),
                (Verdict::Changed, "changed"),
                (Verdict::Stays, "stay in Cloudmarker"),
                (Verdict::NoCounterpart, "without counterpart"),
            ],
        };
        outcome.tell(self.json, output)?;
        Ok(odd.told())
    }

    /// Where everything will be.
    fn target(&self, files: &[File]) -> Result<Target, Failure> {
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
        let made = [
            Made { path: self.output.clone(), text: &imported.balefire },
            Made { path: PathBuf::from(&target.overlay), text: &imported.overlay },
        ];
        write(&made, &imported.secrets, &target.secrets, self.force)
    }
}

/// The Python in the directory of a command that was named with one; else the one on the path.
fn python_beside(command: &Path) -> String {
    let beside = command.parent().map(|directory| directory.join("python3"));
    let python = beside.filter(|python| python.is_absolute() && python.exists());
    python.map_or_else(|| "python3".to_owned(), |python| python.display().to_string())
}
