//! SIGKILL while partitions are dropped: whole ones past the floor go, nothing younger does, and
//! every drop is recorded.

use std::collections::BTreeMap;

use tracegate::clock::Clock;

use super::{Random, addresses, complete, node, pause, round_count, store};
use crate::harness::{Builder, eventually};

/// Partitions by table and id, with their rows.
type Partitions = BTreeMap<(String, String), u64>;

/// More than a month past the floor, in days, so that it shares no partition with what is not.
const PAST: u64 = 184 + 32;
/// How old the oldest row is, in days.
const TO: u64 = 1_000;

fn home(engine: &store::Engine) -> Builder {
    node().config(|c| {
        engine.serve(c);
        c.store.retention_interval_s = 1;
    })
}

/// Fills the tables with three rows a day, `from` to `to` days old, an hour away from the floor.
fn fill(engine: &store::Engine, round: u64, from: u64, to: u64) {
    let rows = (to - from) * 3;
    let ts = format!(
        "toDateTime64(now(), 6, 'UTC') - toIntervalDay({from} + intDiv(number, 3)) - toIntervalHour(1)"
    );
    for (table, columns, values) in [
        ("resolutions", "qname, registrable_domain", "'old.test', 'old.test'"),
        ("jumps", "code, target", "'old', 'https://old.test/'"),
    ] {
        engine.ask(&format!(
            "INSERT INTO tracegate.{table} (node, lane, seq, ts, {columns}) \
             SELECT 'elsewhere', {round} * 1000000 + {from}, number, {ts}, {values} FROM numbers({rows})"
        ));
        // A row past the floor that shares its month with one that is not.
        if from < 184 {
            let ts = "toDateTime64(toStartOfMonth(now() - toIntervalDay(183) - toIntervalHour(1)), \
                      6, 'UTC')";
            engine.ask(&format!(
                "INSERT INTO tracegate.{table} (node, lane, seq, ts, {columns}) \
                 SELECT 'elsewhere', {round} * 1000000 + {from}, 999999, {ts}, {values}"
            ));
        }
    }
}

/// The partitions whose newest row is past the floor, or those that are kept.
fn partitions(engine: &store::Engine, past: bool) -> Partitions {
    let sign = if past { "<" } else { ">=" };
    let of = |table: &str| {
        format!(
            "SELECT '{table}', _partition_id, count() FROM tracegate.{table} \
             WHERE node = 'elsewhere' GROUP BY _partition_id \
             HAVING max(ts) {sign} now() - toIntervalDay(184)"
        )
    };
    let text = engine.ask(&format!("{} UNION ALL {}", of("resolutions"), of("jumps")));
    let lines = text.lines().map(|l| l.split('\t').collect::<Vec<_>>());
    lines.map(|l| ((l[0].to_owned(), l[1].to_owned()), l[2].parse().unwrap())).collect()
}

/// How often each drop was recorded, and that every record gives the rows there were.
fn recorded(engine: &store::Engine, old: &Partitions) -> BTreeMap<(String, String), u64> {
    let text = engine.ask(
        "SELECT question, rows, count() FROM tracegate.access WHERE actor = 'retention' \
         GROUP BY question, rows",
    );
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let [question, rows, count] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let words: Vec<_> = question.split([' ', ':']).collect();
        let partition = (words[4].to_owned(), words[2].to_owned());
        // `frames` grows by our own doing, and is young.
        assert_eq!(old.get(&partition), Some(&rows.parse().unwrap()), "{line}");
        *found.entry(partition).or_default() += count.parse::<u64>().unwrap();
    }
    found
}

#[test]
fn killed_while_dropping_partitions() {
    let (count, mut random) = (round_count().div_ceil(2), Random::new("retention"));
    let mut engine = store::Engine::prepared();
    let mut server = home(&engine).start();
    complete(&addresses(&server), Clock::system().now());
    fill(&engine, 0, 0, 184);
    let young = partitions(&engine, false);
    assert!(young.values().sum::<u64>() >= 2 * 180 * 3, "{young:?}");
    let mut interrupted = 0;
    for round in 1..=count {
        let home = server.kill9();
        fill(&engine, round, PAST, TO);
        let old = partitions(&engine, true);
        assert!(old.len() > 40, "{}", old.len());
        let gone = |engine: &store::Engine| {
            let left = partitions(engine, true);
            old.keys().filter(|p| !left.contains_key(*p)).count()
        };
        let running = home.start();
        eventually("the first partition is dropped", || (gone(&engine) > 0).then_some(()));
        pause(random.below(300));
        let victim = random.below(3);
        if victim > 0 {
            engine.kill9();
        }
        let (running, home) = match victim {
            1 => (Some(running), None),
            _ => (None, Some(running.kill9())),
        };
        if victim > 0 {
            engine.start_again();
        }
        let left = partitions(&engine, true);
        interrupted += u64::from(!left.is_empty() && home.is_some());
        for (partition, rows) in left {
            assert_eq!(old.get(&partition), Some(&rows), "only a part of {partition:?} is left");
        }
        server = running.or_else(|| home.map(Builder::start)).expect("one of both");
        eventually("every old partition is dropped", || (gone(&engine) == old.len()).then_some(()));
        assert_eq!(partitions(&engine, false), young, "round {round}: what is young stays");
        complete(&addresses(&server), Clock::system().now());
        let recorded = recorded(&engine, &old);
        for partition in old.keys() {
            let times = recorded.get(partition).copied().unwrap_or(0);
            assert!(times >= round, "{partition:?} was dropped {round} times, recorded {times}");
        }
        // One that was recorded and not yet dropped when the kill came is recorded again.
        let again: u64 = recorded.values().map(|times| times - round).sum();
        assert!(again <= round, "{again} drops too many are recorded after {round} kills");
    }
    assert!(interrupted > 0 || count < 10, "no kill fell between two drops");
}

/// Rows of that age may still arrive from another node: nothing is dropped before they have.
#[test]
fn nothing_is_dropped_over_rows_on_their_way() {
    let engine = store::Engine::prepared();
    let server = home(&engine).start();
    complete(&addresses(&server), Clock::system().now());
    let home = server.kill9();
    let say = |seq: u32, oldest: &str| {
        engine.ask(&format!(
            "INSERT INTO tracegate.nodes (node, lane, seq, ts, oldest_unshipped, unshipped_rows) \
             SELECT 'elsewhere', 1, {seq}, now64(6, 'UTC') + {seq}, {oldest}, 1"
        ))
    };
    say(0, "now64(6, 'UTC') - toIntervalDay(300)");
    fill(&engine, 1, PAST, TO);
    let old = partitions(&engine, true);
    let server = home.start();
    let waits = "rows of that age are still on their way";
    eventually("retention waits", || {
        (server.home().log().matches(waits).count() > 2 * old.len()).then_some(())
    });
    assert_eq!(partitions(&engine, true), old);
    // They have arrived.
    say(1, "toDateTime64(0, 6, 'UTC')");
    eventually("retention drops", || partitions(&engine, true).is_empty().then_some(()));
    complete(&addresses(&server), Clock::system().now());
    assert!(recorded(&engine, &old).values().all(|times| *times == 1));
}
