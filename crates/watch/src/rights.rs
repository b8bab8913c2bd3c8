//! Which lines a unit file needs so that watchers see what they cannot see now. Pure: cures in, lines out.

use std::collections::BTreeSet;

/// What one watcher lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The watcher's name.
    pub watcher: String,
    /// What was tried and what came of it.
    pub why: String,
    /// Which right would cure that.
    pub cure: String,
}

/// The lines of a systemd unit that give exactly these rights: capabilities and groups, and as comments what no line of
/// a unit can give.
#[must_use]
pub fn unit_lines(lacks: &[Lack]) -> Vec<String> {
    let mut capabilities = BTreeSet::new();
    let mut groups = BTreeSet::new();
    let mut families = BTreeSet::new();
    let mut others = Vec::new();
    for lack in lacks {
        let named = words(&lack.cure);
        let caps: Vec<&str> = named.iter().copied().filter(|word| is_capability(word)).collect();
        let of_groups: Vec<&str> = named
            .windows(2)
            .filter(|pair| matches!(pair[0], "group" | "groups") && is_group(pair[1]))
            .map(|pair| pair[1])
            .collect();
        let of_sockets: Vec<&str> = named.iter().copied().filter(|word| is_family(word)).collect();
        if caps.is_empty() && of_groups.is_empty() && of_sockets.is_empty() {
            let text = format!("# {}: {}", lack.watcher, lack.cure);
            others.push(balefire_model::text::one_line(&text).into_owned());
        }
        capabilities.extend(caps);
        groups.extend(of_groups);
        families.extend(of_sockets);
    }
    let mut lines = Vec::new();
    if !capabilities.is_empty() {
        let all = capabilities.into_iter().collect::<Vec<_>>().join(" ");
        lines.push(format!("AmbientCapabilities={all}"));
        // Nothing can be had that the bounds leave out, and the unit that we ship leaves out all. What stands here is added.
        lines.push(format!("CapabilityBoundingSet={all}"));
    }
    if !groups.is_empty() {
        lines.push(format!("SupplementaryGroups={}", groups.into_iter().collect::<Vec<_>>().join(" ")));
    }
    if !families.is_empty() {
        lines.push(format!("RestrictAddressFamilies={}", families.into_iter().collect::<Vec<_>>().join(" ")));
    }
    lines.extend(others);
    lines
}

fn words(cure: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    cure.split(|c| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

fn is_capability(word: &str) -> bool {
    word.strip_prefix("CAP_")
        .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
}

/// A kind of socket that a unit may forbid.
fn is_family(word: &str) -> bool {
    word.starts_with("AF_")
}

/// Groups begin with a small letter or an underscore, as `useradd` wants it.
fn is_group(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && !["of", "that", "the"].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lack(watcher: &str, cure: &str) -> Lack {
        Lack { watcher: watcher.to_owned(), why: "EPERM".to_owned(), cure: cure.to_owned() }
    }

    #[test]
    fn each_right_is_asked_for_once_and_what_no_unit_can_give_is_a_comment() {
        let lacks = [
            lack("kernel.status", "CAP_AUDIT_CONTROL"),
            lack("kernel.records", "CAP_AUDIT_READ, or group adm"),
            lack("auditd.writing", "group adm"),
            lack("canary:audit", "AF_NETLINK in RestrictAddressFamilies of the unit"),
            lack("file:/x", "the right to reach /x\nExecStart=/bin/sh"),
        ];
        let lines = unit_lines(&lacks);
        assert_eq!(
            lines,
            [
                "AmbientCapabilities=CAP_AUDIT_CONTROL CAP_AUDIT_READ",
                "CapabilityBoundingSet=CAP_AUDIT_CONTROL CAP_AUDIT_READ",
                "SupplementaryGroups=adm",
                "RestrictAddressFamilies=AF_NETLINK",
                "# file:/x: the right to reach /x\\nExecStart=/bin/sh",
            ]
        );
    }

    #[test]
    fn nothing_lacks_no_line() {
        assert!(unit_lines(&[]).is_empty());
    }
}
