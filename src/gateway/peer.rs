//! The two ends of a connection.

use std::net::SocketAddr;

/// The two ends of the connection a request came over; an extension of API requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other end.
    pub client: SocketAddr,
    /// Ours.
    pub server: SocketAddr,
}
