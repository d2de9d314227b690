//! Frames and segments closed by age, and the end of a lane.

use std::sync::atomic::Ordering;

use super::Lane;
use crate::{
    clock::Timestamp,
    spool::{Error, lock},
};

impl Lane {
    /// Closes the frame and the segment by age. To be called at least every 200 ms when idle.
    pub fn tick(&mut self) {
        if self.over || !self.pending.is_empty() {
            return;
        }
        let now = self.core.clock.now();
        let aged =
            |since: Timestamp, ms| now < since || now.since(since).as_millis() >= u128::from(ms);
        let config = &self.core.config;
        let (frame_age, segment_age) = (config.frame_age_ms_max, config.segment_age_ms_max);
        if self.open.as_ref().is_some_and(|o| aged(o.frame.min_ts, frame_age)) {
            self.close_frame();
            self.settle();
        }
        if self.open.is_none() && self.segment_since.is_some_and(|s| aged(s, segment_age)) {
            self.view.wants_spare.store(true, Ordering::Release);
            if lock(&self.view.spare).is_some() && self.rotate().is_ok() {
                self.settle();
            }
        }
    }

    /// Ends the lane in order: footer, end mark, sealed. What was pushed and not committed is
    /// forgotten.
    ///
    /// # Errors
    /// When the end mark cannot be written; the next start ends the lane then.
    pub fn close(mut self) -> Result<(), Error> {
        self.end()
    }

    pub(in crate::spool) fn end(&mut self) -> Result<(), Error> {
        self.over = true;
        self.pending.clear();
        if self.abandoned {
            return Err(Error::Failed);
        }
        self.waits = None;
        if self.torn && self.give_up().is_err() {
            self.settle();
            return Err(Error::Failed);
        }
        self.close_frame();
        self.settle();
        if self.view.is_dead() {
            return Err(Error::Failed);
        }
        if self.segment.is_none() && self.next_seq > 0 {
            self.fit(0).map_err(|_| Error::Full)?;
        }
        if let Some(segment) = &mut self.segment {
            let end = segment.write_end(self.view.id, self.next_seq);
            end.map_err(|e| Error::io("end", &self.core.dir, e))?;
        }
        self.retire();
        self.view.ended.store(true, Ordering::Release);
        self.core.seal_retired(&self.view);
        if self.view.is_dead() { Err(Error::Failed) } else { Ok(()) }
    }
}
