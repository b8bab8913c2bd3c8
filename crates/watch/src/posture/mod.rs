//! How auditd and what belongs to it is set, against what a STIG asks for: each item with its rule, what was found, what is
//! wanted, and the verdict. Pure but for [`read`], which takes the readings.

mod demand;
mod watcher;

pub(crate) use watcher::watched;

use crate::audit::status::Status;
use crate::sensors::{netlink, setting, space};
use demand::DEMANDS;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Against what settings are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The STIG of Red Hat Enterprise Linux 9.
    StigRhel9,
    /// That of 8.
    StigRhel8,
}

impl Profile {
    /// The words for them.
    pub const WORDS: [(&'static str, Profile); 2] =
        [("stig-rhel9", Profile::StigRhel9), ("stig-rhel8", Profile::StigRhel8)];

    /// Reads one of the words, also without `stig-`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Profile> {
        let is_meant = |known: &str| known == word.trim() || known.strip_prefix("stig-") == Some(word.trim());
        Profile::WORDS.into_iter().find(|(known, _)| is_meant(known)).map(|(_, profile)| profile)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::StigRhel9 => "stig-rhel9",
            Profile::StigRhel8 => "stig-rhel8",
        }
    }
}

/// A file that was read, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// What it says.
    Read(String),
    /// There is none.
    Missing,
    /// It cannot be read, and why.
    Denied(String),
}

/// All that is looked at.
#[derive(Clone, Debug)]
pub struct Readings {
    /// `auditd.conf`, and where it is.
    pub conf: (PathBuf, Text),
    /// The audit rules, one behind the other.
    pub rules: Text,
    /// The kernel's command line.
    pub boot: Text,
    /// `/etc/aliases`
    pub aliases: Text,
    /// rsyslog's configuration.
    pub rsyslog: Text,
    /// chrony's configuration.
    pub chrony: Text,
    /// Mebibytes of the file system that the log is on.
    pub partition_mib: Option<u64>,
    /// What the kernel says of `enabled`, `failure` and `backlog_limit`; none without the right to ask.
    pub kernel: Option<(u32, u32, u32)>,
}

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as wanted.
    Met,
    /// It is not.
    NotMet,
    /// It cannot be seen from here.
    Blind,
    /// No setting tells: a person must say.
    ByHand,
}

/// One item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The STIG's rule, such as `RHEL-09-653040`.
    pub rule: &'static str,
    /// The setting, such as `space_left_action`.
    pub setting: &'static str,
    /// Where it stands.
    pub place: String,
    /// What was found; why nothing was, where it is blind.
    pub found: String,
    /// What is wanted.
    pub wanted: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Where it asks for an alert: by what alerts are given here, whatever the setting says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<String>,
}

/// What here gives the alerts that some items ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// The watchers that see room end and writing stop, by name.
    pub watchers: Vec<String>,
    /// Who is told, in words.
    pub recipients: String,
    /// What `/usr/lib/sendmail` is, where it is this program.
    pub mailer: Option<String>,
}

impl Alerts {
    /// The sentence for an assessor.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mailer = match &self.mailer {
            Some(mailer) => format!(" Mail of auditd reaches it, too: {mailer}."),
            None => String::new(),
        };
        if self.watchers.is_empty() {
            let none = "No real-time alert is provided by Balefire: no watcher of auditd's room is configured \
                        (`watch: {auditd: {}}`).";
            return format!("{none}{mailer}");
        }
        let watchers = self.watchers.join(", ");
        format!(
            "Real-time alerts are provided by Balefire: {watchers} watch this, and {} told; the evidence is `balefire watch \
             report`.{mailer}",
            if self.recipients.is_empty() { "the routes say who is" } else { &self.recipients }
        )
    }
}

/// Takes the readings. Bounded, and without writing anything.
#[must_use]
pub fn read(conf: &Path) -> Readings {
    let status: Option<Status> = netlink::ask().ok();
    let conf_text = setting::file(conf);
    let log = match &conf_text {
        Text::Read(text) => settings(text).remove("log_file").map(|(value, _)| value),
        _ => None,
    };
    let log = PathBuf::from(log.unwrap_or_else(|| crate::kernel::AUDIT_LOG.to_owned()));
    // Without the right to search the directory, its file system is that of the nearest one above.
    let room = log.ancestors().find_map(|place| space::space(place).ok());
    Readings {
        conf: (conf.to_owned(), conf_text),
        rules: setting::all(Path::new("/etc/audit/audit.rules"), Path::new("/etc/audit/rules.d"), "rules"),
        boot: setting::file(Path::new("/proc/cmdline")),
        aliases: setting::file(Path::new("/etc/aliases")),
        rsyslog: setting::all(Path::new("/etc/rsyslog.conf"), Path::new("/etc/rsyslog.d"), "conf"),
        chrony: setting::first(&[Path::new("/etc/chrony.conf"), Path::new("/etc/chrony/chrony.conf")]),
        partition_mib: room.map(|room| room.bytes >> 20),
        kernel: status.map(|status| (status.enabled, status.failure, status.backlog_limit)),
    }
}

/// Every item of a profile.
#[must_use]
pub fn judge(profile: Profile, readings: &Readings, alerts: &Alerts) -> Vec<Item> {
    let items = DEMANDS.iter().filter_map(|demand| {
        let rule = match profile {
            Profile::StigRhel9 => demand.rhel9,
            Profile::StigRhel8 => demand.rhel8,
        };
        if rule.is_empty() {
            return None;
        }
        let (place, verdict, found) = demand.judge(readings);
        let alerts = demand.is_alert.then(|| alerts.sentence());
        Some(Item { rule, setting: demand.setting, place, found, wanted: demand.wanted, verdict, alerts })
    });
    items.collect()
}

/// The settings of `auditd.conf`, keys in lower case; of one that stands there twice the last counts, as for auditd.
fn settings(text: &str) -> BTreeMap<String, (String, usize)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    let settings = lines.filter_map(|(at, line)| {
        let (key, value) = line.split_once('=')?;
        Some((key.trim().to_ascii_lowercase(), (value.trim().to_owned(), at + 1)))
    });
    settings.collect()
}

#[cfg(test)]
mod tests;
