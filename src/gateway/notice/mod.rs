//! Notices: what a visitor is told before a jump, or instead of it, and what the visitor did then.
//!
//! [`TierRules`] make a tier of what is known of a jump: pure, versioned, the same for the same
//! inputs. A page is rendered from templates in the visitor's language, its wording versioned too.
//! What the visitor answers comes back with a signed token, so that nothing about open pages is kept
//! in memory and any gateway that has the keys can take the answer.
//!
//! | event | what it claims |
//! |---|---|
//! | `issued` | it was decided that this visitor sees this page, and the page was sent |
//! | `rendered` | a browser laid the page out: it asked for the style sheet that belongs to this page alone |
//! | `continued` | the visitor went on by hand, or the page went on by itself where a rule says so |
//! | `returned` | the visitor chose to go back |
//! | `reported` | the visitor reported the destination, or a mistake |
//!
//! Fetching a page is not seeing it: mail scanners and link previews fetch and do not lay out, so the
//! style sheet, which is never cached, tells them apart without a script or a third party. A text
//! browser that loads no style sheets leaves no `rendered`; whoever answered a page has seen it, so
//! counting takes the later events for it. All events of one warning have its flow. Language is
//! switched within the flow: the page is issued again in the other language.
//!
//! Every event is recorded before its answer leaves; where it cannot be, the visitor gets 503 and does
//! not go on. At `continued` policy is asked again: a page shown before a stricter rule came opens
//! nothing.
//!
//! | request | answer |
//! |---|---|
//! | GET `/.notice/{token}.css` | the style sheet, and `rendered` |
//! | GET `/.notice/{token}/zh`, `…/en` | the notice again, in that language |
//! | POST `/.notice/{token}/continue` | 303 to the target, a form for the password that was not given yet, or the page that policy now wants |
//! | POST `/.notice/{token}/return`, `…/report` | a page that says it was noted |
//! | POST `/.notice/{token}/step_up` | 303 to `step_up_url` with a signed request |
//! | GET `/.notice/{token}/granted?expires=…&sig=…` | 303 to the target |
//! | any of them too late or from another site | 303 to the link, which shows its notice anew |
//!
//! What was asked beyond the code stands behind `zh`, `en`, `continue` and `step_up` as it stood
//! behind the code, packed into one segment behind `granted`: with it the target is found again, and
//! the token says which one the visitor agreed to.

mod answer;
mod desk;
mod destination;
mod frame;
mod message;
mod name;
mod page;
mod step_up;
mod template;
mod tier;
mod token;

use std::{io, path::PathBuf};

pub(super) use answer::{Agreed, Leads, continued, event, is_elsewhere, wanted};
pub(super) use name::OwnHosts;
pub use page::Notices;
pub(super) use page::Warned;
use tier::read;
pub use tier::{Form, Inputs, Reason, Service, TierRules, Tiered};
pub use token::Keys;
pub(super) use token::{Refused, Token, digest};

use crate::config;

/// Why notices cannot be shown as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file has keys or values that do not fit.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too long.
    #[error("{path}: {length} bytes are more than {max}")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length, in bytes.
        length: u64,
        /// The limit, in bytes.
        max: u64,
    },
    /// A template does not work.
    #[error("{file}:{line}: {message}")]
    Template {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What the template engine says.
        message: String,
    },
    /// A file of wording lacks a key.
    #[error("{file}: the key \"{key}\" is missing. Add it, or remove the file to use our wording.")]
    Word {
        /// The file.
        file: String,
        /// The key's path.
        key: String,
    },
    /// A directory with templates of its own does not say which edition they are.
    #[error("{0}: there are templates here and no notices.toml. Add one with version = \"…\".")]
    Edition(PathBuf),
    /// A page is too large to be sent.
    #[error("the page {page} takes {length} bytes, more than {max}")]
    Large {
        /// The page.
        page: String,
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        max: usize,
    },
}

/// What is wrong with a declared version; it stands in every record.
fn bad_version(version: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if version.is_empty() || version.len() > tier::VERSION_MAX || !version.chars().all(fits) {
        return Some(format!(
            "\"{}\" is not 1 to {} of A-Z a-z 0-9 . _ -",
            version.escape_debug(),
            tier::VERSION_MAX
        ));
    }
    None
}

/// What is wrong with the files that `gateway` names, without serving anything: every page is made
/// once.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(gateway: &config::Gateway) -> Result<(), Error> {
    let keys = Keys { current: [0; 32], previous: None, step_up: [0; 32] };
    Notices::open(gateway, "", keys).map(drop)
}
