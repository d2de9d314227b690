//! Feeds: lists of rules with an owner, from their source until they are in force.
//!
//! A feed's bytes come from a source, are parsed into rules ([`format`]), judged, and become a part
//! of the policy in force. One bad entry never takes a good one with it: it is rejected with its
//! line, its text and a reason.

pub mod format;
pub mod report;
mod spec;

pub use spec::{
    ALLOW, ActionOverride, Ede, FEED_NAME_MAX, Fault, FeedSpec, FormatOptions, INSTANT, Limits,
    Location, OnFailure, Share, SpecError, Transfer, is_feed_name,
};
