//! Which file it is: its inode, and a fingerprint of its first bytes, because inodes are used again. Knows no file
//! system.

use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// How many of a file's first bytes tell it from another with the same inode.
pub(super) const HEAD_BYTES_MAX: usize = 1024;

/// Where a file lives on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    pub device: u64,
    pub number: u64,
}

/// A file as the journal remembers it: `DEVICE:INODE:BYTES:DIGEST`, the digest of as many first bytes as were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub inode: Inode,
    pub head_bytes: usize,
    digest: String,
}

impl Identity {
    /// `head` are the file's first bytes; those before `offset` count, because only they are known to be final.
    pub(super) fn new(inode: Inode, head: &[u8], offset: u64) -> Identity {
        let head_bytes = usize::try_from(offset).unwrap_or(usize::MAX).min(head.len()).min(HEAD_BYTES_MAX);
        Identity { inode, head_bytes, digest: digest(&head[..head_bytes]) }
    }

    pub(super) fn parse(text: &str) -> Option<Identity> {
        let mut parts = text.split(':');
        let device = u64::from_str_radix(parts.next()?, 16).ok()?;
        let number = parts.next()?.parse().ok()?;
        let head_bytes = parts.next()?.parse().ok().filter(|bytes| *bytes <= HEAD_BYTES_MAX)?;
        let digest = parts.next()?.to_owned();
        parts.next().is_none().then_some(Identity { inode: Inode { device, number }, head_bytes, digest })
    }

    /// Whether a file that begins with `head` can be this one.
    pub(super) fn begins(&self, head: &[u8]) -> bool {
        head.get(..self.head_bytes).is_some_and(|head| digest(head) == self.digest)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}:{}:{}", self.inode.device, self.inode.number, self.head_bytes, self.digest)
    }
}

/// Half of SHA-256, in hexadecimal.
fn digest(head: &[u8]) -> String {
    Sha256::digest(head).iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INODE: Inode = Inode { device: 0xfd00, number: 42 };

    #[test]
    fn what_is_printed_is_read_back() {
        for (head, offset) in [(&b""[..], 0), (b"{}\n", 3), (&[b'x'; 1024], 9000)] {
            let identity = Identity::new(INODE, head, offset);
            assert_eq!(Identity::parse(&identity.to_string()), Some(identity));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for text in ["", "1:2:3", "1:2:3:4:5", "x:2:3:4", "1:2:2000:4", "1:-2:3:4"] {
            assert_eq!(Identity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_bytes_before_the_offset_count() {
        let identity = Identity::new(INODE, b"one\nhalf", 4);
        assert!(identity.begins(b"one\nanother end"));
        assert!(!identity.begins(b"two\nhalf"));
        assert!(!identity.begins(b"one"));
    }
}
