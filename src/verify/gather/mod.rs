//! Gathering: asking sources, within bounds, and keeping what they say.
//!
//! Resolution is asked from the root down, of name servers alone: no resolver, no cache of
//! anybody's stands between. What is not public is not asked, wherever a delegation points.

mod ask;
mod pace;
pub mod registry;
mod session;
mod walk;
mod zone;

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use self::{ask::Asker, session::Session, walk::Walker};
use super::{
    dns::{
        plan::{Plan, Server},
        reply::OwnName,
    },
    evidence::Bundle,
};
use crate::clock::Clock;

/// How name servers are asked, and how much.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers of the root: name and address.
    pub roots: Vec<(OwnName, IpAddr)>,
    /// The port of every name server: 53.
    pub port: u16,
    /// Special-purpose addresses that may be asked all the same.
    pub servers_allow: Vec<IpNet>,
    /// How often a server is asked over UDP.
    pub attempts: u8,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long everything may take.
    pub deadline: Duration,
    /// The most questions of one verification.
    pub questions_max: u32,
    /// The most servers of one zone that are asked.
    pub servers_max: usize,
    /// How long what was said may be believed.
    pub keep: Duration,
    /// What this place is called.
    pub vantage: String,
}

/// What the DNS says of `host`; `domain` is the registrable domain it is in, `probe` a label that
/// nobody has.
pub async fn resolution(
    settings: &Settings,
    clock: &Clock,
    host: &OwnName,
    domain: &OwnName,
    probe: &str,
) -> (Plan, Bundle) {
    let asker = Asker { timeout: settings.timeout, attempts: settings.attempts };
    let session = Session::new(settings, asker, clock);
    let roots = settings.roots.iter();
    let roots = roots.map(|(name, address)| Server { name: name.clone(), address: *address });
    let walker = Walker::new(&session, roots.collect(), settings.servers_max);
    let plan = zone::gather(&walker, host, domain, probe).await;
    drop(walker);
    let bundle = session.into_bundle(&plan);
    (plan, bundle)
}
