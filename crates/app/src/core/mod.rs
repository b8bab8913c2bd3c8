//! The run loop: inputs come in by the mailbox, the engine decides, the journal makes it durable, acts are done. One
//! thread of its own owns engine and journal; another keeps the view up to date. Decides nothing itself.

pub(crate) mod alarm;
mod driver;
mod durable;
mod gather;
mod incidents;
mod mailbox;
mod noting;
mod open;
mod settings;
mod viewer;
mod workers;

pub(crate) use driver::Stopping;
pub(crate) use durable::Durable;
pub(crate) use mailbox::{Mailbox, Unavailable};
pub(crate) use open::{Core, start};
pub(crate) use viewer::catch_up;
