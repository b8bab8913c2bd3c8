//! The watcher `auditd.posture`: whether settings are as the profile asks.

use super::{Alerts, Item, Profile, Readings, Text, Verdict, judge, read};
use crate::look::{Failure, Look, Moment};
use crate::watcher::{Around, Plan, Watched, Watcher};
use balefire_model::Severity;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Settings change by hand.
const EVERY: Duration = Duration::from_secs(60);

/// As many items are named in a line.
const ITEMS_SHOWN: usize = 6;

/// The watcher for a profile.
pub(crate) fn watched(profile: Profile, conf: &Path) -> Watched {
    Watched {
        name: "auditd.posture".to_owned(),
        kind: "auditd",
        target: conf.display().to_string(),
        every: EVERY,
        under: Vec::new(),
        plan: Arc::new(Posture { profile, conf: conf.to_owned() }),
    }
}

#[derive(Clone, Debug)]
struct Posture {
    profile: Profile,
    conf: PathBuf,
}

impl Plan for Posture {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(self.clone())
    }
}

impl Watcher for Posture {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        look(self.profile, &read(&self.conf))
    }
}

/// Blind where the main file cannot be read; what else cannot be seen is left to `balefire watch posture`.
pub(super) fn look(profile: Profile, readings: &Readings) -> Look {
    let items = judge(profile, readings, &Alerts::default());
    let unseen = items.iter().find(|item| item.rule == first_of_conf(profile) && item.verdict == Verdict::Blind);
    if let Some(item) = unseen {
        let cure = match &readings.conf.1 {
            // No right makes a file that is not there.
            Text::Missing => "install auditd, or say in `watch.auditd.conf` where its settings are".to_owned(),
            _ => format!("the right to read {} (CAP_DAC_READ_SEARCH)", item.place),
        };
        return Look::blind(item.found.clone(), cure);
    }
    let bad: Vec<&Item> = items.iter().filter(|item| item.verdict == Verdict::NotMet).collect();
    if bad.is_empty() {
        return Look::ok(format!("{} items of {} are met", items.len(), profile.as_str()));
    }
    let named: Vec<String> =
        bad.iter().take(ITEMS_SHOWN).map(|item| format!("{} {} is {}", item.rule, item.setting, item.found)).collect();
    let more = bad.len().saturating_sub(ITEMS_SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let (count, profile) = (items.len(), profile.as_str());
    let summary = format!("{} of {count} items of {profile} are not met: {}{more}", bad.len(), named.join("; "));
    let stops = ["disk_full_action", "disk_error_action", "write_logs", "local_events"];
    let is_worse = bad.iter().any(|item| stops.contains(&item.setting));
    let severity = if is_worse { Severity::Medium } else { Severity::Low };
    let failure = Failure::new("audit.posture", severity, summary);
    Look::of(vec![failure.cured_by(format!("balefire watch posture --profile {profile} says what is wanted"))], "")
}

/// The rule of `disk_full_action`, which stands in `auditd.conf`.
fn first_of_conf(profile: Profile) -> &'static str {
    match profile {
        Profile::StigRhel9 => "RHEL-09-653025",
        Profile::StigRhel8 => "RHEL-08-030060",
    }
}
