//! DNS over UDP: what clients see, and that it is on record.

use std::{collections::BTreeSet, net::UdpSocket, sync::Arc, time::Duration};

use hickory_proto::op::{MessageType, ResponseCode};
use tracegate::config::FullPolicy;

use crate::{
    dns_corpus::{mutant, samples},
    dns_front::{
        Front, Left, Opt, Upstream, ask, client, ede, options, parsed, query, small_spool, sum,
        waiting,
    },
    harness::{DEADLINE, eventually},
};

const A: u16 = 1;
const TXT: u16 = 16;
const EDNS: Option<Opt> = Some(Opt { payload: 1232, nsid: false });

#[test]
fn what_is_answered_is_on_record() {
    let front = Front::start(|s| {
        s.dns.listen = vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()];
    });
    let mut asked = BTreeSet::new();
    for i in 0..40u16 {
        let from = client("127.0.0.1");
        let to = front.addresses[usize::from(i) % 2];
        let (name, rcode) = if i % 4 == 0 {
            ("No.Front.test", ResponseCode::NXDomain)
        } else {
            ("www.FRONT.test", ResponseCode::NoError)
        };
        let opt = if i % 3 == 0 { EDNS } else { None };
        let response = parsed(&ask(&from, to, &query(i, name, A, opt)));
        assert_eq!(response.metadata.message_type, MessageType::Response);
        assert_eq!(response.metadata.response_code, rcode);
        assert_eq!(response.queries[0].name().to_string(), format!("{name}."), "the case is kept");
        let qname = name.to_ascii_lowercase();
        asked.insert((from.local_addr().unwrap(), to, qname, u16::from(rcode), opt.is_some()));
    }
    front.counted("tracegate_dns_queries_total", 40);
    front.counted("tracegate_dns_responses_total", 40);
    let Left { resolutions, shed } = front.stop();
    assert_eq!((resolutions.len(), shed), (40, 0));
    for r in &resolutions {
        assert_eq!((r.transport.as_str(), r.cache.as_str(), r.qtype), ("udp", "local", A));
        assert_eq!(r.flags & 0x8000, 0x8000, "flags as sent");
    }
    let kept: BTreeSet<_> = resolutions
        .into_iter()
        .map(|r| (r.client, r.server, r.qname, r.rcode, r.flags & 1 << 16 != 0))
        .collect();
    assert_eq!(kept, asked);
}

#[test]
fn sizes_follow_edns_up_to_our_limit() {
    let dir = tempfile::tempdir().unwrap();
    let strings = |n| format!(" \"{}\"", "s".repeat(100)).repeat(n);
    let mid = format!("mid IN TXT {}\n", strings(7));
    let long: String = (0..3).map(|i| format!("long IN TXT {i} {}\n", strings(8))).collect();
    let zone = crate::dns_front::ZONE.to_owned() + &mid + &long;
    std::fs::write(dir.path().join("front.zone"), zone).unwrap();
    let front = Front::start(|s| s.dns.zone_root = dir.path().into());
    let from = client("127.0.0.1");
    let size = |name: &str, opt| {
        let wire = ask(&from, front.address, &query(7, name, TXT, opt));
        (wire.len(), parsed(&wire).metadata.truncation)
    };
    let opt = |payload| Some(Opt { payload, nsid: false });
    for (name, opt, limit, cut) in [
        ("mid.front.test", None, 512, true),
        ("mid.front.test", opt(0), 512, true),
        ("mid.front.test", opt(512), 512, true),
        ("mid.front.test", opt(1232), 1232, false),
        ("long.front.test", opt(1232), 1232, true),
        ("long.front.test", opt(65_535), 1232, true),
        ("www.front.test", None, 512, false),
    ] {
        let (len, truncated) = size(name, opt);
        assert_eq!(truncated, cut, "{name} {limit}");
        assert!(len <= limit, "{name}: {len} over {limit}");
    }
    assert_eq!(front.stop().resolutions.len(), 7);
}

#[test]
fn who_may_not_ask_is_refused_and_says_why() {
    let front = Front::start(|s| s.dns.allow = vec!["127.0.0.1/32".parse().unwrap()]);
    let foreign = client("127.0.0.2");
    let refused = parsed(&ask(&foreign, front.address, &query(1, "www.front.test", A, EDNS)));
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
    assert!(refused.answers.is_empty());
    assert_eq!(ede(refused.edns.as_ref()), [18]);
    let plain = parsed(&ask(&foreign, front.address, &query(2, "www.front.test", A, None)));
    assert_eq!(plain.metadata.response_code, ResponseCode::Refused);
    assert!(plain.edns.is_none());

    let own =
        parsed(&ask(&client("127.0.0.1"), front.address, &query(3, "www.front.test", A, None)));
    assert_eq!(own.metadata.response_code, ResponseCode::NoError);
    front.counted("tracegate_dns_refused_total", 2);
    assert_eq!(front.stop().resolutions.len(), 1, "refusals are counted, not recorded");
}

#[test]
fn over_the_rate_limit_responses_slip_or_stay() {
    const SENT: u16 = 200;
    let front = Front::start(|s| {
        s.dns.udp_threads = 1;
        s.dns.rate_limit.exempt = Vec::new();
        s.dns.rate_limit.responses_per_second = 10;
        s.dns.rate_limit.slip = 2;
    });
    let from = client("127.0.0.1");
    for i in 0..SENT {
        from.send_to(&query(i, "www.front.test", A, EDNS), front.address).unwrap();
        if i % 50 == 49 {
            front.counted("tracegate_dns_queries_total", u64::from(i) + 1);
        }
    }
    let (mut whole, mut slipped) = (0, 0);
    for wire in waiting(&from) {
        let response = parsed(&wire);
        assert_eq!(response.metadata.response_code, ResponseCode::NoError);
        if response.metadata.truncation {
            assert!(response.answers.is_empty() && response.edns.is_some());
            assert!(wire.len() <= query(0, "www.front.test", A, EDNS).len(), "no amplification");
            slipped += 1;
        } else {
            whole += 1;
        }
    }
    assert!(whole >= 10 && slipped > 0, "{whole} whole, {slipped} slipped");
    assert_eq!(front.count("tracegate_dns_slipped_total"), slipped);
    assert_eq!(front.count("tracegate_dns_rate_limited_total") + slipped + whole, u64::from(SENT));
    let over = u64::from(SENT) - whole;
    assert!(
        slipped == over / 2 || slipped == over.div_ceil(2),
        "every second of {over}: {slipped}"
    );
    assert_eq!(front.stop().resolutions.len() as u64, whole, "only what was answered is recorded");
}

#[test]
fn refusals_are_under_the_rate_limit_too() {
    let front = Front::start(|s| {
        s.dns.udp_threads = 1;
        s.dns.allow = Vec::new();
        s.dns.rate_limit.exempt = Vec::new();
        s.dns.rate_limit.responses_per_second = 1;
        s.dns.rate_limit.slip = 0;
    });
    let from = client("127.0.0.1");
    for i in 0..100 {
        from.send_to(&query(i, "www.front.test", A, EDNS), front.address).unwrap();
    }
    front.counted("tracegate_dns_queries_total", 100);
    let answers = waiting(&from).len() as u64;
    assert!(answers < 50, "{answers} answers");
    assert_eq!(answers + front.count("tracegate_dns_rate_limited_total"), 100);
}

#[test]
fn the_name_server_identifier_is_told_when_asked_for() {
    for (configured, expected) in [("", Some("it")), ("edge-7", Some("edge-7")), ("off", None)] {
        let front = Front::start(|s| s.dns.nsid = configured.into());
        let from = client("127.0.0.1");
        let nsid = |nsid| {
            let opt = Some(Opt { payload: 1232, nsid });
            let wire = ask(&from, front.address, &query(1, "www.front.test", A, opt));
            options(parsed(&wire).edns.as_ref(), 3)
        };
        assert_eq!(nsid(false), Vec::<Vec<u8>>::new());
        assert_eq!(
            nsid(true),
            expected.map(|e| e.as_bytes().to_vec()).into_iter().collect::<Vec<_>>()
        );
    }
}

/// Sends what a client would not, and then asks as one does.
fn still_answers(front: &Front, from: &UdpSocket, datagrams: impl Iterator<Item = Vec<u8>>) {
    for datagram in datagrams {
        from.send_to(&datagram, front.address).unwrap();
    }
    waiting(from);
    let other = client("127.0.0.1");
    let response = ask(&other, front.address, &query(9, "www.front.test", A, None));
    assert_eq!(parsed(&response).answers.len(), 1);
}

#[test]
fn what_is_no_query_does_no_harm_and_leaves_no_record() {
    let front = Front::start(|s| s.dns.udp_threads = 1);
    let good = query(1, "www.front.test", A, EDNS);
    let mut bad = vec![Vec::new(), vec![0], good[..11].to_vec(), vec![0xff; 4_096], vec![0; 9_000]];
    bad.extend((12..good.len()).map(|n| good[..n].to_vec()));
    bad.push([&good[..2], &[0x81], &good[3..]].concat());
    let (mut update, mut two, mut none) = (good.clone(), good.clone(), good.clone());
    (update[2], two[5], none[5]) = (0x28, 2, 0);
    bad.extend([update, two, none]);
    let sent = bad.len() as u64;
    let from = client("127.0.0.1");
    still_answers(&front, &from, bad.into_iter());
    front.counted("tracegate_dns_malformed_total", sent);
    assert_eq!(front.stop().resolutions.len(), 1);
}

#[test]
fn each_message_of_the_corpus_gets_its_answer() {
    let front = Front::start(|_| ());
    let from = client("127.0.0.1");
    let samples = samples();
    assert!(samples.len() > 50);
    let mut queries = 0;
    for s in &samples {
        let Some(expected) = s.rcode else {
            still_answers(&front, &from, std::iter::once(s.wire.clone()));
            queries += 1;
            continue;
        };
        let response = parsed(&ask(&from, front.address, &s.wire));
        assert_eq!(u16::from(response.metadata.response_code), expected, "{}", s.name);
        assert_eq!(response.metadata.id.to_be_bytes(), s.wire[..2], "{}", s.name);
        // A message that could not be read has no question to repeat, and is no record.
        queries += response.queries.len();
    }
    assert!(waiting(&from).is_empty(), "two answers to one message, or one to none");
    assert_eq!(front.stop().resolutions.len(), queries);
}

#[test]
fn fuzzed_datagrams_are_survived() {
    let front = Front::start(|_| ());
    let from = client("127.0.0.1");
    let good = query(1, "www.front.test", A, Some(Opt { payload: 1232, nsid: true }));
    let samples = samples();
    bolero::check!().with_iterations(3_000).with_max_len(512).for_each(|input: &[u8]| {
        // Bytes as they are, behind a header, and over a good query.
        let behind = [&good[..12], input].concat();
        let over: Vec<u8> =
            good.iter().enumerate().map(|(i, b)| b ^ input.get(i).unwrap_or(&0)).collect();
        // And over one message of the corpus.
        for datagram in [input, &behind, &over, &mutant(&samples, input)] {
            from.send_to(datagram, front.address).unwrap();
        }
        waiting(&from);
    });
    // So many datagrams may leave no room in a socket for one more question: it is asked again.
    let other = client("127.0.0.1");
    other.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    let response = eventually("an answer after all that", || {
        other.send_to(&query(9, "www.front.test", A, None), front.address).unwrap();
        let mut buf = [0; 512];
        other.recv(&mut buf).ok().map(|len| parsed(&buf[..len]))
    });
    assert_eq!(response.answers.len(), 1);
    // The other thread may have datagrams before it still: nothing is counted before the end.
    let metrics = Arc::clone(&front.metrics);
    let recorded = front.stop().resolutions.len() as u64;
    let answered = sum(&metrics, "tracegate_dns_responses_total");
    assert!(recorded <= answered && recorded > 0, "{recorded} of {answered}");
}

#[test]
fn a_flood_of_random_names_waits_in_bounds_and_others_are_served() {
    const SENT: u16 = 400;
    let upstream = Upstream::new();
    let front = Front::start(|s| {
        upstream.configure(&mut s.dns);
        s.dns.upstream.timeout_ms = 500;
        s.dns.udp_threads = 1;
        s.dns.misses_max = 8;
    });
    let from = client("127.0.0.1");
    let mut answers = Vec::new();
    for i in 0..SENT {
        from.send_to(&query(i, &format!("r{i}.example"), A, EDNS), front.address).unwrap();
        if i % 50 == 49 {
            answers.extend(waiting(&from));
            let local =
                ask(&client("127.0.0.1"), front.address, &query(1, "www.front.test", A, None));
            assert_eq!(parsed(&local).answers.len(), 1, "others are served meanwhile");
        }
    }
    let others = u64::from(SENT / 50);
    // Nobody answers upstream: all come to SERVFAIL, most of them at once.
    front.counted("tracegate_dns_responses_total", u64::from(SENT) + others);
    let overload = front.count("tracegate_dns_overload_total");
    assert!(overload > 0 && overload <= u64::from(SENT) - 8, "{overload}");
    answers.extend(waiting(&from));
    assert_eq!(answers.len(), usize::from(SENT));
    for wire in answers {
        let response = parsed(&wire);
        assert_eq!(response.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(ede(response.edns.as_ref()).len(), 1);
    }
    let kept = front.stop().resolutions;
    assert_eq!(kept.len() as u64, u64::from(SENT) + others, "SERVFAIL is recorded as well");
}

#[test]
fn a_miss_is_answered_from_upstream_and_then_from_the_cache() {
    let upstream = Upstream::new();
    let front = Front::start(|s| upstream.configure(&mut s.dns));
    let from = client("127.0.0.1");
    from.send_to(&query(1, "Miss.example", A, None), front.address).unwrap();
    upstream.answer(&upstream.question());
    let mut buf = [0; 512];
    let len = from.recv(&mut buf).unwrap();
    assert_eq!(parsed(&buf[..len]).answers.len(), 1);
    let again = parsed(&ask(&from, front.address, &query(2, "miss.EXAMPLE", A, None)));
    assert_eq!(again.answers.len(), 1);
    // A zone's answer is neither.
    ask(&from, front.address, &query(3, "www.front.test", A, None));
    front.counted("tracegate_dns_cache_misses_total", 1);
    front.counted("tracegate_dns_cache_hits_total", 1);
    let kept = front.stop().resolutions;
    let caches: BTreeSet<_> = kept.iter().map(|r| r.cache.as_str()).collect();
    assert_eq!(caches, BTreeSet::from(["hit", "local", "miss"]));
    assert!(kept.iter().all(|r| (r.qname == "miss.example") == (r.cache != "local")));
}

#[test]
fn what_waits_at_a_stop_is_answered_within_the_grace() {
    let upstream = Upstream::new();
    let front = Front::start(|s| upstream.configure(&mut s.dns));
    let from = client("127.0.0.1");
    from.send_to(&query(1, "slow.example", A, None), front.address).unwrap();
    let question = upstream.question();
    let left = front.stop_while(DEADLINE, || upstream.answer(&question));
    let answer = &waiting(&from)[0];
    assert_eq!(parsed(answer).answers.len(), 1);
    assert_eq!(left.resolutions.len(), 1);
}

#[test]
fn what_the_grace_cuts_off_is_neither_answered_nor_recorded() {
    let upstream = Upstream::new();
    let front = Front::start(|s| upstream.configure(&mut s.dns));
    let from = client("127.0.0.1");
    from.send_to(&query(1, "slow.example", A, None), front.address).unwrap();
    upstream.question();
    let metrics = std::sync::Arc::clone(&front.metrics);
    let left = front.stop_while(Duration::from_millis(1), || ());
    assert!(waiting(&from).is_empty());
    assert!(left.resolutions.is_empty());
    assert!(metrics.render().contains("tracegate_dns_abandoned_total 1"));
}

/// Asks until the spool is full and then some; returns how many were answered.
fn fill(front: &Front, sent: u64) -> u64 {
    let from = client("127.0.0.1");
    let mut answers = 0;
    let long = "x".repeat(60);
    let name = [long.as_str(), &long, &long, "front.test"].join(".");
    for i in 0..sent {
        from.send_to(&query(i as u16, &name, A, None), front.address).unwrap();
        if i % 64 == 63 || i + 1 == sent {
            front.counted("tracegate_dns_queries_total", i + 1);
            answers += waiting(&from).len() as u64;
        }
    }
    answers
}

#[test]
fn a_full_spool_that_sheds_answers_and_counts() {
    const SENT: u64 = 8_000;
    let front = Front::start(|s| {
        small_spool(s, FullPolicy::Shed);
        s.dns.udp_threads = 1;
    });
    let answers = fill(&front, SENT);
    assert_eq!(answers, SENT, "shedding serves");
    let Left { resolutions, shed } = front.stop();
    assert!(shed > 0, "the spool never was full");
    assert_eq!(resolutions.len() as u64 + shed, answers, "each is kept or counted");
}

#[test]
fn a_full_spool_that_refuses_does_not_answer() {
    const SENT: u64 = 8_000;
    let front = Front::start(|s| {
        small_spool(s, FullPolicy::Refuse);
        s.dns.udp_threads = 1;
    });
    let answers = fill(&front, SENT);
    let unrecorded = front.count("tracegate_dns_unrecorded_total");
    assert!(unrecorded > 0, "the spool never was full");
    assert_eq!(answers + unrecorded, SENT);
    let Left { resolutions, shed } = front.stop();
    assert_eq!((resolutions.len() as u64, shed), (answers, 0));
}
