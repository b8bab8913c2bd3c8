//! Takes the reading of the marker of an internal scan: what the file system says of it and of its directory, without
//! following links. Whether it counts is the engine's to say; that it does not is told once.

use balefire_engine::internal_scan::{Found, Inode, InternalScan, Marker, MarkerRule, Reading};
use jiff::Timestamp;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where users' names have their numbers.
const USERS: &str = "/etc/passwd";

/// The marker as it is looked at for each request, and what was last said about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanMarker {
    told: Arc<Mutex<Option<String>>>,
}

impl ScanMarker {
    /// What the marker comes to now; absent where none is configured.
    pub(crate) fn look(&self, scan: &InternalScan, now: Timestamp) -> Marker {
        let Some(rule) = &scan.marker else { return Marker::Absent };
        let marker = rule.judge(&reading(rule), now);
        let refused = match &marker {
            Marker::Refused(why) => Some(why.clone()),
            Marker::Absent | Marker::Counts => None,
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Its age grows with every look: what was said of this marker is said once.
        if let Some(why) = refused.as_ref().filter(|_| told.is_none()) {
            tracing::warn!(marker = rule.path, why, "the marker of an internal scan does not count");
        }
        *told = refused;
        marker
    }
}

fn reading(rule: &MarkerRule) -> Reading {
    match found(rule) {
        Ok(found) => Reading::Found(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Reading::Absent,
        Err(error) => Reading::Unreadable(error.to_string()),
    }
}

fn found(rule: &MarkerRule) -> io::Result<Found> {
    let path = Path::new(&rule.path);
    let file = fs::symlink_metadata(path)?;
    let directory = fs::symlink_metadata(path.parent().unwrap_or(Path::new("/")))?;
    let changed_at = Timestamp::try_from(file.modified()?).map_err(io::Error::other)?;
    Ok(Found {
        wanted_owner: user_id(&rule.owner)?,
        file: inode(&file, file.is_file()),
        directory: inode(&directory, directory.is_dir()),
        changed_at,
    })
}

fn inode(metadata: &Metadata, is_kind: bool) -> Inode {
    Inode { is_kind, owner: metadata.uid(), mode: metadata.mode() }
}

/// The number of a user; none where there is no such user.
fn user_id(owner: &str) -> io::Result<Option<u32>> {
    if owner == "root" {
        return Ok(Some(0));
    }
    if let Ok(number) = owner.parse() {
        return Ok(Some(number));
    }
    let users = fs::read_to_string(USERS)?;
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let is_owner = fields.next() == Some(owner);
        fields.nth(1).filter(|_| is_owner).and_then(|number| number.parse().ok())
    };
    Ok(users.lines().find_map(of_line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    fn rule(path: &Path, owner: &str) -> MarkerRule {
        MarkerRule { path: path.display().to_string(), owner: owner.to_owned(), max_age: Duration::from_secs(60) }
    }

    fn judge(path: &Path, owner: &str) -> Marker {
        rule(path, owner).judge(&reading(&rule(path, owner)), crate::clock::now())
    }

    #[test]
    fn a_reading_follows_no_link_and_knows_whose_the_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let own = fs::metadata(directory.path()).unwrap().uid().to_string();
        let path = directory.path().join("active");
        assert_eq!(judge(&path, &own), Marker::Absent);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(judge(&path, &own), Marker::Counts);
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(judge(&link, &own), Marker::Refused(why) if why.contains("link")));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(judge(&path, &own), Marker::Refused(why) if why.contains("mode 0777")));
        assert!(matches!(judge(&path, "nobody-of-this-name"), Marker::Refused(why) if why.contains("no such user")));
    }

    #[test]
    fn names_of_users_have_their_numbers() {
        assert_eq!(user_id("root").unwrap(), Some(0));
        assert_eq!(user_id("4711").unwrap(), Some(4711));
        assert_eq!(user_id("nobody-of-this-name").unwrap(), None);
        assert_eq!(user_id("daemon").unwrap(), Some(1));
    }
}
