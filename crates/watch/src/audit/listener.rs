//! Records of programs that begin to listen to the kernel's records beside the daemon (`EVENT_LISTENER`). Which of them are
//! expected is decided elsewhere.

use super::record::Record;

/// A program that listens from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener<'a> {
    /// Its file, as the kernel knows it.
    pub(crate) program: &'a str,
    /// Its process and its user.
    pub(crate) process: i64,
    pub(crate) user: i64,
}

/// Who begins to listen with this record; none where it is of something else, or was refused.
pub(crate) fn listener<'a>(record: &Record<'a>) -> Option<Listener<'a>> {
    if record.kind != "EVENT_LISTENER" || record.field("op") != Some("connect") || record.number("res") != Some(1) {
        return None;
    }
    // A program without a file is a thread of the kernel, and has a name only.
    let program = record.field("exe").filter(|exe| *exe != "(null)").or_else(|| record.field("comm"))?;
    Some(Listener { program, process: record.number("pid")?, user: record.number("uid")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_to_listen_is_known_and_who_ends_or_is_refused_is_not() {
        let line = |op: &str, res: u8| {
            format!(
                "type=EVENT_LISTENER msg=audit(1732305600.123:456): pid=88 uid=0 auid=4294967295 tty=(none) ses=4294967295 \
                 subj=unconfined comm=\"spy\" exe=\"/usr/bin/spy\" nl-mcgrp=1 op={op} res={res}"
            )
        };
        let text = line("connect", 1);
        let found = listener(&Record::parse(&text).unwrap());
        assert_eq!(found, Some(Listener { program: "/usr/bin/spy", process: 88, user: 0 }));
        for text in [line("disconnect", 1), line("connect", 0), line("connect", 1).replace("EVENT_LISTENER", "SYSCALL")]
        {
            assert_eq!(listener(&Record::parse(&text).unwrap()), None, "{text}");
        }
    }
}
