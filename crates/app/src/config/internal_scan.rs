//! The section `internal_scan`: when incidents count as the doing of a security scan of our own. Looks at no marker.

use super::intervals::{ConfiguredInterval, read_interval_names};
use balefire_engine::internal_scan::{InternalScan, MarkerRule};
use balefire_model::settings::Reader;
use std::time::Duration;

/// A scan that takes longer begins anew, or is one that nobody ended.
const MAX_AGE: Duration = Duration::from_secs(4 * 60 * 60);

/// Reads the section.
pub(super) fn read_internal_scan(reader: &Reader<'_>, intervals: &[ConfiguredInterval]) -> InternalScan {
    let doc = "When incidents count as the doing of a security scan of your own: they are marked `[INTERNAL SCAN]`, and \
               routes may ask for `internal_scan = true`. A sender cannot mark its own.";
    reader.section("internal_scan", doc, |reader| read(reader, intervals)).optional().unwrap_or_default()
}

fn read(reader: &Reader<'_>, intervals: &[ConfiguredInterval]) -> InternalScan {
    let doc = "A file that a scanner puts down while it works. It counts where it is a regular file of `owner` or of root, \
               younger than `max_age`, and neither it nor its directory may be written by others; else a warning says why \
               it does not.";
    let marker = reader.section("marker", doc, read_marker).optional();
    let doc = "Time intervals in which scans are made, by name.";
    let windows = read_interval_names(reader, "windows", doc, intervals);
    let doc = "Sources, such as a token's name, that may say so themselves with the label `internal_scan: \"true\"`.";
    let sources = reader.texts("sources", doc).optional().unwrap_or_default();
    InternalScan { marker, windows, sources }
}

fn read_marker(reader: &Reader<'_>) -> MarkerRule {
    let form = "a whole path such as /run/balefire/scan-active";
    let path = reader.parsed("path", "The file.", form, |text| {
        (text.len() > 1 && text.starts_with('/') && !text.ends_with('/')).then(|| text.to_owned())
    });
    let path = path.required("/run/balefire/scan-active".to_owned());
    let form = "a user's name of /etc/passwd, or its number";
    let doc = "Whose the file and its directory may be, beside root's.";
    let owner = reader.parsed("owner", doc, form, |text| (!text.trim().is_empty()).then(|| text.trim().to_owned()));
    let owner = owner.default("root".to_owned());
    let doc = "How long after its last change the file counts; a scanner that works longer touches it again.";
    let max_age = reader.duration("max_age", doc).default_shown(MAX_AGE, "4h");
    MarkerRule { path, owner, max_age }
}
