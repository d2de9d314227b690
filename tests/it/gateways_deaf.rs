//! Gateways whose database says nothing: the channel alone is silent, or the whole server hangs.

use crate::{
    gateways::{create, node, set, visit},
    harness::eventually,
    postgres_lab::Postgres,
    postgres_relay::{Mode, Relay},
    server::call,
};

/// Nothing is heard, and no connection ends: what another gateway stopped is found out by time,
/// long before the channel is given up, or after; then it hears again.
#[test]
fn a_gateway_that_hears_nothing_obeys_all_the_same() {
    let postgres = Postgres::start();
    let database = postgres.database();
    let other = node(&postgres, &database, "other").start();
    for (name, given_up_ms) in [("patient-one", 60_000), ("hasty-one", 300)] {
        let relay = Relay::start(postgres.address());
        let deaf = node(&postgres, &database, name).config(|c| {
            let (from, to) = (postgres.address().to_string(), relay.address().to_string());
            c.control.url = c.control.url.replace(&from, &to);
            c.control.connect_timeout_ms = given_up_ms;
        });
        let deaf = deaf.start();
        assert_eq!(create(&other, name).status, 201);
        eventually("it is followed", || (visit(&deaf, name) == 302).then_some(()));
        relay.turn(Mode::Deaf);
        let stopped = set(&other, name, "disabled");
        assert_eq!(stopped.status, 200, "{}", stopped.body);
        eventually("it is stopped", || (visit(&deaf, name) == 410).then_some(()));
        let ready = || call(&deaf, "", "GET", "/readyz", "").json()["checks"]["control"].clone();
        eventually("it says so", || ready().as_str().unwrap().contains("not heard").then_some(()));
        relay.turn(Mode::Carries);
        if name == "hasty-one" {
            eventually("it hears again", || (ready() == "ok").then_some(()));
        }
    }
}

/// The server takes what is sent and answers nothing: links in memory go on, nothing is made.
#[test]
fn a_database_that_hangs_stops_no_link_in_memory() {
    let postgres = Postgres::start();
    let database = postgres.database();
    let gateway = node(&postgres, &database, "a")
        .config(|c| {
            c.control.statement_timeout_ms = 500;
            c.control.connect_timeout_ms = 500;
        })
        .start();
    assert_eq!(create(&gateway, "known").status, 201);
    assert_eq!(create(&gateway, "unseen").status, 201);
    assert_eq!(visit(&gateway, "known"), 302);
    postgres.hang(true);
    let ready = || call(&gateway, "", "GET", "/readyz", "").json();
    eventually("it is noticed", || {
        assert_eq!(visit(&gateway, "known"), 302, "from memory");
        ready()["checks"]["control"].as_str().unwrap().contains("not heard").then_some(())
    });
    assert_eq!(visit(&gateway, "unseen"), 503, "nobody can say");
    let refused = create(&gateway, "another-one");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("control_away")));
    postgres.hang(false);
    eventually("it goes on", || (visit(&gateway, "unseen") == 302).then_some(()));
    eventually("it takes links", || (create(&gateway, "another-one").status == 201).then_some(()));
}
