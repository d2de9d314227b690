//! Trust anchors: DS records of the root, as in `root.ds` of Debian's `dns-root-data`.

use bytes::Bytes;
use domain::{
    base::{Record, name::FlattenInto as _},
    rdata::{AllRecordData, ZoneRecordData},
    zonefile::inplace::{Entry, Zonefile},
};

use super::reply::{OwnName, Rr};

/// Why a text holds no anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnchors {
    /// It is no zone file.
    #[error("{0}")]
    Syntax(String),
    /// There is none in it.
    #[error("no DS record of the root")]
    None,
}

/// The DS records of the root in the text of a zone file. Others are left out.
///
/// # Errors
/// When it is no zone file, or there are none.
pub fn anchors(text: &str) -> Result<Vec<Rr>, BadAnchors> {
    let syntax = |e: &dyn std::fmt::Display| BadAnchors::Syntax(e.to_string());
    let mut file = Zonefile::load(&mut text.as_bytes()).map_err(|e| syntax(&e))?;
    file.set_origin(domain::base::Name::root_bytes());
    let mut found = Vec::new();
    while let Some(entry) = file.next_entry().map_err(|e| syntax(&e))? {
        let Entry::Record(record) = entry else { continue };
        let record: Record<OwnName, ZoneRecordData<Bytes, OwnName>> = record.flatten_into();
        let (class, ttl) = (record.class(), record.ttl());
        if let ZoneRecordData::Ds(ds) = record.data()
            && record.owner().is_root()
        {
            let data = AllRecordData::Ds(ds.clone());
            found.push(Record::new(record.owner().clone(), class, ttl, data));
        }
    }
    if found.is_empty() { Err(BadAnchors::None) } else { Ok(found) }
}
