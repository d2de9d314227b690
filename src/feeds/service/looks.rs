//! When sources are looked at, and how that went.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    super::{Error, FeedSpec, Location, events::EventKind, ledger::Entry, store::Body},
    By, Feeds, Outcome,
    age::Age,
    lock,
};
use crate::clock::Timestamp;

/// How often it is looked whether a source is due.
const TICK: Duration = Duration::from_millis(250);

/// A source that was not reached is asked again after this, doubled each time, up to its own time.
const RETRY_FIRST: Duration = Duration::from_secs(10);

/// How often whoever waits for a look sees whether the feed is still there.
const STILL_THERE: Duration = Duration::from_secs(1);

/// How looking at a feed's source goes.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "FeedSource")]
pub struct LookState {
    /// When it was looked at last.
    pub at: Timestamp,
    /// When that went well last.
    pub ok_at: Timestamp,
    /// Why it did not, last.
    pub problem: Option<String>,
    /// How often in a row it did not.
    pub failures: u32,
    /// Whether nobody has confirmed what is here of it for too long.
    pub expired: bool,
    /// When that will be, or was; null for never.
    pub expires_at: Timestamp,
    #[serde(skip)]
    pub(super) age: Age,
    /// How old it is as the database knows.
    #[serde(skip)]
    pub(super) age_kept: Age,
    /// When the source itself wants to be asked again.
    #[serde(skip)]
    again_after: Option<Duration>,
    #[serde(skip)]
    due: Option<Instant>,
    #[serde(skip)]
    busy: bool,
    /// Somebody said, since the look under way began, that there is something new.
    #[serde(skip)]
    again: bool,
    /// The settings that `due` is about.
    #[serde(skip)]
    spec: String,
    /// What came of the first look with these settings.
    #[serde(skip)]
    first: Option<Outcome>,
    #[serde(skip)]
    began: Timestamp,
}

impl Feeds {
    /// Looks at the sources as they are due, until the end.
    pub async fn watch(self: Arc<Self>) {
        let at_start = self.blocking(|feeds| feeds.judge_left_over(true)).await;
        if let Err(error) = at_start {
            tracing::error!(%error, "versions left over cannot be judged");
        }
        let period = TICK.min(Duration::from_millis(self.config.file_poll_ms));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let aged = self.blocking(|feeds| feeds.look_at_ages()).await;
            if let Err(error) = &aged
                && !failing
            {
                tracing::error!(%error, "it cannot be written down which feeds have expired");
            }
            failing = aged.is_err();
            for feed in self.due() {
                let feeds = Arc::clone(&self);
                self.tasks.spawn(async move {
                    let by = By::default();
                    let look = feeds.refresh(&feed, &by);
                    let Some(looked) = feeds.stop.run_until_cancelled(look).await else { return };
                    let outcome = looked.unwrap_or_else(|error| {
                        tracing::error!(feed, %error, "a feed cannot be refreshed");
                        lock(&feeds.looks).entry(feed.clone()).or_default().failures += 1;
                        Outcome::failed(&feed, error.to_string())
                    });
                    feeds.not_busy(&feed, outcome);
                });
            }
        }
    }

    /// The feeds whose source is to be looked at now; they are busy from then on.
    fn due(&self) -> Vec<String> {
        let now = self.clock().monotonic();
        let feeds = lock(&self.force).feeds_standing();
        let mut looks = lock(&self.looks);
        looks.retain(|name, _| {
            let stands = feeds.iter().any(|(n, _)| n == name);
            if !stands {
                self.source.forget(name);
            }
            stands
        });
        let mut due = Vec::new();
        for (name, spec) in feeds {
            let state = looks.entry(name.clone()).or_default();
            if state.began == Timestamp::ZERO {
                state.began = self.clock().now();
            }
            if state.spec != spec {
                self.source.forget(&name);
                // New or changed: now.
                (state.due, state.spec, state.first) = (None, spec, None);
                // A look under way is about the settings before.
                state.again = state.busy;
            }
            if !state.busy && state.due.is_none_or(|at| at <= now) {
                (state.busy, state.again) = (true, false);
                due.push(name);
            }
        }
        due
    }

    fn not_busy(&self, feed: &str, outcome: Outcome) {
        let now = self.clock().monotonic();
        let mut looks = lock(&self.looks);
        let Some(state) = looks.get_mut(feed) else { return };
        state.busy = false;
        if state.first.is_none() && !state.again {
            state.first = Some(outcome);
        }
        let Ok(spec) = FeedSpec::read(&state.spec) else { return };
        let every = self.every(&spec);
        let wait = match state.failures {
            0 => state.again_after.unwrap_or(every),
            n => every.min(RETRY_FIRST * 2u32.saturating_pow(n.min(16) - 1)),
        };
        let mut wait = jittered(wait, &spec.source);
        if state.failures > 0 {
            // Not before a source that is busy wants it.
            wait = wait.max(state.again_after.unwrap_or_default());
        }
        // What was said meanwhile counts at once.
        state.due = (!state.again).then(|| now + wait);
        self.looked_at.notify_waiters();
    }

    /// Waits for what comes of the first look at a feed's source with its settings, which adding or
    /// changing it begins.
    ///
    /// # Errors
    /// When there is no such feed (any more), the database fails, or the node ends.
    pub async fn first_look(self: &Arc<Self>, feed: &str) -> Result<Outcome, Error> {
        loop {
            let mut looked = std::pin::pin!(self.looked_at.notified());
            looked.as_mut().enable();
            let name = feed.to_owned();
            let (row, _) = self.blocking(move |feeds| feeds.feed(&name)).await?;
            let state = self.look_state(feed);
            if let Some(first) = state.first.filter(|_| state.spec == row.spec) {
                return Ok(first);
            }
            // It may end meanwhile without a look.
            let wait = timeout(STILL_THERE, looked);
            if self.stop.run_until_cancelled(wait).await.is_none() {
                return Err(Error::Failed);
            }
        }
    }

    /// Looks at a feed's source at the next opportunity: its primary says that there is something new.
    pub fn refresh_soon(&self, feed: &str) {
        if let Some(state) = lock(&self.looks).get_mut(feed) {
            (state.again, state.due) = (true, None);
        }
    }

    /// The settings of every feed, as they stand.
    pub fn specs(&self) -> Vec<FeedSpec> {
        let standing = lock(&self.force).feeds_standing();
        standing.iter().filter_map(|(_, spec)| FeedSpec::read(spec).ok()).collect()
    }

    /// The time between two looks.
    fn every(&self, spec: &FeedSpec) -> Duration {
        let refresh = if spec.refresh_s > 0 { spec.refresh_s } else { self.config.refresh_s };
        match spec.source {
            _ if spec.source.is_near() => Duration::from_millis(self.config.file_poll_ms),
            _ => Duration::from_secs(refresh),
        }
    }

    /// It went well.
    pub(super) fn looked(&self, feed: &str, again_after: Option<Duration>) {
        let now = self.clock().now();
        let mut looks = lock(&self.looks);
        let state = looks.entry(feed.to_owned()).or_default();
        (state.at, state.ok_at) = (now, now);
        (state.failures, state.problem, state.again_after) = (0, None, again_after);
    }

    /// It did not: written down when it went well before, or failed otherwise.
    pub(super) fn look_failed(
        &self,
        feed: &str,
        problem: &str,
        again_after: Option<Duration>,
    ) -> Result<Outcome, Error> {
        let news = {
            let mut looks = lock(&self.looks);
            let state = looks.entry(feed.to_owned()).or_default();
            state.at = self.clock().now();
            state.failures = state.failures.saturating_add(1);
            state.again_after = again_after;
            let before = state.problem.replace(problem.to_owned());
            before.as_deref() != Some(problem)
        };
        self.metrics.feed(feed).failures.increment(1);
        if news {
            tracing::warn!(feed, problem, "a feed's source gave nothing usable");
            let entry = Entry::new(EventKind::Failed, feed).with("problem", problem);
            self.ledger.write(&entry, Body::None, None)?;
        }
        Ok(Outcome::failed(feed, problem.to_owned()))
    }

    /// How looking at a feed's source goes.
    pub(super) fn look_state(&self, feed: &str) -> LookState {
        lock(&self.looks).get(feed).cloned().unwrap_or_default()
    }

    /// A feed whose source was not reached for too long, and why; sets the gauges beside it.
    pub(super) fn stale(&self) -> Option<(String, String)> {
        let now = self.clock().now();
        let looks = lock(&self.looks);
        let stale: HashMap<&String, String> = looks
            .iter()
            .filter_map(|(name, state)| {
                let spec = FeedSpec::read(&state.spec).ok()?;
                let since = state.ok_at.max(state.began);
                let age = now.since(since);
                self.metrics.feed(name).refreshed_seconds.set(age.as_secs_f64());
                let longest = self.every(&spec).max(RETRY_FIRST) * self.config.stale_refreshes;
                let why = state.problem.as_deref().unwrap_or("its source was not looked at");
                let word = if state.expired { "expired, not confirmed" } else { "stale" };
                let is = age > longest || state.expired;
                is.then(|| (name, format!("{word} since {since}: {why}")))
            })
            .collect();
        let first = stale.into_iter().min_by(|a, b| a.0.cmp(b.0));
        first.map(|(name, why)| (name.clone(), why))
    }
}

/// A tenth more or less, so that nodes that started together do not ask together; files have
/// nobody to spare.
fn jittered(wait: Duration, source: &Location) -> Duration {
    if source.is_near() {
        return wait;
    }
    let mut byte = [128];
    // Without random numbers: everybody together.
    if getrandom::fill(&mut byte).is_err() {
        return wait;
    }
    wait.mul_f64(0.9 + f64::from(byte[0]) / 1_275.0)
}
