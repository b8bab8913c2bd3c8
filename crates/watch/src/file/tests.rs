//! The whole watcher on real files, with a clock that is set.

use super::*;
use crate::watcher::Nobody;
use jiff::Timestamp;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use tempfile::TempDir;

fn settings(path: &Path) -> Settings {
    let silence = (None, Severity::Medium);
    let (rotate, absent, allowed) = (Vec::new(), Duration::from_secs(5), Allowed::default());
    Settings { path: path.to_owned(), rotate, absent, allowed, writer: None, ordered: false, silence }
}

/// So many seconds after a time at which nothing that is written now is from the future.
fn at(second: u64) -> Moment {
    let wall = Timestamp::from_second(4_000_000_000 + i64::try_from(second).unwrap()).unwrap();
    Moment { boot: Duration::from_secs(1_000 + second), wall }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn ids(look: &Look) -> Vec<&str> {
    match &look.sight {
        Sight::Failing(failures) => failures.iter().map(|failure| failure.id.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_learned_silence_is_told_over_a_rotation_and_ends_with_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    append(&path, "begin\n");
    let (mut bounds, zone) = source::usual_bounds();
    bounds.min = Duration::from_secs(86_400);
    let learning = Learning { bounds, zone, asleep: Duration::from_secs(90) };
    let settings = Settings { silence: (Some(Silence::Learned(learning)), Severity::High), ..settings(&path) };
    let mut watcher = settings.begin(None);
    for minute in 0..1_500 {
        append(&path, "x\n");
        assert_eq!(ids(&watcher.look(at(minute * 60), &Nobody)), [""; 0], "{minute}");
    }
    let told = (1_500..1_600).find(|minute| ids(&watcher.look(at(minute * 60), &Nobody)) == ["file.stalled"]);
    assert!(told.is_some_and(|minute| (1_505..1_530).contains(&minute)), "{told:?}");
    fs::rename(&path, directory.path().join("a.log.1")).unwrap();
    assert_eq!(ids(&watcher.look(at(1_601 * 60), &Nobody)), ["file.stalled"], "what stood wrong stays wrong");
    append(&path, "");
    let look = watcher.look(at(1_602 * 60), &Nobody);
    assert_eq!(ids(&look), ["file.stalled"], "a new file without a record is no growth");
    let mut again = settings.begin(watcher.memory().as_ref());
    assert_eq!(ids(&again.look(at(1_602 * 60 + 2), &Nobody)), ["file.stalled"], "over a restart, too");
    append(&path, "a record\n");
    assert_eq!(ids(&again.look(at(1_603 * 60), &Nobody)), [""; 0]);
    assert_eq!(ids(&watcher.look(at(1_603 * 60), &Nobody)), [""; 0]);
}

#[test]
fn a_file_that_the_system_does_not_let_read_is_told_though_we_have_the_right() {
    // The kernel answers with an error to whoever asks the loopback device for its speed.
    let path = Path::new("/sys/class/net/lo/speed");
    assert!(fs::read(path).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
    let look = settings(path).begin(None).look(at(0), &Nobody);
    assert_eq!(ids(&look), ["file.unreadable"]);
}

#[test]
fn an_acl_that_setfacl_gives_is_seen_and_one_that_it_takes_away_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    append(&path, "begin\n");
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).arg(&path).status();
        status.unwrap_or_else(|error| panic!("{program}: {error}; install the Debian package acl")).success()
    };
    assert!(run("chmod", &["0640"]));
    let mode_max = "0640";
    let node = |text: &str| balefire_model::settings::Node {
        place: Default::default(),
        value: balefire_model::settings::Value::Scalar { text: text.to_owned(), quoted: true },
    };
    let key = |name: &str| balefire_model::settings::Key { name: name.to_owned(), place: Default::default() };
    let section = balefire_model::settings::Node {
        place: Default::default(),
        value: balefire_model::settings::Value::Map(vec![(key("mode_max"), node(mode_max)), {
            (key("acl"), node("group:4242:r"))
        }]),
    };
    let load = |_: &str| Err("there are no secrets".to_owned());
    let session = balefire_model::settings::Session::new(&load);
    let allowed = hands::read(&Reader::new(&session, &section, "watch"));
    let mut watcher = Settings { allowed, ..settings(&path) }.begin(None);
    assert_eq!(ids(&watcher.look(at(0), &Nobody)), [""; 0]);
    if !run("setfacl", &["-m", "group:4242:r"]) {
        // A file system without ACLs has nothing to see.
        return;
    }
    assert_eq!(ids(&watcher.look(at(2), &Nobody)), [""; 0], "that group may");
    assert!(run("setfacl", &["-m", "user:4242:r"]));
    let look = watcher.look(at(4), &Nobody);
    let Sight::Failing(failures) = &look.sight else { panic!("{look:?}") };
    assert!(failures[0].summary.ends_with("its ACL lets user 4242 read"), "{failures:?}");
    assert!(run("setfacl", &["-b"]));
    assert_eq!(ids(&watcher.look(at(6), &Nobody)), [""; 0]);
}

#[test]
fn records_that_go_back_are_told_where_the_file_must_be_ordered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    append(&path, "2026-01-01T12:00:00Z a\n");
    let mut ordered = Settings { ordered: true, ..settings(&path) }.begin(None);
    let mut free = settings(&path).begin(None);
    ordered.look(at(0), &Nobody);
    free.look(at(0), &Nobody);
    append(&path, "2026-01-01T11:00:00Z b\n");
    let events = ordered.look(at(2), &Nobody).events;
    assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["file.out_of_order"]);
    assert!(free.look(at(2), &Nobody).events.is_empty());
}

struct Bench {
    _dir: TempDir,
    path: PathBuf,
    watcher: Box<dyn Watcher>,
    second: u64,
    wall: Timestamp,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "one\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let wall = Timestamp::from_second(fs::metadata(&path).unwrap().mtime()).unwrap();
        let settings = settings(&path);
        Bench { _dir: dir, path, watcher: settings.begin(None), second: 0, wall }
    }

    /// The ids that fail, and those of what happened, in so many looks, each a second after the other.
    fn looks(&mut self, count: u64) -> (Vec<String>, Vec<String>) {
        let (mut failing, mut happened) = (Vec::new(), Vec::new());
        for _ in 0..count {
            self.second += 1;
            let wall = self.wall;
            let look = self.watcher.look(Moment { boot: Duration::from_secs(1000 + self.second), wall }, &Nobody);
            failing = match look.sight {
                Sight::Failing(failures) => failures.into_iter().map(|failure| failure.id).collect(),
                _ => Vec::new(),
            };
            happened.extend(look.events.into_iter().map(|event| event.id));
        }
        (failing, happened)
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_mode_that_lets_everybody_write_is_one_matter_from_its_begin_to_its_end() {
    let mut bench = Bench::new();
    let none = || (Vec::<String>::new(), Vec::<String>::new());
    assert_eq!(bench.looks(6), none());
    bench.mode(0o666);
    assert_eq!(bench.looks(6), (vec!["file.perm".to_owned()], Vec::new()));
    bench.mode(0o640);
    assert_eq!(bench.looks(6), none());
    bench.mode(0o600);
    assert_eq!(bench.looks(6), (Vec::new(), vec!["file.perm".to_owned()]), "told once");
}
