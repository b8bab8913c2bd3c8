//! Texts that are meant to break a parser, for the laws that none of them does: what a good one looks like, cut, repeated and
//! with anything put in; and those that are large. Knows no parser.

use proptest::prelude::*;
use std::time::Duration;

/// What anybody may take for one large text: a parser that goes through it more than a few times takes hours.
const TIME_MAX: Duration = Duration::from_secs(120);

/// As large as a line may be where nobody cut it.
const LARGE: usize = 10 << 20;

/// What is put in: separators, numbers at their ends, control characters, pieces of JSON.
const PIECES: [&str; 24] = [
    "",
    " ",
    "=",
    ":",
    ";",
    "\"",
    "'",
    "\n",
    "\r",
    "\0",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{fffd}",
    "{",
    "}",
    "[[",
    "\\u0000",
    "(",
    "-1",
    "0",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "1e999",
];

/// One of the good ones, changed in up to five places.
pub(crate) fn like(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![prop::sample::select(&PIECES[..]).prop_map(str::to_owned), "\\PC{0,8}"];
    let change = (any::<prop::sample::Index>(), 0_usize..12, piece);
    (prop::sample::select(good), prop::collection::vec(change, 0..5)).prop_map(|(good, changes)| {
        let mut letters: Vec<char> = good.chars().collect();
        for (place, cut, piece) in changes {
            let from = place.index(letters.len() + 1);
            let to = (from + cut).min(letters.len());
            letters.splice(from..to, piece.chars());
        }
        letters.into_iter().collect()
    })
}

/// Large texts: one letter, one of the good ones again and again, nested without end, and nothing but zeros.
pub(crate) fn large(good: &str) -> Vec<String> {
    let again = |piece: &str| piece.repeat(LARGE / piece.len().max(1));
    let mut all: Vec<String> = ["a", "=", "\0", "{\"a\":", "["].map(again).into();
    all.extend([
        again(good),
        format!("{good}{}", again("x")),
        format!("{}{good}", again("x ")),
        again(&format!("{good}\n")),
    ]);
    all
}

/// Runs a parser over all large texts, each within a time that only a bounded one keeps.
pub(crate) fn check_large(good: &'static str, parse: fn(&str)) {
    for text in large(good) {
        let begin: String = text.chars().take(20).collect();
        let bytes = text.len();
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        // One that takes for ever is left behind: the test process ends without it.
        std::thread::spawn(move || {
            parse(&text);
            done.send(()).expect("the test waits for it");
        });
        ended.recv_timeout(TIME_MAX).unwrap_or_else(|error| panic!("{error}: {bytes} bytes that begin with {begin:?}"));
    }
}
