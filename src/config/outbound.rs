//! `[gateway.outbound]`: pages that visitors leave other sites through.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Outbound pages.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// A target without a signature.
    pub unsigned: OnUnsigned,
    /// A target whose signature is wrong, has expired, counts elsewhere or is of a key we do not have.
    pub wrongly_signed: OnUnsigned,
    /// The keys; `secrets/outbound.keys` in the data directory, made with one key, when absent.
    pub keys_file: Option<PathBuf>,
    /// How often the keys are looked at, in milliseconds.
    pub keys_poll_ms: u64,
    /// The longest query of `/go`, in bytes.
    pub query_bytes_max: usize,
}

/// What happens where a target is not known to be where an embedder leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnsigned {
    /// Nobody is sent there: 403.
    Refuse,
    /// At least a hint is shown, to be left by hand.
    Hint,
    /// At least an interstitial is shown.
    Interstitial,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.outbound.keys_poll_ms", 100, 3_600_000),
    limits("gateway.outbound.query_bytes_max", 256, 65_536),
];

impl Default for Outbound {
    fn default() -> Self {
        Self {
            unsigned: OnUnsigned::Refuse,
            wrongly_signed: OnUnsigned::Refuse,
            keys_file: None,
            keys_poll_ms: 5_000,
            query_bytes_max: 8_192,
        }
    }
}
