//! The plugin of auditd: what stands behind `balefire auditd-plugin`. auditd gives its plugins every record, also while it has
//! suspended its own log; so the plugin sees that the log stands, and keeps the records. Does not know who is told.

use super::spool::Spool;
use super::writing::suspended;
use crate::look::{Failure, Moment};
use crate::sensors::log_end;
use balefire_model::Severity;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many records wait to be written; those before them are forgotten.
const WAITING_MAX: usize = 8192;

/// So long records come and the log stands.
const STALL: Duration = Duration::from_secs(5);

/// What the plugin has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginTold {
    /// This is wrong from now on.
    Began(Failure),
    /// The failure of this id is over; how that is known.
    Over(&'static str, String),
}

/// What the plugin knows.
#[derive(Debug)]
pub struct Plugin {
    log: PathBuf,
    spool: Spool,
    /// Records that may not be in the log yet, and when they came.
    waiting: VecDeque<(Moment, String)>,
    /// Which file the log is, and how long.
    size: Option<(u64, u64)>,
    last_look: Option<Moment>,
    is_spooling: bool,
    count: u64,
}

/// How auditd went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginEnd {
    /// Its pipe closed, and nobody said anything before: it was killed, or it crashed.
    Broken,
    /// It told its plugins to end.
    Orderly,
}

impl Plugin {
    /// Watches this log, and keeps records in a directory, at most so many bytes.
    #[must_use]
    pub fn new(log: &Path, spool: PathBuf, spool_max: u64) -> Plugin {
        Plugin {
            log: log.to_owned(),
            spool: Spool::new(spool, spool_max),
            waiting: VecDeque::new(),
            size: log_end::size(log),
            last_look: None,
            is_spooling: false,
            count: 0,
        }
    }

    /// A record has come.
    pub fn take(&mut self, now: Moment, line: &str) {
        self.count += 1;
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, line.to_owned()));
    }

    /// How many records have come.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Looks whether the log grows, and keeps the records where it does not. To be called a few times a second.
    ///
    /// # Errors
    /// Where they cannot be kept.
    pub fn look(&mut self, now: Moment) -> io::Result<Vec<PluginTold>> {
        let size = log_end::size(&self.log);
        self.judge(now, size)
    }

    fn judge(&mut self, now: Moment, size: Option<(u64, u64)>) -> io::Result<Vec<PluginTold>> {
        let has_grown = match (self.size, size) {
            (Some((before, inode)), Some((after, same))) => inode != same || after > before,
            (None, Some((length, _))) => length > 0,
            _ => false,
        };
        self.size = size;
        let last_look = self.last_look.replace(now);
        if has_grown {
            // What came before the look before this one is written; what came since may be.
            self.waiting.retain(|(came, _)| last_look.is_none_or(|last| came.boot >= last.boot));
            return Ok(if std::mem::take(&mut self.is_spooling) { vec![self.over()] } else { Vec::new() });
        }
        let is_stalled = self.waiting.front().is_some_and(|(came, _)| now.since(*came) >= STALL);
        if !self.is_spooling && !is_stalled {
            return Ok(Vec::new());
        }
        let has_begun = !std::mem::replace(&mut self.is_spooling, true);
        self.keep()?;
        let path = self.log.display();
        let summary = format!("auditd gives out records and writes none: {path} stands");
        let began =
            || PluginTold::Began(suspended(summary, "auditd's plugin gets records while the log does not grow"));
        Ok(if has_begun { vec![began()] } else { Vec::new() })
    }

    /// auditd is gone. What may not be in its log is kept.
    ///
    /// # Errors
    /// Where it cannot be kept.
    pub fn end(&mut self, end: PluginEnd) -> io::Result<PluginTold> {
        self.keep()?;
        let (how, cause) = match end {
            PluginEnd::Broken => ("killed", "its pipe to the plugin broke: it was killed, or it crashed"),
            PluginEnd::Orderly => ("stopped", "it told its plugins to end: it was stopped in good order"),
        };
        let failure = Failure::new("audit.owner_lost", Severity::Critical, format!("auditd is {how}"))
            .caused_by(cause)
            .cured_by("systemctl status auditd; systemctl start auditd; then see that its log grows")
            .labelled("audit_end", how);
        Ok(PluginTold::Began(failure))
    }

    fn keep(&mut self) -> io::Result<()> {
        self.spool.keep(self.waiting.iter().map(|(_, line)| line.as_str()))?;
        self.waiting.clear();
        Ok(())
    }

    fn over(&mut self) -> PluginTold {
        let path = self.spool.path();
        let (kept, refused) = self.spool.end();
        let rest = if refused > 0 { format!("; {refused} found no room") } else { String::new() };
        let proof = format!("the log grows; {kept} records of that time are in {}{rest}", path.display());
        PluginTold::Over("audit.suspended", proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::fs;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    struct Site {
        dir: tempfile::TempDir,
        plugin: Plugin,
    }

    impl Site {
        fn new() -> Site {
            let dir = tempfile::tempdir().unwrap();
            let plugin = Plugin::new(Path::new("/nowhere"), dir.path().join("spool"), 1 << 20);
            Site { dir, plugin }
        }

        fn look(&mut self, second: u64, size: u64) -> Vec<PluginTold> {
            self.plugin.judge(at(second), Some((size, 1))).unwrap()
        }

        fn kept(&self) -> String {
            fs::read_to_string(self.dir.path().join("spool/audit-alternate.log")).unwrap_or_default()
        }
    }

    #[test]
    fn records_are_kept_while_the_log_stands_and_only_then() {
        let mut site = Site::new();
        site.look(0, 10);
        site.plugin.take(at(1), "written");
        site.look(2, 20);
        site.look(3, 30);
        site.plugin.take(at(4), "lost-1");
        assert!(site.look(5, 30).is_empty());
        let told = site.look(9, 30);
        assert!(matches!(&told[..], [PluginTold::Began(failure)] if failure.id == "audit.suspended"), "{told:?}");
        site.plugin.take(at(10), "lost-2");
        assert!(site.look(11, 30).is_empty(), "told once");
        assert_eq!(site.kept(), "lost-1\nlost-2\n");
        let told = site.look(12, 31);
        assert!(matches!(&told[..], [PluginTold::Over("audit.suspended", proof)] if proof.contains("2 records")));
    }

    #[test]
    fn a_log_that_stands_because_nothing_comes_is_well() {
        let mut site = Site::new();
        site.look(0, 10);
        assert!(site.look(3600, 10).is_empty());
        assert_eq!(site.kept(), "");
    }

    #[test]
    fn the_end_of_auditd_is_told_at_once_and_what_it_had_not_written_is_kept() {
        let mut site = Site::new();
        site.look(0, 10);
        site.plugin.take(at(1), "last");
        let PluginTold::Began(failure) = site.plugin.end(PluginEnd::Broken).unwrap() else { panic!("it began") };
        assert_eq!((failure.id.as_str(), failure.labels["audit_end"].as_str()), ("audit.owner_lost", "killed"));
        assert_eq!(site.kept(), "last\n");
    }

    #[test]
    fn a_spool_that_cannot_be_written_is_an_error() {
        let mut site = Site::new();
        fs::write(site.dir.path().join("spool"), "").unwrap();
        site.plugin.take(at(1), "last");
        assert!(site.plugin.end(PluginEnd::Orderly).is_err());
    }
}
