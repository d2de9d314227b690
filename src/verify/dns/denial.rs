//! Proofs that a delegation is not signed.

use domain::{
    base::{Rtype, ToName as _},
    dnssec::common::nsec3_hash,
    rdata::{AllRecordData, nsec3::OwnerHash},
};

use super::{
    reply::{OwnName, Reply, Rr},
    signature::{self, Checked},
};
use crate::clock::Timestamp;

/// Whether a reply proves that `child` is delegated without a digest (RFC 4035 §5.2, RFC 5155
/// §8.6 and §8.9): through when.
pub(super) fn denies(
    reply: &Reply,
    zone: &OwnName,
    child: &OwnName,
    keys: &[Rr],
    now: Timestamp,
) -> Option<Timestamp> {
    reply.authority.iter().find_map(|record| {
        let owner = record.owner();
        let denies = match record.data() {
            AllRecordData::Nsec(nsec) => {
                let types = nsec.types();
                owner.name_eq(child) && !types.contains(Rtype::DS) && !types.contains(Rtype::SOA)
            }
            AllRecordData::Nsec3(nsec3) => {
                let hash: OwnerHash<Vec<u8>> =
                    nsec3_hash(child, nsec3.hash_algorithm(), nsec3.iterations(), nsec3.salt())
                        .ok()?;
                let first = owner.first().to_string();
                let own = first_hash(&first)?;
                let types = nsec3.types();
                let is_own = own.as_slice() == hash.as_slice();
                let covers = spans(own.as_slice(), nsec3.next_owner().as_slice(), hash.as_slice());
                is_own && !types.contains(Rtype::DS) && !types.contains(Rtype::SOA)
                    || covers && nsec3.opt_out()
            }
            _ => false,
        };
        let records = &reply.authority;
        let signed = || signature::check(records, owner, record.rtype(), zone, keys, now);
        match denies.then(signed)? {
            Checked::Valid { expires } => Some(expires),
            Checked::Not(_) => None,
        }
    })
}

fn first_hash(label: &str) -> Option<OwnerHash<Vec<u8>>> {
    label.parse().ok()
}

/// Whether a hash lies between two neighbours; the last and the first are neighbours, too.
fn spans(from: &[u8], to: &[u8], hash: &[u8]) -> bool {
    if from < to { from < hash && hash < to } else { hash > from || hash < to }
}
