//! What this node itself knows of names, handed in: its zones, its answers, its rules, its history.
//! Verification takes that as evidence like anybody else's word.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A rule about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// The feed that the rule is in.
    pub feed: String,
    /// Its version.
    pub feed_version: u64,
    /// What the rule matches.
    pub rule: String,
    /// What is done.
    pub action: String,
}

/// An address that a name was seen to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenBefore {
    /// The address.
    pub address: IpAddr,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

/// Asks passive DNS which addresses a name has had since a time; the error is that nobody answers.
pub type History =
    Box<dyn Fn(String, Timestamp) -> BoxFuture<'static, Result<Vec<SeenBefore>, ()>> + Send + Sync>;

/// Asks to which URLs names of a domain were seen to redirect since a time.
pub type Redirects =
    Box<dyn Fn(String, Timestamp) -> BoxFuture<'static, Result<Vec<String>, ()>> + Send + Sync>;

/// The records, which can be asked only once the store is there.
pub struct Records {
    /// Passive DNS.
    pub history: History,
    /// Walks.
    pub redirects: Redirects,
}

/// Asks what clients are told: a name and a type into a whole message.
pub type Served = Box<dyn Fn(String, u16) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync>;

/// Zones with their serials.
pub type Zones = Box<dyn Fn() -> Vec<(String, u32)> + Send + Sync>;

/// Finds the zone of its own that holds a name.
pub type ZoneOf = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Asks a zone of its own: a name and a type into a whole message.
pub type Held = Box<dyn Fn(&str, u16) -> Option<Vec<u8>> + Send + Sync>;

/// Finds the first rule about a name that does anything at a time.
pub type Rules = Box<dyn Fn(&str, Timestamp) -> Option<Listed> + Send + Sync>;

/// What this node itself knows.
pub struct Here {
    /// The zones that it serves.
    pub zones: Zones,
    /// The zone of its own that holds a name.
    pub zone_of: ZoneOf,
    /// What that zone says: a name and a type into a whole message.
    pub held: Held,
    /// What clients are told.
    pub served: Served,
    /// Whether clients are told anything of names of others.
    pub resolves: bool,
    /// The first rule about a name that does anything.
    pub listed: Rules,
    /// The records, as soon as there is somebody to ask.
    pub records: Arc<OnceLock<Records>>,
}

/// One who serves no zone, tells nobody anything and remembers nothing.
impl Default for Here {
    fn default() -> Self {
        Self {
            zones: Box::new(Vec::new),
            zone_of: Box::new(|_| None),
            held: Box::new(|_, _| None),
            served: Box::new(|_, _| Box::pin(std::future::ready(None))),
            resolves: false,
            listed: Box::new(|_, _| None),
            records: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Here")
    }
}
