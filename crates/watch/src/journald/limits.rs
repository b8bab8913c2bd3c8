//! What journald may keep, by journald.conf(5): how much, how many files, and for how long. Pure: sees the text.

use std::time::Duration;

/// Where nothing is set, a share of the file system counts, but no more than this.
const SHARE_MAX: u64 = 4 << 30;
const USE_PERCENT: u64 = 10;
const KEEP_FREE_PERCENT: u64 = 15;

/// How many archived files it keeps, where nothing is set.
const FILES_MAX: u64 = 100;

/// Of which journal: that on the disk, or that in memory, which is gone with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    System,
    Runtime,
}

/// What journald may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    use_max: Option<u64>,
    keep_free: Option<u64>,
    pub(crate) files_max: u64,
    pub(crate) retention: Retention,
}

/// How old records may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    ForEver,
    After(Duration),
    /// A text that is not understood here.
    Unclear,
}

/// Reads it; of settings that stand there twice the last counts.
pub(crate) fn limits(text: &str, store: Store) -> Limits {
    let prefix = match store {
        Store::System => "System",
        Store::Runtime => "Runtime",
    };
    let mut limits = Limits { use_max: None, keep_free: None, files_max: FILES_MAX, retention: Retention::ForEver };
    let mut is_ours = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_ours = line == "[Journal]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_ours && !line.starts_with(['#', ';'])) else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        match key.strip_prefix(prefix).unwrap_or(key) {
            "MaxUse" => limits.use_max = size(value),
            "KeepFree" => limits.keep_free = size(value),
            "MaxFiles" => limits.files_max = value.parse().unwrap_or(FILES_MAX),
            "MaxRetentionSec" => limits.retention = retention(value),
            _ => {}
        }
    }
    limits
}

impl Limits {
    /// The most that it may take, on a file system of so many bytes.
    pub(crate) fn most(&self, all: u64) -> u64 {
        self.use_max.unwrap_or_else(|| share(all, USE_PERCENT))
    }

    /// The most that it takes now, where so much is free and it takes so much: it leaves others their room.
    pub(crate) fn most_now(&self, all: u64, free: u64, used: u64) -> u64 {
        let spare = free.saturating_sub(self.keep_free.unwrap_or_else(|| share(all, KEEP_FREE_PERCENT)));
        self.most(all).min(used.saturating_add(spare))
    }
}

fn share(all: u64, percent: u64) -> u64 {
    (all / 100 * percent).min(SHARE_MAX)
}

/// `512M`, `1.5G`, `1073741824`.
fn size(value: &str) -> Option<u64> {
    let unit = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(unit);
    let power = match unit.trim().trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return None,
    };
    let factor = 1024_u64.pow(power);
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor)?,
        Err(_) => (number.parse::<f64>().ok()? * factor as f64) as u64,
    };
    // Nothing stands for the usual value.
    (bytes > 0).then_some(bytes)
}

/// systemd.time(7), as far as people write it here: `1month`, `2 weeks`, `90d`, `3600`.
fn retention(value: &str) -> Retention {
    let mut rest = value.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(amount) = rest[..digits].parse::<u64>() else { return Retention::Unclear };
        rest = rest[digits..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let seconds = match &rest[..end] {
            "" | "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            "M" | "month" | "months" => 2_629_800,
            "y" | "year" | "years" => 31_557_600,
            _ => return Retention::Unclear,
        };
        total = total.saturating_add(Duration::from_secs(amount.saturating_mul(seconds)));
        rest = rest[end..].trim_start();
    }
    if total.is_zero() { Retention::ForEver } else { Retention::After(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_of_its_section_counts_for_its_store() {
        let text = "# SystemMaxUse=9G\n[Journal]\nSystemMaxUse=1G\nRuntimeMaxUse=64M\nMaxRetentionSec=2week\n\
                    [Other]\nSystemMaxUse=7G\n[Journal]\nSystemMaxUse = 1.5G\nSystemMaxFiles=7\n";
        let system = limits(text, Store::System);
        assert_eq!((system.most(1 << 40), system.files_max), (3 << 29, 7));
        assert_eq!(system.retention, Retention::After(Duration::from_secs(14 * 86_400)));
        let runtime = limits(text, Store::Runtime);
        assert_eq!((runtime.most(1 << 40), runtime.files_max), (64 << 20, 100));
    }

    #[test]
    fn where_nothing_is_set_a_tenth_of_the_file_system_and_4_gib_at_the_most() {
        for text in ["", "[Journal]\n#SystemMaxUse=\n", "[Journal]\nSystemMaxUse=\n", "[Journal]\nSystemMaxUse=lots\n"]
        {
            let limits = limits(text, Store::System);
            assert_eq!((limits.most(10 << 30), limits.most(1 << 40)), ((10 << 30) / 100 * 10, 4 << 30), "{text}");
        }
    }

    #[test]
    fn a_file_system_that_others_have_filled_leaves_less() {
        let limits = limits("[Journal]\nSystemMaxUse=1000\nSystemKeepFree=100\n", Store::System);
        assert_eq!(
            [limits.most_now(9_000, 5_000, 300), limits.most_now(9_000, 150, 300), limits.most_now(9_000, 50, 300)],
            { [1_000, 350, 300] }
        );
    }

    #[test]
    fn times_are_read_as_systemd_writes_them() {
        let after = |seconds| Retention::After(Duration::from_secs(seconds));
        assert_eq!(
            [retention("1month"), retention("1d 12h"), retention("90")],
            [after(2_629_800), after(129_600), after(90)]
        );
        assert_eq!([retention("0"), retention(""), retention("soon"), retention("1fortnight")], {
            [Retention::ForEver, Retention::ForEver, Retention::Unclear, Retention::Unclear]
        });
    }
}
