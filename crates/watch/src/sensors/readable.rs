//! Which right lets us read a path that we may not: the least one that a unit can give.

use super::accounts;
use rustix::fs::{Access, Stat, access, stat};
use std::path::Path;

/// The group of what stands in the way, where its group may read, else the capability that reads everything. A directory on
/// the way is the first thing that stands there.
pub(crate) fn right(path: &Path) -> String {
    let mut ways: Vec<&Path> = path.ancestors().filter(|way| !way.as_os_str().is_empty()).collect();
    ways.reverse();
    let is_closed = |way: &&Path| access(*way, Access::EXEC_OK).is_err();
    let directory = ways.iter().rev().skip(1).rev().copied().find(is_closed);
    let (closed, bit) = directory.map_or((path, 0o040), |directory| (directory, 0o010));
    let group = stat(closed).ok().and_then(|stat| group(&stat, bit));
    group.map_or_else(|| "CAP_DAC_READ_SEARCH".to_owned(), |group| format!("the group {group}"))
}

/// The group, where it may and is nobody's with every right.
fn group(stat: &Stat, bit: u32) -> Option<String> {
    if stat.st_mode & bit == 0 {
        return None;
    }
    accounts::group_name(stat.st_gid).ok().flatten().filter(|group| group != "root")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn the_group_is_enough_where_it_may_read_and_only_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "x").unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        // Group 4 is `adm` wherever there is one; only root may give a file away.
        let adm = accounts::group_name(4).unwrap();
        if let (Some(adm), Ok(())) = (adm, chown(&path, None, Some(4))) {
            mode(0o640);
            assert_eq!(right(&path), format!("the group {adm}"));
        }
        mode(0o600);
        assert_eq!(right(&path), "CAP_DAC_READ_SEARCH");
    }
}
