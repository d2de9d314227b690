//! What the DNS says of a domain that its registry has something to say about, too.

use std::collections::BTreeSet;

use domain::{
    base::{Rtype, ToName as _, iana::OptRcode},
    rdata::AllRecordData,
};

use super::{
    reply::{OwnName, Reply, of, targets},
    view::View,
};
use crate::verify::registration::{Ds, Facts};

/// What the zone above `domain` says of it, and whether the name that was asked about leads
/// somewhere.
pub(super) fn facts(view: &View, domain: &OwnName) -> Facts {
    let above = |zone: &&OwnName| domain.ends_with(zone) && !domain.name_eq(zone);
    let Some(parent) = view.above.iter().rev().find(above) else { return Facts::default() };
    let mut delegated: Option<BTreeSet<String>> = None;
    for reply in view.replies_of(parent) {
        if let Some(servers) = delegation(reply, domain) {
            delegated.get_or_insert_default().extend(servers);
        }
    }
    let mut ds: Option<BTreeSet<Ds>> = None;
    for said in view.of(parent, domain, Rtype::DS) {
        let Ok(reply) = &said.reply else { continue };
        if reply.is_final() {
            let records = reply.answers(domain, Rtype::DS);
            ds.get_or_insert_default().extend(records.into_iter().filter_map(|r| match r.data() {
                AllRecordData::Ds(ds) => Some(Ds {
                    key_tag: ds.key_tag(),
                    algorithm: ds.algorithm().to_int(),
                    digest_type: ds.digest_type().to_int(),
                    digest: hex::encode(ds.digest()),
                }),
                _ => None,
            }));
        }
    }
    Facts { delegated, ds, resolves: !view.led_to().is_empty() }
}

/// The servers that a reply of the zone above names; none of them where it says that there is no
/// such domain, nothing where it does not tell.
fn delegation(reply: &Reply, domain: &OwnName) -> Option<Vec<String>> {
    let records = [&reply.authority, &reply.answer].map(|s| of(s, domain, Rtype::NS));
    let servers: Vec<String> =
        targets(records.into_iter().flatten()).iter().map(ToString::to_string).collect();
    if !servers.is_empty() {
        return Some(servers);
    }
    // Of a name below, or the domain itself: without the domain there is no name below it either.
    let is_absent = reply.is_authoritative && reply.rcode == OptRcode::NXDOMAIN;
    is_absent.then(Vec::new)
}
