//! The listeners: sockets on one side, one decision per query on the other.
//!
//! # DNS
//!
//! [`Bound`] binds, [`Dns`] serves. Both transports call the same `front`: parse, access control,
//! response rate limit (UDP only, whose sources can be forged), resolver. What comes out is a
//! response and the row that says so.
//!
//! **UDP** (`udp`): per core one thread with its own sockets, one per address of `dns.listen`, so
//! that a reply leaves from the address asked; the kernel spreads clients over the threads
//! (`SO_REUSEPORT`). A turn receives a batch, decides, commits its rows to the thread's own lane
//! and only then sends. A hit takes no lock and no allocation; a miss is resolved on the shared
//! runtime and comes back to its thread.
//!
//! **TCP** (`stream`): our own accept loop and framing rather than `hickory-server`'s, because the
//! invariants below cannot be had there (0.26.3): a handler gets no way to send bytes that are
//! ready, so each answer would be parsed and encoded again and could differ from its record; there
//! is no bound on connections, and none can be put around it; questions of one connection are
//! answered one after another; `ECONNABORTED` ends the listener; and a stop aborts what is in
//! flight.
//!
//! # Invariants
//!
//! - A response with a parsed question leaves only after its record is kept, or counted in an open
//!   gap row where its policy is `shed`. Where the spool refuses the record *nothing is sent*, not
//!   even SERVFAIL: that would be an unrecorded response as well. The query is counted in
//!   `unrecorded`; a UDP client asks another server after its timeout, a TCP connection is closed.
//! - Counted only, never recorded: what is no query, refusals of access control, and whatever the
//!   rate limit holds back or truncates. Junk must not fill the spool. The first two are under the
//!   rate limit themselves, so that we reflect nothing to a forged source beyond it.
//! - A query that a full table of waiting queries turns away gets SERVFAIL, with a record.
//! - Bounded: waiting queries per thread (`misses_max`), connections (`tcp_connections_max`, where
//!   the one idle for longest makes way), questions of a connection (`tcp_pipeline_max`), a query's
//!   size, the rate limit's table. Buffers are made once.
//!
//! # Failure and stop
//!
//! A thread or an accept loop that ends unasked is fatal ([`Dns::ended`]); errors of single packets
//! and connections are not. [`Dns::stop`] answers what has already arrived, waits for upstreams
//! within the grace, and closes the lanes; what the grace cuts off is neither answered nor recorded,
//! and counted in `abandoned`.

mod acl;
mod batch;
mod bind;
mod dns;
mod front;
pub mod http;
mod idle;
mod misses;
mod rate;
mod responses;
mod stream;
mod tally;
mod udp;

use std::{io, net::SocketAddr};

pub use bind::Bound;
pub use dns::{Dns, Ended, Parts};
use nix::errno::Errno;

use crate::spool;

/// Why listening failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be bound.
    #[error("dns.listen: {address} cannot be bound for {protocol}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel would choose whom replies come from.
    #[error("dns.listen: {0} stands for every address of the machine; name each")]
    Wildcard(SocketAddr),
    /// A thread cannot be started, or a socket cannot be handed to the runtime.
    #[error("a listener cannot be started: {0}")]
    Start(#[source] io::Error),
    /// Waiting for sockets failed.
    #[error("waiting for sockets failed: {0}")]
    Wait(#[source] Errno),
    /// Receiving failed for a reason that does not pass.
    #[error("receiving failed: {0}")]
    Receive(#[source] Errno),
    /// A lane could not be opened or closed.
    #[error("spool: {0}")]
    Spool(#[from] spool::Error),
    /// A thread panicked.
    #[error("a UDP thread panicked")]
    Panicked,
    /// A listener did not end within the grace.
    #[error("{0} listeners did not end within the grace")]
    Stuck(usize),
}

impl Error {
    fn bind(address: SocketAddr, protocol: &'static str, source: io::Error) -> Self {
        Self::Bind { address, protocol, source }
    }
}
