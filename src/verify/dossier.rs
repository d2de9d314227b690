//! A dossier: everything that a verdict is judged from. The same dossier gives the same verdict,
//! today and at a replay; nothing else is looked at.
//!
//! It is itself evidence. Kept, it names the bodies and does not contain them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{
    Check, Finding, Outcome, Unasked, Verdict, address, address_data,
    data::{Filed, Rows},
    declaration::{Declaration, Found, declared},
    dns::{self, Grounds, plan::Plan},
    evidence::{Bundle, EvidenceId},
    filed,
    here::Listed,
    idn::{self, Alike},
    own::{self, as_authority},
    quorum,
    registration::{self, Said},
};
use crate::clock::Timestamp;

/// The version of the rules that evidence is judged by.
pub const RULES_VERSION: &str = "1";

/// Everything that a verdict is judged from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dossier {
    /// The rules by which it is judged.
    pub rules_version: String,
    /// As of when.
    pub at: Timestamp,
    /// What it is about.
    pub subject: String,
    /// `host`, `url` or `address`.
    pub kind: String,
    /// Whether networks were used.
    pub network: bool,
    /// The address, where that is the subject.
    pub address: Option<IpAddr>,
    /// The domain under which registries have the name; empty where nobody can register it.
    pub registered_domain: String,
    /// The zones and servers of the name, where a name is the subject.
    pub plan: Option<Plan>,
    /// What replies are judged by.
    pub grounds: Grounds,
    /// The registrable domain of the name.
    pub registrable_domain: String,
    /// The protected names that the name reads like; none where no names are protected.
    pub alike: Option<Vec<Alike>>,
    /// What is on file of the domain; none where no file is loaded.
    pub filed: Option<Filed>,
    /// What its owner declared.
    pub declared: Option<Declaration>,
    /// What sets of data say of the addresses.
    pub rows: Vec<Rows>,
    /// Whether the zone is one of ours, and is the authority.
    pub own_zone: bool,
    /// The rules about the name and those behind its aliases.
    pub listed: Vec<Listed>,
    /// Who announces the addresses that other places see, or that were seen before.
    pub asns: BTreeMap<IpAddr, BTreeSet<u32>>,
    /// What sources said.
    pub bundle: Bundle,
}

/// Why a dossier gives no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unjudged {
    /// It was judged by rules that this build does not have.
    #[error("it was judged by rules of version {0}, which this build does not have")]
    Rules(String),
    /// It cannot be read.
    #[error("its dossier cannot be read")]
    Unreadable,
    /// A body is not what its name says.
    #[error("evidence {0} was altered")]
    Altered(EvidenceId),
    /// A body is gone.
    #[error("evidence {0} is not there any more")]
    Missing(EvidenceId),
}

impl Dossier {
    /// The verdict.
    ///
    /// # Errors
    /// [`Unjudged::Rules`] and [`Unjudged::Unreadable`].
    pub fn judge(&self) -> Result<Verdict, Unjudged> {
        if self.rules_version != RULES_VERSION {
            return Err(Unjudged::Rules(self.rules_version.clone()));
        }
        let mut findings = Vec::new();
        if let Some(at) = self.address {
            findings.extend(address(at));
        }
        findings.extend(self.rows.iter().flat_map(address_data));
        findings.extend(registration::networks(&self.bundle, self.at));
        if let Some(plan) = &self.plan {
            findings.extend(idn::name(&plan.host, self.alike.as_deref()));
        }
        match &self.plan {
            Some(plan) if self.own_zone => {
                findings.extend(as_authority(&plan.zone, self.name(plan)?));
            }
            Some(_) if !self.network => findings.extend(offline()),
            Some(plan) => findings.extend(self.name(plan)?),
            None => {}
        }
        Ok(Verdict::of(self.subject.clone(), findings))
    }

    fn name(&self, plan: &Plan) -> Result<Vec<Finding>, Unjudged> {
        let bad = |_| Unjudged::Unreadable;
        let mut findings =
            dns::resolution(plan, &self.bundle, &self.grounds, self.at).map_err(bad)?;
        for at in dns::led_to(plan, &self.bundle, self.at).map_err(bad)? {
            findings.extend(address(at));
        }
        findings.extend(self.corroborated(plan)?);
        findings.extend(self.here(plan)?);
        findings.extend(self.registered(plan)?);
        Ok(findings)
    }

    /// What this node itself has to say.
    fn here(&self, plan: &Plan) -> Result<Vec<Finding>, Unjudged> {
        let bad = |_| Unjudged::Unreadable;
        let chain = dns::chain(plan, &self.bundle, self.at).map_err(bad)?;
        let ours = dns::sees(plan, &self.bundle, self.at).map_err(bad)?;
        Ok(vec![
            own::cloaked(&plan.host, &chain, &self.listed),
            own::flux(&plan.host, &self.bundle, &self.asns),
            own::served(&plan.host, &ours, &self.bundle, &self.listed),
        ])
    }

    fn corroborated(&self, plan: &Plan) -> Result<Vec<Finding>, Unjudged> {
        let ours = dns::sees(plan, &self.bundle, self.at).map_err(|_| Unjudged::Unreadable)?;
        let declared = self.declared.as_ref().filter(|d| d.counts(self.at));
        let declared = declared.map_or(&[][..], |d| &d.addresses);
        let grounds = quorum::Grounds { declared, asns: &self.asns };
        Ok(quorum::corroborated(&plan.host, &ours, &self.bundle, &grounds, self.at))
    }

    fn registered(&self, plan: &Plan) -> Result<Vec<Finding>, Unjudged> {
        let domain = &self.registered_domain;
        if domain.is_empty() {
            let says = "no registry has what nobody can register";
            return Ok(vec![Finding::new(Check::Reg01, Outcome::NotApplicable, says)]);
        }
        let facts = dns::facts(plan, &self.bundle, domain, self.at);
        let facts = facts.map_err(|_| Unjudged::Unreadable)?;
        let heard = registration::heard(&self.bundle, domain, self.at);
        let mut findings = registration::registration(domain, &heard, &facts, self.at);
        let led = dns::led_to(plan, &self.bundle, self.at).map_err(|_| Unjudged::Unreadable)?;
        let found = Found { facts: &facts, addresses: &led, rows: &self.rows, heard: &heard };
        findings.extend(declared(self.declared.as_ref(), &found, self.at));
        let counts = self.declared.as_ref().filter(|d| d.counts(self.at));
        findings.push(filed::filed(domain, self.filed.as_ref(), counts));
        findings.extend(filed::redirects(&self.registrable_domain, counts, &self.bundle));
        Ok(findings)
    }

    /// When the registration ends, where a registry told.
    pub fn ends(&self) -> Option<Timestamp> {
        let heard = registration::heard(&self.bundle, &self.registered_domain, self.at);
        heard.into_iter().find_map(|h| match h.said {
            Ok(Said::Registered(found)) => found.expires,
            _ => None,
        })
    }

    /// The addresses that it is about: the subject, or where the name leads.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let led = |plan| dns::led_to(plan, &self.bundle, self.at).unwrap_or_default();
        let mut found: Vec<IpAddr> = self.plan.iter().flat_map(led).collect();
        found.extend(self.address);
        found
    }

    /// The addresses that other places see, and those that were seen before.
    pub(super) fn addresses_seen(&self) -> BTreeSet<IpAddr> {
        let Some(plan) = &self.plan else { return BTreeSet::new() };
        let mut found = quorum::addresses_seen(&self.bundle, &plan.host, self.at);
        found.extend(own::seen_before(&self.bundle, &plan.host));
        found
    }

    /// The name and those behind its aliases.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let Some(plan) = &self.plan else { return BTreeSet::new() };
        let mut names = dns::chain(plan, &self.bundle, self.at).unwrap_or_default();
        names.insert(plan.host.clone());
        names
    }

    /// Through when the verdict may be believed: as long as all that it rests on.
    pub fn valid_until(&self) -> Timestamp {
        let ends = self.bundle.observations.iter().map(|o| o.expires);
        ends.filter(|end| *end >= self.at).min().unwrap_or(self.at)
    }

    /// As it is kept: without the bodies.
    pub fn packed(&self) -> Vec<u8> {
        let bundle = Bundle { observations: self.bundle.observations.clone(), ..Bundle::default() };
        // Its maps have text for keys, so that it can be written.
        serde_json::to_vec(&Self { bundle, ..self.clone() }).unwrap_or_default()
    }

    /// A dossier that was kept, with the bodies that it names.
    ///
    /// # Errors
    /// When it cannot be read, or a body is missing or altered.
    pub fn unpack(packed: &[u8], bodies: BTreeMap<EvidenceId, Vec<u8>>) -> Result<Self, Unjudged> {
        let mut dossier = Self::outline(packed)?;
        dossier.bundle.bodies = bodies;
        if let Some(id) = dossier.bundle.altered() {
            return Err(Unjudged::Altered(id));
        }
        let named = dossier.bundle.observations.iter().filter_map(|o| o.evidence());
        match named.into_iter().find(|id| !dossier.bundle.bodies.contains_key(id)) {
            Some(id) => Err(Unjudged::Missing(id)),
            None => Ok(dossier),
        }
    }

    /// A dossier that was kept, without bodies.
    ///
    /// # Errors
    /// [`Unjudged::Unreadable`].
    pub fn outline(packed: &[u8]) -> Result<Self, Unjudged> {
        serde_json::from_slice(packed).map_err(|_| Unjudged::Unreadable)
    }
}

/// What is said of a name where networks are not used.
fn offline() -> impl Iterator<Item = Finding> {
    let offline = Outcome::NotEvaluated(Unasked::Offline);
    let needed = Check::ALL.iter().filter(|c| c.entry().needed);
    needed.map(move |check| Finding::new(*check, offline, "verify.network is off"))
}
