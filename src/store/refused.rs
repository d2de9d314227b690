//! What the store will not take: halved down to the frame, and that is set aside.

use super::{
    Error, Failure,
    deliver::{Delivery, Job, Step, Trouble, blocking},
};
use crate::spool::Shipment;

impl Delivery {
    pub(super) async fn refused(&self, job: &mut Job, error: &Error) -> Step {
        let failure = match error.failure() {
            Failure::Unlisted => {
                job.unlisted += 1;
                let spent = job.unlisted >= self.store.config().unlisted_attempts_max;
                if spent { Failure::Never } else { Failure::Doubt }
            }
            listed => listed,
        };
        match failure {
            Failure::Never => return self.never(job, error).await,
            Failure::Doubt | Failure::Unlisted => job.doubt = true,
            Failure::Down => {}
        }
        self.metrics.store.down.increment(1);
        self.failed(error);
        tracing::warn!(
            table = %job.shipment.frames[0].table, ?failure, error = %error,
            "a shipment waits for the store"
        );
        Step::Wait
    }

    /// Halves what the store will not take, down to the frame, and sets that aside.
    async fn never(&self, job: &mut Job, error: &Error) -> Step {
        let frames = &job.shipment.frames;
        // Whatever the refusal says, a view may have failed after its table took the rows, or
        // some partitions of an earlier attempt were kept.
        let presence = match self.presence(frames).await {
            Ok(presence) if presence.is_empty() || (job.rest_only && !presence.is_full()) => {
                presence
            }
            Ok(_) => {
                (job.doubt, job.rest_only, job.unlisted) = (true, true, 0);
                return Step::Wait;
            }
            Err(_) => return Step::Wait,
        };
        if frames.len() == 1 {
            return self.set_aside(job, &error.to_string()).await;
        }
        if presence.is_empty() {
            // An earlier attempt of unknown fate may still be running: looked for again, then.
            let doubt = job.doubt;
            return self.halve(job, |s| Job { doubt, ..Job::new(s) }).await;
        }
        if !(0..frames.len()).any(|n| presence.has_whole(n)) {
            return self.halve(job, Job::rest).await;
        }
        self.spool_only(job, self.part(job, &presence, Job::rest).await)
    }

    /// The end of something that asked the spool alone.
    fn spool_only(&self, job: &Job, done: Result<Step, Trouble>) -> Step {
        match done {
            Ok(step) => step,
            Err(Trouble::Spool(e) | Trouble::Damaged(e)) => self.hindered(job, &e),
            Err(Trouble::Store(_)) => Step::Wait,
        }
    }

    /// Two shipments instead of one.
    pub(super) async fn halve(&self, job: &Job, each: impl Fn(Shipment) -> Job) -> Step {
        let (a, b) = job.shipment.frames.split_at(job.shipment.frames.len() / 2);
        match self.split(job.shipment.clone(), vec![a.to_vec(), b.to_vec()]).await {
            Ok(made) => Step::Replaced(made.into_iter().map(each).collect()),
            Err(e) => self.hindered(job, &e),
        }
    }

    pub(super) async fn set_aside(&self, job: &mut Job, reason: &str) -> Step {
        if job.shipment.frames.len() > 1 {
            // One frame of several is damaged: find it.
            let doubt = job.doubt;
            return self.halve(job, |s| Job { doubt, ..Job::new(s) }).await;
        }
        // Rows that are there must not be counted as missing without a word.
        let Ok(presence) = self.presence(&job.shipment.frames).await else { return Step::Wait };
        if presence.is_full() {
            return self.spool_only(job, self.acknowledge(&job.shipment).await);
        }
        let frame = &job.shipment.frames[0];
        let reason = match presence.there() {
            0 => reason.to_owned(),
            there => format!("{there} of these {} rows are in the store; {reason}", frame.count),
        };
        tracing::error!(
            table = %frame.table, lane = %frame.lane, first_seq = frame.first_seq,
            rows = frame.count, reason,
            "a frame cannot be stored and is set aside; see `tracegate spool`"
        );
        let (spool, shipment, kept) = (self.spool.clone(), job.shipment.clone(), presence.there());
        let done = blocking(move || spool.set_aside_in_part(shipment, &reason, kept)).await;
        let step = done.map_or_else(|e| self.hindered(job, &e), |()| Step::Done);
        if !matches!(step, Step::Wait) {
            self.metrics.store.never.increment(1);
        }
        step
    }
}
