//! The register with a watcher that sees what a test tells it to see.

use super::super::note;
use super::*;
use crate::clock;
use balefire_model::Severity;
use balefire_watch::{Failure, Look, Nobody, Packs, Plan, State};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

/// What is seen, and how often it was looked at.
#[derive(Debug, Default)]
struct Scene {
    sees: Mutex<Option<&'static str>>,
    looks: AtomicU64,
    /// Whether a look that hangs may end.
    may_end: Mutex<bool>,
    ends: Condvar,
}

/// Debug forms of equal settings are equal: the scene is none of them.
struct Settings {
    level: u8,
    scene: Arc<Scene>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("level", &self.level).finish()
    }
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(Seer { scene: self.scene.clone(), count: kept.and_then(Value::as_u64).unwrap_or(0) })
    }
}

struct Seer {
    scene: Arc<Scene>,
    count: u64,
}

impl Watcher for Seer {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        self.scene.looks.fetch_add(1, Ordering::Relaxed);
        self.count += 1;
        let sees = *self.scene.sees.lock().unwrap();
        match sees {
            None => Look::ok("it grows"),
            Some("hang") => {
                let waiting = self.scene.ends.wait_while(self.scene.may_end.lock().unwrap(), |may_end| !*may_end);
                drop(waiting.unwrap());
                Look::ok("it answers again")
            }
            Some("panic") => panic!("a fault of our own"),
            Some("blind") => Look::blind("EPERM", "CAP_AUDIT_READ"),
            Some(id) => Look::of(vec![Failure::new(id, Severity::High, "it is gone")], ""),
        }
    }

    fn memory(&self) -> Option<Value> {
        Some(self.count.into())
    }
}

fn at(seconds: u64) -> Moment {
    let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
    Moment { boot: Duration::from_secs(100_000 + seconds), wall }
}

/// A desk, and the journal as it would be.
struct Bench {
    desk: Desk,
    scene: Arc<Scene>,
    journal: HashMap<String, (String, u64)>,
    told: Vec<Arc<Incident>>,
    resolved: Vec<IncidentId>,
}

fn watching(scene: &Arc<Scene>, names: &[(&str, u8)]) -> Watching {
    let watched = |(name, level): &(&str, u8)| Watched {
        name: (*name).to_owned(),
        kind: "file",
        target: "/a".to_owned(),
        every: Duration::from_secs(5),
        under: Vec::new(),
        plan: Arc::new(Settings { level: *level, scene: scene.clone() }),
    };
    Watching {
        rules: Rules::default(),
        watched: names.iter().map(watched).collect(),
        drill_every: None,
        packs: Packs::default(),
        audit_rows: None,
        peer: None,
    }
}

impl Bench {
    fn new(names: &[(&str, u8)]) -> Bench {
        let desk = Desk::new(at(0), BTreeMap::new(), Published::default());
        let (scene, journal) = (Arc::default(), HashMap::new());
        let mut bench = Bench { desk, scene, journal, told: Vec::new(), resolved: Vec::new() };
        bench.configure(0, names);
        bench
    }

    fn configure(&mut self, seconds: u64, names: &[(&str, u8)]) {
        let found = self.desk.configure(at(seconds), Some(&watching(&self.scene, names)));
        found.into_iter().for_each(|outgoing| self.write(outgoing));
    }

    fn see(&self, what: Option<&'static str>) {
        *self.scene.sees.lock().unwrap() = what;
    }

    fn round(&mut self, seconds: u64) {
        let found = self.desk.round(&|| at(seconds), &Nobody, false);
        found.into_iter().for_each(|outgoing| self.write(outgoing));
    }

    fn write(&mut self, outgoing: Outgoing) {
        self.journal.insert(outgoing.note.input.clone(), (outgoing.note.file, outgoing.note.offset));
        self.resolved.extend(outgoing.resolves.into_iter().map(|(id, _)| id));
        self.told.extend(outgoing.incidents);
    }

    /// As after a crash: what is not in the journal is gone.
    fn restart(&mut self, seconds: u64, names: &[(&str, u8)]) {
        self.desk = Desk::new(at(seconds), note::read(&self.journal), Published::default());
        self.configure(seconds, names);
    }

    fn told(&self) -> Vec<(&str, &str)> {
        self.told.iter().map(|told| (told.detected_by.as_str(), told.labels["change"].as_str())).collect()
    }

    fn state(&self, name: &str) -> State {
        self.desk.board.standing(name).unwrap().state
    }
}

const ONE: &[(&str, u8)] = &[("file:/a", 0)];

#[test]
fn a_restart_at_any_moment_tells_nothing_twice_and_ends_what_was_told_before_it() {
    let mut bench = Bench::new(ONE);
    bench.round(1);
    bench.see(Some("file.missing"));
    bench.round(10);
    let first = bench.told[0].id;
    bench.restart(12, ONE);
    bench.round(13);
    bench.round(20);
    assert_eq!(bench.told(), [("watch.file.missing", "began")], "it was told before the restart");
    bench.see(None);
    bench.restart(30, ONE);
    bench.round(31);
    assert_eq!(bench.told(), [("watch.file.missing", "began"), ("watch.file.missing", "over")]);
    assert_eq!(bench.resolved, [first]);
    bench.restart(40, ONE);
    bench.round(41);
    assert_eq!(bench.told.len(), 2);
}

#[test]
fn what_lasts_over_a_restart_becomes_worse_in_time_and_all_that_told_of_it_ends() {
    let mut bench = Bench::new(ONE);
    bench.see(Some("x"));
    bench.round(1);
    bench.restart(600, ONE);
    bench.round(899);
    assert_eq!(bench.told.len(), 1);
    bench.round(902);
    assert_eq!((bench.told[1].labels["change"].as_str(), bench.told[1].severity), ("worse", Severity::Critical));
    bench.see(None);
    bench.round(910);
    assert_eq!(bench.resolved, [bench.told[0].id, bench.told[1].id]);
}

#[test]
fn what_leaves_the_configuration_stays_expected_until_it_is_retired() {
    let mut bench = Bench::new(&[("file:/a", 0), ("file:/b", 0)]);
    bench.round(1);
    assert!(bench.desk.retire(at(2), "file:/a", ("anna", "")).is_err(), "it is in the configuration");
    bench.configure(5, &[("file:/b", 0)]);
    assert_eq!(bench.told(), [("watch.not_configured", "began")]);
    assert_eq!(bench.state("file:/a"), State::Unknown);
    bench.restart(10, &[("file:/b", 0)]);
    assert_eq!(bench.told.len(), 1, "a restart is no retirement, and tells nothing twice");
    let retired = bench.desk.retire(at(20), "file:/a", ("anna", "moved")).unwrap();
    bench.write(retired);
    let after = [("watch.not_configured", "over"), ("watch.retired", "happened")];
    assert_eq!(bench.told()[1..], after);
    bench.restart(30, &[("file:/b", 0)]);
    assert_eq!(bench.told.len(), 3);
    assert!(bench.desk.board.standing("file:/a").is_none());
    let unknown = bench.desk.retire(at(31), "file:/a", ("anna", "")).unwrap_err();
    assert_eq!(unknown, Refusal::Unknown(vec!["file:/b".to_owned()]));
}

#[test]
fn what_comes_back_is_watched_again_whether_it_was_retired_or_not() {
    let mut bench = Bench::new(ONE);
    bench.configure(1, &[]);
    bench.configure(2, ONE);
    assert_eq!(bench.told().last(), Some(&("watch.not_configured", "over")));
    bench.configure(3, &[]);
    let retired = bench.desk.retire(at(4), "file:/a", ("anna", "")).unwrap();
    bench.write(retired);
    bench.configure(5, ONE);
    bench.round(6);
    assert_eq!(bench.state("file:/a"), State::Ok);
    bench.restart(7, ONE);
    assert!(bench.desk.board.standing("file:/a").is_some(), "its retirement is over");
}

#[test]
fn a_reload_leaves_what_is_the_same_alone_and_hands_its_memory_to_what_is_not() {
    let mut bench = Bench::new(ONE);
    bench.round(1);
    bench.configure(2, ONE);
    bench.round(3);
    assert_eq!(bench.scene.looks.load(Ordering::Relaxed), 1, "its next look is not due");
    bench.configure(4, &[("file:/a", 1)]);
    bench.round(4);
    let running = bench.desk.seats["file:/a"].running.as_ref().unwrap();
    assert_eq!(running.memory(None), Some(2.into()));
}

#[test]
fn a_look_that_panics_is_blind_and_ends_no_other() {
    let mut bench = Bench::new(ONE);
    bench.see(Some("panic"));
    bench.round(1);
    assert_eq!((bench.state("file:/a"), bench.told()), (State::Blind, vec![("watch.blind", "began")]));
    bench.see(None);
    bench.round(10);
    assert_eq!(bench.state("file:/a"), State::Ok);
    assert_eq!(bench.resolved, [bench.told[0].id]);
}

#[test]
fn memory_alone_is_written_at_most_once_a_minute_and_one_watchers_a_second() {
    let mut bench = Bench::new(&[("file:/a", 0), ("file:/b", 0)]);
    bench.round(1);
    let written = |bench: &mut Bench, seconds: u64| bench.desk.round(&|| at(seconds), &Nobody, false).len();
    let counts: Vec<usize> = [10, 30, 60, 61, 62, 63, 64].map(|seconds| written(&mut bench, seconds)).into();
    assert_eq!(counts, [0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(bench.desk.close(at(70)).len(), 0, "nothing has changed since");
    bench.round(70);
    assert_eq!(bench.desk.close(at(71)).len(), 2);
}

#[test]
fn a_drill_is_told_and_over_also_over_a_restart_and_changes_no_state() {
    let mut bench = Bench::new(ONE);
    bench.round(1);
    let (id, outgoing) = bench.desk.drill(at(5), "file:/a", "anna").unwrap();
    bench.write(outgoing);
    assert!(bench.desk.drill(at(6), "file:/a", "anna").is_err(), "one at a time");
    bench.restart(8, ONE);
    bench.round(9);
    assert_eq!((bench.told(), bench.state("file:/a")), (vec![("watch.drill", "began")], State::Ok));
    bench.round(16);
    assert_eq!(bench.told(), [("watch.drill", "began"), ("watch.drill", "over")]);
    assert_eq!(bench.resolved, [id]);
}

#[test]
fn drills_by_the_timetable_take_each_watcher_in_its_turn_and_go_on_after_a_restart() {
    let names: &[(&str, u8)] = &[("file:/a", 0), ("file:/b", 0)];
    let mut bench = Bench::new(names);
    let monthly = |bench: &mut Bench| bench.desk.drill_every = Some(Duration::from_secs(1000));
    monthly(&mut bench);
    let drilled = |bench: &Bench| -> Vec<String> {
        let begun = bench.told.iter().filter(|told| told.labels["change"] == "began");
        begun.map(|told| told.labels["watcher"].clone()).collect()
    };
    bench.round(999);
    assert!(bench.told.is_empty());
    bench.round(1001);
    bench.round(1020);
    bench.restart(1500, names);
    monthly(&mut bench);
    bench.round(1900);
    assert_eq!(drilled(&bench), ["file:/a"]);
    bench.round(2002);
    bench.round(2020);
    bench.round(3003);
    assert_eq!(drilled(&bench), ["file:/a", "file:/b", "file:/a"]);
}

#[test]
fn a_look_that_hangs_is_blind_keeps_no_other_from_looking_and_goes_on_where_it_was() {
    let (bad, good) = (Arc::<Scene>::default(), Arc::<Scene>::default());
    let mut both = watching(&bad, &[("file:/a", 0)]);
    both.watched.extend(watching(&good, &[("file:/b", 0)]).watched);
    let mut desk = Desk::new(clock::moment(), BTreeMap::new(), Published::default());
    drop(desk.configure(clock::moment(), Some(&both)));
    desk.look_by(Hands::new(Arc::new(Nobody), clock::moment, Duration::from_millis(300)));
    let state = |desk: &Desk, name: &str| desk.board.standing(name).unwrap().state;
    drop(desk.round(&clock::moment, &Nobody, true));
    assert_eq!((state(&desk, "file:/a"), state(&desk, "file:/b")), (State::Ok, State::Ok));
    *bad.sees.lock().unwrap() = Some("hang");
    let told = desk.round(&clock::moment, &Nobody, true);
    assert_eq!(state(&desk, "file:/a"), State::Blind);
    assert!(told.iter().any(|told| told.watcher == "file:/a" && told.incidents[0].detected_by == "watch.blind"));
    assert_eq!(desk.seats["file:/a"].note.memory, Some(1.into()), "what it remembered is not lost");
    assert_eq!(good.looks.load(Ordering::Relaxed), 2);
    drop(desk.round(&clock::moment, &Nobody, true));
    assert_eq!(
        (good.looks.load(Ordering::Relaxed), bad.looks.load(Ordering::Relaxed)),
        (3, 2),
        "it is not asked twice"
    );
    *bad.may_end.lock().unwrap() = true;
    bad.ends.notify_all();
    let begin = clock::monotonic();
    while state(&desk, "file:/a") != State::Ok {
        assert!(begin.elapsed() < Duration::from_secs(60), "it is back and was not seen");
        std::thread::yield_now();
        drop(desk.round(&clock::moment, &Nobody, false));
    }
    let running = desk.seats["file:/a"].running.as_ref().unwrap();
    assert_eq!(running.memory(None), Some(2.into()), "it is the same watcher");
}

#[test]
fn one_that_was_changed_while_its_look_hung_is_the_new_one() {
    let scene = Arc::<Scene>::default();
    let mut desk = Desk::new(clock::moment(), BTreeMap::new(), Published::default());
    drop(desk.configure(clock::moment(), Some(&watching(&scene, ONE))));
    desk.look_by(Hands::new(Arc::new(Nobody), clock::moment, Duration::from_millis(100)));
    *scene.sees.lock().unwrap() = Some("hang");
    drop(desk.round(&clock::moment, &Nobody, true));
    *scene.sees.lock().unwrap() = None;
    drop(desk.configure(clock::moment(), Some(&watching(&scene, &[("file:/a", 7)]))));
    drop(desk.round(&clock::moment, &Nobody, true));
    assert_eq!(desk.board.standing("file:/a").unwrap().state, State::Ok);
    *scene.may_end.lock().unwrap() = true;
    scene.ends.notify_all();
    drop(desk.round(&clock::moment, &Nobody, true));
    let running = desk.seats["file:/a"].running.as_ref().unwrap();
    assert!(running.watcher.is_some() && format!("{:?}", running.watched.plan).contains("level: 7"));
}

#[test]
fn rounds_that_follow_each_other_at_once_all_look() {
    let scene = Arc::<Scene>::default();
    let mut desk = Desk::new(clock::moment(), BTreeMap::new(), Published::default());
    let names: [(&str, u8); 3] = [("file:/a", 0), ("file:/b", 0), ("file:/c", 0)];
    drop(desk.configure(clock::moment(), Some(&watching(&scene, &names))));
    desk.look_by(Hands::new(Arc::new(Nobody), clock::moment, Duration::from_secs(60)));
    for _ in 0..20_000 {
        drop(desk.round(&clock::moment, &Nobody, true));
    }
    assert_eq!(scene.looks.load(Ordering::Relaxed), 60_000);
}
