//! What verification costs: one verification of a zone on real name servers, with everything that
//! can be known known already, and judged again from what is kept; the bytes that it keeps; a verdict
//! in memory, as a query or a jump finds it; a name held against 100,000 protected ones.
//!
//! The zones are those of a root, a top-level zone and its children at three servers (NSD) on core 1;
//! what is measured is the CPU time of this thread. Packets, and times beside Zonemaster and DNSViz,
//! are what `make agreement` writes down.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    hint::black_box,
    net::UdpSocket,
    path::Path,
    time::{Duration, Instant},
};

use support::{Process, Scale, cpu_of_this_thread, free_port, lists, wait_for};
use tracegate::{
    clock::{Clock, Timestamp},
    verify::{
        Dossier, Last, Overall, RULES_VERSION, Verdicts,
        dns::{Grounds, plan::Plan, reply::OwnName},
        evidence::Bundle,
        gather::{self, Settings},
        idn::Protected,
    },
};

const ROOT: &str = "127.1.0.1";
const TLD: &str = "127.2.0.1";
const LEAF: [&str; 2] = ["127.30.0.1", "127.30.1.1"];

fn main() {
    let scale = Scale::from_args();
    println!("| what | figure |\n|---|---|");
    whole(scale);
    in_memory(scale);
    alike(scale);
}

fn soa(ns: &str) -> String {
    format!("$TTL 3600\n@ SOA {ns} hostmaster.bench. 1 7200 3600 604800 300\n@ NS {ns}\n")
}

/// The servers: what each has, by its address.
fn servers(dir: &Path, port: u16, count: u32) -> Vec<Process> {
    let mut tld = soa("ns.bench.");
    writeln!(tld, "ns A {TLD}").expect("text");
    let mut leaves = Vec::new();
    for n in 0..count {
        let [a, b] = LEAF;
        let both = format!("@ NS ns1\n@ NS ns2\nns1 A {a}\nns2 A {b}\n");
        writeln!(tld, "$ORIGIN z{n}.bench.\n{both}$ORIGIN bench.").expect("text");
        let text = format!(
            "$TTL 3600\n@ SOA ns1 hostmaster 1 7200 3600 604800 300\n{both}@ A 5.6.7.8\n\
             www A 5.6.7.8\n@ MX 10 www\n"
        );
        leaves.push((format!("z{n}.bench"), text));
    }
    let root =
        format!("{}ns.root. A {ROOT}\nbench NS ns.bench.\nns.bench. A {TLD}\n", soa("ns.root."));
    vec![
        nsd(dir, "root", ROOT, port, &[(".".into(), root)]),
        nsd(dir, "tld", TLD, port, &[("bench".into(), tld)]),
        nsd(dir, "one", LEAF[0], port, &leaves),
        nsd(dir, "two", LEAF[1], port, &leaves),
    ]
}

fn nsd(dir: &Path, name: &str, at: &str, port: u16, zones: &[(String, String)]) -> Process {
    let dir = dir.join(name);
    fs::create_dir(&dir).expect("a directory");
    let d = dir.display();
    let mut conf = format!(
        "server:\n ip-address: {at}@{port}\n username: \"\"\n chroot: \"\"\n database: \"\"\n \
         zonesdir: \"{d}\"\n pidfile: \"{d}/pid\"\n xfrdfile: \"{d}/xfrd\"\n xfrdir: \"{d}\"\n \
         zonelistfile: \"{d}/list\"\n server-count: 1\nremote-control:\n control-enable: no\n"
    );
    for (n, (zone, text)) in zones.iter().enumerate() {
        let origin = if zone == "." { ".".to_owned() } else { format!("{zone}.") };
        fs::write(dir.join(format!("{n}")), format!("$ORIGIN {origin}\n{text}")).expect("a zone");
        writeln!(conf, "zone:\n name: \"{zone}\"\n zonefile: \"{d}/{n}\"").expect("text");
    }
    let path = dir.join("nsd.conf");
    fs::write(&path, conf).expect("a configuration");
    let path = path.to_str().expect("a path in UTF-8");
    let process = Process::start(1, name, &dir, "nsd", &["-d", "-c", path]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    // SOA of the root: whoever answers is up.
    let question = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\0\0\x06\0\x01";
    let up = wait_for(Duration::from_secs(20), || {
        socket.send_to(question, (at, port)).is_ok() && socket.recv(&mut [0; 512]).is_ok()
    });
    assert!(up, "nsd at {at} does not answer");
    process
}

fn dossier(plan: Plan, bundle: Bundle, grounds: &Grounds, at: Timestamp) -> Dossier {
    Dossier {
        rules_version: RULES_VERSION.to_owned(),
        at,
        subject: plan.host.clone(),
        kind: "host".to_owned(),
        network: true,
        address: None,
        registered_domain: String::new(),
        plan: Some(plan),
        grounds: grounds.clone(),
        registrable_domain: String::new(),
        alike: None,
        filed: None,
        declared: None,
        rows: Vec::new(),
        own_zone: false,
        listed: Vec::new(),
        asns: BTreeMap::new(),
        bundle,
    }
}

/// Asked, judged, and judged again.
fn whole(scale: Scale) {
    let dir = tempfile::tempdir().expect("a directory");
    let (port, count) = (free_port(), scale.pick(400, 4));
    let _servers = servers(dir.path(), port, count);
    let allow = vec!["127.0.0.0/8".parse().expect("a network")];
    let settings = Settings {
        roots: vec![("ns.root".parse().expect("a name"), ROOT.parse().expect("an address"))],
        port,
        servers_allow: allow.clone(),
        attempts: 2,
        timeout: Duration::from_millis(700),
        deadline: Duration::from_secs(15),
        questions_max: 500,
        servers_max: 16,
        keep: Duration::from_secs(3_600),
        vantage: "bench".into(),
    };
    let grounds = Grounds { servers_allow: allow, anchors: String::new() };
    let clock = Clock::system();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let name = |text: String| text.parse::<OwnName>().expect("a name");
    let (mut dossiers, began, used) = (Vec::new(), Instant::now(), cpu_of_this_thread());
    for n in 0..count {
        let (host, zone) = (name(format!("www.z{n}.bench")), name(format!("z{n}.bench")));
        let asked = gather::resolution(&settings, &clock, &host, &zone, "nobody-made-this");
        let (plan, bundle) = runtime.block_on(asked);
        let dossier = dossier(plan, bundle, &grounds, clock.now());
        let verdict = dossier.judge().expect("a verdict");
        let is_well = |f: &tracegate::verify::Finding| !f.is_adverse();
        assert!(verdict.findings.iter().all(is_well), "{verdict:#?}");
        dossiers.push(dossier);
    }
    let each = |us: u64| us as f64 / 1e3 / f64::from(count);
    let wall = began.elapsed().as_secs_f64() * 1e3 / f64::from(count);
    let cpu = each(cpu_of_this_thread() - used);
    println!(
        "| asked and judged, one at a time | {wall:.2} ms, {cpu:.2} ms of CPU: {:.0}/s a core |",
        1e3 / cpu
    );
    let questions: usize = dossiers.iter().map(|d| d.bundle.observations.len()).sum();
    let bodies: usize = dossiers.iter().flat_map(|d| d.bundle.bodies.values()).map(Vec::len).sum();
    let packed: usize = dossiers.iter().map(|d| d.packed().len()).sum();
    let of = |n: usize| n / count as usize;
    println!(
        "| kept of one domain | {} observations, {} bytes of bodies, {} of dossier |",
        of(questions),
        of(bodies),
        of(packed)
    );
    let rounds = scale.pick(20, 1);
    let began = Instant::now();
    for _ in 0..rounds {
        for dossier in &dossiers {
            black_box(dossier.judge().expect("a verdict"));
        }
    }
    let us = began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds * count);
    println!("| judged again from what is kept | {us:.0} µs: {:.0}/s a core |", 1e6 / us);
}

/// A verdict in memory.
fn in_memory(scale: Scale) {
    let (names, at) = (scale.pick(1_000_000_u64, 1_000), Timestamp::from_secs(1));
    let verdicts = Verdicts::new(usize::MAX, 16);
    let all: Vec<String> = (0..names).map(lists::name).collect();
    for name in &all {
        let last = Last {
            overall: Overall::Verified,
            adverse: Vec::new(),
            at,
            valid_until: Timestamp::from_secs(9),
            record: "n-1-1".into(),
        };
        verdicts.put(name, last, at);
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    let mut numbers = lists::Numbers(7);
    for i in (1..order.len()).rev() {
        order.swap(i, (numbers.next() % (i as u64 + 1)) as usize);
    }
    // A few names that are asked for again and again, and any.
    for (what, few) in [("1,000 names asked for again and again", 1_000), ("any", order.len())] {
        let rounds = scale.pick(4_000_000, 4_000);
        let began = Instant::now();
        for n in 0..rounds {
            let name = &all[order[n % few.min(order.len())]];
            black_box(verdicts.standing(name, at).is_some());
        }
        let ns = began.elapsed().as_secs_f64() * 1e9 / rounds as f64;
        println!("| a verdict in memory, of {names} hosts, {what} | {ns:.0} ns |");
    }
}

/// A name held against protected ones.
fn alike(scale: Scale) {
    let count = scale.pick(100_000, 1_000);
    let protected: Vec<String> = (0..count).map(lists::name).collect();
    let registrable = |name: &str| {
        let labels: Vec<&str> = name.rsplitn(3, '.').collect();
        format!("{}.{}", labels[1], labels[0])
    };
    let began = Instant::now();
    let list = Protected::new(protected.iter().map(String::as_str), registrable).expect("names");
    println!("| {count} protected names read | {:.2} s |", began.elapsed().as_secs_f64());
    let others: Vec<(String, String)> = (count..count + scale.pick(50_000, 500))
        .map(|n| lists::name(n * 7 + 3))
        .map(|name| (registrable(&name), name))
        .collect();
    let (began, mut found) = (Instant::now(), 0);
    for (domain, name) in &others {
        found += usize::from(!list.alike(name, domain).is_empty());
    }
    let ns = began.elapsed().as_secs_f64() * 1e9 / others.len() as f64;
    println!("| a name held against them ({found} of {} alike) | {ns:.0} ns |", others.len());
}
