//! The task that takes changes in and delivers them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    Claimed, Counts, Ended, Endpoint, Error, Intake, Signer, Sources, State, Store, Tidy, intake,
    post::{Answer, Failure, Outgoing, Post},
    sign,
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    feeds::Feeds,
    fetch::{self, Guard, Resolve},
    links::{self, Links},
    metrics::{Metrics, WebhookMetrics},
    record::NodeName,
    reports::Reports,
};

/// What a claim lasts longer than an attempt may.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// How often old deliveries are forgotten and those that wait are counted.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What a sender is made of.
pub struct SenderParts {
    /// The section `[webhooks]`.
    pub config: config::Webhooks,
    /// The links, and the database with the queue.
    pub links: Arc<Links>,
    /// Reports.
    pub reports: Arc<Reports>,
    /// Feeds.
    pub feeds: Arc<Feeds>,
    /// Makes the secrets.
    pub signer: Arc<Signer>,
    /// Finds hosts.
    pub resolve: Resolve,
    /// This node.
    pub node: NodeName,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// Whoever tells.
pub struct Sender {
    parts: SenderParts,
    post: Post,
    /// The last look failed, and that was said.
    failing: AtomicBool,
}

/// What one look found.
struct Found {
    due: Vec<(Arc<Endpoint>, Claimed)>,
    counts: Option<Counts>,
}

impl Sender {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When certificates cannot be used.
    pub fn new(parts: SenderParts) -> Result<Arc<Self>, Error> {
        let guard = Guard::new(Arc::clone(&parts.resolve), &parts.config.allowed_hosts);
        let post = Post::new(&parts.config, guard)?;
        Ok(Arc::new(Self { parts, post, failing: AtomicBool::new(false) }))
    }

    fn metrics(&self) -> &WebhookMetrics {
        &self.parts.metrics.webhooks
    }

    /// Tells what is to be told until it is stopped. Attempts under way are given up then, and are
    /// made again when their time has come.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut attempts: JoinSet<i64> = JoinSet::new();
        let mut running: HashMap<i64, usize> = HashMap::new();
        let mut poll = tokio::time::interval(Duration::from_millis(self.parts.config.poll_ms));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkept: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                    Ok(endpoint) => {
                        let left = running.get(&endpoint).map_or(0, |n| n.saturating_sub(1));
                        running.insert(endpoint, left);
                    }
                    Err(error) => tracing::error!(%error, "an attempt at a webhook failed"),
                },
                _ = poll.tick() => {}
            }
            if attempts.is_empty() {
                // Also what an attempt that failed left behind.
                running.clear();
            }
            let now = self.parts.clock.monotonic();
            let upkeep = upkept.is_none_or(|at| now.saturating_duration_since(at) >= UPKEEP_EVERY);
            if upkeep {
                upkept = Some(now);
            }
            match self.look(running.clone(), upkeep).await {
                Ok(found) => {
                    if let Some(counts) = found.counts {
                        self.tell(counts);
                    }
                    for (endpoint, claimed) in found.due {
                        *running.entry(endpoint.id).or_default() += 1;
                        let sender = Arc::clone(&self);
                        attempts.spawn(async move { sender.attempt(&endpoint, claimed).await });
                    }
                }
                Err(error) => self.complain(&error),
            }
        }
        attempts.shutdown().await;
    }

    /// Takes changes in, and deliveries that are due.
    async fn look(
        self: &Arc<Self>,
        running: HashMap<i64, usize>,
        upkeep: bool,
    ) -> Result<Found, Error> {
        let sender = Arc::clone(self);
        let work = move || sender.look_blocking(&running, upkeep);
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Control(links::Error::Failed)))
    }

    fn look_blocking(&self, running: &HashMap<i64, usize>, upkeep: bool) -> Result<Found, Error> {
        let (config, parts) = (&self.parts.config, &self.parts);
        let now = parts.clock.now();
        let store = &**parts.links.store();
        let how = Intake { batch_max: config.batch_max, queue_max: config.queue_max, now };
        let from = Sources {
            links: store,
            reports: parts.reports.store(),
            feeds: &**parts.feeds.store(),
            node: parts.node.as_str(),
        };
        // What cannot be taken in now does not keep back what waits.
        match intake(from, &how) {
            Ok(_) => self.failing.store(false, Ordering::Relaxed),
            Err(error) => self.complain(&error),
        }
        let mut wanted = Vec::new();
        let room = config.concurrent_max.saturating_sub(running.values().sum());
        store.look(&mut |db| {
            wanted.clear();
            for endpoint in Store::endpoints(db)?.into_iter().filter(|e| e.enabled) {
                let busy = running.get(&endpoint.id).copied().unwrap_or(0);
                let free = config.endpoint_concurrent_max.saturating_sub(busy);
                if free > 0 && Store::is_due(db, endpoint.id, now)? {
                    wanted.push((Arc::new(endpoint), free));
                }
            }
            Ok(())
        })?;
        let due = self.claim(&wanted, room, now)?;
        let counts = if upkeep { Some(self.upkeep(now)?) } else { None };
        Ok(Found { due, counts })
    }

    /// Says that a look failed, once until one does not.
    fn complain(&self, error: &Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "what webhooks are to be told cannot be read");
        }
    }

    fn claim(
        &self,
        wanted: &[(Arc<Endpoint>, usize)],
        room: usize,
        now: Timestamp,
    ) -> Result<Vec<(Arc<Endpoint>, Claimed)>, Error> {
        let config = &self.parts.config;
        let each = config.resolve_timeout_ms + 3 * config.connect_timeout_ms;
        let lease = Duration::from_millis(each + 3 * config.answer_timeout_ms) + LEASE_MARGIN;
        let until = now.saturating_add(lease);
        let mut due = Vec::new();
        if !wanted.is_empty() && room > 0 {
            self.parts.links.store().transact(&mut |db| {
                due.clear();
                for (endpoint, free) in wanted {
                    let limit = (*free).min(room - due.len());
                    if limit > 0 {
                        let claimed = Store::claim(db, endpoint.id, now, until, limit)?;
                        due.extend(claimed.into_iter().map(|c| (Arc::clone(endpoint), c)));
                    }
                }
                Ok(())
            })?;
        }
        Ok(due)
    }

    /// Forgets what ended long ago, and counts what waits.
    fn upkeep(&self, now: Timestamp) -> Result<Counts, Error> {
        let config = &self.parts.config;
        let store = self.parts.links.store();
        let tidy = Tidy {
            delivered: Duration::from_secs(config.delivered_keep_s),
            dead: Duration::from_secs(config.dead_keep_s),
            limit: config.batch_max,
        };
        let (mut all, mut any) = (Counts::default(), false);
        store.look(&mut |db| {
            (all, any) = (Counts::default(), false);
            for endpoint in Store::endpoints(db)? {
                any = true;
                let one = Store::counts(db, endpoint.id)?;
                all.waiting += one.waiting;
                all.dead += one.dead;
                if one.waiting > 0 && (all.oldest == Timestamp::ZERO || one.oldest < all.oldest) {
                    all.oldest = one.oldest;
                }
            }
            Ok(())
        })?;
        if any {
            store.transact(&mut |db| Store::tidy(db, &tidy, now).map(drop))?;
        }
        Ok(all)
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn tell(&self, counts: Counts) {
        let metrics = self.metrics();
        metrics.waiting.set(counts.waiting as f64);
        metrics.dead.set(counts.dead as f64);
        let age = match counts.waiting {
            0 => Duration::ZERO,
            _ => self.parts.clock.now().since(counts.oldest),
        };
        metrics.oldest_seconds.set(age.as_secs_f64());
    }

    /// Makes an attempt, and writes down what came of it; the endpoint's number.
    async fn attempt(self: Arc<Self>, endpoint: &Arc<Endpoint>, claimed: Claimed) -> i64 {
        let (id, now) = (endpoint.id, self.parts.clock.now());
        let body = Bytes::from(claimed.body.clone());
        let signer = &self.parts.signer;
        let salts = [Some(&endpoint.salt)].into_iter().chain([endpoint
            .before
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(salt, _)| salt)]);
        let signature =
            |salt: &Vec<u8>| sign(&signer.secret(id, salt), &claimed.message, now, &body);
        let signatures = salts.flatten().map(signature).collect::<Vec<_>>().join(" ");
        let (url, message) = (endpoint.url.as_str(), claimed.message.as_str());
        let out = Outgoing { url, id: message, at: now.secs(), signatures, body: body.clone() };
        let answer = self.post.send(&out).await;
        let end = self.judge(&claimed, &answer);
        let metrics = self.metrics();
        match end.state {
            State::Delivered => metrics.delivered.increment(1),
            State::Waiting => metrics.failed.increment(1),
            State::Dead => {
                metrics.failed.increment(1);
                metrics.given_up.increment(1);
            }
        }
        let links = Arc::clone(&self.parts.links);
        let now = self.parts.clock.now();
        let kept = tokio::task::spawn_blocking(move || {
            links.store().transact(&mut |db| {
                if Store::end(db, &claimed, &end, now)? && end.outcome == GONE {
                    Store::gone(db, id, now)?;
                }
                Ok(())
            })
        });
        match kept.await {
            Ok(Ok(())) => {}
            // It is made again: whoever gets it twice knows it by its id.
            Ok(Err(error)) => tracing::warn!(%error, "what came of a webhook cannot be kept"),
            Err(error) => tracing::error!(%error, "what came of a webhook cannot be kept"),
        }
        id
    }

    /// What an attempt means for its delivery.
    fn judge(&self, claimed: &Claimed, answer: &Result<Answer, Failure>) -> Ended {
        let (config, now) = (&self.parts.config, self.parts.clock.now());
        let (status, outcome) = match answer {
            Ok(answer) if answer.status.is_success() => {
                let status = answer.status.as_u16();
                return Ended { state: State::Delivered, due: now, status, outcome: "" };
            }
            Ok(answer) => (answer.status.as_u16(), of_status(answer.status)),
            Err(why) => (0, *why),
        };
        let asked = answer.as_ref().ok().filter(|a| fetch::may_retry_after(a.status));
        let asked = asked.and_then(|a| fetch::retry_after(&a.headers, now));
        let asked = asked.map(|d| d.min(Duration::from_secs(config.retry_after_s_max)));
        let wait = backoff(config, claimed).max(asked.unwrap_or_default());
        let due = now.saturating_add(wait);
        let late = claimed.created.saturating_add(Duration::from_secs(config.age_s_max));
        let given_up =
            outcome == GONE || claimed.attempt >= i64::from(config.attempts_max) || due > late;
        let state = if given_up { State::Dead } else { State::Waiting };
        Ended { state, due, status, outcome }
    }
}

/// The endpoint says that it is gone for good.
const GONE: &str = "gone";

fn of_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::GONE => GONE,
        s if s.is_redirection() => "redirect",
        _ => "status",
    }
}

/// Twice as long after each attempt, and never at the same moment as all others: between half of it
/// and the whole, the same for the same attempt.
fn backoff(config: &config::Webhooks, claimed: &Claimed) -> Duration {
    let doubled = u32::try_from(claimed.attempt.saturating_sub(1)).unwrap_or(0).min(32);
    let longest = config.retry_ms.saturating_mul(1 << doubled).min(config.retry_ms_max);
    let text = format!("{} {}", claimed.message, claimed.attempt);
    let part = (u64::from(crc32c::crc32c(text.as_bytes())) * (longest / 2 + 1)) >> 32;
    Duration::from_millis(longest - part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_not_all_the_same() {
        let config =
            config::Webhooks { retry_ms: 1_000, retry_ms_max: 60_000, ..Default::default() };
        let wait = |message: &str, attempt| {
            let claimed = Claimed {
                id: 1,
                until: Timestamp::ZERO,
                attempt,
                created: Timestamp::ZERO,
                message: message.into(),
                body: String::new(),
            };
            backoff(&config, &claimed).as_millis()
        };
        for (attempt, longest) in [(1, 1_000), (2, 2_000), (5, 16_000), (7, 60_000), (90, 60_000)] {
            let waits: Vec<_> = (0..100).map(|i| wait(&format!("msg_{i}"), attempt)).collect();
            assert!(waits.iter().all(|w| (longest / 2..=longest).contains(w)), "{waits:?}");
            let late = waits.iter().filter(|w| **w > longest * 3 / 4).count();
            assert!((20..80).contains(&late), "{late}");
        }
    }
}
