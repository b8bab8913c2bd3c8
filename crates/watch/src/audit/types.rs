//! The names of record types, for records that come from the kernel with a number only. `linux/audit.h`, 6.1.

/// Numbers and names, in order.
const NAMES: &[(u16, &str)] = &[
    (1006, "LOGIN"),
    (1100, "USER_AUTH"),
    (1101, "USER_ACCT"),
    (1102, "USER_MGMT"),
    (1103, "CRED_ACQ"),
    (1104, "CRED_DISP"),
    (1105, "USER_START"),
    (1106, "USER_END"),
    (1107, "USER_AVC"),
    (1108, "USER_CHAUTHTOK"),
    (1109, "USER_ERR"),
    (1110, "CRED_REFR"),
    (1111, "USYS_CONFIG"),
    (1112, "USER_LOGIN"),
    (1113, "USER_LOGOUT"),
    (1114, "ADD_USER"),
    (1115, "DEL_USER"),
    (1116, "ADD_GROUP"),
    (1117, "DEL_GROUP"),
    (1121, "TRUSTED_APP"),
    (1123, "USER_CMD"),
    (1127, "SYSTEM_BOOT"),
    (1128, "SYSTEM_SHUTDOWN"),
    (1129, "SYSTEM_RUNLEVEL"),
    (1130, "SERVICE_START"),
    (1131, "SERVICE_STOP"),
    (1300, "SYSCALL"),
    (1302, "PATH"),
    (1303, "IPC"),
    (1304, "SOCKETCALL"),
    (1305, "CONFIG_CHANGE"),
    (1306, "SOCKADDR"),
    (1307, "CWD"),
    (1309, "EXECVE"),
    (1311, "IPC_SET_PERM"),
    (1318, "OBJ_PID"),
    (1319, "TTY"),
    (1320, "EOE"),
    (1321, "BPRM_FCAPS"),
    (1322, "CAPSET"),
    (1323, "MMAP"),
    (1324, "NETFILTER_PKT"),
    (1325, "NETFILTER_CFG"),
    (1326, "SECCOMP"),
    (1327, "PROCTITLE"),
    (1328, "FEATURE_CHANGE"),
    (1329, "REPLACE"),
    (1330, "KERN_MODULE"),
    (1331, "FANOTIFY"),
    (1332, "TIME_INJOFFSET"),
    (1333, "TIME_ADJNTPVAL"),
    (1334, "BPF"),
    (1335, "EVENT_LISTENER"),
    (1400, "AVC"),
    (1700, "ANOM_PROMISCUOUS"),
    (1701, "ANOM_ABEND"),
    (1702, "ANOM_LINK"),
];

/// Only the end of an event, which auditd does not write either.
pub(crate) const END_OF_EVENT: u16 = 1320;

/// The first type that is a record; what lies below it are answers to requests.
pub(crate) const FIRST_RECORD: u16 = 1005;

/// The line that auditd would write of a record.
pub(crate) fn line(kind: u16, content: &[u8]) -> String {
    let content = String::from_utf8_lossy(content);
    // The kernel ends with a NUL; a line break inside would be two records.
    let content = content.trim_end_matches(['\0', '\n']).replace(['\n', '\r', '\0'], " ");
    match NAMES.binary_search_by_key(&kind, |(number, _)| *number) {
        Ok(place) => format!("type={} msg={content}", NAMES[place].1),
        Err(_) => format!("type=UNKNOWN[{kind}] msg={content}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::Record;
    use proptest::prelude::*;

    #[test]
    fn a_record_from_the_kernel_is_a_line_as_auditd_writes_it() {
        let line = line(1305, b"audit(1732305600.123:456): op=set audit_enabled=0 old=1\0");
        assert_eq!(line, "type=CONFIG_CHANGE msg=audit(1732305600.123:456): op=set audit_enabled=0 old=1");
        assert_eq!(Record::parse(&line).unwrap().serial, 456);
    }

    #[test]
    fn no_record_can_forge_a_second_line() {
        assert_eq!(
            line(1999, b"audit(1.0:2): a\ntype=DAEMON_END b\n"),
            "type=UNKNOWN[1999] msg=audit(1.0:2): a type=DAEMON_END b"
        );
    }

    #[test]
    fn the_names_are_in_order() {
        assert!(NAMES.is_sorted_by_key(|(number, _)| *number));
    }

    proptest! {
        #[test]
        fn any_content_of_any_type_is_one_line(kind in any::<u16>(), content in prop::collection::vec(any::<u8>(), 0..200)) {
            let line = line(kind, &content);
            prop_assert!(!line.trim_end_matches('\n').contains('\n'), "{line:?}");
        }
    }
}
