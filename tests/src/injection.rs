//! System calls of a running process that fail on purpose, by strace: what a dying disk does to a program. Knows which
//! calls and which files, not what they are for.

use crate::daemon::{Daemon, needed};
use crate::wait;
use rustix::process::Pid;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A running injection. Ends with the handle, or with the process.
pub struct Injection {
    _strace: Daemon,
}

impl Injection {
    /// From now on, calls of this process that touch `path` fail: `fault` such as `fdatasync:error=EIO:when=3+`. Returns
    /// when it holds for every thread.
    ///
    /// # Panics
    /// Where strace is missing, or may not trace.
    #[must_use]
    pub fn begin(process: Pid, path: &Path, fault: &str) -> Injection {
        let (call, _) = fault.split_once(':').expect("a fault names a call and an error");
        let mut command = Command::new(needed(Path::new("/usr/bin/strace"), "strace"));
        command.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={fault}"),
        ]);
        command.arg("-P").arg(path).arg("-p").arg(process.as_raw_nonzero().to_string());
        let strace = Daemon::start(&mut command);
        wait::until("strace holds every thread", || {
            let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
            // A process that ends meanwhile has met its fault.
            let Ok(threads) = fs::read_dir(tasks) else { return Ok(()) };
            let free = threads.flatten().filter(|thread| !is_traced(&thread.path())).count();
            if free == 0 { Ok(()) } else { Err(format!("{free} threads are free")) }
        });
        Injection { _strace: strace }
    }
}

fn is_traced(thread: &Path) -> bool {
    // A thread that has ended makes no calls.
    fs::read_to_string(thread.join("status")).map_or(true, |status| !status.contains("TracerPid:\t0\n"))
}
