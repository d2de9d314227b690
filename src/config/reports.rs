//! `[gateway.reports]`: reports and appeals by the public.

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Reports and appeals.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Whether the public may report and appeal at `/report`.
    pub enabled: bool,
    /// The time a decision may take, in seconds; claimants are told.
    pub decide_within_s: u64,
    /// Reports of one client prefix in a window; 0 for no limit. Nobody is exempt.
    pub client_reports_max: u32,
    /// The window, in seconds.
    pub window_s: u32,
    /// Undecided reports at once; beyond them nothing is taken.
    pub open_max: usize,
    /// The longest text, reason and answer, in bytes.
    pub text_bytes_max: usize,
    /// The longest contact, in bytes.
    pub contact_bytes_max: usize,
    /// How long a form may be open before it is sent, in seconds.
    pub form_valid_s: u64,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.reports.decide_within_s", 3_600, 366 * 86_400),
    limits("gateway.reports.client_reports_max", 0, 1_000_000),
    limits("gateway.reports.window_s", 1, 86_400),
    limits("gateway.reports.open_max", 1, 10_000_000),
    limits("gateway.reports.text_bytes_max", 64, 4_000),
    limits("gateway.reports.contact_bytes_max", 16, 1_024),
    limits("gateway.reports.form_valid_s", 60, 86_400),
];

impl Default for Reports {
    fn default() -> Self {
        Self {
            enabled: true,
            decide_within_s: 3 * 86_400,
            client_reports_max: 20,
            window_s: 3_600,
            open_max: 100_000,
            text_bytes_max: 4_000,
            contact_bytes_max: 256,
            form_valid_s: 7_200,
        }
    }
}
