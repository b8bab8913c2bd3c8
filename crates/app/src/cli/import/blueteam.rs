//! `balefire import blueteam`: reads the configuration of the blue team's monitor (BT-08), with the `config.local.yaml`
//! beside it, and writes ours.

use super::{Made, Outcome, absolute, check, expanded, read, write};
use crate::cli::output::Output;
use crate::cli::{Exit, Failure};
use crate::config::Problems;
use crate::environment;
use crate::import::Verdict;
use crate::import::blueteam::{self, Dialect, Target};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  balefire import blueteam config.yaml                 config.local.yaml beside it is laid over it
  balefire import blueteam config.yaml site.yaml -o /etc/balefire/balefire.yaml
  balefire import blueteam config.yaml --dialect shipped
  balefire import blueteam config.yaml --json | jq '.lines[] | select(.verdict == \"no_counterpart\")'

References such as ${VAR} and ${VAR:-default} stay references, and no secret is written into the configuration: a password
that stands in a file goes into a file of its own in the directory secrets, for its owner alone. Nothing is overwritten
without --force. Exit code 4: what was written has problems or findings, which are told; they come from what the settings
say. docs/migrating/blueteam.md has the rest of the way.";

/// Make a configuration of the blue team's monitor's (BT-08): mail, syslog, console, alert_history
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Blueteam {
    /// The monitor's files, the later over the earlier
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where our configuration goes
    #[arg(short, long, value_name = "FILE", default_value = "balefire.yaml")]
    output: PathBuf,
    /// The configuration's data directory
    #[arg(long, value_name = "DIR", default_value = "./balefire-data")]
    data_dir: String,
    /// Whose texts and routes: those of the plan, or of the engine that was released; what the files give away if not set
    #[arg(long, value_enum, value_name = "DIALECT")]
    dialect: Option<Choice>,
    /// Leave out the config.local.yaml beside a FILE called config.yaml
    #[arg(long)]
    no_local: bool,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The dialects.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// The engine of the plan
    Plan,
    /// The engine that its authors released
    Shipped,
}

impl Blueteam {
    pub(super) fn run(&self, output: &mut Output) -> Result<Exit, Failure> {
        let paths = self.paths();
        let files = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let directory = absolute(&self.output)?.parent().map(Path::to_path_buf).unwrap_or_default();
        let target = Target {
            secrets: directory.join("secrets").display().to_string(),
            data: self.data_dir.clone(),
            dialect: self.dialect.map(|dialect| match dialect {
                Choice::Plan => Dialect::Plan,
                Choice::Shipped => Dialect::Shipped,
            }),
            has_local: paths.iter().any(|path| is_local(path)),
        };
        let imported = blueteam::import(&files, &target, &environment::variable).map_err(Problems)?;
        let made = Made { path: self.output.clone(), text: &imported.balefire };
        write(&[made], &imported.secrets, &target.secrets, self.force)?;
        let odd = check(&self.output);
        let outcome = Outcome {
            report: &imported.report,
            secrets: &imported.secrets,
            written: &[("output", self.output.display().to_string())],
            counted: &[
                (Verdict::Mapped, "mapped"),
                (Verdict::Changed, "changed"),
                (Verdict::NoCounterpart, "without counterpart"),
            ],
        };
        outcome.tell(self.json, output)?;
        Ok(odd.told())
    }

    /// The files in their order, each with the local one beside it behind it, unless that was named itself.
    fn paths(&self) -> Vec<PathBuf> {
        let named: Vec<PathBuf> =
            self.files.iter().map(|path| expanded(path).unwrap_or_else(|| path.clone())).collect();
        let mut paths = Vec::with_capacity(2 * named.len());
        for path in &named {
            paths.push(path.clone());
            let local = beside(path).filter(|local| !self.no_local && local.exists());
            paths.extend(local.filter(|local| !named.contains(local) && !paths.contains(local)));
        }
        paths
    }
}

/// `config.local.yaml` for `config.yaml`; none where the file is a local one, or has no extension.
fn beside(path: &Path) -> Option<PathBuf> {
    let (stem, extension) = (path.file_stem()?.to_str()?, path.extension()?.to_str()?);
    (!is_local(path)).then(|| path.with_file_name(format!("{stem}.local.{extension}")))
}

fn is_local(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some_and(|extension| extension == "local"))
}
