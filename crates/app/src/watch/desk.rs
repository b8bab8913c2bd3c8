//! The register of what is expected, and the watchers that look: which is due, what a look changes, and what is to be made
//! durable of it. Sends nothing and waits for nothing.

mod looking;

use super::hands::Hands;
use super::incident::{self, Subject};
use super::note::{Drill, Note, Retired};
use super::status::{Looked, Published, Status};
use super::unbegun::Unbegun;
use crate::config::Watching;
use balefire_model::record::InputRead;
use balefire_model::{Incident, IncidentId};
use balefire_watch::{Around, Board, Change, Moment, Rules, Watched, Watcher, What};
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often a watcher's memory is made durable at most, where nothing else changes.
const MEMORY_EVERY: Duration = Duration::from_secs(60);

/// How long a drill lasts: long enough for its message to leave before its end.
const DRILL_LASTS: SignedDuration = SignedDuration::from_secs(10);

/// How long we sleep at most while somebody looks: what lasts becomes worse in time.
const ROUND_MAX: Duration = Duration::from_secs(1);

/// Who asks for a drill whose time has come.
const TIMETABLE: &str = "the timetable (watch.drill)";

/// What is to be made durable about one watcher, all or nothing.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) watcher: String,
    /// What told of something that is over, and why it is. Said before the rest: once more after a crash is the same as once.
    pub(super) resolves: Vec<(IncidentId, String)>,
    pub(super) incidents: Vec<Arc<Incident>>,
    pub(super) note: InputRead,
    /// What tells of an end is itself nothing to take care of.
    pub(super) ends: Vec<IncidentId>,
}

/// Why somebody cannot do something with a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is none of this name; these are there.
    Unknown(Vec<String>),
    /// It cannot be now.
    Refused(String),
}

/// One line of the register.
struct Seat {
    note: Note,
    /// None where it is not in the configuration.
    running: Option<Running>,
    /// When its note was last made durable, or looked through for that.
    saved: Duration,
    looked: Looked,
}

struct Running {
    watched: Watched,
    /// None while its look does not end.
    watcher: Option<Box<dyn Watcher>>,
    due: Duration,
}

impl Running {
    /// What it remembers; what is known of that while its look does not end.
    fn memory(&self, known: Option<&Value>) -> Option<Value> {
        self.watcher.as_ref().map_or_else(|| known.cloned(), |watcher| watcher.memory())
    }
}

/// All watchers.
pub(super) struct Desk {
    board: Board,
    seats: BTreeMap<String, Seat>,
    drill_every: Option<Duration>,
    published: Published,
    ticked: Option<Duration>,
    /// Who lets them look; none: we ourselves.
    hands: Option<Hands>,
}

impl Desk {
    /// With what the journal knows; nothing is looked at yet. What people see goes to `published`.
    pub(super) fn new(now: Moment, notes: BTreeMap<String, Note>, published: Published) -> Desk {
        let mut board = Board::new(Rules::default());
        let mut seats = BTreeMap::new();
        for (name, note) in notes {
            if note.retired.is_none() {
                board.expect(now, &name, &[], Some(note.standing.clone()));
            }
            seats.insert(name, Seat { note, running: None, saved: now.boot, looked: Looked::default() });
        }
        Desk { board, seats, drill_every: None, published, ticked: None, hands: None }
    }

    /// Watchers look by other hands from now on.
    pub(super) fn look_by(&mut self, hands: Hands) {
        self.hands = Some(hands);
    }

    /// Brings a configuration into force. What is the same goes on as it is; what is not there any more stays expected.
    pub(super) fn configure(&mut self, now: Moment, watching: Option<&Watching>) -> Vec<Outgoing> {
        let rules = watching.map_or_else(Rules::default, |watching| watching.rules.clone());
        self.board.set_rules(rules);
        self.drill_every = watching.and_then(|watching| watching.drill_every);
        let watched = watching.map(|watching| watching.watched.as_slice()).unwrap_or_default();
        let configured: BTreeSet<&str> = watched.iter().map(|watched| watched.name.as_str()).collect();
        let gone: Vec<String> = self
            .seats
            .iter()
            .filter(|(name, seat)| !configured.contains(name.as_str()) && seat.note.retired.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        let mut outgoing = Vec::new();
        for name in gone {
            self.rest(&name);
            let changes = self.board.forsake(now, &name);
            if !changes.is_empty() {
                tracing::warn!(watcher = name, "a watcher is not in the configuration any more; it stays expected");
                outgoing.extend(self.settle(now, &name, changes));
            }
            self.publish(&name);
        }
        for watched in watched {
            outgoing.extend(self.seat(now, watched));
            self.publish(&watched.name);
        }
        outgoing
    }

    /// Gives a watcher its place.
    fn seat(&mut self, now: Moment, watched: &Watched) -> Option<Outgoing> {
        let name = watched.name.as_str();
        let is_new = self.seats.get(name).is_none_or(|seat| seat.note.retired.is_some());
        self.board.expect(now, name, &watched.under, None);
        let seat = self.seats.entry(name.to_owned()).or_insert_with(|| Seat {
            note: Note::new(now.wall),
            running: None,
            saved: now.boot,
            looked: Looked::default(),
        });
        if let Some(running) = seat.running.as_mut().filter(|running| running.watched.is_same(watched)) {
            // How often it looks and what explains it may be part of the same.
            running.watched = watched.clone();
            return None;
        }
        if is_new {
            seat.note = Note::new(now.wall);
        }
        if let Some(running) = &seat.running {
            seat.note.memory = running.memory(None).or(seat.note.memory.take());
        }
        watched.kind.clone_into(&mut seat.note.kind);
        seat.note.target.clone_from(&watched.target);
        let watcher = Some(Unbegun::watcher(&watched.plan, seat.note.memory.as_ref()));
        seat.running = Some(Running { watched: watched.clone(), watcher, due: now.boot });
        let changes = self.board.readmit(now, name);
        (is_new || !changes.is_empty()).then(|| self.settle(now, name, changes)).flatten()
    }

    /// Takes a watcher from its work, with what it wants to be told at its next start.
    fn rest(&mut self, name: &str) {
        let Some(seat) = self.seats.get_mut(name) else { return };
        if let Some(running) = seat.running.take() {
            seat.note.memory = running.memory(None).or(seat.note.memory.take());
        }
    }

    /// Lets those look whose time has come, or all of them, and does what else is due.
    pub(super) fn round(&mut self, clock: &dyn Fn() -> Moment, around: &dyn Around, is_all: bool) -> Vec<Outgoing> {
        let now = clock();
        let is_due = |running: &Running| running.watcher.is_some() && (is_all || running.due <= now.boot);
        let due: Vec<String> = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.running.as_ref().is_some_and(is_due))
            .map(|(name, _)| name.clone())
            .collect();
        let mut outgoing = self.let_look(&due, clock, around);
        let now = clock();
        if self.ticked.is_none_or(|ticked| now.boot.saturating_sub(ticked) >= ROUND_MAX) {
            self.ticked = Some(now.boot);
            let mut by_watcher: BTreeMap<String, Vec<Change>> = BTreeMap::new();
            for change in self.board.tick(now) {
                by_watcher.entry(change.watcher.clone()).or_default().push(change);
            }
            for (name, changes) in by_watcher {
                outgoing.extend(self.settle(now, &name, changes));
                self.publish(&name);
            }
            outgoing.extend(self.end_drills(now));
            outgoing.extend(self.drill_in_time(now));
            outgoing.extend(self.keep_memory(now));
        }
        outgoing
    }

    /// What is to be made durable where something has changed.
    fn settle(&mut self, now: Moment, name: &str, changes: Vec<Change>) -> Option<Outgoing> {
        let seat = self.seats.get_mut(name)?;
        let (mut incidents, mut resolves, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for change in &changes {
            let subject = Subject { name, kind: &seat.note.kind, target: &seat.note.target };
            let told = incident::of(subject, change, now.wall);
            let (id, thing) = change.failure.key();
            let failure = &if thing.is_empty() { id.to_owned() } else { format!("{id} {thing}") };
            match &change.what {
                What::Began | What::Worse => seat.note.tell(failure, told.id),
                What::Happened => {}
                What::Over(_) => {
                    let why = incident::ending(change);
                    let before = seat.note.told.remove(failure).unwrap_or_default();
                    resolves.extend(before.into_iter().map(|id| (id, why.clone())));
                    ends.push(told.id);
                }
            }
            if matches!(change.what, What::Began | What::Happened) {
                self.published.count(&seat.note.kind, &change.failure.id);
            }
            log(change);
            incidents.push(told);
        }
        if let Some(standing) = self.board.standing(name) {
            seat.note.standing = standing.clone();
        }
        if let Some(running) = &seat.running {
            seat.note.memory = running.memory(seat.note.memory.as_ref());
        }
        seat.saved = now.boot;
        let note = seat.note.write(name, now.wall);
        Some(Outgoing { watcher: name.to_owned(), resolves, incidents, note, ends })
    }

    /// One memory at most that has changed: a thousand watchers must not write a thousand notes a minute for ever.
    fn keep_memory(&mut self, now: Moment) -> Option<Outgoing> {
        let is_old = |seat: &Seat| now.boot.saturating_sub(seat.saved) >= MEMORY_EVERY;
        let mut changed = None;
        for (name, seat) in self.seats.iter_mut().filter(|(_, seat)| is_old(seat)) {
            let Some(running) = &seat.running else { continue };
            if running.memory(seat.note.memory.as_ref()) != seat.note.memory {
                changed = Some(name.clone());
                break;
            }
            seat.saved = now.boot;
        }
        self.settle(now, &changed?, Vec::new())
    }

    /// The notes whose memory has changed, before we stop.
    pub(super) fn close(&mut self, now: Moment) -> Vec<Outgoing> {
        let has_changed = |seat: &Seat| {
            seat.running.as_ref().is_some_and(|running| running.memory(seat.note.memory.as_ref()) != seat.note.memory)
        };
        let changed = self.seats.iter().filter(|(_, seat)| has_changed(seat)).map(|(name, _)| name.clone());
        changed.collect::<Vec<_>>().iter().filter_map(|name| self.settle(now, name, Vec::new())).collect()
    }

    /// Somebody says that a watcher is not expected any more.
    pub(super) fn retire(&mut self, now: Moment, name: &str, who: (&str, &str)) -> Result<Outgoing, Refusal> {
        let seat = self.known(name)?;
        if seat.running.is_some() {
            let why = "it is in the configuration; allowed: to take it out there, reload, and retire it then";
            return Err(Refusal::Refused(why.to_owned()));
        }
        let (by, comment) = who;
        let changes = self.board.retire(now, name, &format!("retired by {by}"));
        let Some(seat) = self.seats.get_mut(name) else { return Err(self.unknown()) };
        seat.note.retired = Some(Retired { at: now.wall, by: by.to_owned(), comment: comment.to_owned() });
        (seat.note.standing, seat.note.memory) = (balefire_watch::Standing::default(), None);
        let subject = Subject { name, kind: &seat.note.kind, target: &seat.note.target };
        let told = incident::retired(subject, who, now.wall);
        let mut outgoing = self.settle(now, name, changes).ok_or_else(|| self.unknown())?;
        outgoing.ends.push(told.id);
        outgoing.incidents.push(told);
        self.publish(name);
        Ok(outgoing)
    }

    /// Tells what would be told if this watcher failed. It is over by itself.
    pub(super) fn drill(&mut self, now: Moment, name: &str, by: &str) -> Result<(IncidentId, Outgoing), Refusal> {
        let seat = self.known(name)?;
        if seat.note.drill.is_some() {
            return Err(Refusal::Refused("a drill of it is under way; allowed: one more when it is over".to_owned()));
        }
        let Some(seat) = self.seats.get_mut(name) else { return Err(self.unknown()) };
        let subject = Subject { name, kind: &seat.note.kind, target: &seat.note.target };
        let told = incident::drill(subject, by, (now.wall, now.wall), false);
        let id = told.id;
        seat.note.drill = Some(Drill { incident: id, began: now.wall, by: by.to_owned() });
        seat.note.drilled = Some(now.wall);
        let mut outgoing = self.settle(now, name, Vec::new()).ok_or_else(|| self.unknown())?;
        outgoing.incidents.push(told);
        self.publish(name);
        tracing::info!(watcher = name, by, "a drill begins");
        Ok((id, outgoing))
    }

    fn end_drills(&mut self, now: Moment) -> Vec<Outgoing> {
        let is_over = |drill: &Drill| now.wall.duration_since(drill.began).abs() >= DRILL_LASTS;
        let over: Vec<String> = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.note.drill.as_ref().is_some_and(is_over))
            .map(|(name, _)| name.clone())
            .collect();
        over.iter().filter_map(|name| self.end_drill(now, name)).collect()
    }

    fn end_drill(&mut self, now: Moment, name: &str) -> Option<Outgoing> {
        let seat = self.seats.get_mut(name)?;
        let Drill { incident, began, by } = seat.note.drill.take()?;
        let subject = Subject { name, kind: &seat.note.kind, target: &seat.note.target };
        let told = incident::drill(subject, &by, (began, now.wall), true);
        let mut outgoing = self.settle(now, name, Vec::new())?;
        outgoing.resolves.push((incident, "the drill is over".to_owned()));
        outgoing.ends.push(told.id);
        outgoing.incidents.push(told);
        Some(outgoing)
    }

    /// The drill whose time has come: of the watcher whose turn it is.
    fn drill_in_time(&mut self, now: Moment) -> Option<Outgoing> {
        let every = SignedDuration::try_from(self.drill_every?).ok()?;
        let running = || self.seats.iter().filter(|(_, seat)| seat.running.is_some());
        let last = self.seats.values().filter_map(|seat| seat.note.drilled).max();
        let since = last.or_else(|| running().map(|(_, seat)| seat.note.expected).min())?;
        if now.wall.duration_since(since) < every {
            return None;
        }
        let (name, _) = running().min_by_key(|(name, seat)| (seat.note.drilled, (*name).clone()))?;
        let name = name.clone();
        self.drill(now, &name, TIMETABLE).ok().map(|(_, outgoing)| outgoing)
    }

    /// How long nothing is due; none where nothing ever is.
    pub(super) fn until_due(&self, now: Moment) -> Option<Duration> {
        let is_idle = self.seats.values().all(|seat| seat.running.is_none() && seat.note.retired.is_some());
        let due = self.seats.values().filter_map(|seat| {
            let running = seat.running.as_ref().filter(|running| running.watcher.is_some())?;
            Some(running.due.saturating_sub(now.boot))
        });
        (!is_idle).then(|| due.min().unwrap_or(ROUND_MAX).min(ROUND_MAX))
    }

    fn known(&self, name: &str) -> Result<&Seat, Refusal> {
        self.seats.get(name).filter(|seat| seat.note.retired.is_none()).ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> Refusal {
        let expected = self.seats.iter().filter(|(_, seat)| seat.note.retired.is_none());
        Refusal::Unknown(expected.map(|(name, _)| name.clone()).collect())
    }

    fn publish(&self, name: &str) {
        let Some(seat) = self.seats.get(name) else { return };
        let status = self.board.standing(name).map(|standing| {
            let watched = seat.running.as_ref().map(|running| &running.watched);
            Status::of(name, (&seat.note, standing), watched, seat.looked)
        });
        self.published.set(name, status);
    }
}

fn log(change: &Change) {
    let (watcher, failure, severity) = (&change.watcher, &change.failure.id, change.severity);
    let summary = balefire_model::text::one_line(&change.failure.summary);
    match &change.what {
        What::Began => tracing::warn!(watcher, failure, %severity, %summary, "audit logging fails"),
        What::Worse => tracing::warn!(watcher, failure, %severity, %summary, "audit logging still fails"),
        What::Happened => tracing::warn!(watcher, failure, %severity, %summary, "audit logging was touched"),
        What::Over(_) => tracing::info!(watcher, failure, lasted = ?change.lasted, "audit logging works again"),
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
