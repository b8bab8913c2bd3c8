//! The board: which watcher is ok, failing, blind or unknown, since when, and what is to be told of a look. Pure: the same
//! looks at the same moments give the same changes.

use crate::look::{Failure, Look, Moment, Sight};
use crate::rules::Rules;
use balefire_model::Severity;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// As many failures of one watcher are kept apart.
const OPEN_MAX: usize = 32;

/// Where a watcher stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing can be said yet.
    #[default]
    Unknown,
    /// It works, and that was seen.
    Ok,
    /// It fails.
    Failing,
    /// It cannot be seen.
    Blind,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [State::Ok, State::Failing, State::Blind, State::Unknown];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Ok => "ok",
            State::Failing => "failing",
            State::Blind => "blind",
        }
    }
}

/// What is known of one watcher: the durable register of what is expected. Goes into the journal with each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Option<Timestamp>,
    /// How it was last known to work.
    #[serde(default)]
    pub proof: String,
    /// When that was.
    #[serde(default)]
    pub proved: Option<Timestamp>,
    /// What is wrong and not over.
    #[serde(default)]
    pub open: Vec<Open>,
    /// Why it cannot be seen, and which right would cure that.
    #[serde(default)]
    pub blind: Option<(String, String)>,
    /// What is waited for, where nothing can be said yet.
    #[serde(default)]
    pub waits: String,
}

/// A failure that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// It, as it was seen last.
    pub failure: Failure,
    /// When it was first seen.
    pub detected: Timestamp,
    /// As what it was last told.
    pub severity: Severity,
    /// The watcher that fails, too, and explains it: as long as that one does, this tells nobody.
    #[serde(default)]
    pub because_of: Option<String>,
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which watcher.
    pub watcher: String,
    /// What has changed.
    pub what: What,
    /// What is or was wrong.
    pub failure: Failure,
    /// As what it is told: `info` for a failure that another one explains.
    pub severity: Severity,
    /// When it was first seen.
    pub detected: Timestamp,
    /// How long it has lasted, from its detection.
    pub lasted: Duration,
    /// The watcher whose failure explains it.
    pub because_of: Option<String>,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something is wrong that was not.
    Began,
    /// It has lasted long enough to be worse, or nothing explains it any more.
    Worse,
    /// It is over; what proves it.
    Over(String),
    /// Something happened that has no end.
    Happened,
}

/// What it is called that a watcher cannot see.
pub const BLIND: &str = "watch.blind";

/// What it is called that a watcher is expected and is not in the configuration any more.
pub const NOT_CONFIGURED: &str = "watch.not_configured";

/// So long after its explanation has ended a failure may end, too, before it is told as one of its own.
const GRACE: Duration = Duration::from_secs(10);

struct Entry {
    standing: Standing,
    under: Vec<String>,
    /// When each open failure was first seen, by the clock that nobody sets.
    began: BTreeMap<(String, String), Moment>,
    /// Since when nothing explains any more what something explained, for each failure.
    unexplained: BTreeMap<(String, String), Moment>,
}

/// All watchers.
pub struct Board {
    rules: Rules,
    entries: BTreeMap<String, Entry>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new(rules: Rules) -> Board {
        Board { rules, entries: BTreeMap::new() }
    }

    /// Other rules from now on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// This watcher is expected from now on. `kept` is what was known of it before a restart: what was wrong then is wrong
    /// until a look says otherwise. One that is there already only gets its new place under others.
    pub fn expect(&mut self, now: Moment, name: &str, under: &[String], kept: Option<Standing>) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.under = under.to_vec();
            return;
        }
        let standing = kept.unwrap_or_default();
        let began = standing.open.iter().map(|open| (owned(open.failure.key()), earlier(now, open.detected))).collect();
        self.entries
            .insert(name.to_owned(), Entry { standing, under: under.to_vec(), began, unexplained: BTreeMap::new() });
    }

    /// This watcher is not expected any more: what was wrong is over because somebody said so.
    pub fn retire(&mut self, now: Moment, name: &str, why: &str) -> Vec<Change> {
        let Some(mut entry) = self.entries.remove(name) else { return Vec::new() };
        entry.close(now, name, (&[], why))
    }

    /// This watcher is expected, and is not in the configuration any more: nothing can be said of it until it is again, or
    /// until somebody retires it.
    pub fn forsake(&mut self, now: Moment, name: &str) -> Vec<Change> {
        let Some(entry) = self.entries.get_mut(name) else { return Vec::new() };
        let mut changes = Vec::new();
        let summary = format!("{name} is expected, and is not in the configuration any more");
        let cure = format!("put it back, or say that it is not expected any more: balefire watch retire {name}");
        let failure = Failure::new(NOT_CONFIGURED, Severity::Medium, summary);
        let failure = failure.caused_by("the configuration was changed").cured_by(cure);
        entry.open(now, name, (failure, None), &mut changes);
        entry.standing.blind = None;
        entry.stand(now, State::Unknown);
        "it is not in the configuration any more".clone_into(&mut entry.standing.waits);
        changes
    }

    /// This watcher is in the configuration again. What else was wrong stays wrong until a look says otherwise.
    pub fn readmit(&mut self, now: Moment, name: &str) -> Vec<Change> {
        let Some(entry) = self.entries.get_mut(name) else { return Vec::new() };
        let open = entry.standing.open.iter().map(|open| owned(open.failure.key()));
        let others: Vec<(String, String)> = open.filter(|(id, _)| id != NOT_CONFIGURED).collect();
        let others: Vec<(&str, &str)> = others.iter().map(|(id, thing)| (id.as_str(), thing.as_str())).collect();
        let changes = entry.close(now, name, (&others, "it is in the configuration again"));
        if !changes.is_empty() {
            "it was not looked at again yet".clone_into(&mut entry.standing.waits);
        }
        changes
    }

    /// All watchers by name.
    pub fn standings(&self) -> impl Iterator<Item = (&str, &Standing)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), &entry.standing))
    }

    /// One of them.
    #[must_use]
    pub fn standing(&self, name: &str) -> Option<&Standing> {
        self.entries.get(name).map(|entry| &entry.standing)
    }

    /// What a look of this watcher changes. A watcher that is not expected changes nothing.
    pub fn take(&mut self, now: Moment, name: &str, look: Look) -> Vec<Change> {
        let explains = self.explanation(name);
        let same = match &look.sight {
            Sight::Failing(failures) => failures.iter().map(|failure| self.same_cause(name, failure)).collect(),
            _ => Vec::new(),
        };
        let Some(entry) = self.entries.get_mut(name) else { return Vec::new() };
        let mut changes = Vec::new();
        match look.sight {
            Sight::Ok { proof } => {
                changes = entry.close(now, name, (&[], &proof));
                entry.standing.blind = None;
                (entry.standing.proof, entry.standing.proved) = (proof, Some(now.wall));
                entry.stand(now, State::Ok);
            }
            Sight::Failing(failures) => {
                entry.standing.blind = None;
                let still: Vec<(&str, &str)> = failures.iter().map(Failure::key).collect();
                changes = entry.close(now, name, (&still, "it was looked for and is not there any more"));
                for (failure, same) in failures.into_iter().zip(same) {
                    entry.open(now, name, (failure, explains.clone().or(same)), &mut changes);
                }
                entry.stand(now, State::Failing);
            }
            Sight::Blind { why, cure } => {
                let failure = Failure::new(BLIND, self.rules.blind, format!("{name} cannot be watched: {why}"));
                let failure = failure.caused_by(why.clone()).cured_by(cure.clone());
                entry.open(now, name, (failure, None), &mut changes);
                entry.standing.blind = Some((why, cure));
                entry.stand(now, State::Blind);
            }
            Sight::Unknown { why } => entry.standing.waits = why,
        }
        changes.extend(look.events.into_iter().map(|failure| Change {
            watcher: name.to_owned(),
            what: What::Happened,
            severity: failure.severity,
            failure,
            detected: now.wall,
            lasted: Duration::ZERO,
            because_of: None,
        }));
        changes
    }

    /// What has become worse by lasting, and what nothing explains any more. To be called every second or so.
    pub fn tick(&mut self, now: Moment) -> Vec<Change> {
        let names: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.standing.open.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        let mut changes = Vec::new();
        for name in names {
            let explains: Vec<bool> = self.explained(&name);
            let rules = &self.rules;
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.worsen(now, &name, (rules, &explains), &mut changes);
            }
        }
        changes
    }

    /// The watcher above this one that fails.
    fn explanation(&self, name: &str) -> Option<String> {
        let fails = |above: &&String| {
            self.entries
                .get(*above)
                .is_some_and(|entry| entry.standing.open.iter().any(|open| !is_of_the_watcher(&open.failure.id)))
        };
        self.entries.get(name)?.under.iter().find(fails).cloned()
    }

    /// Another watcher that tells already of the cause of this failure, and at least as badly.
    fn same_cause(&self, name: &str, failure: &Failure) -> Option<String> {
        let is_same = |other: &str, found: &Failure| {
            let names =
                |from: &Failure, watcher: &str, id: &str| from.same_as.iter().any(|(w, i)| w == watcher && i == id);
            names(failure, other, &found.id) || names(found, name, &failure.id)
        };
        let tells = |(other, entry): &(&String, &Entry)| {
            entry.standing.open.iter().any(|open| {
                // What one of the same cause explains explains nothing itself: else two could explain each other.
                let is_told = open.because_of.as_ref().is_none_or(|above| entry.under.contains(above));
                is_told && open.failure.severity >= failure.severity && is_same(other, &open.failure)
            })
        };
        let mut others = self.entries.iter().filter(|(other, _)| other.as_str() != name);
        others.find(tells).map(|(other, _)| other.clone())
    }

    /// For each open failure of this watcher: whether something explains it.
    fn explained(&self, name: &str) -> Vec<bool> {
        let above = self.explanation(name).is_some();
        let Some(entry) = self.entries.get(name) else { return Vec::new() };
        let open = entry.standing.open.iter();
        open.map(|open| {
            !is_of_the_watcher(&open.failure.id)
                && (above || open.because_of.is_some() && self.same_cause(name, &open.failure).is_some())
        })
        .collect()
    }
}

impl Entry {
    fn stand(&mut self, now: Moment, state: State) {
        self.standing.waits.clear();
        if self.standing.state != state || self.standing.since.is_none() {
            (self.standing.state, self.standing.since) = (state, Some(now.wall));
        }
    }

    fn open(
        &mut self,
        now: Moment,
        name: &str,
        (failure, because_of): (Failure, Option<String>),
        changes: &mut Vec<Change>,
    ) {
        if let Some(open) = self.standing.open.iter_mut().find(|open| open.failure.key() == failure.key()) {
            let first_bad = open.failure.first_bad.or(failure.first_bad);
            // What is worse at once, such as the next step of a capacity, is told by the next tick.
            open.failure = Failure { first_bad, ..failure };
            return;
        }
        if self.standing.open.len() >= OPEN_MAX {
            return;
        }
        let severity = if because_of.is_some() { Severity::Info } else { failure.severity };
        self.began.insert(owned(failure.key()), now);
        let open = Open { failure, detected: now.wall, severity, because_of };
        changes.push(open.change(name, What::Began, Duration::ZERO));
        self.standing.open.push(open);
    }

    /// Ends what is open, but for `still`.
    fn close(&mut self, now: Moment, name: &str, (still, proof): (&[(&str, &str)], &str)) -> Vec<Change> {
        let mut changes = Vec::new();
        let open = std::mem::take(&mut self.standing.open);
        for open in open {
            if still.contains(&open.failure.key()) {
                self.standing.open.push(open);
                continue;
            }
            let key = owned(open.failure.key());
            self.unexplained.remove(&key);
            let lasted = self.began.remove(&key).map_or(Duration::ZERO, |began| now.since(began));
            changes.push(open.change(name, What::Over(proof.to_owned()), lasted));
        }
        changes
    }

    fn worsen(&mut self, now: Moment, name: &str, (rules, explained): (&Rules, &[bool]), changes: &mut Vec<Change>) {
        for (open, is_explained) in self.standing.open.iter_mut().zip(explained) {
            let key = owned(open.failure.key());
            let lasted = self.began.get(&key).map_or(Duration::ZERO, |began| now.since(*began));
            if open.because_of.is_some() {
                if *is_explained {
                    self.unexplained.remove(&key);
                    continue;
                }
                // What explained it is over a moment before it is: its own next look shall say so first.
                let since = *self.unexplained.entry(key.clone()).or_insert(now);
                if now.since(since) < GRACE {
                    continue;
                }
                open.because_of = None;
            }
            self.unexplained.remove(&key);
            let severity = rules.severity(open.failure.severity, lasted);
            if severity > open.severity {
                open.severity = severity;
                changes.push(open.change(name, What::Worse, lasted));
            }
        }
    }
}

impl Open {
    fn change(&self, watcher: &str, what: What, lasted: Duration) -> Change {
        Change {
            watcher: watcher.to_owned(),
            what,
            failure: self.failure.clone(),
            severity: self.severity,
            detected: self.detected,
            lasted,
            because_of: self.because_of.clone(),
        }
    }
}

/// Whether a failure is one of the watcher itself, and says nothing of what it watches.
fn is_of_the_watcher(failure: &str) -> bool {
    failure == BLIND || failure == NOT_CONFIGURED
}

fn owned((id, thing): (&str, &str)) -> (String, String) {
    (id.to_owned(), thing.to_owned())
}

/// The moment at which the wall clock showed `wall`, which is only as good as that clock; never one to come.
fn earlier(now: Moment, wall: Timestamp) -> Moment {
    let ago = now.wall.duration_since(wall).max(SignedDuration::ZERO);
    Moment { boot: now.boot.saturating_sub(ago.unsigned_abs()), wall }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn failing(id: &str) -> Look {
        Look::of(vec![Failure::new(id, Severity::Medium, "it is gone")], "")
    }

    fn board(names: &[(&str, &[&str])]) -> Board {
        let mut board = Board::new(Rules::default());
        for (name, under) in names {
            let under: Vec<String> = under.iter().map(|name| (*name).to_owned()).collect();
            board.expect(at(0), name, &under, None);
        }
        board
    }

    fn told(changes: &[Change]) -> Vec<(&str, &What, Severity)> {
        changes.iter().map(|change| (change.failure.id.as_str(), &change.what, change.severity)).collect()
    }

    #[test]
    fn a_failure_is_told_once_and_ends_only_with_proof() {
        let mut board = board(&[("file:/a", &[])]);
        assert!(board.take(at(1), "file:/a", Look::ok("1 byte more")).is_empty());
        let began = board.take(at(2), "file:/a", failing("file.missing"));
        assert_eq!(told(&began), [("file.missing", &What::Began, Severity::Medium)]);
        assert!(board.take(at(3), "file:/a", failing("file.missing")).is_empty());
        assert!(board.take(at(4), "file:/a", Look::unknown("nothing yet")).is_empty());
        assert_eq!(board.standing("file:/a").unwrap().state, State::Failing);
        let over = board.take(at(9), "file:/a", Look::ok("it grows"));
        assert_eq!(told(&over), [("file.missing", &What::Over("it grows".to_owned()), Severity::Medium)]);
        assert_eq!(over[0].lasted, Duration::from_secs(7));
    }

    #[test]
    fn the_things_of_one_watcher_fail_and_recover_apart() {
        let silent = |things: &[&str]| {
            let failure = |thing: &&str| Failure::new("source.silent", Severity::Medium, "silent").of(*thing);
            Look::of(things.iter().map(failure).collect(), "")
        };
        let mut board = board(&[("source:*", &[])]);
        assert_eq!(board.take(at(1), "source:*", silent(&["a"])).len(), 1);
        let second = board.take(at(2), "source:*", silent(&["a", "b"]));
        assert_eq!(second.iter().map(|change| change.failure.of.as_str()).collect::<Vec<_>>(), ["b"]);
        let over = board.take(at(3), "source:*", silent(&["b"]));
        assert_eq!((told(&over).len(), over[0].failure.of.as_str()), (1, "a"));
    }

    #[test]
    fn a_watcher_that_cannot_see_says_so_and_forgets_nothing() {
        let mut board = board(&[("kernel.lost", &[])]);
        board.take(at(1), "kernel.lost", failing("kernel.lost"));
        let blind = board.take(at(2), "kernel.lost", Look::blind("EPERM", "CAP_AUDIT_CONTROL"));
        assert_eq!(told(&blind), [(BLIND, &What::Began, Severity::Medium)]);
        let standing = board.standing("kernel.lost").unwrap();
        assert_eq!((standing.state, standing.open.len()), (State::Blind, 2));
        let sees = board.take(at(3), "kernel.lost", failing("kernel.lost"));
        assert_eq!(told(&sees).len(), 1, "only the blindness is over");
    }

    #[test]
    fn what_lasts_is_told_again_as_worse() {
        let mut board = board(&[("a", &[])]);
        board.take(at(0), "a", failing("x"));
        assert!(board.tick(at(899)).is_empty());
        assert_eq!(told(&board.tick(at(900))), [("x", &What::Worse, Severity::High)]);
        assert!(board.tick(at(901)).is_empty());
        assert_eq!(told(&board.tick(at(4 * 3600))), [("x", &What::Worse, Severity::Critical)]);
    }

    #[test]
    fn one_cause_is_one_alert_until_the_cause_is_gone() {
        let mut board = board(&[("kernel.owner", &[]), ("canary:audit", &["kernel.owner"])]);
        board.take(at(1), "kernel.owner", failing("kernel.owner_lost"));
        let child = board.take(at(5), "canary:audit", failing("canary.lost"));
        assert_eq!((child[0].severity, child[0].because_of.as_deref()), (Severity::Info, Some("kernel.owner")));
        assert!(board.tick(at(6)).is_empty());
        board.take(at(10), "kernel.owner", Look::ok("row 105"));
        assert!(board.tick(at(11)).is_empty(), "it may be over with its next look");
        assert!(board.tick(at(20)).is_empty());
        assert_eq!(told(&board.tick(at(21))), [("canary.lost", &What::Worse, Severity::Medium)]);
    }

    #[test]
    fn what_is_over_soon_after_its_cause_is_never_told_as_one_of_its_own() {
        let mut board = board(&[("kernel.owner", &[]), ("canary:audit", &["kernel.owner"])]);
        board.take(at(1), "kernel.owner", failing("kernel.owner_lost"));
        board.take(at(5), "canary:audit", failing("canary.lost"));
        board.take(at(10), "kernel.owner", Look::ok("row 105"));
        assert!(board.tick(at(15)).is_empty());
        let over = board.take(at(16), "canary:audit", Look::ok("nonce abc arrived"));
        assert!(matches!(over[0].what, What::Over(_)));
        assert!(board.tick(at(60)).is_empty());
    }

    fn said(severity: Severity) -> Look {
        let failure = Failure::new("suspended", severity, "it says so");
        Look::of(vec![failure.also_told_by("writing", "suspended")], "")
    }

    #[test]
    fn who_sees_a_cause_first_tells_it_and_the_other_is_explained() {
        let suspended = || Look::of(vec![Failure::new("suspended", Severity::High, "it stands")], "");
        for (first, second) in [("writing", "messages"), ("messages", "writing")] {
            let mut board = board(&[("writing", &[]), ("messages", &[])]);
            let look = |name: &str| if name == "writing" { suspended() } else { said(Severity::High) };
            assert_eq!(board.take(at(1), first, look(first))[0].severity, Severity::High);
            let child = &board.take(at(2), second, look(second))[0];
            assert_eq!((child.severity, child.because_of.as_deref()), (Severity::Info, Some(first)));
            assert!(board.tick(at(3)).is_empty());
            board.take(at(4), first, Look::ok("it grows"));
            assert_eq!(
                board.take(at(5), first, look(first))[0].severity,
                Severity::High,
                "two never explain each other"
            );
            board.take(at(6), first, Look::ok("it grows"));
            assert!(board.tick(at(7)).is_empty());
            assert_eq!(told(&board.tick(at(17))), [("suspended", &What::Worse, Severity::High)], "it is alone now");
        }
    }

    #[test]
    fn what_is_worse_is_not_explained_by_the_same_cause() {
        let mut board = board(&[("writing", &[]), ("messages", &[])]);
        board.take(at(1), "writing", failing("suspended"));
        assert_eq!(board.take(at(2), "messages", said(Severity::High))[0].severity, Severity::High);
    }

    #[test]
    fn a_restart_goes_on_where_it_was() {
        let mut first = board(&[("a", &[])]);
        first.take(at(0), "a", failing("x"));
        let kept: Standing =
            serde_json::from_str(&serde_json::to_string(first.standing("a").unwrap()).unwrap()).unwrap();
        let mut second = Board::new(Rules::default());
        second.expect(at(600), "a", &[], Some(kept));
        assert!(second.take(at(601), "a", failing("x")).is_empty(), "it was told before the restart");
        assert_eq!(told(&second.tick(at(900))), [("x", &What::Worse, Severity::High)]);
        assert_eq!(second.take(at(901), "a", Look::ok("it works")).len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_changes_no_deadline() {
        let mut board = board(&[("a", &[])]);
        board.take(at(0), "a", failing("x"));
        let set = Moment { wall: at(1_000_000).wall, ..at(10) };
        assert!(board.tick(set).is_empty());
    }

    #[test]
    fn a_retired_watcher_ends_what_it_said() {
        let mut board = board(&[("a", &[])]);
        board.take(at(0), "a", failing("x"));
        assert_eq!(board.retire(at(5), "a", "retired by root").len(), 1);
        assert!(board.standings().next().is_none());
        assert!(board.take(at(6), "a", failing("x")).is_empty());
    }

    #[test]
    fn what_is_not_configured_any_more_is_told_until_it_is_back_or_retired() {
        let mut board = board(&[("a", &[])]);
        board.take(at(0), "a", failing("x"));
        assert_eq!(told(&board.forsake(at(5), "a")), [(NOT_CONFIGURED, &What::Began, Severity::Medium)]);
        assert!(board.forsake(at(6), "a").is_empty(), "it was told");
        let standing = board.standing("a").unwrap();
        assert_eq!((standing.state, standing.open.len()), (State::Unknown, 2));
        let back = board.readmit(at(9), "a");
        assert_eq!(told(&back).len(), 1, "what was wrong is still wrong");
        assert_eq!(back[0].failure.id, NOT_CONFIGURED);
        assert!(board.readmit(at(10), "a").is_empty());
    }
}
