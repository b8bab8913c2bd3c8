//! The ways in beside HTTP: lines on the Unix socket and on standard input, files that grow, and the spool.

pub(crate) mod lines;
pub(crate) mod spool;
pub(crate) mod stdin;
pub(crate) mod tail;
