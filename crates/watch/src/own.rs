//! The kind `self`: whether Balefire itself can take in, show and tell, and whether anybody outside would notice if it could
//! not. Always there; only the watch from outside must be asked for. Judges what the application says of itself.

mod outside;

pub use outside::{Outward, Peer, withholds};

use crate::capacity;
use crate::look::{Failure, Look, Moment};
use crate::watcher::{Around, Kind, Own, Plan, Watched, Watcher};
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::{cut, one_line};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KIND: Kind = Kind { key: "self", read };

/// A view that is so many records behind for so long does not catch up.
const BEHIND_MAX: u64 = 10_000;
const BEHIND_FOR: Duration = Duration::from_secs(60);
/// It has caught up where it is this near.
const CAUGHT_UP: u64 = 1_000;

fn read(reader: &Reader<'_>) -> Vec<Watched> {
    let doc = "Balefire itself: its journal, its view, its channels and its disk are always watched.";
    let outside = reader.section("self", doc, read_outside).optional().flatten();
    let every = Duration::from_secs(1);
    let part = |name: &str, target: &str, part: Part| Watched {
        name: format!("self.{name}"),
        kind: KIND.key,
        target: target.to_owned(),
        every,
        under: Vec::new(),
        plan: Arc::new(part),
    };
    let disk = Watched { every: Duration::from_secs(5), ..part("disk", "the data directory", Part::Disk) };
    let mut watched = vec![
        part("journal", "the journal", Part::Journal),
        part("view", "the view", Part::View),
        part("channels", "all channels", Part::Channels),
        disk,
    ];
    watched.extend(outside.map(|outside| {
        let target = match &outside {
            Part::Sent(_, place) => format!("heartbeats to {place}"),
            _ => "/readyz and /healthz".to_owned(),
        };
        part("outside", &target, outside)
    }));
    watched
}

fn read_outside(reader: &Reader<'_>) -> Option<Part> {
    let doc = "The watch from outside, so that it is noticed when Balefire is not there: with `url` it sends heartbeats, without it \
               somebody must ask /readyz or /healthz: another Balefire, a monitor, a load balancer.";
    let read = |reader: &Reader<'_>| match outside::read(reader) {
        (Some(peer), _) => Part::Sent(peer.every, peer.place()),
        (None, every) => Part::Asked(every),
    };
    reader.section("outside", doc, read).optional()
}

/// One thing about Balefire.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Journal,
    View,
    Channels,
    Disk,
    /// That somebody has asked for so long.
    Asked(Duration),
    /// That our heartbeats arrive: how often they go, and where.
    Sent(Duration, String),
}

impl Plan for Part {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(Watching { part: self.clone(), first: None, behind: None, room: None })
    }
}

struct Watching {
    part: Part,
    first: Option<Moment>,
    /// Since when the view is far behind.
    behind: Option<Moment>,
    /// Looks at the disk, as soon as it is known which.
    room: Option<Box<dyn Watcher>>,
}

impl Watcher for Watching {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let first = *self.first.get_or_insert(now);
        let Some(own) = around.own() else { return Look::unknown("no Balefire runs here that could be asked") };
        match &self.part {
            Part::Journal => journal(&own),
            Part::View => self.view(now, &own),
            Part::Channels => channels(&own),
            Part::Disk => self.disk(now, around, own),
            Part::Asked(every) => outside::asked(now, first, *every, &own),
            Part::Sent(every, place) => outside::sent(now, first, (*every, place), around.outward()),
        }
    }
}

impl Watching {
    fn view(&mut self, now: Moment, own: &Own) -> Look {
        let limit = if self.behind.is_some() { CAUGHT_UP } else { BEHIND_MAX };
        if own.view_behind < limit {
            self.behind = None;
            return Look::ok(format!("{} records behind the journal", own.view_behind));
        }
        let since = *self.behind.get_or_insert(now);
        if now.since(since) < BEHIND_FOR {
            return Look::unknown(format!("{} records behind the journal", own.view_behind));
        }
        let summary = format!("the view is {} records behind the journal (limit {BEHIND_MAX})", own.view_behind);
        let cure =
            "lists and `why` are old; alerts are not. See the log for its errors; balefire rebuild makes it anew";
        let failure = Failure::new("self.view_behind", Severity::Medium, summary).cured_by(cure).since(since.wall);
        Look::of(vec![failure], "")
    }

    fn disk(&mut self, now: Moment, around: &dyn Around, own: Own) -> Look {
        let Some(path) = own.data else { return Look::unknown("the data directory is not known") };
        self.room.get_or_insert_with(|| capacity::plan(path).begin(None)).look(now, around)
    }
}

fn journal(own: &Own) -> Look {
    let Some(fault) = &own.journal_fault else { return Look::ok("the journal takes records") };
    let fault = cut(&one_line(fault), 300).into_owned();
    let summary = format!("the journal takes nothing: {fault}");
    let cure = "every sender hears that nothing is accepted; mend the disk and start Balefire again";
    Look::of(
        vec![Failure::new("self.db_write_failed", Severity::Critical, summary).caused_by(fault).cured_by(cure)],
        "",
    )
}

fn channels(own: &Own) -> Look {
    let failing = own.channels_failing.len();
    if failing == 0 {
        return Look::ok(format!("none of {} channels fails", own.channels));
    }
    if failing < own.channels {
        // Each of them is an incident of its own, which goes out over the others.
        return Look::ok(format!("{} of {} channels work", own.channels - failing, own.channels));
    }
    let names = cut(&one_line(&own.channels_failing.join(", ")), 300).into_owned();
    let summary = format!("all {failing} channels fail: {names}");
    let cure = "nobody hears of anything: balefire channels says what each one answers";
    Look::of(vec![Failure::new("self.all_channels_failing", Severity::Critical, summary).cured_by(cure)], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Sight;
    use jiff::Timestamp;
    use std::path::PathBuf;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(seconds), wall }
    }

    struct Beside(Option<Own>);

    impl Around for Beside {
        fn source(&self, _: &str) -> Option<crate::watcher::Heard> {
            None
        }
        fn sources(&self) -> Vec<(String, crate::watcher::Heard)> {
            Vec::new()
        }
        fn nonce(&self) -> String {
            String::new()
        }
        fn own(&self) -> Option<Own> {
            self.0.clone()
        }
    }

    /// The ids that fail; none where it is well or nothing is known.
    fn failing(watcher: &mut dyn Watcher, now: u64, own: &Own) -> Vec<(String, Severity)> {
        match watcher.look(at(now), &Beside(Some(own.clone()))).sight {
            Sight::Failing(failures) => failures.into_iter().map(|failure| (failure.id, failure.severity)).collect(),
            _ => Vec::new(),
        }
    }

    fn one(id: &str, severity: Severity) -> Vec<(String, Severity)> {
        vec![(id.to_owned(), severity)]
    }

    #[test]
    fn a_journal_that_takes_nothing_is_critical() {
        let mut watcher = Part::Journal.begin(None);
        assert!(failing(&mut *watcher, 0, &Own::default()).is_empty());
        let own = Own { journal_fault: Some("No space left\n on device".to_owned()), ..Own::default() };
        assert_eq!(failing(&mut *watcher, 1, &own), one("self.db_write_failed", Severity::Critical));
    }

    #[test]
    fn one_channel_of_two_is_its_own_incident_and_all_are_ours() {
        let mut watcher = Part::Channels.begin(None);
        let own = |failing: &[&str]| Own {
            channels_failing: failing.iter().map(|name| (*name).to_owned()).collect(),
            channels: 2,
            ..Own::default()
        };
        assert!(failing(&mut *watcher, 0, &own(&["mail"])).is_empty());
        let all = own(&["mail", "chat"]);
        assert_eq!(failing(&mut *watcher, 1, &all), one("self.all_channels_failing", Severity::Critical));
    }

    #[test]
    fn a_view_that_catches_up_in_time_is_no_failure() {
        let mut watcher = Part::View.begin(None);
        let own = |view_behind| Own { view_behind, ..Own::default() };
        assert!(failing(&mut *watcher, 0, &own(50_000)).is_empty());
        assert!(failing(&mut *watcher, 59, &own(20_000)).is_empty());
        assert_eq!(failing(&mut *watcher, 60, &own(5_000)), one("self.view_behind", Severity::Medium));
        assert!(failing(&mut *watcher, 61, &own(10)).is_empty());
    }

    #[test]
    fn nobody_outside_is_told_after_the_time_that_was_set() {
        let mut watcher = Part::Asked(Duration::from_secs(300)).begin(None);
        let asked = |at_second: u64| Own { asked_from_outside: Some(at(at_second)), ..Own::default() };
        assert!(failing(&mut *watcher, 0, &Own::default()).is_empty());
        assert_eq!(failing(&mut *watcher, 301, &Own::default()), one("self.no_external_watch", Severity::Medium));
        assert!(failing(&mut *watcher, 302, &asked(302)).is_empty());
        assert_eq!(failing(&mut *watcher, 603, &asked(302)), one("self.no_external_watch", Severity::Medium));
    }

    #[test]
    fn the_disk_of_the_data_directory_is_looked_at() {
        let mut watcher = Part::Disk.begin(None);
        assert!(matches!(watcher.look(at(0), &Beside(None)).sight, Sight::Unknown { .. }));
        let at_path = |path: &str| Beside(Some(Own { data: Some(PathBuf::from(path)), ..Own::default() }));
        assert!(matches!(watcher.look(at(1), &at_path("/")).sight, Sight::Ok { .. } | Sight::Failing(_)));
        let mut elsewhere = Part::Disk.begin(None);
        assert!(matches!(elsewhere.look(at(0), &at_path("/does-not-exist")).sight, Sight::Blind { .. }));
    }
}
