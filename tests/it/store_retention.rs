//! Retention drops what it may, and nothing else.

use std::{sync::Arc, time::Duration};

use tracegate::{
    clock::{Clock, Timestamp},
    record::Table,
    store::{Holds, NoHolds, Partition, Retention},
};

use crate::store_lab::Lab;

const DAY: Duration = Duration::from_secs(86_400);

struct HoldAll;

impl Holds for HoldAll {
    fn holding(&self, partition: &Partition) -> Option<String> {
        (partition.table == Table::Resolutions).then(|| "case 7".into())
    }
}

fn retention(lab: &Lab, holds: Arc<dyn Holds>) -> Retention {
    let (node, metrics) = (lab.node.clone(), Arc::clone(&lab.metrics));
    Retention::new(lab.store.clone(), lab.spool.clone(), node, holds, lab.clock.clone(), metrics)
}

#[tokio::test]
async fn only_whole_partitions_of_age_are_dropped_and_each_is_recorded() {
    let clock = Clock::fixed(Timestamp::from_secs(1_780_000_000));
    let mut lab = Lab::with(clock.clone(), |_| {}).await;
    lab.push(1, "old.example");
    clock.advance(DAY * 20);
    lab.push(1, "younger.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    clock.advance(DAY * 163);
    assert_eq!(retention(&lab, Arc::new(NoHolds)).once().await, []);
    clock.advance(DAY * 2);
    assert_eq!(retention(&lab, Arc::new(HoldAll)).once().await, []);
    let dropped = retention(&lab, Arc::new(NoHolds)).once().await;
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert_eq!((dropped[0].table, dropped[0].rows), (Table::Resolutions, 100));
    assert!(dropped[0].to < clock.now().saturating_sub(DAY * 184));
    assert_eq!(lab.count("count() FROM resolutions").await, 100);
    assert_eq!(lab.count("countIf(qname = 'younger.example') FROM resolutions").await, 100);
    // Nobody counts names again.
    assert_eq!(lab.count("sum(count) FROM passive_dns").await, 200);
    lab.ship_until("the access row is shipped", |lab| {
        !lab.spool.frames().iter().any(|f| f.table == Table::Access)
            && lab.spool.in_grace().iter().any(|f| f.table == Table::Access)
    })
    .await;
    let recorded =
        "sum(rows) FROM access WHERE actor = 'retention' AND question LIKE '%resolutions%'";
    assert_eq!(lab.count(recorded).await, 100);
    lab.engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn nothing_is_dropped_while_rows_of_that_age_are_on_their_way() {
    let clock = Clock::fixed(Timestamp::from_secs(1_780_000_000));
    let mut lab = Lab::with(clock.clone(), |_| {}).await;
    lab.push(1, "old.example");
    lab.ship_until("shipped", Lab::all_shipped).await;
    lab.push(1, "late.example");
    clock.advance(DAY * 200);
    let retention = retention(&lab, Arc::new(NoHolds));
    assert_eq!(retention.once().await, []);
    lab.ship_until("shipped", Lab::all_shipped).await;
    let dropped = retention.once().await;
    let rows: u64 = dropped.iter().filter(|p| p.table == Table::Resolutions).map(|p| p.rows).sum();
    assert_eq!(rows, 200);
    lab.engine.supervisor.shutdown().await;
}

/// One table cannot even be looked at: the others go on, up to the rows about frames and nodes.
#[tokio::test]
async fn a_table_that_fails_keeps_no_other_one() {
    let clock = Clock::fixed(Timestamp::from_secs(1_780_000_000));
    let mut lab = Lab::with(clock.clone(), |_| {}).await;
    lab.push(1, "old.example");
    lab.ship_until("shipped and described", |lab| {
        let kept = lab.spool.in_grace();
        let there = |table| kept.iter().any(|f| f.table == table);
        lab.all_shipped() && there(Table::Frames) && there(Table::Nodes)
    })
    .await;
    clock.advance(DAY * 230);
    lab.store.execute("RENAME TABLE resolutions TO elsewhere").await.unwrap();
    let dropped = retention(&lab, Arc::new(NoHolds)).once().await;
    for table in [Table::Frames, Table::Nodes] {
        assert!(dropped.iter().any(|p| p.table == table), "{table}: {dropped:?}");
        assert_eq!(lab.count(&format!("count() FROM {table}")).await, 0);
    }
    lab.store.execute("RENAME TABLE elsewhere TO resolutions").await.unwrap();
    let dropped = retention(&lab, Arc::new(NoHolds)).once().await;
    assert!(dropped.iter().any(|p| p.table == Table::Resolutions), "{dropped:?}");
    lab.engine.supervisor.shutdown().await;
}
