//! In whose hands a file is: its mode, its owner, its ACL and the attributes that keep it from being changed, held against what
//! is set, or against what they were. Looks up names, and reads nothing of the file.

use crate::look::{Failure, Moment};
use crate::sensors::access::{Access, Entry};
use crate::sensors::accounts;
use crate::sensors::content::Facts;
use balefire_model::Severity;
use balefire_model::settings::Reader;
use balefire_model::text::cut;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// What lasted so long is what it was meant to be: a rotation gives a new file its mode and owner step by step.
const SETTLED: Duration = Duration::from_secs(3);

/// So long after a rotation may a new file lack its attribute.
const LOOSE_GRACE: Duration = Duration::from_secs(30);

const ACL_FORM: &str = "entries such as user:NAME:r, group:NAME:rw, with names or numbers";

/// What is allowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    mode_max: Option<u32>,
    owner: Option<(String, String)>,
    acl: Vec<Grant>,
    append_only: bool,
}

/// What an ACL may give one user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    is_group: bool,
    name: String,
    bits: u32,
}

pub(super) fn read(reader: &Reader<'_>) -> Allowed {
    let form = "permission bits such as 0640";
    let doc = "The most permissive bits that it may have. Files that everybody may write are always told.";
    let mode_max = reader.parsed("mode_max", doc, form, |text| {
        u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o7777)
    });
    let mode_max = mode_max.optional();
    let doc = "Whom it must belong to: `user:group`, names or numbers; either may be left out.";
    let owner = reader.parsed("owner", doc, "`user:group`, `user` or `:group`", |text| {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        (text.len() > 1 || !user.is_empty()).then(|| (user.trim().to_owned(), group.trim().to_owned()))
    });
    let owner = owner.optional();
    let doc =
        "With `mode_max`: whom an ACL may give more than everybody has, such as [group:adm:r]; nobody if not set.";
    let texts = reader.texts("acl", doc).optional().unwrap_or_default();
    let acl: Vec<Grant> = texts.iter().filter_map(|text| grant(text)).collect();
    if acl.len() != texts.len() {
        reader.reject("acl", format!("found {}", texts.join(", ")), ACL_FORM);
    }
    let doc = "It must have the attribute append-only (chattr +a), at the latest 30 s after a rotation.";
    let append_only = reader.bool("append_only", doc).default(false);
    Allowed { mode_max, owner, acl, append_only }
}

fn grant(text: &str) -> Option<Grant> {
    let mut parts = text.trim().split(':');
    let is_group = match parts.next()? {
        "user" | "u" => false,
        "group" | "g" => true,
        _ => return None,
    };
    let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
    let letters = parts.next().filter(|letters| !letters.is_empty())?;
    let bit = |letter| match letter {
        'r' => Some(4),
        'w' => Some(2),
        'x' => Some(1),
        '-' => Some(0),
        _ => None,
    };
    let bits = letters.chars().try_fold(0, |bits, letter| Some(bits | bit(letter)?))?;
    parts.next().is_none().then_some(Grant { is_group, name, bits })
}

impl Grant {
    fn is_of(&self, entry: Entry) -> io::Result<bool> {
        let number = if self.is_group { accounts::group } else { accounts::user };
        Ok(self.is_group == entry.is_group && number(&self.name)? == Some(entry.id))
    }
}

/// Mode, user and group.
pub(super) type Owned = (u32, u32, u32);

/// In whose hands a file was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guarded {
    ino: u64,
    access: Access,
}

/// What a restart must know of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Settled {
    owned: Option<Owned>,
    guarded: Option<Guarded>,
}

/// In whose hands a file is, as it was seen.
#[derive(Debug, Default)]
pub(super) struct Hands {
    pub(super) settled: Settled,
    seen: Option<(Owned, Guarded, Moment)>,
    loose: Option<Moment>,
}

impl Hands {
    pub(super) fn new(settled: Settled) -> Hands {
        Hands { settled, ..Hands::default() }
    }

    /// What is not as it is set.
    pub(super) fn wrong(&mut self, now: Moment, allowed: &Allowed, seen: (&str, &Facts, &Access)) -> Option<Failure> {
        let (path, facts, access) = seen;
        let mut wrong = Vec::new();
        let mut severity = Severity::Medium;
        if facts.mode & 0o002 != 0 {
            severity = Severity::High;
            wrong.push(format!("everybody may write it (mode {:04o})", facts.mode));
        } else if let Some(most) = allowed.mode_max.filter(|most| facts.mode & !most != 0) {
            wrong.push(format!("its mode is {:04o}, and {most:04o} is the most", facts.mode));
        }
        if let Some(most) = allowed.mode_max {
            wrong.extend(access.acl.iter().filter_map(|entry| too_much(*entry, most & 7, &allowed.acl)));
        }
        if let Some((user, group)) = &allowed.owner {
            wrong.extend(belongs("user", user, facts.uid, accounts::user));
            wrong.extend(belongs("group", group, facts.gid, accounts::group));
        }
        let is_loose = allowed.append_only && !matches!(access.kept, Some((true, _)));
        self.loose = is_loose.then(|| self.loose.unwrap_or(now));
        if self.loose.is_some_and(|since| now.since(since) >= LOOSE_GRACE) {
            wrong.push("it has not the attribute append-only".to_owned());
        }
        if wrong.is_empty() {
            return None;
        }
        let summary = cut(&format!("{path}: {}", wrong.join("; ")), 1000).into_owned();
        Some(Failure::new("file.perm", severity, summary).cured_by(format!("chmod, chown, setfacl, chattr {path}")))
    }

    /// What has changed for longer than a moment, where no setting says what it must be: told once.
    pub(super) fn changed(&mut self, now: Moment, allowed: &Allowed, seen: (&str, &Facts, &Access)) -> Vec<Failure> {
        let (path, facts, access) = seen;
        if facts.mode & 0o002 != 0 {
            // That everybody may write it is a failure of its own, until it is as before.
            self.seen = None;
            return Vec::new();
        }
        let owned = (facts.mode, facts.uid, facts.gid);
        let guarded = Guarded { ino: facts.ino, access: access.clone() };
        match &self.seen {
            Some((before, guards, _)) if (before, guards) == (&owned, &guarded) => {}
            _ => self.seen = Some((owned, guarded.clone(), now)),
        }
        if self.seen.as_ref().is_none_or(|(.., since)| now.since(*since) < SETTLED) {
            return Vec::new();
        }
        let was = self.settled.owned.replace(owned).filter(|was| *was != owned);
        let guards = self.settled.guarded.replace(guarded.clone()).filter(|guards| *guards != guarded);
        let mut told = Vec::new();
        let is_free = allowed.mode_max.is_none() && allowed.owner.is_none();
        if let Some(was) = was.filter(|_| is_free) {
            let form = |(mode, user, group)| format!("mode {mode:04o} of {user}:{group}");
            let summary = format!("{path} had {}, and has {}", form(was), form(owned));
            told.push(perm(summary, "set `mode_max` and `owner` to what they must be"));
        }
        let Some(guards) = guards else { return told };
        let more = gained(&guards.access.acl, &access.acl);
        if allowed.mode_max.is_none() && !more.is_empty() {
            let summary = format!("the ACL of {path} now lets {}", cut(&more.join(", "), 500));
            told.push(perm(summary, "setfacl -x, or set `mode_max` and `acl` to what is allowed"));
        }
        // A rotated file is another one, to which nobody has given the attribute yet.
        let before = guards.access.kept.filter(|_| guards.ino == facts.ino).unwrap_or((false, false));
        let (appends, immutable) = access.kept.unwrap_or(before);
        for (name, flag) in [("append-only", before.0 && !appends), ("immutable", before.1 && !immutable)] {
            if flag {
                let summary = format!("{path} has lost the attribute {name}: what is in it can be changed");
                told.push(perm(summary, "find out who ran chattr; set it again"));
            }
        }
        told
    }
}

fn perm(summary: String, cure: &str) -> Failure {
    Failure::new("file.perm", Severity::Medium, summary).cured_by(cure)
}

/// What an entry gives beyond what everybody has, and beyond what it may.
fn too_much(entry: Entry, others: u32, grants: &[Grant]) -> Option<String> {
    let mut allowed = others;
    for grant in grants {
        match grant.is_of(entry) {
            Ok(is_it) => allowed |= if is_it { grant.bits } else { 0 },
            Err(error) => return Some(format!("its ACL names {}, which cannot be looked up: {error}", grant.name)),
        }
    }
    let more = entry.bits & !allowed & 6;
    (more != 0).then(|| format!("its ACL lets {}", lets(entry, more)))
}

/// `user 1001 read and write`
fn lets(entry: Entry, bits: u32) -> String {
    let what = match bits & 6 {
        6 => "read and write",
        2 => "write",
        _ => "read",
    };
    format!("{} {} {what}", if entry.is_group { "group" } else { "user" }, entry.id)
}

fn gained(was: &[Entry], is: &[Entry]) -> Vec<String> {
    let before = |entry: &Entry| was.iter().find(|was| (was.is_group, was.id) == (entry.is_group, entry.id));
    let more = |entry: &Entry| entry.bits & 6 & !before(entry).map_or(0, |was| was.bits);
    is.iter().filter(|entry| more(entry) != 0).map(|entry| lets(*entry, more(entry))).collect()
}

/// What is wrong with a file's user or group.
fn belongs(what: &str, name: &str, found: u32, number: fn(&str) -> io::Result<Option<u32>>) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    match number(name) {
        Ok(Some(number)) if number == found => None,
        Ok(Some(_)) => Some(format!("its {what} is {found} and must be {name}")),
        Ok(None) => Some(format!("its {what} must be {name}, which this machine does not know; write the number")),
        Err(error) => Some(format!("its {what} must be {name}, which cannot be looked up: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn at(second: u64) -> Moment {
        Moment { boot: Duration::from_secs(second), wall: Timestamp::from_second(1_800_000_000).unwrap() }
    }

    fn facts(mode: u32, ino: u64) -> Facts {
        let (dev, size, written, changed) = (1, 10, 0, (0, 0));
        Facts { dev, ino, size, mode, uid: 0, gid: 0, written, changed, is_file: true }
    }

    fn access(acl: &[(bool, u32, u32)], kept: Option<(bool, bool)>) -> Access {
        let acl = acl.iter().map(|(is_group, id, bits)| Entry { is_group: *is_group, id: *id, bits: *bits }).collect();
        Access { acl, kept }
    }

    #[test]
    fn an_acl_gives_nobody_more_than_everybody_has_unless_it_is_granted() {
        let grants = ["user:5:r", "g:7:rw"].iter().map(|text| grant(text).unwrap()).collect();
        let allowed = Allowed { mode_max: Some(0o640), acl: grants, ..Allowed::default() };
        let told = |acl: &[(bool, u32, u32)]| {
            let found = Hands::default().wrong(at(0), &allowed, ("a", &facts(0o640, 1), &access(acl, None)));
            found.map(|failure| failure.summary)
        };
        assert_eq!(told(&[(false, 5, 4), (true, 7, 6), (true, 9, 1), (true, 8, 0)]), None);
        assert_eq!(told(&[(false, 5, 6)]).as_deref(), Some("a: its ACL lets user 5 write"));
        assert_eq!(told(&[(true, 5, 6)]).as_deref(), Some("a: its ACL lets group 5 read and write"));
        for bad in ["user", "user::r", "user:5", "user:5:", "user:5:q", "user:5:r:x", "other:5:r"] {
            assert_eq!(grant(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_an_acl_gives_anew_and_an_attribute_that_is_lost_are_told_once_and_a_rotation_is_not() {
        let (mut hands, allowed) = (Hands::default(), Allowed::default());
        let mut second = 0;
        let mut told = |ino, acl: &[(bool, u32, u32)], kept| {
            let mut summaries = Vec::new();
            for _ in 0..6 {
                second += 1;
                let found = hands.changed(at(second), &allowed, ("a", &facts(0o640, ino), &access(acl, Some(kept))));
                summaries.extend(found.into_iter().map(|failure| failure.summary));
            }
            summaries
        };
        let (free, appends) = ((false, false), (true, false));
        assert!(told(1, &[], appends).is_empty());
        assert_eq!(told(1, &[(false, 5, 4)], appends), ["the ACL of a now lets user 5 read"]);
        assert_eq!(told(1, &[(false, 5, 6)], appends), ["the ACL of a now lets user 5 write"]);
        assert_eq!(told(1, &[], free), ["a has lost the attribute append-only: what is in it can be changed"]);
        assert!(told(1, &[], appends).is_empty() && told(2, &[], free).is_empty());
        assert_eq!(told(2, &[], (false, true)), Vec::<String>::new());
        assert_eq!(told(2, &[], free).len(), 1);
    }

    #[test]
    fn an_attribute_that_must_be_there_may_lack_for_a_moment_after_a_rotation() {
        let allowed = Allowed { append_only: true, ..Allowed::default() };
        let mut hands = Hands::default();
        let mut told = |second, kept| {
            let access = access(&[], kept);
            hands.wrong(at(second), &allowed, ("a", &facts(0o640, 1), &access)).is_some()
        };
        let (free, appends) = (Some((false, false)), Some((true, false)));
        assert!(!told(0, appends) && !told(10, free) && !told(39, free) && told(40, free) && !told(41, appends));
        assert!(!told(50, None) && told(80, None), "a file system that has no attributes");
    }
}
