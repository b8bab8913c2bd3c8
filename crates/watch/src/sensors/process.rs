//! `/proc`: who has audit sockets, what a process is called and whether it runs, and where we are ourselves.

use crate::audit::rows::{Row, rows};
use std::fs;
use std::io;

/// The initial namespace of process ids has this number since Linux 3.8.
const INITIAL_PIDS: &str = "pid:[4026531836]";

/// The audit sockets of this network namespace.
pub(crate) fn audit_rows() -> io::Result<Vec<Row>> {
    Ok(rows(&fs::read_to_string("/proc/net/netlink")?))
}

/// What a process is called; none where it is gone or hidden from us.
pub(crate) fn name(pid: u64) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// How it is: `R`, `S`, `D`, `T` and so on; none where it is gone or hidden from us.
pub(crate) fn state(pid: u64) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, also parentheses.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The number of this process, by which its own sockets are told from others.
pub(crate) fn own() -> u64 {
    u64::from(std::process::id())
}

/// The file of this program, by which its own records are told from others.
pub(crate) fn program() -> Option<String> {
    let path = fs::read_link("/proc/self/exe").ok()?.to_string_lossy().into_owned();
    // An upgrade has put another file in its place.
    Some(path.strip_suffix(" (deleted)").map_or(path.clone(), str::to_owned))
}

/// Whether we are in a container, where the audit sockets of the machine cannot be seen.
pub(crate) fn is_contained() -> bool {
    let link = |path: &str| fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).ok();
    if link("/proc/self/ns/pid").is_some_and(|own| own != INITIAL_PIDS) {
        return true;
    }
    // The first process's link cannot be read without rights; then nothing speaks for a container.
    matches!((link("/proc/self/ns/net"), link("/proc/1/ns/net")), (Some(own), Some(first)) if own != first)
}

/// The number of this start of the machine.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// How many bytes may wait at a socket that asked for no other number.
pub(crate) fn socket_room() -> Option<u64> {
    fs::read_to_string("/proc/sys/net/core/rmem_default").ok()?.trim().parse().ok()
}

/// What this machine is called.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
