//! Frames set aside: copied out of their segments, told, released once.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use super::{
    Bench, decode,
    faults::{Fault, Faults},
    gaps_of, row,
};
use crate::{
    clock::Timestamp,
    config::FullPolicy::Shed,
    record::{LaneId, Table},
    spool::{Commit, Error, Frame, Spool, copy, segment},
};

const TABLE: Table = Table::Access;
const ROWS: u64 = 240;

/// A lane of several segments that has ended; its rows, and a frame in its first segment.
fn lane_of_segments(spool: &Spool) -> (LaneId, Frame) {
    let mut lane = spool.lane(TABLE, 0).unwrap();
    let id = lane.id();
    for n in 0..ROWS / 8 {
        for i in 0..8 {
            lane.push(&row(&format!("{:0>200}", n * 8 + i)), Shed);
        }
        assert_eq!(lane.commit(), Commit::Kept);
    }
    lane.close().unwrap();
    let frame = spool.frames().into_iter().find(|f| f.lane == id && f.segment == 0).unwrap();
    (id, frame)
}

/// A store: what it has, by lane and seq.
#[derive(Default)]
struct Store(BTreeMap<(u64, u64), String>);

impl Store {
    /// Takes every frame of the table but `bad`, as the shipper would.
    fn take(&mut self, spool: &Spool, bad: Option<&Frame>) {
        for s in spool.open_shipments() {
            self.insert(spool, &s.frames, true);
            spool.acknowledge(s).ok();
        }
        for f in spool.frames() {
            if f.table != TABLE || bad == Some(&f) {
                continue;
            }
            let doubt = spool.attempted(&f);
            let Ok(s) = spool.begin_shipment(vec![f]) else { continue };
            self.insert(spool, &s.frames, doubt);
            spool.acknowledge(s).ok();
        }
    }

    fn insert(&mut self, spool: &Spool, frames: &[Frame], doubt: bool) {
        for f in frames {
            let Ok(rows) = spool.read(f) else { continue };
            for (lane, seq, text) in decode(f.schema, &rows, "purpose") {
                let before = self.0.insert((lane, seq), text);
                assert!(doubt || before.is_none(), "{lane}-{seq} was sent twice");
            }
        }
    }
}

fn names(bench: &Bench, below: &str) -> Vec<String> {
    let all = fs::read_dir(bench.dir.path().join("spool").join(below)).unwrap();
    let mut names: Vec<_> = all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn segments_of(bench: &Bench, lane: LaneId) -> usize {
    let is = |n: &String| segment::parse_path(&PathBuf::from(n)).is_some_and(|f| f.0 == lane);
    names(bench, "").iter().filter(|n| is(n)).count()
}

/// Sets `frame` aside alone, and gives the token it is released by.
fn set_aside(spool: &Spool, frame: &Frame) -> String {
    let shipment = spool.begin_shipment(vec![frame.clone()]).unwrap();
    let token = shipment.token.clone();
    spool.set_aside(shipment, "no").unwrap();
    token
}

#[test]
fn a_frame_set_aside_keeps_neither_its_segment_nor_those_behind() {
    let bench = Bench::new();
    let spool = bench.open();
    let (lane, frame) = lane_of_segments(&spool);
    let mut store = Store::default();
    store.take(&spool, Some(&frame));
    let token = set_aside(&spool, &frame);
    spool.purge(Timestamp::MAX).unwrap();
    assert!(segments_of(&bench, lane) > 3, "it has no file of its own yet");
    let told = [format!("access quarantine exact {}", frame.count)];
    assert_eq!(bench.gaps(&spool), told);
    spool.purge(Timestamp::MAX).unwrap();
    assert_eq!(segments_of(&bench, lane), 0);
    let stats = spool.stats();
    assert!(stats.frames_aside == 1 && stats.quarantine_bytes > frame.bytes);

    drop(spool);
    let spool = bench.open();
    assert_eq!(spool.stats().quarantine_bytes, stats.quarantine_bytes);
    assert_eq!(bench.gaps(&spool), told, "once");
    assert!(spool.frames().iter().all(|f| f.table == Table::Gaps));
    spool.release(&token).unwrap();
    assert!(matches!(spool.release(&token), Err(Error::NotInState)));
    assert!(spool.frames().contains(&frame) && spool.attempted(&frame));

    drop(spool);
    let spool = bench.open();
    assert!(spool.frames().contains(&frame) && spool.attempted(&frame));
    store.take(&spool, None);
    assert_eq!(store.0.len() as u64, ROWS);
    spool.purge(Timestamp::ZERO).unwrap();
    assert_eq!(names(&bench, "quarantine").len(), 1, "in grace it could be sent again");
    spool.purge(Timestamp::MAX).unwrap();
    assert_eq!(names(&bench, "quarantine"), [""; 0]);
    assert_eq!(names(&bench, "shipments"), [""; 0]);
    assert_eq!(spool.stats().quarantine_bytes, 0);
    assert_eq!(bench.gaps(&spool), told);
    drop(spool);
    assert!(bench.open().frames().iter().all(|f| f.table == Table::Gaps));
}

#[test]
fn past_the_limit_and_without_room_a_frame_set_aside_keeps_its_segments_until_there_is_room() {
    for by_limit in [true, false] {
        let mut bench = Bench::new();
        let faults = Arc::new(Faults::default());
        bench.disk.faults = Some(Arc::clone(&faults));
        bench.config.quarantine_bytes_max = if by_limit { 100 } else { 1 << 20 };
        let spool = bench.open();
        let (lane, frame) = lane_of_segments(&spool);
        let mut store = Store::default();
        store.take(&spool, Some(&frame));
        let token = set_aside(&spool, &frame);
        // Its gap row has room already.
        spool.shared(Table::Gaps).unwrap();
        faults.room(by_limit);
        assert_eq!(bench.gaps(&spool), [format!("access quarantine exact {}", frame.count)]);
        spool.purge(Timestamp::MAX).unwrap();
        assert!(segments_of(&bench, lane) > 3);
        assert_eq!(names(&bench, "quarantine").len(), 1);
        faults.room(true);
        if by_limit {
            bench.config.quarantine_bytes_max = 1 << 20;
            drop(spool);
            bench.disk.faults = None;
            let spool = bench.open();
            spool.maintain();
            finish(&bench, &spool, &token, lane, &mut store);
        } else {
            spool.maintain();
            finish(&bench, &spool, &token, lane, &mut store);
        }
    }
}

fn finish(bench: &Bench, spool: &Spool, token: &str, lane: LaneId, store: &mut Store) {
    spool.purge(Timestamp::MAX).unwrap();
    assert_eq!(segments_of(bench, lane), 0);
    spool.release(token).unwrap();
    store.take(spool, None);
    assert_eq!(store.0.len() as u64, ROWS);
}

/// Sets the lane's first frames aside; returns how many that were.
fn set_aside_some(spool: &Spool, lane: LaneId) -> usize {
    let some: Vec<_> = spool.frames().into_iter().filter(|f| f.lane == lane).take(6).collect();
    for f in &some {
        let s = spool.begin_shipment(vec![f.clone()]).unwrap();
        spool.set_aside(s, "no").unwrap();
    }
    some.len()
}

fn copies(bench: &Bench) -> usize {
    names(bench, "quarantine").iter().filter(|n| n.ends_with(".frame")).count()
}

#[test]
fn a_round_of_upkeep_copies_one_frame_and_one_that_fails_holds_up_no_other() {
    let bench = Bench::new();
    let spool = bench.open();
    let (lane, _) = lane_of_segments(&spool);
    let bad = spool.frames().iter().filter(|f| f.lane == lane && f.segment == 0).count();
    let count = set_aside_some(&spool, lane);
    assert!(bad > 0 && bad + 2 < count, "{bad} of {count}");
    fs::remove_file(segment::path(&spool.core.dir, lane, 0, segment::Stage::Sealed)).unwrap();
    for round in 1..=count {
        spool.maintain();
        assert_eq!(
            copies(&bench),
            round.saturating_sub(bad),
            "those of a segment that is gone fail"
        );
    }
}

#[test]
fn copies_and_remains_take_nothing_of_what_rows_may_take() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let (lane, _) = lane_of_segments(&spool);
    let count = set_aside_some(&spool, lane);
    bench.gaps(&spool);
    for _ in 0..count {
        spool.maintain();
    }
    assert_eq!(copies(&bench), count);
    let copied = spool.stats().quarantine_bytes;
    assert!(copied > 2 * bench.config.segment_bytes_max, "{copied}");
    drop(spool);
    let remains = bench.dir.path().join("spool").join(format!("{lane}-999.remains"));
    fs::write(remains, vec![0; 1 << 20]).unwrap();
    let spool = bench.open();
    let stats = spool.stats();
    assert_eq!(stats.quarantine_bytes, copied);
    let used = stats.disk_bytes - copied - (1 << 20);
    drop(spool);
    // Two segments more, and nothing for what lies beside them.
    bench.config.disk_bytes_max = used + 2 * bench.config.segment_bytes_max;
    let spool = bench.open();
    let mut new = spool.lane(TABLE, 1).unwrap();
    new.push(&row("room"), Shed);
    assert_eq!(new.commit(), Commit::Kept);
}

#[test]
fn a_copy_leaves_the_disk_what_it_is_to_keep_free() {
    let mut bench = Bench::new();
    let spool = bench.open();
    let (lane, _) = lane_of_segments(&spool);
    set_aside_some(&spool, lane);
    drop(spool);
    for (free, expected) in [(1 << 50, 0), (0, 1)] {
        bench.config.disk_free_bytes_min = free;
        let spool = bench.open();
        spool.maintain();
        assert_eq!(copies(&bench), expected);
    }
}

/// A frame is set aside, copied, told, its segment removed, released, shipped and removed, with a
/// fault at every step; then the spool is opened again and everything goes on.
fn every_step(fault: Fault, power_cut: Option<u64>) {
    for at in 0.. {
        let mut bench = Bench::synced();
        let faults = Arc::new(Faults::default());
        bench.disk.faults = Some(Arc::clone(&faults));
        let spool = bench.open();
        let (_, frame) = lane_of_segments(&spool);
        let mut store = Store::default();
        store.take(&spool, Some(&frame));
        let s = spool.begin_shipment(vec![frame.clone()]).unwrap();
        let token = s.token.clone();
        let before = faults.steps();
        faults.plan(before + at, fault);
        spool.set_aside(s, "no").ok();
        for _ in 0..2 {
            bench.advance_ms(2_000);
            spool.maintain();
        }
        spool.purge(Timestamp::MAX).ok();
        spool.release(&token).ok();
        store.take(&spool, None);
        spool.purge(Timestamp::MAX).ok();
        let struck = faults.struck();
        drop(spool);
        if let Some(luck) = power_cut {
            faults.power_cut(luck + at);
            bench.boot_id[0] += 1;
        }
        bench.disk.faults = None;

        for _ in 0..2 {
            let spool = bench.open();
            bench.advance_ms(2_000);
            spool.maintain();
            spool.release(&token).ok();
            store.take(&spool, None);
            let texts: Vec<_> = store.0.values().cloned().collect();
            let all: Vec<_> = (0..ROWS).map(|n| format!("{n:0>200}")).collect();
            assert!(texts == all, "step {at}: {} rows", texts.len());
            assert!(!spool.frames().iter().any(|f| f.table == TABLE), "step {at}");
            assert_eq!(spool.stats().frames_aside, 0, "step {at}");
            let told = gaps_of(&spool).iter().filter(|g| g.contains("quarantine")).count();
            assert!(told <= 1, "step {at}: {told}");
            spool.purge(Timestamp::MAX).unwrap();
            assert_eq!(names(&bench, "quarantine"), [""; 0], "step {at}");
        }
        if !struck {
            assert!(at > 25, "{at} steps");
            break;
        }
    }
}

#[test]
fn a_process_that_dies_at_any_step_brings_a_released_frame_back_once() {
    every_step(Fault::Crash, None);
}

#[test]
fn a_power_cut_at_any_step_brings_a_released_frame_back_once() {
    for luck in [1, 50_000] {
        every_step(Fault::Crash, Some(luck));
    }
}

#[test]
fn an_error_at_any_step_brings_a_released_frame_back_once() {
    every_step(Fault::Error, None);
}

#[test]
fn a_damaged_copy_is_copied_again_while_its_segment_is_there_and_else_stays_corrupt() {
    for alone in [false, true] {
        let bench = Bench::new();
        let spool = bench.open();
        let (lane, frame) = lane_of_segments(&spool);
        let mut store = Store::default();
        store.take(&spool, Some(&frame));
        let token = set_aside(&spool, &frame);
        bench.gaps(&spool);
        if alone {
            spool.purge(Timestamp::MAX).unwrap();
        }
        drop(spool);
        let path = copy::path(&bench.dir.path().join("spool"), lane, frame.first_seq);
        let mut bytes = fs::read(&path).unwrap();
        bytes[300] ^= 1;
        fs::write(&path, bytes).unwrap();
        let spool = bench.open();
        spool.maintain();
        spool.release(&token).unwrap();
        if alone {
            let bad = spool.read(&frame);
            assert!(matches!(bad, Err(Error::Corrupt { offset, .. }) if offset == frame.offset));
        } else {
            store.take(&spool, None);
            assert_eq!(store.0.len() as u64, ROWS);
        }
    }
}
