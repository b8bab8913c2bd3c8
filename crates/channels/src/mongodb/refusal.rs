//! What a database's reply means for an attempt. Knows the error codes of MongoDB (src/mongo/base/error_codes.yml of
//! version 8.0); decides nothing about what follows.

use crate::Reply;
use crate::reply;
use crate::shown::line;
use balefire_model::{Cause, Outcome};

/// A document of this `_id`, or of another unique value, is there.
const DUPLICATE_KEY: i32 = 11_000;
/// The collection's own rules for documents, which no other form of the same data will please.
const VALIDATION_FAILURE: i32 = 121;
/// Of Atlas, for everything that it refuses before MongoDB sees it.
const ATLAS: i32 = 8_000;

/// Our credentials, or what they allow.
const AUTH: &[i32] = &[11, 13, 18, 33, 334, 391];
/// Larger than a document may be.
const SIZE: &[i32] = &[10_334, 17_419, 17_420];
/// What is in a document: its names, values, depth, or what an index makes of them.
const CONTENT: &[i32] = &[
    2, 4, 9, 14, 15, 22, 28, 40, 51, 52, 53, 54, 55, 56, 57, 121, 171, 4_406, 12_000, 16_410, 16_755, 16_766, 17_280,
    31_034, 5_739_101,
];
/// The place that we were told of: no such name, or nothing that takes documents.
const PLACE: &[i32] = &[26, 73, 166];
/// The server's own state: it is not the primary, stops, is out of memory, time or disk, or was in the way of others.
const STATE: &[i32] = &[
    1, 6, 7, 8, 24, 39, 46, 50, 63, 64, 79, 82, 89, 91, 96, 100, 112, 133, 134, 146, 150, 180, 189, 202, 222, 246, 251,
    262, 290, 317, 358, 384, 412, 462, 9_001, 10_058, 10_107, 11_600, 11_601, 11_602, 13_388, 13_435, 13_436, 14_031,
    16_500, 72_000,
];

const DETAIL_BYTES_MAX: usize = 400;

/// Whether an error of a whole command is about what is in one of its documents, so that the others may do well without
/// that one.
#[must_use]
pub fn is_about_content(code: i32) -> bool {
    CONTENT.contains(&code) || SIZE.contains(&code)
}

/// The meaning of a reply.
pub(super) fn outcome(answer: &Reply) -> Outcome {
    match answer {
        Reply::DocumentRefused { code: DUPLICATE_KEY, text } => duplicate(text),
        Reply::DocumentRefused { code, text } => rejected(*code, text, Cause::Schema),
        // A command fails for reasons that lie outside of its documents more often than not.
        Reply::CommandRefused { code, text } => rejected(*code, text, Cause::Network),
        other => reply::written(other),
    }
}

/// Whether the same data in a form of plainer names may be taken.
pub(super) fn may_be_names(answer: &Reply) -> bool {
    match answer {
        Reply::DocumentRefused { code, .. } => {
            *code != VALIDATION_FAILURE && *code != DUPLICATE_KEY && cause(*code, "", Cause::Schema) == Cause::Schema
        }
        Reply::CommandRefused { code, .. } => CONTENT.contains(code) && *code != VALIDATION_FAILURE,
        _ => false,
    }
}

/// A document of our id is ours: an earlier attempt whose answer we have not heard. One of another unique index is not.
fn duplicate(text: &str) -> Outcome {
    let index = text.split_once(" index: ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
    // `_id_`, with the collection's name before it in old versions; FerretDB names none and has no other.
    match index.map(|index| index.rsplit_once('$').map_or(index, |(_, name)| name)) {
        None | Some("_id_") => Outcome::Delivered { receipt: "there already".to_owned() },
        Some(_) => rejected(DUPLICATE_KEY, text, Cause::Schema),
    }
}

fn rejected(code: i32, text: &str, otherwise: Cause) -> Outcome {
    let detail = format!("MongoDB error {code}: {}", line(text.trim(), DETAIL_BYTES_MAX));
    Outcome::Rejected { cause: cause(code, text, otherwise), detail }
}

fn cause(code: i32, text: &str, otherwise: Cause) -> Cause {
    let has = |codes: &[i32]| codes.contains(&code);
    match code {
        ATLAS if text.contains("quota") => Cause::Quota,
        ATLAS => Cause::Auth,
        _ if has(AUTH) => Cause::Auth,
        _ if has(SIZE) => Cause::Size,
        _ if has(CONTENT) => Cause::Schema,
        _ if has(PLACE) => Cause::Gone,
        _ if has(STATE) => Cause::Network,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(code: i32, text: &str) -> Reply {
        Reply::DocumentRefused { code, text: text.to_owned() }
    }

    fn command(code: i32, text: &str) -> Reply {
        Reply::CommandRefused { code, text: text.to_owned() }
    }

    fn check(answer: &Reply, expected: &str) {
        assert_eq!(format!("{:?}", outcome(answer)), expected, "{answer:?}");
    }

    #[test]
    fn our_own_document_is_there_already_and_that_of_another_key_is_not_ours() {
        let there = "Delivered { receipt: \"there already\" }";
        check(&document(11_000, "E11000 duplicate key error collection: a.b"), there);
        check(
            &document(11_000, "E11000 duplicate key error collection: a.b index: _id_ dup key: { _id: \"x\" }"),
            there,
        );
        check(&document(11_000, "E11000 duplicate key error index: a.b.$_id_ dup key: { : \"x\" }"), there);
        check(
            &document(
                11_000,
                "E11000 duplicate key error collection: a.b index: title_1 dup key: { title: \" index: _id_ \" }",
            ),
            "Rejected { cause: Schema, detail: \"MongoDB error 11000: E11000 duplicate key error collection: a.b index: title_1 dup key: { title: \\\" index: _id_ \\\" }\" }",
        );
    }

    #[test]
    fn a_code_says_whose_fault_it_is() {
        let check = |reply: Reply, expected: Cause| match outcome(&reply) {
            Outcome::Rejected { cause, .. } => assert_eq!(cause, expected, "{reply:?}"),
            other => panic!("{reply:?}: {other:?}"),
        };
        for (code, expected) in [
            (2, Cause::Schema),
            (121, Cause::Schema),
            (10_334, Cause::Size),
            (13, Cause::Auth),
            (18, Cause::Auth),
            (10_107, Cause::Network),
            (64, Cause::Network),
            (91, Cause::Network),
            (73, Cause::Gone),
        ] {
            check(document(code, ""), expected);
            check(command(code, ""), expected);
        }
        check(document(99_999, ""), Cause::Schema);
        check(command(99_999, ""), Cause::Network);
        check(command(8_000, "you are over your space quota, using 512 MB of 512 MB"), Cause::Quota);
        check(command(8_000, "bad auth"), Cause::Auth);
    }

    #[test]
    fn plainer_names_are_tried_where_names_may_be_the_matter() {
        assert!(may_be_names(&document(2, "")) && may_be_names(&document(57, "")) && may_be_names(&command(52, "")));
        assert!(may_be_names(&document(99_999, "")));
        for reply in [document(121, ""), document(11_000, ""), document(91, ""), document(13, ""), command(91, "")] {
            assert!(!may_be_names(&reply), "{reply:?}");
        }
        assert!(!may_be_names(&Reply::Written(String::new())));
    }

    #[test]
    fn the_servers_words_are_one_harmless_line() {
        check(
            &document(2, "a\r\n\u{1b}[31m"),
            "Rejected { cause: Schema, detail: \"MongoDB error 2: a\\\\r\\\\n\\\\u{1b}[31m\" }",
        );
    }
}
