//! The messages of one transfer out, made one after the other as they are taken: a transfer holds
//! a few messages in memory, however large the zone is.

use std::{io, path::Path};

use tokio::sync::mpsc::Sender;

use super::{
    answer::Transfer,
    pack::{Packing, TooLarge},
    zone::lines_of,
};
use crate::{
    clock::Clock,
    feeds::transfer::{
        Soa,
        text::{Line, read_line},
        wire::rtype,
    },
    name::Name,
};

/// What ends a transfer early.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the zone's files cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("the secondary went away")]
    Gone,
}

impl From<crate::name::Malformed> for StreamError {
    fn from(_: crate::name::Malformed) -> Self {
        Self::Io(io::ErrorKind::InvalidData.into())
    }
}

/// Sends every message of `transfer`. Blocks.
pub(super) fn produce(
    transfer: Transfer,
    clock: &Clock,
    bytes_max: usize,
    out: &Sender<Vec<u8>>,
) -> Result<(), StreamError> {
    let packing = Packing::new(&transfer.head, bytes_max)?;
    let apex = transfer.head.question.name;
    let mut writer = Writer { transfer, clock, bytes_max, out, apex, packing };
    let soa = writer.transfer.served.soa.clone();
    writer.soa(&soa)?;
    match writer.transfer.steps.take() {
        None => {
            for line in lines_of(&writer.transfer.served.text)? {
                writer.line(&line?)?;
            }
        }
        Some(steps) => {
            for step in steps {
                writer.file(&step.removed)?;
                writer.file(&step.added)?;
            }
        }
    }
    writer.soa(&soa)?;
    writer.flush()
}

struct Writer<'a> {
    transfer: Transfer,
    clock: &'a Clock,
    bytes_max: usize,
    out: &'a Sender<Vec<u8>>,
    apex: Name,
    packing: Packing,
}

impl Writer<'_> {
    /// The lines of one side of a difference, SOA record first.
    fn file(&mut self, path: &Path) -> Result<(), StreamError> {
        use io::BufRead as _;
        for line in io::BufReader::new(std::fs::File::open(path)?).split(b'\n') {
            self.line(&line?)?;
        }
        Ok(())
    }

    fn soa(&mut self, soa: &Soa) -> Result<(), StreamError> {
        let rdata = soa.rdata.clone();
        self.record(&Line { owner: self.apex, ttl: soa.ttl, rtype: rtype::SOA, rdata })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), StreamError> {
        let line = read_line(line, &self.apex)?;
        self.record(&line)
    }

    fn record(&mut self, line: &Line) -> Result<(), StreamError> {
        let Line { owner, ttl, rtype, rdata } = line;
        if !self.packing.push(owner, *ttl, *rtype, rdata)? {
            self.flush()?;
            self.packing.push(owner, *ttl, *rtype, rdata)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        let new = Packing::new(&self.transfer.head, self.bytes_max)?;
        let full = std::mem::replace(&mut self.packing, new);
        let message = full.finish(self.transfer.sequence.as_mut(), self.clock.now())?;
        self.out.blocking_send(message).map_err(|_| StreamError::Gone)
    }
}
