//! Which rows of some frames the store has: the one way to settle a doubt.
//!
//! Asked by `(node, lane, seq range)`, bounded by the frames' smallest and largest `ts`, which
//! every part of a table is marked with: what was shipped a moment ago lies in small, young parts.

use std::{collections::BTreeMap, fmt::Write as _, ops::Range};

use bytes::Bytes;

use super::{Error, Store};
use crate::{
    record::{LaneId, NodeName, rowbinary::Reader},
    spool::Frame,
};

/// The rows of one frame, by whether they are there.
#[derive(Clone, Debug)]
struct Seen {
    first: u64,
    rows: Vec<bool>,
    there: u64,
}

/// What the store has of a list of frames.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    /// In the order of the frames asked for.
    seen: Vec<Seen>,
    /// Where a lane's frames are in `seen`, by first seq.
    places: BTreeMap<(LaneId, u64), usize>,
    /// Rows that are there more than once.
    pub(super) doubled: u64,
}

impl Presence {
    pub(super) fn new(frames: &[Frame]) -> Self {
        let mut places = BTreeMap::new();
        let mut seen = Vec::with_capacity(frames.len());
        for (n, frame) in frames.iter().enumerate() {
            places.insert((frame.lane, frame.first_seq), n);
            let rows = vec![false; usize::try_from(frame.count).unwrap_or(0)];
            seen.push(Seen { first: frame.first_seq, rows, there: 0 });
        }
        Self { seen, places, doubled: 0 }
    }

    pub(super) fn add(&mut self, lane: LaneId, seq: u64) {
        let place = self.places.range(..=(lane, seq)).next_back();
        let Some((_, n)) = place.filter(|((l, _), _)| *l == lane) else { return };
        let seen = &mut self.seen[*n];
        let row = usize::try_from(seq - seen.first).ok().and_then(|n| seen.rows.get_mut(n));
        match row {
            Some(true) => self.doubled += 1,
            Some(there) => {
                *there = true;
                seen.there += 1;
            }
            // Between two frames of the list: not asked for.
            None => {}
        }
    }

    /// Whether every row is there.
    pub(super) fn is_full(&self) -> bool {
        (0..self.seen.len()).all(|n| self.has_whole(n))
    }

    /// Whether no row is there.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.iter().all(|s| s.there == 0)
    }

    /// How many rows are there, each counted once.
    pub(super) fn there(&self) -> u64 {
        self.seen.iter().map(|s| s.there).sum()
    }

    /// Whether every row of the frame at `n` is there.
    pub(super) fn has_whole(&self, n: usize) -> bool {
        self.seen[n].there == self.seen[n].rows.len() as u64
    }

    /// Those of the frame's rows that are not there. None when the bytes are not its rows.
    pub(super) fn missing_rows(&self, n: usize, frame: &Frame, rows: &Bytes) -> Option<Bytes> {
        if self.seen[n].there == 0 {
            return Some(rows.clone());
        }
        let mut reader = Reader(rows);
        let mut out = Vec::new();
        for there in &self.seen[n].rows {
            let row = frame.schema.take_row(&mut reader).ok()?;
            if !there {
                out.extend_from_slice(row);
            }
        }
        reader.is_empty().then(|| out.into())
    }
}

impl Store {
    /// What the store has of `frames`, which are of one table.
    pub(super) async fn presence(
        &self,
        node: &NodeName,
        frames: &[Frame],
    ) -> Result<Presence, Error> {
        let mut presence = Presence::new(frames);
        let Some(sql) = question(node, frames) else { return Ok(presence) };
        let look = async {
            let mut cursor = self.client().query_raw(&sql).fetch::<(u64, u64)>()?;
            while let Some((lane, seq)) = cursor.next().await? {
                presence.add(LaneId(lane), seq);
            }
            Ok(())
        };
        self.bounded(look).await?;
        Ok(presence)
    }
}

fn question(node: &NodeName, frames: &[Frame]) -> Option<String> {
    let table = frames.first()?.table;
    let min_ts = frames.iter().map(|f| f.min_ts.0).min()?;
    let max_ts = frames.iter().map(|f| f.max_ts.0).max()?;
    let mut lanes: BTreeMap<LaneId, Range<u64>> = BTreeMap::new();
    for f in frames {
        let range = f.first_seq..f.first_seq + f.count;
        let known = lanes.entry(f.lane).or_insert_with(|| range.clone());
        *known = known.start.min(range.start)..known.end.max(range.end);
    }
    let mut sql = format!(
        "SELECT lane, seq FROM {table} WHERE node = '{node}' \
         AND ts >= fromUnixTimestamp64Micro({min_ts}, 'UTC') \
         AND ts <= fromUnixTimestamp64Micro({max_ts}, 'UTC') AND ("
    );
    for (n, (lane, seqs)) in lanes.iter().enumerate() {
        let or = if n == 0 { "" } else { " OR " };
        // Writing to a String cannot fail.
        write!(sql, "{or}(lane = {lane} AND seq >= {} AND seq < {})", seqs.start, seqs.end).ok()?;
    }
    sql.push(')');
    Some(sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        record::{SchemaId, Table},
    };

    fn frame(lane: u64, first_seq: u64, count: u64) -> Frame {
        Frame {
            lane: LaneId(lane),
            table: Table::Gaps,
            schema: SchemaId::newest(Table::Gaps),
            first_seq,
            count,
            bytes: 0,
            min_ts: Timestamp(10),
            max_ts: Timestamp(20),
            segment: 0,
            offset: 0,
            end: 0,
            crc: 0,
        }
    }

    #[test]
    fn rows_are_counted_to_their_frames() {
        let frames = [frame(1, 0, 2), frame(1, 5, 2), frame(2, 0, 1)];
        let mut p = Presence::new(&frames);
        assert!(p.is_empty() && !p.is_full());
        for (lane, seq) in [(1, 0), (1, 1), (1, 3), (1, 6), (3, 0), (0, 9)] {
            p.add(LaneId(lane), seq);
        }
        assert_eq!((0..3).map(|n| p.has_whole(n)).collect::<Vec<_>>(), [true, false, false]);
        p.add(LaneId(1), 5);
        p.add(LaneId(2), 0);
        assert!(p.is_full());
        assert_eq!(p.there(), 5);
        assert_eq!(p.doubled, 0);
        p.add(LaneId(2), 0);
        assert_eq!(p.doubled, 1);
    }

    #[test]
    fn the_question_is_bounded_in_time_and_by_lane() {
        let node = "n".parse().unwrap();
        let sql = question(&node, &[frame(1, 0, 2), frame(1, 5, 2), frame(2, 7, 1)]).unwrap();
        assert_eq!(
            sql,
            "SELECT lane, seq FROM gaps WHERE node = 'n' \
             AND ts >= fromUnixTimestamp64Micro(10, 'UTC') \
             AND ts <= fromUnixTimestamp64Micro(20, 'UTC') \
             AND ((lane = 1 AND seq >= 0 AND seq < 7) OR (lane = 2 AND seq >= 7 AND seq < 8))"
        );
        assert!(question(&node, &[]).is_none());
    }
}
