//! After a crash: what the outbox promises is put where it was promised to be.

use super::{Error, LinkStore};
use crate::{
    record::{LaneId, Table, rowbinary::Reader},
    spool::{Recovery, Spool},
};

/// Puts every record of the outbox into the spool, unless it is or was there. To be called before
/// anything reads links; [`LinkStore::forget`] takes what this returns after
/// [`Recovery::finish`], when the records are there to stay.
///
/// # Errors
/// When the database cannot be read or the spool cannot take a record; nothing may be served then.
pub fn restore(
    store: &dyn LinkStore,
    recovery: &mut Recovery,
) -> Result<Vec<(LaneId, u64)>, Error> {
    let mut kept = Vec::new();
    for record in store.outbox()? {
        recovery.restore(record.lane, record.seq, record.schema, &record.bytes)?;
        kept.push((record.lane, record.seq));
    }
    Ok(kept)
}

/// The code of every conversion that is still in the spool, for
/// [`Links::raise_above`](super::Links::raise_above). To be called after [`Recovery::finish`].
///
/// # Errors
/// When a frame cannot be read.
pub fn codes_in_spool(spool: &Spool) -> Result<Vec<String>, Error> {
    let mut codes = Vec::new();
    let frames = spool.frames().into_iter().chain(spool.in_grace());
    for frame in frames.filter(|f| f.table == Table::Conversions) {
        let bytes = spool.read(&frame)?;
        let mut rows = Reader(&bytes);
        while !rows.is_empty() {
            // A frame's rows are whole: their CRC was checked. Another build's schema is passed
            // over, as the row could not be told from others.
            let Ok(row) = frame.schema.read_json(&mut rows) else { break };
            codes.extend(row.get("code").and_then(|c| c.as_str()).map(str::to_owned));
        }
    }
    Ok(codes)
}
