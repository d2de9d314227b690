//! Sharing: feeds that we took, and all of them merged, served as response policy zones to the
//! resolvers beside us (AXFR, IXFR, NOTIFY, TSIG); and the sockets that hear of new versions of the
//! zones that we take.
//!
//! The sockets are apart from those that answer clients: a storm of transfers or of NOTIFY takes no
//! time from them. Everybody is refused who is not named: by a key, or, where a zone has none, by an
//! address. A NOTIFY from a feed's primary, or signed with its key, makes us ask that primary at
//! once, and no more than that.

mod access;
mod answer;
mod notify;
mod pack;
mod publisher;
mod rules;
mod server;
mod stream;
mod zone;

pub use access::{Registry, Sharing, Watched};
pub use notify::{NotHeard, NotifyBounds, tell};
pub use pack::{Head, Packing, TooLarge, bare};
pub use publisher::{Publisher, PublisherOptions, Wanted, WhatIsWanted};
pub use rules::{Manner, Tally, write};
pub use server::{ServeBounds, Sockets};
pub use zone::{SharedZone, Timers};
