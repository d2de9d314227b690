//! After a crash: what the outbox promises is put where it was promised to be.

use super::{Error, LinkStore};
use crate::{record::LaneId, spool::Recovery};

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
