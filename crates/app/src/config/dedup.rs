//! The section `dedup`: what is known again, and when that is told of. Decides nothing.

use balefire_engine::DedupSettings;
use balefire_model::settings::{Reader, parse_duration};
use std::time::Duration;

/// A message about the same incident need not come more often.
const REALERT_AFTER_MIN: Duration = Duration::from_secs(1);

/// Reads the section.
pub(super) fn read_dedup(reader: &Reader<'_>) -> DedupSettings {
    let mut dedup = None;
    let doc = "Repeats: an incident with the fingerprint of one that is open and was seen a short while ago counts as that \
               one coming again.";
    reader.section("dedup", doc, |reader| dedup = Some(read(reader))).optional();
    dedup.expect("a section is read also where it is missing")
}

/// What a route says of repeats of what it takes, where it says something; `general` holds for all others.
pub(super) fn read_route_dedup(reader: &Reader<'_>, general: DedupSettings) -> Option<DedupSettings> {
    let doc = "Repeats of what it takes, where not all is to be as the section `dedup` says. Of several routes that take an \
               incident the first that has such a section counts.";
    reader.section("dedup", doc, |reader| read_own(reader, general)).optional()
}

fn read_own(reader: &Reader<'_>, general: DedupSettings) -> DedupSettings {
    let doc = "How long after it was last seen an incident is known again; `off`: each one is a new one.";
    let window = reader.parsed("window", doc, WINDOW, |text| or_word(text, "off"));
    let window = window.default_shown(general.window, "what `dedup` says");
    let realert_after = reader.duration("realert_after", REALERT_AFTER).optional();
    if window.is_none() && realert_after.is_some() {
        let allowed = "a `window` beside it, or no `realert_after`";
        reader.reject("realert_after", "can do nothing where no repeats are looked for", allowed);
    }
    let realert_after = realert_after.unwrap_or(general.realert_after);
    check_realert_after(reader, realert_after);
    DedupSettings { window, realert_after, resolve_after: general.resolve_after }
}

fn check_realert_after(reader: &Reader<'_>, realert_after: Duration) {
    if realert_after < REALERT_AFTER_MIN {
        reader.reject("realert_after", format!("found {realert_after:?}"), "1s or more");
    }
}

const WINDOW: &str = "a duration such as 10m, 60m or 24h, or off";
const REALERT_AFTER: &str = "How old the last message about an incident is when a repeat makes another one. A worse severity \
                             does at once, and so does controlled information that none before involved.";

fn read(reader: &Reader<'_>) -> DedupSettings {
    let usual = DedupSettings::default();
    let doc = "Whether repeats are looked for; `false` makes every incident a new one, also one that says that something is \
               over.";
    let enabled = reader.bool("enabled", doc).default(true);
    let doc = "How long after it was last seen an incident is known again; `off` is the same as `enabled: false`.";
    let window = reader.parsed("window", doc, WINDOW, |text| or_word(text, "off"));
    let window = window.default_shown(usual.window, "60m");
    let realert_after = reader.duration("realert_after", REALERT_AFTER).default_shown(usual.realert_after, "60m");
    check_realert_after(reader, realert_after);
    let doc = "An incident that was not seen for so long is resolved by itself; `never` leaves that to people and to events \
               that say so.";
    let form = "a duration such as 24h or 7d, or never";
    let resolve_after = reader.parsed("resolve_after", doc, form, |text| or_word(text, "never"));
    let resolve_after = resolve_after.default_shown(usual.resolve_after, "never");
    let window = window.filter(|_| enabled);
    DedupSettings { window, realert_after, resolve_after: resolve_after.filter(|_| window.is_some()) }
}

/// A duration; none for the word, and for nothing at all.
fn or_word(text: &str, word: &str) -> Option<Option<Duration>> {
    if text.trim().eq_ignore_ascii_case(word) {
        return Some(None);
    }
    parse_duration(text).map(|duration| Some(duration).filter(|duration| !duration.is_zero()))
}
