//! Fair use of the API: what a token may ask, and how many links an owner may make.
//!
//! Token buckets in memory, so that a node's count begins anew when it starts, and each node counts
//! for itself. Operators are exempt: who runs the service may take over millions of links.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Problem;
use crate::{
    config,
    links::{Actor, Role},
    rate::{Buckets, Taken},
};

/// The window of links an owner makes, in seconds.
const DAY_S: u32 = 86_400;

/// The quotas of an API.
pub(super) struct Quotas {
    config: config::ApiLimits,
    tokens: Mutex<Buckets>,
    owners: Mutex<Buckets>,
    hasher: RandomState,
}

impl Quotas {
    pub(super) fn new(config: &config::ApiLimits, now: Instant) -> Self {
        let buckets =
            |quota, window_s| Mutex::new(Buckets::new(quota, window_s, config.table_max, now));
        Self {
            tokens: buckets(config.token_requests_max, config.window_s),
            owners: buckets(config.owner_links_day_max, DAY_S),
            config: config.clone(),
            hasher: RandomState::new(),
        }
    }

    /// Takes one request of a token.
    pub(super) fn request(&self, actor: &Actor, now: Instant) -> Result<(), Problem> {
        let (quota, window_s) = (self.config.token_requests_max, self.config.window_s);
        if actor.role == Role::Operator {
            return Ok(());
        }
        match self.take(&self.tokens, &actor.name, now) {
            None => Ok(()),
            Some(wait) => Err(over(
                "token",
                quota,
                window_s,
                wait,
                Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "This token has asked too much.",
                    "该令牌的请求过于频繁。",
                ),
            )),
        }
    }

    /// Takes one link that `actor` makes for `owner`.
    pub(super) fn link(&self, actor: &Actor, owner: &str, now: Instant) -> Result<(), Problem> {
        if actor.role == Role::Operator {
            return Ok(());
        }
        let quota = self.config.owner_links_day_max;
        match self.take(&self.owners, owner, now) {
            None => Ok(()),
            Some(wait) => Err(over(
                "owner",
                quota,
                DAY_S,
                wait,
                Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "owner_quota",
                    "This owner has made as many links as api.limits.owner_links_day_max allows.",
                    "该所有者创建的链接数已达 api.limits.owner_links_day_max 上限。",
                ),
            )),
        }
    }

    /// The wait for one more; none where there is one.
    fn take(&self, of: &Mutex<Buckets>, name: &str, now: Instant) -> Option<Duration> {
        let key = self.hasher.hash_one(name);
        match of.lock().unwrap_or_else(PoisonError::into_inner).take(key.into(), now) {
            Taken::Within => None,
            Taken::Over { wait, .. } => Some(wait),
        }
    }
}

/// What a caller over a quota is told (draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 §10.2.3).
fn over(policy: &str, quota: u32, window_s: u32, wait: Duration, problem: Problem) -> Problem {
    let wait_s = wait.as_micros().div_ceil(1_000_000).max(1);
    let headers = [
        (
            HeaderName::from_static("ratelimit-policy"),
            format!("\"{policy}\";q={quota};w={window_s}"),
        ),
        (HeaderName::from_static("ratelimit"), format!("\"{policy}\";r=0;t={wait_s}")),
        (header::RETRY_AFTER, wait_s.to_string()),
    ];
    headers.into_iter().fold(problem, |problem, (name, value)| match HeaderValue::try_from(value) {
        Ok(value) => problem.header(name, value),
        Err(_) => problem,
    })
}
