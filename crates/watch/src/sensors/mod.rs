//! What can be read of a Linux machine, one kind of reading a file. A sensor takes a reading when it is told to, and decides
//! nothing.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod child;
pub(crate) mod content;
pub(crate) mod control;
pub(crate) mod growing;
pub(crate) mod holders;
pub(crate) mod journal_files;
pub(crate) mod log_end;
pub(crate) mod log_tail;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod process;
pub(crate) mod readable;
pub(crate) mod setting;
pub(crate) mod space;
pub(crate) mod stored;
pub(crate) mod tail;
