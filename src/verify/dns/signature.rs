//! Signatures over sets of records (RFC 4034 §3, RFC 4035 §5.3).

use bytes::Bytes;
use domain::{
    base::{
        CanonicalOrd as _, Rtype, ToName as _,
        iana::{DigestAlgorithm, SecurityAlgorithm},
        name::ToLabelIter as _,
        rdata::ComposeRecordData as _,
        wire::Compose as _,
    },
    crypto::common::{DigestBuilder, DigestType, PublicKey},
    rdata::{AllRecordData, Dnskey, Rrsig},
};

use super::{
    reply::{OwnName, Rr, of},
    second,
};
use crate::clock::Timestamp;

/// What became of checking a set of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// A signature holds.
    Valid {
        /// When it ends.
        expires: Timestamp,
    },
    /// None does; the least bad reason.
    Not(Fault),
}

/// Why a signature does not hold, the least bad first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It is of an algorithm that is not known here.
    Unsupported,
    /// Of two implementations, one says that it holds.
    Disputed,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It does not match.
    Mismatch,
    /// No key has its tag and algorithm.
    NoKey,
    /// There is none.
    Missing,
}

impl Fault {
    /// In words.
    pub(super) const fn says(self) -> &'static str {
        match self {
            Self::Unsupported => "is signed by an algorithm that is not known here",
            Self::Disputed => "has a signature about which two implementations disagree",
            Self::Expired => "has a signature whose time is over",
            Self::NotYet => "has a signature whose time has not come",
            Self::Mismatch => "has a signature that does not match",
            Self::NoKey => "has a signature by a key that is not there",
            Self::Missing => "has no signature",
        }
    }

    /// What DNSViz calls it.
    pub(super) const fn dnsviz(self) -> &'static str {
        match self {
            Self::Unsupported => "ALGORITHM_NOT_SUPPORTED",
            Self::Disputed => "",
            Self::Expired => "EXPIRATION_IN_PAST",
            Self::NotYet => "INCEPTION_IN_FUTURE",
            Self::Mismatch => "SIGNATURE_INVALID",
            Self::NoKey => "SIGNER_NOT_ZONE",
            Self::Missing => "MISSING_RRSIG",
        }
    }
}

/// The records among others that hold keys a zone may sign with.
pub(super) fn keys(records: &[Rr], zone: &OwnName) -> Vec<Rr> {
    // RFC 4034 §2.1.1 and §2.1.2, RFC 5011 §2.1.
    let usable =
        |r: &&Rr| key(r).is_some_and(|k| k.is_zone_key() && k.protocol() == 3 && !k.is_revoked());
    of(records, zone, Rtype::DNSKEY).into_iter().filter(usable).cloned().collect()
}

fn key(record: &Rr) -> Option<&Dnskey<Bytes>> {
    match record.data() {
        AllRecordData::Dnskey(key) => Some(key),
        _ => None,
    }
}

/// Whether one of `keys` of `zone` signed the set of `owner` and `rtype` among `records`, as of
/// `now`. One signature that holds is enough.
pub(super) fn check(
    records: &[Rr],
    owner: &OwnName,
    rtype: Rtype,
    zone: &OwnName,
    keys: &[Rr],
    now: Timestamp,
) -> Checked {
    let set = of(records, owner, rtype);
    let signatures = of(records, owner, Rtype::RRSIG).into_iter().filter_map(|r| match r.data() {
        AllRecordData::Rrsig(s) if s.type_covered() == rtype && s.signer_name().name_eq(zone) => {
            Some((r, s))
        }
        _ => None,
    });
    let mut best = Checked::Not(Fault::Missing);
    for (record, signature) in signatures {
        let checked = one(&set, owner, (record, signature), keys, now);
        best = match (best, checked) {
            (Checked::Valid { expires: a }, Checked::Valid { expires: b }) => {
                Checked::Valid { expires: a.max(b) }
            }
            (valid @ Checked::Valid { .. }, _) | (_, valid @ Checked::Valid { .. }) => valid,
            (Checked::Not(a), Checked::Not(b)) => Checked::Not(a.min(b)),
        };
    }
    best
}

fn one(
    set: &[&Rr],
    owner: &OwnName,
    (record, signature): (&Rr, &Rrsig<Bytes, OwnName>),
    keys: &[Rr],
    now: Timestamp,
) -> Checked {
    if !is_known(signature.algorithm()) {
        return Checked::Not(Fault::Unsupported);
    }
    let expires = instant(signature.expiration().into_int(), now);
    if expires < now {
        return Checked::Not(Fault::Expired);
    }
    if instant(signature.inception().into_int(), now) > now {
        return Checked::Not(Fault::NotYet);
    }
    let made = |key: &Dnskey<Bytes>| {
        key.algorithm() == signature.algorithm() && key.key_tag() == signature.key_tag()
    };
    let signers = keys.iter().filter_map(|r| Some((r, key(r).filter(|k| made(k))?)));
    let signed = signed_data(set, owner, signature);
    let mut best = Fault::NoKey;
    for (key_record, key) in signers {
        let ours = signed.as_ref().is_some_and(|signed| {
            let public = PublicKey::from_dnskey(key);
            public.and_then(|key| key.verify(signed, signature.signature())).is_ok()
        });
        best = match (ours, second::holds(set, record, key_record)) {
            (true, Some(true) | None) => return Checked::Valid { expires },
            (true, Some(false)) | (false, Some(true) | None) => Fault::Disputed,
            (false, Some(false)) => best.min(Fault::Mismatch),
        };
    }
    Checked::Not(best)
}

/// Whether signatures of an algorithm can be checked.
const fn is_known(algorithm: SecurityAlgorithm) -> bool {
    matches!(
        algorithm,
        SecurityAlgorithm::RSASHA1
            | SecurityAlgorithm::RSASHA1_NSEC3_SHA1
            | SecurityAlgorithm::RSASHA256
            | SecurityAlgorithm::RSASHA512
            | SecurityAlgorithm::ECDSAP256SHA256
            | SecurityAlgorithm::ECDSAP384SHA384
            | SecurityAlgorithm::ED25519
    )
}

/// The 32 bits of a signature's time, near `now` (RFC 4034 §3.1.5: serial number arithmetic).
fn instant(seconds: u32, now: Timestamp) -> Timestamp {
    let low = u32::try_from(now.secs() & 0xffff_ffff).unwrap_or(0);
    let ahead = i64::from(seconds.wrapping_sub(low).cast_signed());
    Timestamp::from_secs(now.secs().saturating_add(ahead))
}

/// What was signed (RFC 4034 §3.1.8.1); none where the signature covers more labels than there are.
fn signed_data(set: &[&Rr], owner: &OwnName, signature: &Rrsig<Bytes, OwnName>) -> Option<Vec<u8>> {
    let labels: Vec<_> = owner.iter_labels().filter(|l| !l.is_root()).collect();
    let covered = usize::from(signature.labels());
    let surplus = labels.len().checked_sub(covered)?;
    let mut name = Vec::new();
    if surplus > 0 {
        name.extend_from_slice(b"\x01*");
    }
    for label in &labels[surplus..] {
        label.compose_canonical(&mut name).ok()?;
    }
    name.push(0);
    let mut set = set.to_vec();
    set.sort_by(|a, b| a.data().canonical_cmp(b.data()));
    set.dedup_by(|a, b| a.data().canonical_cmp(b.data()).is_eq());
    let mut data = Vec::new();
    signature.type_covered().compose(&mut data).ok()?;
    signature.algorithm().compose(&mut data).ok()?;
    signature.labels().compose(&mut data).ok()?;
    signature.original_ttl().compose(&mut data).ok()?;
    signature.expiration().into_int().compose(&mut data).ok()?;
    signature.inception().into_int().compose(&mut data).ok()?;
    signature.key_tag().compose(&mut data).ok()?;
    signature.signer_name().compose_canonical(&mut data).ok()?;
    for record in set {
        data.extend_from_slice(&name);
        record.rtype().compose(&mut data).ok()?;
        record.class().compose(&mut data).ok()?;
        signature.original_ttl().compose(&mut data).ok()?;
        record.data().compose_canonical_len_rdata(&mut data).ok()?;
    }
    Some(data)
}

/// Whether a delegation's digest is that of a key (RFC 4034 §5.1.4); none where the algorithm of
/// either is not known, or two implementations disagree.
pub(super) fn matches(ds_record: &Rr, zone: &OwnName, key_record: &Rr) -> Option<bool> {
    let (AllRecordData::Ds(ds), Some(key)) = (ds_record.data(), key(key_record)) else {
        return None;
    };
    let digest = match ds.digest_type() {
        DigestAlgorithm::SHA1 => DigestType::Sha1,
        DigestAlgorithm::SHA256 => DigestType::Sha256,
        DigestAlgorithm::SHA384 => DigestType::Sha384,
        _ => return None,
    };
    if !is_known(ds.algorithm()) {
        return None;
    }
    if ds.algorithm() != key.algorithm() || ds.key_tag() != key.key_tag() {
        return Some(false);
    }
    let mut data = Vec::new();
    zone.compose_canonical(&mut data).ok()?;
    key.compose_canonical_rdata(&mut data).ok()?;
    let mut builder = DigestBuilder::new(digest);
    builder.update(&data);
    let ours = builder.finish().as_ref() == ds.digest().as_ref();
    second::covers(ds_record, key_record).filter(|second| *second == ours)
}
