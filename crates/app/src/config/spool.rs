//! The section `spool`: where what `balefire sendmail` could not hand over waits for us.

use balefire_model::settings::Reader;
use std::path::{Path, PathBuf};

/// The spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spool {
    /// The directory.
    pub(crate) path: PathBuf,
}

/// Reads the section.
pub(super) fn read_spool(reader: &Reader<'_>, data: &Path) -> Spool {
    let mut path = None;
    let doc = "Where `balefire sendmail` leaves what it could not hand over; it is taken in every two seconds.";
    let section = |reader: &Reader<'_>| {
        let doc = "The directory; `spool` in the data directory if not set. Users that may not open the socket need one \
                   that they may write in: `install -d -o balefire -g balefire -m 3733 /var/spool/balefire`.";
        path = reader.text("path", doc).optional();
    };
    reader.section("spool", doc, section).optional();
    Spool { path: path.map_or_else(|| data.join("spool"), PathBuf::from) }
}
