//! Cloudmarker's records: the buckets `raw`, `ext` and `com` become a draft that shows what they say, and are kept as they
//! came. Never refuses a record for the length of what is only shown of it: that is cut with a mark.

pub mod findings;
pub mod mock;
mod record;

pub(super) use record::{draft, is_record};
