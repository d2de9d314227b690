//! Rules behind real sockets: silence, a full spool, and swaps while everybody asks.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use hickory_proto::{op::ResponseCode, rr::RData};
use tracegate::{
    config::FullPolicy,
    policy::{Action, FeedInForce, FeedSettings, Index, LocalRecord, PolicySet, Rule},
};

use crate::{
    dns_front::{Front, Left, ask, client, parsed, query, small_spool, waiting},
    harness::{DEADLINE, eventually},
    policy_lab::{feed, local, set},
};

const A: u16 = 1;

#[test]
fn dropped_queries_are_on_record_and_nothing_is_sent() {
    let front = Front::start(|_| ());
    let rules =
        feed("f").rule("www.front.test", Action::Drop).rule("alias.front.test", Action::TcpOnly);
    front.in_force.swap(set(&[&rules]));
    let from = client("127.0.0.1");
    from.send_to(&query(1, "www.front.test", A, None), front.address).unwrap();
    // What is asked after it is answered, and so would it be.
    let cut = parsed(&ask(&from, front.address, &query(2, "alias.front.test", A, None)));
    assert!(cut.truncation && cut.answers.is_empty());
    let mut stream = TcpStream::connect(front.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    for (id, name) in [(3, "www.front.test"), (4, "alias.front.test")] {
        let message = query(id, name, A, None);
        stream.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&message).unwrap();
    }
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut body).unwrap();
    let whole = parsed(&body);
    assert_eq!((whole.id, whole.answers.len(), whole.truncation), (4, 2, false));
    eventually("all is on record", || {
        let n = front.count("tracegate_policy_decisions_total");
        (n == 4).then_some(())
    });
    assert!(waiting(&from).is_empty(), "nothing was sent for what is dropped");
    front.counted("tracegate_dns_responses_total", 2);
    let Left { resolutions, .. } = front.stop();
    let mut kept: Vec<_> = resolutions
        .iter()
        .map(|r| (r.transport.as_str(), r.action.as_str(), r.rule.as_str(), r.flags >> 15 & 1))
        .collect();
    kept.sort_unstable();
    assert_eq!(
        kept,
        [
            ("tcp", "drop", "www.front.test", 0),
            ("tcp", "tcp-only", "alias.front.test", 1),
            ("udp", "drop", "www.front.test", 0),
            ("udp", "tcp-only", "alias.front.test", 1),
        ]
    );
}

/// Queries that fill the smallest spool.
const FILLING: u64 = 8_000;

#[test]
fn a_full_spool_serves_what_no_rule_decides_and_nothing_else() {
    let front = Front::start(|s| {
        small_spool(s, FullPolicy::Shed);
        s.dns.udp_threads = 1;
    });
    front.in_force.swap(set(&[&feed("f").rule("www.front.test", Action::Nxdomain)]));
    let from = client("127.0.0.1");
    let mut id = 0;
    let mut sent = |name: &str| {
        id += 1;
        from.send_to(&query(id, name, A, None), front.address).unwrap();
        id
    };
    let mut answered = 0;
    // More than the spool takes, as the test of shedding has it.
    let long = ["x".repeat(60).as_str(); 3].join(".") + ".front.test";
    while answered < FILLING {
        sent(&long);
        from.recv(&mut [0; 512]).unwrap();
        answered += 1;
    }
    // What is decided stays without an answer, what is not is served and counted.
    sent("www.front.test");
    let last = sent("ns.front.test");
    let mut buf = [0; 512];
    let len = from.recv(&mut buf).unwrap();
    let got = parsed(&buf[..len]);
    assert_eq!((got.id, got.response_code), (last, ResponseCode::NoError));
    front.counted("tracegate_dns_unrecorded_total", 1);
    let Left { resolutions, shed } = front.stop();
    assert!(shed > 0, "the spool never was full");
    assert_eq!(resolutions.len() as u64 + shed, answered + 1);
}

/// Names in the feeds that are swapped.
const NAMES: u16 = 64;
/// Swaps while everybody asks.
const SWAPS: u64 = 200;

/// Version `n` of a feed: every name has two addresses, both `10.0.x.y` of the version.
fn generation(n: u64) -> Arc<PolicySet> {
    let [.., high, low] = n.to_be_bytes();
    let records = [[10, 0, high, low], [10, 1, high, low]].map(|rdata| LocalRecord {
        rtype: A,
        ttl: 60,
        rdata: rdata.into(),
    });
    let mut index = Index::builder();
    for i in 0..NAMES {
        // One version by each name, the next by all of them.
        let trigger =
            if n.is_multiple_of(2) { format!("n{i}.front.test") } else { "*.front.test".into() };
        let action = Action::LocalData(records.clone().into());
        let rule = Rule { trigger: trigger.parse().unwrap(), action, legal: Arc::default() };
        index.add(&rule);
    }
    let feed = FeedInForce {
        name: "f".into(),
        version: n,
        index: Arc::new(index.finish()),
        settings: FeedSettings::default(),
        closed: false,
    };
    Arc::new(PolicySet::new(n, vec![Arc::new(feed)], tracegate::policy::Extras::default()))
}

#[test]
fn swaps_under_load_leave_no_query_unanswered_and_no_answer_mixed() {
    let front = Front::start(|s| s.dns.rate_limit.responses_per_second = 0);
    front.in_force.swap(generation(1));
    let (over, newest) = (AtomicBool::new(false), AtomicU64::new(1));
    let asked = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|c| {
                let (over, newest, to) = (&over, &newest, front.address);
                scope.spawn(move || {
                    let from = client("127.0.0.1");
                    let mut asked = 0_u64;
                    while !over.load(Ordering::SeqCst) {
                        // Whatever was in force before the query was sent is the oldest allowed.
                        let oldest = newest.load(Ordering::SeqCst);
                        asked += 1;
                        let name = format!("n{}.front.test", (asked * 7 + c) % u64::from(NAMES));
                        let version = version(&from, to, asked as u16, &name);
                        assert!(
                            version >= oldest,
                            "{version} was served after {oldest} came in force"
                        );
                    }
                    asked
                })
            })
            .collect();
        for n in 2..=SWAPS {
            front.in_force.swap(generation(n));
            newest.store(n, Ordering::SeqCst);
            thread::park_timeout(Duration::from_millis(2));
        }
        over.store(true, Ordering::SeqCst);
        clients.into_iter().map(|c| c.join().unwrap()).sum::<u64>()
    });
    let Left { resolutions, shed } = front.stop();
    assert_eq!((resolutions.len() as u64, shed), (asked, 0));
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    for r in &resolutions {
        // The record is of one set, too: rule, version and answers.
        let n: u64 = r.feed_version.parse().unwrap();
        let [.., high, low] = n.to_be_bytes();
        let [a, b] =
            [[10, 0, high, low], [10, 1, high, low]].map(|o| IpAddr::from(Ipv4Addr::from(o)));
        assert_eq!(r.answers, [a, b], "{r:?}");
        assert_eq!(r.rule.starts_with('*'), n % 2 == 1, "{r:?}");
        *versions.entry(n).or_default() += 1;
    }
    assert!(versions.len() > 10, "swaps fell between queries: {versions:?}");
}

/// The version that answers; both addresses are of one.
fn version(from: &UdpSocket, to: std::net::SocketAddr, id: u16, name: &str) -> u64 {
    let got = parsed(&ask(from, to, &query(id, name, A, None)));
    let of = |data: &RData| match data {
        RData::A(a) => {
            let [_, _, high, low] = a.octets();
            u64::from(u16::from_be_bytes([high, low]))
        }
        other => panic!("{other}"),
    };
    let versions: Vec<u64> = got.answers.iter().map(|r| of(&r.data)).collect();
    let [one, other] = versions[..] else { panic!("{got:?}") };
    assert_eq!(one, other, "a mixture");
    one
}

#[test]
fn the_tcp_listener_obeys_the_same_rules() {
    let front = Front::start(|_| ());
    let rules = feed("f").rule("www.front.test", local(&[(A, &[198, 51, 100, 1])]));
    let mut stream = TcpStream::connect(front.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut get = |id| {
        let message = query(id, "www.front.test", A, None);
        stream.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&message).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut body).unwrap();
        parsed(&body).answers[0].data.to_string()
    };
    assert_eq!(get(1), "192.0.2.80");
    front.in_force.swap(set(&[&rules]));
    assert_eq!(get(2), "198.51.100.1");
    front.in_force.swap(set(&[]));
    assert_eq!(get(3), "192.0.2.80");
    front.stop();
}
