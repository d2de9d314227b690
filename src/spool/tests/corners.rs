//! Corners that random runs do not reach often enough: two threads, no room at all, one step that
//! fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    Bench,
    faults::{Fault, Faults},
    gaps_by_place, kept_elsewhere, row, rows_of,
};
use crate::{
    clock::Timestamp,
    config::FullPolicy::{Refuse, Shed},
    record::{SchemaId, Table},
    spool::{
        Commit, Error, Frame, Refused, Restored, Shipment, Spool,
        segment::{self, Stage},
    },
};

const TABLE: Table = Table::Access;

fn with_faults(bench: &mut Bench) -> Arc<Faults> {
    let faults = Arc::new(Faults::default());
    bench.disk.faults = Some(Arc::clone(&faults));
    faults
}

/// Closed frames of one row each.
fn frames(bench: &Bench, spool: &Spool, count: usize) -> Vec<Frame> {
    let shared = spool.shared(TABLE).unwrap();
    for n in 0..count {
        shared.append(&row(&n.to_string()), Refuse).unwrap();
        bench.advance_ms(1_500);
        spool.maintain();
    }
    let frames: Vec<_> = spool.frames().into_iter().filter(|f| f.table == TABLE).collect();
    assert_eq!(frames.len(), count);
    frames
}

fn ship_all(spool: &Spool) {
    for f in spool.frames() {
        let s = spool.begin_shipment(vec![f]).unwrap();
        spool.acknowledge(s).unwrap();
    }
}

#[test]
fn upkeep_at_the_same_time_tells_each_frame_set_aside_once() {
    let bench = Bench::new();
    let spool = bench.open();
    let frames = frames(&bench, &spool, 20);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    spool.maintain();
                }
            });
        }
        for f in frames {
            let s = spool.begin_shipment(vec![f]).unwrap();
            assert!(spool.set_aside(s, "no").is_ok());
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(bench.gaps(&spool), vec!["access quarantine exact 1"; 20]);
    assert!(spool.open_shipments().is_empty());
}

#[test]
fn upkeep_does_not_wait_for_whoever_holds_a_lane() {
    let bench = Bench::new();
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    let held = shared.prepare(&row("0")).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let upkeep = spool.clone();
    std::thread::spawn(move || {
        upkeep.maintain();
        tell.send(()).ok();
    });
    assert_eq!(told.recv_timeout(std::time::Duration::from_secs(20)), Ok(()));
    assert!(matches!(held.append(), Ok(crate::spool::Kept::Recorded(_))));
}

#[test]
fn what_is_set_aside_without_room_for_its_gap_row_is_told_later() {
    let mut bench = Bench::new();
    let faults = with_faults(&mut bench);
    let spool = bench.open();
    let frames = frames(&bench, &spool, 1);
    let s = spool.begin_shipment(frames).unwrap();
    faults.room(false);
    spool.set_aside(s, "no").unwrap();
    assert_eq!(bench.gaps(&spool), [""; 0]);
    assert!(spool.open_shipments().is_empty());
    faults.room(true);
    assert_eq!(bench.gaps(&spool), ["access quarantine exact 1"]);
}

#[test]
fn a_lane_that_never_had_a_segment_tells_what_was_shed_exactly_and_nothing_else() {
    for reboot in [false, true] {
        let mut bench = Bench::new();
        // The two reserves.
        bench.config.disk_bytes_max = 2 * (16 << 10);
        let spool = bench.open();
        let mut lane = spool.lane(TABLE, 0).unwrap();
        for _ in 0..3 {
            lane.push(&row("shed"), Shed);
            assert_eq!(lane.commit(), Commit::Shed);
        }
        drop((lane, spool));
        bench.boot_id[0] += u8::from(reboot);
        let spool = bench.open();
        // Counts are made durable some at a time.
        let told = if reboot { "access disk_full upper 65" } else { "access disk_full exact 3" };
        assert_eq!(bench.gaps(&spool), [told], "reboot: {reboot}");
    }
}

#[test]
fn a_full_spool_does_not_keep_a_row_from_being_restored() {
    let mut bench = Bench::new();
    let (id, bytes) = kept_elsewhere(&bench);
    bench.config.disk_bytes_max = 1;
    let (spool, mut recovery) = bench.try_open().unwrap();
    let restored = recovery.restore(id.lane, id.seq, SchemaId::newest(TABLE), &bytes).unwrap();
    assert_eq!(restored, Restored::Restored);
    assert_eq!(recovery.finish().unwrap().deferred, 0);
    let rows = rows_of(&spool, TABLE, "purpose");
    assert_eq!(rows, [(id.lane.0, 0, "0".to_owned()), (id.lane.0, 1, "1".to_owned())]);
}

#[test]
fn an_error_at_any_step_of_a_split_leaves_shipments_that_can_be_acknowledged() {
    for at in 0.. {
        let mut bench = Bench::new();
        let faults = with_faults(&mut bench);
        let spool = bench.open();
        let frames = frames(&bench, &spool, 2);
        let shipment = spool.begin_shipment(frames.clone()).unwrap();
        let (before, files) = (faults.steps(), frames.len());
        faults.plan(before + at, Fault::Error);
        let parts = frames.into_iter().map(|f| vec![f]).collect();
        let left: Vec<Shipment> = match spool.split(shipment.clone(), parts) {
            Ok(parts) => parts,
            Err(_) => vec![shipment],
        };
        if !faults.struck() {
            assert!(at > 4, "the split was met by errors before");
            break;
        }
        for s in left {
            spool.acknowledge(s).unwrap();
        }
        assert_eq!(spool.in_grace().len(), files);
        drop(spool);
        let spool = bench.open();
        assert!(spool.open_shipments().is_empty() && spool.frames().is_empty(), "at {at}");
    }
}

#[test]
fn what_was_shipped_again_and_then_set_aside_stays_aside() {
    let bench = Bench::new();
    let spool = bench.open();
    let frames = frames(&bench, &spool, 1);
    ship_all(&spool);
    let again = spool.ship_again(frames).unwrap();
    spool.set_aside(again, "no").unwrap();
    assert_eq!(spool.stats().frames_aside, 1);
    drop(spool);
    assert_eq!(bench.open().stats().frames_aside, 1);
    assert!(bench.open().complete_through() > Timestamp::ZERO);
}

#[test]
fn nothing_is_complete_past_a_frame_set_aside_until_its_gap_row_is_acknowledged() {
    let bench = Bench::new();
    let spool = bench.open();
    let frames = frames(&bench, &spool, 1);
    let ts = frames[0].min_ts;
    let s = spool.begin_shipment(frames).unwrap();
    spool.set_aside(s, "no").unwrap();
    bench.advance_ms(2_000);
    assert!(spool.complete_through() <= ts, "not told yet");
    assert_eq!(bench.gaps(&spool).len(), 1);
    assert!(spool.complete_through() <= ts, "told in a row that waits");
    drop(spool);
    let spool = bench.open();
    assert!(spool.complete_through() <= ts, "after a restart");
    assert_eq!(bench.gaps(&spool).len(), 1);
    assert!(spool.complete_through() <= ts);
    ship_all(&spool);
    assert!(spool.complete_through() > ts);
}

#[test]
fn nothing_is_complete_past_rows_shed_until_their_gap_row_is_acknowledged() {
    let mut bench = Bench::new();
    bench.config.disk_bytes_max = 2 * (16 << 10);
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 0).unwrap();
    let from = bench.clock.now();
    lane.push(&row("shed"), Shed);
    assert_eq!(lane.commit(), Commit::Shed);
    bench.advance_ms(10_000);
    assert!(spool.complete_through() <= from, "counted");
    assert_eq!(bench.gaps(&spool), ["access disk_full exact 1"]);
    assert!(spool.complete_through() <= from, "told in a row that waits");
    ship_all(&spool);
    assert!(spool.complete_through() > from);
}

#[test]
fn a_closed_spool_refuses() {
    let bench = Bench::new();
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    shared.append(&row("kept"), Refuse).unwrap();
    spool.close().unwrap();
    assert_eq!(shared.append(&row("late"), Refuse), Err(Refused::Failed));
    assert_eq!(shared.append(&row("late"), Shed), Err(Refused::Failed));
    assert!(shared.prepare(&row("late")).is_err());
    assert!(matches!(spool.shared(TABLE), Err(Error::Closed)));
    assert!(matches!(spool.lane(TABLE, 0), Err(Error::Closed)));
    spool.maintain();
    drop((shared, spool));
    let spool = bench.open();
    assert_eq!(rows_of(&spool, TABLE, "purpose").len(), 1);
    assert_eq!(bench.gaps(&spool), [""; 0]);
}

#[test]
fn what_the_store_may_have_is_known_until_it_is_acknowledged() {
    let bench = Bench::new();
    let spool = bench.open();
    let mut frames = frames(&bench, &spool, 2);
    assert!(!frames.iter().any(|f| spool.attempted(f)));
    let s = spool.begin_shipment(vec![frames.remove(0)]).unwrap();
    let (token, frame) = (s.token.clone(), s.frames[0].clone());
    spool.set_aside(s, "no").unwrap();
    spool.maintain();
    spool.release(&token).unwrap();
    assert!(spool.attempted(&frame) && !spool.attempted(&frames[0]));
    drop(spool);
    let spool = bench.open();
    assert!(spool.attempted(&frame) && !spool.attempted(&frames[0]), "after a restart");
    let s = spool.begin_shipment(vec![frame]).unwrap();
    spool.acknowledge(s).unwrap();
    spool.purge(Timestamp::MAX).unwrap();
    let left = bench.dir.path().join(format!("spool/shipments/{token}.tried"));
    assert!(!left.exists());
    // A file that cannot be read may have named any frame.
    let s = spool.begin_shipment(frames.clone()).unwrap();
    let file = bench.dir.path().join(format!("spool/shipments/{}.pending", s.token));
    drop(spool);
    std::fs::write(file, "torn").unwrap();
    let spool = bench.open();
    assert!(spool.frames().contains(&frames[0]) && spool.attempted(&frames[0]));
}

/// The process dies at every step of the upkeep that writes a gap row; the next start has no room
/// for it and everything else is shipped and removed; the start after that has room.
#[test]
fn a_gap_row_is_told_once_over_two_restarts() {
    for aside in [false, true] {
        for at in 0.. {
            let mut bench = Bench::new();
            let faults = with_faults(&mut bench);
            let spool = bench.open();
            let mut lane = spool.lane(TABLE, 0).unwrap();
            if aside {
                let s = spool.begin_shipment(frames(&bench, &spool, 1)).unwrap();
                spool.set_aside(s, "no").unwrap();
            } else {
                lane.push(&row(&"x".repeat(8 << 10)), Shed);
                assert_eq!(lane.commit(), Commit::Shed);
            }
            bench.advance_ms(2_000);
            faults.plan(faults.steps() + at, Fault::Crash);
            spool.maintain();
            let struck = faults.struck();
            drop((lane, spool));

            with_faults(&mut bench).room(false);
            let spool = bench.open();
            let mut told = gaps_by_place(&spool);
            ship_all(&spool);
            spool.purge(Timestamp::MAX).unwrap();
            drop(spool);

            bench.disk.faults = None;
            let spool = bench.open();
            bench.gaps(&spool);
            told.extend(gaps_by_place(&spool));
            let told: Vec<_> = told.into_values().collect();
            let reason = if aside { "quarantine" } else { "overload" };
            assert_eq!(told, [format!("access {reason} exact 1")], "step {at}");
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn what_a_failed_write_left_is_cut_away_or_forgotten() {
    for cut_is_lost in [false, true] {
        let mut bench = Bench::new();
        let faults = with_faults(&mut bench);
        let spool = bench.open();
        let mut lane = spool.lane(TABLE, 0).unwrap();
        let mut write = |text: &str| {
            lane.push(&row(text), Refuse);
            lane.commit()
        };
        assert_eq!(write("a"), Commit::Kept);
        faults.plan(faults.steps(), Fault::Torn);
        assert_eq!(write("torn"), Commit::Refused);
        let id = spool.core.lanes.lock().unwrap().live.keys().next().copied().unwrap();
        let dir = bench.dir.path().join("spool");
        let [open, sealed] = [Stage::Open, Stage::Sealed].map(|s| segment::path(&dir, id, 0, s));
        let torn = std::fs::read(&open).unwrap();
        assert_eq!(write("no segment yet"), Commit::Refused);
        spool.maintain();
        assert_eq!(write("b"), Commit::Kept);
        drop((lane, spool));
        if cut_is_lost {
            std::fs::remove_file(sealed).unwrap();
            std::fs::write(open, torn).unwrap();
        }
        bench.disk.faults = None;
        let spool = bench.open();
        let rows = rows_of(&spool, TABLE, "purpose");
        assert_eq!(rows, [(id.0, 0, "a".to_owned()), (id.0, 1, "b".to_owned())]);
        assert_eq!(bench.gaps(&spool), [""; 0]);
    }
}
