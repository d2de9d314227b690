//! `[gateway.limits]`, `[[gateway.certificates]]` and `[gateway.security_txt]`: how much a visitor may
//! ask, what the gateway proves itself with, and whom to tell.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Rate limits of jumps. Requests over them are answered with 429, counted and not recorded.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JumpLimits {
    /// Requests of one client prefix in a window; 0 for no limit.
    pub client_requests_max: u32,
    /// Attempts of one client at the password of one link in a window; 0 for no limit.
    pub password_attempts_max: u32,
    /// The window, in seconds.
    pub window_s: u32,
    /// The length of a client prefix of IPv4.
    pub ipv4_prefix: u8,
    /// The length of a client prefix of IPv6.
    pub ipv6_prefix: u8,
    /// Prefixes remembered at once.
    pub table_max: usize,
    /// Clients without a limit.
    pub exempt: Vec<IpNet>,
}

/// A certificate of the gateway, in files.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The hosts it is for; `*.` stands for any one label.
    pub hosts: Vec<String>,
    /// The certificate and those that lead to its authority, in PEM.
    pub chain: PathBuf,
    /// Its key in PEM, which nobody else may read.
    pub key: PathBuf,
}

/// `/.well-known/security.txt` (RFC 9116).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityTxt {
    /// Whom to tell, the preferred first: `mailto:`, `https:` or `tel:`. Empty for no such file.
    pub contact: Vec<String>,
    /// When this is to be looked at again, as 2030-01-31T12:00:00Z.
    pub expires: String,
    /// The page with the policy of disclosure; empty for none.
    pub policy: String,
    /// Languages spoken, such as `zh, en`; empty for not said.
    pub preferred_languages: String,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.limits.client_requests_max", 0, 1_000_000),
    limits("gateway.limits.password_attempts_max", 0, 1_000_000),
    limits("gateway.limits.window_s", 1, 3_600),
    limits("gateway.limits.ipv4_prefix", 8, 32),
    limits("gateway.limits.ipv6_prefix", 16, 128),
    limits("gateway.limits.table_max", 64, 1 << 24),
];

impl Default for JumpLimits {
    fn default() -> Self {
        let exempt = [
            IpNet::new_assert([127, 0, 0, 0].into(), 8),
            IpNet::new_assert([10, 0, 0, 0].into(), 8),
            IpNet::new_assert([172, 16, 0, 0].into(), 12),
            IpNet::new_assert([192, 168, 0, 0].into(), 16),
            IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128),
            IpNet::new_assert([0xfc00, 0, 0, 0, 0, 0, 0, 0].into(), 7),
        ];
        Self {
            client_requests_max: 6_000,
            password_attempts_max: 10,
            window_s: 60,
            ipv4_prefix: 32,
            ipv6_prefix: 56,
            table_max: 65_536,
            exempt: exempt.into(),
        }
    }
}
