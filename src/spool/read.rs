//! A frame's rows, read back.

use std::sync::atomic::Ordering;

use super::{
    Core, Error, Frame, Spool,
    copy::{self, COPY_HEADER},
    format::FOOTER,
    io::Handle,
    lock, scan, segment,
};

impl Spool {
    /// A frame's rows, checked by CRC and durable before they are returned.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first bad batch; any other error may pass.
    pub fn read(&self, frame: &Frame) -> Result<Vec<u8>, Error> {
        self.core.make_durable(frame)?;
        let b = self.core.frame_bytes(frame, 0)?;
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

    /// A frame's batches as they lie on disk, unchecked, behind `room` bytes of zeros. Fewer where
    /// the file ends before.
    pub(super) fn frame_bytes(&self, frame: &Frame, room: usize) -> Result<Vec<u8>, Error> {
        let copied = self.index().copies.contains_key(&(frame.lane, frame.first_seq));
        let (file, at) = if copied {
            let path = copy::path(&self.dir, frame.lane, frame.first_seq);
            let file = self.disk.open(&path).map_err(|e| Error::io("open", &path, e))?;
            (file, COPY_HEADER as u64)
        } else {
            (self.open_segment(frame)?, frame.offset)
        };
        let len = frame.end.checked_sub(frame.offset).and_then(|n| usize::try_from(n).ok());
        let mut b = vec![0; room + len.ok_or(Error::NotInState)?];
        let read = file.read_up_to(&mut b[room..], at);
        b.truncate(room + read.map_err(|e| Error::io("read", &self.dir, e))?);
        Ok(b)
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
