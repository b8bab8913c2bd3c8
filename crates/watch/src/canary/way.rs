//! The ways of a canary: into the kernel's audit, into the local socket of syslog or of the journal, into our own listener.

use super::Settings;
use super::detector::Stands;
use super::http;
use crate::kernel::{daemon, holders};
use crate::sensors::netlink;
use crate::sensors::process;
use rustix::io::Errno;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// So long a socket may be full; a look must end within a second.
const ROOM_WITHIN: Duration = Duration::from_millis(250);

/// Which way it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Audit,
    Syslog,
    Journal,
    Http,
}

impl Via {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Via::Audit => "audit",
            Via::Syslog => "syslog",
            Via::Journal => "journal",
            Via::Http => "http",
        }
    }
}

/// What became of the sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// It was taken, which proves nothing yet.
    Sent,
    /// The way itself is broken: that is a canary that does not arrive.
    Refused(String),
    /// Nobody takes what is sent: a program that waits, hangs.
    Full(String),
    /// We lack a right.
    Blind { why: String, cure: String },
}

/// Sends one.
pub(crate) fn send(settings: &Settings, text: &str, nonce: &str) -> Sending {
    match settings.via {
        Via::Audit => audit(text),
        // One line of facility `daemon`, severity `info`, as `logger` writes it.
        Via::Syslog => local(settings, &format!("<30>balefire[{}]: {text}", process::own())),
        Via::Journal => local(settings, &entry(text, nonce)),
        Via::Http => match http::post(&settings.url, settings.token.as_ref(), &http::incident(nonce)) {
            Ok(()) => Sending::Sent,
            Err(error) => Sending::Refused(error.to_string()),
        },
    }
}

fn audit(text: &str) -> Sending {
    let Err(error) = netlink::write(text) else { return Sending::Sent };
    let cure = match error.error {
        Errno::PERM => "CAP_AUDIT_WRITE, in the machine's own namespace of processes",
        Errno::CONNREFUSED => "to run outside the user namespace (container) that it is in",
        Errno::AFNOSUPPORT => "AF_NETLINK in RestrictAddressFamilies of the unit, and CAP_AUDIT_WRITE",
        Errno::PROTONOSUPPORT => "a kernel with audit: without audit=0 on its command line",
        _ => return Sending::Refused(error.to_string()),
    };
    Sending::Blind { why: error.to_string(), cure: cure.to_owned() }
}

/// An entry in the journal's own form (systemd's "Native Journal Protocol"): the nonce is a field, by which it is found.
fn entry(text: &str, nonce: &str) -> String {
    format!("MESSAGE={text}\nPRIORITY=6\nSYSLOG_IDENTIFIER=balefire\n{NONCE}={nonce}\n")
}

/// The field of the journal that has the nonce.
pub(super) const NONCE: &str = "BALEFIRE_CANARY";

/// To the local socket.
fn local(settings: &Settings, line: &str) -> Sending {
    let path = settings.socket.display();
    let sent = UnixDatagram::unbound().and_then(|socket| {
        // A logger that hangs must not hang us; one that is only busy makes room meanwhile.
        socket.set_write_timeout(Some(ROOM_WITHIN))?;
        socket.send_to(line.as_bytes(), &settings.socket)
    });
    match sent {
        Ok(_) => Sending::Sent,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Sending::Blind { why: format!("write {path}: {error}"), cure: format!("the right to write to {path}") }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Sending::Full(format!("write {path}: nobody has taken it for {} ms", ROOM_WITHIN.as_millis()))
        }
        Err(error) => Sending::Refused(format!("write {path}: {error}")),
    }
}

/// How audit stands, where that is of interest.
pub(crate) fn audit_stands(via: Via) -> Option<Stands> {
    if via != Via::Audit {
        return None;
    }
    let rows = process::audit_rows().ok()?;
    let holders = holders(&rows, process::own(), process::name)?;
    let found = daemon(&holders, "auditd");
    let state = found.and_then(|holder| process::state(holder.row.port));
    Some(Stands {
        has_daemon: found.is_some(),
        daemon_runs: !matches!(state, Some('T' | 't')),
        is_on: netlink::ask().ok().map(|status| status.enabled > 0),
    })
}
