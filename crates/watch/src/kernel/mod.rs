//! The kind `kernel`: whether the kernel's audit has a daemon, whether that keeps up, how audit stands, and what its records
//! say of changes to it. One watcher for each right that it takes.

mod drift;
mod owner;
mod records;
mod status;
mod stuck;

pub(crate) use owner::{daemon, holders};

use drift::Expected;

use crate::calm::Calm;
use crate::watcher::{Kind, Plan, Watched};
use balefire_model::settings::Reader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "kernel", read };

/// Where auditd writes if nobody says otherwise.
pub(crate) const AUDIT_LOG: &str = "/var/log/audit/audit.log";

/// So long after the start of the machine no daemon and no rules are expected yet.
const START: Duration = Duration::from_secs(60);

/// What is set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) expect_owner: String,
    pub(crate) expect_enabled: Vec<u32>,
    pub(crate) expect_failure: Option<u32>,
    pub(crate) lost_threshold: u32,
    pub(crate) log: PathBuf,
    pub(crate) stuck_calm: Duration,
    pub(crate) lost_calm: Duration,
}

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "The kernel's audit and the daemon that takes its records: gone, another one, stuck, switched off, records lost, \
               rules changed. `{}` watches with the usual values.";
    let section = |reader: &Reader<'_>| (read_settings(reader), read_rules(reader));
    let Some((settings, rules)) = reader.section("kernel", doc, section).optional() else { return Vec::new() };
    let watched = |name: &str, target: &str, under: &[&str], plan: Arc<dyn Plan>| Watched {
        name: name.to_owned(),
        kind: KIND.key,
        target: target.to_owned(),
        every: owner::EVERY,
        under: under.iter().map(|name| (*name).to_owned()).collect(),
        plan,
    };
    let log = settings.log.display().to_string();
    let stuck = Calm::of(Arc::new(stuck::Stuck(settings.clone())), &[("audit.stuck", settings.stuck_calm)]);
    let status = Calm::of(Arc::new(status::Standing(settings.clone())), &[("audit.lost", settings.lost_calm)]);
    let drift = rules.map(|rules| Watched {
        every: drift::EVERY,
        ..watched("kernel.rules", "AUDIT_LIST_RULES", &["kernel.owner"], Arc::new(drift::Drift(rules)))
    });
    let mut all = vec![
        watched("kernel.owner", "/proc/net/netlink", &[], Arc::new(owner::Owner(settings.clone()))),
        watched("kernel.stuck", "/proc/net/netlink", &["kernel.owner"], stuck),
        watched("kernel.status", "AUDIT_GET", &["kernel.owner"], status),
        watched("kernel.records", &log, &["kernel.status"], Arc::new(records::Records(settings))),
    ];
    all.extend(drift);
    all
}

fn read_rules(reader: &Reader<'_>) -> Option<Expected> {
    let doc = "Which rules must be loaded: `first` is those that are seen first, a digest is those whose digest begins so (`balefire \
               watch status` shows it). Takes CAP_AUDIT_CONTROL; the rules are not compared where it is not set.";
    reader.parsed("rules", doc, Expected::FORM, Expected::parse).optional()
}

fn read_settings(reader: &Reader<'_>) -> Settings {
    let doc = "The name of the daemon that must hold the kernel's audit socket, as in /proc/PID/comm.";
    let expect_owner = reader.text("expect_owner", doc).default_shown("auditd".to_owned(), "auditd");
    let doc = "What `enabled` of `auditctl -s` may be: 1 is on, 2 is on and locked. `[1, 2]` if not set.";
    let enabled = reader.texts("expect_enabled", doc).optional();
    let expect_enabled = enabled.map_or(vec![1, 2], |texts| {
        let found: Vec<u32> = texts.iter().filter_map(|text| text.trim().parse().ok()).filter(|n| *n <= 2).collect();
        if found.len() != texts.len() || found.is_empty() {
            reader.reject(
                "expect_enabled",
                format!("found {}", texts.join(", ")),
                "a list of 0, 1 and 2, such as [1, 2]",
            );
        }
        found
    });
    let doc = "What `failure` of `auditctl -s` must be: 0 silent, 1 a line in the kernel's log, 2 the machine stops. Any, if not set.";
    let expect_failure = reader.integer("expect_failure", doc, 0, 2).optional().and_then(|n| u32::try_from(n).ok());
    let doc = "So many records may be lost before it is told.";
    let lost = reader.integer("lost_threshold", doc, 0, 1_000_000).default_shown(0, "0");
    let doc = "The log in which changes of audit are looked for.";
    let log = reader.text("log", doc).default_shown(AUDIT_LOG.to_owned(), AUDIT_LOG);
    let doc = "For how long a daemon must keep up until it counts as recovered.";
    let stuck_calm = reader.duration("stuck_calm", doc).default_shown(Duration::from_secs(300), "5m");
    let doc = "For how long no record may be lost until the loss counts as over.";
    let lost_calm = reader.duration("lost_calm", doc).default_shown(Duration::from_secs(900), "15m");
    Settings {
        expect_owner,
        expect_enabled,
        expect_failure,
        lost_threshold: u32::try_from(lost).unwrap_or(0),
        log: PathBuf::from(log),
        stuck_calm,
        lost_calm,
    }
}

#[cfg(test)]
pub(crate) fn settings() -> Settings {
    Settings {
        expect_owner: "auditd".to_owned(),
        expect_enabled: vec![1, 2],
        expect_failure: None,
        lost_threshold: 0,
        log: PathBuf::from(AUDIT_LOG),
        stuck_calm: Duration::from_secs(300),
        lost_calm: Duration::from_secs(900),
    }
}
