//! After a crash: what the outbox promises is put where it was promised to be.

use serde_json::{Map, Value};

use super::{Error, LinkStore};
use crate::{
    record::{LaneId, Table, rowbinary::Reader},
    spool::{Frame, Recovery, Spool},
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

/// A code that a record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCode {
    /// The code.
    pub code: String,
    /// Its link came from elsewhere with it: it says nothing of our sequence.
    pub taken_over: bool,
}

/// What the spool knows of codes given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodesInSpool {
    /// Codes of conversions, for [`Links::learn`](super::Links::learn).
    pub codes: Vec<SeenCode>,
    /// Frames that cannot be read to their end, and damaged segments: there may be more codes in
    /// them.
    pub unread: usize,
}

/// The code of every conversion that is still in the spool, wherever its frame stands: what an
/// open shipment holds is not in the store yet, and what was set aside may never be. A frame that
/// cannot be read keeps no other one's codes back; the log names it. To be called after
/// [`Recovery::finish`], and before the store is asked: what leaves the spool meanwhile is there.
pub fn codes_in_spool(spool: &Spool) -> CodesInSpool {
    let (frames, damaged) = spool.holdings(Table::Conversions);
    let mut found = CodesInSpool { codes: Vec::new(), unread: damaged };
    for frame in frames {
        match spool.read(&frame) {
            Ok(bytes) => found.add(&frame, &bytes),
            Err(_) if !spool.holdings(Table::Conversions).0.contains(&frame) => {}
            Err(error) => found.cannot_read(&frame, &error),
        }
    }
    found
}

fn is_taken_over(row: &Map<String, Value>) -> bool {
    let settings = row.get("settings").and_then(Value::as_str).unwrap_or_default();
    let settings: Value = serde_json::from_str(settings).unwrap_or_default();
    settings["source"].as_str().is_some_and(|source| !source.is_empty())
}

impl CodesInSpool {
    fn add(&mut self, frame: &Frame, bytes: &[u8]) {
        let mut rows = Reader(bytes);
        while !rows.is_empty() {
            match frame.schema.read_json(&mut rows) {
                Ok(row) => {
                    let taken_over = is_taken_over(&row);
                    let code = row.get("code").and_then(|c| c.as_str()).map(str::to_owned);
                    self.codes.extend(code.map(|code| SeenCode { code, taken_over }));
                }
                // The bytes are whole, their CRC was checked: another build's columns. The row
                // could not be told from the next.
                Err(error) => return self.cannot_read(frame, &error),
            }
        }
    }

    fn cannot_read(&mut self, frame: &Frame, error: &dyn std::fmt::Display) {
        let (lane, first_seq) = (frame.lane, frame.first_seq);
        tracing::error!(%lane, first_seq, %error, "the codes in a frame cannot be read");
        self.unread += 1;
    }
}
