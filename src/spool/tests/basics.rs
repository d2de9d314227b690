//! One lane, one path: what is written is read back, shipped, acknowledged, removed.

use super::{Bench, decode, kept_elsewhere, row, rows_of};
use crate::{
    clock::Timestamp,
    config::FullPolicy::{Refuse, Shed},
    record::{LaneId, Row, SchemaId, Table},
    spool::{Commit, Error, Kept, Restored},
};

const TABLE: Table = Table::Access;

#[test]
fn what_is_committed_is_read_back() {
    let bench = Bench::new();
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 3).unwrap();
    for n in 0..10 {
        for i in 0..32 {
            lane.push(&row(&format!("{n}/{i}")), Shed);
        }
        assert_eq!(lane.commit(), Commit::Kept);
    }
    bench.advance_ms(1_500);
    lane.tick();
    let frames = spool.frames();
    assert_eq!(frames.iter().map(|f| f.count).sum::<u64>(), 320);
    assert!(frames.iter().all(|f| f.count <= 100 && f.bytes <= 8 << 10));
    let mut seq = 0;
    for f in &frames {
        assert_eq!(f.first_seq, seq);
        let rows = decode(f.schema, &spool.read(f).unwrap(), "purpose");
        for r in rows {
            assert_eq!(r, (lane.id().0, seq, format!("{}/{}", seq / 32, seq % 32)));
            seq += 1;
        }
    }
    assert_eq!(seq, 320);
}

#[test]
fn a_crash_of_the_process_loses_nothing_and_needs_no_gap_row() {
    for bench in [Bench::new(), Bench::synced()] {
        let spool = bench.open();
        let mut lane = spool.lane(TABLE, 0).unwrap();
        let id = lane.id();
        for i in 0..7 {
            lane.push(&row(&i.to_string()), Refuse);
            assert_eq!(lane.commit(), Commit::Kept);
        }
        drop((lane, spool));
        let spool = bench.open();
        let rows = rows_of(&spool, TABLE, "purpose");
        assert_eq!(rows, (0..7).map(|i| (id.0, i, i.to_string())).collect::<Vec<_>>());
        assert_eq!(bench.gaps(&spool), [""; 0]);
        assert!(spool.lane(TABLE, 0).unwrap().id() > id, "lanes lie above any before");
    }
}

#[test]
fn a_second_process_is_refused() {
    let bench = Bench::new();
    let spool = bench.open();
    assert!(matches!(bench.try_open(), Err(Error::Locked(_))));
    drop(spool);
    bench.open();
}

#[test]
fn shipments_come_back_under_their_token_and_go_when_acknowledged() {
    let bench = Bench::new();
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    let kept = shared.append(&row("x"), Refuse).unwrap();
    assert!(matches!(kept, Kept::Recorded(id) if id.seq == 0));
    bench.advance_ms(1_500);
    spool.maintain();
    let frames = spool.frames();
    assert_eq!(frames.len(), 1);
    let through = spool.complete_through();
    assert_eq!(through, frames[0].min_ts);
    let shipment = spool.begin_shipment(frames.clone()).unwrap();
    assert!(spool.frames().is_empty());
    assert!(spool.begin_shipment(frames).is_err(), "a frame is in one shipment");
    drop((spool, shared));

    let spool = bench.open();
    assert_eq!(spool.open_shipments(), std::slice::from_ref(&shipment));
    assert!(spool.frames().is_empty());
    spool.acknowledge(shipment.clone()).unwrap();
    assert!(matches!(spool.acknowledge(shipment), Err(Error::NotInState)));
    assert!(spool.complete_through() > through);
    drop(spool);

    let spool = bench.open();
    assert!(spool.open_shipments().is_empty() && spool.frames().is_empty());
    assert_eq!(spool.in_grace().len(), 1);
    spool.purge(Timestamp::MAX).unwrap();
    assert!(spool.in_grace().is_empty());
    let left: Vec<_> =
        std::fs::read_dir(bench.dir.path().join("spool/shipments")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn split_shipments_have_new_tokens() {
    let bench = Bench::new();
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 0).unwrap();
    for _ in 0..250 {
        lane.push(&row(""), Shed);
    }
    lane.commit();
    lane.close().unwrap();
    let frames = spool.frames();
    let shipment = spool.begin_shipment(frames.clone()).unwrap();
    let token = shipment.token.clone();
    let parts = frames.iter().map(|f| vec![f.clone()]).collect();
    let parts = spool.split(shipment, parts).unwrap();
    assert_eq!(parts.len(), frames.len());
    assert!(parts.iter().all(|p| p.token != token));
    drop(spool);
    let spool = bench.open();
    let mut open = spool.open_shipments();
    open.sort_by_key(|s| s.frames[0].first_seq);
    assert_eq!(open, parts);
}

#[test]
fn what_is_set_aside_is_told_and_comes_back() {
    let bench = Bench::new();
    let spool = bench.open();
    spool.shared(TABLE).unwrap().append(&row("bad"), Refuse).unwrap();
    bench.advance_ms(1_500);
    spool.maintain();
    let shipment = spool.begin_shipment(spool.frames()).unwrap();
    let token = shipment.token.clone();
    spool.set_aside(shipment, "the store said no").unwrap();
    drop(spool);
    let spool = bench.open();
    assert_eq!(bench.gaps(&spool), ["access quarantine exact 1"]);
    assert!(spool.frames().iter().all(|f| f.table == Table::Gaps));
    spool.release(&token).unwrap();
    assert_eq!(spool.frames().iter().filter(|f| f.table == TABLE).count(), 1);
    drop(spool);
    let spool = bench.open();
    assert_eq!(bench.gaps(&spool), ["access quarantine exact 1"]);
    assert_eq!(spool.frames().iter().filter(|f| f.table == TABLE).count(), 1);
}

#[test]
fn prepared_rows_are_written_as_they_were_shown_or_not_at_all() {
    for bench in [Bench::new(), Bench::synced()] {
        let spool = bench.open();
        let shared = spool.shared(TABLE).unwrap();
        drop(shared.prepare(&row("never")).unwrap());
        let prepared = shared.prepare(&row("once")).unwrap();
        let (id, bytes) = (prepared.id.clone(), prepared.bytes.clone());
        assert_eq!(id.seq, 0, "what was dropped uses no seq");
        assert_eq!(prepared.append().unwrap(), Kept::Recorded(id));
        spool.close().unwrap();
        assert_eq!(spool.read(&spool.frames()[0]).unwrap(), bytes);
    }
}

#[test]
fn rows_kept_elsewhere_are_restored_once() {
    let bench = Bench::new();
    let (id, bytes) = kept_elsewhere(&bench);
    let (spool, mut recovery) = bench.try_open().unwrap();
    let schema = SchemaId::newest(crate::record::Access::TABLE);
    let mut restore = || recovery.restore(id.lane, id.seq, schema, &bytes).unwrap();
    assert_eq!(restore(), Restored::Restored);
    assert_eq!(restore(), Restored::AlreadyThere);
    recovery.finish().unwrap();
    drop(spool);
    let (spool, mut recovery) = bench.try_open().unwrap();
    let again = recovery.restore(id.lane, id.seq, schema, &bytes).unwrap();
    assert_eq!(again, Restored::AlreadyThere);
    recovery.finish().unwrap();
    let rows = rows_of(&spool, TABLE, "purpose");
    assert_eq!(rows, [(id.lane.0, 0, "0".to_owned()), (id.lane.0, 1, "1".to_owned())]);
    assert_eq!(bench.gaps(&spool), [""; 0]);
}

/// Rows promised elsewhere whose fate nobody knows: they may come back, over a restart too.
#[test]
fn places_that_were_abandoned_are_nobody_elses() {
    for (bench, before) in [(Bench::new(), 0), (Bench::new(), 1), (Bench::synced(), 0)] {
        let spool = bench.open();
        let shared = spool.shared(TABLE).unwrap();
        for _ in 0..before {
            shared.append(&row("before"), Refuse).unwrap();
        }
        let prepared = shared.prepare_many(&[row("in doubt")]).unwrap();
        let (id, bytes) = (prepared.first.clone(), prepared.rows[0].clone());
        prepared.abandon();
        shared.append(&row("after"), Refuse).unwrap();
        drop((shared, spool));
        let (spool, mut recovery) = bench.try_open().unwrap();
        let restored = recovery.restore(id.lane, id.seq, SchemaId::newest(TABLE), &bytes);
        assert_eq!(restored.unwrap(), Restored::Restored, "{before}");
        recovery.finish().unwrap();
        let mut rows: Vec<_> = rows_of(&spool, TABLE, "purpose").into_iter().map(|r| r.2).collect();
        rows.sort();
        assert_eq!(rows, [&["after"][..], &["before"; 1][..before], &["in doubt"]].concat());
        assert_eq!(bench.gaps(&spool), [""; 0]);
    }
}

#[test]
fn a_lost_directory_gets_back_what_was_kept_elsewhere_and_new_lanes_lie_above() {
    let bench = Bench::new();
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    let prepared = shared.prepare(&row("x")).unwrap();
    let (id, bytes) = (prepared.id.clone(), prepared.bytes.clone());
    drop(prepared);
    drop((shared, spool));
    std::fs::remove_dir_all(bench.dir.path().join("spool")).unwrap();
    let (spool, mut recovery) = bench.try_open().unwrap();
    let schema = SchemaId::newest(TABLE);
    assert_eq!(recovery.restore(id.lane, 0, schema, &bytes).unwrap(), Restored::Restored);
    assert!(recovery.restore(LaneId(id.lane.0 + 256), 0, schema, &bytes).is_err());
    recovery.finish().unwrap();
    assert_eq!(rows_of(&spool, TABLE, "purpose"), [(id.lane.0, 0, "x".to_owned())]);
    assert!(spool.shared(TABLE).unwrap().lane_id() > id.lane);
}
