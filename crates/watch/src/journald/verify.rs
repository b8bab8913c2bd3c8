//! `journald.verify`: whether the archived files of the journal are whole, asked of `journalctl --verify` one file after the
//! other. Files that are written are left out: for these it says that they are damaged when they are not.

use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::child::{Child, Said};
use crate::sensors::journal_files::{FileState, journal_files};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So long is waited in one look, and so long for one file, which has 128 MiB and more.
const WAIT: Duration = Duration::from_millis(400);
const FILE_WITHIN: Duration = Duration::from_secs(15 * 60);

/// As many damaged files are told one by one.
const TOLD_MAX: usize = 20;

/// Its answer is short; what it has to say of a damaged file is a complaint.
const ANSWER_MAX: usize = 16 << 10;

/// Which journal, and how often.
#[derive(Clone, Debug)]
pub(super) struct Verify {
    pub(super) directory: Option<String>,
    pub(super) every: Duration,
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    done: Option<Timestamp>,
    bad: BTreeMap<String, String>,
}

impl Plan for Verify {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What an older version kept in another form is as good as nothing: all is verified anew.
        let memory: Memory = kept.and_then(|kept| Memory::deserialize(kept).ok()).unwrap_or_default();
        Box::new(Verifier { settings: self.clone(), memory, done: None, round: None, whole: 0 })
    }
}

struct Verifier {
    settings: Verify,
    memory: Memory,
    /// When the last round ended, by the clock that nobody sets.
    done: Option<Moment>,
    round: Option<Round>,
    /// How many files were whole in the last round.
    whole: usize,
}

/// One time through all files.
#[derive(Default)]
struct Round {
    left: VecDeque<PathBuf>,
    asked: Option<(Child, PathBuf, Moment)>,
    whole: usize,
    /// With what is said of each; one that is damaged is asked for twice.
    bad: BTreeMap<String, (u32, String)>,
}

impl Watcher for Verifier {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        match self.go_on(now) {
            Ok(()) => self.tell(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Look::blind(format!("journalctl: {error}"), "install systemd's journalctl")
            }
            Err(error) => Look::blind(format!("verify the journal: {error}"), "the group systemd-journal"),
        }
    }

    fn memory(&self) -> Option<Value> {
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(&self.memory).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.round.is_some().then_some(WAIT)
    }
}

impl Verifier {
    fn go_on(&mut self, now: Moment) -> io::Result<()> {
        if self.done.is_none() {
            self.done = self.memory.done.map(|done| super::back_to(now, Some(done)));
        }
        let Some(round) = &mut self.round else {
            if self.done.is_none_or(|done| now.since(done) >= self.settings.every) {
                let left = archived(self.settings.directory.as_deref())?;
                self.round = Some(Round { left, ..Round::default() });
            }
            return Ok(());
        };
        match round.go_on(now) {
            Ok(false) => {}
            Ok(true) => {
                let bad = std::mem::take(&mut round.bad);
                self.whole = round.whole;
                self.memory =
                    Memory { done: Some(now.wall), bad: bad.into_iter().map(|(file, (_, why))| (file, why)).collect() };
                (self.done, self.round) = (Some(now), None);
            }
            Err(error) => {
                // The next look begins anew.
                self.round = None;
                return Err(error);
            }
        }
        Ok(())
    }

    fn tell(&self) -> Look {
        let mut failures: Vec<Failure> =
            self.memory.bad.iter().take(TOLD_MAX).map(|(file, why)| failure(file, why)).collect();
        if self.memory.bad.len() > TOLD_MAX {
            let summary =
                format!("{} more archived files of the journal are damaged", self.memory.bad.len() - TOLD_MAX);
            failures.push(Failure::new("journal.verify_fail", Severity::High, summary).of("*more"));
        }
        match (failures.is_empty(), self.memory.done) {
            (false, _) => Sight::Failing(failures).into(),
            (true, Some(done)) if self.whole > 0 => {
                Look::ok(format!("{} archived files were whole at {done:.0}", self.whole))
            }
            (true, Some(_)) => Look::unknown("no archived file was verified yet"),
            (true, None) => Look::unknown("the archived files are being verified"),
        }
    }
}

impl Round {
    /// Whether it is at its end.
    fn go_on(&mut self, now: Moment) -> io::Result<bool> {
        let (mut child, path, began) = match self.asked.take() {
            Some(asked) => asked,
            None => {
                let Some(path) = self.left.pop_front() else { return Ok(true) };
                let file = format!("--file={}", path.display());
                // Behind all others: it reads much, and nobody waits for it.
                let arguments = ["-n", "19", "journalctl", "--no-pager", "--verify", &file];
                (Child::begin("nice", &arguments, None, ANSWER_MAX)?, path, now)
            }
        };
        match child.poll(WAIT)? {
            Some(said) => self.hear(&path, &said)?,
            None if now.since(began) > FILE_WITHIN => {
                let why = format!("{}: no answer within {} min", path.display(), FILE_WITHIN.as_secs() / 60);
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            None => self.asked = Some((child, path, began)),
        }
        Ok(false)
    }

    fn hear(&mut self, path: &Path, said: &Said) -> io::Result<()> {
        let file = one_line(&path.to_string_lossy()).into_owned();
        if said.is_well {
            // A second look that finds nothing says that the first one came too early.
            self.bad.remove(&file);
            self.whole += 1;
            return Ok(());
        }
        let complaint = [&said.err[..], &said.out[..]].concat();
        let complaint = String::from_utf8_lossy(&complaint);
        if !path.exists() {
            // It was removed meanwhile, by journald or by somebody: that is `journald.files`'s to tell.
            self.bad.remove(&file);
            return Ok(());
        }
        if !complaint.contains("FAIL") {
            return Err(io::Error::other(cut(&one_line(complaint.trim()), 300).into_owned()));
        }
        let lines: Vec<&str> = complaint.lines().filter(|line| !line.trim().is_empty()).take(4).collect();
        let why = cut(&one_line(&lines.join("; ")), 400).into_owned();
        let times = self.bad.get(&file).map_or(0, |(times, _)| *times) + 1;
        self.bad.insert(file, (times, why));
        if times == 1 {
            self.left.push_back(path.to_owned());
        }
        Ok(())
    }
}

/// The files that are not written any more.
fn archived(directory: Option<&str>) -> io::Result<VecDeque<PathBuf>> {
    let usual = ["/var/log/journal", "/run/log/journal"];
    let roots: Vec<&str> = directory.map_or_else(|| usual.to_vec(), |directory| vec![directory]);
    let mut found = VecDeque::new();
    for root in roots {
        match journal_files(Path::new(root)) {
            Ok(files) => {
                if let Some((_, why)) = files.unread.first() {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why.clone()));
                }
                let is_done = |name: &str| name.contains('@') && name.ends_with(".journal");
                // It becomes an argument of a program, which takes some letters for patterns.
                let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "@._-".contains(c));
                let files = files.files.into_iter().filter(|file| is_done(&file.name) && is_plain(&file.name));
                let files = files.filter(|file| file.state != FileState::Online);
                found.extend(files.map(|file| Path::new(&file.directory).join(file.name)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn failure(file: &str, why: &str) -> Failure {
    let summary = format!("{file} is damaged, an archived file of the journal: nobody writes it any more");
    Failure::new("journal.verify_fail", Severity::High, summary)
        .of(file)
        .caused_by(why)
        .cured_by(format!("keep it as it is; compare it with a copy elsewhere; journalctl --verify --file={file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(is_well: bool, text: &str) -> Said {
        Said { out: Vec::new(), err: text.as_bytes().to_vec(), is_well }
    }

    #[test]
    fn a_damaged_file_is_asked_for_twice_and_one_that_is_gone_is_not_damaged() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fail = said(false, "10: Invalid hash\nFAIL: x (Bad message)\n");
        let mut round = Round::default();
        round.hear(file.path(), &fail).unwrap();
        assert_eq!(round.left.pop_front().as_deref(), Some(file.path()));
        round.hear(file.path(), &fail).unwrap();
        assert_eq!((round.left.len(), round.bad.values().next().unwrap().1.as_str()), {
            (0, "10: Invalid hash; FAIL: x (Bad message)")
        });
        round.hear(file.path(), &said(true, "PASS: x\n")).unwrap();
        assert!(round.bad.is_empty() && round.whole == 1);
        round.hear(Path::new("/no/such/file"), &fail).unwrap();
        assert!(round.bad.is_empty());
        assert!(round.hear(file.path(), &said(false, "Failed to open: Permission denied\n")).is_err());
    }
}
