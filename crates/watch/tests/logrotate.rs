//! The real logrotate in all its styles, while the watchers of the files look all the time: no rotation is an alarm, and what is
//! no rotation is one. `BALEFIRE_ROTATIONS` says how many; some hundred if not set.
#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_model::settings::{Key, Node, Place, Reader, Session, Value};
use balefire_watch::{KINDS, Look, Moment, Nobody, Sight, Watcher};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LOGROTATE: &str = "/usr/sbin/logrotate";

/// How files are rotated, each under a name of its own.
const STYLES: [(&str, &str); 7] = [
    ("create", "create"),
    ("copytruncate", "copytruncate"),
    ("compress", "create\ncompress"),
    ("delaycompress", "create\ncompress\ndelaycompress"),
    ("dateext", "create\ndateext\ndateformat -%Y%m%d-%s"),
    ("extension", "create\ncompress\ndateext\ndateformat -%Y%m%d-%s\nextension .log"),
    ("olddir", "copytruncate\ncompress\nolddir OLD"),
];

fn now() -> Moment {
    let boot = clock_gettime(ClockId::Boottime);
    let wall = clock_gettime(ClockId::Realtime);
    let nanoseconds = i32::try_from(wall.tv_nsec).unwrap();
    Moment {
        boot: Duration::new(u64::try_from(boot.tv_sec).unwrap(), u32::try_from(boot.tv_nsec).unwrap()),
        wall: Timestamp::new(wall.tv_sec, nanoseconds).unwrap(),
    }
}

struct File {
    path: PathBuf,
    watcher: Box<dyn Watcher>,
}

impl File {
    fn new(path: PathBuf, old: &Path) -> File {
        let node = |value| Node { place: Place::default(), value };
        let text = |text: &Path| node(Value::Scalar { text: text.display().to_string(), quoted: true });
        let key = |name: &str| Key { name: name.to_owned(), place: Place::default() };
        let file = node(Value::Map(vec![(key("path"), text(&path)), (key("rotate"), text(old))]));
        let section = node(Value::Map(vec![(key("file"), node(Value::List(vec![file])))]));
        let load = |_: &str| Err("there are no secrets".to_owned());
        let session = Session::new(&load);
        let kind = KINDS.iter().find(|kind| kind.key == "file").unwrap();
        let watched = (kind.read)(&Reader::new(&session, &section, "watch"));
        assert_eq!(session.problems(), []);
        File { path, watcher: watched[0].plan.begin(None) }
    }

    fn write(&self, text: &str) {
        OpenOptions::new().create(true).append(true).open(&self.path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn look(&mut self) -> Look {
        self.watcher.look(now(), &Nobody)
    }

    /// Looks, and says what is alarmed.
    fn alarms(&mut self) -> Option<String> {
        let look = self.look();
        let is_quiet = matches!(look.sight, Sight::Ok { .. } | Sight::Unknown { .. }) && look.events.is_empty();
        (!is_quiet).then(|| format!("{}: {look:?}", self.path.display()))
    }
}

/// Looks at all until none searches for what was in it.
fn settle(files: &mut [File], alarms: &mut Vec<String>) {
    for file in files {
        alarms.extend(file.alarms());
        while file.watcher.next().is_some() {
            alarms.extend(file.alarms());
        }
    }
}

fn rotate(directory: &Path, files: &mut [File], alarms: &mut Vec<String>) -> u64 {
    let mut logrotate = Command::new(LOGROTATE)
        .args(["--force", "--state"])
        .arg(directory.join("state"))
        .arg(directory.join("conf"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The watchers look into the middle of what it does.
    while logrotate.try_wait().unwrap().is_none() {
        for file in files.iter_mut() {
            alarms.extend(file.alarms());
        }
    }
    // Of two rotations in the same second, it leaves the second out where the name has only the date.
    files.iter().filter(|file| fs::metadata(&file.path).unwrap().len() == 0).count() as u64
}

fn check(rotations: u64, files_per_style: usize) {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old");
    fs::create_dir(&old).unwrap();
    let (mut conf, mut files) = (String::new(), Vec::new());
    for (style, directives) in STYLES {
        let paths: Vec<PathBuf> =
            (0..files_per_style).map(|number| directory.path().join(format!("{style}-{number}.log"))).collect();
        for path in &paths {
            conf.push_str(&format!("{} ", path.display()));
            files.push(File::new(path.clone(), &old));
        }
        let directives = directives.replace("OLD", &old.display().to_string());
        conf.push_str(&format!("{{\nrotate 4\nmissingok\n{directives}\n}}\n"));
    }
    fs::write(directory.path().join("conf"), conf).unwrap();
    let (mut alarms, mut done, mut line) = (Vec::new(), 0, 0u64);
    for turn in 0.. {
        if done >= rotations {
            break;
        }
        for (number, file) in files.iter().enumerate() {
            let lines = (line as usize + number * 7) % 90 + 1;
            let text: String =
                (0..lines).map(|next| format!("{line} {number} {next} sshd: session opened\n")).collect();
            file.write(&text);
            line += 1;
        }
        // Sometimes nobody has looked between two rotations.
        if turn % 3 != 0 {
            settle(&mut files, &mut alarms);
        }
        done += rotate(directory.path(), &mut files, &mut alarms);
        settle(&mut files, &mut alarms);
        assert_eq!(alarms, Vec::<String>::new(), "false alarms after {done} rotations");
    }
    // And they do see what is no rotation.
    for file in &mut files {
        file.write("what will be lost\n");
        assert_eq!(file.alarms(), None);
        fs::write(&file.path, "").unwrap();
    }
    let mut seen: Vec<_> = files.iter_mut().map(File::alarms).collect();
    while files.iter().any(|file| file.watcher.next().is_some()) {
        seen = files.iter_mut().map(File::alarms).collect();
    }
    for (file, seen) in files.iter().zip(seen) {
        assert!(seen.is_some_and(|seen| seen.contains("file.truncated")), "{}", file.path.display());
    }
}

#[test]
fn no_rotation_is_an_alarm_and_no_loss_is_a_rotation() {
    if !Path::new(LOGROTATE).exists() {
        let is_ci = std::env::var_os("CI").is_some();
        assert!(!is_ci, "{LOGROTATE} is not there; install the Debian package logrotate, or run scripts/test");
        println!("left out: {LOGROTATE} is not there; install the Debian package logrotate");
        return;
    }
    match std::env::var("BALEFIRE_ROTATIONS") {
        Ok(number) => check(number.parse().unwrap(), 30),
        Err(_) => check(300, 5),
    }
}
