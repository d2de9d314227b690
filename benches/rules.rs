//! What do a million rules cost an answer that none of them is about?
//!
//! The DNS side alone (listener, resolver, spool; no store), started anew by this program itself:
//! once without rules, once with a feed of a million names, and once with as many of which every
//! name asked is one. All run at once and take turns under `dnsperf`, so that noise on the machine
//! hits all of them alike; a row is the median of its turns.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    fmt::Write as _,
    fs,
    net::UdpSocket,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use support::{
    Process, Scale, authority, cpu, cpu_by_thread, dnsperf, free_port, resident, wait_for,
};
use tokio_util::task::TaskTracker;
use tracegate::{
    clock::Clock,
    config::{Config, UpstreamMode},
    listener::{Bound, Dns, Parts},
    metrics::Metrics,
    name::Name,
    policy::{
        Action, Extras, FeedInForce, FeedSettings, InForce, Index, NamePattern, PolicySet, Rule,
        Trigger,
    },
    record::{PublicSuffixes, Table},
    resolver::{self, Resolver},
    spool::{self, Spool},
};

/// Names asked.
const NAMES: usize = 10_000;

/// The parties: what they are called, and their rules.
const PARTIES: [(&str, &str); 3] =
    [("no rules", "none"), ("rules about other names", "others"), ("a rule for each name", "each")];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--serve") {
        let word = |i: usize| args.get(at + i).expect("an argument").as_str();
        let port = |i: usize| word(i).parse().expect("a port");
        let rules = word(4).parse().expect("a number");
        return serve(port(1), port(2), word(3), rules);
    }
    let scale = Scale::from_args();
    let rules = scale.pick(1_000_000, 10_000);
    let (rounds, seconds) = (scale.pick(9, 1), scale.pick(4, 1));
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let mut text = String::new();
    for i in 0..NAMES {
        writeln!(text, "n{i}.bench.test A").expect("a string grows");
    }
    let queries = dir.join("queries");
    fs::write(&queries, text).expect("the questions");
    let up = free_port();
    let _upstream = named(dir, up);
    answers(up, Duration::from_secs(20));
    let us = std::env::current_exe().expect("this program");
    let us = us.to_str().expect("a path in UTF-8");
    let parties: Vec<(&str, u16, Process)> = PARTIES
        .iter()
        .map(|(name, kind)| {
            let port = free_port();
            let numbers = [port.to_string(), up.to_string(), rules.to_string()];
            let args = ["--serve", &numbers[0], &numbers[1], kind, &numbers[2]];
            (*name, port, Process::start(0, kind, dir, us, &args))
        })
        .collect();
    for (_, port, _) in &parties {
        answers(*port, Duration::from_secs(60));
        dnsperf(*port, &queries, 2);
    }
    let mut costs = vec![Vec::new(); parties.len()];
    let mut lost = vec![0; parties.len()];
    for round in 0..rounds {
        for i in 0..parties.len() {
            // Nobody always comes first.
            let i = (i + round) % parties.len();
            let (_, port, process) = &parties[i];
            let before = front(process.pid());
            let load = dnsperf(*port, &queries, seconds);
            let used = front(process.pid()) - before;
            costs[i].push(used as f64 / load.completed.max(1) as f64);
            lost[i] += load.lost;
        }
    }
    println!(
        "| party | front, CPU µs per answer (median of {rounds}) | of the first | lost | resident, MB |"
    );
    println!("|---|---|---|---|---|");
    let medians: Vec<f64> = costs.iter_mut().map(|c| support::percentile(c, 0.5)).collect();
    for (i, (name, _, process)) in parties.iter().enumerate() {
        println!(
            "| {name} | {:.3} | {:.3} | {} | {} |",
            medians[i],
            medians[i] / medians[0],
            lost[i],
            resident(process.pid()) >> 20
        );
    }
}

/// CPU time of the threads that answer, in microseconds.
fn front(pid: u32) -> u64 {
    let threads = cpu_by_thread(pid);
    let front: u64 = threads.iter().filter(|(n, _)| n.starts_with("dns-udp")).map(|(_, v)| v).sum();
    assert!(front > 0 || cpu(pid) < 1 << 40, "the front has threads");
    front
}

/// Serves until standard input ends or somebody kills us.
fn serve(port: u16, upstream: u16, kind: &str, rules: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let mut config = Config::default();
    config.dns.listen = vec![([127, 0, 0, 1], port).into()];
    config.dns.udp_threads = 1;
    config.dns.upstream.mode = UpstreamMode::Forward;
    config.dns.upstream.servers = vec![([127, 0, 0, 1], upstream).into()];
    let (clock, metrics, in_force) = (Clock::system(), Metrics::new(), InForce::new());
    let (spool, recovery) = Spool::open(spool::Options {
        dir: dir.path().join("spool"),
        node: "bench".parse().expect("a node's name"),
        config: config.spool.clone(),
        clock: clock.clone(),
    })
    .expect("a spool");
    recovery.finish().expect("an empty spool");
    if kind != "none" {
        let began = Instant::now();
        in_force.swap(Arc::new(set(kind, rules)));
        eprintln!("{rules} rules in {:?}", began.elapsed());
    }
    let bound = Bound::new(&config.dns).expect("a free port");
    let (resolver, _) = Resolver::new(resolver::Options {
        dns: config.dns.clone(),
        rules: config.policy.clone(),
        in_force,
        node: "bench".parse().expect("a node's name"),
        on_full: config.spool.on_full.clone(),
        suffixes: Arc::new(PublicSuffixes::load(None).expect("the embedded list")),
        metrics: Arc::clone(&metrics),
        clock: clock.clone(),
        runtime: runtime.handle().clone(),
        tasks: TaskTracker::new(),
    })
    .expect("a resolver");
    let parts = Parts {
        config: &config.dns,
        spool: &spool,
        shared: spool.shared(Table::Resolutions).expect("a lane"),
        resolver,
        clock,
        metrics,
        runtime: runtime.handle().clone(),
    };
    let _dns = Dns::start(bound, parts).expect("a listener");
    // The parent kills us; what it leaves in the directory is the system's to remove.
    loop {
        spool.maintain();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A feed of so many names, of others than are asked or with one for each of these.
fn set(kind: &str, rules: usize) -> PolicySet {
    let mut index = Index::builder();
    let mut add = |name: &str, wildcard| {
        let name = Name::from_text(name).expect("a name");
        let trigger = Trigger::Qname(NamePattern { name, wildcard });
        index.add(&Rule { trigger, action: Action::Nxdomain, legal: Arc::default() });
    };
    for i in 0..rules {
        add(&format!("host{i}.list{}.example", i % 1_000), i % 10 == 0);
    }
    if kind == "each" {
        for i in 1..NAMES {
            add(&format!("n{i}.bench.test"), false);
        }
    }
    let feed = FeedInForce {
        name: "bench".into(),
        version: 1,
        index: Arc::new(index.finish()),
        settings: FeedSettings::default(),
        closed: false,
    };
    PolicySet::new(1, vec![Arc::new(feed)], Extras::default())
}

/// Waits until the server on `port` answers a real question: for a name that no rule is about.
fn answers(port: u16, limit: Duration) {
    let s = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    s.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let ok = wait_for(limit, || {
        let mut q = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in ["n0", "bench", "test"] {
            q.push(label.len() as u8);
            q.extend_from_slice(label.as_bytes());
        }
        q.extend_from_slice(&[0, 0, 1, 0, 1]);
        let mut buf = [0; 512];
        s.send_to(&q, ("127.0.0.1", port)).is_ok()
            && matches!(s.recv(&mut buf), Ok(n) if n > 12 && buf[3] & 15 == 0 && buf[7] == 1)
    });
    assert!(ok, "no answer on port {port}");
}

/// BIND as the authority for the names asked.
fn named(dir: &Path, port: u16) -> Process {
    let mut names = String::new();
    for i in 0..NAMES {
        writeln!(names, "n{i} A 192.0.2.{}", i % 250).expect("a string grows");
    }
    authority::start(dir, port, &names)
}
