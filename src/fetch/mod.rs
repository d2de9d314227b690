//! Going out to strangers' web servers: to which addresses ([`Guard`]), and whose certificates we
//! believe ([`Trust`]). Lists are fetched under it, and the ways of targets are walked.

mod exchange;
mod guard;
mod retry;
mod trust;

pub(crate) use exchange::{Answer, Asker, Failure};
pub use guard::{ADDRESSES_MAX, Allowed, Guard, Resolve};
pub(crate) use retry::{after as retry_after, applies as may_retry_after};
pub(crate) use trust::Trust;

/// Why nobody is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What is not public is not asked, unless the configuration names it.
    #[error("{0} is not public")]
    Special(String),
    /// It cannot be found now.
    #[error("{0}")]
    Away(String),
    /// Certificates that nobody can be held to.
    #[error("{0}")]
    Certificates(String),
}
