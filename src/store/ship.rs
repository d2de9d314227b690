//! The shipper: closed frames go to the store, oldest first, one INSERT per shipment.
//!
//! One task decides what goes together ([`choose`]); each shipment is then delivered by a task of
//! its own (`deliver`), a bounded number at a time. A table has one shipment under way,
//! `resolutions` two, so that the spool is read while the store writes.
//!
//! Before the first shipment the store is made ready: settings looked up, migrations applied, a
//! living node of our name ruled out, and after a reboot everything still in grace is counted,
//! because a store that does not fsync may have lost what it acknowledged. A server elsewhere is
//! watched for that as long as we run (`restarted`).
//!
//! Memory: at most `shipments_max` shipments of `shipment_bytes_max`. When cancelled, what is
//! closed is shipped without waiting for more; the first failure then ends it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Health, Store,
    choose::{FRAMES_MAX, Limits, choose, keep_oldest},
    deliver::{Delivery, Job, blocking},
};
use crate::{
    clock::Clock,
    config::{Durability, FullPolicy},
    metrics::Metrics,
    record::{FrameRow, LaneId, NodeName, Table},
    spool::{Frame, Shipment, Spool},
};

/// Between two looks at what the spool holds, which copies a list of all of it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The same while the store does not answer: the list grows and nothing can be done about it.
const LOOK_INTERVAL_DOWN: Duration = Duration::from_secs(1);

/// Ships what the spool holds.
pub struct Shipper {
    pub(super) delivery: Delivery,
    pub(super) durability: Durability,
    /// The store is full, or another node has our name.
    pub(super) held: AtomicBool,
    /// What our last runs said about themselves, per lane.
    pub(super) past: BTreeMap<LaneId, u64>,
    /// What the store lost, until somebody delivers it.
    pub(super) again: Mutex<Vec<Shipment>>,
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
        let (held, past, again) = (AtomicBool::new(false), BTreeMap::new(), Mutex::default());
        Self { delivery, durability, held, past, again }
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
            self.deliver(job, &mut desk, &mut tasks);
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

    fn deliver(&self, job: Job, desk: &mut Desk, tasks: &mut JoinSet<Table>) {
        let table = job.shipment.frames[0].table;
        *desk.busy.entry(table).or_default() += 1;
        let delivery = self.delivery.clone();
        tasks.spawn(async move {
            delivery.deliver(job).await;
            table
        });
    }

    async fn dispatch(
        &self,
        cancel: &CancellationToken,
        desk: &mut Desk,
        tasks: &mut JoinSet<Table>,
    ) {
        loop {
            let draining = cancel.is_cancelled();
            let again = std::mem::take(&mut *self.again());
            for shipment in again {
                self.deliver(Job::doubtful(shipment, None), desk, tasks);
            }
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
                self.deliver(job, desk, tasks);
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

    pub(super) fn limits(&self) -> Limits {
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
