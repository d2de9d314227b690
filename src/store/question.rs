//! Small questions that the rest of the program asks the store at start-up.

use std::time::Duration;

use super::{Error, Store};
use crate::{
    clock::Timestamp,
    record::{LaneId, NodeName, Table},
};

impl Store {
    /// Since when the server runs, in whole seconds.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn uptime(&self) -> Result<Duration, Error> {
        let question = self.client().query_raw("SELECT toUInt64(uptime())").fetch_one::<u64>();
        Ok(Duration::from_secs(self.bounded(question).await?))
    }

    /// The newest `ts` that `node` has in the store; none where it has no row.
    ///
    /// # Errors
    /// The server's.
    pub async fn newest_ts(&self, node: &NodeName) -> Result<Option<Timestamp>, Error> {
        let sql = format!(
            "SELECT toInt64(toUnixTimestamp64Micro(max(ts))) FROM nodes WHERE node = '{node}'"
        );
        let micros: i64 = self.bounded(self.client().query_raw(&sql).fetch_one()).await?;
        Ok((micros > 0).then_some(Timestamp(micros)))
    }

    /// The highest lane that `node` has in the store, so that a lost directory re-uses none.
    ///
    /// # Errors
    /// The server's.
    pub async fn highest_lane(&self, node: &NodeName) -> Result<Option<LaneId>, Error> {
        // Every node ships a completeness row each ten seconds and a frame row for every frame, so
        // these two small tables know every lane of the others.
        let sql = format!(
            "SELECT max(highest) FROM (\
             SELECT max(lane) AS highest FROM nodes WHERE node = '{node}' UNION ALL \
             SELECT max(greatest(lane, frame_lane)) AS highest FROM frames WHERE node = '{node}')"
        );
        let lane: u64 = self.bounded(self.client().query_raw(&sql).fetch_one()).await?;
        Ok((lane > 0).then_some(LaneId(lane)))
    }

    /// Hands the codes of all conversions since `since` to `seen`, as they arrive, with whether the
    /// link was taken over from elsewhere; a code may come more than once.
    ///
    /// # Errors
    /// The server's.
    pub async fn codes_seen(
        &self,
        since: Timestamp,
        mut seen: impl FnMut(String, bool),
    ) -> Result<(), Error> {
        // Without DISTINCT neither side keeps more than a block of them in memory.
        let sql = format!(
            "SELECT code, JSONExtractString(settings, 'source') <> '' FROM {}
             WHERE ts >= fromUnixTimestamp64Micro({}, 'UTC')",
            Table::Conversions,
            since.0
        );
        let mut cursor = self.client().query_raw(&sql).fetch::<(String, bool)>()?;
        while let Some((code, taken_over)) = self.bounded(cursor.next()).await? {
            seen(code, taken_over);
        }
        Ok(())
    }
}
