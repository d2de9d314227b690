//! SIGKILL at chosen moments: start-up, migration, shipment.

use std::{fs, path::Path};

use tracegate::clock::Clock;

use super::{Random, addresses, complete, load::Load, node, pause, round_count, store, verify};
use crate::harness::eventually;

/// Anywhere in start-up; every fifth time the first one, which makes everything.
#[test]
fn killed_while_starting() {
    let (count, mut random) = (round_count(), Random::new("start"));
    let mut home = node();
    for round in 0..count {
        if round % 5 == 0 {
            home = node();
        }
        home = home.start_and_kill(|| pause(random.below(1_500)));
    }
    let server = home.start();
    let at = addresses(&server);
    let load = Load::start(&at, "start");
    pause(300);
    let got = load.stop();
    complete(&at, Clock::system().now());
    verify::check(&at, "start", &got);
}

/// The migrations of an empty database.
const MIGRATIONS: u64 = tracegate::store::migrate::MIGRATIONS.len() as u64;

/// The process or the engine, while the tables of an empty database are made.
#[test]
fn killed_while_migrating() {
    let (count, mut random) = (round_count().div_ceil(2), Random::new("migration"));
    let mut engine = store::Engine::prepared();
    let mut interrupted = 0;
    for round in 0..count {
        let database = format!("m{round}");
        let of = |what: &str| format!("SELECT count() FROM {what} FORMAT TSV");
        let tables = of(&format!("system.tables WHERE database = '{database}'"));
        let applied = of(&format!("{database}.migrations FINAL"));
        let mut home = node().config(|c| {
            engine.serve(c);
            c.store.database = database.clone();
        });
        let begun = |engine: &store::Engine| {
            eventually("the migration begins", || engine.number(&tables).filter(|n| *n > 0));
        };
        let server = if random.below(2) == 0 {
            for _ in 0..=random.below(3) {
                home = home.start_and_kill(|| {
                    begun(&engine);
                    pause(random.below(120));
                });
            }
            interrupted += u64::from(engine.number(&applied).unwrap_or(0) < MIGRATIONS);
            home.start()
        } else {
            let server = home.start();
            begun(&engine);
            pause(random.below(120));
            engine.kill9();
            engine.start_again();
            engine.ask("SELECT 1");
            interrupted += u64::from(engine.number(&applied).unwrap_or(0) < MIGRATIONS);
            server
        };
        let (at, tag) = (addresses(&server), format!("m{round}"));
        let load = Load::start(&at, &tag);
        pause(50);
        let got = load.stop();
        complete(&at, Clock::system().now());
        verify::check(&at, &tag, &got);
        // Each is recorded once, after its last statement.
        let numbers =
            format!("SELECT count(), uniqExact(number), max(number) FROM {database}.migrations");
        let each_once = format!("{MIGRATIONS}\t{MIGRATIONS}\t{MIGRATIONS}");
        assert_eq!(engine.ask(&numbers), each_once, "round {round}");
    }
    assert!(interrupted > 0 || count < 10, "no kill fell into a migration");
}

/// The process, the engine or both, as soon as a shipment is under way.
#[test]
fn killed_while_shipping() {
    let (count, mut random) = (round_count(), Random::new("shipment"));
    let mut server = node().start();
    let mut interrupted = 0;
    for round in 0..count {
        let tag = format!("s{round}");
        let load = Load::start(&addresses(&server), &tag);
        pause(random.below(200));
        let shipments = server.data().join("spool/shipments");
        eventually("a shipment is under way", || under_way(&shipments).then_some(()));
        pause(random.below(5));
        let victim = random.below(3);
        if victim > 0 {
            server.kill_engine();
        }
        if victim < 2 {
            let home = server.kill9();
            interrupted += u64::from(under_way(&shipments));
            server = home.start();
        }
        let got = load.stop();
        let at = addresses(&server);
        complete(&at, Clock::system().now());
        verify::check(&at, &tag, &got);
    }
    assert!(interrupted > 0 || count < 10, "no kill fell into a shipment");
}

fn under_way(shipments: &Path) -> bool {
    let all = fs::read_dir(shipments).into_iter().flatten().flatten();
    all.map(|f| f.path()).any(|p| p.extension().is_some_and(|e| e == "pending"))
}
