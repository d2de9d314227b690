//! Resolution (解析信息): what the DNS itself says of a name. Reading and judging, without asking.

mod anchors;
mod answers;
mod chain;
mod delegation;
mod denial;
mod facts;
pub mod plan;
pub mod reply;
pub mod reverse;
mod second;
mod signature;
mod takeover;
mod view;

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use self::{plan::Plan, reply::OwnName, view::View};
use super::{Finding, evidence::Bundle, quorum::Sees, registration::Facts};
use crate::clock::Timestamp;

pub use anchors::{BadAnchors, anchors};
pub use view::BadPlan;

/// What replies of name servers are judged by, beside the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    /// Special-purpose addresses at which servers are on purpose.
    pub servers_allow: Vec<IpNet>,
    /// The DS records of the root, as [`anchors()`] reads them; without them no signature is judged.
    pub anchors: String,
}

/// What is found in the replies of name servers, as of `now`.
///
/// # Errors
/// When the plan names what is no name.
pub fn resolution(
    plan: &Plan,
    bundle: &Bundle,
    grounds: &Grounds,
    now: Timestamp,
) -> Result<Vec<Finding>, BadPlan> {
    let view = View::new(plan, bundle, now)?;
    let anchors = anchors(&grounds.anchors).unwrap_or_default();
    let chain = chain::follow(&view, &anchors, now);
    let mut findings = vec![
        delegation::exists(&view),
        delegation::served(&view),
        delegation::lame(&view),
        delegation::same_servers(&view),
        delegation::glue(&view),
        answers::same_version(&view),
        chain.finding(&view),
        chain.margin(now),
        answers::same_answer(&view),
        answers::dangling(&view),
        answers::public_servers(&view, &grounds.servers_allow),
        answers::lifetimes(&view),
        delegation::several(&view),
        answers::nobody_made(&view),
        answers::syntax(&view),
    ];
    findings.extend(reverse::confirmed(&view));
    Ok(findings)
}

/// What the DNS says of `domain` that its registry has something to say about, too, as of `now`.
///
/// # Errors
/// When the plan names what is no name, or `domain` is none.
pub fn facts(plan: &Plan, bundle: &Bundle, domain: &str, now: Timestamp) -> Result<Facts, BadPlan> {
    let name: OwnName = domain.parse().map_err(|_| BadPlan::of(domain))?;
    Ok(facts::facts(&View::new(plan, bundle, now)?, &name))
}

/// What name servers let us see of the name, as of `now`.
///
/// # Errors
/// When the plan names what is no name.
pub fn sees(plan: &Plan, bundle: &Bundle, now: Timestamp) -> Result<Sees, BadPlan> {
    Ok(View::new(plan, bundle, now)?.sees())
}

/// The names behind the aliases of the name, as of `now`.
///
/// # Errors
/// When the plan names what is no name.
pub fn chain(plan: &Plan, bundle: &Bundle, now: Timestamp) -> Result<BTreeSet<String>, BadPlan> {
    let view = View::new(plan, bundle, now)?;
    let (_, names) = view.led();
    Ok(names
        .iter()
        .filter(|n| **n != view.host)
        .map(|n| n.to_string().to_ascii_lowercase())
        .collect())
}

/// The addresses that the name leads to, over its aliases, as of `now`.
///
/// # Errors
/// When the plan names what is no name.
pub fn led_to(plan: &Plan, bundle: &Bundle, now: Timestamp) -> Result<BTreeSet<IpAddr>, BadPlan> {
    Ok(View::new(plan, bundle, now)?.led_to())
}
