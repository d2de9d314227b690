//! What failed for a while goes on by itself, without a restart.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::{
    Bench,
    faults::{Fault, Faults},
    gaps_of, row, rows_of,
};
use crate::{
    clock::Timestamp,
    config::FullPolicy::{Refuse, Shed},
    record::Table,
    spool::{Commit, Kept, Spool},
};

const TABLE: Table = Table::Access;

fn with_faults(bench: &mut Bench) -> Arc<Faults> {
    let faults = Arc::new(Faults::default());
    bench.disk.faults = Some(Arc::clone(&faults));
    faults
}

fn pass(bench: &Bench, spool: &Spool) {
    bench.advance_ms(2_000);
    spool.maintain();
}

#[test]
fn lanes_of_either_kind_shed_while_there_is_no_room_and_keep_again_when_there_is() {
    for mut bench in [Bench::new(), Bench::synced()] {
        let faults = with_faults(&mut bench);
        let spool = bench.open();
        let mut lane = spool.lane(TABLE, 0).unwrap();
        let shared = spool.shared(TABLE).unwrap();
        faults.room(false);
        let text = "z".repeat(400);
        let (mut kept, mut shed) = (0, 0);
        for _ in 0..100 {
            lane.push(&row(&text), Shed);
            match lane.commit() {
                Commit::Kept => kept += 1,
                Commit::Shed => shed += 1,
                Commit::Refused => panic!("a row that may be shed is refused"),
            }
            bench.advance_ms(10);
            spool.maintain();
        }
        assert!(kept > 0 && shed > 0);
        for _ in 0..100 {
            match shared.append(&row(&text), Shed).unwrap() {
                Kept::Recorded(_) => kept += 1,
                Kept::Shed => shed += 1,
            }
        }
        faults.room(true);
        spool.maintain();
        lane.push(&row("again"), Refuse);
        assert_eq!(lane.commit(), Commit::Kept);
        assert!(matches!(shared.append(&row("again"), Refuse), Ok(Kept::Recorded(_))));
        lane.close().unwrap();
        for _ in 0..3 {
            pass(&bench, &spool);
        }
        assert_eq!(rows_of(&spool, TABLE, "purpose").len(), kept + 2);
        let told =
            |g: &String| g.strip_prefix("access disk_full exact ").map(|n| n.parse::<usize>());
        let told: usize = gaps_of(&spool).iter().map(|g| told(g).unwrap().unwrap()).sum();
        assert_eq!(told, shed, "exact");
        assert!(spool.health().is_empty());
    }
}

#[test]
fn a_lane_without_room_leaves_it_to_upkeep_to_look_for_some() {
    let mut bench = Bench::new();
    let faults = with_faults(&mut bench);
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 0).unwrap();
    faults.room(false);
    let mut shed = 0;
    for _ in 0..200 {
        lane.push(&row(&"z".repeat(400)), Shed);
        let before = faults.steps();
        if lane.commit() == Commit::Shed {
            shed += 1;
            // The count, and now and then its fsync.
            assert!(shed == 1 || faults.steps() - before <= 2);
        }
    }
    assert!(shed > 100);
}

#[test]
fn errors_while_a_segment_is_made_do_not_stop_a_lane_for_good() {
    for at in 0.. {
        let mut bench = Bench::new();
        let faults = with_faults(&mut bench);
        let spool = bench.open();
        let shared = spool.shared(TABLE).unwrap();
        let mut lane = spool.lane(TABLE, 0).unwrap();
        // This step, and the one that would clean up after it.
        faults.plan(faults.steps() + at, Fault::Torn);
        for _ in 0..60 {
            shared.append(&row(&"y".repeat(400)), Refuse).ok();
            lane.push(&row(&"y".repeat(400)), Refuse);
            lane.commit();
            bench.advance_ms(10);
        }
        let struck = faults.struck();
        for _ in 0..3 {
            pass(&bench, &spool);
        }
        // A lane whose fsync failed is closed for good by design.
        if spool.health().is_empty() {
            let mut kept = 0;
            for _ in 0..80 {
                kept += u64::from(shared.append(&row(&"y".repeat(400)), Refuse).is_ok());
                lane.push(&row(&"y".repeat(400)), Refuse);
                kept += u64::from(lane.commit() == Commit::Kept);
                spool.maintain();
            }
            assert_eq!(kept, 160, "step {at}");
        }
        if !struck {
            break;
        }
    }
}

#[test]
fn a_disk_without_a_byte_left_is_emptied_by_shipping() {
    let mut bench = Bench::new();
    bench.config.shared_segment_bytes_max = 64 << 10;
    // More than what is kept back.
    bench.config.segment_bytes_max = 128 << 10;
    let faults = with_faults(&mut bench);
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    for n in 0..800 {
        shared.append(&row(&format!("{n:0>400}")), Refuse).unwrap();
        bench.advance_ms(100);
        spool.maintain();
    }
    pass(&bench, &spool);
    faults.fill();
    let mut lane = spool.lane(TABLE, 7).unwrap();
    lane.push(&row("no room"), Shed);
    assert_eq!(lane.commit(), Commit::Shed);
    let mut frames = spool.frames();
    let s = spool.begin_shipment(vec![frames.remove(0)]).unwrap();
    spool.set_aside(s, "no").unwrap();
    for f in frames {
        let s = spool.begin_shipment(vec![f]).unwrap();
        spool.acknowledge(s).unwrap();
    }
    for _ in 0..3 {
        pass(&bench, &spool);
        spool.purge(Timestamp::MAX).unwrap();
    }
    lane.push(&row("room"), Refuse);
    assert_eq!(lane.commit(), Commit::Kept);
    pass(&bench, &spool);
    let gaps = gaps_of(&spool);
    assert!(gaps.contains(&"access disk_full exact 1".to_owned()), "{gaps:?}");
}

#[test]
fn a_damaged_release_holds_up_nobody_else() {
    let bench = Bench::new();
    let spool = bench.open();
    spool.shared(TABLE).unwrap().append(&row("x"), Refuse).unwrap();
    pass(&bench, &spool);
    std::fs::write(bench.dir.path().join("spool/quarantine/00.release"), "torn").unwrap();
    let s = spool.begin_shipment(spool.frames()).unwrap();
    spool.set_aside(s, "no").unwrap();
    assert_eq!(bench.gaps(&spool), ["access quarantine exact 1"]);
}

/// In `synced` a row is answered for when it is durable, even if its lane is replaced in between
/// because another writer's prepared row failed.
#[test]
fn a_lane_is_replaced_only_when_what_it_took_is_durable() {
    (0..8).for_each(replaced);
}

fn replaced(luck: u64) {
    let mut bench = Bench::synced();
    let faults = with_faults(&mut bench);
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    shared.append(&row("first"), Refuse).unwrap();
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let kept = runtime.block_on(async {
        // Whoever would lead the fsync has to wait.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let written = row("answered");
        let mut append = Box::pin(shared.append_async(&written, Refuse));
        assert!(append.as_mut().now_or_never().is_none(), "it waits for its fsync");
        let prepared = shared.prepare(&row("prepared")).unwrap();
        faults.plan(faults.steps(), Fault::Torn);
        assert!(prepared.append().is_err());
        go.send(()).unwrap();
        busy.await.unwrap().unwrap();
        append.await
    });
    assert!(matches!(kept, Ok(Kept::Recorded(_))));
    faults.crash();
    drop((shared, spool));
    faults.power_cut(luck);
    bench.boot_id[0] += 1;
    bench.disk.faults = None;
    let spool = bench.open();
    let rows = rows_of(&spool, TABLE, "purpose");
    assert!(rows.iter().any(|r| r.2 == "answered"), "{rows:?}");
}
