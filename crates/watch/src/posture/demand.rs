//! What the STIGs ask for: a table, and how each kind of item is judged.

use super::{Readings, Text, Verdict, settings};

/// One item of the STIGs.
pub(super) struct Demand {
    /// Its rule for Red Hat Enterprise Linux 9; empty where it has none.
    pub(super) rhel9: &'static str,
    /// And for 8.
    pub(super) rhel8: &'static str,
    /// The setting.
    pub(super) setting: &'static str,
    /// What is wanted, in words.
    pub(super) wanted: &'static str,
    /// Whether it asks that somebody is told.
    pub(super) is_alert: bool,
    pub(super) test: Test,
}

/// How an item is judged.
pub(super) enum Test {
    /// A setting of `auditd.conf` is one of these.
    Is(&'static [&'static str]),
    /// A setting of `auditd.conf` is that many percent of the partition, or more.
    Percent(u64),
    /// A setting of `auditd.conf` is there and not empty.
    Named,
    /// The audit rules end with this flag and number, or the kernel has it.
    Rule(&'static str, u32),
    /// The kernel starts with so many records of backlog, or more.
    Backlog(u32),
    /// `postmaster` is root.
    Alias,
    /// Logs are sent to another machine.
    OffLoad,
    /// Time comes from servers.
    Clock,
    /// Room for a week of logs.
    Week,
}

const fn demand(
    rules: [&'static str; 2],
    setting: &'static str,
    wanted: &'static str,
    is_alert: bool,
    test: Test,
) -> Demand {
    Demand { rhel9: rules[0], rhel8: rules[1], setting, wanted, is_alert, test }
}

/// In the order of the STIG of Red Hat Enterprise Linux 9.
pub(super) const DEMANDS: &[Demand] = &[
    demand(["RHEL-09-252010", "RHEL-08-030740"], "chrony", "time from servers, by chrony", false, Test::Clock),
    demand(["RHEL-09-652055", "RHEL-08-030690"], "rsyslog", "logs are sent to another machine", false, Test::OffLoad),
    demand(
        ["RHEL-09-653020", "RHEL-08-030040"],
        "disk_error_action",
        "halt; syslog or single where availability is documented as more important",
        false,
        Test::Is(&["halt", "syslog", "single"]),
    ),
    demand(
        ["RHEL-09-653025", "RHEL-08-030060"],
        "disk_full_action",
        "halt; syslog or single where availability is documented as more important",
        false,
        Test::Is(&["halt", "syslog", "single"]),
    ),
    demand(["RHEL-09-653030", "RHEL-08-030660"], "capacity", "room for one week of audit logs", false, Test::Week),
    demand(["RHEL-09-653035", "RHEL-08-030730"], "space_left", "25% of the partition", true, Test::Percent(25)),
    demand(["RHEL-09-653040", "RHEL-08-030731"], "space_left_action", "email", true, Test::Is(&["email"])),
    demand(["RHEL-09-653045", ""], "admin_space_left", "5% of the partition", true, Test::Percent(5)),
    demand(["RHEL-09-653050", ""], "admin_space_left_action", "single", false, Test::Is(&["single"])),
    demand(["RHEL-09-653055", "RHEL-08-030050"], "max_log_file_action", "rotate", false, Test::Is(&["rotate"])),
    demand(
        ["RHEL-09-653060", "RHEL-08-030062"],
        "name_format",
        "hostname, fqd or numeric",
        false,
        Test::Is(&["hostname", "fqd", "numeric"]),
    ),
    demand(
        ["RHEL-09-653065", "RHEL-08-030700"],
        "overflow_action",
        "syslog, single or halt",
        false,
        Test::Is(&["syslog", "single", "halt"]),
    ),
    demand(["RHEL-09-653070", "RHEL-08-030020"], "action_mail_acct", "an account that is read", true, Test::Named),
    demand(["RHEL-09-653075", "RHEL-08-030061"], "local_events", "yes", false, Test::Is(&["yes"])),
    demand(["RHEL-09-653105", ""], "write_logs", "yes", false, Test::Is(&["yes"])),
    demand(["RHEL-09-653120", "RHEL-08-030602"], "audit_backlog_limit", "8192", false, Test::Backlog(8192)),
    demand(["RHEL-09-653125", "RHEL-08-030030"], "postmaster", "an alias of root", true, Test::Alias),
    demand(["RHEL-09-654265", ""], "-f", "2: the machine stops rather than lose records", false, Test::Rule("-f", 2)),
    demand(
        ["RHEL-09-654275", "RHEL-08-030121"],
        "-e",
        "2: rules are locked until a restart",
        false,
        Test::Rule("-e", 2),
    ),
];

/// Where it stands, the verdict, and what was found.
type Judged = (String, Verdict, String);

impl Demand {
    pub(super) fn judge(&self, readings: &Readings) -> Judged {
        match &self.test {
            Test::Is(_) | Test::Percent(_) | Test::Named => self.of_conf(readings),
            Test::Rule(flag, number) => of_rules(flag, *number, readings),
            Test::Backlog(least) => of_backlog(*least, readings),
            Test::Alias => of_aliases(&readings.aliases),
            Test::OffLoad => of_rsyslog(&readings.rsyslog),
            Test::Clock => of_chrony(&readings.chrony),
            Test::Week => week(readings),
        }
    }

    fn of_conf(&self, readings: &Readings) -> Judged {
        let (path, text) = &readings.conf;
        let path = path.display();
        let settings = match text {
            Text::Read(text) => settings(text),
            unread => return blind(&path.to_string(), unread),
        };
        let Some((value, line)) = settings.get(self.setting) else {
            return (path.to_string(), Verdict::NotMet, "not set".to_owned());
        };
        let is_met = match &self.test {
            Test::Is(wanted) => wanted.iter().any(|wanted| value.eq_ignore_ascii_case(wanted)),
            Test::Percent(least) => match (value.strip_suffix('%'), readings.partition_mib) {
                (Some(percent), _) => percent.trim().parse().is_ok_and(|percent: u64| percent >= *least),
                (None, Some(all)) => value.parse().is_ok_and(|mib: u64| mib.saturating_mul(100) >= all * least),
                (None, None) => false,
            },
            _ => !value.is_empty(),
        };
        let of = match (&self.test, readings.partition_mib) {
            (Test::Percent(_), Some(all)) if !value.ends_with('%') => format!(" of {all} MiB"),
            _ => String::new(),
        };
        (format!("{path}:{line}"), verdict(is_met), format!("{value}{of}"))
    }
}

fn verdict(is_met: bool) -> Verdict {
    if is_met { Verdict::Met } else { Verdict::NotMet }
}

fn blind(place: &str, text: &Text) -> Judged {
    match text {
        Text::Missing => (place.to_owned(), Verdict::Blind, format!("there is no {place}")),
        Text::Denied(why) => (place.to_owned(), Verdict::Blind, why.clone()),
        Text::Read(_) => (place.to_owned(), Verdict::Blind, "it says nothing of this".to_owned()),
    }
}

/// The kernel's word comes first: files say only what the next start will be.
fn of_rules(flag: &str, number: u32, readings: &Readings) -> Judged {
    if let Some((enabled, failure, _)) = readings.kernel {
        let found = if flag == "-e" { enabled } else { failure };
        return ("kernel (AUDIT_GET)".to_owned(), verdict(found == number), found.to_string());
    }
    let place = "/etc/audit/rules.d";
    let Text::Read(text) = &readings.rules else { return blind(place, &readings.rules) };
    let mut found = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(flag)).then(|| words.next().unwrap_or_default().to_owned())
    });
    match found.next_back() {
        Some(found) => (place.to_owned(), verdict(found == number.to_string()), format!("{flag} {found}")),
        None => (place.to_owned(), Verdict::NotMet, format!("no {flag}")),
    }
}

fn of_backlog(least: u32, readings: &Readings) -> Judged {
    let place = "/proc/cmdline";
    let Text::Read(text) = &readings.boot else { return blind(place, &readings.boot) };
    let set = text.split_whitespace().filter_map(|word| word.strip_prefix("audit_backlog_limit=")).next_back();
    let now = readings.kernel.map(|(_, _, limit)| format!("; {limit} now")).unwrap_or_default();
    let is_met = set.is_some_and(|set| set.parse().is_ok_and(|limit: u32| limit >= least));
    (place.to_owned(), verdict(is_met), format!("{}{now}", set.unwrap_or("not set")))
}

fn of_aliases(text: &Text) -> Judged {
    let place = "/etc/aliases";
    let Text::Read(text) = text else { return blind(place, text) };
    let alias = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| {
        let name = name.trim();
        !name.starts_with('#') && name.eq_ignore_ascii_case("postmaster")
    });
    match alias {
        Some((_, to)) => {
            let to = to.trim();
            (place.to_owned(), verdict(to.split(',').any(|to| to.trim() == "root")), to.to_owned())
        }
        None => (place.to_owned(), Verdict::NotMet, "no postmaster".to_owned()),
    }
}

fn of_rsyslog(text: &Text) -> Judged {
    let place = "/etc/rsyslog.conf";
    let Text::Read(text) = text else { return blind(place, text) };
    let sends = |line: &&str| {
        let line = line.trim();
        let is_old = line.split_whitespace().nth(1).is_some_and(|word| word.starts_with('@'));
        !line.starts_with('#') && (is_old || line.contains("omfwd") || line.contains("omrelp"))
    };
    match text.lines().find(sends) {
        Some(line) => (place.to_owned(), Verdict::Met, line.trim().to_owned()),
        None => (place.to_owned(), Verdict::NotMet, "nothing is sent".to_owned()),
    }
}

fn of_chrony(text: &Text) -> Judged {
    let place = "/etc/chrony.conf";
    let Text::Read(text) = text else { return blind(place, text) };
    let is_server = |line: &&str| line.starts_with("server ") || line.starts_with("pool ");
    match text.lines().map(str::trim).find(is_server) {
        Some(line) => (place.to_owned(), Verdict::Met, line.to_owned()),
        None => (place.to_owned(), Verdict::NotMet, "no server".to_owned()),
    }
}

fn week(readings: &Readings) -> Judged {
    let (path, text) = &readings.conf;
    let place = path.display().to_string();
    let Text::Read(text) = text else { return blind(&place, text) };
    let settings = settings(text);
    let number = |key: &str| settings.get(key).and_then(|(value, _)| value.parse::<u64>().ok());
    let kept = number("num_logs").unwrap_or(0).saturating_mul(number("max_log_file").unwrap_or(0));
    let all = readings.partition_mib.map(|all| format!(" of {all} MiB")).unwrap_or_default();
    (place, Verdict::ByHand, format!("{kept} MiB of logs are kept{all}"))
}
