//! Zones from real primaries, as the transfer client takes them.

mod fake;
mod force;
pub(crate) mod peers;
mod share;

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use peers::{KEY, Primary as Server, SECRET, ZONE, many_rules, zone_text};
use rustls::pki_types::ServerName;
use tokio::runtime::Runtime;
use tracegate::{
    clock::Clock,
    feeds::transfer::{
        Bounds, Caps, Client, Error, Keys, Outcome, Primary, Refusal, Serial, Tls, Zone,
    },
    name::Name,
};

use crate::{dns_client::free_port, harness::eventually};

fn bounds() -> Bounds {
    Bounds {
        query_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(10),
        transfer_timeout: Duration::from_secs(60),
        caps: Caps { messages_max: 10_000, records_max: 1_000_000, bytes_max: 1 << 28 },
    }
}

fn keys(secret: &str) -> Keys {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, format!("hmac-sha256:{KEY}:{secret}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Keys::load(&[file]).unwrap()
}

fn primary(address: SocketAddr) -> Primary {
    Primary {
        addresses: vec![address],
        tls: None,
        zone: Name::from_text(ZONE).unwrap(),
        key: keys(SECRET).find(KEY),
        whole: false,
    }
}

fn client() -> Client {
    Client::new(Clock::system(), bounds(), None)
}

fn fetch(primary: &Primary, held: Option<&Arc<Zone>>) -> Result<Outcome, Error> {
    Runtime::new().unwrap().block_on(client().fetch(primary, held))
}

fn lines(zone: &Zone) -> Vec<String> {
    zone.lines().map(|l| String::from_utf8(l.to_vec()).unwrap()).collect()
}

fn zone(outcome: Result<Outcome, Error>) -> (Arc<Zone>, bool) {
    match outcome.unwrap() {
        Outcome::Zone { zone, incremental } => (Arc::new(zone), incremental),
        Outcome::UpToDate(soa) => panic!("up to date at {}", soa.serial),
    }
}

/// Every way that a zone comes from one server. `differences`: whether it can send them.
fn comes_from<S: Server>(start: impl FnOnce(&str, u16) -> S, differences: bool) {
    let ours = share::Ours::new();
    let server = start(&text(), ours.address.port());
    let told = ours.told_of(server.address());
    let primary = primary(server.address());
    let (held, incremental) = zone(fetch(&primary, None));
    assert_eq!((held.soa().serial, held.len(), incremental), (Serial(1), 50_002, false));
    let Outcome::UpToDate(soa) = fetch(&primary, Some(&held)).unwrap() else { panic!() };
    assert_eq!((soa.serial, soa.refresh), (Serial(1), 3_600));

    // One rule goes, of each kind one comes.
    let added = "*.evil.example CNAME *.\n24.0.2.0.192.rpz-ip CNAME rpz-drop.\n\
                 ns.evil.example.rpz-nsdname CNAME .\n24.0.113.0.203.rpz-nsip CNAME .\n\
                 32.1.2.0.192.rpz-client-ip CNAME rpz-passthru.\nlocal.example A 192.0.2.7\n\
                 local.example TXT \"order 7\"\n";
    server.publish(&zone_text(2, &(many_rules(49_999) + added)));
    // It tells us, and what it has then is the new zone.
    eventually("we are told of serial 2", || told.try_recv().ok());
    let fetched = eventually("serial 2 is there", || match fetch(&primary, Some(&held)).unwrap() {
        Outcome::Zone { zone, incremental } => Some((zone, incremental)),
        Outcome::UpToDate(_) => None,
    });
    assert_eq!((fetched.0.soa().serial, fetched.0.len()), (Serial(2), 50_008));
    assert_eq!(fetched.1, differences, "{}", server.log());
    let now = lines(&fetched.0);
    for line in [
        "*.evil.example 300 IN CNAME *.",
        "24.0.2.0.192.rpz-ip 300 IN CNAME rpz-drop.",
        "local.example 300 IN TXT \"order 7\"",
        "bad49998.example 300 IN CNAME .",
    ] {
        assert!(now.iter().any(|l| l == line), "{line}");
    }
    assert!(!now.iter().any(|l| l.starts_with("bad49999.")));
    // The same as a whole.
    let whole = Primary { whole: true, ..primary.clone() };
    assert_eq!(zone(fetch(&whole, Some(&held))), (Arc::new(fetched.0), false));

    // And what is signed with another secret is refused.
    let other = keys("YW5vdGhlciBzZWNyZXQgb2YgYSB0ZXN0LCAzMiBieXRlcyE=");
    let wrong = Primary { key: other.find(KEY), ..primary.clone() };
    let error = fetch(&wrong, Some(&held)).unwrap_err();
    assert!(matches!(error, Error::Query(_) | Error::Refused(Refusal::Rcode(9))), "{error}");
    let unsigned = Primary { key: None, ..primary };
    let error = fetch(&unsigned, Some(&held)).unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Rcode(5 | 9))), "{error}");
}

fn text() -> String {
    zone_text(1, &many_rules(50_000))
}

#[test]
fn a_zone_comes_from_bind() {
    comes_from(peers::bind, true);
}

#[test]
fn a_zone_comes_from_knot() {
    comes_from(peers::knot, true);
}

#[test]
fn a_zone_comes_from_nsd() {
    comes_from(peers::nsd, true);
}

#[test]
fn a_zone_comes_from_powerdns() {
    // It answers IXFR with the whole zone.
    comes_from(peers::pdns, false);
}

#[test]
fn a_zone_comes_over_tls() {
    let server = peers::bind(&text(), free_port());
    let dir = tempfile::tempdir().unwrap();
    let (_, other) = peers::certificate(dir.path());
    let trusted = server.certificate();
    let over = |ca: &std::path::Path, name: &'static str| {
        let tls = Tls::new(Some(ca)).unwrap();
        let client = Client::new(Clock::system(), bounds(), Some(tls));
        let primary = Primary {
            tls: Some(ServerName::try_from(name).unwrap()),
            ..primary(server.tls.unwrap())
        };
        Runtime::new().unwrap().block_on(client.fetch(&primary, None))
    };
    let (zone, _) = zone(over(&trusted, "localhost"));
    assert_eq!(zone.len(), 50_002);
    // Another authority, another name: no transfer.
    assert!(matches!(over(&other, "localhost"), Err(Error::Connect(_))));
    assert!(matches!(over(&trusted, "elsewhere.test"), Err(Error::Connect(_))));
}
