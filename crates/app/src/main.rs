//! The binary `balefire`: parses the command line and hands over. See `cli` for the commands.

mod ack_link;
mod cli;
mod clock;
mod config;
mod core;
mod environment;
mod http;
mod ids;
mod import;
mod listen;
mod logs;
mod metrics;
mod process_group;
mod reception;
mod reload;
mod sample;
mod scan_marker;
mod scheduler;
mod service;
mod spool;
mod story;
mod transport;
mod watch;

use std::process::ExitCode;

/// What one thread allocates, another frees: the engine's, the workers', the view's. The C library's allocator took a
/// fifth of the engine's time for that, and kept the memory of a flood.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
