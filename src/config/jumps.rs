//! `[gateway.limits]`, `[[gateway.certificates]]` and `[gateway.security_txt]`: how much a visitor may
//! ask, what the gateway proves itself with, and whom to tell.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Rate limits of jumps. Requests over them are answered with 429, counted and not recorded.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JumpLimits {
    /// Requests of one client prefix in a window; 0 for no limit.
    pub client_requests_max: u32,
    /// Connections of one client prefix at once; 0 for no limit.
    pub client_connections_max: usize,
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

impl JumpLimits {
    /// Whether `client`, which is canonical, has no limit.
    pub fn is_exempt(&self, client: IpAddr) -> bool {
        self.exempt.iter().any(|net| net.contains(&client))
    }

    /// The prefix by which `client`, which is canonical, is counted.
    pub fn prefix(&self, client: IpAddr) -> u128 {
        let (bits, address) = match client {
            IpAddr::V4(v4) => (96 + u32::from(self.ipv4_prefix.min(32)), v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (u32::from(self.ipv6_prefix.min(128)), v6),
        };
        address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)
    }
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[
    limits("gateway.limits.client_requests_max", 0, 1_000_000),
    limits("gateway.limits.client_connections_max", 0, 1 << 20),
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
            client_connections_max: 1_024,
            password_attempts_max: 10,
            window_s: 60,
            ipv4_prefix: 32,
            ipv6_prefix: 56,
            table_max: 65_536,
            exempt: exempt.into(),
        }
    }
}
