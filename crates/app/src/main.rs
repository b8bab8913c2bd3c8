//! The binary `balefire`: parses the command line and hands over. See `cli` for the commands.

mod cli;
mod clock;
mod config;
mod core;
mod environment;
mod http;
mod ids;
mod listen;
mod logs;
mod metrics;
mod reception;
mod reload;
mod sample;
mod service;
mod story;
mod transport;

use std::process::ExitCode;

// The system's allocator keeps what a burst of large bodies needed; this one gives it back, and is faster besides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
