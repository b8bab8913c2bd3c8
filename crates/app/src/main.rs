//! The binary `balefire`: parses the command line and hands over. See `cli` for the commands.

mod ack_link;
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

fn main() -> ExitCode {
    cli::main()
}
