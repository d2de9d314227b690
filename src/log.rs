//! Application logs: lines on standard error, for people or as JSON.
//!
//! Never a line per query; never a client, a name asked, a code or a secret.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `log.filter` is not a list of directives.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs were set up before.
    #[error("logs are already set up: {0}")]
    Again(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends the process's logs to standard error. Once, before the first line.
///
/// # Errors
/// A bad filter, or a second call.
pub fn init(config: &Log) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let lines = fmt().with_writer(stderr).with_env_filter(filter);
    match config.format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).try_init()?,
    }
    Ok(())
}
