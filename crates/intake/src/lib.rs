//! Formats: bytes to incidents; pure
