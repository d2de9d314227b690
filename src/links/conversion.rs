//! What is asked of links, and what comes of it.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Actor, Error, ForwardFrom, LinkSettings, Refusal, Revision, State, change::SettingsEdit,
};
use crate::{clock::Timestamp, record::RecordId};

/// What a new link shall be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The target as submitted.
    pub target: String,
    /// The code wanted; none for a generated one.
    pub code: Option<String>,
    /// When it ends; [`Timestamp::ZERO`] for never. One that is taken over from elsewhere may have
    /// ended.
    pub expires: Timestamp,
    /// Whether it is stopped from the beginning: its code is taken, and leads nowhere.
    pub disabled: bool,
    /// Whose it is.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The host it is served at, one of `gateway.domains`; empty for every host of ours.
    pub domain: String,
    /// What else is set.
    pub settings: LinkSettings,
    /// The request, so that the same one is known again; empty without.
    pub request: String,
    /// Whether a link of the same owner that is the same in everything will do.
    pub reuse: bool,
    /// What it forwards, where it is a forward: code and domain follow from it.
    pub forward: Option<ForwardFrom>,
}

/// What shall change; none leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The target as submitted.
    pub target: Option<String>,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Option<Timestamp>,
    /// Whether it may be followed.
    pub state: Option<State>,
    /// The host it is served at.
    pub domain: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// What else is set.
    pub settings: SettingsEdit,
    /// Why.
    pub reason: String,
    /// Only if this is the newest revision.
    pub revision: Option<u32>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct By {
    /// The token.
    pub actor: Actor,
    /// The connection.
    pub client: SocketAddr,
}

/// How a conversion came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was made for this request.
    New,
    /// This request had made it before.
    Repeated,
    /// Another one was as good, or nothing was to be changed.
    Same,
}

/// A conversion that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The newest revision, or the one that the same request made before.
    pub revision: Revision,
    /// The record of the conversion; none when nothing was made.
    pub record: Option<RecordId>,
    /// How it came about.
    pub how: How,
}

/// Why there was no conversion.
#[derive(Debug, thiserror::Error)]
pub enum NotConverted {
    /// The target is none.
    #[error(transparent)]
    Target(#[from] Refusal),
    /// Nobody may choose that code.
    #[error("this code cannot be chosen")]
    Code,
    /// The end lies in the past.
    #[error("the end lies in the past")]
    Past,
    /// A rule in force lists the target.
    #[error("the target is listed: {0}")]
    Listed(Box<ListedBy>),
    /// The last verdict on the target, or a finding of it, lets no link lead there.
    #[error("the target is not as it should be: {0}")]
    Refuted(&'static str),
    /// A list without which no jump is made is not there.
    #[error("a list without which no jump is made is not in force")]
    Closed,
    /// The token is for the links of somebody else.
    #[error("the token acts for one owner alone")]
    Scope,
    /// The host is none of ours.
    #[error("no links are served at this host")]
    Domain,
    /// A reason why a link is stopped, for one that is not.
    #[error("the link is not stopped")]
    NotStopped,
    /// The host must not be forwarded.
    #[error("this host cannot be forwarded: {0}")]
    Host(Refusal),
    /// A rule in force lists the host, or its path.
    #[error("this host cannot be forwarded, it is listed: {0}")]
    HostListed(Box<ListedBy>),
    /// The host to forward is in no zone of ours.
    #[error("no zone served here holds this host")]
    Foreign,
    /// The way comes back to where it began, through these.
    #[error("the way comes back to itself: {}", .0.join(" -> "))]
    Loop(Vec<String>),
    /// The way passes too many links and forwards, these.
    #[error("the way passes too many links and forwards: {}", .0.join(" -> "))]
    TooManyHops(Vec<String>),
    /// The request asked for something else before.
    #[error("this request asked for something else before")]
    OtherRequest,
    /// The owner has as many links as there may be.
    #[error("the owner has as many links as api.limits.owner_links_max allows: {0}")]
    OwnerFull(u64),
    /// The control state could not be changed.
    #[error(transparent)]
    Control(#[from] Error),
    /// The same for all that were to be changed at once.
    #[error(transparent)]
    Together(Arc<Error>),
}

/// The rule that lists something, for whoever is refused because of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedBy {
    /// What is listed: the host, or the URL without its query.
    pub what: String,
    /// The feed's name.
    pub feed: String,
    /// The feed's version.
    pub feed_version: String,
    /// The rule: its trigger's text.
    pub rule: String,
    /// What being listed means.
    pub tier: &'static str,
    /// Who ordered it; empty for unsaid.
    pub authority: String,
    /// The order's number; empty for unsaid.
    pub order_number: String,
}

impl std::fmt::Display for ListedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by rule {} of feed {}", self.what, self.rule, self.feed)
    }
}

/// What the rules in force would make of a jump to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It would go on.
    No,
    /// This rule would stop it.
    Yes(Box<ListedBy>),
    /// Nobody can say: a list without which no jump is made is not there.
    Unknown,
}
