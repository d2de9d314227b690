//! The tracegate binary: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use tracegate::cli::{Cli, Exit, exit_of};

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
