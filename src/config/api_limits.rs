//! `[api.limits]`: fair use of the API.

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Quotas. What is over them is answered with 429. Operators are exempt.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiLimits {
    /// Requests of one token in a window; 0 for no limit.
    pub token_requests_max: u32,
    /// The window, in seconds.
    pub window_s: u32,
    /// Links of one owner in a day; 0 for no limit.
    pub owner_links_day_max: u32,
    /// Links and forwards of one owner that may be followed, at once; 0 for no limit.
    pub owner_links_max: u64,
    /// Links that one token makes or changes in a day; 0 for no limit.
    pub token_conversions_day_max: u32,
    /// Tokens and owners remembered at once, each.
    pub table_max: usize,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("api.limits.token_requests_max", 0, 10_000_000),
    limits("api.limits.window_s", 1, 3_600),
    limits("api.limits.owner_links_day_max", 0, 100_000_000),
    limits("api.limits.owner_links_max", 0, 1_000_000_000),
    limits("api.limits.token_conversions_day_max", 0, 100_000_000),
    limits("api.limits.table_max", 64, 1 << 24),
];

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            token_requests_max: 6_000,
            window_s: 60,
            owner_links_day_max: 100_000,
            owner_links_max: 0,
            token_conversions_day_max: 0,
            table_max: 16_384,
        }
    }
}
