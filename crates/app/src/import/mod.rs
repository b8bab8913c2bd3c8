//! Configurations of other systems become ours: what is written, and a report of every setting. Pure: files are read and
//! written by the command.

pub(crate) mod cloudmarker;
mod out;
mod report;

pub(crate) use out::{Out, yaml};
pub(crate) use report::{At, Report, Verdict};
