//! Where lists come from: the seam between fetching and everything after it.
//!
//! Files and directories below configured roots ([`Files`]), web servers ([`Https`]) and zones at
//! name servers stand behind one door ([`Sources`]). Whatever goes over the network passes the
//! [`Guard`].
//!
//! A [`Source`] looks whether there is something new and brings it as a file, whole, hashed and on
//! disk ([`Incoming`]). It neither parses nor judges. What it could not bring changes nothing.

mod beneath;
mod files;
mod https;
mod incoming;
mod signature;
mod sources;
mod verdicts;

use std::{path::Path, time::Duration};

pub use files::Files;
use futures_util::future::BoxFuture;
pub use https::{Https, HttpsBounds};
pub use incoming::{Incoming, Part};
pub use sources::Sources;
pub use verdicts::{Tell, Verdicts};

use super::{FeedSpec, Meter};
use crate::fetch;
pub use crate::fetch::{ADDRESSES_MAX, Guard, Resolve};

/// What a source is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The feed's settings.
    pub spec: &'a FeedSpec,
    /// What the source said of its last answer ([`Brought::validator`]); empty for none.
    pub validator: &'a str,
    /// The bytes of the newest version, as received; none when there is none.
    pub last: Option<&'a Path>,
    /// The directory for files that are being received.
    pub incoming: &'a Path,
    /// The longest list, in bytes.
    pub bytes_max: u64,
    /// Where it counts the bytes that it receives.
    pub meter: &'a Meter,
}

/// What a source brought.
#[derive(Debug)]
pub struct Brought {
    /// The list.
    pub list: Part,
    /// What the law wants known of its rules, where that is a file of its own.
    pub manifest: Option<Part>,
    /// Where it came from: the path, or the address after redirects.
    pub from: String,
    /// Who signed it, or the key that the transfer was signed with; empty for nobody.
    pub signer: String,
    /// What to ask with next time, so that nothing is sent twice: an entity tag, a serial.
    pub validator: String,
}

/// What came of a look.
#[derive(Debug)]
pub struct Looked {
    /// What is new; none when nothing is.
    pub brought: Option<Brought>,
    /// When the source itself wants to be asked again; none for the feed's own time.
    pub again_after: Option<Duration>,
    /// How long what it has stays good when it is not reached again; none where it does not say.
    pub expires_after: Option<Duration>,
}

impl Looked {
    /// Nothing is new.
    pub const SAME: Self = Self { brought: None, again_after: None, expires_after: None };
}

/// Why a source brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be reached, or not be read. Later it may.
    #[error("{0}")]
    Away(String),
    /// It wants to be left alone for so long.
    #[error("{0}")]
    Busy(String, Duration),
    /// What it has is refused: unsigned, cut short, not where lists may be. Asking again helps
    /// only when something changes there.
    #[error("{0}")]
    Refused(String),
    /// The list is longer than a list may be.
    #[error("the list is longer than {0} bytes")]
    TooLong(u64),
}

impl SourceError {
    /// When the source itself wants to be asked again; none where it does not say.
    pub const fn again_after(&self) -> Option<Duration> {
        match self {
            Self::Busy(_, after) => Some(*after),
            _ => None,
        }
    }
}

impl From<fetch::Error> for SourceError {
    fn from(e: fetch::Error) -> Self {
        match e {
            fetch::Error::Away(why) => Self::Away(why),
            fetch::Error::Special(_) => {
                Self::Refused(format!("{e}; the configuration can name it in feeds.allowed_hosts"))
            }
            fetch::Error::Certificates(why) => Self::Refused(why),
        }
    }
}

/// Somewhere that lists come from.
pub trait Source: Send + Sync {
    /// Looks, and brings what is new.
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>>;

    /// Forgets a feed that ended or has other settings: nobody tells us of it any more.
    fn forget(&self, _feed: &str) {}
}
