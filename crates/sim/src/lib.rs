//! Seeded simulator: disk, network, clock, crashes; and its checkers
