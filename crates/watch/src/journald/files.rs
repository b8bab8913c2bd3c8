//! `journald.files`: whether the files of the journal are those that they were. Files that are gone while there was room, and
//! numbers of entries that no file has. Takes readings; what they mean is `removed.rs`'s and `sequence.rs`'s to say.

use super::limits::{Store, limits};
use super::removed::{Held, Removed};
use super::sequence::Sequence;
use crate::look::{Look, Moment};
use crate::posture::Text;
use crate::sensors::journal_files::{JournalFiles, journal_files};
use crate::sensors::setting;
use crate::sensors::space::space;
use crate::watcher::{Around, Plan, Watcher};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where journald keeps what is to stay, and what is not.
const ON_DISK: &str = "/var/log/journal";
const IN_MEMORY: &str = "/run/log/journal";

/// Which journal.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) directory: Option<String>,
}

/// What a restart must know.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    root: PathBuf,
    archived: BTreeMap<String, Held>,
}

impl Plan for Files {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What an older version kept in another form is as good as nothing: the next look learns the files anew.
        let kept: Memory = kept.and_then(|kept| Memory::deserialize(kept).ok()).unwrap_or_default();
        let removed = Removed::new(kept.archived);
        Box::new(FilesWatcher { settings: self.clone(), root: kept.root, removed, sequence: Sequence::default() })
    }
}

struct FilesWatcher {
    settings: Files,
    /// What was looked at last.
    root: PathBuf,
    removed: Removed,
    sequence: Sequence,
}

impl Watcher for FilesWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        let root = self.place();
        let files = match journal_files(&root) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Look::unknown(format!("{} is not there", root.display()));
            }
            Err(error) => return Look::blind(format!("read {}: {error}", root.display()), "the group systemd-journal"),
        };
        if let (true, Some((_, why))) = (files.files.is_empty(), files.unread.first()) {
            return Look::blind(why.clone(), "the group systemd-journal");
        }
        // The journal moves from memory to the disk, or back, and takes new numbers.
        if self.root != root {
            (self.removed, self.sequence) = (Removed::new(BTreeMap::new()), Sequence::default());
            self.root.clone_from(&root);
        }
        self.judge(now, &root, &files)
    }

    fn memory(&self) -> Option<Value> {
        let memory = Memory { root: self.root.clone(), archived: self.removed.archived() };
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(memory).ok()
    }
}

impl FilesWatcher {
    fn place(&self) -> PathBuf {
        match &self.settings.directory {
            Some(directory) => PathBuf::from(directory),
            None if Path::new(ON_DISK).is_dir() => PathBuf::from(ON_DISK),
            None => PathBuf::from(IN_MEMORY),
        }
    }

    fn judge(&mut self, now: Moment, root: &Path, files: &JournalFiles) -> Look {
        let space = match space(root) {
            Ok(space) => space,
            Err(error) => return Look::blind(format!("statvfs {}: {error}", root.display()), "the right to reach it"),
        };
        let store = if root.starts_with("/run") { Store::Runtime } else { Store::System };
        let text = match setting::systemd("journald.conf") {
            Text::Read(text) => text,
            Text::Missing => String::new(),
            Text::Denied(why) => return Look::blind(why, "the right to read journald.conf"),
        };
        let mut events = self.removed.take(now, files, (&limits(&text, store), &space));
        // While journald writes into memory, its numbers go on there.
        let is_elsewhere =
            root == Path::new(ON_DISK) && journal_files(Path::new(IN_MEMORY)).is_ok_and(|it| !it.files.is_empty());
        events.extend(self.sequence.take(now, files, is_elsewhere));
        let entries: u64 = files.files.iter().map(|file| file.entries).sum();
        let oldest = files.files.iter().filter(|file| file.entries > 0).map(|file| file.head_time).min();
        let oldest = oldest.and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
        let oldest = oldest.map_or_else(String::new, |at| format!(", the oldest of {at:.0}"));
        let unread = match files.unread.first() {
            Some((_, why)) => format!("; not all can be read: {why}"),
            None => String::new(),
        };
        Look::ok(format!("{entries} entries in {} files{oldest}{unread}", files.files.len())).with(events)
    }
}
