//! Who may do what with a file beyond its mode: its POSIX ACL, and the attributes that keep it from being changed. The ACL asks
//! for no right but to reach the path; the attributes for that to read the file.

use rustix::fs::{IFlags, Mode, OFlags, getxattr, ioctl_getflags, open};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// An ACL is hardly longer than the first, and no attribute longer than the second (`XATTR_SIZE_MAX`).
const ACL_BYTES: usize = 512;
const ACL_BYTES_MAX: usize = 64 << 10;

/// The attribute that has it.
const ACL: &str = "system.posix_acl_access";

/// As many entries are kept.
const ENTRIES_MAX: usize = 1000;

/// What an ACL gives one user or group by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) is_group: bool,
    pub(crate) id: u32,
    /// Read 4, write 2, execute 1, as far as the mask leaves them.
    pub(crate) bits: u32,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) acl: Vec<Entry>,
    /// Append-only, and immutable (`chattr +a`, `+i`); none where that cannot be told.
    pub(crate) kept: Option<(bool, bool)>,
}

/// Reads it.
pub(crate) fn access(path: &Path) -> io::Result<Access> {
    Ok(Access { acl: acl(path)?, kept: attributes(path) })
}

fn acl(path: &Path) -> io::Result<Vec<Entry>> {
    let mut bytes = vec![0; ACL_BYTES];
    let mut found = getxattr(path, ACL, &mut bytes[..]);
    if found == Err(Errno::RANGE) {
        bytes.resize(ACL_BYTES_MAX, 0);
        found = getxattr(path, ACL, &mut bytes[..]);
    }
    match found {
        Ok(length) => entries(&bytes[..length])
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its ACL has an unknown form")),
        // No ACL, or a file system that knows none.
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The named users and groups of an ACL as the kernel gives it (acl(5), `linux/posix_acl_xattr.h`): a version, then a tag,
/// bits and a number each, little endian.
fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != 2 || rest.len() % 8 != 0 {
        return None;
    }
    let all = rest.chunks_exact(8).map(|entry| {
        let short = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        (short(0), short(2), u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]))
    });
    let (user, group, mask) = (0x02, 0x08, 0x10);
    let masked = all.clone().find(|(tag, ..)| *tag == mask).map_or(7, |(_, bits, _)| bits);
    let named = all.filter(|(tag, ..)| *tag == user || *tag == group);
    let entry = |(tag, bits, id)| Entry { is_group: tag == group, id, bits: bits & masked };
    Some(named.map(entry).take(ENTRIES_MAX).collect())
}

fn attributes(path: &Path) -> Option<(bool, bool)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    // A file that may not be read is told by whoever reads it; a file system without attributes has none to lose.
    let file = open(path, flags, Mode::empty()).ok()?;
    let flags = ioctl_getflags(&file).ok()?;
    Some((flags.contains(IFlags::APPEND), flags.contains(IFlags::IMMUTABLE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acl_gives_what_its_mask_leaves() {
        let entry = |tag: u8, bits: u8, id: u8| [tag, 0, bits, 0, id, 0, 0, 0];
        let acl = |mask| {
            let all = [entry(1, 6, 255), entry(2, 6, 5), entry(4, 4, 255), entry(8, 4, 7), entry(0x10, mask, 255)];
            let bytes: Vec<u8> = [2, 0, 0, 0].into_iter().chain(all.concat()).chain(entry(0x20, 0, 255)).collect();
            entries(&bytes).unwrap()
        };
        let user = |bits| Entry { is_group: false, id: 5, bits };
        let group = |bits| Entry { is_group: true, id: 7, bits };
        assert_eq!(acl(6), [user(6), group(4)]);
        assert_eq!(acl(2), [user(2), group(0)]);
        assert_eq!((entries(&[3, 0, 0, 0]), entries(&[2, 0, 0, 0, 1]), entries(b"")), (None, None, None));
    }

    #[test]
    fn an_acl_that_is_longer_than_most_is_read_to_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let entries: Vec<String> = (5000..5100).map(|user| format!("user:{user}:r")).collect();
        let mut setfacl = std::process::Command::new("setfacl");
        let status = setfacl.arg("-m").arg(entries.join(",")).arg(file.path()).status();
        // A file system without ACLs has nothing to read.
        if status.expect("install the Debian package acl, or run scripts/test").success() {
            assert_eq!(access(file.path()).unwrap().acl.len(), 100);
        }
    }

    #[test]
    fn a_file_without_an_acl_has_no_entries() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(access(file.path()).unwrap().acl, []);
    }
}
