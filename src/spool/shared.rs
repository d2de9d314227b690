//! A lane for many writers: stream listeners, background work, the API.
//!
//! A short mutex around a [`Lane`]. In `synced` whoever finds no fsync under way leads one for
//! everybody who wrote before it; the others wait for it.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, atomic::Ordering},
};

use tokio::sync::Notify;

use super::{
    Core, Error,
    lane::{Commit, Lane},
    lock,
    state::Reason,
};
use crate::{
    config::FullPolicy,
    record::{Flow, LaneId, RecordId, Row, SchemaId, Table},
};

/// The worker number of shared lanes; threads that own lanes number theirs from 0.
pub const SHARED_WORKER: u16 = u16::MAX;

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is kept as this record, as `durability` promises.
    Recorded(RecordId),
    /// It is counted in an open gap row.
    Shed,
}

/// A row was neither kept nor counted: nothing may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no room.
    #[error("the spool has no room")]
    Full,
    /// A write or an fsync failed.
    #[error("the spool cannot write")]
    Failed,
    /// The row is larger than a limit.
    #[error("the row is larger than a batch may be")]
    TooLarge,
}

impl From<Reason> for Refused {
    fn from(r: Reason) -> Self {
        match r {
            Reason::DiskFull => Self::Full,
            Reason::Overload => Self::TooLarge,
            Reason::IoError | Reason::UncleanEnd => Self::Failed,
        }
    }
}

/// A lane behind a mutex; cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedLane(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    table: Table,
    lane: Mutex<Lane>,
    group: Mutex<Group>,
    turned: Condvar,
    turned_async: Notify,
}

/// Who waits for which fsync.
#[derive(Debug, Default)]
struct Group {
    /// Writes so far.
    written: u64,
    /// Of these, durable.
    synced: u64,
    /// Somebody leads.
    busy: bool,
    /// An fsync failed for writes up to here.
    failed: u64,
}

enum Turn {
    Done(Result<(), Refused>),
    Lead,
    Follow,
}

impl SharedLane {
    pub(super) fn new(core: Arc<Core>, table: Table) -> Result<Self, Error> {
        let lane = core.open_lane(table, SHARED_WORKER, true)?;
        Ok(Self(Arc::new(Inner {
            core,
            table,
            lane: Mutex::new(lane),
            group: Mutex::default(),
            turned: Condvar::new(),
            turned_async: Notify::new(),
        })))
    }

    /// Keeps one row. Blocking, but short: one write, and in `synced` the wait for an fsync.
    ///
    /// # Errors
    /// When the row could neither be kept nor, where `full` allows that, counted.
    pub fn append<R: Row>(&self, row: &R, full: FullPolicy) -> Result<Kept, Refused> {
        let (kept, ticket) = self.write(row, full)?;
        if let Some(ticket) = ticket {
            self.wait(ticket)?;
        }
        Ok(kept)
    }

    /// As [`SharedLane::append`]; the wait for an fsync is awaited.
    ///
    /// # Errors
    /// As [`SharedLane::append`].
    pub async fn append_async<R: Row + Sync>(
        &self,
        row: &R,
        full: FullPolicy,
    ) -> Result<Kept, Refused> {
        let (kept, ticket) = self.write(row, full)?;
        if let Some(ticket) = ticket {
            self.wait_async(ticket).await?;
        }
        Ok(kept)
    }

    fn write<R: Row>(&self, row: &R, full: FullPolicy) -> Result<(Kept, Option<u64>), Refused> {
        let mut lane = self.lane();
        let id = self.record_id(&lane);
        lane.push(row, full);
        match lane.commit() {
            Commit::Kept => {
                let ticket = self.0.core.synced().then(|| self.ticket());
                Ok((Kept::Recorded(id), ticket))
            }
            Commit::Shed if full == FullPolicy::Shed => Ok((Kept::Shed, None)),
            Commit::Shed => Err(Refused::TooLarge),
            Commit::Refused if lane.is_over() => Err(Refused::Failed),
            Commit::Refused => Err(Refused::Full),
        }
    }

    /// Encodes a row and keeps its place, so that its id and bytes can be put elsewhere first.
    ///
    /// # Errors
    /// When there would be no room for it.
    pub fn prepare<R: Row>(&self, row: &R) -> Result<Prepared<'_>, Refused> {
        let PreparedMany { first, schema, mut rows, held } =
            self.prepare_many(std::slice::from_ref(row))?;
        Ok(Prepared { id: first, schema, bytes: rows.pop().unwrap_or_default(), held })
    }

    /// The same for many rows, which are then written together or not at all. They are of one
    /// append: together with what it takes to frame them they must fit into a segment.
    ///
    /// # Errors
    /// When there would be no room for all of them.
    pub fn prepare_many<R: Row>(&self, rows: &[R]) -> Result<PreparedMany<'_>, Refused> {
        let mut lane = self.lane();
        let first = self.record_id(&lane);
        let rows = lane.prepare(rows)?;
        let held = Held { shared: self, lane };
        Ok(PreparedMany { first, schema: SchemaId::newest(R::TABLE), rows, held })
    }

    /// A flow that no other exchange has.
    pub fn new_flow(&self) -> Flow {
        lock(&self.0.lane).new_flow()
    }

    /// Makes everything written so far durable, in either mode.
    ///
    /// # Errors
    /// When the fsync failed, now or before.
    pub fn sync(&self) -> Result<(), Refused> {
        let ticket = self.ticket();
        self.wait(ticket)
    }

    /// The id of the lane that takes rows now.
    pub fn lane_id(&self) -> LaneId {
        lock(&self.0.lane).id()
    }

    #[cfg(test)]
    pub(super) fn next_place(&self) -> (LaneId, u64) {
        let lane = lock(&self.0.lane);
        (lane.id(), lane.next_seq())
    }

    /// Upkeep, unless somebody holds the lane: a [`Prepared`] does so for as long as another
    /// database takes to commit, and the rest of the upkeep must not wait for that.
    pub(super) fn tick(&self) {
        match self.0.lane.try_lock() {
            Ok(mut lane) => lane.tick(),
            Err(TryLockError::Poisoned(lane)) => lane.into_inner().tick(),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    pub(super) fn end(&self) -> Result<(), Error> {
        lock(&self.0.lane).end()
    }

    /// The lane that takes rows: another one, where the last was abandoned and that can be had.
    fn lane(&self) -> MutexGuard<'_, Lane> {
        let mut lane = lock(&self.0.lane);
        self.replace(&mut lane);
        lane
    }

    fn replace(&self, lane: &mut Lane) {
        let core = &self.0.core;
        if lane.abandoned && !core.closed_for_good.load(Ordering::Acquire) {
            match core.open_lane(self.0.table, SHARED_WORKER, true) {
                Ok(next) => *lane = next,
                Err(e) => core.report(lane.id(), "replacement of a lane", &e),
            }
        }
    }

    /// Whoever wrote to a lane before it is replaced waits for an fsync that looks at its successor
    /// alone: it is made here.
    fn sync_abandoned(&self, lane: &mut Lane) {
        let upto = lock(&self.0.group).written;
        let done = lane.unsynced().iter().try_for_each(|f| f.sync());
        if let Err(e) = &done {
            self.0.core.fail_lane(&lane.view, e);
        }
        if lane.view.is_dead() {
            let mut group = lock(&self.0.group);
            group.failed = group.failed.max(upto);
        }
    }

    fn record_id(&self, lane: &Lane) -> RecordId {
        RecordId { node: self.0.core.node.clone(), lane: lane.id(), seq: lane.next_seq() }
    }

    fn ticket(&self) -> u64 {
        let mut group = lock(&self.0.group);
        group.written += 1;
        group.written
    }

    fn turn(group: &mut Group, ticket: u64) -> Turn {
        if group.failed >= ticket {
            Turn::Done(Err(Refused::Failed))
        } else if group.synced >= ticket {
            Turn::Done(Ok(()))
        } else if group.busy {
            Turn::Follow
        } else {
            group.busy = true;
            Turn::Lead
        }
    }

    fn wait(&self, ticket: u64) -> Result<(), Refused> {
        let mut group = lock(&self.0.group);
        loop {
            match Self::turn(&mut group, ticket) {
                Turn::Done(done) => return done,
                Turn::Lead => {
                    drop(group);
                    self.lead();
                    group = lock(&self.0.group);
                }
                Turn::Follow => {
                    group = self.0.turned.wait(group).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    async fn wait_async(&self, ticket: u64) -> Result<(), Refused> {
        loop {
            let turned = self.0.turned_async.notified();
            let turn = Self::turn(&mut lock(&self.0.group), ticket);
            match turn {
                Turn::Done(done) => return done,
                Turn::Follow => turned.await,
                Turn::Lead => {
                    // Goes on when this future is dropped, so that whoever follows is woken.
                    let leader = self.clone();
                    let led = tokio::task::spawn_blocking(move || leader.lead()).await;
                    if led.is_err() {
                        return Err(Refused::Failed);
                    }
                }
            }
        }
    }

    /// One fsync for everything written before it.
    fn lead(&self) {
        let (files, shared, upto) = {
            let mut lane = lock(&self.0.lane);
            let upto = lock(&self.0.group).written;
            (lane.unsynced(), Arc::clone(&lane.view), upto)
        };
        let done: io::Result<()> = files.iter().try_for_each(|f| f.sync());
        if let Err(e) = &done {
            self.0.core.fail_lane(&shared, e);
        }
        let mut group = lock(&self.0.group);
        group.busy = false;
        if done.is_ok() && !shared.is_dead() {
            group.synced = group.synced.max(upto);
        } else {
            group.failed = group.failed.max(upto);
        }
        drop(group);
        self.0.turned.notify_all();
        self.0.turned_async.notify_waiters();
    }
}

/// A row that has its place and is not written yet. It holds the lane; dropping it uses no seq.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// The id it will have.
    pub id: RecordId,
    /// The columns of `bytes`.
    pub schema: SchemaId,
    /// The row.
    pub bytes: Vec<u8>,
    held: Held<'a>,
}

impl Prepared<'_> {
    /// Writes exactly `bytes`.
    ///
    /// # Errors
    /// When that fails all the same. The lane is left as it is then, and its place is not given to
    /// another row: [`Recovery::restore`](super::Recovery::restore) may still put it there.
    pub fn append(self) -> Result<Kept, Refused> {
        self.held.append()?;
        Ok(Kept::Recorded(self.id))
    }
}

/// Rows that have their places, one behind the other, and are not written yet. They hold the lane;
/// dropping them uses no seq.
#[derive(Debug)]
pub struct PreparedMany<'a> {
    /// The id of the first; those behind it follow.
    pub first: RecordId,
    /// The columns of each.
    pub schema: SchemaId,
    /// The rows.
    pub rows: Vec<Vec<u8>>,
    held: Held<'a>,
}

impl PreparedMany<'_> {
    /// Writes exactly `rows`.
    ///
    /// # Errors
    /// As [`Prepared::append`].
    pub fn append(self) -> Result<(), Refused> {
        self.held.append()
    }

    /// Writes nothing, and gives their places to no other row: whoever promised them may yet find
    /// at the next start that they count ([`Recovery::restore`](super::Recovery::restore)).
    pub fn abandon(self) {
        self.held.abandon();
    }
}

/// A lane with rows pushed and not committed.
#[derive(Debug)]
struct Held<'a> {
    shared: &'a SharedLane,
    lane: MutexGuard<'a, Lane>,
}

impl Held<'_> {
    fn append(mut self) -> Result<(), Refused> {
        if self.lane.commit() != Commit::Kept {
            let dead = self.lane.is_over();
            self.abandon();
            return Err(if dead { Refused::Failed } else { Refused::Full });
        }
        let ticket = self.shared.0.core.synced().then(|| self.shared.ticket());
        let shared = self.shared;
        drop(self);
        if let Some(ticket) = ticket {
            shared.wait(ticket)?;
        }
        Ok(())
    }

    fn abandon(mut self) {
        self.lane.abandon();
        self.shared.sync_abandoned(&mut self.lane);
        self.shared.replace(&mut self.lane);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.lane.discard();
    }
}
