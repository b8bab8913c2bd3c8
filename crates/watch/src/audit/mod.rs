//! What the kernel's audit and auditd say of themselves, from bytes to values. Pure; knows no watcher.

pub(crate) mod conf;
pub(crate) mod config_change;
pub(crate) mod listener;
pub(crate) mod record;
pub(crate) mod rows;
pub(crate) mod rules;
pub(crate) mod said;
pub(crate) mod serials;
pub(crate) mod state_file;
pub(crate) mod status;
pub(crate) mod types;
