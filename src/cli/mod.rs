//! The command line: one file and one struct per command, each with `run(self, &Global)`.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 verification failed. Results go to
//! standard output as text or JSON, complaints and logs to standard error.

mod check;
mod check_config;
mod client;
mod declaration;
mod demo;
mod engine;
mod feed;
mod format;
mod forward;
mod layout;
mod link;
mod migrate;
mod progress;
mod remote;
mod report;
mod rules;
mod serve;
mod spool;
mod token;
mod trace;
mod webhook;
mod zone;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use nix::sys::stat::{Mode, umask};

pub use self::format::{Format, Formats};
use self::remote::Remote;
use crate::config::{self, Loaded};

/// The variable that names the data directory.
pub const DATA_DIR_VARIABLE: &str = "TRACEGATE_DATA_DIR";

/// Resolves names, converts links, carries visitors across them, and can prove afterwards what it
/// did.
#[derive(Debug, Parser)]
#[command(name = "tracegate", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The configuration; without it every key has its default.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory, instead of the configuration's [variable: TRACEGATE_DATA_DIR].
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How results are printed.
    #[command(flatten)]
    pub formats: Formats,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Check(check::CheckArgs),
    CheckConfig(check_config::CheckConfig),
    /// Say what should be so of domains, which verdicts hold against what is.
    Declaration(Remote<declaration::Declaration>),
    Engine(engine::Engine),
    Feed(Box<feed::Feed>),
    /// List, look into and decide what the public reports.
    Report(Remote<report::Report>),
    Rules(rules::Rules),
    Spool(spool::Spool),
    Migrate(migrate::Migrate),
    Link(link::Link),
    Forward(forward::Forward),
    /// Make, list and revoke tokens of the API.
    Token(Remote<token::Token>),
    Trace(Box<trace::Trace>),
    /// Say who is told of changes, and see what was not taken.
    Webhook(Remote<webhook::Webhook>),
    /// Work on the zones of a running server.
    Zone(Remote<zone::Zone>),
}

/// How a command ended that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed.
    Failed = 1,
    /// The command line or the configuration cannot be used.
    Usage = 2,
    /// What was to be verified is not as it should be.
    Verification = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Cli {
    /// Carries the command out.
    ///
    /// # Errors
    /// Whatever stopped it; [`exit_of`] knows the exit code.
    pub fn run(self) -> anyhow::Result<Exit> {
        // Whatever a command makes is its owner's alone: records and secrets above all.
        umask(Mode::from_bits_truncate(0o077));
        if !matches!(self.command, Command::Feed(_)) {
            self.global.formats.refuse_other(&[]);
        }
        match self.command {
            Command::Serve(command) => command.run(&self.global),
            Command::Demo(command) => command.run(&self.global),
            Command::Check(command) => command.run(&self.global),
            Command::CheckConfig(command) => command.run(&self.global),
            Command::Declaration(command) => command.run(&self.global),
            Command::Engine(command) => command.run(&self.global),
            Command::Feed(command) => command.run(&self.global),
            Command::Report(command) => command.run(&self.global),
            Command::Rules(command) => command.run(&self.global),
            Command::Spool(command) => command.run(&self.global),
            Command::Migrate(command) => command.run(&self.global),
            Command::Link(command) => command.run(&self.global),
            Command::Forward(command) => command.run(&self.global),
            Command::Token(command) => command.run(&self.global),
            Command::Trace(command) => command.run(&self.global),
            Command::Webhook(command) => command.run(&self.global),
            Command::Zone(command) => command.run(&self.global),
        }
    }
}

/// The exit code of an error. A reader that went away early (`| head`) is none.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    let io_kind =
        |e: &(dyn std::error::Error + 'static)| e.downcast_ref::<io::Error>().map(io::Error::kind);
    if error.chain().any(|e| io_kind(e) == Some(io::ErrorKind::BrokenPipe)) {
        Exit::Ok
    } else if error.chain().any(|e| e.is::<config::Error>()) {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

impl Global {
    /// How results are printed.
    pub fn format(&self) -> Format {
        self.formats.print()
    }

    /// The configuration, with the data directory that the command line or the environment names.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn load(&self) -> Result<Loaded, config::Error> {
        let mut loaded = match &self.config {
            Some(path) => config::load(path)?,
            None => Loaded::default(),
        };
        self.choose_data_dir(&mut loaded, std::env::var_os(DATA_DIR_VARIABLE));
        Ok(loaded)
    }

    fn choose_data_dir(&self, loaded: &mut Loaded, variable: Option<OsString>) {
        let variable = variable.filter(|v| !v.is_empty());
        let chosen = self.data_dir.as_deref().or(variable.as_deref().map(Path::new));
        if let Some(dir) = chosen {
            loaded.config.data_dir = dir.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_line_then_variable_then_file() {
        let check = |option: Option<&str>, variable: Option<&str>, expected: &str| {
            let global = Global {
                config: None,
                data_dir: option.map(PathBuf::from),
                formats: Formats::default(),
            };
            let mut loaded = Loaded::default();
            global.choose_data_dir(&mut loaded, variable.map(OsString::from));
            assert_eq!(loaded.config.data_dir, Path::new(expected));
        };
        check(None, None, "./data");
        check(None, Some(""), "./data");
        check(None, Some("/variable"), "/variable");
        check(Some("/option"), Some("/variable"), "/option");
    }
}
