//! Sets of files in a directory: each file is written beside the one that it replaces, synced, and renamed into its place,
//! unless the one there is from a newer set. Knows no format: what is added is bytes.

mod order;

use self::order::Order;
use super::{describe, no_answer};
use crate::clock;
use balefire_channels::{Reply, StorePart, StoreTransport};
use balefire_model::Cause;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// Records name people and machines: the owner writes, the group may read.
const MODE: u32 = 0o640;
/// What the name of a file ends with that has no place yet. Ours alone: the directory may hold other people's files.
const UNFINISHED: &str = ".balefire.tmp";
/// The file of the order on its way, as a name that no file of a set has.
const ORDER: &str = ".order";
/// What has not been written to for so long is nobody's any more: no attempt takes nearly as long.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(3600);

/// The directory of one channel. Its disk work runs on a blocking thread, one part after the other.
pub(super) struct Store {
    directory: PathBuf,
    open: Option<OpenSet>,
    /// A part that was given up on may still be stuck in the kernel; the next one waits for it.
    under_way: Option<JoinHandle<(Option<OpenSet>, Vec<Reply>)>>,
}

/// The set whose last part is still to come. Another one that begins ends it: its attempt was given up.
struct OpenSet {
    name: String,
    begun: Option<Timestamp>,
    files: BTreeSet<String>,
}

impl Store {
    /// Opens nothing yet: a directory that is not mounted at the start is a failed attempt, not a failed start.
    pub(super) fn open(settings: StoreTransport) -> Store {
        Store { directory: settings.directory, open: None, under_way: None }
    }

    /// Adds parts; one reply each. `Written` to a last part means: all its files are in their places, and on disk.
    /// Cancel-safe.
    pub(super) async fn exec(&mut self, parts: Vec<StorePart>) -> Vec<Reply> {
        if let Some(task) = self.under_way.take()
            && let Ok((open, _)) = task.await
        {
            self.open = open;
        }
        let count = parts.len();
        let directory = self.directory.clone();
        let mut open = self.open.take();
        let task = self.under_way.insert(tokio::task::spawn_blocking(move || {
            let replies = parts.iter().map(|part| reply(&directory, part, &mut open)).collect();
            (open, replies)
        }));
        let ended = task.await;
        self.under_way = None;
        match ended {
            Ok((open, replies)) => {
                self.open = open;
                replies
            }
            Err(error) => vec![no_answer(format!("{}: {error}", self.directory.display())); count],
        }
    }
}

fn reply(directory: &Path, part: &StorePart, open: &mut Option<OpenSet>) -> Reply {
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    if !part.files.iter().all(|file| is_plain(&file.name)) || !is_plain(&part.set) {
        return Reply::Failed { cause: Cause::Schema, detail: "a file's name is none".to_owned() };
    }
    let failed = |error: io::Error| no_answer(format!("{}: {}", directory.display(), describe(&error)));
    if part.is_first {
        if let Some(given_up) = open.take() {
            given_up.discard(directory);
        }
        if let Err(error) = make(directory).and_then(|()| sweep(directory)) {
            return failed(error);
        }
        *open = Some(OpenSet { name: part.set.clone(), begun: part.begun, files: BTreeSet::new() });
    }
    let Some(mut set) = open.take().filter(|set| set.name == part.set) else {
        return no_answer("the beginning of this set of files is not known");
    };
    match set.add(directory, part).and_then(|()| if part.is_last { set.finish(directory, part) } else { Ok(0) }) {
        Ok(newer) if part.is_last => {
            let count = set.files.len() - newer;
            let kept = match newer {
                0 => String::new(),
                count => format!("; {count} files there are from a newer run, and stay"),
            };
            Reply::Written(format!("{count} files on disk in {}{kept}", directory.display()))
        }
        Ok(_) => {
            *open = Some(set);
            Reply::Written(String::new())
        }
        Err(error) => {
            // On a full disk the next attempt wants the room.
            set.discard(directory);
            failed(error)
        }
    }
}

impl OpenSet {
    /// Beside the file, and of this set alone: another channel may write one of the same name.
    fn beside(&self, directory: &Path, name: &str) -> PathBuf {
        directory.join(format!("{name}.{}{UNFINISHED}", self.name))
    }

    fn add(&mut self, directory: &Path, part: &StorePart) -> io::Result<()> {
        let [before, between, _] = part.frame;
        for file in &part.files {
            let is_new = self.files.insert(file.name.clone());
            let path = self.beside(directory, &file.name);
            let unfinished = if is_new { begin(&path)? } else { OpenOptions::new().append(true).open(&path)? };
            let mut out = BufWriter::new(unfinished);
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
    /// Gives how many stay out because newer ones are there.
    fn finish(&self, directory: &Path, part: &StorePart) -> io::Result<usize> {
        let [_, _, behind] = part.frame;
        for name in &self.files {
            let mut file = OpenOptions::new().append(true).open(self.beside(directory, name))?;
            file.write_all(behind.as_bytes())?;
            file.sync_all()?;
        }
        let place = fs::File::open(directory)?;
        // Channels that share the directory put their files into place one after the other; let go with the handle.
        match place.lock() {
            // Where the file system has no locks, there is most likely one channel only.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        let newer = self.newer(directory)?;
        for name in &self.files {
            let unfinished = self.beside(directory, name);
            match newer.contains(name) {
                true => fs::remove_file(unfinished)?,
                false => fs::rename(unfinished, directory.join(name))?,
            }
        }
        place.sync_all()?;
        Ok(newer.len())
    }

    /// Which files are there from newer sets. That the others are from this one is on disk before they take their places.
    fn newer(&self, directory: &Path) -> io::Result<BTreeSet<String>> {
        let Some(begun) = self.begun else { return Ok(BTreeSet::new()) };
        let mut order = Order::read(directory)?;
        let now = clock::now();
        let (newer, ours): (BTreeSet<_>, BTreeSet<_>) =
            self.files.iter().cloned().partition(|name| order.is_newer(name, begun, now));
        ours.iter().for_each(|name| order.set(name, begun));
        let path = Order::path(directory);
        let unfinished = self.beside(directory, ORDER);
        let mut file = begin(&unfinished)?;
        file.write_all(order.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(unfinished, path)?;
        Ok(newer)
    }

    /// Removes what has no place yet.
    fn discard(&self, directory: &Path) {
        for name in self.files.iter().map(String::as_str).chain([ORDER]) {
            remove(&self.beside(directory, name));
        }
    }
}

/// An empty file, and no other one's: what an earlier attempt has left goes, a link is not followed.
fn begin(path: &Path) -> io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)
}

/// Makes the directory where it is not there, and those above it; each is on disk in the one above.
fn make(directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    fs::create_dir_all(directory)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// Removes what a crash or a killed process has left long ago, and nobody will finish.
fn sweep(directory: &Path) -> io::Result<()> {
    let Some(limit) = SystemTime::from(clock::now()).checked_sub(UNFINISHED_AGE_MAX) else { return Ok(()) };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            continue;
        }
        // What is gone by now was another channel's.
        if entry.metadata().and_then(|about| about.modified()).is_ok_and(|written| written < limit) {
            remove(&entry.path());
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "an unfinished file could not be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
