//! Which segment a lane writes to, and how it leaves one.

use std::sync::{Arc, atomic::Ordering};

use super::Lane;
use crate::spool::{Error, format::TAIL_ROOM, lock, segment::Retired, state::Reason};

impl Lane {
    /// Room for `need` bytes in the current segment, or in the next one.
    pub(super) fn fit(&mut self, need: u64) -> Result<(), Reason> {
        let tail = TAIL_ROOM as u64;
        if self.segment.as_ref().is_some_and(|s| s.offset + need + tail <= self.view.segment_size) {
            return Ok(());
        }
        self.rotate()
    }

    pub(super) fn rotate(&mut self) -> Result<(), Reason> {
        // Held while allocating: maintenance may be about to prepare the same segment.
        let view = Arc::clone(&self.view);
        let mut spare = lock(&view.spare);
        let next = match (spare.take(), self.waits) {
            (Some(s), _) => s,
            (None, Some(reason)) => return Err(reason),
            (None, None) => match view.segment(&self.core) {
                Ok(s) => s,
                Err(e) => return Err(self.without_segment(&e)),
            },
        };
        self.close_frame();
        if self.torn {
            *spare = Some(next);
            return Err(Reason::IoError);
        }
        drop(spare);
        self.retire();
        self.segment = Some(next);
        self.segment_since = None;
        Ok(())
    }

    /// Upkeep goes on looking for room: to do so with every commit would cost more than the commit.
    /// Lanes for which something is kept back take that at once.
    fn without_segment(&mut self, e: &Error) -> Reason {
        let reason = if matches!(e, Error::Full) {
            Reason::DiskFull
        } else {
            self.core.report(self.view.id, "new segment", e);
            Reason::IoError
        };
        if !self.view.keep_back {
            self.waits = Some(reason);
            self.view.wants_spare.store(true, Ordering::Release);
        }
        reason
    }

    /// Leaves the segment where its last good item ends. What a failed write left behind that is
    /// cut away first: whole batches of it would have the same seq as what is written next.
    pub(super) fn give_up(&mut self) -> Result<(), Reason> {
        if let Some(s) = &self.segment {
            let cut = s.file.handle.truncate(s.offset);
            self.torn = cut.is_err();
            cut.map_err(|e| {
                self.core.report(self.view.id, "cut after a failed write", &e);
                Reason::IoError
            })?;
        }
        self.end_frame();
        self.retire();
        self.waits = Some(Reason::IoError);
        self.view.wants_spare.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn retire(&mut self) {
        // Its frames are known before it can be sealed: a sealed segment without frames that
        // anybody needs is removed.
        self.hand_over();
        if let Some(s) = self.segment.take() {
            self.unsynced.retain(|f| f.is_behind());
            self.unsynced.push(Arc::clone(&s.file));
            let r = Retired { file: s.file, number: s.number, end: s.offset };
            lock(&self.view.retired).push_back(r);
        }
    }

    /// Writes the open frame's footer. Without one, the frame ends where the segment does.
    pub(super) fn close_frame(&mut self) {
        if self.view.is_dead() {
            // What the file holds past its last good fsync is for the next start to find out.
            return self.end_frame();
        }
        if self.torn {
            // A footer would lie over what has to be cut away.
            return;
        }
        let (Some(open), Some(segment)) = (&self.open, &mut self.segment) else { return };
        match segment.write_footer(self.view.id, open) {
            Ok(()) => self.end_frame(),
            Err(e) => {
                self.core.report(self.view.id, "write of a footer", &e);
                // Should it not be cut, the next write finds that out again.
                if self.give_up().is_err() {}
            }
        }
    }

    pub(super) fn end_frame(&mut self) {
        self.closing.extend(self.open.take().map(|o| o.frame));
        self.pending.frame_ended();
    }
}
