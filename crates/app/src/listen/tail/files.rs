//! The file system as the tail sees it: opens, reads, and finds rotated files again. Blocks, and decides nothing that is
//! not in `decide`.

use super::decide::{Age, AtPath, Fit, Head, Position, QUIET_ROUNDS, Rotated, Sight, Step, fit, step, suffix};
use super::identity::{HEAD_BYTES_MAX, Identity, Inode};
use crate::config::TailFrom;
use balefire_intake::lines::LineSplitter;
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// How much is looked at to find a file's last line end, at once.
const BACKWARD_BYTES: u64 = 64 * 1024;

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    inode: Inode,
    /// Its first bytes, as far as it was read.
    head: Vec<u8>,
    /// Cuts what comes; also knows how far that is.
    pub splitter: LineSplitter,
    bytes_max: usize,
}

/// Where to go on.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing to read yet.
    Nothing(AtPath),
    /// A file to read from where the position or the beginning is.
    Ready(Held),
    /// A file of which only what comes from now on is wanted.
    AtEnd(Held),
    /// The known file, but what was read is no longer in it.
    Emptied(Held),
    /// The known file is nowhere; this one is in its place. The names are those of compressed files beside it.
    Lost(Held, Vec<String>),
}

/// What came of one look at the file that is held.
#[derive(Debug)]
pub(super) enum Looked {
    /// So many bytes are in the buffer.
    Bytes(usize),
    Wait(AtPath),
    Emptied,
    /// The file has had its last line.
    Finished,
}

impl Held {
    pub(super) fn open(path: &Path, bytes_max: usize) -> io::Result<Held> {
        // Without NONBLOCK, the opening of a FIFO would wait for its writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!("found {}; allowed: a plain file", kind(&metadata))));
        }
        let inode = inode(&metadata);
        Ok(Held { file, inode, head: Vec::new(), splitter: LineSplitter::new(bytes_max, 0), bytes_max })
    }

    /// The file as the journal is to remember it, read up to `offset`.
    pub(super) fn identity(&self, offset: u64) -> Identity {
        Identity::new(self.inode, &self.head, offset)
    }

    pub(super) fn start_over(&mut self) {
        self.head.clear();
        self.splitter = LineSplitter::new(self.bytes_max, 0);
    }

    fn resume(&mut self, offset: u64) -> io::Result<()> {
        let known = usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX);
        self.head = self.first(known)?;
        self.splitter = LineSplitter::new(self.bytes_max, offset);
        Ok(())
    }

    fn first(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; bytes];
        let read = fill(&self.file, &mut head, 0)?;
        head.truncate(read);
        Ok(head)
    }

    fn fit(&self, position: &Position) -> io::Result<Fit> {
        let head = self.first(position.file.head_bytes)?;
        Ok(fit(position, self.inode, self.file.metadata()?.len(), &head))
    }

    /// The byte after the last LF.
    fn last_line_end(&self) -> io::Result<u64> {
        let mut end = self.file.metadata()?.len();
        while end > 0 {
            let start = end.saturating_sub(BACKWARD_BYTES);
            let mut piece = vec![0; usize::try_from(end - start).expect("a piece is small")];
            let read = fill(&self.file, &mut piece, start)?;
            if let Some(at) = piece[..read].iter().rposition(|byte| *byte == b'\n') {
                return Ok(start + at as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    /// Reads what comes next, or says why there is nothing.
    pub(super) fn look(&mut self, path: &Path, rotated: &mut Rotated, buffer: &mut [u8]) -> io::Result<Looked> {
        let at_path = at_path(path);
        let taken = self.splitter.line_start();
        let waits = match at_path {
            AtPath::File { inode, size: 0 } => inode != self.inode && rotated.quiet >= QUIET_ROUNDS,
            _ => false,
        };
        let younger = waits && !self.younger(path)?.is_empty();
        let sight = Sight {
            inode: self.inode,
            size: self.file.metadata()?.len(),
            head: Head::compare(&self.head, &self.first(self.head.len())?, taken),
            taken,
            read_to: taken + self.splitter.partial_bytes(),
            at_path,
            younger,
        };
        match step(&sight, rotated) {
            Step::Read => self.read(sight.read_to, buffer),
            Step::Reread => {
                self.resume(taken)?;
                Ok(Looked::Wait(sight.at_path))
            }
            Step::StartOver => Ok(Looked::Emptied),
            Step::Wait => Ok(Looked::Wait(sight.at_path)),
            Step::MoveOn => Ok(Looked::Finished),
        }
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<Looked> {
        let count = self.file.read_at(buffer, offset)?;
        if offset == self.head.len() as u64 {
            let room = HEAD_BYTES_MAX - self.head.len();
            self.head.extend_from_slice(&buffer[..count.min(room)]);
        }
        Ok(Looked::Bytes(count))
    }

    /// The file that followed this one: a rotated one that is younger, or the one at the path.
    pub(super) fn successor(&self, path: &Path) -> io::Result<Held> {
        match self.younger(path)?.first() {
            Some(younger) => Held::open(younger, self.bytes_max),
            None => Held::open(path, self.bytes_max),
        }
    }

    /// The rotated files that came after this one, in their order; not the one at the path.
    fn younger(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let (folder, base) = place(path);
        let current = inode(&fs::metadata(path)?);
        let since = born(&self.file.metadata()?);
        let mut own = None;
        let mut others = Vec::new();
        for entry in listing(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(suffix) = name.to_str().and_then(|name| suffix(&base, name)) else { continue };
            // A file may go between the listing and the look at it.
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            let age = Age { born: born(&metadata), suffix };
            match inode(&metadata) {
                inode if inode == self.inode => own = Some(age),
                inode if inode != current && metadata.is_file() => others.push((age, entry.path())),
                _ => {}
            }
        }
        others.retain(|(age, _)| own.as_ref().map_or(age.born > since, |own| age > own));
        others.sort();
        let mut younger = Vec::with_capacity(others.len());
        for (_, path) in others {
            // A copy of what was read is no successor.
            let copy = !self.head.is_empty() && Held::open(&path, 0)?.first(self.head.len())? == self.head;
            if !copy {
                younger.push(path);
            }
        }
        Ok(younger)
    }
}

/// What stands at the path.
pub(super) fn at_path(path: &Path) -> AtPath {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => AtPath::File { inode: inode(&metadata), size: metadata.len() },
        Ok(metadata) => AtPath::Unusable(format!("found {}; allowed: a plain file", kind(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if place(path).0.is_dir() {
                AtPath::Missing
            } else {
                AtPath::NoDirectory
            }
        }
        Err(error) => AtPath::Unusable(error.to_string()),
    }
}

/// Finds the file that the position speaks of, wherever it is called now.
pub(super) fn find(path: &Path, known: Option<&Position>, from: TailFrom, bytes_max: usize) -> io::Result<Found> {
    let at_path = at_path(path);
    let mut here = match at_path {
        AtPath::File { .. } => Some(Held::open(path, bytes_max)?),
        _ => None,
    };
    let Some(position) = known else {
        return match (here, from) {
            (None, _) => Ok(Found::Nothing(at_path)),
            (Some(held), TailFrom::Start) => Ok(Found::Ready(held)),
            (Some(mut held), TailFrom::End) => {
                held.resume(held.last_line_end()?)?;
                Ok(Found::AtEnd(held))
            }
        };
    };
    if let Some(held) = &mut here {
        match held.fit(position)? {
            Fit::Same => {
                held.resume(position.offset)?;
                return Ok(Found::Ready(here.expect("it was just looked at")));
            }
            Fit::Emptied => return Ok(Found::Emptied(here.expect("it was just looked at"))),
            Fit::Other => {}
        }
    }
    let mut compressed = Vec::new();
    if let Some(held) = rotated(path, position, bytes_max, &mut compressed)? {
        return Ok(Found::Ready(held));
    }
    Ok(here.map_or(Found::Nothing(at_path), |held| Found::Lost(held, compressed)))
}

/// The known file among those beside the path. Names that look like its compressed form are gathered.
fn rotated(
    path: &Path,
    position: &Position,
    bytes_max: usize,
    compressed: &mut Vec<String>,
) -> io::Result<Option<Held>> {
    let (folder, base) = place(path);
    for entry in listing(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&base) && [".gz", ".xz", ".zst", ".bz2"].iter().any(|end| name.ends_with(end)) {
            compressed.push(name.clone().into_owned());
        }
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        let ours = metadata.is_file() && metadata.ino() == position.file.inode.number;
        // Without a fingerprint, a name must speak for the file.
        if !ours || (position.file.head_bytes == 0 && suffix(&base, &name).is_none()) {
            continue;
        }
        let mut held = Held::open(&entry.path(), bytes_max)?;
        if held.fit(position)? == Fit::Same {
            held.resume(position.offset)?;
            return Ok(Some(held));
        }
    }
    compressed.sort();
    Ok(None)
}

/// What is in the folder; nothing where it is not there or may not be listed, which need not keep us from the file.
fn listing(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten())
}

/// The folder and the name of the file; of its target, where the path is a link.
fn place(path: &Path) -> (PathBuf, String) {
    let target = path.canonicalize();
    let path = target.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (folder.to_owned(), name)
}

fn inode(metadata: &Metadata) -> Inode {
    Inode { device: metadata.dev(), number: metadata.ino() }
}

/// When the file was made; where the file system does not know, when it was last written.
fn born(metadata: &Metadata) -> u128 {
    let born = metadata.created().or_else(|_| metadata.modified());
    born.ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos())
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a pipe, socket or device" }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
