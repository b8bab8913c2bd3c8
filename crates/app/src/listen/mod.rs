//! The ways in beside HTTP: lines on the Unix socket and on standard input, and files that grow.

pub(crate) mod lines;
pub(crate) mod stdin;
pub(crate) mod tail;
