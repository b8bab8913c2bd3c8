//! ci, tidy, bench.
fn main() {}
