//! Which files the processes of a name hold open for writing, from `/proc`. Of other users' processes only root, or who has
//! CAP_SYS_PTRACE, is told.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As many processes of one name, and as many files of each, are looked at.
const PROCESSES_MAX: usize = 64;
const FILES_MAX: usize = 4096;

/// A file that is held open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The process.
    pub(crate) pid: u32,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// Its path, with ` (deleted)` behind it where it has none any more.
    pub(crate) path: String,
}

/// The regular files that processes called `name` hold open for writing; none where there is no such process.
pub(crate) fn held_by(name: &str) -> io::Result<Option<Vec<Held>>> {
    let mut held = Vec::new();
    let mut processes = 0;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end at any moment; then it holds nothing.
        let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else { continue };
        if comm.trim_end() != name || processes >= PROCESSES_MAX {
            continue;
        }
        match files_of(pid, &entry.path(), &mut held) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => {
                other?;
                processes += 1;
            }
        }
    }
    Ok((processes > 0).then_some(held))
}

fn files_of(pid: u32, process: &Path, held: &mut Vec<Held>) -> io::Result<()> {
    for entry in fs::read_dir(process.join("fd"))?.take(FILES_MAX) {
        let entry = entry?;
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if !metadata.is_file() {
            continue;
        }
        let Ok(info) = fs::read_to_string(process.join("fdinfo").join(entry.file_name())) else { continue };
        if is_for_writing(&info) {
            let path = fs::read_link(entry.path()).map(|path| path.display().to_string()).unwrap_or_default();
            held.push(Held { pid, dev: metadata.dev(), ino: metadata.ino(), path });
        }
    }
    Ok(())
}

/// Whether `/proc/PID/fdinfo/FD` says so: the last digit of the octal flags is 1 (write) or 2 (read and write).
fn is_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| matches!(flags & 3, 1 | 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_this_process_writes_is_found_and_one_that_it_reads_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let written = fs::File::create(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("b"), "b").unwrap();
        let read = fs::File::open(directory.path().join("b")).unwrap();
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        let held = held_by(comm.trim_end()).unwrap().unwrap();
        let ino = |file: &fs::File| file.metadata().unwrap().ino();
        assert!(held.iter().any(|held| held.ino == ino(&written) && held.pid == std::process::id()));
        assert!(!held.iter().any(|held| held.ino == ino(&read)));
        assert_eq!(held_by("no-such-name").unwrap(), None);
    }
}
