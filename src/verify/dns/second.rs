//! A second opinion on signatures: the same sets of records, put into canonical form, digested and
//! checked by another implementation. Both have to say that a signature is bad before we do.

use hickory_proto::{
    dnssec::{
        Verifier as _,
        rdata::{DNSKEY, DNSSECRData, DS, RRSIG},
    },
    rr::{DNSClass, Name, RData, Record},
    serialize::binary::{BinDecodable as _, BinDecoder},
};

use super::reply::Rr;

/// Whether `signature`, made with `key`, holds for `set`. None where this one cannot read what it
/// is given, or does not know the algorithm.
pub(super) fn holds(set: &[&Rr], signature: &Rr, key: &Rr) -> Option<bool> {
    let records: Vec<Record> = set.iter().map(|r| record(r)).collect::<Option<_>>()?;
    let owner = records.first()?.name.clone();
    let (signature, key) = (rrsig(signature)?, dnskey(key)?);
    if !signature.input().algorithm.is_supported() {
        return None;
    }
    Some(key.verify_rrsig(&owner, DNSClass::IN, &signature, records.iter()).is_ok())
}

/// Whether a delegation's digest is that of a key.
pub(super) fn covers(ds: &Rr, key: &Rr) -> Option<bool> {
    let zone: Name = record(ds)?.name;
    let (ds, key) = (digest(ds)?, dnskey(key)?);
    ds.covers(&zone, &key).ok()
}

fn record(record: &Rr) -> Option<Record> {
    let mut wire = Vec::new();
    record.compose(&mut wire).ok()?;
    Record::read(&mut BinDecoder::new(&wire)).ok()
}

fn rrsig(from: &Rr) -> Option<RRSIG> {
    match record(from)?.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

fn dnskey(from: &Rr) -> Option<DNSKEY> {
    match record(from)?.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key),
        _ => None,
    }
}

fn digest(from: &Rr) -> Option<DS> {
    match record(from)?.data {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds),
        _ => None,
    }
}
