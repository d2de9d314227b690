//! Telling others of changes: webhooks, signed, from a queue that no crash empties.
//!
//! Operators register endpoints, each with the kinds of events it wants. A change of a link or a
//! forward, and a changed final destination, leaves a row in `webhook_untold` within its own
//! transaction (a trigger of the control database writes it, and takes it back with the change);
//! reports do the same in their database, feeds have their append-only events. [`mod@intake`] makes of
//! each a **message**, whose id is the same whoever makes it, and a **delivery** for every endpoint
//! that wants it, in one transaction with taking the row away. Whatever dies in between, the next
//! look finds the row again: an event is told **at least once, under one id**.
//!
//! | file | part |
//! |---|---|
//! | `kind` | the words for what can be told |
//! | `message` | what is said: no client, no owner, no contact, no reason in a person's words |
//! | `intake` | from changes to messages and deliveries |
//! | `place` | where an endpoint may be |
//! | `store` | endpoints and deliveries in SQL, the same for both databases |
//! | `secret` | signatures (Standard Webhooks 1.0.0) |
//! | `post` | one attempt: guarded addresses, TLS, bounded time and bytes, no redirect followed |
//! | `sender` | the task: claims, attempts, what becomes of them |
//!
//! **Secrets** are in no database: each is made of the key behind the codes (`secrets/codes.key`,
//! 0600), the endpoint's number and a random salt. A rotation draws another salt; for a day both
//! sign.
//!
//! **Several gateways** look at one queue. Whoever delivers moves the delivery's time first; one who
//! dies leaves it to the others when that time has come.
//!
//! **Failure.** An attempt that fails is made again after ever longer waits, `Retry-After` honoured;
//! after too many, or too late, the delivery is `dead`, is kept to be seen, and can be sent again.
//! 410 disables the endpoint. Without the database nothing is told, and nothing lost.

mod intake;
mod kind;
mod message;
mod place;
mod post;
mod schema;
mod secret;
mod sender;
mod store;

pub use intake::{Intake, Sources, intake};
pub use kind::Kind;
pub use message::Message;
pub use place::{BadPlace, place};
pub use schema::schema;
pub use secret::{Signer, sign};
pub use sender::{Sender, SenderParts};
pub use store::{
    Claimed, Counts, Delivery, Ended, Endpoint, NewEndpoint, State, Store, Tidy, URL_BYTES_MAX,
};

use crate::{feeds, links, reports};

/// Why something could not be told or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such endpoint or delivery.
    #[error("there is no such webhook")]
    Unknown,
    /// There are as many as the configuration allows.
    #[error("there may be at most {0} webhooks")]
    TooMany(usize),
    /// The control state.
    #[error(transparent)]
    Control(#[from] links::Error),
    /// Reports.
    #[error("reports: {0}")]
    Reports(#[from] reports::Error),
    /// Feeds.
    #[error("feeds: {0}")]
    Feeds(#[from] feeds::Error),
    /// Certificates that cannot be used.
    #[error("webhooks.ca_file: {0}")]
    Certificates(String),
}
