//! Rows whose registrable domain another list of public suffixes decided.
//!
//! A name that is registered by the list in force may have been a suffix in another: then rows lie
//! under the domains below it. "No record" must hold for those too, so where a window has rows of
//! another list, they are looked for by their names, slowly.

use super::{
    Error, Window,
    query::{self, LISTED},
    reader::Reader,
};
use crate::record::Table;

/// The tables with rows in `window` that follow another list than `version`.
pub(super) async fn others(
    reader: &Reader,
    window: Window,
    version: &str,
) -> Result<Vec<Table>, Error> {
    let (bytes, _) = reader.bytes(query::other_lists(window, version)).await?;
    let table = |i: &u8| LISTED.get(usize::from(*i)).copied().ok_or(Error::Malformed);
    bytes.iter().map(table).collect()
}
