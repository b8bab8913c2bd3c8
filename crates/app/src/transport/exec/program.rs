//! A process with three pipes: written to, read from, ended. Knows nothing of what is said.

use super::super::describe;
use crate::process_group::ProcessGroup;
use balefire_channels::ExecTransport;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// One read of a pipe; pipes hold 64 KiB.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long a program that was asked to end (SIGTERM) may take.
const TERM_PATIENCE: Duration = Duration::from_secs(2);

/// A running program. Dropped, it is killed with everything in its process group.
pub(super) struct Program {
    process: ProcessGroup,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// What is still to be written, and how much of it has been.
    out: (Vec<u8>, usize),
    said: Box<[u8; CHUNK_BYTES]>,
    complained: Box<[u8; CHUNK_BYTES]>,
}

/// What a program did.
pub(super) enum Sign<'a> {
    /// It took all that was to be written.
    Took,
    /// It wrote to its standard output.
    Said(&'a [u8]),
    /// It wrote to its standard error.
    Complained(&'a [u8]),
    /// Nobody reads its standard input any more.
    Deaf,
    /// Its standard output is at its end.
    Mute,
    /// It ended.
    Ended(io::Result<ExitStatus>),
}

impl Program {
    /// Starts it. Must run inside the runtime.
    ///
    /// # Errors
    /// In words, where the system does not start it.
    pub(super) fn start(settings: &ExecTransport, inherited: &[(&str, String)]) -> Result<Program, String> {
        let (name, arguments) = settings.command.split_first().ok_or("no program is named")?;
        let mut command = Command::new(name);
        command.args(arguments).env_clear().envs(inherited.iter().map(|(name, value)| (name, value)));
        command.envs(settings.env.iter().map(|(name, value)| (name, value.expose())));
        if let Some(directory) = &settings.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process =
            ProcessGroup::start(&mut command).map_err(|error| format!("program {name}: {}", describe(&error)))?;
        let child = &mut process.child;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (said, complained) = (Box::new([0; CHUNK_BYTES]), Box::new([0; CHUNK_BYTES]));
        Ok(Program { process, stdin, stdout, stderr, out: (Vec::new(), 0), said, complained })
    }

    /// Has a line written, with its line break. One at a time: see [`Program::is_writing`].
    pub(super) fn write(&mut self, line: &[u8]) {
        let (bytes, written) = &mut self.out;
        *written = 0;
        // A large one is given back to the system, and not kept for ever.
        *bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }

    /// Whether something is still to be written.
    pub(super) fn is_writing(&self) -> bool {
        self.out.1 < self.out.0.len()
    }

    /// Ends its input.
    pub(super) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Writes, reads and waits until something has happened. Cancel-safe.
    pub(super) async fn sign(&mut self) -> Sign<'_> {
        loop {
            let (bytes, written) = &mut self.out;
            let is_writing = *written < bytes.len();
            tokio::select! {
                took = write(self.stdin.as_mut(), &bytes[*written..]), if is_writing => match took {
                    Ok(count) => {
                        *written += count;
                        if *written == bytes.len() {
                            return Sign::Took;
                        }
                    }
                    Err(_) => {
                        self.stdin = None;
                        *bytes = Vec::new();
                        *written = 0;
                        return Sign::Deaf;
                    }
                },
                read = read(self.stdout.as_mut(), &mut *self.said), if self.stdout.is_some() => match read {
                    Some(count) => return Sign::Said(&self.said[..count]),
                    None => {
                        self.stdout = None;
                        return Sign::Mute;
                    }
                },
                read = read(self.stderr.as_mut(), &mut *self.complained), if self.stderr.is_some() => match read {
                    Some(count) => return Sign::Complained(&self.complained[..count]),
                    None => self.stderr = None,
                },
                ended = self.process.child.wait() => return Sign::Ended(ended),
            }
        }
    }

    /// What is left in its pipes; none when both are at their end. Others may hold them open. Cancel-safe.
    pub(super) async fn last_words(&mut self) -> Option<Sign<'_>> {
        loop {
            tokio::select! {
                read = read(self.stdout.as_mut(), &mut *self.said), if self.stdout.is_some() => match read {
                    Some(count) => return Some(Sign::Said(&self.said[..count])),
                    None => self.stdout = None,
                },
                read = read(self.stderr.as_mut(), &mut *self.complained), if self.stderr.is_some() => match read {
                    Some(count) => return Some(Sign::Complained(&self.complained[..count])),
                    None => self.stderr = None,
                },
                else => return None,
            }
        }
    }

    /// Waits until it has ended by itself. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.child.wait().await
    }

    /// Asks it to end, then makes it, and with it everything in its group.
    pub(super) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        self.process.end(TERM_PATIENCE).await
    }
}

async fn write(stdin: Option<&mut ChildStdin>, bytes: &[u8]) -> io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(bytes).await,
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// How much was read; none at the end, and where the pipe fails, which is the same.
async fn read<R: tokio::io::AsyncRead + Unpin>(pipe: Option<&mut R>, chunk: &mut [u8]) -> Option<usize> {
    match pipe?.read(chunk).await {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(count),
    }
}
