//! Response policy zones (draft-vixie-dnsop-dns-rpz): zone text, and the records of a zone.
//!
//! The text is read entry by entry, with a scanner of our own: one that cannot be read must not
//! take the next one with it, which no reader of whole zones promises. An entry in parentheses
//! that never ends, or that makes no sense, is rejected by its first line and the lines behind it
//! are read again as entries of their own. Only record data that is not a plain alias or address
//! goes through the scanner of `domain`, one entry at a time.
//!
//! The zone's name (its apex, below which every owner lies) is what the operator gave; else the
//! owner of an SOA before the first rule, else the first `$ORIGIN` before it, else the feed's name.
//! SOA, NS, DNSSEC records and whatever else stands at the apex are no rules and ignored.
//!
//! A TXT record at `_tracegate.` and a rule's owner says what the law wants known of that rule
//! ([`Meaning::Companion`]).

mod data;
mod owner;
mod record;
mod text;
mod words;

pub(super) use data::{rdata, type_number};
pub use owner::trigger;
pub(super) use record::may_be_local_data;
pub use record::{COMPANION_LABEL, Companion, Meaning, Record, meaning};
pub(super) use text::parse;
pub(super) use words::Words;
