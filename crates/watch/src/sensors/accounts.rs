//! The numbers of users and groups, from `/etc/passwd` and `/etc/group`. Those that a directory service knows are not found:
//! write their numbers.

use std::fs;
use std::io;

/// The number of a user, by name or already a number.
pub(crate) fn user(name: &str) -> io::Result<Option<u32>> {
    number("/etc/passwd", name)
}

/// The number of a group, by name or already a number.
pub(crate) fn group(name: &str) -> io::Result<Option<u32>> {
    number("/etc/group", name)
}

/// The name of a group.
pub(crate) fn group_name(number: u32) -> io::Result<Option<String>> {
    let text = fs::read_to_string("/etc/group")?;
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|text| text.parse().ok()) == Some(number);
    Ok(text.lines().find(is_it).and_then(|line| line.split(':').next()).map(str::to_owned))
}

fn number(path: &str, name: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let text = fs::read_to_string(path)?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    Ok(line.and_then(|line| line.split(':').nth(2)?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_0_and_nobody_else_is_found_by_chance() {
        assert_eq!((user("root").unwrap(), group("root").unwrap()), (Some(0), Some(0)));
        assert_eq!(group_name(0).unwrap().as_deref(), Some("root"));
        assert_eq!((user("12").unwrap(), user("no such user").unwrap()), (Some(12), None));
    }
}
