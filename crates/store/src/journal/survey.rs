//! Reads all segments of a directory, several at a time, and says what each holds. Changes nothing.

use super::OpenError;
use super::directory;
use super::scan::{Expected, Scanned, scan};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// More threads than this do not read faster.
const THREADS_MAX: usize = 8;

/// A segment and what it holds.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) path: PathBuf,
    pub(crate) expected: Expected,
    pub(crate) scanned: Scanned,
}

/// All segments, in order.
pub(crate) fn survey(dir: &Path) -> Result<Vec<Surveyed>, OpenError> {
    let failed = |place: &Path, source| OpenError::Failed { place: place.display().to_string(), source };
    let bases = directory::segments(dir).map_err(|source| failed(dir, source))?;
    let scan_one = |at: usize| {
        let base = bases[at];
        let until = bases.get(at + 1).copied();
        let path = dir.join(directory::segment_name(base));
        // A segment that has a successor is bounded by it, and its mark of doubt has had its effect.
        let believed = match until {
            Some(_) => None,
            None => directory::doubt(dir, base).map_err(|source| failed(&path, source))?,
        };
        let expected = Expected { base, until, believed };
        let scanned =
            File::open(&path).and_then(|file| scan(&file, expected)).map_err(|source| failed(&path, source))?;
        Ok(Surveyed { path, expected, scanned })
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(bases.len());
    if threads <= 1 {
        return (0..bases.len()).map(scan_one).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Result<Surveyed, OpenError>)> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= bases.len() {
                return done;
            }
            done.push((at, scan_one(at)));
        }
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a scan does not panic")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, surveyed)| surveyed).collect()
}
