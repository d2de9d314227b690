//! From the root down to the zone of a name, by referrals.
//!
//! A walk begins at the deepest zone that this verification has seen already. It asks the servers
//! of a zone one after another until one says something useful: where to go on, or that there is
//! nowhere further to go.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use domain::base::{Rtype, ToName as _, iana::OptRcode};
use futures_util::future::{BoxFuture, FutureExt as _, join_all};

use super::session::Session;
use crate::verify::dns::{
    plan::Server,
    reply::{self, OwnName, Reply, lower, of, targets},
};

/// How many servers of a zone are tried before the walk ends there.
const TRIES_MAX: usize = 4;

/// How deep walks for the addresses of name servers may lie in each other, and aliases in chains.
const DEPTH_MAX: usize = 6;

/// The most zones from the root to a name.
const ZONES_MAX: usize = 16;

/// A zone and who serves it.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub zone: OwnName,
    /// Those whose addresses are known.
    pub servers: Vec<Server>,
    /// The names of those whose addresses are not.
    pub without: Vec<OwnName>,
}

/// How a walk ended.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// The zones, from the root down.
    pub cuts: Vec<Cut>,
    /// What the last of them says of the name, with authority; none where nobody said anything.
    pub last: Option<Arc<Reply>>,
}

/// What a name leads to in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Led {
    pub addresses: Vec<IpAddr>,
    /// Whether somebody with authority said anything.
    pub is_known: bool,
    /// Whether that was that there is no such name.
    pub is_missing: bool,
}

/// Walks of one verification.
pub(super) struct Walker<'a> {
    pub session: &'a Session<'a>,
    pub servers_max: usize,
    known: Mutex<HashMap<OwnName, Cut>>,
    root: Cut,
}

impl<'a> Walker<'a> {
    pub(super) fn new(session: &'a Session<'a>, roots: Vec<Server>, servers_max: usize) -> Self {
        let root = Cut { zone: OwnName::root_bytes(), servers: roots, without: Vec::new() };
        Self { session, servers_max, known: Mutex::default(), root }
    }

    /// The way to the zone of `name`.
    pub(super) async fn walk(&self, name: &OwnName, qtype: Rtype, depth: usize) -> Way {
        let mut way = Way { cuts: self.start(name), last: None };
        while way.cuts.len() < ZONES_MAX {
            let Some(cut) = way.cuts.last() else { break };
            match self.step(cut, name, qtype, depth).await {
                Step::Down(next) => {
                    let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.insert(next.zone.clone(), next.clone());
                    drop(known);
                    way.cuts.push(next);
                }
                Step::Here(reply) => {
                    way.last = Some(reply);
                    break;
                }
                Step::Stuck => break,
            }
        }
        way
    }

    /// The zones on the way to `name` that are known already.
    fn start(&self, name: &OwnName) -> Vec<Cut> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cuts: Vec<Cut> = name
            .iter_suffixes()
            .filter_map(|s| known.get(&s.to_name::<bytes::Bytes>()).cloned())
            .collect();
        cuts.push(self.root.clone());
        cuts.reverse();
        cuts
    }

    /// What the servers of a zone say of a name.
    async fn step(&self, cut: &Cut, name: &OwnName, qtype: Rtype, depth: usize) -> Step {
        let servers = self.reachable(cut, depth).await;
        for server in servers.iter().take(TRIES_MAX) {
            let Ok(reply) = self.session.ask(&cut.zone, server, name, qtype).await else {
                continue;
            };
            if let Some(zone) = reply.referral(&cut.zone, name) {
                return Step::Down(delegated(&cut.zone, zone, &reply));
            }
            if reply.is_final() {
                return Step::Here(reply);
            }
        }
        Step::Stuck
    }

    /// The servers of a zone that have addresses; where none came along, those of its first names
    /// are looked for.
    pub(super) fn reachable<'s>(
        &'s self,
        cut: &'s Cut,
        depth: usize,
    ) -> BoxFuture<'s, Vec<Server>> {
        async move {
            if !cut.servers.is_empty() || depth >= DEPTH_MAX {
                return cut.servers.clone();
            }
            let names = cut.without.iter().take(TRIES_MAX);
            let found = join_all(names.map(|n| self.addresses(n, depth + 1))).await;
            cut.without.iter().zip(found).flat_map(|(n, led)| at(n, &led.addresses)).collect()
        }
        .boxed()
    }

    /// Where a name leads, over its aliases.
    pub(super) fn addresses<'s>(&'s self, name: &'s OwnName, depth: usize) -> BoxFuture<'s, Led> {
        async move {
            let mut led = Led::default();
            if depth >= DEPTH_MAX {
                return led;
            }
            let way = self.walk(name, Rtype::A, depth).await;
            let (Some(cut), Some(last)) = (way.cuts.last(), way.last) else { return led };
            led.is_known = true;
            led.is_missing = last.rcode == OptRcode::NXDOMAIN;
            let aliases = last.answers(name, Rtype::CNAME);
            if let Some(alias) = targets(aliases).first() {
                return self.addresses(alias, depth + 1).await;
            }
            led.addresses = reply::addresses(last.answers(name, Rtype::A).into_iter());
            for server in self.reachable(cut, depth).await.iter().take(TRIES_MAX) {
                let Ok(reply) = self.session.ask(&cut.zone, server, name, Rtype::AAAA).await else {
                    continue;
                };
                if reply.is_final() {
                    let more = reply.answers(name, Rtype::AAAA);
                    led.addresses.extend(reply::addresses(more.into_iter()));
                    break;
                }
            }
            led
        }
        .boxed()
    }
}

enum Step {
    Down(Cut),
    Here(Arc<Reply>),
    Stuck,
}

/// A name server at each of its addresses.
pub(super) fn at(name: &OwnName, addresses: &[IpAddr]) -> Vec<Server> {
    addresses.iter().map(|a| Server { name: name.clone(), address: *a }).collect()
}

/// The zone that a referral leads to. Only what lies below the zone that refers is its own to say.
fn delegated(from: &OwnName, zone: &OwnName, reply: &Reply) -> Cut {
    let records = of(&reply.authority, zone, Rtype::NS);
    let mut cut = Cut { zone: lower(zone), servers: Vec::new(), without: Vec::new() };
    for name in targets(records) {
        let glue = if name.ends_with(from) { reply.glue(&name) } else { Vec::new() };
        if glue.is_empty() {
            cut.without.push(name);
        } else {
            cut.servers.extend(at(&name, &glue));
        }
    }
    cut
}
