//! The formats, one module each: bytes to drafts. To add one, write its module and name it here.

pub mod json;
