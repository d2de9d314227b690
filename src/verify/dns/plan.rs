//! Which zones and servers a verification is about.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::reply::OwnName;

/// A name server at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its name.
    pub name: OwnName,
    /// The address.
    pub address: IpAddr,
}

/// What was asked about, as the walk from the root found it. Names without the trailing dot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The name that somebody wants to know about.
    pub host: String,
    /// The zone it is in, or would be in: never above the registrable domain.
    pub zone: String,
    /// The zones above, from the root down; the last is the zone's parent.
    pub above: Vec<String>,
    /// The addresses of the zone's servers that were asked, by their names.
    pub servers: Vec<(String, IpAddr)>,
    /// The servers for whose name there was no address.
    pub nowhere: Vec<String>,
    /// A name in the zone that nobody has made.
    pub probe: String,
}
