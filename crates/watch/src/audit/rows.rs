//! `/proc/net/netlink`: who holds a socket of the kernel's audit. Everybody may read it, and a row goes the moment its
//! process does, while `AUDIT_GET` keeps naming a dead one.

/// NETLINK_AUDIT, in the column `Eth`.
const AUDIT: &str = "9";

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its port, which for an audit daemon is its process id; 0 is the kernel's own socket.
    pub(crate) port: u64,
    /// The multicast groups; an audit daemon has none, a reader of the multicast has 1.
    pub(crate) groups: u64,
    /// Bytes that wait to be read.
    pub(crate) waiting: u64,
    /// Records that found no room.
    pub(crate) drops: u64,
}

/// The rows of audit sockets. A line that cannot be read is no row.
pub(crate) fn rows(table: &str) -> Vec<Row> {
    table.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    if columns.next()? != AUDIT {
        return None;
    }
    let port = columns.next()?.parse().ok()?;
    let groups = u64::from_str_radix(columns.next()?, 16).ok()?;
    let waiting = columns.next()?.parse().ok()?;
    // Wmem, Dump and Locks stand before it.
    let drops = columns.nth(3)?.parse().ok()?;
    Some(Row { port, groups, waiting, drops })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use proptest::prelude::*;

    #[test]
    fn the_rows_of_audit_are_told_from_the_others() {
        let table = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                     00000000a1 0   0          00000000 0        0        0     2        0        4\n\
                     00000000a2 9   0          00000000 0        0        0     2        0        5\n\
                     00000000a3 9   105        00000000 212736   0        0     2        227      90\n\
                     00000000a4 9   77         00000001 0        0        0     2        0        91\n\
                     00000000a5 9   what\n";
        let found = rows(table);
        let row = |port, groups, waiting, drops| Row { port, groups, waiting, drops };
        assert_eq!(found, [row(0, 0, 0, 0), row(105, 0, 212_736, 227), row(77, 1, 0, 0)]);
    }

    const GOOD: [&str; 1] = [
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n0000000012345678 9   123        00000000 0        0        0     2        0        4567\n",
    ];

    proptest! {
        #[test]
        fn any_table_is_rows(table in like(&GOOD)) {
            rows(&table);
        }
    }

    #[test]
    fn a_table_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |table| drop(rows(table)));
    }
}
