//! The spool: records are kept here before anybody is answered, and shipped to the store later.
//!
//! # Words
//! A **lane** is one writer's stream of one table; its rows are numbered by `seq` from 0 without
//! holes. A **batch** is what one append writes, the unit of durability. A **frame** is a closed
//! run of one lane's batches. A **segment** is a file of frames, of one lane, preallocated, never
//! used again. A **shipment** is whole frames of one table that go to the store in one INSERT
//! under one token. The spool does not know what a store is.
//!
//! # What an append survives
//! | what dies | `written` | `synced` |
//! |---|---|---|
//! | the process | nothing is lost, no gap row | nothing is lost, no gap row |
//! | kernel or power | rows not yet written back: those since the last frame was shipped, or about 30 s without a store. A gap row bounds them (`unclean_end`, `upper`) by a mark that is made durable before any seq below it is used | nothing is lost |
//! | the disk, in part | the rest of a damaged segment; a gap row says how many (`unclean_end`; `exact` where a later segment tells), the file is kept as `.damaged` | the same |
//! | the disk | what was not shipped yet, without a trace here | the same |
//!
//! # When there is no room, or a write fails
//! Rows pushed with `Shed` are counted in the lane's state file, which is allocated beforehand,
//! before [`Commit::Shed`] returns; [`Spool::maintain`] turns the count into a gap row, exactly
//! once. A segment with a failed write is left where its last good batch ends. A failed fsync is
//! never retried: the lane takes no more rows and [`Spool::health`] says so until a restart. The
//! next segment is allocated before it is needed, so that no batch meets a full disk in its
//! middle; a lane without one waits for [`Spool::maintain`] to find room. A segment each for tables
//! `gaps` and `access` is kept back for that time; that of `access` is given up for the small files
//! of lanes and shipments when the disk has not a byte left, so that shipping goes on.
//!
//! # Files
//! ```text
//! lock                       held (flock) by the one process that uses the directory
//! high-START                 no lane started after START was ever opened
//! LANE-NUMBER.open           a segment being written, waiting to be sealed, or not used yet
//! LANE-NUMBER.sealed         a segment that is whole and durable
//! LANE-NUMBER.damaged        a segment found damaged, after its gap row
//! LANE-NUMBER.remains        a damaged one with nothing left to ship; kept for people
//! LANE.state                 the reserved-seq mark and open gap rows (see `state`)
//! TABLE.reserve              what is kept back for a full disk
//! shipments/TOKEN.pending    a shipment under way; durable before its first attempt
//! shipments/TOKEN.acked      an acknowledged one, until its segments are gone
//! shipments/TOKEN.tried      one that was released: the store may have its rows all the same
//! quarantine/TOKEN.aside     a frame set aside; with -LANE-SEQ, the place of its gap row
//! quarantine/LANE-SEQ.frame  that frame itself, by its first seq, so that its segment can go
//! quarantine/TOKEN.release   a frame that `spool release` wants back
//! ```
//! A frame set aside is copied to a file of its own (fsynced, then named, then its directory
//! fsynced) and told in a gap row; from then on its segment goes as if it had been acknowledged.
//! Released, it is shipped from its copy, which goes when the store has had it for the grace. Copies
//! take `quarantine_bytes_max` at most, beside `disk_bytes_max`, as `.remains` lie beside it; a frame
//! beyond that, or for which the disk has less than `disk_free_bytes_min` to spare, keeps its segment
//! and those behind it until there is room.
//!
//! A file's state is in its name, so that nothing else can disagree. A frame is acknowledged when
//! an `.acked` shipment names it. A shipment that was split from another means nothing while that
//! one's file is there.
//!
//! # Format, version 1 (little-endian)
//! A segment begins with 128 bytes:
//! ```text
//!   0  8  "TGSPOOL1"            16  8  lane                     56  8  opened, µs since the epoch
//!   8  2  version, 1            24  8  number in the lane       64  1  length of the node's name
//!  10  2  0 written, 1 synced   32  8  bytes allocated          65 63  node's name, zero-padded
//!  12  4  CRC32C of the rest    40 16  boot id
//! ```
//! Items follow without padding; zeros follow the last. Every item begins with 80 bytes:
//! ```text
//!   0  4  "TGB1" batch, "TGF1" footer, "TGE1" end of the lane
//!   4  4  CRC32C of bytes 8.. up to the trailer (of a footer: up to byte 104)
//!   8  4  CRC of the item before, or of the segment's header
//!  12  4  bytes of the body
//!  16  8  lane        24  8  segment number        32  8  offset of this item in the file
//!  40  8  first seq (end: the seq after the lane's last)
//!  48  4  rows        52  2  schema id             54  2  zero
//!  56  8  smallest ts  64  8  largest ts
//!  72  8  bytes of the file known to be durable when this was written
//! ```
//! then the body: a batch's rows in `RowBinary`; a footer's 124 bytes (`0 8` offset of the frame's
//! first batch, `8 8` bytes of its rows, `16 4` batches, `20 4` zero, `24 32` root, `56 32` digest
//! of the lane's previous frame, `88 32` key id, `120 4` CRC32C of these three, all zero until
//! they are computed, which is never done on a serving thread); nothing for an end. Then the
//! trailer "TGZ1". An item names its own place, so that no other bytes can be taken for it. A
//! footer's first seq, rows and ts are those of its frame.
//!
//! A frame's copy begins with 128 bytes; its batches follow, byte for byte as they lay in the
//! segment (fewer where that ended before):
//! ```text
//!   0  8  "TGFRAME1"             40  8  segment number        88  8  largest ts
//!   8  2  version, 1             48  8  bytes that follow     96  8  copied, µs since the epoch
//!  10  2  schema id              56  8  offset of the first  104  4  CRC of its last batch
//!  12  4  CRC32C of the rest            batch there          108  4  CRC32C of what follows
//!         of these               64  8  end of the last      112 16  zero
//!  16  8  lane                   72  8  bytes of its rows
//!  24  8  first seq              80  8  smallest ts
//!  32  8  rows
//! ```

mod allocate;
mod complete;
mod copy;
mod core;
mod format;
mod found;
mod frame;
mod gaps;
mod index;
pub mod inspect;
mod inspect_copies;
mod io;
mod lane;
mod lane_view;
mod maintain;
mod mark;
mod old;
mod pending;
mod progress;
mod purge;
mod quarantine;
mod read;
mod recover;
mod scan;
mod seal;
mod segment;
mod shared;
mod ship_again;
mod shipment;
mod shipment_file;
mod state;
mod stats;
mod take_in;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
};

pub use format::Bad;
pub use frame::Frame;
pub use lane::{Commit, Lane};
pub use progress::Progress;
pub use recover::{Recovery, Report, Restored};
pub use shared::{Kept, Prepared, PreparedMany, Refused, SHARED_WORKER, SharedLane};
pub use shipment::Shipment;
pub use stats::{Failure, Stats};

use self::core::{Core, Lanes, lock};
use crate::{
    clock::Clock,
    config,
    record::{LaneId, NodeName, Table},
};
use io::Disk;

/// What a spool is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory, made when absent.
    pub dir: PathBuf,
    /// The node's name, which is in every row.
    pub node: NodeName,
    /// Limits and durability.
    pub config: config::Spool,
    /// Time.
    pub clock: Clock,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the directory.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// Limits of the configuration that do not go together.
    #[error("spool.{0}")]
    Limits(&'static str),
    /// [`Spool::close`] was called.
    #[error("the spool is closed")]
    Closed,
    /// No room, by `disk_bytes_max`, `disk_free_bytes_min` or the file system.
    #[error("the spool has no room")]
    Full,
    /// An fsync failed before: nothing more is done with what it was for.
    #[error("an fsync failed; what was written may not be durable")]
    Failed,
    /// A shipment's file cannot be read or written as what it should be.
    #[error("a shipment's file is damaged")]
    Damaged,
    /// A frame or shipment is not where the call needs it: unknown, or under way elsewhere.
    #[error("the frame or shipment is not in the state this needs")]
    NotInState,
    /// Bytes that are not what was written.
    #[error("segment {lane}-{segment} is damaged at offset {offset}: {bad}")]
    Corrupt {
        /// The lane.
        lane: LaneId,
        /// The segment's number.
        segment: u64,
        /// The first bad item.
        offset: u64,
        /// What is wrong with it.
        bad: Bad,
    },
    /// A row was refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file operation failed.
    #[error("{what}: {}: {source}", path.display())]
    Io {
        /// What was done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        if io::is_full(&source) {
            return Self::Full;
        }
        Self::Io { what, path: path.to_owned(), source }
    }
}

/// The spool; cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    core: Arc<Core>,
    /// Not in `Core`: these hold it themselves.
    shared: Arc<Mutex<BTreeMap<Table, SharedLane>>>,
}

impl Spool {
    /// Takes the directory's lock and reads everything back. Lanes of the time before are closed by
    /// [`Recovery::finish`]; listeners start after that.
    ///
    /// # Errors
    /// When the directory is in use or cannot be read or written, or limits contradict each other.
    pub fn open(options: Options) -> Result<(Self, Recovery), Error> {
        Self::open_with(options, Progress::default())
    }

    /// As [`Spool::open`]; `progress` is told of every step, then and by [`Spool::maintain`].
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_with(options: Options, progress: Progress) -> Result<(Self, Recovery), Error> {
        recover::open(options, Disk::default(), stats::boot_id()?, progress)
    }

    /// A new lane of `table`, for one thread. `worker` tells threads apart.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub fn lane(&self, table: Table, worker: u16) -> Result<Lane, Error> {
        if self.core.closed_for_good.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.core.open_lane(table, worker, false)
    }

    /// The one lane of `table` for everybody who owns none.
    ///
    /// # Errors
    /// When it is the first call for this table and files cannot be made.
    pub fn shared(&self, table: Table) -> Result<SharedLane, Error> {
        let mut shared = lock(&self.shared);
        if let Some(lane) = shared.get(&table) {
            return Ok(lane.clone());
        }
        if self.core.closed_for_good.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let lane = SharedLane::new(Arc::clone(&self.core), table)?;
        shared.insert(table, lane.clone());
        Ok(lane)
    }

    fn shared_lanes(&self) -> Vec<SharedLane> {
        lock(&self.shared).values().cloned().collect()
    }

    /// Ends the shared lanes in order: the last step of a drain, after every owned lane is closed.
    /// Rows are refused from then on.
    ///
    /// # Errors
    /// When an end mark cannot be written; the next start ends the lane then.
    pub fn close(&self) -> Result<(), Error> {
        // Gap rows first: their lane is about to end.
        self.maintain();
        let lanes = {
            let mut shared = lock(&self.shared);
            self.core.closed_for_good.store(true, Ordering::Release);
            std::mem::take(&mut *shared)
        };
        let ended: Vec<_> = lanes.into_values().map(|l| l.end()).collect();
        self.core.collect();
        let lanes: Vec<_> = lock(&self.core.lanes).live.values().cloned().collect();
        for lane in lanes {
            self.core.bury(&lane);
        }
        ended.into_iter().collect()
    }
}
