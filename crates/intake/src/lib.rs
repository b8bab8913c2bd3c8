//! Bytes to incidents. Decoders turn what a sender wrote into drafts and say what is wrong with the rest;
//! normalisation makes incidents of drafts. Pure: knows no clock, no randomness, no I/O, and not where incidents go.

mod draft;
mod error;
pub mod formats;
mod limits;
pub mod lines;
pub mod mail;
pub mod normalise;

pub use draft::{Assigned, Draft, Kind};
pub use error::{BodyError, FieldError, ItemError, Place};
pub use limits::Limits;
