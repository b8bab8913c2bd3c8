//! The journal (segment files) and its view (SQLite)
