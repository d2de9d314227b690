//! Zones that we serve, enforced by the resolvers of others: BIND, Unbound and PowerDNS.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracegate::{
    clock::{Clock, Timestamp},
    feeds::{
        Meter,
        share::{
            Manner, NotifyBounds, Publisher, PublisherOptions, Registry, ServeBounds, SharedZone,
            Sharing, Sockets, Timers, Wanted, Watched, tell, write,
        },
        transfer::{Growing, Outcome, Primary, Serial, Zone},
    },
    metrics::Metrics,
    name::Name,
    policy::{
        Action, Extras, FeedInForce, FeedSettings, InForce, Index, Legal, PolicySet, Rule,
        Suspended, Tier, Trigger,
    },
};

use super::{
    client, fetch, keys,
    peers::{self, KEY, Resolver, SECRET},
    zone,
};
use crate::{dns_client::ask, harness::eventually};

/// Answers every question with one address, so that what is not blocked is seen.
struct Anything {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const ANSWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);

impl Anything {
    fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (address, stop) = (socket.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                let Ok(mut message) = Message::from_vec(&buffer[..len]) else { continue };
                message.metadata.message_type = MessageType::Response;
                message.metadata.recursion_available = true;
                let asked = message.queries[0].clone();
                if asked.query_type() == RecordType::A {
                    let data = RData::A(A(ANSWER));
                    message.add_answer(Record::from_rdata(asked.name().clone(), 1, data));
                }
                socket.send_to(&message.to_vec().unwrap(), from).unwrap();
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Anything {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Our side: sockets that serve two zones, one by key and one by address.
pub(super) struct Ours {
    runtime: Runtime,
    pub(super) registry: Arc<Registry>,
    pub(super) address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tasks: TaskTracker,
    dir: tempfile::TempDir,
}

pub(super) const BY_KEY: &str = "keyed.test";
const BY_ADDRESS: &str = "open.test";

const TIMERS: Timers = Timers { refresh: 3_600, retry: 60, expire: 604_800, ttl: 60 };

fn serve_bounds() -> ServeBounds {
    ServeBounds {
        connections_max: 16,
        connections_per_address_max: 8,
        message_bytes_max: 16_384,
        idle_timeout: Duration::from_secs(5),
    }
}

impl Ours {
    pub(super) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let registry = Arc::new(Registry::default());
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let metrics = Metrics::new();
        let sockets = {
            let _inside = runtime.enter();
            let (registry, clock) = (Arc::clone(&registry), Clock::system());
            let metrics = Arc::clone(&metrics);
            Sockets::bind(any, registry, keys(SECRET), clock, metrics, serve_bounds()).unwrap()
        };
        let address = sockets.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        runtime.spawn(sockets.run(stop.clone(), tasks.clone()));
        let dir = tempfile::tempdir().unwrap();
        Self { runtime, registry, address, metrics, stop, tasks, dir }
    }

    /// A measure of transfers of [`BY_KEY`].
    fn measured(&self, name: &str, outcome: &str) -> Option<f64> {
        let labels = match outcome {
            "" => format!("{{zone=\"{BY_KEY}\"}}"),
            outcome => format!("{{zone=\"{BY_KEY}\",outcome=\"{outcome}\"}}"),
        };
        let text = self.metrics.render();
        let line = text.lines().find_map(|l| l.strip_prefix(&format!("{name}{labels} ")))?;
        Some(line.parse().unwrap())
    }

    /// What a primary tells us of [`peers::ZONE`].
    pub(super) fn told_of(&self, primary: SocketAddr) -> mpsc::Receiver<String> {
        let (tell, told) = mpsc::channel();
        self.registry.on_told(move |feed| tell.send(feed.to_owned()).unwrap_or_default());
        let watched = Watched { primaries: vec![primary.ip()], key: KEY.into() };
        self.registry.watch("list", &Name::from_text(peers::ZONE).unwrap(), watched);
        told
    }

    /// Shares a zone with these secondaries.
    fn share(&self, name: &str, key: &str, secondaries: Vec<SocketAddr>) -> Arc<SharedZone> {
        let apex = Name::from_text(name).unwrap();
        let zone = Arc::new(SharedZone::open(self.dir.path(), &apex, TIMERS, 4).unwrap());
        let sharing = Sharing { zone: Arc::clone(&zone), key: key.into(), secondaries };
        self.registry.share(sharing);
        zone
    }

    /// Publishes these rules and tells the secondaries.
    fn publish(&self, name: &str, set: &PolicySet) -> Serial {
        let sharing = self.registry.shared(&Name::from_text(name).unwrap()).unwrap();
        let serial = sharing.zone.publish(records(set, name), Clock::system().now()).unwrap();
        let soa = sharing.zone.soa().unwrap();
        let key = keys(SECRET).find(&sharing.key);
        let bounds = NotifyBounds { attempts_max: 5, timeout: Duration::from_secs(1) };
        for secondary in &sharing.secondaries {
            let clock = Clock::system();
            let told = tell(*secondary, sharing.zone.apex(), &soa, key.as_ref(), &clock, bounds);
            self.runtime.block_on(told).unwrap();
        }
        serial.unwrap()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.runtime.block_on(self.tasks.wait());
    }
}

fn rule(trigger: &str, action: Action) -> Rule {
    Rule { trigger: trigger.parse::<Trigger>().unwrap(), action, legal: Arc::default() }
}

fn feed(name: &str, rules: &[Rule], settings: FeedSettings) -> Arc<FeedInForce> {
    let mut builder = Index::builder();
    for rule in rules {
        builder.add(rule);
    }
    let index = Arc::new(builder.finish());
    Arc::new(FeedInForce { name: name.into(), version: 1, index, settings, closed: false })
}

fn one_feed(rules: &[Rule]) -> PolicySet {
    PolicySet::new(1, vec![feed("list", rules, FeedSettings::default())], Extras::default())
}

fn growing(
    set: &PolicySet,
    name: &str,
    now: Timestamp,
) -> (Growing, tracegate::feeds::share::Tally) {
    let apex = Name::from_text(name).unwrap();
    let mut growing = Growing::new(&apex);
    let manner = Manner { apex: &apex, now, ttl: 30, gateway: &[], alone: false };
    let tally = write(set, &manner, &mut growing);
    (growing, tally)
}

fn records(set: &PolicySet, name: &str) -> Growing {
    growing(set, name, Clock::system().now()).0
}

/// What a resolver does with a question for an address.
fn effect(resolver: SocketAddr, name: &str) -> Option<String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.send_to(&ask(name, 1).wire(), resolver).unwrap();
    let mut buffer = [0; 4_096];
    let len = socket.recv(&mut buffer).ok()?;
    let message = Message::from_vec(&buffer[..len]).ok()?;
    let addresses: Vec<String> = message
        .answers
        .iter()
        .filter_map(|r| match &r.data {
            RData::A(a) => Some(a.0.to_string()),
            _ => None,
        })
        .collect();
    Some(match message.metadata.response_code {
        ResponseCode::NXDomain => "nxdomain".into(),
        ResponseCode::NoError if addresses.is_empty() => "nodata".into(),
        ResponseCode::NoError => addresses.join(","),
        other => other.to_string(),
    })
}

fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        (0..60_000).map(|i| rule(&format!("bad{i}.example"), Action::Nxdomain)).collect();
    let local =
        tracegate::policy::LocalRecord { rtype: 1, ttl: 30, rdata: Box::new([198, 51, 100, 7]) };
    rules.extend([
        rule("nodata.example", Action::Nodata),
        rule("*.wild.example", Action::Nxdomain),
        rule("good.wild.example", Action::Passthru),
        rule("local.example", Action::LocalData(Arc::new([local]))),
        rule("url-host:elsewhere.example", Action::Nxdomain),
    ]);
    rules
}

/// The resolver enforces what we publish, and what we publish next.
fn enforces(ours: &Ours, zone: &str, resolver: &dyn Resolver) {
    let at = resolver.address();
    let expect = |name: &str, expected: &str| {
        eventually(&format!("{name} is {expected}; {}", resolver.log()), || {
            (effect(at, name)? == expected).then_some(())
        });
    };
    expect("bad0.example", "nxdomain");
    let answer = ANSWER.to_string();
    for (name, expected) in [
        ("bad59999.example", "nxdomain"),
        ("sub.bad0.example", answer.as_str()),
        ("nodata.example", "nodata"),
        ("deep.a.wild.example", "nxdomain"),
        ("wild.example", answer.as_str()),
        ("good.wild.example", answer.as_str()),
        ("local.example", "198.51.100.7"),
        ("elsewhere.example", answer.as_str()),
    ] {
        expect(name, expected);
    }
    let mut next = rules();
    next.remove(1);
    next.push(rule("new.example", Action::Nxdomain));
    ours.publish(zone, &one_feed(&next));
    expect("new.example", "nxdomain");
    expect("bad1.example", &answer);
    expect("bad0.example", "nxdomain");
}

#[test]
fn bind_enforces_what_we_share() {
    let (upstream, ours) = (Anything::new(), Ours::new());
    let resolver = peers::bind_resolver(BY_KEY, ours.address, upstream.address);
    ours.share(BY_KEY, KEY, vec![resolver.address()]);
    ours.publish(BY_KEY, &one_feed(&rules()));
    enforces(&ours, BY_KEY, &resolver);
    // The second version came as differences.
    assert!(resolver.log().contains("1 messages, 6 records"), "{}", resolver.log());
}

#[test]
fn unbound_enforces_what_we_share() {
    let (upstream, ours) = (Anything::new(), Ours::new());
    let local = (Ipv4Addr::LOCALHOST, 9).into();
    // There before Unbound is: it asks at its start and then at its timers alone.
    let zone = ours.share(BY_ADDRESS, "", vec![local]);
    let now = Clock::system().now();
    zone.publish(records(&one_feed(&rules()), BY_ADDRESS), now).unwrap();
    let resolver = peers::unbound(BY_ADDRESS, ours.address, upstream.address);
    ours.share(BY_ADDRESS, "", vec![resolver.address()]);
    enforces(&ours, BY_ADDRESS, &resolver);
}

#[test]
fn powerdns_enforces_what_we_share() {
    let (upstream, ours) = (Anything::new(), Ours::new());
    // It hears of nothing and asks every second.
    let zone = ours.share(BY_KEY, KEY, vec![]);
    let now = Clock::system().now();
    zone.publish(records(&one_feed(&rules()), BY_KEY), now).unwrap();
    let resolver = peers::pdns_recursor(BY_KEY, ours.address, upstream.address);
    enforces(&ours, BY_KEY, &resolver);
}

#[test]
fn what_we_share_comes_back_as_it_was() {
    let ours = Ours::new();
    let shared = ours.share(BY_KEY, KEY, vec![]);
    let first = ours.publish(BY_KEY, &one_feed(&rules()));
    let from = |key| Primary {
        addresses: vec![ours.address],
        tls: None,
        zone: Name::from_text(BY_KEY).unwrap(),
        key,
        whole: false,
    };
    let primary = from(keys(SECRET).find(KEY));
    let (held, incremental) = zone(fetch(&primary, None));
    assert!(!incremental);
    assert_eq!((held.soa().serial, held.len()), (first, 60_000 + 4 + 1));
    for gone in 2..5 {
        ours.publish(BY_KEY, &one_feed(&rules()[gone..]));
    }
    // Three steps at once.
    let (now, incremental) = zone(fetch(&primary, Some(&held)));
    assert!(incremental);
    let served = std::fs::read(ours.dir.path().join("zone-keyed.test/zone")).unwrap();
    assert_eq!(Zone::clone(&now).into_text(), served);
    assert_eq!(now.len(), 60_000 - 4 + 4 + 1);
    let nothing = fetch(&primary, Some(&now)).unwrap();
    assert!(matches!(nothing, Outcome::UpToDate(soa) if soa.serial == now.soa().serial));
    // Two more, and the first is no longer known: the whole zone.
    for gone in 5..7 {
        ours.publish(BY_KEY, &one_feed(&rules()[gone..]));
    }
    let (whole, incremental) = zone(fetch(&primary, Some(&held)));
    assert!(!incremental);
    assert_eq!(whole.soa().serial, shared.soa().unwrap().serial);

    // Nobody else gets it.
    let unsigned = fetch(&from(None), None).unwrap_err().to_string();
    assert_eq!(unsigned, "the primary answered with response code 5");
    let other = keys("YW5vdGhlciBzZWNyZXQgb2YgYSB0ZXN0LCAzMiBieXRlcyE=").find(KEY);
    fetch(&from(other), None).unwrap_err();
    let elsewhere = Primary { zone: Name::from_text("other.test").unwrap(), ..primary };
    fetch(&elsewhere, None).unwrap_err();
}

#[test]
fn connections_have_limits() {
    use std::{io::Read, net::TcpStream};
    let ours = Ours::new();
    let open = || {
        let stream = TcpStream::connect(ours.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    };
    let mut held: Vec<TcpStream> = (0..8).map(|_| open()).collect();
    // The ninth of one address is closed at once, the others when they say nothing.
    assert_eq!(open().read(&mut [0]).unwrap(), 0);
    assert_eq!(held[0].read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_merged_zone_says_what_all_feeds_do_together() {
    let hint = FeedSettings { tier: Tier::Hint, ..FeedSettings::default() };
    let observing =
        FeedSettings { action: tracegate::policy::Override::Observe, ..FeedSettings::default() };
    let subtree = FeedSettings { subtree: true, ..FeedSettings::default() };
    let nodata = FeedSettings {
        action: tracegate::policy::Override::Action(Action::Nodata),
        ..FeedSettings::default()
    };
    let expired = Rule {
        legal: Arc::new(Legal { expires_at: Timestamp::from_secs(10), ..Legal::default() }),
        ..rule("over.example", Action::Nxdomain)
    };
    let set = PolicySet::new(
        1,
        vec![
            feed(
                "first",
                &[
                    rule("*.shop.example", Action::Passthru),
                    rule("both.example", Action::Nodata),
                    rule("16.0.0.2.192.rpz-ip", Action::Drop),
                ],
                FeedSettings::default(),
            ),
            feed("hints", &[rule("a.tree.example", Action::Nxdomain)], hint),
            feed("watched", &[rule("seen.example", Action::Nxdomain)], observing),
            feed(
                "second",
                &[
                    rule("bad.shop.example", Action::Nxdomain),
                    rule("both.example", Action::Nxdomain),
                    rule("24.0.7.2.192.rpz-ip", Action::Nxdomain),
                    rule("24.0.100.51.198.rpz-client-ip", Action::TcpOnly),
                    rule("allowed.example", Action::Nxdomain),
                    rule("url-prefix:x.example/a/", Action::Nxdomain),
                    expired,
                ],
                FeedSettings::default(),
            ),
            feed("trees", &[rule("tree.example", Action::Nxdomain)], subtree),
            feed(
                "overridden",
                &[
                    rule("24.0.113.0.203.rpz-ip", Action::Nxdomain),
                    rule("32.1.113.0.203.rpz-ip", Action::Passthru),
                ],
                nodata,
            ),
        ],
        Extras {
            allow: Some(feed(
                "allow",
                &[rule("allowed.example", Action::Passthru)],
                FeedSettings::default(),
            )),
            ..Extras::default()
        },
    );
    let (growing, tally) = growing(&set, "merged.test", Timestamp::from_secs(1_000));
    let soa = b"\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01";
    let zone = growing.finish(tracegate::feeds::transfer::Soa::from_rdata(60, soa).unwrap());
    insta::assert_snapshot!(super::lines(&zone).join("\n"), @r"
    *.shop.example 30 IN CNAME rpz-passthru.
    *.tree.example 30 IN CNAME .
    16.0.0.2.192.rpz-ip 30 IN CNAME rpz-drop.
    24.0.100.51.198.rpz-client-ip 30 IN CNAME rpz-tcp-only.
    24.0.113.0.203.rpz-ip 30 IN CNAME *.
    32.1.113.0.203.rpz-ip 30 IN CNAME rpz-passthru.
    a.tree.example 30 IN CNAME .
    allowed.example 30 IN CNAME rpz-passthru.
    bad.shop.example 30 IN CNAME rpz-passthru.
    both.example 30 IN CNAME *.
    tree.example 30 IN CNAME .
    ");
    insta::assert_snapshot!(format!("{tally:?}"), @"Tally { not_in_dns: 1, standing: 1, superseded: 5, inactive: 1, unfit: 0 }");
}

#[test]
fn secondaries_are_told_when_to_ask_and_how_long_it_counts() {
    let config = tracegate::config::Transfers {
        share_refresh_s: 1,
        share_retry_s: 2,
        share_expire_s: 60,
        ..tracegate::config::Transfers::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let apex = Name::from_text("timed.test").unwrap();
    let zone = SharedZone::open(dir.path(), &apex, Timers::new(&config, 30), 4).unwrap();
    let set = one_feed(&[rule("bad.example", Action::Nxdomain)]);
    zone.publish(records(&set, "timed.test"), Clock::system().now()).unwrap();
    let soa = zone.soa().unwrap();
    assert_eq!((soa.refresh, soa.retry, soa.expire), (1, 2, 60));
}

#[test]
fn a_feeds_own_zone_lets_through_what_the_feed_would_stop() {
    let rules = [
        rule("*.all.example", Action::Nxdomain),
        rule("bad.example", Action::Nxdomain),
        rule("shop.example", Action::Nxdomain),
        rule("firm.example", Action::Nxdomain),
    ];
    let allowed = ["shop.example", "good.all.example", "elsewhere.example"];
    let extras = || Extras {
        allow: Some(feed(
            "allow",
            &allowed.map(|name| rule(name, Action::Passthru)),
            FeedSettings::default(),
        )),
        ..Extras::default()
    };
    let other = feed("other", &[rule("other.example", Action::Nxdomain)], FeedSettings::default());
    let lines = |settings| {
        let list = feed("list", &rules, settings);
        let set = PolicySet::new(1, vec![Arc::clone(&other), list], extras());
        let (apex, now) = (Name::from_text("list.test").unwrap(), Timestamp::from_secs(1_000));
        let manner = Manner { apex: &apex, now, ttl: 30, gateway: &[], alone: true };
        let mut growing = Growing::new(&apex);
        write(&set.alone("list").unwrap(), &manner, &mut growing);
        let soa = b"\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01";
        let soa = tracegate::feeds::transfer::Soa::from_rdata(60, soa).unwrap();
        super::lines(&growing.finish(soa)).join("\n")
    };
    insta::assert_snapshot!(lines(FeedSettings::default()), @r"
    *.all.example 30 IN CNAME .
    bad.example 30 IN CNAME .
    firm.example 30 IN CNAME .
    good.all.example 30 IN CNAME rpz-passthru.
    ");
    // Where allow rules may not win, the feed decides about their names, too.
    let firm = FeedSettings { allow_may_win: false, ..FeedSettings::default() };
    insta::assert_snapshot!(lines(firm), @r"
    *.all.example 30 IN CNAME .
    bad.example 30 IN CNAME .
    firm.example 30 IN CNAME .
    good.all.example 30 IN CNAME .
    shop.example 30 IN CNAME .
    ");
}

#[test]
fn notify_counts_from_primaries_and_keys_alone() {
    let ours = Ours::new();
    let elsewhere = (Ipv4Addr::new(192, 0, 2, 1), 53).into();
    let told = ours.told_of(elsewhere);
    let apex = Name::from_text(peers::ZONE).unwrap();
    let soa = b"\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01";
    let soa = tracegate::feeds::transfer::Soa::from_rdata(60, soa).unwrap();
    let bounds = NotifyBounds { attempts_max: 2, timeout: Duration::from_secs(2) };
    let notify = |zone: &Name, key: Option<&domain::tsig::Key>| {
        let clock = Clock::system();
        let telling = tell(ours.address, zone, &soa, key, &clock, bounds);
        ours.runtime.block_on(telling).map_err(|e| e.to_string())
    };
    let refused = Err("it answered with response code 5".to_owned());
    assert_eq!(notify(&apex, None), refused);
    assert_eq!(notify(&Name::from_text("other.test").unwrap(), None), refused);
    assert!(told.try_recv().is_err());
    let key = keys(SECRET).find(KEY);
    assert_eq!(notify(&apex, key.as_ref()), Ok(()));
    assert_eq!(told.try_recv().unwrap(), "list");
    // Who says nothing is told so often, and no more.
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let bounds = NotifyBounds { attempts_max: 3, timeout: Duration::from_millis(10) };
    let clock = Clock::system();
    let telling = tell(silent.local_addr().unwrap(), &apex, &soa, None, &clock, bounds);
    assert_eq!(ours.runtime.block_on(telling).unwrap_err().to_string(), "no answer");
    silent.set_nonblocking(true).unwrap();
    let heard = std::iter::from_fn(|| silent.recv(&mut [0; 512]).ok()).count();
    assert_eq!(heard, 3);
    let other = keys("YW5vdGhlciBzZWNyZXQgb2YgYSB0ZXN0LCAzMiBieXRlcyE=").find(KEY);
    assert_eq!(notify(&apex, other.as_ref()), Err("it answered with response code 9".to_owned()));
    assert!(told.try_recv().is_err());
}

#[test]
fn shared_zones_follow_what_is_in_force() {
    let ours = Ours::new();
    let in_force = InForce::new();
    let clock = Clock::fixed(Timestamp::from_secs(1_000));
    let wanted = |feed: Option<&str>, zone: &str| Wanted {
        feed: feed.map(str::to_owned),
        zone: zone.to_owned(),
        key: KEY.to_owned(),
        secondaries: vec![],
        open: true,
    };
    let both = vec![wanted(Some("list"), "list.test"), wanted(None, "merged.test")];
    let wants = Arc::new(Mutex::new(both));
    let asked = Arc::clone(&wants);
    let publisher = Publisher::new(PublisherOptions {
        in_force: in_force.clone(),
        wanted: Arc::new(move || asked.lock().unwrap().clone()),
        registry: Arc::clone(&ours.registry),
        keys: keys(SECRET),
        root: ours.dir.path().to_owned(),
        timers: TIMERS,
        differences_max: 4,
        gateway: vec![[198, 51, 100, 1].into()],
        ttl: 30,
        notify: NotifyBounds { attempts_max: 1, timeout: Duration::from_secs(1) },
        clock: clock.clone(),
        tasks: ours.tasks.clone(),
        stop: ours.stop.clone(),
    });
    ours.runtime.spawn(ours.tasks.track_future(publisher.run()));
    let until = Rule {
        legal: Arc::new(Legal { expires_at: Timestamp::from_secs(2_000), ..Legal::default() }),
        ..rule("until.example", Action::Nxdomain)
    };
    let warned = FeedSettings { tier: Tier::Interstitial, ..FeedSettings::default() };
    let list = feed("list", &[rule("a.example", Action::Nxdomain), until], FeedSettings::default());
    let other = feed("other", &[rule("b.example", Action::Nxdomain)], warned);
    let set = |id, feeds: &[&Arc<FeedInForce>], extras| {
        let feeds = feeds.iter().map(|f| Arc::clone(f)).collect();
        in_force.swap(Arc::new(PolicySet::new(id, feeds, extras)));
    };
    let expect = |zone: &str, expected: &[&str]| {
        let path = ours.dir.path().join(format!("zone-{zone}/zone"));
        eventually(&format!("{zone} is {expected:?}"), || {
            let text = std::fs::read_to_string(&path).ok()?;
            let lines: Vec<&str> = text.lines().skip(2).filter(|l| !l.contains(" NS ")).collect();
            (lines == expected).then_some(())
        });
    };
    set(1, &[&list, &other], Extras::default());
    let (a, b) = ("a.example 30 IN CNAME .", "b.example 30 IN A 198.51.100.1");
    let until = "until.example 30 IN CNAME .";
    expect("list.test", &[a, until]);
    expect("merged.test", &[a, b, until]);
    // A rule's time is over.
    clock.set(Timestamp::from_secs(2_000));
    expect("list.test", &[a]);
    expect("merged.test", &[a, b]);
    // An appeal suspends a rule.
    let suspended = Suspended { feed: "list".into(), rule: "a.example".into() };
    set(2, &[&list, &other], Extras { suspended: vec![suspended], ..Extras::default() });
    expect("list.test", &[]);
    expect("merged.test", &[b]);
    set(3, &[&list], Extras::default());
    expect("list.test", &[a]);
    expect("merged.test", &[a]);
    // What is allowed is not blocked elsewhere, either.
    let allow = feed("allow", &[rule("a.example", Action::Passthru)], FeedSettings::default());
    set(4, &[&list], Extras { allow: Some(allow), ..Extras::default() });
    expect("list.test", &[]);
    expect("merged.test", &["a.example 30 IN CNAME rpz-passthru."]);
    set(5, &[&list], Extras::default());
    expect("list.test", &[a]);
    // It failed, and is open then.
    set(6, &[], Extras::default());
    expect("list.test", &[]);
    set(7, &[&list], Extras::default());
    expect("list.test", &[a]);
    // It is shared no longer.
    wants.lock().unwrap().retain(|w| w.feed.is_none());
    set(8, &[&list], Extras::default());
    eventually("the zone is gone", || {
        (!ours.dir.path().join("zone-list.test").exists()).then_some(())
    });
    assert!(ours.registry.shared(&Name::from_text("list.test").unwrap()).is_none());
}

/// Takes what the parser finds.
#[derive(Default)]
struct Found {
    rules: Vec<Rule>,
    rejected: Vec<String>,
}

impl tracegate::feeds::format::Sink for Found {
    fn rule(&mut self, _: tracegate::feeds::format::Place<'_>, rule: Rule) {
        self.rules.push(rule);
    }

    fn reject(
        &mut self,
        at: tracegate::feeds::format::Place<'_>,
        reason: tracegate::feeds::format::Reason,
    ) {
        self.rejected.push(format!("{}: {reason}", String::from_utf8_lossy(at.text)));
    }
}

/// What we write of rules, the parser of zone text reads as the same rules: triggers of every kind,
/// actions of every kind, names with every kind of byte.
#[test]
fn a_zones_text_reads_as_the_rules_it_was_made_of() {
    let local = |rtype, rdata: &[u8]| tracegate::policy::LocalRecord {
        rtype,
        ttl: 300,
        rdata: rdata.into(),
    };
    let expected = [
        rule("bad.example", Action::Nxdomain),
        rule("*.bad.example", Action::Nodata),
        rule(r#"odd\;\"\@\$\(x\000.example"#, Action::Nxdomain),
        rule(r"a\.b.example", Action::Drop),
        rule("24.0.2.0.192.rpz-ip", Action::TcpOnly),
        rule("128.1.zz.db8.2001.rpz-ip", Action::Nxdomain),
        rule("32.7.2.0.192.rpz-client-ip", Action::Passthru),
        rule("ns.evil.example.rpz-nsdname", Action::Nxdomain),
        rule("*.evil.example.rpz-nsdname", Action::Nxdomain),
        rule("24.0.113.0.203.rpz-nsip", Action::Nxdomain),
        rule("alias.example", Action::Cname(b"\x06garden\x04test\0".as_slice().into())),
        rule("below.example", Action::CnameBelow(b"\x06garden\x04test\0".as_slice().into())),
        rule(
            "local.example",
            Action::LocalData(
                [
                    local(1, &[192, 0, 2, 7]),
                    // In the order of their lines.
                    local(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
                    local(15, b"\0\x0a\x04mail\x04test\0"),
                    local(33, b"\0\x01\0\x02\0\x35\x03srv\x04test\0"),
                    local(16, b"\x07a \"b\" \xff\x00"),
                    local(65_280, &[1, 2, 3]),
                ]
                .into(),
            ),
        ),
    ];
    // Owners that would mean something else in a zone.
    let unfit =
        [r"\042.example", r"24.0.2.0.192.\114pz-ip"].map(|text| rule(text, Action::Nxdomain));
    let all = [&expected[..], &unfit].concat();
    let (growing, tally) = growing(&one_feed(&all), "rpz.test", Timestamp::ZERO);
    let unfit = tracegate::feeds::share::Tally { unfit: 2, ..Default::default() };
    assert_eq!(tally, unfit);
    let soa = b"\0\0\0\0\0\x07\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01";
    let zone = growing.finish(tracegate::feeds::transfer::Soa::from_rdata(60, soa).unwrap());
    let spec = r#"{"name":"list","source":"axfr://192.0.2.1/rpz.test","format":"rpz"}"#;
    let limits = tracegate::config::Feeds::default();
    let spec = tracegate::feeds::FeedSpec::parse(spec, &limits).unwrap();
    let options = tracegate::feeds::format::Options::of(&spec, &limits).unwrap();
    let mut found = Found::default();
    let mut text = std::io::Cursor::new(zone.into_text());
    let format = tracegate::feeds::format::Format::Rpz;
    let summary = tracegate::feeds::format::read(format, &mut text, &options, &mut found).unwrap();
    assert_eq!((summary.serial, found.rejected), (Some(7), vec![]));
    // Records of one owner come one by one; an index makes one rule of them.
    let plain = |rules: &[Rule]| -> std::collections::BTreeMap<String, Action> {
        let index = &feed("list", rules, FeedSettings::default()).index;
        index.iter().map(|r| (r.trigger.to_string(), r.action)).collect()
    };
    assert_eq!(plain(&found.rules), plain(&expected));
}

#[test]
fn transfers_to_others_are_measured() {
    let ours = Ours::new();
    ours.share(BY_KEY, KEY, vec![]);
    let serial = |serial: Serial| f64::from(serial.0);
    let first = ours.publish(BY_KEY, &one_feed(&rules()[..100]));
    let primary = Primary {
        addresses: vec![ours.address],
        tls: None,
        zone: Name::from_text(BY_KEY).unwrap(),
        key: keys(SECRET).find(KEY),
        whole: false,
    };
    // It is measured when the other side has it.
    let counted = |outcome: &'static str, n: f64| {
        eventually("the transfer is counted", || {
            (ours.measured("tracegate_transfers_out_total", outcome) == Some(n)).then_some(())
        });
    };
    let sent = || ours.measured("tracegate_transfers_out_bytes_total", "").unwrap();
    let received = Meter::default();
    let client = client().counting(&received);
    let fetch = |held: Option<&Arc<Zone>>| {
        let (zone, _) = zone(ours.runtime.block_on(client.fetch(&primary, held)));
        #[expect(clippy::cast_precision_loss, reason = "a measure is a float")]
        let bytes = received.done().bytes as f64;
        (zone, bytes)
    };
    let (held, whole) = fetch(None);
    counted("whole", 1.0);
    assert!(whole > 1_000.0);
    assert_eq!(sent(), whole, "as many as the other side counts");
    assert_eq!(ours.measured("tracegate_transfer_out_serial", ""), Some(serial(first)));
    let second = ours.publish(BY_KEY, &one_feed(&rules()[1..100]));
    let (_, differences) = fetch(Some(&held));
    counted("differences", 1.0);
    assert!(differences < whole);
    assert_eq!(sent(), whole + differences);
    assert_eq!(ours.measured("tracegate_transfers_out_total", "whole"), Some(1.0));
    assert_eq!(ours.measured("tracegate_transfers_out_total", "failed"), None);
    assert_eq!(ours.measured("tracegate_transfer_out_serial", ""), Some(serial(second)));
    assert!(ours.measured("tracegate_transfer_out_seconds", "").unwrap() > 0.0);
}
