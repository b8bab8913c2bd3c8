//! Whether a file system itself is read-only, or only our own view of it: units with `ProtectSystem=strict` see all but
//! their own directories so, and everybody else goes on writing.

use rustix::fs::{major, minor, stat};
use std::fs;
use std::path::Path;

/// Whether nobody can write to the file system of this path; none where the table of mounts does not say.
pub(crate) fn is_read_only(path: &Path) -> Option<bool> {
    let device = stat(path).ok()?.st_dev;
    of(&fs::read_to_string("/proc/self/mountinfo").ok()?, (major(device), minor(device)))
}

/// The options of the file system stand last in its line, those of the mount before them (proc_pid_mountinfo(5)).
fn of(table: &str, (major, minor): (u32, u32)) -> Option<bool> {
    let device = format!("{major}:{minor}");
    let line = table.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    let options = line.rsplit_once(" - ")?.1.split(' ').nth(2)?;
    Some(options.split(',').any(|option| option == "ro"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_only_for_us_alone_is_not_read_only() {
        let table = "36 35 254:1 / / ro,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n\
                     37 36 254:2 / /var/log\\040old ro,relatime - ext4 /dev/vda2 ro\n\
                     38 36 0:30 / /srv rw - btrfs /dev/vda3 rw,root=1\n";
        assert_eq!((of(table, (254, 1)), of(table, (254, 2))), (Some(false), Some(true)));
        assert_eq!((of(table, (0, 30)), of(table, (0, 31)), of("", (0, 30))), (Some(false), None, None));
    }

    #[test]
    fn the_directory_of_a_test_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_ne!(is_read_only(dir.path()), Some(true));
    }
}
