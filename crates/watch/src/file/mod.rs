//! The kind `file`: a log file that must stay what it is. Gone, cut, replaced, rewritten, open to the wrong people, without its
//! writer, silent, or from the future. A rotation, in whatever style, is none of these.

mod identity;
mod record_time;

use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::content::{self, Facts, Sample};
use crate::sensors::{accounts, holders, readable};
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::{cut, one_line};
use identity::{Hands, Identity, Step};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "file", read };

/// A record or a change from later than this has a wrong clock behind it.
const FUTURE: SignedDuration = SignedDuration::from_secs(120);

/// How often it is looked who writes the file, and how long a writer may hold another one after a rotation.
const WRITER_EVERY: Duration = Duration::from_secs(10);
const WRITER_GRACE: Duration = Duration::from_secs(30);

/// Mode and owner that lasted so long are what they were meant to be.
const SETTLED: Duration = Duration::from_secs(3);

/// While it is searched for what was in a file.
const SEARCH_EVERY: Duration = Duration::from_millis(500);

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Log files that must stay what they are. Rotation, in whatever style, is no alarm.";
    reader.sections("file", doc, read_one).optional().unwrap_or_default()
}

fn read_one(reader: &Reader<'_>) -> Watched {
    let path = reader.text("path", "The file.").required(String::new());
    let doc = "Where rotated copies go, when not beside the file under a name that begins with its own: files or directories.";
    let rotate = reader.texts("rotate", doc).optional().unwrap_or_default();
    let doc = "How long it may be absent; a rotation takes a moment.";
    let absent = reader.duration("absent", doc).default_shown(Duration::from_secs(5), "5s");
    let form = "permission bits such as 0640";
    let doc = "The most permissive bits that it may have. Files that everybody may write are always told.";
    let mode_max = reader.parsed("mode_max", doc, form, |text| {
        u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o7777)
    });
    let mode_max = mode_max.optional();
    let doc = "Whom it must belong to: `user:group`, names or numbers; either may be left out.";
    let owner = reader.parsed("owner", doc, "`user:group`, `user` or `:group`", |text| {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        (text.len() > 1 || !user.is_empty()).then(|| (user.trim().to_owned(), group.trim().to_owned()))
    });
    let owner = owner.optional();
    let doc = "The name of the process that must hold it open for writing, as in /proc/PID/comm. Of other users' processes only \
               root is told.";
    let writer = reader.text("writer", doc).optional();
    let silence = reader.duration("silence", "For how long it may not grow; for ever if not set.").optional();
    let every = reader.duration("every", "How often it is looked at.").default_shown(Duration::from_secs(2), "2s");
    let rotate = rotate.into_iter().map(PathBuf::from).collect();
    Watched {
        name: format!("file:{path}"),
        kind: KIND.key,
        target: path.clone(),
        every,
        under: Vec::new(),
        plan: Arc::new(Settings { path: PathBuf::from(path), rotate, absent, mode_max, owner, writer, silence }),
    }
}

#[derive(Clone, Debug)]
struct Settings {
    path: PathBuf,
    rotate: Vec<PathBuf>,
    absent: Duration,
    mode_max: Option<u32>,
    owner: Option<(String, String)>,
    writer: Option<String>,
    silence: Option<Duration>,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What an older version kept in another form is as good as nothing: the next look learns the file anew.
        let identity = kept.and_then(|kept| serde_json::from_value(kept.clone()).ok()).unwrap_or_default();
        Box::new(LogFile {
            settings: self.clone(),
            identity,
            began: None,
            writer: WriterSeen::default(),
            future: None,
            hands: None,
        })
    }
}

struct LogFile {
    settings: Settings,
    identity: Identity,
    began: Option<Moment>,
    writer: WriterSeen,
    /// The time of a record or change that is still to come, as it was read last.
    future: Option<Timestamp>,
    /// Mode, user and group, and since when they are that.
    hands: Option<(Hands, Moment)>,
}

/// What was seen of the writer last.
#[derive(Default)]
struct WriterSeen {
    asked: Option<Moment>,
    /// Since when it does not write to the file, and what it does instead.
    gone: Option<(Moment, String)>,
    blind: Option<String>,
}

impl Watcher for LogFile {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        self.began.get_or_insert(now);
        match content::facts(&self.settings.path) {
            Ok(facts) if facts.is_file => self.there(now, facts),
            Ok(_) => Look::blind(format!("{} is no regular file", self.path()), "name a log file"),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                match self.identity.absent(now, &self.path(), self.settings.absent) {
                    true => Sight::Failing(self.identity.wrong.clone()).into(),
                    false => self.waiting("it is not there at the moment"),
                }
            }
            Err(error) => self.unreadable("stat", &error),
        }
    }

    fn memory(&self) -> Option<Value> {
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(&self.identity).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.identity.is_searching().then_some(SEARCH_EVERY)
    }
}

impl LogFile {
    fn path(&self) -> String {
        one_line(&self.settings.path.to_string_lossy()).into_owned()
    }

    /// What was wrong stays wrong, and nothing else is said.
    fn waiting(&self, why: &str) -> Look {
        match self.identity.wrong.is_empty() {
            true => Look::unknown(why),
            false => Sight::Failing(self.identity.wrong.clone()).into(),
        }
    }

    fn there(&mut self, now: Moment, facts: Facts) -> Look {
        if self.identity.is_unchanged(&facts) {
            self.identity.still(now);
        } else {
            match content::sample(&self.settings.path, &self.identity.places()) {
                Ok(sample) => {
                    self.future = record_time::latest(&sample);
                    if let Err(error) = self.judge(now, &sample) {
                        return self.unreadable("look for rotated copies of", &error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.waiting("it is being changed"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.waiting("it went away"),
                Err(error) => return self.unreadable("open", &error),
            }
        }
        if self.identity.is_searching() {
            return self.waiting("it is being looked for what was in it");
        }
        let mut failures = self.identity.wrong.clone();
        failures.extend(self.permissions(&facts));
        failures.extend(self.silence(now));
        failures.extend(self.future_record(now));
        failures.extend(self.writer(now, &facts));
        if let (true, Some(why)) = (failures.is_empty(), &self.writer.blind) {
            return Look::blind(why.clone(), "CAP_SYS_PTRACE");
        }
        let events = self.changed_hands(now, &facts);
        Look::of(failures, self.proof(&facts)).with(events)
    }

    fn judge(&mut self, now: Moment, sample: &Sample) -> io::Result<()> {
        if self.identity.read(now, sample) == Step::Search {
            let copy = self.copy()?;
            let path = self.path();
            self.identity.found(now, sample, copy, &path);
        }
        Ok(())
    }

    /// The file that has what was in ours.
    fn copy(&self) -> io::Result<Option<String>> {
        let Some(known) = &self.identity.known else { return Ok(None) };
        for path in content::siblings(&self.settings.path, &self.settings.rotate)? {
            // What cannot be read, or is gone again, is not the copy.
            let Ok(sample) = content::sample(&path, &known.places()) else { continue };
            let is_it = known.is_in(&sample) || self.is_packed_in(&path).unwrap_or(false);
            if is_it {
                return Ok(Some(one_line(&path.to_string_lossy()).into_owned()));
            }
        }
        Ok(None)
    }

    fn is_packed_in(&self, path: &Path) -> io::Result<bool> {
        let Some(known) = &self.identity.known else { return Ok(false) };
        let found = content::unpacked(path, known.unpacked())?;
        Ok(found.is_some_and(|(start, length)| known.is_in_unpacked(&start, length)))
    }

    fn unreadable(&self, call: &str, error: &io::Error) -> Look {
        let path = self.path();
        if error.kind() == io::ErrorKind::PermissionDenied {
            let cure = readable::right(&self.settings.path);
            return Look::blind(format!("{call} {path}: {error}"), cure);
        }
        let failure = Failure::new("file.unreadable", Severity::High, format!("{path} cannot be read: {error}"))
            .caused_by(format!("{call}: {error}"))
            .cured_by("see the kernel's log (dmesg) for errors of the disk");
        Sight::Failing(self.identity.wrong.iter().cloned().chain([failure]).collect()).into()
    }

    fn permissions(&self, facts: &Facts) -> Vec<Failure> {
        let path = self.path();
        let mut wrong = Vec::new();
        let mut severity = Severity::Medium;
        if facts.mode & 0o002 != 0 {
            severity = Severity::High;
            wrong.push(format!("everybody may write it (mode {:04o})", facts.mode));
        } else if let Some(most) = self.settings.mode_max.filter(|most| facts.mode & !most != 0) {
            wrong.push(format!("its mode is {:04o}, and {most:04o} is the most", facts.mode));
        }
        if let Some((user, group)) = &self.settings.owner {
            wrong.extend(belongs("user", user, facts.uid, accounts::user));
            wrong.extend(belongs("group", group, facts.gid, accounts::group));
        }
        if wrong.is_empty() {
            return Vec::new();
        }
        let mut summary = format!("{path}: {}", wrong.join("; "));
        summary = cut(&summary, 1000).into_owned();
        vec![Failure::new("file.perm", severity, summary).cured_by(format!("chmod and chown {path}"))]
    }

    /// Mode or owner changed, where no setting says what they must be: told once, when it has lasted. A rotation gives a new
    /// file its mode and owner step by step.
    fn changed_hands(&mut self, now: Moment, facts: &Facts) -> Vec<Failure> {
        let is = (facts.mode, facts.uid, facts.gid);
        if facts.mode & 0o002 != 0 {
            // That everybody may write it is a failure of its own, until it is as before.
            self.hands = None;
            return Vec::new();
        }
        let since = match self.hands {
            Some((seen, since)) if seen == is => since,
            _ => now,
        };
        self.hands = Some((is, since));
        if now.since(since) < SETTLED {
            return Vec::new();
        }
        let was = self.identity.settled.replace(is).filter(|was| *was != is);
        let is_told = self.settings.mode_max.is_none() && self.settings.owner.is_none();
        let Some(was) = was.filter(|_| is_told) else { return Vec::new() };
        let told = |(mode, user, group)| format!("mode {mode:04o} of {user}:{group}");
        let path = self.path();
        let summary = format!("{path} had {}, and has {}", told(was), told(is));
        let failure = Failure::new("file.perm", Severity::Medium, summary);
        vec![failure.cured_by("set `mode_max` and `owner` to what they must be")]
    }

    fn silence(&self, now: Moment) -> Option<Failure> {
        let most = self.settings.silence?;
        let since = self.identity.grew_at.or(self.began)?;
        if now.since(since) < most {
            return None;
        }
        let (path, minutes) = (self.path(), now.since(since).as_secs() / 60);
        let summary = format!("{path} has not grown for {minutes} min");
        let failure = Failure::new("file.stalled", Severity::Medium, summary).since(since.wall);
        Some(failure.cured_by(format!("see whether what writes {path} runs and has something to say")))
    }

    fn future_record(&self, now: Moment) -> Option<Failure> {
        let time = self.future.filter(|time| time.duration_since(now.wall) > FUTURE)?;
        let summary = format!("{} has a record or change of {time:.0}, which is still to come", self.path());
        let failure = Failure::new("file.future", Severity::Medium, summary);
        Some(failure.caused_by("the clock of its writer, or ours, is wrong").cured_by("see the clocks of both"))
    }

    fn writer(&mut self, now: Moment, facts: &Facts) -> Option<Failure> {
        let name = self.settings.writer.as_deref()?;
        if self.writer.asked.is_none_or(|asked| now.since(asked) >= WRITER_EVERY) {
            self.writer.asked = Some(now);
            let (gone, blind) = match holders::held_by(name) {
                Ok(held) => (absence(name, facts, held), None),
                Err(error) => (None, Some(format!("files of {name} in /proc: {error}"))),
            };
            self.writer.blind = blind;
            let since = self.writer.gone.take().map_or(now, |(since, _)| since);
            self.writer.gone = gone.map(|why| (since, why));
        }
        let (since, why) = self.writer.gone.as_ref().filter(|(since, _)| now.since(*since) >= WRITER_GRACE)?;
        let path = self.path();
        let failure = Failure::new("file.writer_gone", Severity::High, format!("{name} does not write {path}: {why}"));
        Some(failure.since(since.wall).caused_by(why.clone()).cured_by(format!("start {name}, or let it open {path}")))
    }

    fn proof(&self, facts: &Facts) -> String {
        let grew = self.identity.grew.map_or_else(String::new, |grew| format!(", grew at {grew:.0}"));
        let rotated = self.identity.rotated.as_deref().map_or_else(String::new, |copy| format!(", rotated to {copy}"));
        format!("{} bytes{grew}{rotated}", facts.size)
    }
}

/// Why the writer does not write the file; none where it does.
fn absence(name: &str, facts: &Facts, held: Option<Vec<holders::Held>>) -> Option<String> {
    let Some(held) = held else { return Some(format!("no process is called {name}")) };
    if held.iter().any(|held| (held.dev, held.ino) == (facts.dev, facts.ino)) {
        return None;
    }
    let others: Vec<String> = held.iter().take(3).map(|held| format!("{} of {}", held.path, held.pid)).collect();
    let others = if others.is_empty() { "no file".to_owned() } else { others.join(", ") };
    Some(cut(&one_line(&format!("it holds {others}")), 500).into_owned())
}

/// What is wrong with a file's user or group.
fn belongs(what: &str, name: &str, found: u32, number: fn(&str) -> io::Result<Option<u32>>) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    match number(name) {
        Ok(Some(number)) if number == found => None,
        Ok(Some(_)) => Some(format!("its {what} is {found} and must be {name}")),
        Ok(None) => Some(format!("its {what} must be {name}, which this machine does not know; write the number")),
        Err(error) => Some(format!("its {what} must be {name}, which cannot be looked up: {error}")),
    }
}

#[cfg(test)]
mod tests;
