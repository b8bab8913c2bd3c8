//! What a channel says about many deliveries at once: `storm`, `stale` and `digest`. Decides nothing.

use balefire_engine::{Digest, Stale, Storm};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use std::time::Duration;

/// The three settings.
#[derive(Debug)]
pub(crate) struct Gathering {
    pub(crate) storm: Option<Storm>,
    pub(crate) stale: Stale,
    pub(crate) digest: Option<Digest>,
}

/// The severities that may be told of together: never critical.
const SEVERITIES: [(&str, Severity); 4] =
    [("info", Severity::Info), ("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High)];

pub(crate) fn read_gathering(reader: &Reader<'_>) -> Gathering {
    let mut storm = None;
    let doc = "When more wait than people can read: those up to a severity become one message with counts. Critical ones \
               always go out one by one. Off if not set.";
    reader.section("storm", doc, |reader| storm = Some(read_storm(reader))).optional();
    let mut stale = None;
    let doc = "What becomes of the backlog when the channel works again after an outage.";
    reader.section("stale", doc, |reader| stale = Some(read_stale(reader))).optional();
    let mut digest = None;
    let doc = "One message a day for what is not urgent, caught up after downtime. Off if not set.";
    reader.section("digest", doc, |reader| digest = Some(read_digest(reader))).optional();
    Gathering {
        storm: storm.filter(|_| reader.node("storm").is_some()),
        stale: stale.expect("a section is read also where it is missing"),
        digest: digest.flatten().filter(|_| reader.node("digest").is_some()),
    }
}

fn read_storm(reader: &Reader<'_>) -> Storm {
    let doc = "So many deliveries waiting for the channel are a storm.";
    let above = reader.parsed("above", doc, "a number from 2 to 1000000", |text| {
        text.parse().ok().filter(|above| (2..=1_000_000).contains(above))
    });
    let above = above.default_shown(100, "100");
    let every = reader.duration("every", "The time from one summary to the next.");
    let every = every.default_shown(Duration::from_secs(300), "5m");
    let up_to = reader.one_of("up_to", "The highest severity that is told of together.", &SEVERITIES);
    Storm { above, every, up_to: up_to.default_shown(Severity::Low, "low") }
}

fn read_stale(reader: &Reader<'_>) -> Stale {
    #[derive(Clone, Copy)]
    enum Word {
        All,
        Digest,
        OpenOnly,
    }
    let words = [("all", Word::All), ("digest", Word::Digest), ("open-only", Word::OpenOnly)];
    let doc = "`all`: everything goes out, the worst first. `digest`: what is old becomes one message with ages; critical \
               ones go out one by one. `open-only`: what was resolved before it went out does not go out.";
    let word = reader.one_of("policy", doc, &words).default_shown(Word::All, "all");
    let doc = "How old a delivery must be for `digest`.";
    let after = reader.duration("after", doc).default_shown(Duration::from_secs(3600), "1h");
    match word {
        Word::All => Stale::All,
        Word::Digest => Stale::Digest(after),
        Word::OpenOnly => Stale::OpenOnly,
    }
}

fn read_digest(reader: &Reader<'_>) -> Option<Digest> {
    let at = reader.parsed("at", "When, by the clock of `zone`.", "a time such as 08:00", |text| {
        let form = text.len() == 5 && text.as_bytes()[2] == b':';
        text.parse::<Time>().ok().filter(|_| form).map(Some)
    });
    let at = at.required(None);
    let doc = "The time zone, by its IANA name.";
    let zone = reader.parsed("zone", doc, "a name such as Europe/Berlin or UTC", |text| TimeZone::get(text).ok());
    let zone = zone.default_shown(TimeZone::UTC, "UTC");
    let up_to =
        reader.one_of("up_to", "The highest severity that waits for it; the others go out at once.", &SEVERITIES);
    let up_to = up_to.default_shown(Severity::Medium, "medium");
    at.map(|at| Digest { at, zone, up_to })
}
