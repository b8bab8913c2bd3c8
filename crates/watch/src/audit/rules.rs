//! The loaded rules as a set that can be compared: a digest of all, in their order, and a short one of each. What a rule means is
//! not its business.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// So many digits tell two rules apart.
const SHORT: usize = 16;

/// Rules as they were at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    /// Of all of them and their order: the first that fits is the one that counts.
    pub(crate) digest: String,
    /// Of each, in their order.
    rules: Vec<String>,
}

impl Set {
    /// Of rules as the kernel gives them.
    pub(crate) fn of(rules: &[Vec<u8>]) -> Set {
        let mut all = Sha256::new();
        let mut each = Vec::new();
        for rule in rules {
            all.update((rule.len() as u64).to_be_bytes());
            all.update(rule);
            let mut digest = hex(&Sha256::digest(rule));
            digest.truncate(SHORT);
            each.push(digest);
        }
        Set { digest: hex(&all.finalize()), rules: each }
    }

    /// How many rules there are.
    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// How many of these are not among `others`.
    pub(crate) fn missing_in(&self, others: &Set) -> usize {
        let mut left: Vec<&String> = others.rules.iter().collect();
        let is_missing = |rule: &&String| match left.iter().position(|other| other == rule) {
            Some(place) => {
                left.swap_remove(place);
                false
            }
            None => true,
        };
        self.rules.iter().filter(is_missing).count()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all that is written");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rules: &[&str]) -> Set {
        Set::of(&rules.iter().map(|rule| rule.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_set_is_known_again_and_every_change_of_it_is_seen() {
        let two = set(&["a", "b"]);
        assert_eq!(two, set(&["a", "b"]));
        assert_eq!(two.digest.len(), 64);
        for other in [set(&["b", "a"]), set(&["a"]), set(&["a", "b", "b"]), set(&["ab"]), set(&[])] {
            assert_ne!(two.digest, other.digest);
        }
    }

    #[test]
    fn what_is_gone_and_what_is_new_is_counted() {
        let (before, after) = (set(&["a", "b", "b"]), set(&["b", "c"]));
        assert_eq!((before.missing_in(&after), after.missing_in(&before)), (2, 1));
        assert_eq!((before.missing_in(&before), set(&[]).missing_in(&before)), (0, 0));
    }
}
