//! What a PostgreSQL server's error means for an attempt: by its SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html,
//! of version 18). Decides nothing about what follows.

use crate::Reply;
use crate::reply;
use crate::shown::line;
use balefire_model::{Cause, Outcome};

const DETAIL_BYTES_MAX: usize = 400;

/// Whether an error of a whole statement is about what is in one of its rows, so that the others may do well without that
/// one.
#[must_use]
pub fn is_about_row(state: &str) -> bool {
    // Data, integrity, a check option, a limit of the program, a trigger's own words.
    matches!(class(state), "22" | "23" | "44" | "54" | "P0" | "38" | "39")
}

/// Whether an error is about the table: not what it was when we looked.
#[must_use]
pub fn is_about_table(state: &str) -> bool {
    matches!(class(state), "42" | "3F" | "0A") && state != INSUFFICIENT_PRIVILEGE
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// The meaning of a reply.
pub(super) fn outcome(answer: &Reply) -> Outcome {
    match answer {
        Reply::SqlRefused { state, text } => {
            let state = line(state, 5);
            let detail = format!("PostgreSQL error {state}: {}", line(text.trim(), DETAIL_BYTES_MAX));
            Outcome::Rejected { cause: cause(&state), detail }
        }
        other => reply::written(other),
    }
}

/// Whether the row without the whole incident beside it may be taken.
pub(super) fn may_be_body(answer: &Reply) -> bool {
    matches!(answer, Reply::SqlRefused { state, .. } if matches!(class(state), "22" | "54"))
}

fn class(state: &str) -> &str {
    state.get(..2).unwrap_or_default()
}

fn cause(state: &str) -> Cause {
    match state {
        INSUFFICIENT_PRIVILEGE => Cause::Auth,
        // No such database: made by somebody, sooner or later. The work is kept.
        "3D000" => Cause::Network,
        // Too many parameters or columns are our own fault; what is too long is the row's.
        "54000" | "22001" => Cause::Size,
        _ => match class(state) {
            "28" => Cause::Auth,
            // Out of disk, memory or connections.
            "53" => Cause::Quota,
            "54" => Cause::Size,
            "0A" | "22" | "23" | "3F" | "42" | "44" | "38" | "39" | "P0" => Cause::Schema,
            // Connections, standbys, deadlocks, locks, cancelled statements, shutdowns, the system; and what is unknown.
            _ => Cause::Network,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_errors_has_its_cause_and_only_faults_of_a_row_split_a_batch() {
        let check = |state: &str, expected: Cause, is_row: bool| {
            assert_eq!((cause(state), is_about_row(state)), (expected, is_row), "{state}");
        };
        for state in
            ["08006", "25006", "40P01", "55P03", "57014", "57P01", "57P03", "58030", "XX000", "3D000", "", "ä€"]
        {
            check(state, Cause::Network, false);
        }
        for state in ["28P01", "28000", "42501"] {
            check(state, Cause::Auth, false);
        }
        for state in ["53300", "53100", "53200"] {
            check(state, Cause::Quota, false);
        }
        for state in ["42P01", "42703", "3F000", "0A000"] {
            check(state, Cause::Schema, false);
            assert!(is_about_table(state), "{state}");
        }
        for state in ["22P05", "23503", "23505", "23514", "P0001", "44000"] {
            check(state, Cause::Schema, true);
        }
        for state in ["54000", "54001", "22001"] {
            check(state, Cause::Size, true);
        }
        assert!(!is_about_table("42501"));
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words_and_only_as_text() {
        let reply =
            Reply::SqlRefused { state: "42501".into(), text: "permission denied\r\nfor \u{1b}[31mtable x".into() };
        let Outcome::Rejected { cause: Cause::Auth, detail } = outcome(&reply) else { panic!("no refusal") };
        assert_eq!(detail, "PostgreSQL error 42501: permission denied\\r\\nfor \\u{1b}[31mtable x");
    }
}
