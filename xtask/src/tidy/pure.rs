//! The crates that decide, decode and render do no I/O: they get values and give values.

use super::Finding;
use crate::tree::{Tree, find_word_start};

const PURE: &[&str] = &["model", "engine", "evidence", "intake", "channels", "sim"];

const ACTS: &[&str] = &[
    "std::fs",
    "std::process",
    "std::thread",
    "fs::",
    "thread::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixDatagram",
    "File::open",
    "File::create",
    "OpenOptions",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let home = source.path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
        let Some((name, _)) = home.filter(|(name, _)| PURE.contains(name)) else { continue };
        for (number, line) in source.code_lines().filter(|(number, _)| !source.is_test(*number)) {
            if let Some(act) = ACTS.iter().find(|act| find_word_start(line, act).is_some()) {
                let what = format!("{act} in {name}");
                let allowed = "return what is to be done; app and store do it";
                findings.push(Finding::new(&source.path, number, what, "this crate is pure", allowed));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_in_a_pure_crate_is_found_but_not_in_its_tests() {
        let tree = Tree::of(&[
            ("crates/channels/src/file.rs", "use std::fs::File;\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
            ("crates/store/src/lib.rs", "use std::fs::File;\n"),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("crates/channels/src/file.rs", 1));
    }
}
