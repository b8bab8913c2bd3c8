//! `auditd.conf`, as far as it says where room ends and what auditd does then, and how much its logs may take.

/// What is of use here. What is not there has auditd's own value, which is not guessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conf {
    /// `space_left`.
    pub(crate) space_left: Option<Left>,
    /// `space_left_action`.
    pub(crate) space_left_action: String,
    /// `admin_space_left`.
    pub(crate) admin_space_left: Option<Left>,
    /// `admin_space_left_action`.
    pub(crate) admin_space_left_action: String,
    /// `disk_full_action`.
    pub(crate) disk_full_action: String,
    /// `write_logs = no`: it writes no log at all.
    pub(crate) writes_none: bool,
    /// `log_file`.
    pub(crate) log_file: Option<String>,
    /// `num_logs`: how many files it keeps.
    pub(crate) num_logs: u64,
    /// `max_log_file`, in MiB: how long one becomes.
    pub(crate) max_log_file: u64,
    /// `max_log_file_action`: what it does then.
    pub(crate) max_log_file_action: String,
}

/// How much room is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// `space_left = 75`
    Mebibytes(u64),
    /// `space_left = 25%`
    Percent(u64),
}

impl Left {
    /// In bytes, of a file system with so many.
    pub(crate) fn bytes(self, all: u64) -> u64 {
        match self {
            Left::Mebibytes(count) => count.saturating_mul(1 << 20),
            Left::Percent(percent) => all / 100 * percent,
        }
    }
}

/// Reads it. Lines that are not understood are passed over: auditd itself checks them.
pub(crate) fn conf(text: &str) -> Conf {
    let mut conf = Conf::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (path, value) = (value.trim(), value.trim().to_ascii_lowercase());
        match key.trim().to_ascii_lowercase().as_str() {
            "space_left" => conf.space_left = left(&value),
            "admin_space_left" => conf.admin_space_left = left(&value),
            "space_left_action" => conf.space_left_action = value,
            "admin_space_left_action" => conf.admin_space_left_action = value,
            "disk_full_action" => conf.disk_full_action = value,
            "log_file" => conf.log_file = Some(path.to_owned()),
            // Its own usual values are 0: no end, and no rotation.
            "num_logs" => conf.num_logs = value.parse().unwrap_or(0),
            "max_log_file" => conf.max_log_file = value.parse().unwrap_or(0),
            "max_log_file_action" => conf.max_log_file_action = value,
            "write_logs" => conf.writes_none = value == "no",
            _ => {}
        }
    }
    conf
}

fn left(value: &str) -> Option<Left> {
    match value.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|percent| *percent <= 100).map(Left::Percent),
        None => value.parse().ok().map(Left::Mebibytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use proptest::prelude::*;

    #[test]
    fn what_auditd_does_when_room_ends_is_read_in_either_form() {
        let conf = conf(
            "# comment\nspace_left = 25%\nSPACE_LEFT_ACTION = SYSLOG\nadmin_space_left=50\n\
                         disk_full_action = SUSPEND\nwrite_logs = yes\nnonsense\nlog_file = /a=b\n",
        );
        assert_eq!((conf.space_left, conf.admin_space_left), (Some(Left::Percent(25)), Some(Left::Mebibytes(50))));
        assert_eq!((conf.space_left_action.as_str(), conf.disk_full_action.as_str()), ("syslog", "suspend"));
        assert_eq!(Left::Percent(25).bytes(400), 100);
        assert!(!conf.writes_none);
        assert_eq!((conf.log_file.as_deref(), conf.num_logs), (Some("/a=b"), 0));
    }

    const GOOD: [&str; 2] = [
        "log_file = /var/log/audit/audit.log\nspace_left = 25%\nspace_left_action = EMAIL\n",
        "# x\nmax_log_file = 8\nadmin_space_left=50\n",
    ];

    proptest! {
        #[test]
        fn any_text_is_a_configuration(text in like(&GOOD)) {
            conf(&text);
        }
    }

    #[test]
    fn a_text_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |text| drop(conf(text)));
    }
}
