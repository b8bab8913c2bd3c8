//! The netlink sockets of the kernel's audit: one question, one record, or the stream of all records. Says what came back,
//! and which error; what that means is decided elsewhere.

use crate::audit::status::{self, DONE, GET, LIST_RULES, Message, Status, TRUSTED_APP};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{AUDIT, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with};
use std::time::Duration;

/// As much as one record can have: auditd's own limit is below it.
const DATAGRAM_BYTES_MAX: usize = 16 << 10;

/// The kernel answers within a millisecond; a look must end within a second.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(300);

/// Room for records between two looks, in bytes; the system may give less.
const ROOM_BYTES: usize = 8 << 20;

/// As many rules are listed; more are a mistake, and take longer than a look may.
const RULES_MAX: usize = 20_000;

/// `AUDIT_NLGRP_READLOG` as a bit.
const READLOG: u32 = 1;

/// What could not be done, and the system's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {error}")]
pub(crate) struct NetlinkError {
    /// The call.
    pub(crate) doing: &'static str,
    /// Its error.
    pub(crate) error: Errno,
}

fn at(doing: &'static str) -> impl Fn(Errno) -> NetlinkError {
    move |error| NetlinkError { doing, error }
}

fn open() -> Result<OwnedFd, NetlinkError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(AUDIT)).map_err(at("socket(NETLINK_AUDIT)"))
}

fn wait(socket: &OwnedFd) -> Result<(), NetlinkError> {
    let time = Timespec::try_from(ANSWER_TIME_MAX).expect("it is below a second");
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&time)) {
        Ok(0) => Err(NetlinkError { doing: "the answer of the kernel's audit", error: Errno::TIMEDOUT }),
        Ok(_) => Ok(()),
        Err(error) => Err(at("poll")(error)),
    }
}

/// Asks the kernel how audit stands.
pub(crate) fn ask() -> Result<Status, NetlinkError> {
    let doing = "AUDIT_GET";
    let socket = open()?;
    let request = status::request(GET, 1, &[]);
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(at(doing))?;
    let mut buffer = [0; 1024];
    // The acknowledgement comes first; the answer is sent by a thread of the kernel. Anything else is passed over.
    for _ in 0..8 {
        wait(&socket)?;
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty()).map_err(at(doing))?;
        match status::message(&buffer[..length]) {
            Some(Message::Ack(number)) if number != 0 => {
                return Err(at(doing)(Errno::from_raw_os_error(number)));
            }
            Some(Message::Other(GET, content)) => {
                return status::status(content).ok_or(at("an answer to AUDIT_GET that is too short")(Errno::PROTO));
            }
            _ => {}
        }
    }
    Err(at("an answer to AUDIT_GET that never comes")(Errno::PROTO))
}

/// The rules that are loaded, in their order, as the kernel writes them.
pub(crate) fn rules() -> Result<Vec<Vec<u8>>, NetlinkError> {
    let doing = "AUDIT_LIST_RULES";
    let socket = open()?;
    let request = status::request(LIST_RULES, 1, &[]);
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(at(doing))?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut rules = Vec::new();
    while rules.len() <= RULES_MAX {
        wait(&socket)?;
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty()).map_err(at(doing))?;
        match status::message(&buffer[..length]) {
            Some(Message::Ack(number)) if number != 0 => return Err(at(doing)(Errno::from_raw_os_error(number))),
            Some(Message::Other(LIST_RULES, content)) => rules.push(content.to_vec()),
            Some(Message::Other(DONE, _)) => return Ok(rules),
            _ => {}
        }
    }
    Err(at("an answer to AUDIT_LIST_RULES without an end")(Errno::OVERFLOW))
}

/// Writes a record. That it was taken is no proof that anybody writes it down.
pub(crate) fn write(text: &str) -> Result<(), NetlinkError> {
    let doing = "AUDIT_TRUSTED_APP";
    let socket = open()?;
    let mut content = text.as_bytes().to_vec();
    content.push(0);
    let request = status::request(TRUSTED_APP, 1, &content);
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(at(doing))?;
    let mut buffer = [0; 1024];
    wait(&socket)?;
    let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty()).map_err(at(doing))?;
    match status::message(&buffer[..length]) {
        Some(Message::Ack(0)) => Ok(()),
        Some(Message::Ack(number)) => Err(at(doing)(Errno::from_raw_os_error(number))),
        _ => Err(at("an answer to AUDIT_TRUSTED_APP that is none")(Errno::PROTO)),
    }
}

/// All records, live and beside any daemon. The kernel waits for nobody here: what finds no room is dropped.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
}

impl Stream {
    /// Opens it, which asks for `CAP_AUDIT_READ`.
    pub(crate) fn open() -> Result<Stream, NetlinkError> {
        let socket = open()?;
        // More than the system's limit takes a right that we may not have, and less will do.
        if set_socket_recv_buffer_size_force(&socket, ROOM_BYTES).is_err() {
            set_socket_recv_buffer_size(&socket, ROOM_BYTES).map_err(at("SO_RCVBUF"))?;
        }
        bind(&socket, &SocketAddrNetlink::new(0, READLOG)).map_err(at("bind(AUDIT_NLGRP_READLOG)"))?;
        Ok(Stream { socket })
    }

    /// Gives each record that waits, at most so many, to `take`, with its type; whether some found no room before.
    pub(crate) fn drain(&self, max: usize, mut take: impl FnMut(u16, &[u8])) -> Result<bool, NetlinkError> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut has_dropped = false;
        for _ in 0..max {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    if let Some(Message::Other(kind, content)) = status::message(&buffer[..length]) {
                        take(kind, content);
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::NOBUFS) => has_dropped = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(at("recv(AUDIT_NLGRP_READLOG)")(error)),
            }
        }
        Ok(has_dropped)
    }
}
