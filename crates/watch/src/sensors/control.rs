//! A question to a program's control socket, answered in lines until one with a single dot.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// So long may each read and write take, and so much may be said.
const PATIENCE: Duration = Duration::from_millis(400);
const ANSWER_MAX: usize = 8 << 20;

/// Asks, and gives the answer without its last line.
///
/// # Errors
/// Where nobody answers; `InvalidData` where the answer has no end.
pub(crate) fn ask(socket: &Path, question: &str) -> io::Result<String> {
    // One that stands still has its queue of connections full after a while, and a call that waits would wait for ever.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let handle = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&handle, &SocketAddrUnix::new(socket)?)?;
    let mut stream = UnixStream::from(handle);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(question.as_bytes())?;
    stream.write_all(b"\n")?;
    let mut answer = Vec::new();
    let mut page = [0; 16 << 10];
    while !answer.ends_with(b"\n.\n") && answer != b".\n" {
        let read = stream.read(&mut page)?;
        answer.extend_from_slice(&page[..read]);
        if read == 0 || answer.len() > ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without an end"));
        }
    }
    answer.truncate(answer.len() - 2);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
