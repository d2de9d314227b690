//! How the certificates stand: what is missing, what is due, what failed and when it is tried again.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::files::Validity;
use crate::{clock::Timestamp, config, metrics::Metrics};

/// An hour, in which so many orders may be made.
const HOUR: Duration = Duration::from_secs(3_600);

/// The longest text kept of what the authority said, in bytes.
const ERROR_BYTES_MAX: usize = 1_000;

/// How the certificate of one host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The host.
    pub host: String,
    /// `acme`, or `file` for one that is configured.
    pub source: &'static str,
    /// When its certificate ends; [`Timestamp::ZERO`] for none.
    pub until: Timestamp,
    /// Orders that failed since the last that did not.
    pub failures: u32,
    /// What was said of the last one that failed; empty for none.
    pub error: String,
}

#[derive(Debug, Default)]
struct Host {
    validity: Option<Validity>,
    failures: u32,
    error: String,
    /// Not before.
    next: Option<Instant>,
}

/// What is known of every host.
#[derive(Debug, Default)]
pub(super) struct Book {
    hosts: BTreeMap<String, Host>,
    /// When orders were made in the last hour.
    orders: VecDeque<Instant>,
}

impl Book {
    /// Takes in what was found on the disk for the hosts that are wanted, and forgets all others:
    /// those that are to be ordered now, the nearest end first.
    pub(super) fn look(
        &mut self,
        found: Vec<(String, Option<Validity>)>,
        now: Timestamp,
        mono: Instant,
        before: Duration,
    ) -> Vec<String> {
        let mut hosts = BTreeMap::new();
        for (name, validity) in found {
            let mut host = self.hosts.remove(&name).unwrap_or_default();
            // Another who shares the directory may have been at it.
            if validity != host.validity {
                host = Host { validity, ..Host::default() };
            }
            hosts.insert(name, host);
        }
        self.hosts = hosts;
        let may = |host: &Host| host.next.is_none_or(|next| next <= mono);
        let due = self.hosts.iter().filter(|(_, h)| may(h) && is_due(h.validity, now, before));
        let mut due: Vec<(Timestamp, String)> = due
            .map(|(name, h)| (h.validity.map_or(Timestamp::ZERO, |v| v.until), name.clone()))
            .collect();
        due.sort();
        due.into_iter().map(|(_, name)| name).collect()
    }

    pub(super) fn may_order(&mut self, now: Instant, max: u32) -> bool {
        while self.orders.front().is_some_and(|at| now.saturating_duration_since(*at) >= HOUR) {
            self.orders.pop_front();
        }
        let may = self.orders.len() < max as usize;
        if may {
            self.orders.push_back(now);
        }
        may
    }

    pub(super) fn obtained(&mut self, host: &str, validity: Validity) {
        let fresh = Host { validity: Some(validity), ..Host::default() };
        self.hosts.insert(host.to_owned(), fresh);
    }

    pub(super) fn failed(
        &mut self,
        host: &str,
        mut error: String,
        now: Instant,
        config: &config::Acme,
    ) {
        let host = self.hosts.entry(host.to_owned()).or_default();
        error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
        let doubled = config.retry_ms.saturating_mul(1 << host.failures.min(30));
        let wait = Duration::from_millis(doubled.min(config.retry_max_ms));
        host.failures = host.failures.saturating_add(1);
        (host.error, host.next) = (error, now.checked_add(wait));
    }

    pub(super) fn standing(&self) -> Vec<Standing> {
        let of = |(name, host): (&String, &Host)| Standing {
            host: name.clone(),
            source: "acme",
            until: host.validity.map_or(Timestamp::ZERO, |v| v.until),
            failures: host.failures,
            error: host.error.clone(),
        };
        self.hosts.iter().map(of).collect()
    }

    /// Of those whose orders failed, the one whose end is nearest.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<String> {
        let failing = self.hosts.iter().filter(|(_, h)| h.failures > 0);
        let (name, host) =
            failing.min_by_key(|(_, h)| h.validity.map_or(Timestamp::ZERO, |v| v.until))?;
        let left = host.validity.map(|v| v.until.since(now).as_secs() / 86_400);
        Some(match left {
            None => format!("{name} has no certificate: {}", host.error),
            Some(days) => {
                format!("the certificate of {name} ends in {days} days: {}", host.error)
            }
        })
    }

    /// Shows how many there are, and how long the one that ends first is still good.
    pub(super) fn measure(&self, metrics: &Metrics, now: Timestamp) {
        let good = self.hosts.values().filter_map(|h| h.validity);
        let gauges = &metrics.gateway;
        gauges.certificates_obtained.set(good.clone().count() as f64);
        gauges.certificates_missing.set((self.hosts.len() - good.clone().count()) as f64);
        // Below zero once it has ended; none at all is told by the others.
        let left = good.map(|v| (v.until.0 - now.0) as f64 / 1e6).reduce(f64::min);
        gauges.certificate_left_seconds.set(left.unwrap_or(f64::NAN));
    }
}

/// Whether a certificate is missing, ends within `before`, or has less than a third of its time left.
fn is_due(validity: Option<Validity>, now: Timestamp, before: Duration) -> bool {
    let Some(Validity { from, until }) = validity else { return true };
    let before = before.min(until.since(from) / 3);
    until.since(now) <= before
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const BEGIN: Timestamp = Timestamp(1_900_000_000_000_000);

    fn days(n: u32) -> Timestamp {
        BEGIN.saturating_add(DAY * n)
    }

    #[test]
    fn what_is_missing_or_ends_soon_is_due() {
        let check = |lifetime: u32, age: u32, expected: bool| {
            let validity = Some(Validity { from: BEGIN, until: days(lifetime) });
            assert_eq!(is_due(validity, days(age), DAY * 30), expected, "{lifetime} {age}");
        };
        assert!(is_due(None, BEGIN, DAY));
        check(90, 59, false);
        check(90, 60, true);
        check(90, 91, true);
        // A short one is renewed when a third of it is left.
        check(6, 3, false);
        check(6, 4, true);
    }

    #[test]
    fn what_failed_waits_longer_each_time_and_an_hour_has_so_many_orders() {
        let config = config::Acme { retry_ms: 1_000, retry_max_ms: 3_000, ..Default::default() };
        let start = crate::clock::Clock::system().monotonic();
        let mut book = Book::default();
        let wanted = || vec![("a.example".to_owned(), None)];
        let at = |ms| start.checked_add(Duration::from_millis(ms)).expect("in range");
        let look = |book: &mut Book, ms| book.look(wanted(), BEGIN, at(ms), DAY).len();
        assert_eq!(look(&mut book, 0), 1);
        book.failed("a.example", "no".into(), at(0), &config);
        assert_eq!((look(&mut book, 999), look(&mut book, 1_000)), (0, 1));
        book.failed("a.example", "no".into(), at(1_000), &config);
        assert_eq!((look(&mut book, 2_999), look(&mut book, 3_000)), (0, 1));
        book.failed("a.example", "no".into(), at(3_000), &config);
        assert_eq!((look(&mut book, 5_999), look(&mut book, 6_000)), (0, 1));
        assert!(book.trouble(BEGIN).is_some_and(|why| why.starts_with("a.example has no")));
        assert!(book.may_order(at(0), 2) && book.may_order(at(1), 2) && !book.may_order(at(2), 2));
        assert!(book.may_order(at(3_600_000), 2) && !book.may_order(at(3_600_000), 2));
        book.obtained("a.example", Validity { from: BEGIN, until: days(90) });
        assert_eq!(book.trouble(BEGIN), None);
        assert!(book.look(Vec::new(), BEGIN, at(0), DAY).is_empty());
        assert!(book.standing().is_empty(), "what is not wanted any more is forgotten");
    }
}
