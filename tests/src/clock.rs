//! A clock of a server's own that a test sets: libfaketime stands between the process and the clock. Its monotonic clock
//! stays the machine's.

use crate::server::Site;
use std::fs;
use std::path::PathBuf;

/// Where Debian has libfaketime.
fn library() -> PathBuf {
    let places = fs::read_dir("/usr/lib").expect("there is a /usr/lib").flatten();
    let mut found = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).expect("install the Debian package faketime, or run scripts/test")
}

/// The site, whose servers follow a clock that [`set`] sets.
///
/// # Panics
/// Where libfaketime is not installed.
#[must_use]
pub fn with_own_clock(site: Site) -> Site {
    set(&site, 0);
    let file = site.path("clock").display().to_string();
    site.with_variable("LD_PRELOAD", &library().display().to_string())
        .with_variable("FAKETIME_TIMESTAMP_FILE", &file)
        .with_variable("FAKETIME_NO_CACHE", "1")
        // A machine's monotonic clock is never set.
        .with_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .with_variable("DONT_FAKE_MONOTONIC", "1")
        .with_variable("NO_FAKE_STAT", "1")
}

/// Sets the servers' clock so many seconds before or after the machine's. Whole, or not at all: the server reads it all
/// the time.
///
/// # Panics
/// Where the site's directory cannot be written.
pub fn set(site: &Site, seconds: i64) {
    let next = site.path("clock.next");
    fs::write(&next, format!("{seconds:+}\n")).expect("the clock is ours");
    fs::rename(next, site.path("clock")).expect("the clock is ours");
}
