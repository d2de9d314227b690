//! Files cut and bits turned, everywhere in a small segment.

use std::{fs, path::PathBuf};

use super::{Bench, gaps_by_place, row, rows_of};
use crate::{
    config::FullPolicy::Shed,
    record::{LaneId, Table},
    spool::{
        format::{Place, parse},
        scan::{self, Tail, scan},
        segment::parse_path,
    },
};

const TABLE: Table = Table::Access;
const BATCHES: u64 = 6;
const ROWS: u64 = 4;

/// A crashed spool with one open segment of that many batches, its path and the batches' ends.
fn crashed(bench: &Bench) -> (PathBuf, LaneId, Vec<u64>) {
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 0).unwrap();
    for b in 0..BATCHES {
        for r in 0..ROWS {
            lane.push(&row(&format!("{b}/{r}")), Shed);
        }
        lane.commit();
    }
    let id = lane.id();
    drop((lane, spool));
    let dir = bench.dir.path().join("spool");
    let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let path = all.into_iter().find(|p| parse_path(p).is_some_and(|f| f.0 == id)).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (mut at, mut ends) = (128, Vec::new());
    while let Ok(item) = parse(&bytes[at..], Place { lane: id, segment: 0, offset: at as u64 }) {
        at += item.size;
        ends.push(at as u64);
    }
    assert_eq!(ends.len() as u64, BATCHES);
    (path, id, ends)
}

/// Every byte turned or cut away: what lies before the damage ships, the rest is told.
#[test]
fn what_lies_before_damage_is_kept_and_the_rest_is_told() {
    let sample = Bench::new();
    let (path, id, ends) = crashed(&sample);
    let whole = fs::read(&path).unwrap();
    let last = usize::try_from(*ends.last().unwrap()).unwrap();
    for at in 0..last + 100 {
        for cut in [false, true] {
            let mut bytes = whole.clone();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << (at % 8);
            }
            let before = ends.iter().filter(|&&e| e <= at as u64).count() as u64;
            match scan(&bytes, id, 0) {
                Err(_) => assert!(at < 128, "only a damaged header hides everything"),
                Ok(s) => {
                    let next = s.seqs.map_or(0, |s| s.1);
                    assert_eq!(next, before * ROWS, "byte {at}, cut: {cut}");
                    assert!(at >= 128 || (!cut && at >= 65));
                    if !cut && at < last {
                        assert_ne!(s.tail, Tail::Clean, "byte {at}");
                    }
                    for f in &s.frames {
                        let (a, b) = (f.offset as usize, f.end as usize);
                        scan::rows(&bytes[a..b], f).unwrap();
                    }
                }
            }
        }
    }
}

/// The same through recovery, at every batch.
#[test]
fn recovery_tells_what_damage_took() {
    for batch in 0..BATCHES {
        let bench = Bench::new();
        let (path, id, ends) = crashed(&bench);
        let mut bytes = fs::read(&path).unwrap();
        let end = usize::try_from(ends[usize::try_from(batch).unwrap()]).unwrap();
        bytes[end - 10] ^= 4;
        fs::write(&path, bytes).unwrap();
        for _ in 0..2 {
            let spool = bench.open();
            let found = rows_of(&spool, TABLE, "purpose");
            assert_eq!(found.len() as u64, batch * ROWS);
            assert!(found.iter().all(|r| r.0 == id.0));
            let gaps = bench.gaps(&spool);
            assert_eq!(gaps.len(), 1, "once: {gaps:?}");
            let count: u64 = gaps[0].rsplit(' ').next().unwrap().parse().unwrap();
            assert!(gaps[0].starts_with("access unclean_end upper "), "{gaps:?}");
            assert!(count >= (BATCHES - batch) * ROWS, "{gaps:?}");
        }
    }
}

/// A lane of sealed segments, the second of which went bad; its path and the rows in it that are
/// lost.
fn bad_between_others(bench: &Bench) -> (PathBuf, u64) {
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 0).unwrap();
    let text = "x".repeat(200);
    for _ in 0..30 {
        for _ in 0..8 {
            lane.push(&row(&text), Shed);
        }
        lane.commit();
    }
    let id = lane.id();
    lane.close().unwrap();
    spool.close().unwrap();
    let inside = |n| spool.frames().into_iter().find(|f| f.lane == id && f.segment == n).unwrap();
    let (victim, next) = (inside(1), inside(2));
    drop(spool);
    let path = bench.dir.path().join(format!("spool/{id}-000001.sealed"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[victim.offset as usize + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    (path, next.first_seq - victim.first_seq)
}

/// A sealed segment that goes bad between two others is told exactly, once.
#[test]
fn damage_between_segments_is_exact() {
    let bench = Bench::new();
    let (path, lost) = bad_between_others(&bench);
    for _ in 0..3 {
        let spool = bench.open();
        assert_eq!(bench.gaps(&spool), [format!("access unclean_end exact {lost}")]);
        assert_eq!(rows_of(&spool, TABLE, "purpose").len() as u64, 240 - lost);
    }
    assert!(path.with_extension("damaged").exists());
}

/// Once what is good is in the store, a damaged segment is in nobody's way.
#[test]
fn a_damaged_segment_does_not_keep_those_behind_it() {
    let bench = Bench::new();
    let (path, lost) = bad_between_others(&bench);
    let size = fs::metadata(&path).unwrap().len();
    let mut told = std::collections::BTreeMap::new();
    for round in 0..3 {
        let spool = bench.open();
        bench.gaps(&spool);
        told.extend(gaps_by_place(&spool));
        for f in spool.frames() {
            let s = spool.begin_shipment(vec![f]).unwrap();
            spool.acknowledge(s).unwrap();
        }
        spool.purge(crate::clock::Timestamp::MAX).unwrap();
        assert!(spool.stats().disk_bytes >= size, "what remains is counted");
        let left = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path());
        let lane = parse_path(&path).unwrap().0;
        let left: Vec<_> = left.filter(|p| parse_path(p).is_some_and(|f| f.0 == lane)).collect();
        assert_eq!(left, [path.with_extension("remains")], "round {round}");
    }
    let told: Vec<_> = told.into_values().collect();
    assert_eq!(told, [format!("access unclean_end exact {lost}")], "once");
}

/// Nothing that is fed to the parsers makes them panic, and nothing foreign is taken for ours.
#[test]
fn foreign_bytes_are_refused() {
    let sample = Bench::new();
    let (path, id, _) = crashed(&sample);
    let whole = fs::read(&path).unwrap();
    bolero::check!().with_type::<(u16, Vec<u8>, bool)>().for_each(|(at, noise, fix)| {
        let mut bytes = whole.clone();
        let at = usize::from(*at) % bytes.len();
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        if let Ok(s) = scan(&bytes, id, 0) {
            assert!(s.seqs.map_or(0, |s| s.1) <= BATCHES * ROWS);
        }
        let place = Place { lane: id, segment: 0, offset: if *fix { 0 } else { at as u64 } };
        if parse(noise, place).is_ok() {
            assert!(noise.len() >= 84);
        }
    });
}
