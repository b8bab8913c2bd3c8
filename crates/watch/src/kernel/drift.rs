//! `kernel.rules`: whether the rules that are loaded are those that somebody wants, however they were changed. Only where it is
//! asked for: it takes `CAP_AUDIT_CONTROL`.

use super::START;
use super::status::refused;
use crate::audit::rules::Set;
use crate::look::{Failure, Look, Moment, Sight};
use crate::sensors::netlink;
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The kernel holds up changes of rules while it lists them.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// In so many looks in a row they must be others: who loads rules anew deletes the old ones first.
const LOOKS: u32 = 2;

/// Which rules are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Those that were seen first.
    First,
    /// Those whose digest begins so.
    Digest(String),
}

impl Expected {
    /// What may be set.
    pub(super) const FORM: &'static str =
        "first, or 16 to 64 hexadecimal digits of the rules' digest, such as the watcher shows it";

    pub(super) fn parse(text: &str) -> Option<Expected> {
        let is_digest = (16..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text {
            "first" => Some(Expected::First),
            _ => is_digest.then(|| Expected::Digest(text.to_ascii_lowercase())),
        }
    }
}

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Drift(pub(crate) Expected);

impl Plan for Drift {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let first = kept.and_then(|kept| serde_json::from_value::<Kept>(kept.clone()).ok()).unwrap_or_default().first;
        // A set that was seen first counts only as long as nobody says which one is wanted.
        let first = first.filter(|_| self.0 == Expected::First);
        Box::new(DriftWatcher { expected: self.0.clone(), detector: Detector { first, strange: 0 } })
    }
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    first: Option<Set>,
}

struct DriftWatcher {
    expected: Expected,
    detector: Detector,
}

impl Watcher for DriftWatcher {
    fn look(&mut self, now: Moment, _: &dyn Around) -> Look {
        match netlink::rules() {
            Ok(rules) => self.detector.judge(now, &self.expected, &Set::of(&rules)),
            Err(error) => refused(error),
        }
    }

    fn memory(&self) -> Option<Value> {
        serde_json::to_value(Kept { first: self.detector.first.clone() }).ok()
    }
}

#[derive(Clone, Debug, Default)]
struct Detector {
    first: Option<Set>,
    /// Looks in a row in which they were others.
    strange: u32,
}

impl Detector {
    fn judge(&mut self, now: Moment, expected: &Expected, set: &Set) -> Look {
        let is_starting = now.boot < START;
        let is_as_expected = match (expected, &self.first) {
            (Expected::Digest(digest), _) => set.digest.starts_with(digest),
            (Expected::First, Some(first)) => set.digest == first.digest,
            (Expected::First, None) if is_starting => return Look::unknown("the machine starts: its rules may come"),
            (Expected::First, None) => {
                self.first = Some(set.clone());
                true
            }
        };
        if is_as_expected {
            self.strange = 0;
            return Look::ok(format!("{} rules are loaded, as expected: {}", set.len(), set.digest));
        }
        self.strange += 1;
        if is_starting || self.strange < LOOKS {
            return Look::unknown(format!("{} rules are loaded, other ones than expected; looking again", set.len()));
        }
        Sight::Failing(vec![self.drift(set)]).into()
    }

    fn drift(&self, set: &Set) -> Failure {
        let count = set.len();
        let summary = match &self.first {
            _ if count == 0 => "no audit rule is loaded any more".to_owned(),
            Some(first) => {
                let (gone, new) = (first.missing_in(set), set.missing_in(first));
                let order = if gone + new == 0 { ", in another order" } else { "" };
                format!(
                    "the loaded audit rules are not those seen first: {gone} are gone, {new} are new{order}; {count} are loaded"
                )
            }
            None => format!("the loaded audit rules are not those expected; {count} are loaded"),
        };
        Failure::new("audit.rules_drift", Severity::High, summary)
            .caused_by(format!(
                "auditctl, augenrules or another program has changed them; their digest is {} now",
                set.digest
            ))
            .cured_by(
                "auditctl -l; ausearch -m CONFIG_CHANGE -ts recent: who did it; augenrules --load brings back those of \
                 /etc/audit/rules.d. Where they are meant, set kernel.rules to that digest",
            )
            .labelled("audit_rules", set.digest.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(seconds), wall }
    }

    fn set(rules: &[&str]) -> Set {
        Set::of(&rules.iter().map(|rule| rule.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn summary(look: &Look) -> Option<&str> {
        match &look.sight {
            Sight::Failing(failures) => Some(&failures[0].summary),
            _ => None,
        }
    }

    fn is_ok(look: &Look) -> bool {
        matches!(look.sight, Sight::Ok { .. })
    }

    #[test]
    fn rules_that_are_others_twice_are_told_until_the_first_are_back() {
        let (mut detector, first) = (Detector::default(), set(&["a", "b"]));
        assert!(is_ok(&detector.judge(at(100), &Expected::First, &first)));
        assert_eq!(
            summary(&detector.judge(at(105), &Expected::First, &set(&[]))),
            None,
            "somebody may be loading them"
        );
        assert_eq!(
            summary(&detector.judge(at(110), &Expected::First, &set(&[]))),
            Some("no audit rule is loaded any more")
        );
        let look = detector.judge(at(115), &Expected::First, &set(&["a", "c", "d"]));
        let text = "the loaded audit rules are not those seen first: 1 are gone, 2 are new; 3 are loaded";
        assert_eq!(summary(&look), Some(text));
        let look = detector.judge(at(120), &Expected::First, &set(&["b", "a"]));
        assert!(summary(&look).unwrap().contains("in another order"));
        assert!(is_ok(&detector.judge(at(125), &Expected::First, &first)));
        assert_eq!(summary(&detector.judge(at(130), &Expected::First, &set(&["a"]))), None);
    }

    #[test]
    fn a_machine_that_starts_is_given_time_to_load_them() {
        let mut detector = Detector::default();
        detector.judge(at(10), &Expected::First, &set(&[]));
        assert!(is_ok(&detector.judge(at(70), &Expected::First, &set(&["a"]))));
        let mut next = Detector { first: detector.first, strange: 0 };
        for second in [5, 10, 15, 55] {
            assert_eq!(summary(&next.judge(at(second), &Expected::First, &set(&[]))), None);
        }
        assert!(summary(&next.judge(at(60), &Expected::First, &set(&[]))).is_some());
    }

    #[test]
    fn a_digest_that_somebody_set_is_what_counts() {
        let wanted = set(&["a"]);
        let expected = Expected::parse(&wanted.digest[..16].to_uppercase()).unwrap();
        let mut detector = Detector::default();
        assert!(is_ok(&detector.judge(at(100), &expected, &wanted)));
        detector.judge(at(105), &expected, &set(&["b"]));
        assert!(summary(&detector.judge(at(110), &expected, &set(&["b"]))).is_some());
        for text in ["", "firs", "0123456789abcde", "0123456789abcdeg", &"0".repeat(65)] {
            assert_eq!(Expected::parse(text), None, "{text}");
        }
    }
}
