//! Whatever dies under load: what clients received is in the records, once.
//!
//! Each round runs load against the real binary and its engine, kills something at a random
//! moment, starts again and compares; `moments` and `retention` aim at start-up, migration,
//! shipment and the drop of partitions. `TRACEGATE_ROUNDS` sets the rounds (`make campaign`),
//! `TRACEGATE_SEED` repeats a run; every failure names its seed.

mod drain;
mod full;
mod jumps;
mod load;
mod moments;
mod pressure;
mod retention;
mod store;
mod verify;

use std::{env, thread, time::Duration};

use load::{Addresses, Load};
use tracegate::clock::{Clock, Timestamp};

use crate::harness::{Builder, Server, eventually};

const ZONE: &str = "$TTL 60\n$ORIGIN load.test.\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\n\
                    ns A 192.0.2.53\n* A 192.0.2.1\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Process,
    Engine,
    Both,
}

#[test]
fn killed_process_loses_and_doubles_nothing() {
    rounds(Victim::Process);
}

#[test]
fn killed_engine_loses_and_doubles_nothing() {
    rounds(Victim::Engine);
}

#[test]
fn killed_process_and_engine_lose_and_double_nothing() {
    rounds(Victim::Both);
}

fn rounds(victim: Victim) {
    let (count, mut random) = (round_count(), Random::new(&format!("{victim:?}")));
    let mut server = node().start();
    for round in 0..count {
        let tag = format!("r{round}");
        let load = Load::start(&addresses(&server), &tag);
        pause(50 + random.below(400));
        server = match victim {
            Victim::Engine => {
                server.kill_engine();
                pause(random.below(100));
                server
            }
            Victim::Process => restart(server.kill9()),
            Victim::Both => {
                server.kill_engine();
                restart(server.kill9())
            }
        };
        let got = load.stop();
        assert!(!got.names.is_empty(), "round {round}: nobody was answered");
        let at = addresses(&server);
        complete(&at, Clock::system().now());
        verify::check(&at, &tag, &got);
    }
}

fn restart(home: Builder) -> Server {
    home.start()
}

fn node() -> Builder {
    Server::builder().zone("load.test", ZONE).config(|c| {
        c.gateway.targets.special_hosts = vec!["load.test".into()];
        c.spool.frame_age_ms_max = 200;
        c.store.shipment_age_ms_max = 100;
        // Killed again and again, nothing need pause for long.
        c.store.backoff_ms_max = 500;
        c.store.engine.restart_pause_ms_max = 200;
        c.log.filter = "info".into();
    })
}

fn addresses(server: &Server) -> Addresses {
    Addresses {
        dns: server.dns(),
        gateway: server.gateway(),
        api: server.api(),
        token: server.token(),
    }
}

/// Waits until the node says that everything before `ts` is in the store.
fn complete(at: &Addresses, ts: Timestamp) {
    eventually("the node is complete", || {
        // Each look is a question, and a record.
        thread::sleep(Duration::from_millis(100));
        let request = format!(
            "GET /api/v1/trace?q=none.load.test&kind=domain HTTP/1.1\r\nHost: {}\r\n\
             Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
            at.api, at.token
        );
        let (status, body) = load::exchange(at.api, &request)?;
        let page: serde_json::Value = serde_json::from_str(&body).ok()?;
        let through = page["complete_through"]["it"].as_str()?;
        // RFC 3339 in UTC with a fixed number of digits sorts as text.
        (status == 200 && through >= ts.to_string().as_str()).then_some(())
    });
}

/// Lets the load run; how long decides only where the kill falls.
fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

fn round_count() -> u64 {
    env::var("TRACEGATE_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(20)
}

/// A small generator (splitmix64): a campaign must be repeatable from its printed seed.
struct Random(u64);

impl Random {
    fn new(name: &str) -> Self {
        let seed = env::var("TRACEGATE_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| Clock::system().now().0.unsigned_abs());
        eprintln!("{name}: TRACEGATE_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
