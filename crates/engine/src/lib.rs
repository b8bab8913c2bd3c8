//! Every decision: admit, route, deliver, replay. `step(now, input)` gives the records to write and the acts to do once
//! they are durable; the same inputs give the same effects. Knows no clock, no randomness, no disk and no network.

pub mod matcher;
pub mod route;
