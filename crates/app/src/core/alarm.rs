//! The last resort, when no channel can carry an alarm: our own log, and the local syslog, which the console and whoever
//! watches the machine read. Never waits and never fails the caller.

use std::os::unix::net::UnixDatagram;

/// Where the local syslog listens.
const SOCKET: &str = "/dev/log";

/// Facility authpriv (10), severity alert (1): RFC 3164, section 4.1.1.
const PRIORITY: u8 = 10 * 8 + 1;

/// Says it wherever somebody may look.
pub(crate) fn raise(text: &str) {
    let text = balefire_model::text::one_line(text);
    tracing::error!(alarm = %text, "no channel can carry this");
    if let Err(error) = to_syslog(&text) {
        // Many machines have no syslog; that one more way is closed does not stop anything.
        tracing::debug!(%error, socket = SOCKET, "the local syslog did not take it");
    }
}

fn to_syslog(text: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    let line = format!("<{PRIORITY}>balefire[{}]: ALARM {text}", std::process::id());
    socket.send(line.as_bytes()).map(|_| ())
}
