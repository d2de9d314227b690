//! Who asks too much: token buckets per client prefix.
//!
//! What is over a limit is answered with 429, counted, and not recorded: whoever floods us must not
//! fill the spool. The buckets are shared by all threads, behind a few locks that are held for the
//! time of one look.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    config,
    rate::{Buckets, Taken},
};

/// Parts of the table, each behind a lock of its own.
const SHARDS: usize = 16;

/// The limits of a gateway.
pub(super) struct Limits {
    config: config::JumpLimits,
    clients: Vec<Mutex<Buckets>>,
    /// By client and link.
    passwords: Mutex<Buckets>,
    reports: Mutex<Buckets>,
    of_reports: (u32, u32),
    hasher: RandomState,
}

/// A request over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    quota: u32,
    window_s: u32,
    wait: Duration,
}

impl Limits {
    pub(super) fn new(gateway: &config::Gateway, now: Instant) -> Self {
        let (config, desk) = (&gateway.limits, &gateway.reports);
        let of_reports = (desk.client_reports_max, desk.window_s);
        let (quota, window) = (config.client_requests_max, config.window_s);
        let each = config.table_max.div_ceil(SHARDS);
        let shard = |_| Mutex::new(Buckets::new(quota, window, each, now));
        let attempts = config.password_attempts_max;
        Self {
            config: config.clone(),
            clients: (0..SHARDS).map(shard).collect(),
            passwords: Mutex::new(Buckets::new(attempts, window, config.table_max, now)),
            reports: Mutex::new(Buckets::new(of_reports.0, of_reports.1, config.table_max, now)),
            of_reports,
            hasher: RandomState::new(),
        }
    }

    /// Takes one request of `client`; what it is over, if it is.
    pub(super) fn client(&self, client: IpAddr, now: Instant) -> Option<Over> {
        let c = &self.config;
        let client = client.to_canonical();
        if c.client_requests_max == 0 || c.is_exempt(client) {
            return None;
        }
        let key = self.config.prefix(client);
        let folded = (key ^ (key >> 64)) as u64;
        // The upper bits of a multiplication depend on all bits of the key.
        let shard = (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % SHARDS;
        let mut buckets = self.clients[shard].lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.take(key, now) {
            Taken::Within => None,
            Taken::Over { wait, .. } => {
                Some(Over { quota: c.client_requests_max, window_s: c.window_s, wait })
            }
        }
    }
}

impl Limits {
    /// Takes one attempt of `client` at the password of `code`; nobody is exempt.
    pub(super) fn password(&self, client: IpAddr, code: &str, now: Instant) -> Option<Over> {
        let c = &self.config;
        let key = self.hasher.hash_one((self.config.prefix(client.to_canonical()), code));
        let mut buckets = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.take(key.into(), now) {
            Taken::Within => None,
            Taken::Over { wait, .. } => {
                Some(Over { quota: c.password_attempts_max, window_s: c.window_s, wait })
            }
        }
    }

    /// Takes one report of `client`; nobody is exempt.
    pub(super) fn report(&self, client: IpAddr, now: Instant) -> Option<Over> {
        let (quota, window_s) = self.of_reports;
        let key = self.config.prefix(client.to_canonical());
        let mut buckets = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.take(key, now) {
            Taken::Within => None,
            Taken::Over { wait, .. } => Some(Over { quota, window_s, wait }),
        }
    }
}

impl Over {
    /// What the client is told (draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 §10.2.3).
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let wait_s = self.wait.as_micros().div_ceil(1_000_000).max(1);
        for (name, value) in [
            (
                HeaderName::from_static("ratelimit-policy"),
                format!("\"client\";q={};w={}", self.quota, self.window_s),
            ),
            (HeaderName::from_static("ratelimit"), format!("\"client\";r=0;t={wait_s}")),
            (header::RETRY_AFTER, wait_s.to_string()),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_prefix_has_one_quota_and_the_exempt_have_none() {
        let mut config = config::Gateway::default();
        config.limits.client_requests_max = 3;
        config.reports.client_reports_max = 2;
        let now = Clock::system().monotonic();
        let limits = Limits::new(&config, now);
        let home = "127.0.0.1".parse().unwrap();
        let reports = (0..5).filter(|_| limits.report(home, now).is_none()).count();
        assert_eq!(reports, 2, "nobody is exempt");
        let passed = |client: &str| {
            let client = client.parse().unwrap();
            (0..10).filter(|_| limits.client(client, now).is_none()).count()
        };
        assert_eq!(passed("198.51.100.1"), 3);
        assert_eq!(passed("::ffff:198.51.100.1"), 0, "the same client");
        assert_eq!(passed("198.51.100.2"), 3);
        assert_eq!(passed("2001:db8:0:1::1"), 3);
        assert_eq!(passed("2001:db8:0:ff::1"), 0, "the same site");
        assert_eq!(passed("127.0.0.1"), 10);
        let over = limits.client("198.51.100.1".parse().unwrap(), now).unwrap();
        let mut headers = HeaderMap::new();
        over.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"client\";q=3;w=60");
        assert_eq!(headers["ratelimit"], "\"client\";r=0;t=20");
        assert_eq!(headers["retry-after"], "20");
    }
}
