//! The kind `file`: a log file that must stay what it is. Gone, cut, replaced, rewritten, open to the wrong people, without its
//! writer, silent, or from the future. A rotation, in whatever style, is none of these.

mod hands;
mod identity;
mod record_time;
mod rhythm;
mod writer;

use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::access::{self, Access};
use crate::sensors::content::{self, Facts, Sample};
use crate::sensors::{holders, readable};
use crate::source;
use crate::watcher::{Around, Kind, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::{Reader, parse_duration};
use balefire_model::text::one_line;
use hands::{Allowed, Hands, Settled};
use identity::{Identity, Step};
use record_time::Times;
use rhythm::{Learning, Rhythm};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use writer::Writer;

pub(crate) const KIND: Kind = Kind { key: "file", read };

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
    let allowed = hands::read(reader);
    let doc = "The name of the process that must hold it open for writing, as in /proc/PID/comm. Of other users' processes only \
               root is told.";
    let writer = reader.text("writer", doc).optional();
    let doc = "Its records must not go back in time, by more than 120 s: for a log with the times of one clock.";
    let ordered = reader.bool("ordered", doc).default(false);
    let every = reader.duration("every", "How often it is looked at.").default_shown(Duration::from_secs(2), "2s");
    let silence = read_silence(reader, every);
    let rotate = rotate.into_iter().map(PathBuf::from).collect();
    Watched {
        name: format!("file:{path}"),
        kind: KIND.key,
        target: path.clone(),
        every,
        under: Vec::new(),
        plan: Arc::new(Settings { path: PathBuf::from(path), rotate, absent, allowed, writer, ordered, silence }),
    }
}

fn read_silence(reader: &Reader<'_>, every: Duration) -> (Option<Silence>, Severity) {
    let doc =
        "For how long it may not grow; `auto` learns how often it does, by the hour of the week. For ever if not set.";
    let form = "auto, or a duration such as 30m, 1h or 7d";
    let asked = reader.parsed("silence", doc, form, |text| match text.trim() {
        "auto" => Some(None),
        text => parse_duration(text).map(Some),
    });
    let asked = asked.optional();
    let doc = "How bad its silence is.";
    let severity = reader.parsed("silence_severity", doc, Severity::ALLOWED, Severity::parse);
    let severity = severity.default_shown(Severity::Medium, "medium");
    let doc = "How its cadence is learned, with `silence: auto`.";
    let learned = reader.section("learned", doc, source::read_bounds).optional();
    if learned.is_some() && asked != Some(None) {
        reader.reject("learned", "nothing is learned without `silence: auto`", "`silence: auto` beside it");
    }
    let silence = asked.map(|most| match most {
        Some(most) => Silence::Most(most),
        None => {
            let (bounds, zone) = learned.unwrap_or_else(source::usual_bounds);
            Silence::Learned(Learning { bounds, zone, asleep: source::ASLEEP.max(every * 3) })
        }
    });
    (silence, severity)
}

#[derive(Clone, Debug)]
struct Settings {
    path: PathBuf,
    rotate: Vec<PathBuf>,
    absent: Duration,
    allowed: Allowed,
    writer: Option<String>,
    ordered: bool,
    /// For how long it may stand still, and how bad more of it is.
    silence: (Option<Silence>, Severity),
}

/// For how long a file may stand still.
#[derive(Clone, Debug)]
enum Silence {
    Most(Duration),
    Learned(Learning),
}

/// What a restart must know.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    #[serde(flatten)]
    identity: Identity,
    #[serde(default)]
    settled: Settled,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rhythm: Option<String>,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What an older version kept in another form is as good as nothing: the next look learns the file anew.
        let kept: Memory = kept.and_then(|kept| Memory::deserialize(kept).ok()).unwrap_or_default();
        let rhythm = match &self.silence.0 {
            Some(Silence::Learned(learning)) => Some(Rhythm::new(learning.clone(), kept.rhythm.as_deref())),
            _ => None,
        };
        Box::new(LogFile {
            settings: self.clone(),
            identity: kept.identity,
            began: None,
            writer: Writer::default(),
            times: Times::default(),
            hands: Hands::new(kept.settled),
            access: None,
            rhythm,
            others: Vec::new(),
            events: Vec::new(),
        })
    }
}

struct LogFile {
    settings: Settings,
    identity: Identity,
    began: Option<Moment>,
    writer: Writer,
    times: Times,
    hands: Hands,
    /// The file as it was when its access was read, and that.
    access: Option<(Facts, Access)>,
    rhythm: Option<Rhythm>,
    /// What was wrong at the last whole look, besides its content.
    others: Vec<Failure>,
    events: Vec<Failure>,
}

impl Watcher for LogFile {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        self.began.get_or_insert(now);
        match content::facts(&self.settings.path) {
            Ok(facts) if facts.is_file => self.there(now, facts),
            Ok(_) => Look::blind(format!("{} is no regular file", self.path()), "name a log file"),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                match self.identity.absent(now, &self.path(), self.settings.absent) {
                    true => Sight::Failing(self.wrong()).into(),
                    false => self.waiting("it is not there at the moment"),
                }
            }
            Err(error) => self.unreadable("stat", &error),
        }
    }

    fn memory(&self) -> Option<Value> {
        let rhythm = self.rhythm.as_ref().and_then(Rhythm::memory).map(str::to_owned);
        let memory = Memory { identity: self.identity.clone(), settled: self.hands.settled.clone(), rhythm };
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(memory).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.identity.is_searching().then_some(SEARCH_EVERY)
    }
}

impl LogFile {
    fn path(&self) -> String {
        one_line(&self.settings.path.to_string_lossy()).into_owned()
    }

    /// What was wrong and is not known to be over.
    fn wrong(&self) -> Vec<Failure> {
        self.identity.wrong.iter().chain(&self.others).cloned().collect()
    }

    /// What was wrong stays wrong, and nothing else is said.
    fn waiting(&self, why: &str) -> Look {
        let wrong = self.wrong();
        if wrong.is_empty() { Look::unknown(why) } else { Sight::Failing(wrong).into() }
    }

    fn there(&mut self, now: Moment, facts: Facts) -> Look {
        let grew = self.identity.grew_at;
        if self.identity.is_unchanged(&facts) {
            self.identity.still(now);
        } else {
            match content::sample(&self.settings.path, &self.identity.places()) {
                Ok(sample) => {
                    if let Some(backwards) = self.times.take(&sample).filter(|_| self.settings.ordered) {
                        self.events.push(record_time::backwards(backwards, &self.path()));
                    }
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
        // A rotation to an empty file is no growth.
        let has_grown = self.identity.grew_at != grew && facts.size > 0;
        let access = match self.access(&facts) {
            Ok(access) => access,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.waiting("it went away"),
            Err(error) => return self.unreadable("read the ACL of", &error),
        };
        self.others(now, (&facts, &access), has_grown);
        let path = self.path();
        self.events.extend(self.hands.changed(now, &self.settings.allowed, (&path, &facts, &access)));
        let events = std::mem::take(&mut self.events);
        let failures = self.wrong();
        match self.writer.blind() {
            Some(why) if failures.is_empty() => Look::blind(why, "CAP_SYS_PTRACE").with(events),
            _ => Look::of(failures, self.proof(&facts)).with(events),
        }
    }

    /// What is wrong besides its content.
    fn others(&mut self, now: Moment, (facts, access): (&Facts, &Access), has_grown: bool) {
        let path = self.path();
        let mut others = Vec::new();
        others.extend(self.hands.wrong(now, &self.settings.allowed, (&path, facts, access)));
        others.extend(self.times.future(now, &path));
        if let Some(name) = self.settings.writer.as_deref() {
            if self.writer.is_due(now) {
                self.writer.take(now, name, (facts, holders::held_by(name)));
            }
            others.extend(self.writer.failure(now, name, &path));
        }
        let is_well = self.identity.wrong.is_empty() && self.writer.is_there();
        if let Some(rhythm) = &mut self.rhythm {
            rhythm.look(now, has_grown, is_well);
        }
        others.extend(
            self.silence(now).map(|failure| {
                failure.cured_by(format!("see whether what writes {path} runs and has something to say"))
            }),
        );
        self.others = others;
    }

    /// Its ACL and attributes; they are read again when anything of the file has changed.
    fn access(&mut self, facts: &Facts) -> io::Result<Access> {
        if let Some((_, access)) = self.access.as_ref().filter(|(seen, _)| seen == facts) {
            return Ok(access.clone());
        }
        let access = access::access(&self.settings.path)?;
        self.access = Some((*facts, access.clone()));
        Ok(access)
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
        Sight::Failing(self.wrong().into_iter().chain([failure]).collect()).into()
    }

    fn silence(&self, now: Moment) -> Option<Failure> {
        let (silence, severity) = &self.settings.silence;
        let path = self.path();
        match silence.as_ref()? {
            Silence::Learned(_) => self.rhythm.as_ref()?.failure(&path, *severity),
            Silence::Most(most) => {
                let since = self.identity.grew_at.or(self.began).filter(|since| now.since(*since) >= *most)?;
                let minutes = now.since(since).as_secs() / 60;
                let summary = format!("{path} has not grown for {minutes} min");
                Some(Failure::new("file.stalled", *severity, summary).since(since.wall))
            }
        }
    }

    fn proof(&self, facts: &Facts) -> String {
        let grew = self.identity.grew.map_or_else(String::new, |grew| format!(", grew at {grew:.0}"));
        let rotated = self.identity.rotated.as_deref().map_or_else(String::new, |copy| format!(", rotated to {copy}"));
        let rhythm = self.rhythm.as_ref().map_or_else(String::new, Rhythm::told);
        format!("{} bytes{grew}{rotated}{rhythm}", facts.size)
    }
}

#[cfg(test)]
mod tests;
