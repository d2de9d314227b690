//! Records: the nouns of the whole program and the bytes they are kept in.
//!
//! A record is one row of one [`Table`]. It is encoded once, where it was served, in `RowBinary`
//! ([`rowbinary`]); its ordered columns are named by a [`SchemaId`] that lives for ever
//! ([`schema`]); its identity is `(node, lane, seq)` ([`RecordId`]). Every table begins with the
//! same four columns, the [`Head`].

mod dns;
mod events;
mod feeds;
mod id;
mod links;
mod notices;
pub mod rowbinary;
pub mod schema;
mod suffix;
mod table;

pub use dns::{AnswerData, Resolution, ResolutionTail};
pub use events::{Access, Evidence, FrameRow, GapRow, NodeRow, Verification};
pub use feeds::{FeedEvent, RuleRow};
pub use id::{BadNodeName, BadRecordId, Flow, LaneId, NodeName, RecordId};
pub use links::{Conversion, Jump};
pub use notices::{Hop, Notice, Report};
pub use schema::{GapColumns, SchemaId};
pub use suffix::{BadSuffixList, PublicSuffixes};
pub use table::Table;

use crate::clock::Timestamp;
use rowbinary::Writer;

/// The first four columns of every table.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The node that writes the record.
    pub node: &'a NodeName,
    /// The lane it lies in.
    pub lane: LaneId,
    /// Its number in the lane, from 0 without holes.
    pub seq: u64,
    /// The clock when the row was encoded.
    pub ts: Timestamp,
}

impl Head<'_> {
    fn encode(&self, out: &mut Writer<'_>) {
        out.str(self.node.as_str()).u64(self.lane.0).u64(self.seq).ts(self.ts);
    }
}

/// What can be kept: a row of one table in the newest schema of that table.
pub trait Row {
    /// The table it belongs to; its newest schema is the one encoded.
    const TABLE: Table;

    /// Appends every column after the head, in the order of the schema.
    fn encode_tail(&self, out: &mut Writer<'_>);

    /// Appends the whole row.
    fn encode(&self, head: &Head<'_>, out: &mut Vec<u8>) {
        let mut out = Writer(out);
        head.encode(&mut out);
        self.encode_tail(&mut out);
    }
}

/// Cuts text that an outsider chose to at most `max` bytes, at a character's edge.
pub fn capped(s: &str, max: usize) -> &str {
    &s[..s.floor_char_boundary(max)]
}
