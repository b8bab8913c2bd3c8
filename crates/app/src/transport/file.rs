//! Lines at the end of a file, on disk before anybody hears of success; rotation by size. Knows no format: a line is
//! bytes.

use super::{describe, no_answer};
use balefire_channels::{FileTransport, Reply};
use balefire_model::Cause;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// Alerts name people and machines: the owner writes, the group may read.
const MODE: u32 = 0o640;

/// The file of one channel. Its disk work runs on a blocking thread, at most one at a time.
pub(super) struct File {
    settings: FileTransport,
    appender: Option<Appender>,
    /// A batch that was given up on may still be stuck in the kernel; the next one waits for it.
    under_way: Option<JoinHandle<(Appender, Vec<Reply>)>>,
}

impl File {
    /// Opens nothing yet: a directory that is not mounted at the start is a failed attempt, not a failed start.
    pub(super) fn open(settings: FileTransport) -> File {
        File { settings, appender: None, under_way: None }
    }

    /// Appends lines; one reply each. `Written` means: on disk. Cancel-safe.
    pub(super) async fn exec(&mut self, lines: Vec<Vec<u8>>) -> Vec<Reply> {
        if let Some(task) = &mut self.under_way {
            // Its replies have no reader any more; if it panicked, the file is opened again below.
            self.appender = task.await.ok().map(|(appender, _)| appender);
            self.under_way = None;
        }
        let count = lines.len();
        let mut appender = self.appender.take().unwrap_or_else(|| Appender::new(self.settings.clone()));
        let task = self.under_way.insert(tokio::task::spawn_blocking(move || {
            let replies = appender.append(&lines);
            (appender, replies)
        }));
        let ended = task.await;
        self.under_way = None;
        match ended {
            Ok((appender, replies)) => {
                self.appender = Some(appender);
                replies
            }
            Err(error) => vec![no_answer(format!("{}: {error}", self.settings.path.display())); count],
        }
    }
}

/// The file itself, for a thread that may block.
struct Appender {
    settings: FileTransport,
    open: Option<Open>,
}

struct Open {
    file: fs::File,
    size: u64,
}

impl Appender {
    fn new(settings: FileTransport) -> Appender {
        Appender { settings, open: None }
    }

    /// One write and one sync per file that the lines fall into: one, but for rotation.
    fn append(&mut self, lines: &[Vec<u8>]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(lines.len());
        while let Some(first) = lines.get(replies.len()) {
            if is_broken(first) {
                let detail = "a line for a file has a line break inside".to_owned();
                replies.push(Reply::Failed { cause: Cause::Schema, detail });
                continue;
            }
            match self.append_some(&lines[replies.len()..]) {
                Ok(count) => {
                    let written = Reply::Written(format!("on disk in {}", self.settings.path.display()));
                    replies.resize(replies.len() + count, written);
                }
                Err(error) => {
                    // Whatever state the handle is in, the next batch looks at the file anew.
                    self.open = None;
                    let detail = format!("{}: {}", self.settings.path.display(), describe(&error));
                    replies.resize(lines.len(), no_answer(detail));
                }
            }
        }
        replies
    }

    /// As many of the lines, the first of which is sound, as the current file takes; how many.
    fn append_some(&mut self, lines: &[Vec<u8>]) -> io::Result<usize> {
        self.follow()?;
        let room = self.settings.rotate_bytes.unwrap_or(u64::MAX);
        let fits = |size: u64, line: &Vec<u8>| size.saturating_add(line.len() as u64 + 1) <= room;
        if let (Some(open), Some(first)) = (&self.open, lines.first())
            && open.size > 0
            && !fits(open.size, first)
        {
            self.rotate()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open::at(&self.settings.path)?),
        };
        let mut bytes = Vec::new();
        let mut count = 0;
        for line in lines {
            if is_broken(line) || (count > 0 && !fits(open.size + bytes.len() as u64, line)) {
                break;
            }
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            count += 1;
        }
        open.file.write_all(&bytes)?;
        // A success before the sync would be a lie.
        open.file.sync_data()?;
        open.size += bytes.len() as u64;
        Ok(count)
    }

    /// Lets go of a file that was moved or deleted under us (logrotate), and sees one that was truncated.
    fn follow(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let ours = open.file.metadata()?;
        let same = match fs::metadata(&self.settings.path) {
            Ok(theirs) => (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        open.size = ours.len();
        if !same {
            self.open = None;
        }
        Ok(())
    }

    /// `path` becomes `path.1`, `path.1` becomes `path.2`, and so on; what would be beyond `keep` goes. Each move is a
    /// rename: a reader finds every line in one file or the other at any moment.
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        self.open = None;
        for number in (1..self.settings.keep).rev() {
            match fs::rename(numbered(path, number), numbered(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.settings.keep {
            0 => fs::remove_file(path)?,
            _ => fs::rename(path, numbered(path, 1))?,
        }
        // The new file's creation syncs the directory, and with it the renames.
        self.open = Some(Open::at(path)?);
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Open> {
        let existed = path.exists();
        let mut file = OpenOptions::new().append(true).read(true).create(true).mode(MODE).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut size = metadata.len();
        if !existed {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(directory)?.sync_all()?;
        }
        if size > 0 {
            // A crash or a full disk may have left half a line; the next one must not be glued to it.
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok(Open { file, size })
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// A line break inside would make two lines of one, the second of which anybody could have written.
fn is_broken(line: &[u8]) -> bool {
    line.contains(&b'\n')
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
