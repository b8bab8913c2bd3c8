//! `balefire watch posture`: how auditd and what belongs to it is set, against a STIG.

use crate::cli::output::{Output, Screen};
use crate::cli::table::{Cell, table};
use crate::cli::{Exit, Failure, Place};
use crate::config::Config;
use crate::config::watch::told;
use anstyle::{AnsiColor, Style};
use balefire_model::text::one_line;
use balefire_watch::posture::{Alerts, Item, Profile, Verdict, judge, read};
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Which watchers see room end and writing stop.
const WATCHERS: [&str; 4] = ["auditd.space", "auditd.writing", "auditd.state", "capacity:"];

/// What auditd hands its mail to.
const MAILERS: [&str; 2] = ["/usr/lib/sendmail", "/usr/sbin/sendmail"];

const EXAMPLES: &str = "\
Examples:
  balefire watch posture --profile stig-rhel9
  balefire watch posture --profile stig-rhel8 --conf ./auditd.conf --json

Verdicts: met, not_met, blind (it cannot be seen from here, and why), by_hand (no setting tells). Under items that ask for
alerts stands by what alerts are given here. Needs no server; what only root may read is blind for others.

Exit code 0: nothing is not met; 4: something is not met; 6: nothing is not met, and something cannot be seen.";

/// Hold the settings of auditd, and of what belongs to it, against a STIG
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Posture {
    /// Against which: stig-rhel9 or stig-rhel8
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    profile: Profile,
    /// The settings of auditd
    #[arg(long, value_name = "FILE", default_value = "/etc/audit/auditd.conf")]
    conf: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn profile(text: &str) -> Result<Profile, String> {
    Profile::parse(text).ok_or_else(|| "allowed: stig-rhel9, stig-rhel8".to_owned())
}

impl Posture {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        // Settings of auditd can be read without any of ours; an item says then that nothing gives alerts.
        let config = place.load().ok().map(|loaded| loaded.config);
        let items = judge(self.profile, &read(&self.conf), &alerts(config.as_ref()));
        if self.json {
            output.json(&json!({ "profile": self.profile.as_str(), "items": items }))?;
        } else {
            output.text(&shown(&items, output.screen))?;
        }
        Ok(exit(&items))
    }
}

/// What gives alerts here.
fn alerts(config: Option<&Config>) -> Alerts {
    let watching = config.and_then(|config| config.watch.as_ref());
    let watched = watching.into_iter().flat_map(|watching| &watching.watched);
    let is_one = |name: &str| WATCHERS.iter().any(|watcher| name.starts_with(watcher));
    let watchers = watched.map(|watched| watched.name.clone()).filter(|name| is_one(name)).collect();
    let recipients = config.zip(watching).and_then(|(config, watching)| {
        let team = watching.rules.recipients.as_ref()?;
        let (people, kinds) = told(config, team);
        let named = |names: Vec<&str>| names.join(", ");
        let (people, kinds) = (named(people.into_iter().collect()), named(kinds.into_iter().collect()));
        Some(format!("team {team} ({people}) over {kinds} is"))
    });
    Alerts { watchers, recipients: recipients.unwrap_or_default(), mailer: MAILERS.into_iter().find_map(mailer) }
}

/// Where it leads to us.
fn mailer(path: &'static str) -> Option<String> {
    let target = fs::canonicalize(Path::new(path)).ok()?;
    let is_ours = target.file_name().is_some_and(|name| name == "balefire");
    is_ours.then(|| format!("{path} is {}", target.display()))
}

fn word(verdict: Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Met => ("met", AnsiColor::Green.on_default()),
        Verdict::NotMet => ("not_met", AnsiColor::Red.on_default().bold()),
        Verdict::Blind => ("blind", AnsiColor::Yellow.on_default()),
        Verdict::ByHand => ("by_hand", Style::new()),
    }
}

fn shown(items: &[Item], screen: Screen) -> String {
    let row = |item: &Item| {
        let (word, style) = word(item.verdict);
        vec![
            Cell::new(item.rule),
            Cell::styled(word, style),
            Cell::new(item.setting),
            Cell::new(&item.found),
            Cell::new(&item.place),
            Cell::new(item.wanted),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    let mut shown = table(&["RULE", "VERDICT", "SETTING", "FOUND", "WHERE", "WANTED"], &rows, screen);
    let asking: Vec<&Item> = items.iter().filter(|item| item.alerts.is_some()).collect();
    if let Some(sentence) = asking.first().and_then(|item| item.alerts.as_ref()) {
        let rules: Vec<&str> = asking.iter().map(|item| item.rule).collect();
        shown.push_str(&format!("\n{}:\n  {}\n", rules.join(", "), one_line(sentence)));
    }
    shown
}

fn exit(items: &[Item]) -> Exit {
    let has = |verdict: Verdict| items.iter().any(|item| item.verdict == verdict);
    if has(Verdict::NotMet) {
        Exit::Refused
    } else if has(Verdict::Blind) {
        Exit::Blind
    } else {
        Exit::Done
    }
}
