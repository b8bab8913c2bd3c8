//! The whole watcher on real files, with a clock that is set.

use super::*;
use crate::watcher::Nobody;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tempfile::TempDir;

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
        let settings = Settings {
            path: path.clone(),
            rotate: Vec::new(),
            absent: Duration::from_secs(5),
            mode_max: None,
            owner: None,
            writer: None,
            silence: None,
        };
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
