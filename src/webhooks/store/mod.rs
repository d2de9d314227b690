//! Endpoints and deliveries in SQL that both databases read alike.

mod deliveries;
mod endpoints;

use std::time::Duration;

use super::Kind;
use crate::clock::Timestamp;

/// The longest URL of an endpoint, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

/// Whoever is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number; never used twice.
    pub id: i64,
    /// Where to.
    pub url: String,
    /// What; empty for everything.
    pub kinds: Vec<Kind>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it is not: `asked`, or `gone` where it said so itself.
    pub why: String,
    /// The operator's own words.
    pub note: String,
    /// When it was registered.
    pub created: Timestamp,
    /// By which token.
    pub actor: String,
    /// What its secret is made of.
    pub salt: Vec<u8>,
    /// The same of the secret before, and until when that one signs, too.
    pub before: Option<(Vec<u8>, Timestamp)>,
}

/// An endpoint to be.
#[derive(Clone, Debug)]
pub struct NewEndpoint<'a> {
    /// Where to.
    pub url: &'a str,
    /// What; empty for everything.
    pub kinds: &'a [Kind],
    /// The operator's own words.
    pub note: &'a str,
    /// Random bytes.
    pub salt: [u8; 32],
    /// The token.
    pub actor: &'a str,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is to be made.
    Waiting,
    /// It was.
    Delivered,
    /// It was given up.
    Dead,
}

impl State {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|s| s.name() == name)
    }
}

/// One message on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The message's id.
    pub message: String,
    /// What is told.
    pub kind: String,
    /// How it stands.
    pub state: String,
    /// When it came into the queue, or was sent again.
    pub created: Timestamp,
    /// When it is tried next.
    pub due: Timestamp,
    /// Attempts so far.
    pub attempts: i64,
    /// When it ended; [`Timestamp::ZERO`] for not yet.
    pub ended: Timestamp,
    /// The status of the last answer; 0 for none.
    pub status: i64,
    /// What came of the last attempt; empty for none or success.
    pub outcome: String,
}

/// A delivery that is ours to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its number.
    pub id: i64,
    /// What proves that it is still ours: the time at which another may take it.
    pub until: Timestamp,
    /// This attempt, from 1.
    pub attempt: i64,
    /// When it came into the queue.
    pub created: Timestamp,
    /// The message's id.
    pub message: String,
    /// What is sent.
    pub body: String,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the delivery stands.
    pub state: State,
    /// When it is tried next.
    pub due: Timestamp,
    /// The status of the answer; 0 for none.
    pub status: u16,
    /// Why it was not taken; empty for success.
    pub outcome: &'static str,
}

/// What there is of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that wait.
    pub waiting: u64,
    /// Those that were given up and are still kept.
    pub dead: u64,
    /// When the oldest that waits came into the queue; [`Timestamp::ZERO`] for none.
    pub oldest: Timestamp,
}

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug)]
pub struct Tidy {
    /// Deliveries that were made.
    pub delivered: Duration,
    /// Those that were given up.
    pub dead: Duration,
    /// At most so many at once.
    pub limit: usize,
}

/// The queue and its endpoints.
#[derive(Debug)]
pub struct Store {
    to: Vec<(Endpoint, u64)>,
    queue_max: u64,
    now: Timestamp,
}
