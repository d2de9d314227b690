//! Names and addresses with a special purpose. Targets of links, servers that are asked and
//! addresses that are verified are held to the same tables.

mod addresses;
mod names;

pub use addresses::{Embedding, Reachable, Registered, TABLE, embedded, registered};
pub(crate) use addresses::{canonical_address, is_special_address};
pub(crate) use names::is_special;
