//! A frame's rows, read back.

use std::sync::atomic::Ordering;

use super::{Core, Error, Frame, Spool, format::FOOTER, io::Handle, lock, scan, segment};

impl Spool {
    /// A frame's rows, checked by CRC and durable before they are returned.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first bad batch; any other error may pass.
    pub fn read(&self, frame: &Frame) -> Result<Vec<u8>, Error> {
        self.core.make_durable(frame)?;
        let file = self.core.open_segment(frame)?;
        let len = frame.end.checked_sub(frame.offset).and_then(|n| usize::try_from(n).ok());
        let mut b = vec![0; len.ok_or(Error::NotInState)?];
        let dir = &self.core.dir;
        file.read_at(&mut b, frame.offset).map_err(|e| Error::io("read", dir, e))?;
        scan::rows(&b, frame).map_err(|(offset, bad)| Error::Corrupt {
            lane: frame.lane,
            segment: frame.segment,
            offset,
            bad,
        })
    }
}

impl Core {
    /// Fsyncs a frame's segment unless the frame is known to be durable.
    pub(super) fn make_durable(&self, frame: &Frame) -> Result<(), Error> {
        let key = (frame.lane, frame.segment);
        let file = self.index().segments.get(&key).and_then(|s| s.file.clone());
        let Some(file) = file else { return Ok(()) };
        let need = (frame.end + FOOTER as u64).min(file.written.load(Ordering::Acquire));
        if file.synced.load(Ordering::Acquire) >= need {
            return Ok(());
        }
        let lane = lock(&self.lanes).live.get(&frame.lane).cloned();
        if lane.as_ref().is_some_and(|l| l.is_dead()) {
            return Err(Error::Failed);
        }
        file.sync().map_err(|e| {
            if let Some(lane) = &lane {
                self.fail_lane(lane, &e);
            }
            Error::Failed
        })
    }

    /// Opens a frame's segment, whatever its name is by now.
    fn open_segment(&self, frame: &Frame) -> Result<Handle, Error> {
        use segment::Stage::{Damaged, Open, Sealed};
        let mut last = None;
        // A segment moves on in this order; one that moved between two looks is found by the
        // third.
        for stage in [Open, Sealed, Damaged] {
            let path = segment::path(&self.dir, frame.lane, frame.segment, stage);
            match self.disk.open(&path) {
                Ok(file) => return Ok(file),
                Err(e) => last = Some(Error::io("open", &path, e)),
            }
        }
        Err(last.unwrap_or(Error::NotInState))
    }
}
