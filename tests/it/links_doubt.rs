//! A commit of PostgreSQL's that was sent and whose answer was lost, and the process gone before it
//! could be asked: what came true has its record at the next start.

use std::{sync::Arc, time::Duration};

use tracegate::{
    clock::{Clock, Timestamp},
    links::{
        Error, Freshness, LinkQuery, LinkStore, Links, NotConverted, PostgresLinks, SignRequest,
        restore,
    },
    metrics::Metrics,
    record::Table,
    spool::{Options, Spool},
    sql::postgres::Settings,
};

use crate::{
    links_crash::{by, config, draft, kept},
    postgres_lab::Postgres,
    postgres_relay::{Mode, Relay},
    site::{BEGIN, open_links, records},
};

fn open(settings: &Settings, clock: &Clock) -> PostgresLinks {
    let fresh = Freshness::new(clock.clone(), Duration::from_secs(5), true);
    let node = "it".parse().unwrap();
    PostgresLinks::open(settings.clone(), &node, Arc::new(fresh), clock.clone()).unwrap()
}

fn sign(links: &Links) {
    let ask = SignRequest {
        target: "https://www.example.com/signed".into(),
        expires: Timestamp::ZERO,
        domain: String::new(),
        owner: String::new(),
        reason: String::new(),
    };
    links.sign(&ask, &by()).unwrap();
}

#[test]
fn what_was_in_doubt_and_came_true_has_its_record_after_a_crash() {
    let server = Postgres::start();
    let direct = server.settings_of(&server.database());
    let relay = Relay::start(server.address());
    let relayed = Settings {
        url: direct.url.replace(&server.address().to_string(), &relay.address().to_string()),
        connect_timeout: Duration::from_millis(500),
        ..direct.clone()
    };
    let (dir, config) = (tempfile::tempdir().unwrap(), config());
    let (clock, metrics) = (Clock::fixed(BEGIN), Metrics::new());
    let store = open(&relayed, &Clock::system());
    let (spool, links) =
        open_links(dir.path(), &config, &clock, &metrics, &[], |_| Arc::new(store));
    links.create(draft("link-a"), &by()).unwrap();
    relay.turn(Mode::LosesCommits);
    let lost = links.create(draft("link-b"), &by());
    assert!(matches!(lost, Err(NotConverted::Control(Error::Away(_)))), "{lost:?}");
    // Others go on with the same stream of records, and then the process dies.
    sign(&links);
    drop((links, spool));
    clock.advance(Duration::from_secs(2));
    let options = Options {
        dir: dir.path().join("spool"),
        node: "it".parse().unwrap(),
        config: config.spool,
        clock,
    };
    let (spool, mut recovery) = Spool::open(options).unwrap();
    let store = open(&direct, &Clock::system());
    let restored = restore(&store, &mut recovery).unwrap();
    assert_eq!(restored.len(), 1, "the commit came true");
    recovery.finish().unwrap();
    store.forget(&restored).unwrap();
    let all = store.list(&LinkQuery { limit: 10, ..LinkQuery::default() }).unwrap();
    assert_eq!(all.len(), 2, "both links stand");
    spool.maintain();
    spool.close().unwrap();
    let mut rows = kept(records(&spool).of(Table::Conversions));
    rows.sort();
    assert_eq!(rows, [" 0", "link-a 1", "link-b 1"]);
}
