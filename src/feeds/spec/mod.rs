//! A feed's settings: what an operator says of a list, as a value.
//!
//! Settings are one JSON object, kept in the control database and changed as a whole; every change
//! is a new revision there. [`FeedSpec::parse`] is the only way in: what it returns is valid. What
//! it refuses names the key and says what to write instead, in English and in Chinese.

mod check;
mod fault;
mod location;

use std::collections::BTreeMap;

pub use fault::{Fault, SpecError};
pub use location::{Location, Transfer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{config, policy::Tier};

/// The feed of instant blocks. It has no source and no settings.
pub const INSTANT: &str = "instant";

/// The feed of the operator's allow rules. It has no source and no settings.
pub const ALLOW: &str = "allow";

/// The longest name of a feed, in bytes.
pub const FEED_NAME_MAX: usize = 63;

/// The position of a feed whose settings name none.
const POSITION: u32 = 100;

/// Everything an operator says of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedSpec {
    /// Its name: 1 to 63 of `a-z 0-9 . _ -`, beginning and ending with a letter or digit. In
    /// records, and a directory's name.
    pub name: String,
    /// Its place among the feeds: the lowest decides first; of equals, the first by name.
    #[serde(default = "position")]
    pub position: u32,
    /// Where the list comes from.
    pub source: Location,
    /// Its format, by name.
    #[schemars(extend("enum" = check::FORMATS))]
    pub format: String,
    /// What the format has to be told.
    #[serde(default)]
    pub options: FormatOptions,
    /// Who orders its rules, where the list does not say.
    #[serde(default)]
    pub authority: String,
    /// The order's number, where the list does not say.
    #[serde(default)]
    pub order_number: String,
    /// The class of content (one of [`crate::policy::CONTENT_CLASSES`], or empty), where the list
    /// does not say.
    #[serde(default)]
    #[schemars(
        description = "The class of content, by its code or number, where the list does not say; or empty"
    )]
    pub content_class: String,
    /// What being listed means, where the list does not say.
    #[serde(default = "tier")]
    pub tier: Tier,
    /// What its rules do, whatever the list says.
    #[serde(default)]
    pub action: ActionOverride,
    /// Whether an exact name means everything below it, too.
    #[serde(default)]
    pub subtree: bool,
    /// Whether names that it lists are resolved all the same before they are decided where an
    /// earlier feed could win by the answer. Where not, it decides at once, before those feeds.
    #[serde(default = "yes")]
    pub qname_wait_recurse: bool,
    /// Whether the operator's allow rules win over it.
    #[serde(default = "yes")]
    pub allow_may_win: bool,
    /// What answers say of why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ede: Option<Ede>,
    /// What to do when it cannot be loaded.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How often its source is looked at, in seconds; 0 for `feeds.refresh_s`. A transferred zone's
    /// own timers come before it.
    #[serde(default)]
    pub refresh_s: u64,
    /// How long its last good version counts without being confirmed by its source, in seconds; 0
    /// for a transferred zone's own EXPIRE, and `feeds.stale_after_s`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale_after_s: u64,
    /// What a version may be.
    #[serde(default)]
    pub limits: Limits,
    /// The name of the key (RFC 8945) that transfers are signed with; empty for none.
    #[serde(default)]
    pub tsig_key: String,
    /// The public key (minisign) that files must be signed with; empty for none.
    #[serde(default)]
    pub minisign_key: String,
    /// A file (PEM, below `feeds.roots`) with the authorities that its web server's certificate must
    /// be from; empty for the system's.
    #[serde(default)]
    pub ca_file: String,
    /// Who may have it from us as a zone; none for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Whom structured DNS errors name for complaints: `mailto:`, `tel:` or `https:` addresses.
    #[serde(default)]
    pub contact: Vec<String>,
    /// What structured DNS errors say of why.
    #[serde(default)]
    pub justification: String,
}

/// What a format has to be told. Keys that a format does not know are refused with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FormatOptions {
    /// The name that the owners of an RPZ text are below; empty for what the text says, and the
    /// feed's name where it does not.
    pub origin: String,
    /// Field of a rule to column of a table: its heading, its letter or its number.
    pub columns: BTreeMap<String, String>,
    /// The sheet of a workbook; empty for the first.
    pub sheet: String,
    /// The row with the headings, from 1; 0 for none; absent to be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_row: Option<u32>,
    /// `auto`, `utf-8` or `gb18030`; empty for `auto`.
    pub encoding: String,
    /// What parts the columns of a CSV file; empty to be found.
    pub delimiter: String,
    /// The offset from UTC of times in the list that say none, such as `+08:00`; empty for UTC.
    pub utc_offset: String,
    /// A second list, beside the first, with what the law wants known of its rules; empty for none.
    pub manifest: String,
}

/// What a feed's rules do, whatever its list says. A rule that lets through never becomes a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ActionOverride {
    /// What the list says.
    #[default]
    Given,
    /// Nothing: they are counted and recorded.
    Observe,
    /// The name does not exist.
    Nxdomain,
    /// The name has no such data.
    Nodata,
    /// As if there were no rule, and no later feed is asked.
    Passthru,
    /// No answer.
    Drop,
    /// Answers over TCP alone.
    TcpOnly,
    /// An alias to this name (in the form of a record; `*.` before it keeps the name asked).
    Cname(String),
}

/// What answers that a feed decided say of why (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ede {
    /// 15 Blocked, 16 Censored, 17 Filtered, 18 Prohibited or 4 Forged Answer.
    pub code: u16,
    /// The text after the order's number; empty for none.
    #[serde(default)]
    pub text: String,
}

/// What to do when a feed cannot be loaded: its newest version cannot be read, nothing of it is left
/// on disk at the start, or nobody has confirmed it for too long; `closed` also before its first
/// version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum OnFailure {
    /// Its last good version stays in force.
    #[default]
    KeepLast,
    /// None of its rules is in force.
    Open,
    /// Nothing is answered that it could have decided.
    Closed,
}

/// What a version of a feed may be before a person has to look at it; absent for the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "FeedLimits")]
pub struct Limits {
    /// Rules in one version; a longer list is not loaded. At most `feeds.rules_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_max: Option<u64>,
    /// Rejected entries in one version; more of them are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected_max: Option<u64>,
    /// A version with fewer rules than before by more than this many percent is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrink_percent: Option<u32>,
    /// A version with more rules than before by more than this many percent is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth_percent: Option<u32>,
    /// A version that would decide more than this many percent of the resolutions and jumps of the
    /// last hours differently is held; 100 to never hold for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blast_percent: Option<u32>,
}

/// Who may have a feed from us, as a response policy zone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FeedShare")]
pub struct Share {
    /// The zone's name.
    pub zone: String,
    /// Addresses (with or without port, 53 by default) that are told of new versions and may
    /// transfer it.
    #[serde(default)]
    pub secondaries: Vec<String>,
    /// The name of the key (RFC 8945) that transfers must be signed with; empty for none.
    #[serde(default)]
    pub tsig_key: String,
}

const fn position() -> u32 {
    POSITION
}

const fn tier() -> Tier {
    Tier::Block
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it on so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

const fn yes() -> bool {
    true
}

impl FeedSpec {
    /// Reads settings from JSON and checks them against `limits`.
    ///
    /// # Errors
    /// The first key that cannot be used, and why.
    pub fn parse(json: &str, limits: &config::Feeds) -> Result<Self, SpecError> {
        let spec = Self::read(json)?;
        spec.check(limits)?;
        Ok(spec)
    }

    /// Reads settings that were checked when they were kept: limits may have changed since.
    ///
    /// # Errors
    /// When it is not JSON of this form.
    pub fn read(json: &str) -> Result<Self, SpecError> {
        let mut input = serde_json::Deserializer::from_str(json);
        let spec = serde_path_to_error::deserialize(&mut input).map_err(|e| fault::of_json(&e))?;
        input.end().map_err(|_| SpecError::new("", Fault::Json("more after the object".into())))?;
        Ok(spec)
    }

    /// The settings as they are kept.
    ///
    /// # Errors
    /// Never for settings that were parsed.
    pub fn to_json(&self) -> Result<String, SpecError> {
        let wrong = |e: serde_json::Error| SpecError::new("", Fault::Json(e.to_string()));
        serde_json::to_string(self).map_err(wrong)
    }

    /// The most rules that one version may have.
    pub fn rules_max(&self, limits: &config::Feeds) -> u64 {
        self.limits.rules_max.unwrap_or(limits.rules_max).min(limits.rules_max)
    }
}

/// Whether `name` may be a feed's.
pub fn is_feed_name(name: &str) -> bool {
    let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let b = name.as_bytes();
    b.len() <= FEED_NAME_MAX && b.iter().all(|b| inner(*b)) && outer(b.first()) && outer(b.last())
}

#[cfg(test)]
mod tests;
