//! At each limit, and a step past it.

use std::time::Duration;

use super::{Bench, row, rows_of};
use crate::{
    clock::Timestamp,
    config::FullPolicy::{Refuse, Shed},
    record::Table,
    spool::{Commit, Error, Kept, Refused},
};

const TABLE: Table = Table::Access;

#[test]
fn a_row_as_large_as_a_batch_is_kept_and_one_more_byte_is_not() {
    let bench = Bench::new();
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    let base = shared.prepare(&row("")).unwrap().bytes.len();
    // A length of two bytes instead of one.
    let fits = "x".repeat(bench.config.batch_bytes_max as usize - base - 1);
    assert!(matches!(shared.append(&row(&fits), Refuse), Ok(Kept::Recorded(_))));
    let larger = format!("{fits}x");
    assert_eq!(shared.append(&row(&larger), Refuse), Err(Refused::TooLarge));
    assert_eq!(shared.append(&row(&larger), Shed), Ok(Kept::Shed));
    let mut lane = spool.lane(TABLE, 0).unwrap();
    lane.push(&row("kept"), Refuse);
    lane.push(&row(&larger), Shed);
    assert_eq!(lane.commit(), Commit::Shed);
    bench.advance_ms(2_000);
    lane.tick();
    spool.maintain();
    bench.advance_ms(2_000);
    spool.maintain();
    assert_eq!(rows_of(&spool, TABLE, "purpose").len(), 2);
    assert_eq!(bench.gaps(&spool), ["access overload exact 1", "access overload exact 1"]);
}

#[test]
fn frames_end_at_rows_bytes_age_and_days() {
    let mut bench = Bench::new();
    bench.config.frame_bytes_max = 12 << 10;
    let spool = bench.open();
    let mut lane = spool.lane(TABLE, 0).unwrap();
    for _ in 0..101 {
        lane.push(&row(""), Shed);
    }
    lane.commit();
    assert_eq!(spool.frames().iter().map(|f| f.count).collect::<Vec<_>>(), [100]);
    bench.advance_ms(bench.config.frame_age_ms_max);
    lane.tick();
    assert_eq!(spool.frames().len(), 2, "by age, when idle");
    for _ in 0..14 {
        lane.push(&row(&"y".repeat(900)), Shed);
    }
    lane.commit();
    let frames = spool.frames();
    assert!(frames.len() == 3 && frames[2].bytes <= 12 << 10, "by bytes");
    bench.advance_ms(bench.config.frame_age_ms_max);
    lane.push(&row(""), Shed);
    lane.commit();
    assert_eq!(spool.frames().len(), 4, "by age, when busy");
    lane.push(&row("today"), Shed);
    bench.clock.advance(Duration::from_secs(2 * 86_400));
    lane.push(&row("after tomorrow"), Shed);
    lane.commit();
    bench.advance_ms(bench.config.frame_age_ms_max);
    lane.tick();
    for f in spool.frames() {
        assert!(f.max_ts.since(f.min_ts) < Duration::from_secs(2 * 86_400), "by days");
    }
    assert_eq!(rows_of(&spool, TABLE, "purpose").len(), 101 + 14 + 1 + 2);
}

#[test]
fn a_full_disk_sheds_and_refuses_until_there_is_room_again() {
    let mut bench = Bench::new();
    // Two reserves, and three segments for everything.
    bench.config.disk_bytes_max = 5 * (16 << 10);
    let spool = bench.open();
    spool.maintain();
    let mut lane = spool.lane(Table::Access, 0).unwrap();
    let text = "z".repeat(300);
    let mut kept = 0;
    let (mut shed, mut refused) = (0, 0);
    for n in 0..60 {
        let full = if n % 2 == 0 { Shed } else { Refuse };
        for _ in 0..8 {
            lane.push(&row(&text), full);
        }
        match lane.commit() {
            Commit::Kept => kept += 8,
            Commit::Shed => shed += 8,
            Commit::Refused => refused += 8,
        }
        bench.advance_ms(100);
        spool.maintain();
    }
    assert!(kept > 0 && shed > 0 && refused > 0, "{kept} {shed} {refused}");
    assert!(spool.stats().disk_bytes <= bench.config.disk_bytes_max);
    assert_eq!(spool.stats().shed_rows, shed);
    // A look at the records is still recorded: its table has room kept back.
    assert!(spool.shared(TABLE).unwrap().append(&row("look"), Refuse).is_ok());

    // The store takes everything.
    bench.advance_ms(2_000);
    lane.tick();
    spool.maintain();
    for f in spool.frames() {
        let s = spool.begin_shipment(vec![f]).unwrap();
        spool.acknowledge(s).unwrap();
    }
    spool.purge(Timestamp::MAX).unwrap();
    for _ in 0..3 {
        bench.advance_ms(2_000);
        spool.maintain();
    }
    for _ in 0..8 {
        lane.push(&row(&text), Refuse);
    }
    assert_eq!(lane.commit(), Commit::Kept, "service resumes by itself");
    bench.advance_ms(2_000);
    spool.maintain();
    assert_eq!(bench.gaps(&spool), [format!("access disk_full exact {shed}")]);
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let mut bench = Bench::new();
    bench.config.batch_bytes_max = 16 << 10;
    assert!(matches!(bench.try_open(), Err(Error::Limits(_))));
}

#[test]
fn completeness_never_steps_back_and_a_clock_that_does_is_told() {
    let bench = Bench::new();
    let spool = bench.open();
    spool.maintain();
    let before = spool.complete_through();
    bench.advance_ms(10_000);
    spool.maintain();
    let later = spool.complete_through();
    assert!(later > before, "an idle spool goes with the clock");
    let mut lane = spool.lane(TABLE, 0).unwrap();
    lane.push(&row(""), Shed);
    bench.advance_ms(1_000);
    let held = spool.complete_through();
    assert!(held <= later.saturating_add(Duration::from_millis(100)), "a row holds it");
    lane.commit();
    bench.advance_ms(5_000);
    assert_eq!(spool.complete_through(), held);
    // The clock steps back by a minute.
    let now = bench.clock.now();
    let spoolless = Duration::from_secs(60);
    bench.clock.set(now.saturating_sub(spoolless));
    assert_eq!(spool.complete_through(), held);
    spool.maintain();
    spool.maintain();
    bench.advance_ms(2_000);
    spool.maintain();
    assert_eq!(bench.gaps(&spool), ["gaps clock_step exact 0"]);
}

#[test]
fn a_commit_is_one_write_and_in_synced_one_fsync() {
    for (mut bench, steps) in [(Bench::new(), 1), (Bench::synced(), 2)] {
        let faults = std::sync::Arc::new(super::faults::Faults::default());
        bench.disk.faults = Some(std::sync::Arc::clone(&faults));
        let spool = bench.open();
        let mut lane = spool.lane(TABLE, 0).unwrap();
        for n in 0..5 {
            let before = faults.steps();
            for _ in 0..20 {
                lane.push(&row("as in one batch of datagrams"), Shed);
            }
            assert_eq!(lane.commit(), Commit::Kept);
            // The first takes its reserved seq, as the first after an idle minute does.
            assert!(n == 0 || faults.steps() - before == steps);
        }
    }
}

#[test]
fn writers_of_a_shared_lane_share_fsyncs() {
    let bench = Bench::synced();
    let spool = bench.open();
    let shared = spool.shared(TABLE).unwrap();
    std::thread::scope(|scope| {
        for t in 0..4 {
            let shared = &shared;
            scope.spawn(move || {
                for n in 0..25 {
                    let kept = shared.append(&row(&format!("{t}/{n}")), Refuse);
                    assert!(matches!(kept, Ok(Kept::Recorded(_))));
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (a, b) = (row("a"), row("b"));
        let (one, two) =
            tokio::join!(shared.append_async(&a, Refuse), shared.append_async(&b, Refuse));
        assert!(one.is_ok() && two.is_ok());
    });
    spool.close().unwrap();
    assert_eq!(rows_of(&spool, TABLE, "purpose").len(), 102);
}
