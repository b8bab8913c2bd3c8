//! How much logs may take by the settings of the program that writes them: auditd's `num_logs` times `max_log_file`, journald's
//! `SystemMaxUse`. Pure: sees the texts.

use super::allotted::{Allotted, End};
use crate::audit::conf::conf;
use crate::journald::limits::{Store, limits};
use crate::posture::Text;
use balefire_model::settings::{Reader, parse_bytes};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A week, as the STIG asks of the room of audit logs (RHEL-09-653030).
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Where auditd writes, and where its settings are.
const AUDIT: &str = "/var/log/audit";
const AUDITD_CONF: &str = "/etc/audit/auditd.conf";

/// Where journald writes.
const JOURNAL: &str = "/var/log/journal";
const JOURNAL_IN_MEMORY: &str = "/run/log/journal";

/// What is set of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cap {
    /// The file system is all there is.
    None,
    /// So many bytes.
    Bytes(Allotted),
    /// By its writer's own settings.
    Of { writer: Writer, conf: Option<PathBuf>, retain: Duration, is_asked: bool },
}

/// Who writes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    Auditd,
    Journald(Store),
}

/// What the setting says.
#[derive(Clone, Copy)]
enum Asked {
    Auto,
    Nothing,
    Writer(Writer),
    Bytes(u64),
}

pub(super) fn read(reader: &Reader<'_>, path: &str) -> Cap {
    let doc = "What the logs below the path may take, where that is less than the file system: a size; or `auditd` or `journald`, by \
               its own settings. `auto`, which is usual there, is auditd for /var/log/audit, and journald for /var/log/journal and \
               /run/log/journal. `none` takes the file system for all there is.";
    let form = "auto, auditd, journald, none, or a size such as 64KiB, 16MiB or 1GiB";
    let asked = reader.parsed("cap", doc, form, |text| match text.trim() {
        "auto" => Some(Asked::Auto),
        "none" => Some(Asked::Nothing),
        "auditd" => Some(Asked::Writer(Writer::Auditd)),
        "journald" => Some(Asked::Writer(Writer::Journald(store_of(path)))),
        text => parse_bytes(text).map(Asked::Bytes),
    });
    let asked = asked.optional();
    let doc = "With `cap`: for how long records must be kept. Then it is not told that the logs take what they may, but that records \
               are removed before. With a size: not asked for if not set; else 7d, and `0s` tells that they take what they may.";
    let retain = reader.duration("retain", doc).optional();
    let doc =
        "The settings of who writes there: /etc/audit/auditd.conf, or journald.conf with its drop-ins, if not set.";
    let conf = reader.text("conf", doc).optional().map(PathBuf::from);
    let of = |writer, is_asked| Cap::Of { writer, conf: conf.clone(), retain: retain.unwrap_or(WEEK), is_asked };
    let cap = match (asked, usual(path)) {
        (Some(Asked::Bytes(bytes)), _) => Cap::Bytes(Allotted { bytes, retain, end: End::Cap }),
        (Some(Asked::Writer(writer)), _) => of(writer, true),
        (Some(Asked::Auto), Some(writer)) => of(writer, true),
        (None, Some(writer)) => of(writer, false),
        (Some(Asked::Auto), None) => {
            let what = format!("nobody knows who writes below {path}");
            reader.reject("cap", what, format!("auditd, journald or a size here, `auto` for {AUDIT} or {JOURNAL}"));
            Cap::None
        }
        (Some(Asked::Nothing) | None, _) => Cap::None,
    };
    if retain.is_some() && cap == Cap::None {
        reader.reject("retain", "without `cap` nothing removes records", "`cap` beside it");
    }
    if conf.is_some() && !matches!(cap, Cap::Of { .. }) {
        reader.reject("conf", "nobody's settings are read", "`cap: auditd` or `cap: journald` beside it");
    }
    cap
}

fn usual(path: &str) -> Option<Writer> {
    let path = Path::new(path);
    if path.starts_with(AUDIT) {
        return Some(Writer::Auditd);
    }
    let is_journal = path.starts_with(JOURNAL) || path.starts_with(JOURNAL_IN_MEMORY);
    is_journal.then(|| Writer::Journald(store_of(&path.to_string_lossy())))
}

fn store_of(path: &str) -> Store {
    if path.starts_with("/run/") { Store::Runtime } else { Store::System }
}

impl Writer {
    /// Where its settings are, where nobody says so; of journald they are in several places.
    pub(super) fn conf(self) -> Option<&'static Path> {
        match self {
            Writer::Auditd => Some(Path::new(AUDITD_CONF)),
            Writer::Journald(_) => None,
        }
    }
}

/// What the logs may take, and where they are; none where the file system is all there is.
///
/// # Errors
/// Where its settings cannot be read.
pub(super) fn found(
    text: &Text,
    writer: Writer,
    (path, all): (&Path, u64),
    retain: Duration,
) -> Result<Option<(Allotted, PathBuf)>, String> {
    let retain = (!retain.is_zero()).then_some(retain);
    match (writer, text) {
        (_, Text::Denied(why)) => Err(why.clone()),
        (Writer::Auditd, Text::Missing) => Err("auditd.conf is not there".to_owned()),
        (Writer::Auditd, Text::Read(text)) => Ok(of_auditd(text, path, retain)),
        (Writer::Journald(store), text) => {
            let text = if let Text::Read(text) = text { text } else { "" };
            let bytes = limits(text, store).most(all);
            Ok(Some((Allotted { bytes, retain, end: End::Journald }, path.to_owned())))
        }
    }
}

fn of_auditd(text: &str, path: &Path, retain: Option<Duration>) -> Option<(Allotted, PathBuf)> {
    let conf = conf(text);
    let bytes = conf.max_log_file.saturating_mul(1 << 20);
    match conf.max_log_file_action.as_str() {
        "rotate" if conf.num_logs >= 2 && bytes > 0 => {
            let bytes = bytes.saturating_mul(conf.num_logs);
            Some((Allotted { bytes, retain, end: End::Auditd }, path.to_owned()))
        }
        "suspend" if bytes > 0 => {
            let log = conf.log_file.map_or_else(|| path.join("audit.log"), PathBuf::from);
            Some((Allotted { bytes, retain: None, end: End::Suspends }, log))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(writer: Writer, text: &str) -> Option<(u64, End, PathBuf)> {
        let text = Text::Read(text.to_owned());
        let (allotted, counted) = found(&text, writer, (Path::new("/logs"), 100 << 30), WEEK).unwrap()?;
        Some((allotted.bytes, allotted.end, counted))
    }

    #[test]
    fn auditd_keeps_as_many_files_as_it_is_told_or_stops_at_the_end_of_one() {
        let rotate = "log_file = /logs/audit.log\nmax_log_file = 8\nnum_logs = 5\nmax_log_file_action = ROTATE\n";
        assert_eq!(of(Writer::Auditd, rotate), Some((40 << 20, End::Auditd, PathBuf::from("/logs"))));
        let suspend = rotate.replace("ROTATE", "SUSPEND");
        assert_eq!(of(Writer::Auditd, &suspend), Some((8 << 20, End::Suspends, PathBuf::from("/logs/audit.log"))));
        for endless in ["keep_logs", "ignore", "syslog"] {
            assert_eq!(of(Writer::Auditd, &rotate.replace("ROTATE", endless)), None);
        }
        assert_eq!(of(Writer::Auditd, &rotate.replace("= 5", "= 1")), None, "one file is not rotated");
    }

    #[test]
    fn journald_takes_what_is_set_or_its_share_and_settings_that_may_not_be_read_say_nothing() {
        let journald = Writer::Journald(Store::System);
        let logs = || PathBuf::from("/logs");
        assert_eq!(of(journald, "[Journal]\nSystemMaxUse=500M\n"), Some((500 << 20, End::Journald, logs())));
        assert_eq!(of(journald, ""), Some((4 << 30, End::Journald, logs())));
        let denied = Text::Denied("open /etc/audit/auditd.conf: permission denied".to_owned());
        assert!(found(&denied, Writer::Auditd, (Path::new("/logs"), 1), WEEK).is_err());
        assert!(found(&Text::Missing, Writer::Auditd, (Path::new("/logs"), 1), WEEK).is_err());
    }
}
