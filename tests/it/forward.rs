//! Questions outside our zones: what upstreams say, what is kept of it, and what their failures do.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SOA},
    },
};
use tracegate::resolver::{Error, Step, Transport};

use crate::{
    dns_client::{Ask, Got, ask, fixture, free_port, try_fixture},
    harness::eventually,
};

/// What an upstream answers: its question in, over TCP or not; none for silence.
type Script = dyn Fn(&Message, bool) -> Option<Message> + Send + Sync;

/// A resolver that says what a test wants, over UDP and TCP.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    pub(crate) fn new(
        script: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (asked, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let script: Arc<Script> = Arc::new(script);
        let udp = UdpSocket::bind(address).unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let tcp = TcpListener::bind(address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let mut threads = Vec::new();
        {
            let (asked, stop, script) =
                (Arc::clone(&asked), Arc::clone(&stop), Arc::clone(&script));
            threads.push(std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((len, from)) = udp.recv_from(&mut buffer) else { continue };
                    asked.fetch_add(1, Ordering::Relaxed);
                    let question = Message::from_vec(&buffer[..len]).unwrap();
                    if let Some(answer) = script(&question, false) {
                        udp.send_to(&answer.to_vec().unwrap(), from).unwrap();
                    }
                }
            }));
        }
        {
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok((mut stream, _)) = tcp.accept() else {
                        std::thread::park_timeout(Duration::from_millis(5));
                        continue;
                    };
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                    let mut len = [0; 2];
                    while stream.read_exact(&mut len).is_ok() {
                        let mut body = vec![0; usize::from(u16::from_be_bytes(len))];
                        stream.read_exact(&mut body).unwrap();
                        if let Some(answer) = script(&Message::from_vec(&body).unwrap(), true) {
                            let wire = answer.to_vec().unwrap();
                            stream.write_all(&(wire.len() as u16).to_be_bytes()).unwrap();
                            stream.write_all(&wire).unwrap();
                        }
                    }
                }
            }));
        }
        Self { address, asked, stop, threads }
    }

    /// Questions it got over UDP.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for t in self.threads.drain(..) {
            t.join().unwrap();
        }
    }
}

pub(crate) fn name(s: &str) -> Name {
    Name::from_ascii(s).unwrap()
}

pub(crate) fn reply(q: &Message, rcode: ResponseCode) -> Message {
    let mut m = Message::new(q.id, MessageType::Response, OpCode::Query);
    m.metadata.recursion_available = true;
    m.metadata.recursion_desired = true;
    m.metadata.response_code = rcode;
    m.queries = q.queries.clone();
    m
}

pub(crate) fn a(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

pub(crate) fn cname(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 300, RData::CNAME(CNAME(name(target))))
}

pub(crate) fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.test."), name("h.test."), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(soa))
}

pub(crate) fn asked_name(q: &Message) -> String {
    q.queries[0].name().to_string()
}

fn ttls(got: &Got) -> Vec<u32> {
    got.message.answers.iter().chain(&got.message.authorities).map(|r| r.ttl).collect()
}

const LATER: Duration = Duration::from_secs(10);

#[test]
fn an_answer_is_kept_and_counted_down() {
    let up = Upstream::new(|q, _| {
        assert!(q.recursion_desired && !q.checking_disabled);
        let mut m = reply(q, ResponseCode::NoError);
        m.metadata.authoritative = true;
        m.metadata.authentic_data = true;
        m.answers = vec![cname("www.up.test.", "host.up.test."), a("host.up.test.", 60, 1)];
        m.answers.push(a("smuggled.test.", 60, 66));
        m.additionals = vec![a("smuggled.test.", 60, 66)];
        Some(m)
    });
    let f = fixture(&[], &[up.address], |_| ());
    let first = f.get(&ask("wWw.up.test", 1));
    assert_eq!((first.message.answers.len(), first.message.additionals.len()), (2, 0));
    assert_eq!(first.message.queries[0].name().to_string(), "wWw.up.test.");
    let m = &first.message;
    assert!(m.recursion_available && !m.authoritative && !m.authentic_data);
    assert_eq!((first.answered.cache, first.answered.min_ttl), ("miss", 60));
    let row = first.row();
    assert_eq!(row["upstream"], format!("udp://{}", up.address));
    assert_eq!(row["answers"], serde_json::json!(["192.0.2.1"]));
    assert_eq!(row["answer_names"], serde_json::json!(["host.up.test"]));

    let hit = f.get_by(&ask("www.UP.test", 1), Transport::Udp, LATER);
    assert_eq!((hit.answered.cache, ttls(&hit), hit.answered.min_ttl), ("hit", vec![290, 50], 50));
    assert_eq!(hit.message.queries[0].name().to_string(), "www.UP.test.");
    assert_eq!(hit.row()["upstream"], row["upstream"]);
    assert_eq!(up.asked(), 1);
    // DO and CD ask for something else.
    f.get(&Ask { edns: Some((1232, true, false)), ..ask("www.up.test", 1) });
    assert_eq!(up.asked(), 2);
    // Past its time it is asked for again.
    f.get_by(&ask("www.up.test", 1), Transport::Udp, Duration::from_secs(61));
}

#[test]
fn negative_answers_keep_code_and_soa_and_are_kept_as_long_as_it_says() {
    let up = Upstream::new(|q, _| {
        let mut m = reply(q, ResponseCode::NoError);
        match asked_name(q).as_str() {
            "gone.up.test." => m.metadata.response_code = ResponseCode::NXDomain,
            "gone2.up.test." => {
                m.metadata.response_code = ResponseCode::NXDomain;
                m.answers = vec![cname("gone2.up.test.", "gone.up.test.")];
            }
            "bare.up.test." => {
                m.metadata.response_code = ResponseCode::NXDomain;
                return Some(m);
            }
            "servers.up.test." => {
                m.metadata.response_code = ResponseCode::NXDomain;
                let ns = RData::NS(hickory_proto::rr::rdata::NS(name("ns.up.test.")));
                m.authorities = vec![Record::from_rdata(name("up.test."), 600, ns)];
                return Some(m);
            }
            _ => {}
        }
        m.authorities = vec![soa("up.test.", 600, 40)];
        Some(m)
    });
    let f = fixture(&[], &[up.address], |_| ());
    use ResponseCode::{NXDomain, NoError};
    for (n, rcode, answers, kept) in [
        ("gone.up.test", NXDomain, 0, true),
        ("gone2.up.test", NXDomain, 1, true),
        ("nodata.up.test", NoError, 0, true),
        ("bare.up.test", NXDomain, 0, false),
        ("servers.up.test", NXDomain, 0, false),
    ] {
        let before = up.asked();
        let first = f.get(&ask(n, 1));
        assert_eq!(
            (first.message.response_code, first.message.answers.len()),
            (rcode, answers),
            "{n}"
        );
        assert_eq!(first.row()["rcode"], u16::from(rcode));
        let soas = first.message.authorities.iter().filter(|r| r.record_type() == RecordType::SOA);
        assert_eq!(soas.map(|r| r.ttl).collect::<Vec<_>>(), if kept { vec![40] } else { vec![] });
        let again = f.get_by(&ask(n, 1), Transport::Udp, LATER);
        assert_eq!(again.message.response_code, rcode);
        assert_eq!(up.asked() - before, if kept { 1 } else { 2 }, "{n}");
        if kept {
            assert_eq!(again.message.authorities[0].ttl, 30, "{n}");
        }
    }
}

#[test]
fn what_may_not_be_kept_is_not() {
    let up = Upstream::new(|q, _| {
        let mut m = reply(q, ResponseCode::NoError);
        m.answers =
            vec![a(&asked_name(q), if asked_name(q) == "zero.test." { 0 } else { 900_000 }, 1)];
        Some(m)
    });
    let f = fixture(&[], &[up.address], |d| d.cache_ttl_max_s = 100);
    assert_eq!(ttls(&f.get(&ask("zero.test", 1))), [0]);
    assert_eq!(ttls(&f.get(&ask("zero.test", 1))), [0]);
    assert_eq!(up.asked(), 2);
    assert_eq!(ttls(&f.get(&ask("long.test", 1))), [100]);
    assert_eq!(f.resolver.cache_size().0, 1);
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let up = Upstream::new(|q, tcp| {
        let mut m = reply(q, ResponseCode::NoError);
        m.metadata.truncation = !tcp;
        if tcp {
            m.answers = (0..100).map(|n| a("big.up.test.", 60, n)).collect();
        }
        Some(m)
    });
    let f = fixture(&[], &[up.address], |_| ());
    let over_udp = f.get(&ask("big.up.test", 1));
    assert!(over_udp.message.truncation && over_udp.message.answers.is_empty());
    assert_eq!(over_udp.row()["upstream"], format!("tcp://{}", up.address));
    let over_tcp = f.get_by(&ask("big.up.test", 1), Transport::Tcp, Duration::ZERO);
    assert_eq!((over_tcp.message.answers.len(), over_tcp.answered.cache), (100, "hit"));
}

/// A gate that holds an upstream's answers back until the test opens it.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

#[test]
fn many_waiters_share_one_question_and_in_flight_is_bounded() {
    let gate = Arc::<Gate>::default();
    let held = Arc::clone(&gate);
    let up = Upstream::new(move |q, _| {
        held.pass();
        let mut m = reply(q, ResponseCode::NoError);
        m.answers = vec![a(&asked_name(q), 60, 1)];
        Some(m)
    });
    let f = fixture(&[], &[up.address], |d| d.upstream.in_flight_max = 1);
    let pending = |n: &str| {
        let mut out = Vec::new();
        match f.resolver.answer(
            &ask(n, 1).query(),
            &f.context(Transport::Udp, Duration::ZERO),
            &mut out,
        ) {
            Step::Ask(pending) => f.resolver.resolve(*pending),
            Step::Done(_) => panic!("{n} needs no upstream"),
        }
    };
    let waiters: Vec<_> = (0..50).map(|_| pending("one.test")).collect();
    let (joined, beyond) = f.runtime.block_on(async {
        let mut joined = Box::pin(futures_util::future::join_all(waiters));
        // Polled once, the first takes off and the others board.
        assert!(futures_util::poll!(&mut joined).is_pending());
        let beyond = pending("two.test").await;
        gate.open();
        (joined.await, beyond)
    });
    assert_eq!(
        (u16::from(Message::from_vec(&beyond.wire).unwrap().response_code), f.resolver.in_flight()),
        (2, 0)
    );
    assert_eq!(joined.len(), 50);
    for done in joined {
        assert_eq!(Message::from_vec(&done.wire).unwrap().answers.len(), 1);
        assert_eq!(done.answered.cache, "miss");
    }
    assert_eq!(up.asked(), 1);
    f.tasks.close();
    f.runtime.block_on(f.tasks.wait());
}

#[test]
fn a_waiter_that_goes_away_takes_nothing_with_it() {
    let gate = Arc::<Gate>::default();
    let held = Arc::clone(&gate);
    let up = Upstream::new(move |q, _| {
        held.pass();
        let mut m = reply(q, ResponseCode::NoError);
        m.answers = vec![a(&asked_name(q), 60, 1)];
        Some(m)
    });
    let f = fixture(&[], &[up.address], |_| ());
    let slow = f.runtime.block_on(f.resolver.addresses("slow.test", Duration::from_millis(50)));
    assert_eq!((slow.outcome, slow.addresses.len(), slow.caused.len()), ("timeout", 0, 0));
    gate.open();
    eventually("both answers are kept", || {
        (f.resolver.cache_size().0 >= 1 && f.resolver.in_flight() == 0).then_some(())
    });
    let kept = f.runtime.block_on(f.resolver.addresses("slow.test", Duration::from_millis(50)));
    assert_eq!((kept.outcome, kept.caused[0].answered.cache), ("resolved", "hit"));
}

#[test]
fn failures_say_why_and_are_kept_briefly() {
    let up = Upstream::new(|q, _| match asked_name(q).as_str() {
        "silent.test." => None,
        "refused.test." => Some(reply(q, ResponseCode::Refused)),
        "referral.test." => {
            let mut m = reply(q, ResponseCode::NoError);
            let ns = RData::NS(hickory_proto::rr::rdata::NS(name("ns.test.")));
            m.authorities = vec![Record::from_rdata(name("test."), 60, ns)];
            Some(m)
        }
        _ => Some(reply(q, ResponseCode::ServFail)),
    });
    let f = fixture(&[], &[up.address], |d| d.upstream.timeout_ms = 300);
    for n in ["silent.test", "refused.test", "servfail.test", "referral.test"] {
        let first = f.get(&ask(n, 1));
        assert_eq!(
            (first.message.response_code, first.ede()),
            (ResponseCode::ServFail, vec![22]),
            "{n}"
        );
        assert_eq!(first.answered.cache, "miss");
        let asked = up.asked();
        let again = f.get(&ask(n, 1));
        assert_eq!(
            (again.answered.cache, again.ede(), up.asked()),
            ("hit", vec![22, 13], asked),
            "{n}"
        );
        assert_eq!(again.row()["ede"], serde_json::json!([22, 13]));
    }
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let f = fixture(&[], &[nobody], |d| d.upstream.timeout_ms = 300);
    let got = f.get(&ask("www.test", 1));
    assert_eq!(got.message.response_code, ResponseCode::ServFail);
    assert!([vec![22], vec![23]].contains(&got.ede()), "{:?}", got.ede());
}

#[test]
fn the_next_server_is_asked_when_one_fails() {
    let bad = Upstream::new(|q, _| Some(reply(q, ResponseCode::ServFail)));
    let good = Upstream::new(|q, _| {
        let mut m = reply(q, ResponseCode::NoError);
        m.answers = vec![a(&asked_name(q), 60, 1)];
        Some(m)
    });
    let f = fixture(&[], &[bad.address, good.address], |_| ());
    for n in 0..5 {
        let got = f.get(&ask(&format!("n{n}.test"), 1));
        assert_eq!(got.message.answers.len(), 1, "{n}");
        assert_eq!(got.row()["upstream"], format!("udp://{}", good.address));
    }
}

#[test]
fn a_chain_from_our_zone_goes_on_upstream() {
    let up = Upstream::new(|q, _| {
        let mut m = reply(q, ResponseCode::NoError);
        m.answers = vec![a(&asked_name(q), 60, 1)];
        Some(m)
    });
    let zone = "@ 600 SOA ns h 1 1 1 1 1\n@ 600 NS ns\nwww 600 CNAME cdn.far.test.\n";
    let f = fixture(&[("our.test", zone)], &[up.address], |_| ());
    for cache in ["miss", "hit", "local"] {
        let got = f.get(&ask("www.our.test", 1));
        assert_eq!((got.message.answers.len(), got.message.authoritative), (2, true));
        assert_eq!(got.answered.cache, cache);
        let row = got.row();
        assert_eq!(row["answer_names"], serde_json::json!(["cdn.far.test"]));
        assert_eq!(
            (&row["answers"], &row["upstream"]),
            (
                &serde_json::json!(["192.0.2.1"]),
                &serde_json::json!(format!("udp://{}", up.address))
            )
        );
    }
    assert_eq!(up.asked(), 1);
    let alone = f.get(&Ask { rd: false, ..ask("www.our.test", 28) });
    assert_eq!((alone.message.answers.len(), up.asked()), (1, 1));
}

#[test]
fn who_wants_no_recursion_changes_nothing_for_who_does() {
    let up = Upstream::new(|q, _| {
        let mut m = reply(q, ResponseCode::NoError);
        m.answers = vec![a(&asked_name(q), 60, 1)];
        Some(m)
    });
    let zone = "@ 600 SOA ns h 1 1 1 1 1\n@ 600 NS ns\n*.to 600 CNAME cdn.far.test.\n";
    let f = fixture(&[("our.test", zone)], &[up.address], |_| ());
    let answers = |n: &str, rd| f.get(&Ask { rd, ..ask(n, 1) }).message.answers.len();
    for (n, order) in [
        ("a.to.our.test", [false, true, false, true]),
        ("b.to.our.test", [true, false, true, true]),
    ] {
        for rd in order {
            assert_eq!(answers(n, rd), if rd { 2 } else { 1 }, "{n} {rd}");
        }
    }
    assert_eq!(up.asked(), 1);
}

#[test]
fn below_a_delegation_recursion_goes_upstream_and_a_referral_to_the_others() {
    let up = Upstream::new(|q, _| {
        assert!(asked_name(q).ends_with("lab.our.test."), "{q:?}");
        let mut m = reply(q, ResponseCode::NoError);
        match q.queries[0].query_type() {
            RecordType::A => m.answers = vec![a(&asked_name(q), 60, 1)],
            _ => m.authorities = vec![soa("lab.our.test.", 60, 60)],
        }
        Some(m)
    });
    let zone = "$TTL 600\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nlab NS ns.lab\nns.lab A 192.0.2.53\n\
        lab DS 1 13 2 00\nin CNAME x.lab\n";
    let f = fixture(&[("our.test", zone)], &[up.address], |_| ());
    let off = fixture(&[("our.test", zone)], &[], |_| ());
    for n in ["lab.our.test", "x.lab.our.test", "ns.lab.our.test"] {
        // Whoever asks first, each gets what it wants.
        for rd in [n.starts_with('x'), !n.starts_with('x'), true] {
            let m = f.get(&Ask { rd, ..ask(n, 1) }).message;
            assert!(m.recursion_available && !m.authoritative, "{n}");
            let sections = (m.answers.len(), m.authorities.len(), m.additionals.len());
            assert_eq!(sections, if rd { (1, 0, 0) } else { (0, 1, 1) }, "{n} {rd}");
        }
        let m = off.get(&ask(n, 1)).message;
        assert_eq!((m.answers.len(), m.authorities.len(), m.recursion_available), (0, 1, false));
    }
    assert_eq!(up.asked(), 3);
    // An alias of ours leads below the delegation: the first part is ours, the end is in the cache.
    let alias = f.get(&ask("in.our.test", 1));
    assert_eq!((alias.message.answers.len(), alias.answered.cache), (2, "hit"));
    assert!(alias.message.authoritative && alias.message.authorities.is_empty());
    let alone = f.get(&Ask { rd: false, ..ask("in.our.test", 1) }).message;
    assert_eq!((alone.answers.len(), alone.authorities.len()), (1, 1));
    // The DS record at a delegation is ours, like everything above it.
    let ds = f.get(&ask("lab.our.test", 43)).message;
    assert!(ds.authoritative && ds.answers.len() == 1);
    assert_eq!(up.asked(), 3);
    let below = f.get(&ask("x.lab.our.test", 43)).message;
    assert_eq!((below.authoritative, below.authorities.len(), up.asked()), (false, 1, 4));
}

#[test]
fn recursion_must_be_desired_and_any_is_not_forwarded() {
    let up = Upstream::new(|q, _| Some(reply(q, ResponseCode::NoError)));
    let f = fixture(&[], &[up.address], |_| ());
    let got = f.get(&Ask { rd: false, ..ask("www.test", 1) });
    assert_eq!((got.message.response_code, got.ede()), (ResponseCode::Refused, vec![20]));
    let any = f.get(&ask("www.test", 255)).message;
    assert_eq!(any.answers[0].record_type(), RecordType::HINFO);
    assert_eq!(any.answers[0].dns_class, DNSClass::IN);
    assert_eq!(up.asked(), 0);
}

#[test]
fn addresses_for_a_jump() {
    let down = Arc::<AtomicBool>::default();
    let is_down = Arc::clone(&down);
    let up = Upstream::new(move |q, _| {
        if is_down.load(Ordering::Relaxed) {
            return Some(reply(q, ResponseCode::ServFail));
        }
        let mut m = reply(q, ResponseCode::NoError);
        m.authorities = vec![soa("test.", 60, 60)];
        let v6 = q.queries[0].query_type() == RecordType::AAAA;
        match asked_name(q).as_str() {
            "both.test." if v6 => {
                let data = RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
                m.answers = vec![Record::from_rdata(name("both.test."), 1, data)];
            }
            "both.test." => m.answers = vec![a("both.test.", 1, 1)],
            "chain.test." if !v6 => {
                m.answers = vec![cname("chain.test.", "end.test."), a("end.test.", 60, 2)];
            }
            "chain.test." | "nodata.test." => {}
            _ => m.metadata.response_code = ResponseCode::NXDomain,
        }
        Some(m)
    });
    let f = fixture(&[], &[up.address], |d| d.cache_failure_ttl_s = 1);
    let get = |host: &str| f.runtime.block_on(f.resolver.addresses(host, Duration::from_secs(5)));
    let outcome = |host: &str| get(host).outcome;
    let both = get("Both.test");
    assert_eq!((both.outcome, both.addresses.len(), both.caused.len()), ("resolved", 2, 2));
    assert!(both.addresses[0].is_ipv4() && both.addresses[1].is_ipv6());
    let chain = get("chain.test");
    assert_eq!((chain.outcome, chain.chain), ("resolved", vec!["end.test".to_owned()]));
    assert_eq!(
        (outcome("nodata.test"), outcome("gone.test"), outcome("a..b")),
        ("nodata", "nxdomain", "failed")
    );
    assert_eq!((outcome("192.0.2.9"), outcome("[2001:db8::9]")), ("literal", "literal"));
    down.store(true, Ordering::Relaxed);
    // Its second runs out, and then there is nothing newer.
    let stale = eventually("the answer is past its time", || {
        let lookup = get("both.test");
        (lookup.outcome == "stale").then_some(lookup)
    });
    assert_eq!((stale.addresses, stale.caused[0].answered.cache), (both.addresses, "stale"));
    assert_eq!(outcome("never.seen.test"), "failed");
}

#[test]
fn asking_ourselves_is_refused_at_start() {
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 5300));
    let error = |server: &str, listen: &str| {
        let server = server.parse().unwrap();
        try_fixture(&[], &[server], |d| d.listen = vec![listen.parse().unwrap()]).err()
    };
    assert!(matches!(error("127.0.0.1:5300", "127.0.0.1:5300"), Some(Error::Loop(s)) if s == own));
    assert!(matches!(error("[::ffff:127.0.0.1]:5300", "127.0.0.1:5300"), Some(Error::Loop(_))));
    assert!(error("127.0.0.1:5301", "127.0.0.1:5300").is_none());
    let from_file = |text: &str| {
        try_fixture(&[], &[own], |d| {
            let file = d.zone_root.join("resolv.conf");
            std::fs::write(&file, text).unwrap();
            d.listen = vec![(Ipv4Addr::new(127, 0, 0, 53), 53).into()];
            d.upstream.servers.clear();
            d.upstream.resolv_conf = file;
        })
        .err()
    };
    assert!(matches!(from_file("nameserver 127.0.0.53\n"), Some(Error::Loop(_))));
    assert!(matches!(from_file("search test\n"), Some(Error::NoUpstream(_))));
    assert!(from_file("nameserver 192.0.2.1\noptions edns0\n").is_none());
}

#[test]
fn the_cache_is_bounded_in_bytes() {
    let up = Upstream::new(|q, _| {
        let mut m = reply(q, ResponseCode::NoError);
        m.answers = (0..30).map(|n| a(&asked_name(q), 60, n)).collect();
        Some(m)
    });
    let f = fixture(&[], &[up.address], |d| d.cache_bytes_max = 64 << 10);
    for n in 0..200 {
        f.get(&ask(&format!("n{n}.test"), 1));
    }
    let (entries, bytes) = f.resolver.cache_size();
    assert!(entries > 5 && entries < 100 && bytes <= 64 << 10, "{entries} entries, {bytes} bytes");
}
