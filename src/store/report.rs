//! What a node says about itself, and what it looks at while it does: how far it is complete, the
//! store's size, whether another node has its name.
//!
//! Two live nodes of one name would give one id to two records. A node tells the other by a recent
//! row of table `nodes` that its own spool never wrote; it ships nothing until that row is old.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use super::{Error, Store, deliver::blocking, restarted::ServerRuns, ship::Shipper};
use crate::{
    clock::Timestamp,
    config::FullPolicy,
    record::{LaneId, NodeName, NodeRow, Table},
    spool::{Kept, Spool},
};

/// A node that said nothing for so long does not live.
const ALIVE: Duration = Duration::from_secs(30);

impl Shipper {
    /// Says how far the node is complete, again and again, and keeps the spool's grace.
    pub(super) async fn report(&self) {
        let d = &self.delivery;
        let config = d.store.config();
        let grace = Duration::from_secs(config.grace_s);
        let (mut said, mut runs) = (None, ServerRuns::default());
        loop {
            if let Err(e) = self.say(&mut said).await {
                tracing::error!(error = %e, "the node cannot say how far it is complete");
            }
            let before = self.trusted(&mut runs).await.saturating_sub(grace);
            let spool = d.spool.clone();
            if let Err(e) = blocking(move || spool.purge(before)).await {
                tracing::error!(error = %e, "acknowledged segments could not be removed");
            }
            self.look(said).await;
            tokio::time::sleep(Duration::from_millis(config.node_interval_ms)).await;
        }
    }

    async fn say(&self, said: &mut Option<(LaneId, u64)>) -> Result<(), Error> {
        let d = &self.delivery;
        // First of all: a row that comes later lies above it.
        let complete_through = d.spool.complete_through();
        let stats = d.spool.stats();
        let boot_id = d.spool.boot_id();
        let row = NodeRow {
            complete_through,
            version: env!("CARGO_PKG_VERSION"),
            boot_id: &boot_id,
            oldest_unshipped: stats.oldest_unshipped,
            unshipped_rows: stats.unshipped_rows,
        };
        let lane = d.spool.shared(Table::Nodes)?;
        match lane.append_async(&row, FullPolicy::Shed).await {
            Ok(Kept::Recorded(id)) => *said = Some((id.lane, id.seq)),
            Ok(Kept::Shed) => {}
            Err(e) => tracing::warn!(error = %e, "the node's row could not be kept"),
        }
        Ok(())
    }

    /// Holds shipping while the store is full or another node has our name.
    async fn look(&self, said: Option<(LaneId, u64)>) {
        let d = &self.delivery;
        let limit = d.store.config().disk_bytes_max;
        let looked = async { Ok((d.store.bytes().await?, self.has_twin(said).await?)) };
        let held = match looked.await {
            Ok((bytes, twin)) => {
                d.metrics.store.disk_bytes.set(bytes as f64);
                if limit > 0 && bytes >= limit {
                    tracing::error!(bytes, limit, "the store is full: nothing is shipped");
                }
                if twin {
                    tracing::error!(node = %d.node, "another node has our name: nothing is shipped");
                }
                (limit > 0 && bytes >= limit) || twin
            }
            // A store that is down is nobody's twin and takes nothing anyway.
            Err(e) => return d.failed(&e),
        };
        d.answered();
        self.held.store(held, Ordering::Relaxed);
        d.metrics.store.held.set(if held { 1.0 } else { 0.0 });
    }

    /// At the start: whether another node of our name lives. Our own last run is known by its
    /// frames, which are still in the spool.
    pub(super) async fn rule_out_twin(&mut self) -> Result<(), Error> {
        let d = &self.delivery;
        let voices = d.store.voices(&d.node, d.clock.now()).await?;
        let known = known(&d.spool);
        if has_stranger(&voices, &known) {
            return Err(Error::Twin(d.node.clone()));
        }
        // What the last run wrote and did not ship is in the spool, above what the store has: it
        // will be heard when it is shipped.
        self.past = known;
        Ok(())
    }

    async fn has_twin(&self, said: Option<(LaneId, u64)>) -> Result<bool, Error> {
        let d = &self.delivery;
        let voices = d.store.voices(&d.node, d.clock.now()).await?;
        let mut known = self.past.clone();
        known.extend(said);
        Ok(has_stranger(&voices, &known))
    }
}

/// The newest seq of every lane of table `nodes` that the spool holds.
fn known(spool: &Spool) -> BTreeMap<LaneId, u64> {
    let open = spool.open_shipments().into_iter().flat_map(|s| s.frames);
    let all = spool.in_grace().into_iter().chain(spool.frames()).chain(open);
    let mut known = BTreeMap::new();
    for f in all.filter(|f| f.table == Table::Nodes) {
        let newest = known.entry(f.lane).or_insert(0);
        *newest = (f.first_seq + f.count - 1).max(*newest);
    }
    known
}

/// Whether somebody else spoke: in a lane that is not ours, or further on in one that is.
fn has_stranger(voices: &BTreeMap<LaneId, u64>, known: &BTreeMap<LaneId, u64>) -> bool {
    voices.iter().any(|(lane, seq)| known.get(lane).is_none_or(|newest| seq > newest))
}

impl Store {
    /// What was said in `node`'s name in the last half minute: the newest seq per lane.
    ///
    /// # Errors
    /// The server's.
    pub async fn voices(
        &self,
        node: &NodeName,
        now: Timestamp,
    ) -> Result<BTreeMap<LaneId, u64>, Error> {
        let since = now.saturating_sub(ALIVE).0;
        let sql = format!(
            "SELECT lane, max(seq) FROM nodes WHERE node = '{node}' \
             AND ts >= fromUnixTimestamp64Micro({since}, 'UTC') GROUP BY lane"
        );
        let rows: Vec<(u64, u64)> = self.bounded(self.client().query_raw(&sql).fetch_all()).await?;
        Ok(rows.into_iter().map(|(lane, seq)| (LaneId(lane), seq)).collect())
    }

    /// The boot in which `node` last said something; none where it never did.
    ///
    /// # Errors
    /// The server's.
    pub async fn last_boot(&self, node: &NodeName) -> Result<Option<String>, Error> {
        let sql =
            format!("SELECT boot_id FROM nodes WHERE node = '{node}' ORDER BY ts DESC LIMIT 1");
        self.bounded(self.client().query_raw(&sql).fetch_optional()).await
    }

    /// Bytes of our tables' parts on disk.
    ///
    /// # Errors
    /// The server's.
    pub async fn bytes(&self) -> Result<u64, Error> {
        let sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase()";
        self.bounded(self.client().query_raw(sql).fetch_one()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_by_their_lanes() {
        let map = |list: &[(u64, u64)]| list.iter().map(|(l, s)| (LaneId(*l), *s)).collect();
        for (voices, known, expected) in [
            (map(&[]), map(&[]), false),
            (map(&[(1, 5)]), map(&[(1, 5)]), false),
            (map(&[(1, 4)]), map(&[(1, 5), (2, 0)]), false),
            (map(&[(1, 6)]), map(&[(1, 5)]), true),
            (map(&[(3, 0)]), map(&[(1, 5)]), true),
        ] {
            assert_eq!(has_stranger(&voices, &known), expected, "{voices:?} {known:?}");
        }
    }
}
