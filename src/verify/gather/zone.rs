//! Everything that is asked about one zone and one name in it.

use std::{collections::BTreeSet, net::IpAddr};

use domain::base::{CanonicalOrd as _, Name, NameBuilder, Rtype, ToName as _};
use futures_util::future::join_all;

use super::walk::{Cut, Walker, at};
use crate::verify::dns::{
    plan::{Plan, Server},
    reply::{OwnName, of, targets},
};

/// How many working servers are asked what one would do for.
const WITNESSES: usize = 2;

/// How many exchanges are followed.
const EXCHANGES_MAX: usize = 5;

/// Asks all that can be asked about `host` and the zone it is in.
pub(super) async fn gather(
    walker: &Walker<'_>,
    host: &OwnName,
    domain: &OwnName,
    probe: &str,
) -> Plan {
    let (above, zone) = place(walker, host, domain).await;
    let mut plan = Plan {
        host: host.to_string(),
        zone: zone.to_string(),
        above: above.iter().map(|c| c.zone.to_string()).collect(),
        ..Plan::default()
    };
    let zones = above.iter().map(|cut| &cut.zone).skip(1).chain([&zone]);
    let chain = above.iter().zip(zones).map(|(cut, below)| signed(walker, cut, below));
    let (mut work, _) = tokio::join!(servers(walker, above.last(), &zone), join_all(chain));
    work.ask(host).await;
    let unnamed = work.named_by_child().await;
    if unnamed {
        work.ask(host).await;
    }
    if let Some(name) = child_of(probe, &zone) {
        work.witness(host, &name).await;
        plan.probe = name.to_string();
    }
    let place = |s: &Server| (s.name.to_string(), s.address);
    plan.servers = work.servers.iter().map(place).collect();
    plan.nowhere = work.nowhere.iter().map(ToString::to_string).collect();
    plan
}

/// The zones above, and the zone: where servers of several zones are the same, no referral tells.
async fn place(walker: &Walker<'_>, host: &OwnName, domain: &OwnName) -> (Vec<Cut>, OwnName) {
    let way = walker.walk(host, Rtype::A, 0).await;
    let mut cuts = way.cuts;
    let Some(deepest) = cuts.last().cloned() else { return (cuts, domain.clone()) };
    let mut apex = None;
    if let Some(last) = way.last {
        apex = last.soa_owner().cloned();
        if apex.is_none() {
            for server in walker.reachable(&deepest, 0).await.iter().take(WITNESSES) {
                let asked = walker.session.ask(&deepest.zone, server, host, Rtype::SOA).await;
                let Ok(reply) = asked else { continue };
                let own = of(&reply.answer, host, Rtype::SOA);
                apex = own.first().map(|r| r.owner()).or(reply.soa_owner()).cloned();
                break;
            }
        }
    }
    match apex.filter(|a| a.ends_with(&deepest.zone) && host.ends_with(a)) {
        Some(apex) if !apex.name_eq(&deepest.zone) => (cuts, apex.to_canonical_name()),
        _ if deepest.zone.ends_with(domain) => {
            cuts.pop();
            (cuts, deepest.zone)
        }
        _ => (cuts, domain.clone()),
    }
}

/// The keys of a zone on the way, and what it says of those of the zone below.
async fn signed(walker: &Walker<'_>, cut: &Cut, below: &OwnName) {
    for server in walker.reachable(cut, 0).await.iter().take(WITNESSES) {
        let session = walker.session;
        let (keys, delegated) = tokio::join!(
            session.ask(&cut.zone, server, &cut.zone, Rtype::DNSKEY),
            session.ask(&cut.zone, server, below, Rtype::DS),
        );
        if [keys, delegated].iter().all(|said| said.as_ref().is_ok_and(|r| r.is_final())) {
            break;
        }
    }
}

/// What is asked of the zone's own servers.
struct Work<'w, 'a> {
    walker: &'w Walker<'a>,
    zone: OwnName,
    servers: Vec<Server>,
    nowhere: Vec<OwnName>,
}

/// The servers that the zone above names, at every address.
async fn servers<'w, 'a>(
    walker: &'w Walker<'a>,
    parent: Option<&Cut>,
    zone: &OwnName,
) -> Work<'w, 'a> {
    let mut work = Work { walker, zone: zone.clone(), servers: Vec::new(), nowhere: Vec::new() };
    let Some(parent) = parent else { return work };
    let asked = walker.reachable(parent, 0).await;
    let asked = asked.iter().take(walker.servers_max);
    let ask = |server| walker.session.ask(&parent.zone, server, zone, Rtype::NS);
    let replies = join_all(asked.map(ask)).await;
    let mut names = Vec::new();
    for reply in replies.iter().flatten() {
        for records in [&reply.authority, &reply.answer] {
            for name in targets(of(records, zone, Rtype::NS)) {
                let own = name.ends_with(&parent.zone);
                let glue = if own { reply.glue(&name) } else { Vec::new() };
                names.push((name, glue));
            }
        }
    }
    work.add(names).await;
    work
}

impl Work<'_, '_> {
    /// Takes in servers by name, and finds addresses where none came along.
    async fn add(&mut self, mut names: Vec<(OwnName, Vec<IpAddr>)>) {
        names.sort_by(|a, b| a.0.canonical_cmp(&b.0));
        let mut grouped: Vec<(OwnName, BTreeSet<IpAddr>)> = Vec::new();
        for (name, glue) in names {
            match grouped.last_mut().filter(|last| last.0.name_eq(&name)) {
                Some(last) => last.1.extend(glue),
                None => grouped.push((name, glue.into_iter().collect())),
            }
        }
        let find = async |(name, glue): (OwnName, BTreeSet<IpAddr>)| {
            let addresses = if glue.is_empty() && !name.ends_with(&self.zone) {
                self.walker.addresses(&name, 0).await.addresses
            } else {
                glue.into_iter().collect()
            };
            (name, addresses)
        };
        for (name, addresses) in join_all(grouped.into_iter().map(find)).await {
            if addresses.is_empty() {
                self.nowhere.push(name);
            } else {
                self.servers.extend(at(&name, &addresses));
            }
        }
        self.servers.truncate(self.walker.servers_max);
    }

    /// Asks every server for the zone and the name; whoever is silent is asked no more.
    async fn ask(&self, host: &OwnName) {
        let session = self.walker.session;
        let zone = &self.zone;
        let ask = async |server: &Server| {
            if session.ask(zone, server, zone, Rtype::SOA).await.is_err() {
                return;
            }
            let more =
                [(zone, Rtype::NS), (zone, Rtype::DNSKEY), (host, Rtype::A), (host, Rtype::AAAA)];
            let more = more.map(|(name, rtype)| session.ask(zone, server, name, rtype));
            join_all(more).await;
        };
        join_all(self.servers.iter().map(ask)).await;
    }

    /// Those that answer with authority, as far as they have been asked.
    async fn working(&self) -> Vec<Server> {
        let session = self.walker.session;
        let asks = self.servers.iter().map(|s| session.ask(&self.zone, s, &self.zone, Rtype::SOA));
        let replies = join_all(asks).await;
        let works = |reply: &Result<std::sync::Arc<_>, _>| {
            reply
                .as_ref()
                .is_ok_and(|r: &std::sync::Arc<crate::verify::dns::reply::Reply>| r.is_final())
        };
        let pairs = self.servers.iter().zip(&replies).filter(|(_, reply)| works(reply));
        pairs.map(|(server, _)| server.clone()).take(WITNESSES).collect()
    }

    /// Takes in servers that the zone names and the zone above does not. Whether there were any.
    async fn named_by_child(&mut self) -> bool {
        let mut found = Vec::new();
        for server in self.working().await {
            let asked = self.walker.session.ask(&self.zone, &server, &self.zone, Rtype::NS).await;
            let Ok(reply) = asked else { continue };
            for name in targets(of(&reply.answer, &self.zone, Rtype::NS)) {
                let known = self.servers.iter().any(|s| s.name.name_eq(&name))
                    || self.nowhere.iter().any(|n| n.name_eq(&name))
                    || found.iter().any(|(n, _): &(OwnName, _)| n.name_eq(&name));
                if !known {
                    let glue = reply.glue(&name);
                    let own = name.ends_with(&self.zone);
                    found.push((name, if own { glue } else { Vec::new() }));
                }
            }
        }
        let any = !found.is_empty();
        self.add(found).await;
        any
    }

    /// Asks few servers what needs no more: the addresses of servers in the zone, a name that
    /// nobody made, where aliases and exchanges lead.
    async fn witness(&self, host: &OwnName, probe: &OwnName) {
        let session = self.walker.session;
        let working = self.working().await;
        let mut names: Vec<&OwnName> = self.servers.iter().map(|s| &s.name).collect();
        names.extend(&self.nowhere);
        names.retain(|n| n.ends_with(&self.zone));
        names.dedup();
        let mut asks = Vec::new();
        for (at, server) in working.iter().enumerate() {
            for name in &names {
                asks.push((server, *name, Rtype::A));
                asks.push((server, *name, Rtype::AAAA));
            }
            if at == 0 {
                asks.push((server, probe, Rtype::A));
                asks.push((server, &self.zone, Rtype::MX));
            }
        }
        let asks = asks.into_iter().map(|(s, name, rtype)| session.ask(&self.zone, s, name, rtype));
        join_all(asks).await;
        let Some(server) = working.first() else { return };
        let alias = session.ask(&self.zone, server, host, Rtype::A).await;
        let exchanges = session.ask(&self.zone, server, &self.zone, Rtype::MX).await;
        let mut onward = Vec::new();
        for (reply, name, rtype) in
            [(alias, host, Rtype::CNAME), (exchanges, &self.zone, Rtype::MX)]
        {
            if let Ok(reply) = reply {
                onward.extend(targets(of(&reply.answer, name, rtype)));
            }
        }
        onward.retain(|name| !name.is_root());
        onward.truncate(EXCHANGES_MAX);
        join_all(onward.iter().map(|name| self.walker.addresses(name, 0))).await;
    }
}

/// `label` as a child of `zone`; none where that is too long.
fn child_of(label: &str, zone: &OwnName) -> Option<OwnName> {
    let mut builder = NameBuilder::new_bytes();
    builder.append_label(label.as_bytes()).ok()?;
    let name: Name<bytes::Bytes> = builder.append_origin(zone).ok()?;
    Some(name)
}
