//! `feed_events` and `rules`: what befell lists, and every rule's text per version.

use super::{Row, Table, rowbinary::Writer};
use crate::clock::Timestamp;

/// One event of a feed.
#[derive(Clone, Debug)]
pub struct FeedEvent<'a> {
    /// The feed.
    pub feed: &'a str,
    /// The version; empty for the feed as a whole.
    pub version: &'a str,
    /// What happened.
    pub event: &'static str,
    /// SHA-256 of the version as received; zeroes without one.
    pub digest: [u8; 32],
    /// Who signed it.
    pub signer: &'a str,
    /// Rules taken.
    pub accepted: u64,
    /// Entries not taken.
    pub rejected: u64,
    /// Who, why, and more, as a JSON object.
    pub detail: &'a str,
}

impl Row for FeedEvent<'_> {
    const TABLE: Table = Table::FeedEvents;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.feed).str(self.version).str(self.event).raw(&self.digest).str(self.signer);
        w.u64(self.accepted).u64(self.rejected).str(self.detail);
    }
}

/// What one version of a feed makes of one rule. What a rule was in a version is told by its newest
/// row whose version is not above that one.
#[derive(Clone, Debug)]
pub struct RuleRow<'a> {
    /// The feed.
    pub feed: &'a str,
    /// The version.
    pub version: &'a str,
    /// The rule: its trigger's text, as the column `rule` of other tables has it.
    pub rule: &'a str,
    /// What kind of trigger it is.
    pub trigger: &'static str,
    /// What it does; `removed` when the version has it no more.
    pub action: &'static str,
    /// What being listed means; empty when it was removed.
    pub tier: &'static str,
    /// Who ordered it.
    pub authority: &'a str,
    /// The order's number.
    pub order_number: &'a str,
    /// From when on it counts; [`Timestamp::ZERO`] for from the beginning.
    pub effective_from: Timestamp,
    /// Until when it counts; [`Timestamp::ZERO`] for without end.
    pub expires_at: Timestamp,
    /// The entry as the list has it.
    pub text: &'a str,
    /// Everything the law wants known, the entry's line and what changed, as a JSON object.
    pub legal: &'a str,
}

impl Row for RuleRow<'_> {
    const TABLE: Table = Table::Rules;

    fn encode_tail(&self, w: &mut Writer<'_>) {
        w.str(self.feed).str(self.version).str(self.rule).str(self.trigger).str(self.action);
        w.str(self.tier).str(self.authority).str(self.order_number);
        w.ts(self.effective_from).ts(self.expires_at).str(self.text).str(self.legal);
    }
}
