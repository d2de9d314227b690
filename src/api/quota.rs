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

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Problem;
use crate::{
    config,
    links::{Actor, Role},
    rate::{Buckets, Taken},
};

/// The window of links an owner makes, in seconds.
const DAY_S: u32 = 86_400;

/// What the quota is, and what is left of it (draft-ietf-httpapi-ratelimit-headers-10).
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The quotas of an API.
pub(super) struct Quotas {
    tokens: Quota,
    conversions: Quota,
    owners: Quota,
    hasher: RandomState,
}

/// One of them.
struct Quota {
    /// Its name in headers.
    name: &'static str,
    quota: u32,
    window_s: u32,
    buckets: Mutex<Buckets>,
}

/// What is left of a quota, for whoever asked within it.
pub(super) struct Left {
    policy: String,
    left: String,
}

impl Quota {
    fn new(name: &'static str, quota: u32, window_s: u32, table_max: usize, now: Instant) -> Self {
        let buckets = Mutex::new(Buckets::new(quota, window_s, table_max, now));
        Self { name, quota, window_s, buckets }
    }

    /// Takes one; the wait for it where there is none.
    fn take(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.take(key.into(), now) {
            Taken::Within => Ok(()),
            Taken::Over { wait, .. } => Err(wait),
        }
    }

    fn left(&self, key: u64, now: Instant) -> Option<Left> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, full) = buckets.left(key.into(), now);
        let full = full.as_micros().div_ceil(1_000_000);
        let left = format!("\"{}\";r={left};t={full}", self.name);
        buckets.limits().then(|| Left { policy: self.policy(), left })
    }

    fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.quota, self.window_s)
    }

    /// What a caller over it is told (draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 §10.2.3).
    fn over(&self, wait: Duration, problem: Problem) -> Problem {
        let wait_s = wait.as_micros().div_ceil(1_000_000).max(1);
        let headers = [
            (POLICY, self.policy()),
            (LEFT, format!("\"{}\";r=0;t={wait_s}", self.name)),
            (header::RETRY_AFTER, wait_s.to_string()),
        ];
        headers.into_iter().fold(problem, |problem, (name, value)| {
            match HeaderValue::try_from(value) {
                Ok(value) => problem.header(name, value),
                Err(_) => problem,
            }
        })
    }
}

impl Left {
    /// Adds the headers: both are lists, a handler may have said more.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        for (name, value) in [(POLICY, self.policy), (LEFT, self.left)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name, value);
            }
        }
    }
}

impl Quotas {
    pub(super) fn new(config: &config::ApiLimits, now: Instant) -> Self {
        let quota =
            |name, quota, window_s| Quota::new(name, quota, window_s, config.table_max, now);
        Self {
            tokens: quota("token", config.token_requests_max, config.window_s),
            conversions: quota("conversions", config.token_conversions_day_max, DAY_S),
            owners: quota("owner", config.owner_links_day_max, DAY_S),
            hasher: RandomState::new(),
        }
    }

    /// Takes one request of a token; what is left, where there is a limit.
    pub(super) fn request(&self, actor: &Actor, now: Instant) -> Result<Option<Left>, Problem> {
        if actor.role == Role::Operator {
            return Ok(None);
        }
        let key = self.hasher.hash_one(&*actor.name);
        match self.tokens.take(key, now) {
            Ok(()) => Ok(self.tokens.left(key, now)),
            Err(wait) => Err(self.tokens.over(wait, token_over())),
        }
    }

    /// Takes one link that a token makes or changes.
    pub(super) fn conversion(&self, actor: &Actor, now: Instant) -> Result<(), Problem> {
        self.of(&self.conversions, actor, &actor.name, now, conversions_over)
    }

    /// Takes one link that `actor` makes for `owner`.
    pub(super) fn link(&self, actor: &Actor, owner: &str, now: Instant) -> Result<(), Problem> {
        self.of(&self.owners, actor, owner, now, owner_over)
    }

    fn of(
        &self,
        quota: &Quota,
        actor: &Actor,
        name: &str,
        now: Instant,
        problem: fn() -> Problem,
    ) -> Result<(), Problem> {
        if actor.role == Role::Operator {
            return Ok(());
        }
        let taken = quota.take(self.hasher.hash_one(name), now);
        taken.map_err(|wait| quota.over(wait, problem()))
    }
}

fn token_over() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "This token has asked too much.",
        "该令牌的请求过于频繁。",
    )
}

fn conversions_over() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "token_quota",
        "This token has made and changed as many links as api.limits.token_conversions_day_max allows.",
        "该令牌今日新建与更改的链接数已达 api.limits.token_conversions_day_max 上限。",
    )
}

fn owner_over() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "owner_quota",
        "This owner has made as many links as api.limits.owner_links_day_max allows.",
        "该所有者创建的链接数已达 api.limits.owner_links_day_max 上限。",
    )
}
