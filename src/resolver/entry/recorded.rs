//! What a record keeps of an answer.

use std::{ops::Deref, sync::Arc};

use super::{super::message::Rcode, Entry};
use crate::config::FullPolicy;

/// The encoded columns of a record that depend on the answer alone: [`crate::record::Resolution`]'s
/// `tail`. Cheap to clone; derefs to the bytes.
#[derive(Clone, Debug)]
pub struct Tail(TailOf);

#[derive(Clone, Debug)]
enum TailOf {
    Entry {
        entry: Arc<Entry>,
        /// Extended errors were sent.
        ede: bool,
    },
    /// Of a response that is not recorded.
    Nothing,
}

impl Tail {
    pub(crate) const NOTHING: Self = Self(TailOf::Nothing);

    /// That of an entry; `ede` says whether extended errors were sent.
    pub(super) fn of(entry: &Arc<Entry>, ede: bool) -> Self {
        Self(TailOf::Entry { entry: Arc::clone(entry), ede })
    }
}

impl Deref for Tail {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            TailOf::Entry { entry, ede: true } => &entry.tail,
            TailOf::Entry { entry, ede: false } => {
                entry.tail_without_ede.as_deref().unwrap_or(&entry.tail)
            }
            TailOf::Nothing => &[],
        }
    }
}

/// What a record needs to know of a response that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The columns that depend on the answer alone.
    pub tail: Tail,
    /// The column `flags`: the header's flags as sent, bit 16 EDNS, bit 17 DO.
    pub flags: u32,
    /// The smallest TTL sent, in seconds; 0 without records.
    pub min_ttl: u32,
    /// `local`, `hit`, `miss` or `none`.
    pub cache: &'static str,
    /// What happens to its record when the spool is full.
    pub full: FullPolicy,
    /// The response code sent.
    pub rcode: Rcode,
}
