//! Retention: whole partitions that are older than `retention_days` are dropped, and each drop is
//! a row of table `access` (actor `retention`) that is written before it.
//!
//! A partition stays while its newest row is too young, while a hold covers it ([`Holds`]), and
//! while a row of that time is still on its way: dropping a partition forgets the tokens of its
//! INSERTs. Killed between the row and the drop, the next look writes a second row and drops.
//!
//! Only the tables that grow with traffic or time are dropped from. Conversions live as long as
//! their links, and what says who looked, what was ordered and what is missing is small and stays.
//! `nodes` has a row every ten seconds; what an old one says is complete is gone with its records,
//! and the newest of a node that lives is never old.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Error, Failure, Health, Store};
use crate::{
    clock::{Clock, Timestamp},
    config::{FullPolicy, RETENTION_DAYS_MIN},
    metrics::Metrics,
    record::{Access, NodeName, Table},
    spool::Spool,
};

/// The tables that partitions are dropped from.
const DROPPED: &[Table] = &[
    Table::Resolutions,
    Table::Jumps,
    Table::Notices,
    Table::Verifications,
    Table::Evidence,
    Table::Hops,
    Table::Frames,
    Table::Nodes,
];

/// A partition of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The table.
    pub table: Table,
    /// Its id, as `DROP PARTITION ID` takes it.
    pub id: String,
    /// Its rows.
    pub rows: u64,
    /// The time of its oldest row.
    pub from: Timestamp,
    /// The time of its newest row.
    pub to: Timestamp,
}

/// What keeps a partition beyond its time.
pub trait Holds: Send + Sync {
    /// The hold that covers `partition`, by name; none when it may go.
    fn holding(&self, partition: &Partition) -> Option<String>;
}

/// Nothing is held.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHolds;

impl Holds for NoHolds {
    fn holding(&self, _: &Partition) -> Option<String> {
        None
    }
}

/// The job.
pub struct Retention {
    store: Store,
    spool: Spool,
    node: NodeName,
    holds: Arc<dyn Holds>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Retention {
    /// The job of this store. It does nothing before [`Retention::run`].
    pub fn new(
        store: Store,
        spool: Spool,
        node: NodeName,
        holds: Arc<dyn Holds>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, spool, node, holds, clock, metrics }
    }

    /// Looks every `retention_interval_s` until `cancel`, as soon as there are tables to look at.
    pub async fn run(self, health: Arc<Health>, cancel: CancellationToken) {
        let interval = Duration::from_secs(self.store.config().retention_interval_s);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = health.has_tables() => {}
        }
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = self.once() => {}
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// Drops what may go now; returns it. A table that cannot be looked at, or a partition that
    /// cannot be dropped, is said in the log and tried again by the next look; it keeps no other
    /// one beyond its time, unless the store is away.
    pub async fn once(&self) -> Vec<Partition> {
        let mut dropped = Vec::new();
        let on_its_way = match self.oldest_on_its_way().await {
            Ok(oldest) => oldest,
            Err(e) => {
                tracing::warn!(error = %e, "retention waits for the store");
                return dropped;
            }
        };
        for &table in DROPPED {
            let cutoff = self.cutoff(table);
            let partitions = self.store.partitions(table).await.unwrap_or_else(|e| {
                tracing::warn!(%table, error = %e, "retention cannot look at a table");
                Vec::new()
            });
            for partition in partitions {
                if !self.may_go(&partition, cutoff, on_its_way) {
                    continue;
                }
                match self.drop_partition(&partition).await {
                    Ok(()) => dropped.push(partition),
                    Err(e) => {
                        tracing::warn!(
                            %table, partition = partition.id, error = %e,
                            "a partition could not be dropped"
                        );
                        // Each drop is recorded first: while the store is away there is no use in
                        // records of drops that do not happen.
                        if matches!(e.failure(), Failure::Down | Failure::Doubt) {
                            return dropped;
                        }
                    }
                }
            }
        }
        dropped
    }

    /// Before when a row of `table` may go.
    fn cutoff(&self, table: Table) -> Timestamp {
        let config = self.store.config();
        let days = match table {
            // A verdict of the last day that is kept may rest on a body that was kept the day before.
            Table::Evidence => config.evidence_retention_days,
            _ => config.retention_days,
        };
        let keep = Duration::from_secs(u64::from(days.max(RETENTION_DAYS_MIN)) * 86_400);
        self.clock.now().saturating_sub(keep)
    }

    fn may_go(&self, partition: &Partition, cutoff: Timestamp, on_its_way: Timestamp) -> bool {
        if partition.to >= cutoff {
            return false;
        }
        if on_its_way < cutoff {
            tracing::warn!(
                table = %partition.table, partition = partition.id,
                "a partition is kept beyond its time: rows of that age are still on their way"
            );
            return false;
        }
        if let Some(hold) = self.holds.holding(partition) {
            tracing::info!(
                table = %partition.table, partition = partition.id, hold,
                "a partition is kept beyond its time by a hold"
            );
            return false;
        }
        true
    }

    /// The oldest row that the store does not have yet, here or at another node that spoke lately.
    async fn oldest_on_its_way(&self) -> Result<Timestamp, Error> {
        let open = self.spool.open_shipments().into_iter().flat_map(|s| s.frames);
        let ours = self.spool.frames().into_iter().chain(open).map(|f| f.min_ts).min();
        let since = self.clock.now().saturating_sub(Duration::from_secs(86_400)).0;
        // The newest row of each node; zero there means that it has nothing on its way.
        let sql = format!(
            "SELECT toUnixTimestamp64Micro(min(oldest)) FROM \
             (SELECT argMax(oldest_unshipped, ts) AS oldest FROM nodes \
             WHERE node != '{node}' AND ts >= fromUnixTimestamp64Micro({since}, 'UTC') \
             GROUP BY node) WHERE oldest > fromUnixTimestamp64Micro(0, 'UTC')",
            node = self.node
        );
        let others = self.store.client().query_raw(&sql).fetch_one::<i64>();
        let others = match self.store.bounded(others).await? {
            0 => Timestamp::MAX,
            micros => Timestamp(micros),
        };
        Ok(ours.unwrap_or(Timestamp::MAX).min(others))
    }

    async fn drop_partition(&self, partition: &Partition) -> Result<(), Error> {
        let Partition { table, id, rows, from, to } = partition;
        let question = format!("drop partition {id} of {table}: {from} to {to}");
        let row = Access {
            actor: "retention",
            peer: SocketAddr::from(([0, 0, 0, 0], 0)),
            role: "system",
            case_number: "",
            purpose: "retention",
            question: &question,
            outcome: "answered",
            rows: *rows,
            digest: [0; 32],
        };
        let lane = self.spool.shared(Table::Access)?;
        lane.append_async(&row, FullPolicy::Refuse).await.map_err(crate::spool::Error::from)?;
        let sql = format!("ALTER TABLE {table} DROP PARTITION ID '{id}'");
        // A partition may be larger than the server lets anybody drop by accident.
        let drop =
            self.store.client().query_raw(&sql).with_setting("max_partition_size_to_drop", "0");
        self.store.bounded(drop.execute()).await?;
        self.metrics.store.partitions_dropped.increment(1);
        tracing::info!(%table, partition = id, rows, %from, %to, "a partition was dropped");
        Ok(())
    }
}

impl Store {
    /// The partitions of a table, oldest first. Answered from the parts' marks, without reading.
    ///
    /// # Errors
    /// The server's.
    pub async fn partitions(&self, table: Table) -> Result<Vec<Partition>, Error> {
        let sql = format!(
            "SELECT _partition_id AS id, count(), toUnixTimestamp64Micro(min(ts)), \
             toUnixTimestamp64Micro(max(ts)) AS newest FROM {table} GROUP BY id ORDER BY newest"
        );
        let rows = self.client().query_raw(&sql).fetch_all::<(String, u64, i64, i64)>();
        let rows = self.bounded(rows).await?.into_iter();
        Ok(rows
            .map(|(id, rows, from, to)| Partition {
                table,
                id,
                rows,
                from: Timestamp(from),
                to: Timestamp(to),
            })
            .collect())
    }
}
