//! Room of a file system, by `statvfs(3)`, which asks for no right but to reach the path.

use rustix::fs::{StatVfsMountFlags, statvfs};
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
}

/// Reads it.
pub(crate) fn space(path: &Path) -> rustix::io::Result<Space> {
    let stat = statvfs(path)?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Ok(Space {
        // As df(1) counts: what is reserved for root is neither used nor to be had.
        bytes: used.saturating_add(stat.f_bavail).saturating_mul(stat.f_frsize),
        bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
        is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}
