//! One shipment, from its first attempt until every frame of it is acknowledged or set aside.
//!
//! Doubt is settled so that neither a row nor a count is doubled, whatever is still running:
//!
//! 1. Which rows are there? All: done.
//! 2. What is missing is sent under the *same* token. Should an earlier attempt still run, or have
//!    kept some partitions, the server takes nothing twice. While the token is surely remembered
//!    (`doubt_resend_s`, and no restart of a server elsewhere since), the whole shipment is sent
//!    again instead, so that a view which missed its part is made good.
//! 3. The server said yes and rows are still missing: it remembers a token whose part it never
//!    kept. Only now do the missing rows go under a new token.
//!
//! What is left are the counts of `passive_dns`, which nobody can count by id: see
//! `migrations/README.md`. Records are exact even then.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Health, Store,
    backoff::{BACKOFF_MIN, Backoff},
    presence::Presence,
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    record::{NodeName, Table},
    spool::{self, Frame, Shipment, Spool},
};

/// A server's uptime is in whole seconds, and its clock is not ours.
pub(super) const UPTIME_STEP: Duration = Duration::from_secs(2);

/// What all deliveries share.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) spool: Spool,
    pub(super) store: Store,
    pub(super) node: NodeName,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// Bounds the shipments in memory.
    pub(super) permits: Arc<Semaphore>,
    /// Give up at the next failure; the shipment stays open.
    pub(super) cancel: CancellationToken,
    /// What is known of the store.
    pub(super) health: Arc<Health>,
}

/// A shipment and what is known of it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) shipment: Shipment,
    /// It was attempted and nobody knows with what effect.
    pub(super) doubt: bool,
    /// Until then the server surely remembers the token.
    pub(super) whole_until: Option<Instant>,
    /// Refusals with a code nobody has classed.
    pub(super) unlisted: u32,
    /// The whole was refused for good while some of its rows are there: only the rest is sent.
    pub(super) rest_only: bool,
}

impl Job {
    /// A shipment that was never attempted.
    pub(super) fn new(shipment: Shipment) -> Self {
        Self { shipment, doubt: false, whole_until: None, unlisted: 0, rest_only: false }
    }

    /// A shipment that may have been attempted.
    pub(super) fn doubtful(shipment: Shipment, whole_until: Option<Instant>) -> Self {
        Self { doubt: true, whole_until, ..Self::new(shipment) }
    }

    /// What is left of a shipment that was refused for good in part.
    pub(super) fn rest(shipment: Shipment) -> Self {
        Self { rest_only: true, ..Self::doubtful(shipment, None) }
    }
}

/// How one attempt ended.
pub(super) enum Step {
    /// Nothing is left of this job.
    Done,
    /// These take its place.
    Replaced(Vec<Job>),
    /// The same again, later.
    Wait,
}

impl Delivery {
    /// Settles `job`, and whatever it is split into. Returns early when cancelled.
    pub(super) async fn deliver(self, job: Job) {
        let mut work = VecDeque::from([job]);
        let mut backoff = Backoff::new(&self.store);
        while let Some(mut job) = work.pop_front() {
            let step = {
                let Ok(_permit) = self.permits.acquire().await else { return };
                self.attempt(&mut job).await
            };
            match step {
                Step::Done => backoff = Backoff::new(&self.store),
                Step::Replaced(jobs) => work.extend(jobs),
                Step::Wait => {
                    work.push_front(job);
                    if !self.pause(backoff.next()).await {
                        return;
                    }
                }
            }
        }
    }

    /// False when cancelled.
    async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    async fn attempt(&self, job: &mut Job) -> Step {
        let done = if job.doubt { self.settle(job).await } else { self.first(job).await };
        match done {
            Ok(step) => {
                self.answered();
                step
            }
            Err(Trouble::Store(e)) => self.refused(job, &e).await,
            Err(Trouble::Damaged(e)) => self.set_aside(job, &e.to_string()).await,
            Err(Trouble::Spool(e)) => self.hindered(job, &e),
        }
    }

    /// Notes that the store answered.
    pub(super) fn answered(&self) {
        self.health.answered();
        self.metrics.store.up.set(1.0);
    }

    /// Notes that the store did not answer, or said no.
    pub(super) fn failed(&self, error: &Error) {
        self.health.failed(self.clock.now(), error);
        self.metrics.store.up.set(0.0);
    }

    /// The spool did not do what was asked of it.
    pub(super) fn hindered(&self, job: &Job, error: &spool::Error) -> Step {
        let frames: HashSet<_> =
            job.shipment.frames.iter().map(|f| (f.lane, f.first_seq)).collect();
        let mut open = self.spool.open_shipments();
        if open.iter().any(|s| s.token == job.shipment.token) {
            tracing::error!(error = %error, "the spool cannot be read or written; trying again");
            return Step::Wait;
        }
        // The call had its effect and failed after it, or an earlier one did: what is open of our
        // frames now is what is left to do.
        open.retain(|s| s.frames.iter().any(|f| frames.contains(&(f.lane, f.first_seq))));
        tracing::warn!(
            error = %error, open = open.len(),
            "a shipment is no longer open; going on with what became of it"
        );
        Step::Replaced(open.into_iter().map(|s| Job::doubtful(s, None)).collect())
    }

    async fn first(&self, job: &mut Job) -> Result<Step, Trouble> {
        let rows = self.read(&job.shipment.frames).await?;
        let remembered = Duration::from_secs(self.store.config().doubt_resend_s);
        job.whole_until = Some(self.clock.monotonic() + remembered);
        self.insert(job, rows).await?;
        self.acknowledge(&job.shipment).await
    }

    async fn settle(&self, job: &mut Job) -> Result<Step, Trouble> {
        self.metrics.store.doubt.increment(1);
        let presence = self.presence(&job.shipment.frames).await?;
        let remembered = !job.rest_only && self.is_remembered(job).await?;
        if presence.is_full() {
            if remembered && job.shipment.frames.iter().any(|f| f.table == Table::Resolutions) {
                // For the views: the table itself takes nothing twice.
                let rows = self.read(&job.shipment.frames).await?;
                self.insert(job, rows).await?;
            }
            return self.acknowledge(&job.shipment).await;
        }
        let mut rows = self.read(&job.shipment.frames).await?;
        if !remembered {
            rows = missing(&presence, &job.shipment.frames, rows)?;
        }
        self.insert(job, rows).await?;
        let presence = self.presence(&job.shipment.frames).await?;
        if presence.is_full() {
            return self.acknowledge(&job.shipment).await;
        }
        self.replace(job, &presence).await
    }

    /// Whether the server surely remembers the job's token. The list of tokens is a file that it
    /// does not fsync: a server of another machine that was started since may have lost the token
    /// of rows that it kept. Our own engine dies without its kernel, or with us.
    async fn is_remembered(&self, job: &Job) -> Result<bool, Error> {
        let now = self.clock.monotonic();
        let Some(left) = job.whole_until.and_then(|until| until.checked_duration_since(now)) else {
            return Ok(false);
        };
        let config = self.store.config();
        if config.url == "embedded" {
            return Ok(true);
        }
        let attempted = Duration::from_secs(config.doubt_resend_s).saturating_sub(left);
        Ok(self.store.uptime().await? > attempted + UPTIME_STEP)
    }

    /// After a yes that was not kept: what is missing goes under a new token.
    async fn replace(&self, job: &Job, presence: &Presence) -> Result<Step, Trouble> {
        tracing::warn!(
            table = %job.shipment.frames[0].table,
            "the store remembers an INSERT that it has not kept; sending what is missing again"
        );
        // A server that does so again and again is not asked without a breath.
        self.pause(BACKOFF_MIN).await;
        self.part(job, presence, |s| Job::doubtful(s, None)).await
    }

    /// The frames that are there are acknowledged, the others become a job of their own.
    pub(super) async fn part(
        &self,
        job: &Job,
        presence: &Presence,
        each: impl Fn(Shipment) -> Job,
    ) -> Result<Step, Trouble> {
        let frames = job.shipment.frames.iter().cloned().enumerate();
        let (there, rest): (Vec<_>, Vec<_>) = frames.partition(|(n, _)| presence.has_whole(*n));
        let parts: Vec<Vec<Frame>> = [there, rest]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| part.into_iter().map(|(_, f)| f).collect())
            .collect();
        let whole_first = parts.len() == 2;
        let mut made = self.split(job.shipment.clone(), parts).await?;
        if whole_first && self.acknowledge(&made[0]).await.is_ok() {
            made.remove(0);
        }
        // Where the acknowledgement failed, the first is counted and acknowledged like the others.
        Ok(Step::Replaced(made.into_iter().map(each).collect()))
    }

    pub(super) async fn presence(&self, frames: &[Frame]) -> Result<Presence, Error> {
        let presence = self.store.presence(&self.node, frames).await?;
        if presence.doubled > 0 {
            self.metrics.store.doubled.increment(presence.doubled);
            tracing::error!(
                table = %frames[0].table, rows = presence.doubled,
                "rows are in the store more than once"
            );
        }
        Ok(presence)
    }

    async fn read(&self, frames: &[Frame]) -> Result<Vec<Bytes>, Trouble> {
        let (spool, frames) = (self.spool.clone(), frames.to_vec());
        let read =
            move || frames.iter().map(|f| spool.read(f).map(Bytes::from)).collect::<Result<_, _>>();
        Ok(blocking(read).await?)
    }

    async fn insert(&self, job: &Job, rows: Vec<Bytes>) -> Result<(), Error> {
        let frame = &job.shipment.frames[0];
        let begun = self.clock.monotonic();
        let done = self.store.insert(frame.table, frame.schema, &job.shipment.token, rows).await;
        self.metrics.store.insert_seconds.record(begun.elapsed().as_secs_f64());
        done
    }

    pub(super) async fn acknowledge(&self, shipment: &Shipment) -> Result<Step, Trouble> {
        let rows = shipment.frames.iter().map(|f| f.count).sum();
        let (spool, shipment) = (self.spool.clone(), shipment.clone());
        blocking(move || spool.acknowledge(shipment)).await?;
        self.metrics.store.shipments.increment(1);
        self.metrics.store.rows.increment(rows);
        Ok(Step::Done)
    }

    pub(super) async fn split(
        &self,
        shipment: Shipment,
        parts: Vec<Vec<Frame>>,
    ) -> Result<Vec<Shipment>, spool::Error> {
        let spool = self.spool.clone();
        blocking(move || spool.split(shipment, parts)).await
    }
}

/// The rows that are not there, frame by frame.
fn missing(presence: &Presence, frames: &[Frame], rows: Vec<Bytes>) -> Result<Vec<Bytes>, Trouble> {
    let each = frames.iter().zip(rows).enumerate();
    each.map(|(n, (frame, rows))| presence.missing_rows(n, frame, &rows))
        .collect::<Option<_>>()
        .ok_or(Trouble::Damaged(spool::Error::Damaged))
}

/// What stands in the way of an attempt.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] Error),
    /// The frame's bytes are not what was written: they will not be better later.
    #[error(transparent)]
    Damaged(spool::Error),
    #[error(transparent)]
    Spool(spool::Error),
}

impl From<spool::Error> for Trouble {
    fn from(e: spool::Error) -> Self {
        match e {
            spool::Error::Corrupt { .. } => Self::Damaged(e),
            _ => Self::Spool(e),
        }
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, spool::Error> + Send + 'static,
) -> Result<T, spool::Error> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        // The runtime ends: nobody reads this any more.
        Err(_) => Err(spool::Error::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, FullPolicy},
        record::NodeRow,
        store::Credentials,
    };

    fn delivery(dir: &std::path::Path) -> Delivery {
        let clock = Clock::system();
        let node: NodeName = "n".parse().unwrap();
        let config = config::Spool { disk_free_bytes_min: 0, ..config::Spool::default() };
        let options =
            spool::Options { dir: dir.into(), node: node.clone(), config, clock: clock.clone() };
        let (spool, recovery) = Spool::open(options).unwrap();
        recovery.finish().unwrap();
        let store =
            Store::connect(&config::Store::default(), "http://127.0.0.1:1", Credentials::default());
        let health = Arc::new(Health::new(clock.now()));
        Delivery {
            spool,
            store,
            node,
            clock,
            metrics: Metrics::new(),
            permits: Arc::new(Semaphore::new(1)),
            cancel: CancellationToken::new(),
            health,
        }
    }

    /// Two frames in an open shipment of a spool that was opened again.
    fn world(dir: &std::path::Path) -> (Delivery, Shipment) {
        for _ in 0..2 {
            let d = delivery(dir);
            let lane = d.spool.shared(Table::Nodes).unwrap();
            let row = NodeRow {
                complete_through: d.clock.now(),
                version: "",
                boot_id: "",
                oldest_unshipped: d.clock.now(),
                unshipped_rows: 0,
            };
            lane.append(&row, FullPolicy::Refuse).unwrap();
        }
        let d = delivery(dir);
        let frames: Vec<_> =
            d.spool.frames().into_iter().filter(|f| f.table == Table::Nodes).collect();
        assert_eq!(frames.len(), 2);
        let shipment = d.spool.begin_shipment(frames).unwrap();
        (d, shipment)
    }

    #[tokio::test]
    async fn a_shipment_that_is_gone_is_not_tried_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (d, parent) = world(dir.path());
        let job = Job::new(parent.clone());
        // While it is open, a failure is one that may pass.
        assert!(matches!(d.hindered(&job, &spool::Error::Full), Step::Wait));
        let parts = parent.frames.iter().map(|f| vec![f.clone()]).collect();
        let mut made = d.spool.split(parent, parts).unwrap();
        d.spool.acknowledge(made.remove(0)).unwrap();
        let Err(Trouble::Spool(gone)) = d.acknowledge(&job.shipment).await else { panic!() };
        assert!(matches!(gone, spool::Error::NotInState));
        let Step::Replaced(jobs) = d.hindered(&job, &gone) else { panic!() };
        let left: Vec<_> = jobs.iter().map(|j| (j.shipment.clone(), j.doubt)).collect();
        assert_eq!(left, [(made[0].clone(), true)]);
        d.spool.acknowledge(made.remove(0)).unwrap();
        let step = d.halve(&job, Job::new).await;
        assert!(matches!(step, Step::Replaced(jobs) if jobs.is_empty()));
    }

    #[tokio::test]
    async fn what_is_there_is_acknowledged_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (d, parent) = world(dir.path());
        let (lane, first_seq) = (parent.frames[0].lane, parent.frames[0].first_seq);
        let mut presence = Presence::new(&parent.frames);
        presence.add(lane, first_seq);
        let job = Job::new(parent);
        let Ok(Step::Replaced(jobs)) = d.part(&job, &presence, Job::rest).await else { panic!() };
        assert_eq!(jobs.len(), 1, "the other was acknowledged");
        assert!(jobs[0].doubt && jobs[0].rest_only);
        assert_eq!(d.spool.open_shipments(), [jobs[0].shipment.clone()]);
    }
}
