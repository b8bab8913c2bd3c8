//! A program that answers a question, such as `journalctl`: started, read without waiting, and ended when it takes too long
//! or says too much. Knows no program by name.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io::{self, Read};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

/// So much is kept of what it complains of.
const COMPLAINT_MAX: usize = 4096;

/// Where programs are looked for. Nothing else of our environment is theirs to know.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One turn of waiting.
const TURN: Duration = Duration::from_millis(50);

/// A program that runs. It ends with its handle.
pub(crate) struct Child {
    process: std::process::Child,
    out: ChildStdout,
    err: ChildStderr,
    said: Said,
    out_max: usize,
    is_over: (bool, bool),
}

/// What it has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its output, cut where it became too long.
    pub(crate) out: Vec<u8>,
    /// What it complained of.
    pub(crate) err: Vec<u8>,
    /// It ended well; also where it was ended because it had said enough.
    pub(crate) is_well: bool,
}

impl Child {
    /// Starts it, with nothing but the path in its environment; it may say `out_max` bytes.
    pub(crate) fn begin(program: &str, arguments: &[&str], input: Option<File>, out_max: usize) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", PATH).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
        command.stdin(input.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let out = process.stdout.take().expect("it was asked for");
        let err = process.stderr.take().expect("it was asked for");
        let child = Child { process, out, err, said: Said::default(), out_max, is_over: (false, false) };
        fcntl_setfl(&child.out, fcntl_getfl(&child.out)? | OFlags::NONBLOCK)?;
        fcntl_setfl(&child.err, fcntl_getfl(&child.err)? | OFlags::NONBLOCK)?;
        Ok(child)
    }

    /// What it has said, if it is done within `patience`; none where it goes on.
    pub(crate) fn poll(&mut self, patience: Duration) -> io::Result<Option<Said>> {
        let turns = patience.as_millis().div_ceil(TURN.as_millis());
        for turn in 0..=turns {
            if self.read()? {
                self.said.is_well = self.end()?;
                return Ok(Some(std::mem::take(&mut self.said)));
            }
            if turn < turns {
                self.rest()?;
            }
        }
        Ok(None)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `TimedOut` where it goes on for longer than `patience`.
    pub(crate) fn finish(mut self, patience: Duration) -> io::Result<Said> {
        self.poll(patience)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Reads what is there; whether that was all, or enough.
    fn read(&mut self) -> io::Result<bool> {
        let (out, err) = &mut self.is_over;
        *out = *out || drained(&mut self.out, &mut self.said.out, self.out_max)?;
        *err = *err || drained(&mut self.err, &mut self.said.err, COMPLAINT_MAX)?;
        Ok(*out && *err || self.said.out.len() >= self.out_max)
    }

    fn rest(&self) -> io::Result<()> {
        let mut asked = Vec::with_capacity(2);
        if !self.is_over.0 {
            asked.push(PollFd::new(&self.out, PollFlags::IN));
        }
        if !self.is_over.1 {
            asked.push(PollFd::new(&self.err, PollFlags::IN));
        }
        let turn = Timespec::try_from(TURN).map_err(io::Error::other)?;
        match poll(&mut asked, Some(&turn)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// It has closed its output: it ends, or is ended.
    fn end(&mut self) -> io::Result<bool> {
        if self.said.out.len() >= self.out_max {
            self.process.kill()?;
            self.process.wait()?;
            return Ok(true);
        }
        Ok(self.process.wait()?.success())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and that is all that can go wrong here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads what is there, up to `most` bytes in all; whether the end was reached.
fn drained(from: &mut impl Read, into: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let mut page = [0; 8192];
    loop {
        match from.read(&mut page) {
            Ok(0) => return Ok(true),
            Ok(read) => {
                let kept = read.min(most.saturating_sub(into.len()));
                into.extend_from_slice(&page[..kept]);
                if kept < read {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_program_is_heard_to_its_end() {
        let said = Child::begin("sh", &["-c", "echo a; echo b >&2; exit 3"], None, 100).unwrap().finish(LONG).unwrap();
        assert_eq!(said, Said { out: b"a\n".to_vec(), err: b"b\n".to_vec(), is_well: false });
    }

    #[test]
    fn one_that_says_too_much_is_cut_and_one_that_takes_too_long_is_ended() {
        let said = Child::begin("sh", &["-c", "yes"], None, 100).unwrap().finish(LONG).unwrap();
        assert_eq!((said.out.len(), said.is_well), (100, true));
        let slow = Child::begin("sh", &["-c", "sleep 1000"], None, 100).unwrap();
        let error = slow.finish(Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
