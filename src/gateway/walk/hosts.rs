//! How we behave towards one host: not too often, not while it wants to be left alone, and not where
//! its robots.txt says no.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};

use super::robots::Robots;
use crate::{
    config::Walks,
    rate::{Buckets, Taken},
};

/// What is remembered of hosts.
pub(super) struct Hosts {
    requests: Mutex<Buckets>,
    /// Until when a host is left alone.
    quiet: Cache<Box<str>, Instant>,
    robots: Cache<Box<str>, Arc<KeptRobots>, ByBytes>,
}

/// A robots.txt and how long it is believed.
pub(super) struct KeptRobots {
    /// None where nobody could say.
    pub(super) robots: Option<Robots>,
    until: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Arc<KeptRobots>> for ByBytes {
    fn weight(&self, origin: &Box<str>, kept: &Arc<KeptRobots>) -> u64 {
        200 + origin.len() as u64 + kept.robots.as_ref().map_or(0, Robots::bytes)
    }
}

impl Hosts {
    pub(super) fn new(config: &Walks, now: Instant) -> Self {
        let (quota, window, hosts) =
            (config.host_requests_max, config.host_window_s, config.hosts_max);
        Self {
            requests: Mutex::new(Buckets::new(quota, window, hosts, now)),
            quiet: Cache::new(hosts),
            robots: Cache::with_weighter(hosts, config.robots_cache_bytes_max, ByBytes),
        }
    }

    /// Takes a turn at a host, or says how long to wait for one.
    pub(super) fn turn(&self, host: &str, now: Instant) -> Result<(), Duration> {
        let quiet = self.quiet.get(host).map(|until| until.saturating_duration_since(now));
        if let Some(wait) = quiet.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        let digest: [u8; 32] = Sha256::digest(host).into();
        let key = digest[..16].iter().fold(0, |key, byte| (key << 8) | u128::from(*byte)) >> 1;
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        match requests.take(key, now) {
            Taken::Within => Ok(()),
            Taken::Over { wait, .. } => Err(wait),
        }
    }

    /// Leaves a host alone until then.
    pub(super) fn leave(&self, host: &str, until: Instant) {
        self.quiet.insert(host.into(), until);
    }

    /// The robots.txt of an origin, if it is still believed.
    pub(super) fn robots(&self, origin: &str, now: Instant) -> Option<Arc<KeptRobots>> {
        self.robots.get(origin).filter(|kept| kept.until > now)
    }

    pub(super) fn keep(
        &self,
        origin: &str,
        robots: Option<Robots>,
        until: Instant,
    ) -> Arc<KeptRobots> {
        let kept = Arc::new(KeptRobots { robots, until });
        self.robots.insert(origin.into(), Arc::clone(&kept));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_host_is_asked_so_often_and_not_while_it_is_busy() {
        let now = Clock::system().monotonic();
        let config = Walks { host_requests_max: 2, host_window_s: 10, ..Walks::default() };
        let hosts = Hosts::new(&config, now);
        assert_eq!(hosts.turn("a.com", now), Ok(()));
        assert_eq!(hosts.turn("a.com", now), Ok(()));
        let wait = hosts.turn("a.com", now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(5));
        assert_eq!(hosts.turn("b.com", now), Ok(()));
        assert_eq!(hosts.turn("a.com", now + wait), Ok(()));
        hosts.leave("b.com", now + Duration::from_secs(60));
        assert_eq!(hosts.turn("b.com", now), Err(Duration::from_secs(60)));
        assert_eq!(hosts.turn("b.com", now + Duration::from_secs(60)), Ok(()));
    }
}
