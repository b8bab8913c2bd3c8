//! Whether an incident counts as the doing of a security scan of our own: by time windows, by a marker file that a scanner
//! puts down, or by the word of a sender who may say so. Knows no file system: what the marker is like is a reading that
//! comes from outside. Whoever could forge the mark could pass a real attack off as authorised, so that a marker counts only
//! where nobody but its owner and root can have made it.

use balefire_model::Incident;
use balefire_model::calendar::TimeInterval;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The label by which a sender who may says that an incident comes from a scan.
pub const LABEL: &str = "internal_scan";

/// Behind the fingerprint of what is marked: an attack after a scan is not the same thing as the scan that looked like it.
const OF_SCANS: &str = "+internal_scan";

/// Bits of permissions for writing by the group and by everybody.
const OTHERS_WRITE: u32 = 0o022;
/// A clock may be set back a little while a scan begins.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// When an incident counts as a scan's. Nothing does where nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InternalScan {
    /// The marker file.
    pub marker: Option<MarkerRule>,
    /// The windows in which scans are made.
    pub windows: Vec<Arc<TimeInterval>>,
    /// The sources whose label [`LABEL`] counts.
    pub sources: Vec<String>,
}

/// What a marker must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerRule {
    /// Its path, as people wrote it.
    pub path: String,
    /// Whose it may be, by name or number, beside root's.
    pub owner: String,
    /// How long after its last change it counts.
    pub max_age: Duration,
}

/// What the file system says of a marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing is there.
    Absent,
    /// It could not be looked at, and why.
    Unreadable(String),
    /// Something is there.
    Found(Found),
}

/// See [`Reading::Found`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The user id of the owner that the rule names; none where there is no such user.
    pub wanted_owner: Option<u32>,
    /// The marker, not followed where it is a link.
    pub file: Inode,
    /// The directory in which it is.
    pub directory: Inode,
    /// When the marker was last changed.
    pub changed_at: Timestamp,
}

/// What is known of a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Whether it is what it should be: a regular file, a directory; a link is neither.
    pub is_kind: bool,
    /// Its owner's user id.
    pub owner: u32,
    /// Its permissions.
    pub mode: u32,
}

/// What a reading comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// There is none.
    Absent,
    /// It counts.
    Counts,
    /// It does not count, and why.
    Refused(String),
}

impl MarkerRule {
    /// Whether the marker counts at this moment.
    #[must_use]
    pub fn judge(&self, reading: &Reading, now: Timestamp) -> Marker {
        let found = match reading {
            Reading::Absent => return Marker::Absent,
            Reading::Unreadable(why) => return Marker::Refused(format!("cannot be looked at: {why}")),
            Reading::Found(found) => found,
        };
        match self.fault(found, now) {
            Some(why) => Marker::Refused(why),
            None => Marker::Counts,
        }
    }

    fn fault(&self, found: &Found, now: Timestamp) -> Option<String> {
        let Found { wanted_owner, file, directory, changed_at } = found;
        let Some(owner) = wanted_owner else {
            return Some(format!(
                "its owner should be {}, and there is no such user; allowed: a name, or a number",
                self.owner
            ));
        };
        let is_owned = |inode: &Inode| inode.owner == 0 || inode.owner == *owner;
        let shown = |inode: &Inode| format!("belongs to user {}; allowed: {} and root", inode.owner, self.owner);
        if !file.is_kind {
            return Some("is a link or no regular file; allowed: a regular file".to_owned());
        }
        if !is_owned(file) {
            return Some(shown(file));
        }
        if file.mode & OTHERS_WRITE != 0 {
            return Some(format!(
                "may be written by others (mode {:04o}); allowed: by its owner alone",
                file.mode & 0o7777
            ));
        }
        if !directory.is_kind {
            return Some("is in a link to a directory; allowed: the directory's own path".to_owned());
        }
        if !is_owned(directory) {
            return Some(format!("is in a directory that {}", shown(directory)));
        }
        if directory.mode & OTHERS_WRITE != 0 {
            let mode = directory.mode & 0o7777;
            return Some(format!(
                "is in a directory that others may write to (mode {mode:04o}); allowed: its owner alone"
            ));
        }
        let age = now.duration_since(*changed_at);
        if age > jiff::SignedDuration::try_from(self.max_age).unwrap_or(jiff::SignedDuration::MAX) {
            let minutes = age.as_mins();
            return Some(format!(
                "was last changed {minutes} minutes ago; allowed: {} minutes",
                self.max_age.as_secs() / 60
            ));
        }
        let ahead = jiff::SignedDuration::try_from(AHEAD_MAX).unwrap_or(jiff::SignedDuration::ZERO);
        (-age > ahead).then(|| "was last changed in the future".to_owned())
    }
}

impl InternalScan {
    /// Marks the incident where it counts as a scan's. What is marked is another thing than what looks the same and is not,
    /// for us as for far sides that go by the fingerprint: no attack disappears in a message about a scan.
    pub fn mark(&self, incident: &mut Incident, marker: &Marker) {
        incident.internal_scan = self.because(incident, marker);
        if incident.internal_scan.is_some() {
            incident.fingerprint.0.push_str(OF_SCANS);
        }
    }

    fn because(&self, incident: &Incident, marker: &Marker) -> Option<String> {
        let window = self.windows.iter().find(|window| window.contains(incident.received_at));
        if let Some(window) = window {
            return Some(format!("time interval {}", window.name));
        }
        if let (Some(rule), Marker::Counts) = (&self.marker, marker) {
            return Some(format!("marker {}", rule.path));
        }
        let says = incident.labels.get(LABEL).is_some_and(|value| value == "true");
        (says && self.sources.contains(&incident.source)).then(|| format!("source {} says so", incident.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::calendar::Interval;
    use jiff::tz::TimeZone;

    fn rule() -> MarkerRule {
        MarkerRule {
            path: "/run/m/active".to_owned(),
            owner: "scan".to_owned(),
            max_age: Duration::from_secs(4 * 3600),
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn good() -> Found {
        Found {
            wanted_owner: Some(990),
            file: Inode { is_kind: true, owner: 990, mode: 0o100_644 },
            directory: Inode { is_kind: true, owner: 0, mode: 0o040_755 },
            changed_at: "2026-11-22T09:00:00Z".parse().unwrap(),
        }
    }

    fn check(change: impl FnOnce(&mut Found), words: &str) {
        let mut found = good();
        change(&mut found);
        match rule().judge(&Reading::Found(found), now()) {
            Marker::Refused(why) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}: {words}"),
        }
    }

    #[test]
    fn a_marker_counts_where_only_its_owner_and_root_can_have_made_it() {
        assert_eq!(rule().judge(&Reading::Found(good()), now()), Marker::Counts);
        let roots = Found { file: Inode { owner: 0, ..good().file }, ..good() };
        assert_eq!(rule().judge(&Reading::Found(roots), now()), Marker::Counts);
        assert_eq!(rule().judge(&Reading::Absent, now()), Marker::Absent);
        check(|found| found.file.is_kind = false, "a link");
        check(|found| found.file.owner = 1000, "belongs to user 1000; allowed: scan and root");
        check(|found| found.file.mode = 0o100_664, "mode 0664");
        check(|found| found.file.mode = 0o100_646, "mode 0646");
        check(|found| found.directory.is_kind = false, "a link to a directory");
        check(|found| found.directory.owner = 1000, "a directory that belongs to user 1000");
        // The sticky bit keeps nobody from putting a marker there first.
        check(|found| found.directory.mode = 0o041_777, "mode 1777");
        check(|found| found.directory.mode = 0o040_775, "mode 0775");
        check(|found| found.wanted_owner = None, "there is no such user");
        check(
            |found| found.changed_at = "2026-11-22T07:59:59Z".parse().unwrap(),
            "240 minutes ago; allowed: 240 minutes",
        );
        check(|found| found.changed_at = "2026-11-22T13:00:00Z".parse().unwrap(), "in the future");
        assert!(matches!(rule().judge(&Reading::Unreadable("no".to_owned()), now()), Marker::Refused(_)));
    }

    fn incident(source: &str, label: Option<&str>) -> Incident {
        let labels = label.map(|label| serde_json::json!({ LABEL: label })).unwrap_or_else(|| serde_json::json!({}));
        let json = serde_json::json!({
            "id": "01935f1c-7c00-7000-8000-000000000001", "title": "t", "severity": "high", "detected_by": "r",
            "fingerprint": "f", "source": source, "received_at": "2026-11-22T12:00:00Z", "labels": labels,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_sender_cannot_mark_its_own_incidents_unless_its_source_may() {
        let nobody = InternalScan::default();
        assert_eq!(nobody.because(&incident("http", Some("true")), &Marker::Absent), None);
        let one = InternalScan { sources: vec!["scanner".to_owned()], ..InternalScan::default() };
        assert_eq!(one.because(&incident("http", Some("true")), &Marker::Absent), None);
        assert_eq!(one.because(&incident("scanner", None), &Marker::Absent), None);
        assert_eq!(one.because(&incident("scanner", Some("yes")), &Marker::Absent), None);
        let says = one.because(&incident("scanner", Some("true")), &Marker::Absent);
        assert_eq!(says.as_deref(), Some("source scanner says so"));
    }

    #[test]
    fn a_window_and_a_marker_mark_what_comes_in() {
        let window = TimeInterval { name: "scans".to_owned(), intervals: vec![Interval::always(TimeZone::UTC)] };
        let windows = InternalScan { windows: vec![Arc::new(window)], ..InternalScan::default() };
        let mark = |scan: &InternalScan, marker: &Marker| scan.because(&incident("http", None), marker);
        assert_eq!(mark(&windows, &Marker::Absent).as_deref(), Some("time interval scans"));
        let marked = InternalScan { marker: Some(rule()), ..InternalScan::default() };
        assert_eq!(mark(&marked, &Marker::Counts).as_deref(), Some("marker /run/m/active"));
        assert_eq!(mark(&marked, &Marker::Absent), None);
        assert_eq!(mark(&marked, &Marker::Refused("x".to_owned())), None);
        assert_eq!(mark(&InternalScan::default(), &Marker::Counts), None);
    }
    #[test]
    fn what_is_marked_is_another_thing_than_what_looks_the_same() {
        let scan = InternalScan { marker: Some(rule()), ..InternalScan::default() };
        let marked = |marker| {
            let mut incident = incident("http", None);
            scan.mark(&mut incident, &marker);
            (incident.internal_scan, incident.fingerprint.0)
        };
        assert_eq!(marked(Marker::Absent), (None, "f".to_owned()));
        assert_eq!(marked(Marker::Counts), (Some("marker /run/m/active".to_owned()), "f+internal_scan".to_owned()));
    }
}
