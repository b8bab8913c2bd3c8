//! The state file of auditd: `/run/auditd.state` of 3.x, `/run/audit/auditd.state` of 4.x. Read as it comes: 3.0.9 leaves out
//! the equals sign on some lines and prints one twice.

/// What auditd says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateFile {
    /// `logging suspended`.
    pub(crate) is_suspended: Option<bool>,
    /// `disk error detected`.
    pub(crate) has_disk_error: Option<bool>,
    /// `plugin queue overflow detected`.
    pub(crate) has_overflow: Option<bool>,
    /// `plugin queueing suspended`.
    pub(crate) is_queueing_suspended: Option<bool>,
    /// `current plugin queue depth`.
    pub(crate) queue_depth: Option<u64>,
    /// `max plugin queue depth used`, and the like.
    pub(crate) queue_depth_max: Option<u64>,
}

/// Reads it.
pub(crate) fn state_file(text: &str) -> StateFile {
    StateFile {
        is_suspended: said(text, "logging suspended"),
        has_disk_error: said(text, "disk error detected"),
        has_overflow: said(text, "plugin queue overflow detected"),
        is_queueing_suspended: said(text, "plugin queueing suspended"),
        queue_depth: number(text, "current plugin queue depth"),
        queue_depth_max: number(text, "max plugin queue depth"),
    }
}

/// What audisp-remote says of itself (`/run/audit/remote.state`, from 4.1.2 on), in the same form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RemoteState {
    /// `suspend`.
    pub(crate) is_suspended: Option<bool>,
    /// `remote_ended`.
    pub(crate) has_ended: Option<bool>,
    /// `transport_ok`.
    pub(crate) is_transport_ok: Option<bool>,
    /// `queue_length`.
    pub(crate) queue_length: Option<u64>,
    /// `queue_depth`.
    pub(crate) queue_depth: Option<u64>,
}

/// Reads that.
pub(crate) fn remote_state(text: &str) -> RemoteState {
    RemoteState {
        is_suspended: said(text, "suspend"),
        has_ended: said(text, "remote_ended"),
        is_transport_ok: said(text, "transport_ok"),
        queue_length: number(text, "queue_length"),
        queue_depth: number(text, "queue_depth"),
    }
}

/// The last word of the last line that begins so.
fn last_word<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| line.starts_with(key))?
        .split([' ', '=', '\t'])
        .rfind(|word| !word.is_empty())
}

fn said(text: &str, key: &str) -> Option<bool> {
    match last_word(text, key)? {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn number(text: &str, key: &str) -> Option<u64> {
    last_word(text, key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use proptest::prelude::*;

    #[test]
    fn lines_with_and_without_the_equals_sign_are_read() {
        let text = "audit version = 3.0.9\ncurrent plugin queue depth = 7\nmax plugin queue depth used = 12\n\
                    plugin queue overflow detected no\nplugin queueing suspended = no\nlogging suspended = yes\n\
                    file system space action performed = yes\ndisk error detected no\ndisk error detected = yes\n";
        let state = state_file(text);
        assert_eq!(state.is_suspended, Some(true));
        assert_eq!((state.has_disk_error, state.has_overflow), (Some(true), Some(false)));
        assert_eq!((state.queue_depth, state.queue_depth_max), (Some(7), Some(12)));
    }

    #[test]
    fn what_is_not_there_is_not_said() {
        assert_eq!(state_file("logging suspended = perhaps\n"), StateFile::default());
    }

    const GOOD: [&str; 1] = [
        "audit version = 3.0.9\ncurrent plugin queue depth = 0\nlogging suspended = no\nplugin queue overflow detected = no\ndisk error detected = no\n",
    ];

    proptest! {
        #[test]
        fn any_text_is_a_state(text in like(&GOOD)) {
            state_file(&text);
        }
    }

    #[test]
    fn a_text_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |text| _ = state_file(text));
    }
}
