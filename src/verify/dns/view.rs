//! Evidence of the DNS by what was asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use domain::base::{Rtype, iana::OptRcode};

use super::{
    plan::Plan,
    reply::{OwnName, Reply, addresses, targets},
};
use crate::{
    clock::Timestamp,
    verify::{
        Outcome, Unasked, Unclear,
        evidence::{Bundle, EvidenceId, Got, Question},
        quorum::Sees,
    },
};

/// The most names of a chain of aliases that are looked at.
pub(super) const ALIASES_MAX: usize = 16;

/// What one server said to one question.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// The server's name.
    pub server: String,
    /// Its address and port.
    pub endpoint: String,
    /// The reply, or why there is none to go by.
    pub reply: Result<Reply, Outcome>,
    /// The body.
    pub evidence: Option<EvidenceId>,
}

/// All that name servers said.
#[derive(Debug)]
pub(super) struct View {
    by: BTreeMap<(String, String, u16), Vec<Said>>,
    /// The name somebody wants to know about.
    pub host: OwnName,
    /// The zone.
    pub zone: OwnName,
    /// The zone above.
    pub parent: Option<OwnName>,
    /// The zones above, from the root down.
    pub above: Vec<OwnName>,
    /// A name that nobody made.
    pub probe: Option<OwnName>,
    /// The servers for whose name there was no address.
    pub nowhere: Vec<OwnName>,
}

/// A plan that names what is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: no name")]
pub struct BadPlan(String);

impl BadPlan {
    /// One that names `text`.
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl View {
    /// Reads all of `bundle` as of `now`; what is older than it may be believed tells nothing.
    ///
    /// # Errors
    /// When the plan names what is no name.
    pub(super) fn new(plan: &Plan, bundle: &Bundle, now: Timestamp) -> Result<Self, BadPlan> {
        let mut by: BTreeMap<_, Vec<Said>> = BTreeMap::new();
        for observation in &bundle.observations {
            let Question::Dns { zone, qname, qtype } = &observation.question else { continue };
            let malformed = Outcome::Unknown(Unclear::Malformed);
            let reply = match &observation.got {
                Got::Fault(fault) => Err(fault.outcome()),
                Got::Body { .. } if observation.expires < now => {
                    Err(Outcome::Unknown(Unclear::Stale))
                }
                Got::Body { .. } => {
                    let body = bundle.body(observation).ok_or(malformed);
                    body.and_then(|b| Reply::read(b).map_err(|_| malformed))
                }
            };
            let key = (zone.to_ascii_lowercase(), qname.to_ascii_lowercase(), *qtype);
            by.entry(key).or_default().push(Said {
                server: observation.source.name.clone(),
                endpoint: observation.source.endpoint.clone(),
                reply,
                evidence: observation.evidence(),
            });
        }
        let above: Vec<OwnName> = plan.above.iter().map(|n| name(n)).collect::<Result<_, _>>()?;
        Ok(Self {
            by,
            host: name(&plan.host)?,
            zone: name(&plan.zone)?,
            parent: above.last().cloned(),
            above,
            probe: if plan.probe.is_empty() { None } else { Some(name(&plan.probe)?) },
            nowhere: plan.nowhere.iter().map(|n| name(n)).collect::<Result<_, _>>()?,
        })
    }

    /// What the servers of `zone` said of a name.
    pub(super) fn of(&self, zone: &OwnName, qname: &OwnName, qtype: Rtype) -> &[Said] {
        let text = |name: &OwnName| name.to_string().to_ascii_lowercase();
        let key = (text(zone), text(qname), qtype.to_int());
        self.by.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Every reply of the servers of `zone` about the name, or the domain above it.
    pub(super) fn replies_of(&self, zone: &OwnName) -> impl Iterator<Item = &Reply> {
        let zone = zone.to_string().to_ascii_lowercase();
        let host = self.host.to_string().to_ascii_lowercase();
        let about = move |name: &str| {
            host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
        };
        self.by
            .iter()
            .filter(move |((z, name, _), _)| *z == zone && about(name))
            .flat_map(|(_, said)| said)
            .filter_map(|said| said.reply.as_ref().ok())
    }

    /// What the zone's own servers said.
    pub(super) fn own(&self, qname: &OwnName, qtype: Rtype) -> &[Said] {
        self.of(&self.zone, qname, qtype)
    }

    /// The final words about a name, of whatever zone's servers.
    pub(super) fn finals(&self, qname: &OwnName, qtype: Rtype) -> Vec<&Said> {
        let text = qname.to_string().to_ascii_lowercase();
        let about = self.by.iter().filter(|((_, n, t), _)| *n == text && *t == qtype.to_int());
        let said = about.flat_map(|(_, said)| said);
        said.filter(|s| s.reply.as_ref().is_ok_and(Reply::is_final)).collect()
    }

    /// Whether anybody was asked that.
    pub(super) fn was_asked(&self, qname: &OwnName, qtype: Rtype) -> bool {
        let text = qname.to_string().to_ascii_lowercase();
        self.by.keys().any(|(_, name, t)| *name == text && *t == qtype.to_int())
    }

    /// What we see of the name.
    pub(super) fn sees(&self) -> Sees {
        let said = [Rtype::A, Rtype::AAAA].into_iter().flat_map(|t| self.finals(&self.host, t));
        let mut rcodes = said.filter_map(|s| Some(s.reply.as_ref().ok()?.rcode)).peekable();
        if rcodes.peek().is_none() {
            let said = self.own(&self.host, Rtype::A);
            let cause = if let Outcome::Unknown(cause) = silence(said) {
                cause
            } else {
                Unclear::Transport
            };
            return Sees::Unknown { cause };
        }
        let is_missing = rcodes.all(|rcode| rcode == OptRcode::NXDOMAIN);
        let led = self.led_to();
        if is_missing && led.is_empty() { Sees::Missing } else { Sees::addresses(led) }
    }

    /// The addresses that the name leads to, over its aliases.
    pub(super) fn led_to(&self) -> BTreeSet<IpAddr> {
        self.led().0
    }

    /// The same, and the names on the way, the name itself first.
    pub(super) fn led(&self) -> (BTreeSet<IpAddr>, Vec<OwnName>) {
        let mut found = BTreeSet::new();
        let mut open = vec![self.host.clone()];
        let mut seen: Vec<OwnName> = Vec::new();
        while let Some(name) = open.pop() {
            if seen.contains(&name) || seen.len() >= ALIASES_MAX {
                continue;
            }
            for rtype in [Rtype::A, Rtype::AAAA] {
                for said in self.finals(&name, rtype) {
                    let Ok(reply) = &said.reply else { continue };
                    found.extend(addresses(reply.answers(&name, rtype).into_iter()));
                    open.extend(targets(reply.answers(&name, Rtype::CNAME)));
                }
            }
            seen.push(name);
        }
        (found, seen)
    }
}

fn name(text: &str) -> Result<OwnName, BadPlan> {
    text.parse().map_err(|_| BadPlan(text.into()))
}

/// The bodies of what was said.
pub(super) fn evidence<'a>(
    said: impl IntoIterator<Item = &'a Said>,
) -> impl Iterator<Item = EvidenceId> {
    said.into_iter().filter_map(|s| s.evidence)
}

/// Why nothing useful was heard: what was asked in vain counts before what was not asked.
pub(super) fn silence(said: &[Said]) -> Outcome {
    let reason = |s: &Said| match &s.reply {
        Err(outcome) => Some(*outcome),
        Ok(reply) if reply.is_final() => None,
        Ok(reply) if reply.rcode == OptRcode::SERVFAIL => {
            Some(Outcome::Unknown(Unclear::SourceError))
        }
        Ok(_) => Some(Outcome::Unknown(Unclear::NonAuthoritative)),
    };
    let first = said.iter().filter_map(reason).min();
    first.unwrap_or(Outcome::NotEvaluated(Unasked::Prerequisite))
}
