//! Which run each file of a directory is from, so that what comes late does not replace what is newer. It stands in a file
//! beside them. Knows no records and moves no file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where it stands. No `.json`: nobody is to take it for records.
const NAME: &str = ".balefire-order";
/// The form of the file.
const VERSION: u32 = 1;

/// When the set began that each file is from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order(BTreeMap<String, Timestamp>);

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    begun: BTreeMap<String, Timestamp>,
}

impl Order {
    /// What the directory says, of files that are there. Where nothing is known, nothing is newer.
    pub(super) fn read(directory: &Path) -> io::Result<Order> {
        let path = Order::path(directory);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Order::default()),
            Err(error) => return Err(error),
        };
        let begun = match serde_json::from_str(&text) {
            Ok(Written { version: VERSION, begun }) => begun,
            Ok(Written { version, .. }) => {
                tracing::warn!(path = %path.display(), version, "of another version; it is written anew");
                BTreeMap::new()
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "not understood; it is written anew");
                BTreeMap::new()
            }
        };
        let is_there = |name: &String| directory.join(name).exists();
        Ok(Order(begun.into_iter().filter(|(name, _)| is_there(name)).collect()))
    }

    /// Whether the file is from a set that began after `begun`. A time that is still to come at `now` says nothing: the clock
    /// was set back since.
    pub(super) fn is_newer(&self, name: &str, begun: Timestamp, now: Timestamp) -> bool {
        self.0.get(name).is_some_and(|kept| *kept > begun && *kept <= now)
    }

    /// Takes note of a file.
    pub(super) fn set(&mut self, name: &str, begun: Timestamp) {
        self.0.insert(name.to_owned(), begun);
    }

    /// The file's content.
    pub(super) fn text(self) -> String {
        let written = Written { version: VERSION, begun: self.0 };
        serde_json::to_string(&written).expect("names and times have no failing serialisers") + "\n"
    }

    /// Where it stands.
    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_version_of_the_file_is_understood_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a_mock.json"), "[]").unwrap();
        let golden = "{\"version\":1,\"begun\":{\"a_mock.json\":\"2026-11-22T02:00:00.5Z\",\"gone.json\":\"2026-11-22T02:00:00Z\"}}\n";
        fs::write(Order::path(directory.path()), golden).unwrap();
        let mut order = Order::read(directory.path()).unwrap();
        let now = at("2026-11-22T03:00:00Z");
        assert!(order.is_newer("a_mock.json", at("2026-11-22T02:00:00Z"), now));
        assert!(!order.is_newer("a_mock.json", at("2026-11-22T02:00:00.5Z"), now), "itself is not newer");
        assert!(!order.is_newer("gone.json", at("2026-11-22T01:00:00Z"), now), "what is gone is not newer");
        order.set("gone.json", at("2026-11-22T02:00:00Z"));
        assert_eq!(order.text(), golden);
    }

    #[test]
    fn what_cannot_be_understood_and_what_is_still_to_come_is_not_newer() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["", "[]", "{\"version\":2,\"begun\":{}}", "{\"version\":1,\"begun\":{\"a\":\"late\"}}"] {
            fs::write(Order::path(directory.path()), text).unwrap();
            assert_eq!(Order::read(directory.path()).unwrap(), Order::default(), "{text}");
        }
        let mut order = Order::default();
        order.set("a", at("2026-11-23T00:00:00Z"));
        assert!(!order.is_newer("a", at("2026-11-21T00:00:00Z"), at("2026-11-22T00:00:00Z")));
    }
}
