//! The controls of each framework that ask for alerts on failing audit logging, and by what each is answered here.

use serde::Serialize;

/// For whom the report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// NIST SP 800-171 revision 2, and CMMC level 2.
    R2,
    /// NIST SP 800-171 revision 3.
    R3,
    /// NIST SP 800-53 revision 5.
    Nist53,
    /// PCI DSS 4.0.1.
    Pci,
    /// The STIGs of DISA.
    Stig,
}

/// One control.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Control {
    /// Its id.
    pub id: &'static str,
    /// What it asks for.
    pub asks: &'static str,
    /// What of this report answers it.
    pub answered_by: &'static str,
}

const fn control(id: &'static str, asks: &'static str, answered_by: &'static str) -> Control {
    Control { id, asks, answered_by }
}

const R2: &[Control] = &[
    control("3.3.4[a]", "people or roles that are alerted are identified", "Recipients"),
    control("3.3.4[b]", "types of failure that cause an alert are defined", "Types of failure; Watchers"),
    control("3.3.4[c]", "those people are alerted when audit logging fails", "Failures; Drills; Latencies"),
    control("3.3.8", "audit information and tools are protected", "Failures of file.*; audit.config_change"),
];
const R3: &[Control] = &[
    control(
        "03.03.04.a",
        "people or roles are alerted within a set time when audit logging fails",
        "Parameters; Recipients; Latencies; Failures; Drills",
    ),
    control("03.03.04.b", "additional actions are taken", "Failures: remediation and actions"),
    control(
        "03.03.08",
        "audit information and tools are protected; unauthorised access is alerted on",
        "Failures of file.*; audit.config_change",
    ),
];
const NIST53: &[Control] = &[
    control(
        "AU-5a",
        "people or roles are alerted within a set time when audit logging fails",
        "Parameters; Recipients; Latencies; Failures",
    ),
    control("AU-5b", "additional actions are taken", "Failures: remediation and actions"),
    control(
        "AU-5(1)",
        "a warning when the storage of audit logs reaches a share of its capacity",
        "Watchers capacity and auditd.space",
    ),
    control("AU-5(2)", "real-time alerts on set events", "Latencies; Watchers kernel and canary"),
    control("AU-5(5)", "an alternate capability for logging", "auditd.spool, where it is configured"),
    control("AU-9b", "alerts on unauthorised access, change or deletion of audit information", "Failures of file.*"),
    control("AU-12", "audit records are generated", "Failures; Watchers"),
];
const PCI: &[Control] = &[
    control(
        "10.7.2",
        "failures of critical security controls are detected, alerted and addressed promptly",
        "Latencies; Failures; Drills",
    ),
    control(
        "10.7.3",
        "the response to each failure is documented: duration, cause, remediation, further actions",
        "Failures: begin, end, cause, remediation, actions",
    ),
    control("10.2.1.6", "starts, stops and pauses of audit logs are logged", "Failures of kernel and auditd"),
    control("10.3.4", "changes of existing logs raise an alert", "Failures of file.rewritten and file.truncated"),
    control("10.4.1.1", "reviews of logs are automated", "Watchers; Types of failure"),
];
const STIG: &[Control] = &[
    control(
        "RHEL-09-653040, RHEL-08-030731",
        "the SA and ISSO are told when room for audit logs is low",
        "Failures of audit.space_*; Recipients",
    ),
    control("RHEL-09-653070, RHEL-08-030020", "alerts reach a person", "Recipients; Drills"),
    control(
        "SRG-OS-000344-GPOS-00135",
        "an immediate alert on all audit failures that need one",
        "Latencies; Types of failure",
    ),
    control(
        "V-206493 (SRG-APP-000360-AU-000130)",
        "an alert within seconds when a host is not heard any more",
        "Watchers source",
    ),
    control("V-206494 (SRG-APP-000361-AU-000140)", "an alert when a host stops sending records", "Watchers source"),
];

impl Framework {
    /// The words for them.
    pub const WORDS: [(&'static str, Framework); 5] = [
        ("800-171r2", Framework::R2),
        ("800-171r3", Framework::R3),
        ("800-53", Framework::Nist53),
        ("pci", Framework::Pci),
        ("stig", Framework::Stig),
    ];

    /// Reads one of the words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Framework> {
        Framework::WORDS
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word.trim()))
            .map(|(_, framework)| framework)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let word = Framework::WORDS.into_iter().find(|(_, framework)| *framework == self);
        word.map_or("", |(word, _)| word)
    }

    /// Its controls.
    #[must_use]
    pub fn controls(self) -> &'static [Control] {
        match self {
            Framework::R2 => R2,
            Framework::R3 => R3,
            Framework::Nist53 => NIST53,
            Framework::Pci => PCI,
            Framework::Stig => STIG,
        }
    }
}
