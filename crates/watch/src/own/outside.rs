//! The watch from outside: heartbeats that Balefire sends to somebody who would miss them, or that somebody asks whether it is
//! well. Decides when a heartbeat is withheld and when one that does not arrive is told; sends nothing.

use crate::look::{Failure, Look, Moment};
use crate::watcher::Own;
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::{Secret, cut, one_line};
use std::path::PathBuf;
use std::time::Duration;

/// How often a heartbeat goes out, and how long nobody may have asked.
const SENT_EVERY: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_secs(300);

/// So many in a row must not arrive until that is told.
const FAILURES: u32 = 3;

/// How much later than it should one may arrive, at the most.
const GRACE_MAX: Duration = Duration::from_secs(300);

/// Between two tries while they do not arrive.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(20);

/// Somebody who waits for our heartbeats.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where they go; its path may be all that protects it.
    pub url: Secret,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// How often.
    pub every: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// Own certificate authorities, PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

impl Peer {
    /// The section `self.outside`; `None` where it names nobody.
    pub fn read(reader: &Reader<'_>) -> Option<Peer> {
        read(reader).0
    }

    /// Its host and port, for people.
    #[must_use]
    pub fn place(&self) -> String {
        authority(self.url.expose()).map_or_else(|| "nowhere".to_owned(), |host| cut(&one_line(host), 200).into_owned())
    }
}

/// Who is told, and how long nobody may have asked where nobody is.
pub(super) fn read(reader: &Reader<'_>) -> (Option<Peer>, Duration) {
    let doc = "How often a heartbeat goes to `url`: 60s if not set. Without `url`: how long it may be that nobody has asked, 5m if \
               not set; then it is `self.no_external_watch`.";
    let every = reader.duration("every", doc).optional();
    if every.is_some_and(|every| every < Duration::from_secs(1)) {
        reader.reject("every", "found less than a second", "1s or more");
    }
    let doc = "Where Balefire sends heartbeats while its journal takes records and a channel works: \
               `https://PEER/api/v1/heartbeat/ID` of another Balefire, or the address that a service such as healthchecks.io gives. \
               A text or `{file: PATH}`.";
    let url = reader.secret("url", doc).optional();
    let token = reader.secret("token", "A bearer token for it, such as another Balefire asks for.").optional();
    let second = Duration::from_secs(1);
    let timeout = reader.duration("timeout", "How long one may take.").default_shown(10 * second, "10s");
    let connect_timeout =
        reader.duration("connect_timeout", "How long to wait for a connection.").default_shown(5 * second, "5s");
    let doc = "A PEM file of certificate authorities to trust instead of the system's.";
    let ca_file = reader.text("ca_file", doc).optional().map(PathBuf::from);
    // What was found is not shown: it may be a secret.
    if url.as_ref().is_some_and(|url| authority(url.expose()).is_none()) {
        let what = "this is no address that a heartbeat can go to";
        reader.reject("url", what, "http://HOST/... or https://HOST/..., with no user in it and no spaces");
    }
    if token.as_ref().is_some_and(|token| !is_visible(token.expose())) {
        reader.reject("token", "it is empty or has characters that a header cannot carry", "visible ASCII characters");
    }
    let sent = every.unwrap_or(SENT_EVERY);
    let peer = url.map(|url| Peer { url, token, every: sent, timeout, connect_timeout, ca_file });
    (peer, every.unwrap_or(ASKED_EVERY))
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Host and port of an address.
fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    (is_visible(url) && !authority.is_empty() && !authority.contains('@')).then_some(authority)
}

/// What became of our heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outward {
    /// When the last one arrived.
    pub arrived: Option<Moment>,
    /// How many in a row did not, and why.
    pub failures: u32,
    /// Why the last one did not arrive.
    pub why: String,
    /// Why none is sent, where none is.
    pub withheld: Option<String>,
}

impl Outward {
    /// How long to rest until the next one.
    #[must_use]
    pub fn rest(&self, every: Duration) -> Duration {
        match self.failures == 0 && self.withheld.is_none() {
            true => every,
            false => (every / 2).clamp(RETRY_MIN, RETRY_MAX),
        }
    }
}

/// Why no heartbeat is sent: whoever waits for one is to tell that we are not well.
#[must_use]
pub fn withholds(own: &Own) -> Option<String> {
    let all_fail = own.channels > 0 && own.channels_failing.len() >= own.channels;
    match &own.journal_fault {
        Some(fault) => Some(format!("the journal takes nothing: {}", cut(&one_line(fault), 300))),
        None => all_fail.then(|| "all channels fail".to_owned()),
    }
}

/// Whether our heartbeats arrive.
pub(super) fn sent(now: Moment, first: Moment, (every, place): (Duration, &str), outward: Option<Outward>) -> Look {
    let Some(outward) = outward else { return Look::unknown("no heartbeat was sent yet") };
    if let Some(why) = outward.withheld {
        return Look::unknown(format!("heartbeats to {place} are withheld: {why}"));
    }
    let since = outward.arrived.unwrap_or(first);
    let is_late = now.since(since) >= every.saturating_add(every.min(GRACE_MAX));
    match outward.arrived {
        _ if outward.failures >= FAILURES && is_late => {
            let why = cut(&one_line(&outward.why), 300).into_owned();
            let summary = format!("heartbeats to {place} have not arrived for {} s: {why}", now.since(since).as_secs());
            let cure = "see whether its address and token are right and it can be reached; whoever waits for them takes us for dead";
            let failure = Failure::new("self.outside_failing", Severity::Medium, summary).caused_by(why);
            Look::of(vec![failure.cured_by(cure).since(since.wall)], "")
        }
        Some(arrived) if outward.failures == 0 => Look::ok(format!("{place} took a heartbeat at {:.0}", arrived.wall)),
        _ => Look::unknown(format!("the last heartbeat to {place} did not arrive; trying again")),
    }
}

/// Whether somebody asks.
pub(super) fn asked(now: Moment, first: Moment, every: Duration, own: &Own) -> Look {
    let since = own.asked_from_outside.unwrap_or(first);
    let quiet = now.since(since);
    if quiet > every {
        let summary = format!("nobody outside has asked for {} s whether Balefire is well", quiet.as_secs());
        let cure = "let another machine ask http://THIS-HOST/readyz and tell when there is no answer";
        let failure = Failure::new("self.no_external_watch", Severity::Medium, summary).cured_by(cure);
        return Look::of(vec![failure.since(since.wall)], "");
    }
    match own.asked_from_outside {
        Some(asked) => Look::ok(format!("asked at {:.0}", asked.wall)),
        None => Look::unknown("nobody has asked since the start"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Sight;
    use jiff::Timestamp;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(seconds), wall }
    }

    fn check(now: u64, arrived: Option<u64>, failures: u32) -> &'static str {
        let outward = Outward { arrived: arrived.map(at), failures, why: "no\nconnection".to_owned(), withheld: None };
        match sent(at(now), at(0), (MINUTE, "peer:9480"), Some(outward)).sight {
            Sight::Ok { .. } => "ok",
            Sight::Failing(failures) => {
                assert!(!failures[0].summary.contains('\n'));
                assert_eq!((failures[0].id.as_str(), failures[0].severity), ("self.outside_failing", Severity::Medium));
                "failing"
            }
            Sight::Unknown { .. } => "unknown",
            Sight::Blind { .. } => "blind",
        }
    }

    #[test]
    fn heartbeats_that_do_not_arrive_are_told_when_one_is_missed_and_not_at_the_first_try() {
        assert_eq!(check(100, Some(100), 0), "ok");
        assert_eq!(check(160, Some(100), 1), "unknown");
        assert_eq!(check(219, Some(100), 6), "unknown", "it may still be in time");
        assert_eq!(check(220, Some(100), 2), "unknown");
        assert_eq!(check(220, Some(100), 3), "failing");
        assert_eq!(check(119, None, 5), "unknown", "after a start the time counts from there");
        assert_eq!(check(120, None, 5), "failing");
    }

    #[test]
    fn a_heartbeat_is_withheld_while_nothing_can_be_kept_or_nobody_told() {
        let well = Own { channels: 2, channels_failing: vec!["mail".to_owned()], ..Own::default() };
        assert_eq!(withholds(&well), None);
        assert_eq!(withholds(&Own::default()), None, "no channel is none that fails");
        let mute = Own { channels_failing: vec!["mail".to_owned(), "chat".to_owned()], ..well.clone() };
        assert!(withholds(&mute).is_some());
        assert!(withholds(&Own { journal_fault: Some("full".to_owned()), ..well }).is_some());
        let outward = Outward { withheld: withholds(&mute), failures: 9, ..Outward::default() };
        let look = sent(at(900), at(0), (MINUTE, "peer"), Some(outward));
        assert!(matches!(look.sight, Sight::Unknown { .. }), "its cause is an incident of its own: {look:?}");
    }

    #[test]
    fn only_addresses_are_taken_and_their_paths_are_never_shown() {
        for (url, host) in [
            ("https://hc-ping.com/3f1c-secret", Some("hc-ping.com")),
            ("http://127.0.0.1:9480/api/v1/heartbeat/a", Some("127.0.0.1:9480")),
            ("http://[::1]:9480", Some("[::1]:9480")),
            ("ftp://a/", None),
            ("https:///x", None),
            ("https://user:pw@a/", None),
            ("https://a/ b", None),
            ("https://a/\r\nX: y", None),
        ] {
            assert_eq!(authority(url), host, "{url}");
        }
    }

    #[test]
    fn what_does_not_arrive_is_tried_again_sooner_than_the_next_would_go() {
        let failing = Outward { failures: 1, ..Outward::default() };
        assert_eq!((Outward::default().rest(MINUTE), failing.rest(MINUTE)), (MINUTE, RETRY_MAX));
        assert_eq!(failing.rest(Duration::from_secs(1)), RETRY_MIN);
    }
}
