//! Declarations: what the owner of a domain says should be so, and whether it is. RES-11, IP-09 and
//! REG-10.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, Finding, Grade, Outcome, Severity, Unasked,
    data::Rows,
    registration::{Facts, Heard, Said},
};
use crate::{clock::Timestamp, special::canonical_address};

/// The most items of a list in a declaration.
const ITEMS_MAX: usize = 256;

/// What should be so. What is left out is not declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Declaration {
    /// The registrar's name, as the registry has it.
    pub registrar: Option<String>,
    /// The name servers.
    pub nameservers: Vec<String>,
    /// The networks in which the addresses of every name lie.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<IpNet>,
    /// The autonomous systems that announce them.
    pub asns: Vec<u32>,
    /// The hosts to which its names redirect, each with all below it.
    pub targets: Vec<String>,
    /// The number of its entry on file (备案).
    pub icp: Option<String>,
    /// The holder's name. It is kept as a digest, and answered as one.
    pub holder: Option<String>,
    /// From when this is so.
    pub valid_from: Option<Timestamp>,
    /// Through when.
    pub valid_until: Option<Timestamp>,
}

/// Why a declaration is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeclaration {
    /// It declares nothing.
    #[error("nothing is declared")]
    Empty,
    /// A list is too long.
    #[error("{0}: more than 256 items")]
    Long(&'static str),
    /// A name server or a target is no name.
    #[error("{0:?} is no name")]
    Name(String),
    /// It ends before it begins.
    #[error("valid_until is before valid_from")]
    Times,
}

impl Declaration {
    /// Names in A-labels and lower case, everything within limits.
    ///
    /// # Errors
    /// What is wrong.
    pub fn checked(mut self) -> Result<Self, BadDeclaration> {
        for (name, length) in [
            ("nameservers", self.nameservers.len()),
            ("addresses", self.addresses.len()),
            ("asns", self.asns.len()),
            ("targets", self.targets.len()),
        ] {
            if length > ITEMS_MAX {
                return Err(BadDeclaration::Long(name));
            }
        }
        for name in self.nameservers.iter_mut().chain(&mut self.targets) {
            let plain = idna::domain_to_ascii(name.trim_end_matches('.')).unwrap_or_default();
            if plain.is_empty() || plain.contains(char::is_whitespace) {
                return Err(BadDeclaration::Name(name.clone()));
            }
            *name = plain;
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && until < from
        {
            return Err(BadDeclaration::Times);
        }
        let is_empty = self.registrar.is_none()
            && self.holder.is_none()
            && self.nameservers.is_empty()
            && self.addresses.is_empty()
            && self.asns.is_empty()
            && self.targets.is_empty()
            && self.icp.is_none();
        if is_empty { Err(BadDeclaration::Empty) } else { Ok(self) }
    }

    /// Whether it counts at a time.
    pub fn counts(&self, at: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= at)
            && self.valid_until.is_none_or(|until| at <= until)
    }
}

/// What a name is found to have, that declarations are held against.
pub(super) struct Found<'a> {
    pub facts: &'a Facts,
    pub addresses: &'a BTreeSet<IpAddr>,
    pub rows: &'a [Rows],
    pub heard: &'a [Heard],
}

/// What is found of a declaration; without one, that there is none.
pub(super) fn declared(
    declaration: Option<&Declaration>,
    found: &Found,
    at: Timestamp,
) -> Vec<Finding> {
    let Some(declaration) = declaration.filter(|d| d.counts(at)) else { return Vec::new() };
    let mut findings = Vec::new();
    if !declaration.nameservers.is_empty() {
        findings.push(servers(declaration, found));
    }
    if !(declaration.addresses.is_empty() && declaration.asns.is_empty()) {
        findings.push(addresses(declaration, found));
    }
    if declaration.registrar.is_some() || declaration.holder.is_some() {
        findings.push(registry(declaration, found));
    }
    findings
}

fn open(check: Check, says: &str) -> Finding {
    Finding::new(check, Outcome::NotEvaluated(Unasked::Prerequisite), says)
}

fn drifted(check: Check, says: String) -> Finding {
    Finding::new(check, Outcome::False, says).severity(Severity::Error)
}

/// RES-11.
fn servers(declaration: &Declaration, found: &Found) -> Finding {
    let Some(theirs) = &found.facts.delegated else {
        return open(Check::Res11, "how the zone above delegates it is not known");
    };
    let ours: BTreeSet<String> = declaration.nameservers.iter().cloned().collect();
    let shown = |set: BTreeSet<&String>| set.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let finding = if ours == *theirs {
        Finding::new(
            Check::Res11,
            Outcome::True,
            "it is delegated to the servers that were declared",
        )
    } else {
        let (more, less) = (theirs.difference(&ours).collect(), ours.difference(theirs).collect());
        let says = format!(
            "delegated and not declared: {}; declared and not delegated: {}",
            shown(more),
            shown(less)
        );
        drifted(Check::Res11, says)
    };
    finding.grade(Grade::B)
}

/// IP-09.
fn addresses(declaration: &Declaration, found: &Found) -> Finding {
    if found.addresses.is_empty() {
        return open(Check::Ip09, "it leads to no address");
    }
    let mut strange: Vec<String> = Vec::new();
    for address in found.addresses {
        let plain = canonical_address(*address);
        let is_within = declaration.addresses.iter().any(|net| net.contains(&plain));
        let origins =
            found.rows.iter().find(|r| r.address == *address).and_then(|r| r.origins.as_ref());
        let is_announced =
            origins.is_some_and(|all| all.iter().any(|o| declaration.asns.contains(&o.asn)));
        if is_within || is_announced {
            continue;
        }
        if declaration.addresses.is_empty() && origins.is_none() {
            return open(Check::Ip09, "who announces its addresses is not known");
        }
        strange.push(address.to_string());
    }
    let finding = if strange.is_empty() {
        let says = format!("all {} addresses are where they were declared", found.addresses.len());
        Finding::new(Check::Ip09, Outcome::True, says)
    } else {
        drifted(Check::Ip09, format!("not where it was declared: {}", strange.join(", ")))
    };
    finding.grade(Grade::B).arg("strange", strange)
}

/// REG-10.
fn registry(declaration: &Declaration, found: &Found) -> Finding {
    let told = found.heard.iter().find_map(|h| match &h.said {
        Ok(Said::Registered(found)) => Some((found, h)),
        _ => None,
    });
    let Some((registration, heard)) = told else {
        return open(Check::Reg10, "its registry did not tell");
    };
    let mut differ = Vec::new();
    if let Some(ours) = &declaration.registrar {
        match registration.registrar.as_ref().map(|r| r.name.as_str()) {
            Some(theirs) if theirs.eq_ignore_ascii_case(ours) => {}
            Some(theirs) => differ.push(format!("the registrar is {theirs}, not {ours}")),
            None => return open(Check::Reg10, "its registry names no registrar"),
        }
    }
    if let Some(ours) = &declaration.holder {
        let theirs: Vec<&String> = ["name_digest", "organization_digest"]
            .iter()
            .filter_map(|member| registration.registrant.get(*member))
            .collect();
        if theirs.is_empty() {
            return open(Check::Reg10, "its registry does not name its holder");
        }
        if !theirs.contains(&ours) {
            differ.push("the holder is another".to_owned());
        }
    }
    let finding = if differ.is_empty() {
        Finding::new(Check::Reg10, Outcome::True, "its registry has what was declared")
    } else {
        drifted(Check::Reg10, differ.join("; "))
    };
    finding.grade(heard.grade).by(heard.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declaration: &Declaration, expected: &[&str]) {
        let facts =
            Facts { delegated: Some(["ns1.example.com".to_owned()].into()), ..Facts::default() };
        let addresses = BTreeSet::from(["5.6.7.8".parse().unwrap()]);
        let found = Found { facts: &facts, addresses: &addresses, rows: &[], heard: &[] };
        let at = Timestamp::from_secs(1_000);
        let found = declared(Some(declaration), &found, at);
        let found: Vec<String> =
            found.iter().map(|f| format!("{} {}", f.id.entry().id, f.outcome.name())).collect();
        assert_eq!(found, expected, "{declaration:?}");
    }

    #[test]
    fn what_is_declared_is_held_against_what_is_found() {
        let of = |servers: &[&str], nets: &[&str]| Declaration {
            nameservers: servers.iter().map(ToString::to_string).collect(),
            addresses: nets.iter().map(|n| n.parse().unwrap()).collect(),
            ..Declaration::default()
        };
        check(&of(&["ns1.example.com"], &["5.6.7.0/24"]), &["RES-11 true", "IP-09 true"]);
        check(&of(&["ns2.example.com"], &["5.6.8.0/24"]), &["RES-11 false", "IP-09 false"]);
        check(&Declaration { asns: vec![1], ..of(&[], &[]) }, &["IP-09 not_evaluated"]);
        check(
            &Declaration { registrar: Some("X".into()), ..of(&[], &[]) },
            &["REG-10 not_evaluated"],
        );
        let past = Some(Timestamp::from_secs(999));
        check(&Declaration { valid_until: past, ..of(&["ns2.example.com"], &[]) }, &[]);
        let future = Some(Timestamp::from_secs(1_001));
        check(&Declaration { valid_from: future, ..of(&["ns2.example.com"], &[]) }, &[]);
    }

    #[test]
    fn what_is_no_declaration_is_said() {
        let none = Declaration::default();
        assert_eq!(none.clone().checked(), Err(BadDeclaration::Empty));
        let named = Declaration { nameservers: vec!["NS1.Example.com.".into()], ..none.clone() };
        assert_eq!(named.checked().unwrap().nameservers, ["ns1.example.com"]);
        let bad = Declaration { nameservers: vec!["a b".into()], ..none.clone() };
        assert_eq!(bad.checked(), Err(BadDeclaration::Name("a b".into())));
        let long = Declaration { asns: vec![1; 257], ..none };
        assert_eq!(long.checked(), Err(BadDeclaration::Long("asns")));
    }
}
