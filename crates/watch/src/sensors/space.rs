//! Room of a file system, by `statvfs(3)`, which asks for no right but to reach the path.

use super::mounts;
use rustix::fs::{StatVfsMountFlags, statfs, statvfs};
use std::path::Path;

/// Room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// All bytes that a user without rights could use.
    pub(crate) bytes: u64,
    /// Those that are free for such a user.
    pub(crate) bytes_free: u64,
    /// All inodes; 0 where the file system has no fixed number of them.
    pub(crate) inodes: u64,
    /// Those that are free.
    pub(crate) inodes_free: u64,
    /// Nothing can be written.
    pub(crate) is_read_only: bool,
    /// It is gone when the machine is switched off.
    pub(crate) is_in_memory: bool,
}

/// The kinds of file systems that are in memory (`statfs(2)`): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Reads it.
pub(crate) fn space(path: &Path) -> rustix::io::Result<Space> {
    let stat = statvfs(path)?;
    // The kernel gives a number of 32 bits in a field that is wider on some machines.
    let kind = u64::try_from(statfs(path)?.f_type & 0xffff_ffff).unwrap_or(0);
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Ok(Space {
        // As df(1) counts: what is reserved for root is neither used nor to be had.
        bytes: used.saturating_add(stat.f_bavail).saturating_mul(stat.f_frsize),
        bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
        is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY) && mounts::is_read_only(path).unwrap_or(true),
        is_in_memory: IN_MEMORY.contains(&kind),
    })
}
