//! Small file systems of their own that can be filled, emptied and made read-only. Knows nothing of who writes to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system in memory; unmounted at the end.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB, making the directory where there is none; none where this user may not mount.
    ///
    /// # Panics
    /// Where the directory cannot be made.
    #[must_use]
    pub fn mount(path: &Path, size_mib: usize) -> Option<SmallDisk> {
        fs::create_dir_all(path).expect("the directory is ours");
        let size = format!("size={size_mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "balefire"]).arg(path).output().ok()?;
        mounted.status.success().then(|| SmallDisk { path: path.to_owned() })
    }

    /// Fills what is left of it to the last byte with a file.
    ///
    /// # Panics
    /// Where the file cannot be made.
    pub fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).expect("the disk is ours");
        // Smaller and smaller, so that nothing is left.
        for size in [1 << 20, 1 << 12, 1] {
            while std::io::Write::write_all(&mut file, &vec![7; size]).is_ok() {}
        }
    }

    /// Removes that file.
    ///
    /// # Panics
    /// Where it was not filled.
    pub fn empty(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    /// Lets nobody write any more.
    ///
    /// # Panics
    /// Where a file is open for writing.
    pub fn make_read_only(&self) {
        self.remount("ro");
    }

    /// Lets everybody write again.
    ///
    /// # Panics
    /// Where the system refuses.
    pub fn make_writable(&self) {
        self.remount("rw");
    }

    /// Lets it have no more than so many files.
    ///
    /// # Panics
    /// Where it has more, or the system refuses.
    pub fn limit_files(&self, count: u32) {
        self.remount(&format!("nr_inodes={count}"));
    }

    fn remount(&self, mode: &str) {
        let output = Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(&self.path).output();
        let output = output.expect("mount can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still being killed may hold it for a moment.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}
