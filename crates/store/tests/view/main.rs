//! The laws of the view: each record counts once whatever happens between, and queries mean what they say. Data goes in
//! as records and comes out as answers; the files are looked at only to break them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod apply;
mod broken;
mod made;
mod many;
mod queries;
mod speed;
