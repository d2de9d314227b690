//! The tracegate binary: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use tracegate::cli::{Cli, Exit, exit_of};

/// Gives back to the system what a replaced list has left behind: the system's own allocator keeps
/// it, thread by thread, until there is twice as much as is in use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stderr, reason = "the one place that says why a command failed")]
fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit_of(&error);
            if exit != Exit::Ok {
                eprintln!("tracegate: {error:#}");
            }
            exit.into()
        }
    }
}
