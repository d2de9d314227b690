//! Which frames go together in one shipment.

use std::time::Duration;

use crate::{clock::Timestamp, record::LaneId, spool::Frame};

/// Frames in one shipment: bounds its file and the question that settles a doubt.
pub(super) const FRAMES_MAX: usize = 1_000;
/// The time that one shipment spans at most: two months, so that its INSERT stays far below the 100
/// partitions that a server takes.
const SPAN_MAX: Duration = Duration::from_secs(28 * 86_400);

/// How much goes together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Frames that go together.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) frames: Vec<Frame>,
    /// A limit was reached: there is no reason to wait.
    pub(super) full: bool,
}

fn age(f: &Frame) -> (Timestamp, LaneId, u64) {
    (f.min_ts, f.lane, f.first_seq)
}

/// Leaves the `n` oldest: after a long outage a sort of all of them would be dear.
pub(super) fn keep_oldest(frames: &mut Vec<Frame>, n: usize) {
    if frames.len() > n {
        frames.select_nth_unstable_by_key(n, age);
        frames.truncate(n);
    }
}

/// Takes the oldest frames of one table out of `frames`, as many as fit one shipment: of one
/// schema, because an INSERT names its columns once. None when there are none.
pub(super) fn choose(frames: &mut Vec<Frame>, limits: &Limits) -> Option<Chosen> {
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
    use crate::record::{SchemaId, Table};

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
