//! Gathering: asking sources, within bounds, and keeping what they say.
//!
//! Resolution is asked from the root down, of name servers alone: no resolver, no cache of
//! anybody's stands between. What is not public is not asked, wherever a delegation points.

mod ask;
pub mod network;
pub(in crate::verify) mod own;
mod pace;
pub mod registry;
mod reverse;
mod session;
pub mod vantage;
mod walk;
mod zone;

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use self::{
    ask::Asker,
    session::Session,
    walk::{Led, Walker},
};
use super::{
    Unclear,
    dns::{
        plan::{Plan, Server},
        reply::OwnName,
    },
    evidence::Bundle,
    quorum::Sees,
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
    let session = session(settings, clock);
    let walker = walker(settings, &session);
    let plan = zone::gather(&walker, host, domain, probe).await;
    reverse::gather(&walker, host).await;
    drop(walker);
    let bundle = session.into_bundle(&plan);
    (plan, bundle)
}

/// What this place sees of `host`, from the root down and no further than its addresses.
pub async fn seen(settings: &Settings, clock: &Clock, host: &OwnName) -> Sees {
    let session = session(settings, clock);
    let led = walker(settings, &session).addresses(host, 0).await;
    match led {
        Led { addresses, .. } if !addresses.is_empty() => Sees::addresses(addresses),
        Led { is_missing: true, .. } => Sees::Missing,
        Led { is_known: true, .. } => Sees::Nothing,
        Led { .. } => Sees::Unknown { cause: Unclear::Transport },
    }
}

fn session<'a>(settings: &'a Settings, clock: &'a Clock) -> Session<'a> {
    let (timeout, attempts) = (settings.timeout, settings.attempts);
    Session::new(settings, Asker { timeout, attempts, recursion: false }, clock)
}

fn walker<'a>(settings: &Settings, session: &'a Session<'a>) -> Walker<'a> {
    let roots = settings.roots.iter();
    let roots = roots.map(|(name, address)| Server { name: name.clone(), address: *address });
    Walker::new(session, roots.collect(), settings.servers_max)
}
