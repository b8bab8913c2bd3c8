//! Laws of what follows an incident and a failure: ends, escalations, fallbacks, the health of channels, dead letters, and
//! what is kept for critical. Inputs in, records and acts out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod acks;
mod bench;
mod ends;
mod fallbacks;
mod health;
mod letters;
mod posted;
mod repeats;
mod reports;
mod set_back;

#[path = "../made/mod.rs"]
mod made;
