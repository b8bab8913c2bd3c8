//! `auditd.space`: the room of the log's file system, by the limits that are set here and by those of auditd.conf, at which
//! auditd itself acts: it suspends, or it stops the machine.

use super::Settings;
use crate::audit::conf::{Conf, conf};
use crate::look::{Failure, Look, Moment};
use crate::sensors::space::{Space, space};
use crate::sensors::{log_end, readable};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde_json::Value;
use std::io;

/// So much emptier (in percent) it must be until a level is left.
const HYSTERESIS: f64 = 5.0;

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Room(pub(crate) Settings);

impl Plan for Room {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(RoomWatcher { settings: self.0.clone(), reached: None })
    }
}

struct RoomWatcher {
    settings: Settings,
    /// The level that was told.
    reached: Option<u8>,
}

impl Watcher for RoomWatcher {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        let path = self.settings.log.parent().unwrap_or(&self.settings.log);
        let space = match space(path) {
            Ok(space) => space,
            Err(error) => {
                let cure = match error.kind() {
                    // No right makes a directory that is not there.
                    io::ErrorKind::NotFound => "start auditd, or say in `watch.auditd.log` where its log is".to_owned(),
                    _ => readable::right(path),
                };
                return Look::blind(format!("statvfs {}: {error}", path.display()), cure);
            }
        };
        // Its own settings can be read by its group only; without them our own limits hold.
        let text = log_end::whole(&self.settings.conf).ok().flatten();
        let conf = text.map(|(text, _)| conf(&text));
        judge(&self.settings.levels, &mut self.reached, (space, conf.as_ref(), &path.display().to_string()))
    }
}

fn judge(levels: &[u8; 3], reached: &mut Option<u8>, (space, conf, path): (Space, Option<&Conf>, &str)) -> Look {
    if space.bytes == 0 {
        return Look::unknown(format!("the file system of {path} has no size"));
    }
    let percent = 100.0 * (space.bytes - space.bytes_free) as f64 / space.bytes as f64;
    let before = reached.take();
    let is_reached = |level: &u8| {
        let slack = if before.is_some_and(|before| *level <= before) { HYSTERESIS } else { 0.0 };
        percent >= f64::from(*level) - slack
    };
    *reached = levels.iter().rev().copied().find(is_reached);
    let mut failures = Vec::new();
    let used = format!("{path}: {percent:.1} % of the bytes are used, {} MiB are free", space.bytes_free >> 20);
    let is_below =
        |left: Option<crate::audit::conf::Left>| left.is_some_and(|left| space.bytes_free < left.bytes(space.bytes));
    let is_admin = conf.is_some_and(|conf| is_below(conf.admin_space_left));
    let is_low = conf.is_some_and(|conf| is_below(conf.space_left));
    let found = match *reached {
        _ if space.bytes_free == 0 => Some(("audit.full", Severity::Critical, "auditd has no room left")),
        Some(level) if level >= levels[2] => {
            Some(("audit.space_admin", Severity::Critical, "auditd's room is nearly at its end"))
        }
        _ if is_admin => Some(("audit.space_admin", Severity::Critical, "auditd is below admin_space_left")),
        Some(level) if level >= levels[1] => Some(("audit.space_low", Severity::High, "auditd's room ends")),
        Some(_) => Some(("audit.space_low", Severity::Medium, "auditd's room ends")),
        None if is_low => Some(("audit.space_low", Severity::Medium, "auditd is below space_left")),
        None => None,
    };
    if let Some((id, severity, what)) = found {
        let failure = Failure::new(id, severity, format!("{what}: {used}"));
        failures.push(failure.cured_by(
            "make room or make the file system larger; where auditd has suspended its log, that alone does not resume it: \
             auditctl --signal resume",
        ));
    }
    failures.extend(conf.and_then(|conf| halt(conf, (is_low, is_admin), &used)));
    Look::of(failures, used)
}

/// The next step at which auditd stops the machine, where the step before it is reached.
fn halt(conf: &Conf, (is_low, is_admin): (bool, bool), used: &str) -> Option<Failure> {
    let stops = |action: &str| matches!(action, "halt" | "single");
    let next = match (is_low, is_admin) {
        (_, true) => {
            [("disk_full_action", &conf.disk_full_action), ("admin_space_left_action", &conf.admin_space_left_action)]
        }
        (true, false) => {
            [("admin_space_left_action", &conf.admin_space_left_action), ("space_left_action", &conf.space_left_action)]
        }
        (false, false) => return None,
    };
    let (name, action) = next.into_iter().find(|(_, action)| stops(action))?;
    let summary = format!("auditd will stop this machine for want of room ({name} = {action}): {used}");
    Some(Failure::new("audit.halt_pending", Severity::Critical, summary).cured_by("make room now"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Sight;

    fn look(used: u64, reached: &mut Option<u8>, text: Option<&str>) -> Vec<(String, Severity)> {
        let space = Space {
            bytes: 100 << 20,
            bytes_free: (100 - used) << 20,
            inodes: 0,
            inodes_free: 0,
            is_read_only: false,
            is_in_memory: false,
        };
        let conf = text.map(conf);
        match judge(&[75, 90, 95], reached, (space, conf.as_ref(), "/var/log/audit")).sight {
            Sight::Failing(failures) => failures.into_iter().map(|failure| (failure.id, failure.severity)).collect(),
            _ => Vec::new(),
        }
    }

    fn found(id: &str, severity: Severity) -> Vec<(String, Severity)> {
        vec![(id.to_owned(), severity)]
    }

    #[test]
    fn less_room_is_worse_and_a_level_is_left_only_well_below_it() {
        let mut reached = None;
        let mut at = |used| look(used, &mut reached, None);
        assert!(at(74).is_empty());
        assert_eq!(at(75), found("audit.space_low", Severity::Medium));
        assert_eq!(at(90), found("audit.space_low", Severity::High));
        assert_eq!(at(95), found("audit.space_admin", Severity::Critical));
        assert_eq!(at(100), found("audit.full", Severity::Critical));
        assert_eq!(at(91), found("audit.space_admin", Severity::Critical));
        assert_eq!(at(86), found("audit.space_low", Severity::High));
        assert!(at(69).is_empty());
    }

    #[test]
    fn the_limits_of_auditd_itself_count_where_they_can_be_read() {
        let conf = "space_left = 40%\nadmin_space_left = 30\ndisk_full_action = halt\n";
        assert!(look(59, &mut None, Some(conf)).is_empty());
        assert_eq!(look(61, &mut None, Some(conf)), found("audit.space_low", Severity::Medium));
        let admin = look(71, &mut None, Some(conf));
        let ids: Vec<&str> = admin.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["audit.space_admin", "audit.halt_pending"]);
    }
}
