//! The journal (segment files) and its view (SQLite)

pub mod contract;
pub mod journal;
pub mod view;
