//! PostgreSQL for control state that several nodes share: settings, connections, schema.
//!
//! Callers block; the connections are driven by one thread of the [`Pool`]. A caller may itself be
//! inside a runtime: it is parked, not entered. Every statement has two limits, the server's own
//! (`statement_timeout`) and, a little later, ours: a server that hangs is found out, and its
//! connection is closed.
//!
//! **Failure.** After a connection could not be made or was lost, the database counts as away for
//! [`RETRY`]: whoever asks meanwhile is refused at once, one caller tries again after it. A commit
//! that was sent and not answered is [`Error::InDoubt`]: it may come true until its session has
//! ended on the server.
//!
//! **Secrets.** The password comes from a file that is ours alone. It is in no message, log or
//! argument; a url that holds one is refused. Over a network TLS is required, with the server's
//! name verified, unless the url says `sslmode=disable`.

mod migrate;
mod pool;
mod session;
mod settings;
mod tls;
mod wait;

use std::{path::PathBuf, time::Duration};

pub use migrate::apply;
pub use pool::{Pool, Pooled};
pub use session::{Session, Transaction, Values};
pub use settings::{Settings, refuse_url};
use tokio_postgres::error::SqlState;

/// How long the database counts as away after it could not be reached.
pub const RETRY: Duration = Duration::from_millis(500);

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is of a newer build.
    #[error("the database has schema {found}, this build knows {known}")]
    Newer {
        /// The database's schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A migration's text is not what was applied.
    #[error("migration {0} of the database is not the one that was applied")]
    Altered(u32),
    /// It cannot be reached, or not in time. Nothing was changed.
    #[error("PostgreSQL cannot be reached: {0}")]
    Down(String),
    /// Every connection is in use.
    #[error("every connection to PostgreSQL is in use")]
    Busy,
    /// A commit was sent and not answered: it may or may not come true.
    #[error("PostgreSQL was lost in the middle of a commit")]
    InDoubt,
    /// The database refused a statement.
    #[error("PostgreSQL: {}", told(.0))]
    Sql(tokio_postgres::Error),
    /// The url.
    #[error("{0}")]
    Url(&'static str),
    /// Others may read the password.
    #[error("{0}: others may read it; give it mode 0600 and an owner that is us or root")]
    Exposed(PathBuf),
    /// A file, or the thread of the connections.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the database refused because of a condition of this kind.
    pub fn is(&self, state: &SqlState) -> bool {
        matches!(self, Self::Sql(e) if e.code() == Some(state))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Self {
        let away = match e.code() {
            Some(code) => {
                let class = code.code();
                class.starts_with("08") || class.starts_with("57P") || class == "53300"
            }
            // What the server did not say is the connection's.
            None => e.as_db_error().is_none() && (e.is_closed() || is_io(&e)),
        };
        if away { Self::Down(told(&e)) } else { Self::Sql(e) }
    }
}

fn is_io(e: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(e);
    source.is_some_and(|s| s.is::<std::io::Error>())
}

/// The server's words, which the crate's own text leaves out.
fn told(e: &tokio_postgres::Error) -> String {
    match (e.as_db_error(), std::error::Error::source(e)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(source)) => format!("{e}: {source}"),
        (None, None) => e.to_string(),
    }
}
