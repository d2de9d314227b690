//! The shipper: closed frames go to the store, oldest first, one INSERT per shipment.
//!
//! One task decides what goes together ([`choose`]); each shipment is then delivered by a task of
//! its own (`deliver`), a bounded number at a time. A table has one shipment under way,
//! `resolutions` two, so that the spool is read while the store writes.
//!
//! Before the first shipment the store is made ready: settings looked up, migrations applied, a
//! living node of our name ruled out, and after a reboot everything still in grace is counted,
//! because a store that does not fsync may have lost what it acknowledged.
//!
//! Memory: at most `shipments_max` shipments of `shipment_bytes_max`. When cancelled, what is
//! closed is shipped without waiting for more; the first failure then ends it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Health, Store,
    deliver::{Backoff, Delivery, Job, blocking},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{Durability, FullPolicy},
    metrics::Metrics,
    record::{FrameRow, LaneId, NodeName, Table},
    spool::{Frame, Spool},
};

/// Frames in one shipment: bounds its file and the question that settles a doubt.
const FRAMES_MAX: usize = 1_000;
/// The time that one shipment spans at most: two months, so that its INSERT stays far below the 100
/// partitions that a server takes.
const SPAN_MAX: Duration = Duration::from_secs(28 * 86_400);
/// Between two looks at what the spool holds, which copies a list of all of it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The same while the store does not answer: the list grows and nothing can be done about it.
const LOOK_INTERVAL_DOWN: Duration = Duration::from_secs(1);

/// Ships what the spool holds.
pub struct Shipper {
    pub(super) delivery: Delivery,
    durability: Durability,
    /// The store is full, or another node has our name.
    pub(super) held: AtomicBool,
    /// What our last runs said about themselves, per lane.
    pub(super) past: BTreeMap<LaneId, u64>,
}

/// What the deciding task knows between two looks.
#[derive(Default)]
struct Desk {
    /// Shipments under way per table.
    busy: BTreeMap<Table, usize>,
    /// Since when a table's frames wait.
    since: BTreeMap<Table, Instant>,
    /// Frames that have their row in table `frames`, and are not in a shipment yet.
    described: HashSet<(LaneId, u64)>,
    /// No look at the spool before; none yet at the start and after a shipment has ended.
    next_look: Option<Instant>,
}

impl Desk {
    fn has_room(&self, table: Table) -> bool {
        self.busy.get(&table).copied().unwrap_or(0) < depth(table)
    }
}

impl Shipper {
    /// A shipper from `spool` to `store`. It does nothing before [`Shipper::run`].
    pub fn new(
        spool: Spool,
        store: Store,
        node: NodeName,
        durability: Durability,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(store.config().shipments_max));
        let cancel = CancellationToken::new();
        let health = Arc::new(Health::new(clock.now()));
        let delivery = Delivery { spool, store, node, clock, metrics, permits, cancel, health };
        Self { delivery, durability, held: AtomicBool::new(false), past: BTreeMap::new() }
    }

    /// What it knows of the store, now and later.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.delivery.health)
    }

    /// Ships until `cancel`, then what is closed, then returns.
    ///
    /// # Errors
    /// What a retry cannot mend: a server too old, a schema too new, a changed migration.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        self.delivery.cancel = cancel.clone();
        if !self.prepare().await? {
            return Ok(());
        }
        let mut tasks = JoinSet::new();
        let mut desk = Desk::default();
        let Some(recounted) = self.recount().await else { return Ok(()) };
        for job in recounted {
            let table = job.shipment.frames[0].table;
            *desk.busy.entry(table).or_default() += 1;
            tasks.spawn(self.deliver(table, job));
        }
        let reporter = async {
            tokio::select! {
                () = self.report() => {}
                () = cancel.cancelled() => {}
            }
        };
        tokio::join!(reporter, self.dispatch(&cancel, &mut desk, &mut tasks));
        Ok(())
    }

    /// Makes the store ready, however long it takes. False when cancelled.
    async fn prepare(&mut self) -> Result<bool, Error> {
        let (store, cancel) = (self.delivery.store.clone(), self.delivery.cancel.clone());
        let mut backoff = Backoff::new(&store);
        loop {
            let ready = async {
                store.prepare(self.durability).await?;
                self.delivery.health.tables_made();
                self.rule_out_twin().await
            };
            let done = tokio::select! {
                () = cancel.cancelled() => return Ok(false),
                done = ready => done,
            };
            match done {
                Ok(()) => {
                    self.delivery.answered();
                    return Ok(true);
                }
                Err(e) if e.is_final() => return Err(e),
                Err(e) => {
                    self.delivery.failed(&e);
                    tracing::warn!(error = %e, "the store is not ready");
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(false),
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Shipments that were under way, and after a reboot what the store lost of acknowledged ones.
    /// None when cancelled.
    async fn recount(&self) -> Option<Vec<Job>> {
        let d = &self.delivery;
        let mut backoff = Backoff::new(&d.store);
        loop {
            match self.recount_once().await {
                Ok(jobs) => return Some(jobs),
                Err(e) => {
                    d.failed(&e);
                    tracing::warn!(error = %e, "waiting to count what the store has");
                }
            }
            tokio::select! {
                () = d.cancel.cancelled() => return None,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    async fn recount_once(&self) -> Result<Vec<Job>, Error> {
        let d = &self.delivery;
        let rebooted = d.store.last_boot(&d.node).await?.is_none_or(|id| id != d.spool.boot_id());
        if rebooted {
            let mut tables: BTreeMap<Table, Vec<Frame>> = BTreeMap::new();
            for frame in d.spool.in_grace() {
                tables.entry(frame.table).or_default().push(frame);
            }
            for mut frames in tables.into_values() {
                while let Some(chosen) = choose(&mut frames, &self.limits()) {
                    self.recount_frames(chosen.frames).await?;
                }
            }
        }
        let remembered = Duration::from_secs(d.store.config().doubt_resend_s);
        let now = d.clock.now();
        let whole_until = |frames: &[Frame]| {
            let newest = frames.iter().map(|f| f.max_ts).max()?;
            let left = remembered.checked_sub(now.since(newest))?;
            (!rebooted).then(|| d.clock.monotonic() + left)
        };
        let open = d.spool.open_shipments().into_iter();
        Ok(open
            .map(|s| {
                let until = whole_until(&s.frames);
                Job::doubtful(s, until)
            })
            .collect())
    }

    async fn recount_frames(&self, frames: Vec<Frame>) -> Result<(), Error> {
        let d = &self.delivery;
        let presence = d.store.presence(&d.node, &frames).await?;
        let lost: Vec<Frame> = frames
            .into_iter()
            .enumerate()
            .filter_map(|(n, frame)| (!presence.has_whole(n)).then_some(frame))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            table = %lost[0].table, frames = lost.len(),
            "the store lost rows it had acknowledged; sending them again"
        );
        let spool = d.spool.clone();
        // Under a new token, as an open shipment from here on.
        blocking(move || spool.ship_again(lost)).await?;
        Ok(())
    }

    fn deliver(&self, table: Table, job: Job) -> impl Future<Output = Table> + Send + 'static {
        let delivery = self.delivery.clone();
        async move {
            delivery.deliver(job).await;
            table
        }
    }

    async fn dispatch(
        &self,
        cancel: &CancellationToken,
        desk: &mut Desk,
        tasks: &mut JoinSet<Table>,
    ) {
        loop {
            let draining = cancel.is_cancelled();
            let wait = self.ship(desk, tasks, draining).await;
            if draining && tasks.is_empty() {
                return;
            }
            tokio::select! {
                Some(done) = tasks.join_next() => match done {
                    Ok(table) => {
                        desk.next_look = None;
                        if let Some(n) = desk.busy.get_mut(&table) {
                            *n = n.saturating_sub(1);
                        }
                    }
                    Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                    Err(_) => {}
                },
                () = self.delivery.spool.frame_closed() => {}
                () = tokio::time::sleep(wait) => {}
                () = cancel.cancelled(), if !draining => {}
            }
        }
    }

    /// Begins what is due, unless it was looked at a moment ago or nothing can be begun; returns
    /// how long the next look may wait.
    async fn ship(&self, desk: &mut Desk, tasks: &mut JoinSet<Table>, draining: bool) -> Duration {
        let d = &self.delivery;
        let down = !d.health.is_up();
        let interval = if down { LOOK_INTERVAL_DOWN } else { LOOK_INTERVAL };
        let now = d.clock.monotonic();
        if let Some(next) = desk.next_look
            && !draining
            && now < next
        {
            return next - now;
        }
        desk.next_look = Some(now + interval);
        let stuck = self.held.load(Ordering::Relaxed) || (draining && down);
        if stuck || !Table::ALL.iter().any(|t| desk.has_room(*t)) {
            return interval;
        }
        self.ship_due(desk, tasks, draining).await.max(LOOK_INTERVAL)
    }

    /// Begins every shipment that is due; returns when the next will be.
    async fn ship_due(
        &self,
        desk: &mut Desk,
        tasks: &mut JoinSet<Table>,
        draining: bool,
    ) -> Duration {
        let age = Duration::from_millis(self.delivery.store.config().shipment_age_ms_max);
        let mut tables: BTreeMap<Table, Vec<Frame>> = BTreeMap::new();
        for frame in self.delivery.spool.frames() {
            if desk.has_room(frame.table) {
                tables.entry(frame.table).or_default().push(frame);
            }
        }
        desk.since.retain(|table, _| tables.contains_key(table));
        let mut wait = age;
        for (table, mut frames) in tables {
            keep_oldest(&mut frames, FRAMES_MAX * depth(table) + 1);
            let now = self.delivery.clock.monotonic();
            let since = *desk.since.entry(table).or_insert(now);
            let waited = now.duration_since(since);
            while desk.has_room(table) {
                let Some(chosen) = choose(&mut frames, &self.limits()) else { break };
                if !chosen.full && waited < age && !draining {
                    wait = wait.min(age - waited);
                    break;
                }
                desk.since.remove(&table);
                let Some(job) = self.begin(desk, chosen.frames).await else { break };
                *desk.busy.entry(table).or_default() += 1;
                tasks.spawn(self.deliver(table, job));
            }
        }
        wait
    }

    async fn begin(&self, desk: &mut Desk, frames: Vec<Frame>) -> Option<Job> {
        let spool = self.delivery.spool.clone();
        let key = |f: &Frame| (f.lane, f.first_seq);
        let fresh: Vec<_> =
            frames.iter().filter(|f| !desk.described.contains(&key(f))).cloned().collect();
        let keys: Vec<_> = frames.iter().map(key).collect();
        desk.described.extend(&keys);
        let begun = blocking(move || {
            // Released from quarantine, or named by a shipment's file that cannot be read.
            let attempted = frames.iter().any(|f| spool.attempted(f));
            describe(&spool, &fresh);
            Ok((spool.begin_shipment(frames)?, attempted))
        });
        match begun.await {
            Ok((shipment, attempted)) => {
                for key in keys {
                    desk.described.remove(&key);
                }
                Some(if attempted { Job::doubtful(shipment, None) } else { Job::new(shipment) })
            }
            Err(e) => {
                tracing::error!(error = %e, "a shipment could not be begun; trying again");
                None
            }
        }
    }

    fn limits(&self) -> Limits {
        let config = self.delivery.store.config();
        Limits { rows: config.shipment_rows_max, bytes: config.shipment_bytes_max }
    }
}

const fn depth(table: Table) -> usize {
    if matches!(table, Table::Resolutions) { 2 } else { 1 }
}

/// Writes a frame's row of table `frames`, before its first shipment: a question by id looks there
/// first. After a crash at the wrong moment a frame may have two rows that say the same.
fn describe(spool: &Spool, frames: &[Frame]) {
    for frame in frames {
        if matches!(frame.table, Table::Frames | Table::Nodes) {
            continue;
        }
        let row = FrameRow {
            stream: frame.table,
            frame_lane: frame.lane,
            first_seq: frame.first_seq,
            count: frame.count,
            min_ts: frame.min_ts,
            max_ts: frame.max_ts,
            schema: frame.schema,
            bytes: frame.bytes,
            root: [0; 32],
            previous: [0; 32],
            key_id: "",
        };
        let kept = spool
            .shared(Table::Frames)
            .map_err(|e| e.to_string())
            .and_then(|lane| lane.append(&row, FullPolicy::Shed).map_err(|e| e.to_string()));
        if let Err(error) = kept {
            // The frame itself still goes: a missing row only makes a search slower.
            tracing::warn!(error, "a frame's row could not be kept");
            return;
        }
    }
}

/// How much goes together.
#[derive(Clone, Copy, Debug)]
struct Limits {
    rows: u64,
    bytes: u64,
}

/// Frames that go together.
#[derive(Debug)]
struct Chosen {
    frames: Vec<Frame>,
    /// A limit was reached: there is no reason to wait.
    full: bool,
}

fn age(f: &Frame) -> (Timestamp, LaneId, u64) {
    (f.min_ts, f.lane, f.first_seq)
}

/// Leaves the `n` oldest: after a long outage a sort of all of them would be dear.
fn keep_oldest(frames: &mut Vec<Frame>, n: usize) {
    if frames.len() > n {
        frames.select_nth_unstable_by_key(n, age);
        frames.truncate(n);
    }
}

/// Takes the oldest frames of one table out of `frames`, as many as fit one shipment: of one
/// schema, because an INSERT names its columns once. None when there are none.
fn choose(frames: &mut Vec<Frame>, limits: &Limits) -> Option<Chosen> {
    frames.sort_by_key(age);
    let schema = frames.first()?.schema;
    let (mut rows, mut bytes) = (0, 0);
    let (mut from, mut to) = (frames[0].min_ts, frames[0].max_ts);
    let mut chosen = Vec::new();
    let mut full = false;
    frames.retain(|f| {
        if full || f.schema != schema {
            return true;
        }
        let (min, max) = (from.min(f.min_ts), to.max(f.max_ts));
        full = !chosen.is_empty()
            && (rows + f.count > limits.rows
                || bytes + f.bytes > limits.bytes
                || chosen.len() >= FRAMES_MAX
                || max.since(min) > SPAN_MAX);
        if full {
            return true;
        }
        (rows, bytes, from, to) = (rows + f.count, bytes + f.bytes, min, max);
        chosen.push(f.clone());
        false
    });
    full |= rows >= limits.rows || bytes >= limits.bytes;
    Some(Chosen { frames: chosen, full })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SchemaId;

    fn frame(lane: u64, seq: u64, count: u64, ts: i64, version: u8) -> Frame {
        Frame {
            lane: LaneId(lane),
            table: Table::Resolutions,
            schema: SchemaId::new(Table::Resolutions, version),
            first_seq: seq,
            count,
            bytes: count * 100,
            min_ts: Timestamp(ts),
            max_ts: Timestamp(ts + 1),
            segment: 0,
            offset: 0,
            end: 0,
            crc: 0,
        }
    }

    fn taken(frames: &[Frame], limits: Limits) -> (Vec<(u64, u64)>, bool, usize) {
        let mut frames = frames.to_vec();
        let chosen = choose(&mut frames, &limits).unwrap();
        let keys = chosen.frames.iter().map(|f| (f.lane.0, f.first_seq)).collect();
        (keys, chosen.full, frames.len())
    }

    #[test]
    fn the_oldest_go_first_up_to_a_limit() {
        let frames = [frame(2, 0, 10, 5, 1), frame(1, 10, 10, 9, 1), frame(1, 0, 10, 1, 1)];
        let limits = |rows, bytes| Limits { rows, bytes };
        let oldest = vec![(1, 0), (2, 0), (1, 10)];
        assert_eq!(taken(&frames, limits(100, 100_000)), (oldest.clone(), false, 0));
        assert_eq!(taken(&frames, limits(30, 100_000)), (oldest.clone(), true, 0));
        assert_eq!(taken(&frames, limits(29, 100_000)), (oldest[..2].to_vec(), true, 1));
        assert_eq!(taken(&frames, limits(100, 2_500)), (oldest[..2].to_vec(), true, 1));
        // A frame above the limit goes alone.
        assert_eq!(taken(&frames, limits(1, 1)), (oldest[..1].to_vec(), true, 2));
        assert!(choose(&mut Vec::new(), &limits(1, 1)).is_none());
    }

    #[test]
    fn schemas_are_not_mixed() {
        let frames = [frame(1, 0, 1, 1, 1), frame(1, 1, 1, 2, 2), frame(2, 0, 1, 3, 1)];
        let limits = Limits { rows: 100, bytes: 100_000 };
        assert_eq!(taken(&frames, limits), (vec![(1, 0), (2, 0)], false, 1));
    }

    #[test]
    fn one_shipment_spans_few_partitions() {
        let month = 30 * 86_400_000_000;
        let frames = [frame(1, 0, 1, 1, 1), frame(2, 0, 1, month, 1)];
        let limits = Limits { rows: 100, bytes: 100_000 };
        assert_eq!(taken(&frames, limits), (vec![(1, 0)], true, 1));
    }

    #[test]
    fn the_oldest_are_kept() {
        let mut frames: Vec<_> = [5, 3, 9, 1, 7].map(|ts| frame(1, 0, 1, ts, 1)).to_vec();
        keep_oldest(&mut frames, 5);
        assert_eq!(frames.len(), 5);
        keep_oldest(&mut frames, 3);
        frames.sort_by_key(age);
        assert_eq!(frames.iter().map(|f| f.min_ts.0).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn a_shipment_has_at_most_so_many_frames() {
        let frames: Vec<_> =
            (0..=FRAMES_MAX as u64).map(|n| frame(1, n, 1, n.cast_signed(), 1)).collect();
        let limits = Limits { rows: 1 << 40, bytes: 1 << 40 };
        let (keys, full, left) = taken(&frames, limits);
        assert_eq!((keys.len(), full, left), (FRAMES_MAX, true, 1));
    }
}
