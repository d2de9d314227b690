//! The small tables: verdicts, looks at the records, gaps, frames and nodes.

use std::net::{IpAddr, SocketAddr};

use super::{Flow, LaneId, Row, SchemaId, Table, rowbinary::Writer};
use crate::clock::Timestamp;

/// One dated verdict.
#[derive(Clone, Debug)]
pub struct Verification<'a> {
    /// The registrable domain of the subject; empty for an address.
    pub registrable_domain: &'a str,
    /// What was checked.
    pub subject: &'a str,
    /// `host`, `url` or `address`.
    pub kind: &'static str,
    /// The overall outcome.
    pub overall: &'static str,
    /// Registration, resolution and address by outcome, as JSON.
    pub grid: &'a str,
    /// The findings, as JSON.
    pub findings: &'a str,
    /// SHA-256 of the evidence, in hexadecimal digits.
    pub evidence: &'a [String],
    /// The version of the policy that turns findings into tiers.
    pub policy_version: &'a str,
    /// The exchange that asked for it.
    pub flow: Flow,
    /// The name in the subject; empty for an address.
    pub host: &'a str,
    /// The addresses that the name led to, or the one that was checked.
    pub addresses: &'a [IpAddr],
    /// The link that it is about; empty for none.
    pub code: &'a str,
    /// Why it was made: `asked`, `create`, `first_seen`, `schedule`.
    pub occasion: &'static str,
    /// The version of the rules that evidence was judged by.
    pub rules_version: &'a str,
    /// SHA-256 of what it was judged from, which lies among the evidence.
    pub dossier: &'a [u8; 32],
    /// Through when it may be believed.
    pub valid_until: Timestamp,
    /// The list that `registrable_domain` comes from.
    pub psl_version: &'a str,
}

impl Row for Verification<'_> {
    const TABLE: Table = Table::Verifications;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.registrable_domain).str(self.subject).str(self.kind).str(self.overall);
        w.str(self.grid).str(self.findings).len(self.evidence.len());
        for e in self.evidence {
            w.str(e);
        }
        w.str(self.policy_version).u128(self.flow.0).str(self.host);
        w.len(self.addresses.len());
        for address in self.addresses {
            w.ip(*address);
        }
        w.str(self.code).str(self.occasion).str(self.rules_version).raw(self.dossier);
        w.ts(self.valid_until).str(self.psl_version);
    }
}

/// What a source said, byte for byte.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The SHA-256 of `body`.
    pub digest: &'a [u8; 32],
    /// What it is, such as `dns_wire`.
    pub form: &'static str,
    /// The bytes.
    pub body: &'a [u8],
}

impl Row for Evidence<'_> {
    const TABLE: Table = Table::Evidence;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.raw(self.digest).str(self.form).bytes(self.body);
    }
}

/// One look at the records by a person.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    /// The token that asked.
    pub actor: &'a str,
    /// Who connected.
    pub peer: SocketAddr,
    /// The token's role.
    pub role: &'static str,
    /// The case given.
    pub case_number: &'a str,
    /// The purpose given.
    pub purpose: &'a str,
    /// The question, whole.
    pub question: &'a str,
    /// `answered`, `refused` or `failed`.
    pub outcome: &'static str,
    /// Rows on the page.
    pub rows: u64,
    /// SHA-256 of the page as sent; zeroes without one.
    pub digest: [u8; 32],
}

impl Row for Access<'_> {
    const TABLE: Table = Table::Access;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.actor).ip(self.peer.ip()).u16(self.peer.port()).str(self.role);
        w.str(self.case_number).str(self.purpose).str(self.question).str(self.outcome);
        w.u64(self.rows).raw(&self.digest);
    }
}

/// What could not be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow<'a> {
    /// The table that misses records.
    pub stream: Table,
    /// The lane that misses them.
    pub gap_lane: LaneId,
    /// Tells gaps of one lane apart; written once.
    pub gap_id: u64,
    /// How many are missing.
    pub count: u64,
    /// `exact`, or `upper` when `count` is an upper bound.
    pub bound: &'static str,
    /// The first one's time.
    pub from_ts: Timestamp,
    /// The last one's time.
    pub to_ts: Timestamp,
    /// `disk_full`, `overload`, `quarantine`, `unclean_end`, `io_error` or `clock_step`.
    pub reason: &'static str,
    /// More, for a person.
    pub detail: &'a str,
}

impl Row for GapRow<'_> {
    const TABLE: Table = Table::Gaps;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.stream.name()).u64(self.gap_lane.0).u64(self.gap_id).u64(self.count);
        w.str(self.bound).ts(self.from_ts).ts(self.to_ts).str(self.reason).str(self.detail);
    }
}

/// One frame's counts and bounds.
#[derive(Clone, Debug)]
pub struct FrameRow<'a> {
    /// The table of its rows.
    pub stream: Table,
    /// Its lane.
    pub frame_lane: LaneId,
    /// The seq of its first row.
    pub first_seq: u64,
    /// Its rows.
    pub count: u64,
    /// The smallest ts in it.
    pub min_ts: Timestamp,
    /// The largest ts in it.
    pub max_ts: Timestamp,
    /// The columns of its rows.
    pub schema: SchemaId,
    /// The bytes of its rows.
    pub bytes: u64,
    /// The root over its rows; zeroes where none was computed.
    pub root: [u8; 32],
    /// The digest of the lane's previous frame; zeroes for the first.
    pub previous: [u8; 32],
    /// The key that made the row nonces; empty for none.
    pub key_id: &'a str,
}

impl Row for FrameRow<'_> {
    const TABLE: Table = Table::Frames;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.stream.name()).u64(self.frame_lane.0).u64(self.first_seq).u64(self.count);
        w.ts(self.min_ts).ts(self.max_ts).u16(self.schema.0).u64(self.bytes);
        w.raw(&self.root).raw(&self.previous).str(self.key_id);
    }
}

/// One node's completeness.
#[derive(Clone, Debug)]
pub struct NodeRow<'a> {
    /// The time below which every row of this node is acknowledged.
    pub complete_through: Timestamp,
    /// The build.
    pub version: &'a str,
    /// The kernel's boot id.
    pub boot_id: &'a str,
    /// The oldest row not yet acknowledged; [`Timestamp::ZERO`] for none.
    pub oldest_unshipped: Timestamp,
    /// Rows not yet acknowledged.
    pub unshipped_rows: u64,
}

impl Row for NodeRow<'_> {
    const TABLE: Table = Table::Nodes;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.ts(self.complete_through).str(self.version).str(self.boot_id);
        w.ts(self.oldest_unshipped).u64(self.unshipped_rows);
    }
}
