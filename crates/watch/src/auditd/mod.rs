//! The kind `auditd`: whether auditd writes what it takes, whether it has room to, and what it says of itself.

mod beside;
mod messages;
mod plugin;
mod remote;
mod space;
mod spool;
mod state;
mod words;
mod writing;

pub use plugin::{Plugin, PluginEnd, PluginTold};

use messages::Messages;

use crate::kernel::AUDIT_LOG;
use crate::posture::{self, Profile};
use crate::sensors::log_end;
use crate::watcher::{Kind, Plan, Watched};
use balefire_model::settings::Reader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "auditd", read };

/// Where auditd keeps its settings.
const AUDITD_CONF: &str = "/etc/audit/auditd.conf";

/// Where auditd says how it is: 4.x, then 3.x.
const STATE_FILES: [&str; 2] = ["/run/audit/auditd.state", "/run/auditd.state"];

/// Where the system's log is: Debian and its kin, then Red Hat and its kin.
const MESSAGES: [&str; 2] = ["/var/log/syslog", "/var/log/messages"];

/// What is set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) owner: String,
    pub(crate) log: PathBuf,
    pub(crate) conf: PathBuf,
    /// Against what its settings are held.
    pub(crate) profile: Option<Profile>,
    pub(crate) state_files: Vec<PathBuf>,
    /// Percent of the room that is used: medium, high, critical.
    pub(crate) levels: [u8; 3],
    /// The directory for records while auditd does not write, and the bytes that it may take.
    pub(crate) spool: Option<(PathBuf, u64)>,
}

impl Settings {
    /// The state file that is there: its text and which version of it.
    fn state(&self) -> std::io::Result<Option<(String, log_end::Version)>> {
        for path in &self.state_files {
            if let Some(found) = log_end::whole(path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Which right lets us read it.
    fn right_to_state(&self) -> String {
        let there = self.state_files.iter().find(|path| log_end::whole(path).is_err());
        there.map_or_else(|| "CAP_DAC_READ_SEARCH".to_owned(), |path| crate::sensors::readable::right(path))
    }
}

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "auditd: whether it writes its log, has room for it, and what it says of itself. `{}` watches with the usual values.";
    let section = |reader: &Reader<'_>| (read_settings(reader), read_messages(reader), read_remote(reader));
    let Some((settings, messages, remote)) = reader.section("auditd", doc, section).optional() else {
        return Vec::new();
    };
    let watched = |name: &str, target: &Path, (every, under): (u64, &[&str]), plan: Arc<dyn Plan>| Watched {
        name: name.to_owned(),
        kind: KIND.key,
        target: target.display().to_string(),
        every: Duration::from_secs(every),
        under: under.iter().map(|name| (*name).to_owned()).collect(),
        plan,
    };
    let kernel: &[&str] = &["kernel.owner", "kernel.stuck", "kernel.status"];
    let posture = settings.profile.map(|profile| posture::watched(profile, &settings.conf));
    let state = settings.state_files.first().cloned().unwrap_or_default();
    let mut all = vec![
        watched("auditd.writing", &settings.log, (1, kernel), Arc::new(writing::Writing(settings.clone()))),
        watched("auditd.space", &settings.log, (2, &[]), Arc::new(space::Room(settings.clone()))),
        watched("auditd.state", &state, (5, &["kernel.owner"]), Arc::new(state::Says(settings.clone()))),
    ];
    all.extend(messages.map(|messages| {
        let path = messages.paths.first().cloned().unwrap_or_default();
        watched("auditd.messages", &path, (1, &["kernel.owner"]), Arc::new(messages::Hears(settings, messages)))
    }));
    all.extend(remote.map(|path| watched("auditd.remote", &path, (5, &[]), Arc::new(remote::Remote(path.clone())))));
    all.extend(posture);
    all
}

fn read_messages(reader: &Reader<'_>) -> Option<Messages> {
    let doc = "The system's log, in which auditd and the kernel say what is wrong: a path, or `none`. `auto` is /var/log/syslog or \
               /var/log/messages, and no alert where it cannot be read.";
    let messages = reader.text("messages", doc).default_shown("auto".to_owned(), "auto");
    let doc = "For how long that log must tell of no more loss until one counts as over.";
    let calm = reader.duration("messages_calm", doc).default_shown(Duration::from_secs(900), "15m");
    let (paths, is_named) = match messages.as_str() {
        "none" => return None,
        "auto" => (MESSAGES.iter().map(PathBuf::from).collect(), false),
        path => (vec![PathBuf::from(path)], true),
    };
    Some(Messages { paths, is_named, calm })
}

fn read_remote(reader: &Reader<'_>) -> Option<PathBuf> {
    let doc = "Where audisp-remote says how it is: /run/audit/remote.state, from 4.1.2 on. Not looked at where it is not set.";
    reader.text("remote_state", doc).optional().map(PathBuf::from)
}

fn read_settings(reader: &Reader<'_>) -> Settings {
    let doc = "The name of the daemon, as in /proc/PID/comm.";
    let owner = reader.text("owner", doc).default_shown("auditd".to_owned(), "auditd");
    let log = reader.text("log", "The log that it writes.").default_shown(AUDIT_LOG.to_owned(), AUDIT_LOG);
    let doc = "Its own settings: from where on it acts when room ends.";
    let conf = reader.text("conf", doc).default_shown(AUDITD_CONF.to_owned(), AUDITD_CONF);
    let doc = "The STIG that its settings are held against: the watcher auditd.posture, and `balefire watch posture`.";
    let profile = reader.parsed("profile", doc, "stig-rhel9, stig-rhel8", Profile::parse).optional();
    let doc = "Where it says how it is; `auto` is /run/audit/auditd.state, or else /run/auditd.state.";
    let state = reader.text("state_file", doc).default_shown("auto".to_owned(), "auto");
    let state_files = match state.as_str() {
        "auto" => STATE_FILES.iter().map(PathBuf::from).collect(),
        path => vec![PathBuf::from(path)],
    };
    let level = |name, doc, usual: u8, shown| {
        let parse =
            |text: &str| text.trim().trim_end_matches('%').trim().parse().ok().filter(|n| (1..=100).contains(n));
        reader.parsed(name, doc, "a percentage from 1% to 100%, such as 90%", parse).default_shown(usual, shown)
    };
    let levels = [
        level("space_warn", "So much of the log's file system may be used before it is medium.", 75, "75%"),
        level("space_high", "The same for high.", 90, "90%"),
        level("space_crit", "The same for critical.", 95, "95%"),
    ];
    if !levels.is_sorted() {
        reader.reject("space_high", format!("found {levels:?}"), "space_warn <= space_high <= space_crit");
    }
    let doc = "A directory in which the kernel's records are kept while auditd does not write them. Takes CAP_AUDIT_READ; none \
               are kept where it is not set.";
    let spool = reader.text("spool", doc).optional().map(PathBuf::from);
    let doc = "As many bytes may be kept there; what comes after that is counted and not kept.";
    let spool_max = reader.bytes("spool_max", doc).default_shown(64 << 20, "64MiB");
    Settings {
        owner,
        log: PathBuf::from(log),
        conf: PathBuf::from(conf),
        profile,
        state_files,
        levels,
        spool: spool.map(|spool| (spool, spool_max)),
    }
}
