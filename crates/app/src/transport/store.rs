//! Sets of files in a directory: each file is written beside the one that it replaces, synced, and renamed into its place.
//! Knows no format: what is added is bytes.

use super::{describe, no_answer};
use balefire_channels::{Reply, StorePart, StoreTransport};
use balefire_model::Cause;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// Records name people and machines: the owner writes, the group may read.
const MODE: u32 = 0o640;

/// The directory of one channel. Its disk work runs on a blocking thread, one part after the other.
pub(super) struct Store {
    directory: PathBuf,
    sets: Sets,
    /// A part that was given up on may still be stuck in the kernel; the next one waits for it.
    under_way: Option<JoinHandle<(Sets, Vec<Reply>)>>,
}

/// The files that the parts of each set have begun in this attempt.
type Sets = BTreeMap<String, BTreeSet<String>>;

impl Store {
    /// Opens nothing yet: a directory that is not mounted at the start is a failed attempt, not a failed start.
    pub(super) fn open(settings: StoreTransport) -> Store {
        Store { directory: settings.directory, sets: Sets::new(), under_way: None }
    }

    /// Adds parts; one reply each. `Written` to a last part means: all its files are in their places, and on disk.
    /// Cancel-safe.
    pub(super) async fn exec(&mut self, parts: Vec<StorePart>) -> Vec<Reply> {
        if let Some(task) = self.under_way.take()
            && let Ok((sets, _)) = task.await
        {
            self.sets = sets;
        }
        let count = parts.len();
        let directory = self.directory.clone();
        let mut sets = std::mem::take(&mut self.sets);
        let task = self.under_way.insert(tokio::task::spawn_blocking(move || {
            let replies = parts.iter().map(|part| reply(&directory, part, &mut sets)).collect();
            (sets, replies)
        }));
        let ended = task.await;
        self.under_way = None;
        match ended {
            Ok((sets, replies)) => {
                self.sets = sets;
                replies
            }
            Err(error) => vec![no_answer(format!("{}: {error}", self.directory.display())); count],
        }
    }
}

fn reply(directory: &Path, part: &StorePart, sets: &mut Sets) -> Reply {
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    if !part.files.iter().all(|file| is_plain(&file.name)) || !is_plain(&part.set) {
        return Reply::Failed { cause: Cause::Schema, detail: "a file's name is none".to_owned() };
    }
    if part.is_first {
        sets.insert(part.set.clone(), BTreeSet::new());
    }
    let Some(begun) = sets.get_mut(&part.set) else {
        return no_answer("the beginning of this set of files is not known");
    };
    let written = add(directory, part, begun).and_then(|()| finish(directory, part, begun));
    let count = begun.len();
    if part.is_last || written.is_err() {
        sets.remove(&part.set);
    }
    match written {
        Ok(()) if part.is_last => Reply::Written(format!("{count} files on disk in {}", directory.display())),
        Ok(()) => Reply::Written(String::new()),
        Err(error) => no_answer(format!("{}: {}", directory.display(), describe(&error))),
    }
}

/// Beside the file, and of this set alone: another set of the same name may be under way.
fn beside(directory: &Path, set: &str, name: &str) -> PathBuf {
    directory.join(format!("{name}.{set}.tmp"))
}

fn add(directory: &Path, part: &StorePart, begun: &mut BTreeSet<String>) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let [before, between, _] = part.frame;
    for file in &part.files {
        let is_new = begun.insert(file.name.clone());
        let mut options = OpenOptions::new();
        options.create(true).mode(MODE);
        // What an earlier attempt has left begins anew.
        if is_new {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        let mut out = BufWriter::new(options.open(beside(directory, &part.set, &file.name))?);
        for (place, item) in file.items.iter().enumerate() {
            let separator = if is_new && place == 0 { before } else { between };
            out.write_all(separator.as_bytes())?;
            out.write_all(item)?;
        }
        out.flush()?;
    }
    Ok(())
}

/// Puts the files into their places, each synced before: a reader finds the old one or the new one, and either is whole.
fn finish(directory: &Path, part: &StorePart, begun: &BTreeSet<String>) -> io::Result<()> {
    if !part.is_last {
        return Ok(());
    }
    let [_, _, behind] = part.frame;
    for name in begun {
        let mut file = OpenOptions::new().append(true).open(beside(directory, &part.set, name))?;
        file.write_all(behind.as_bytes())?;
        file.sync_all()?;
    }
    for name in begun {
        fs::rename(beside(directory, &part.set, name), directory.join(name))?;
    }
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
