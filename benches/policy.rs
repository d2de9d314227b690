//! What rules cost: memory, loading, deciding; and beside it what the same list costs others.
//!
//! Memory is measured in processes of their own, each of which does one thing: what `/proc` calls
//! resident after it less before it, and the highest it ever was. CPU time is that of one thread.
//! The list is generated: names of 8 to 26 characters, each listed itself and with all below it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    fs,
    hint::black_box,
    io::{BufReader, BufWriter},
    net::UdpSocket,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use support::{
    Process, Scale, cpu, free_memory, free_port,
    lists::{self, Numbers},
    percentile, quiet, resident, wait_every,
};
use tracegate::{
    clock::Timestamp,
    feeds::format::{Format, Options, Origin, Place, Reason, Sink, read},
    name::Name,
    policy::{
        Action, Decision, Extras, FeedInForce, FeedSettings, Index, IndexBuilder, Legal, Matches,
        NamePattern, PolicySet, Rule, Trigger,
    },
};

const NOW: Timestamp = Timestamp::from_secs(1);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--child") {
        let [what, rules, file] = &args[at + 1..at + 4] else { panic!("a part, a size, a file") };
        let rules = rules.parse().expect("a number");
        return child(what, rules, Path::new(file));
    }
    let scale = Scale::from_args();
    let peers_only = args.iter().any(|a| a == "--peers");
    let dir = tempfile::tempdir().expect("a directory");
    let sizes = if scale.smoke { vec![2_000] } else { vec![1_000_000, 10_000_000] };
    for rules in sizes {
        let zone = dir.path().join("list.zone");
        lists::write_zone(&zone, rules);
        println!("\n| {rules} rules, {} | figure |", mb(fs::metadata(&zone).expect("it").len()));
        println!("|---|---|");
        // The comparison alone, for a machine that is quiet for a short while.
        let parts: &[&str] =
            if peers_only { &[] } else { &["memory", "swap", "load", "decide", "read"] };
        for part in parts {
            run_child(
                part,
                rules,
                &dir.path().join(if *part == "load" { "list.zone" } else { "index" }),
            );
        }
        if rules <= 1_000_000 || scale.full {
            peers(dir.path(), rules);
        }
    }
}

/// Runs one part in a process of its own, on core 0.
fn run_child(part: &str, rules: u64, file: &Path) {
    let program = std::env::current_exe().expect("this program");
    let status = Command::new("taskset")
        .args(["-c", "0"])
        .arg(program)
        .args(["--child", part, &rules.to_string()])
        .arg(file)
        .status();
    assert!(status.expect("taskset").success(), "{part} failed");
}

fn child(what: &str, rules: u64, file: &Path) {
    match what {
        "memory" => memory(rules, file),
        "swap" => swap(rules),
        "load" => load(file),
        "decide" => decide(rules, file),
        "read" => read_index(file),
        other => panic!("{other} is no part"),
    }
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// How long this thread has run, in nanoseconds.
fn on_cpu_ns() -> u64 {
    let all = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    all.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a kernel that counts")
}

fn this() -> u64 {
    resident(std::process::id())
}

/// The highest this process's memory ever was, since it was asked to forget.
fn peak() -> u64 {
    support::peak(std::process::id())
}

fn rule(name: &str, wildcard: bool, legal: &Arc<Legal>) -> Rule {
    let name = Name::from_text(name).expect("a name");
    let trigger = Trigger::Qname(NamePattern { name, wildcard });
    Rule { trigger, action: Action::Nxdomain, legal: Arc::clone(legal) }
}

/// Adds the rules of names `from` up to `to`. A tenth of them are of another order.
fn add(builder: &mut IndexBuilder, from: u64, to: u64) {
    let order = |number: &str| {
        let order_number = number.into();
        Arc::new(Legal { authority: "an authority".into(), order_number, ..Legal::default() })
    };
    let orders = [order("2026/1"), order("2026/2")];
    for n in from..to {
        let (name, legal) = (lists::name(n), &orders[usize::from(n % 10 == 0)]);
        builder.add(&rule(&name, false, legal));
        builder.add(&rule(&name, true, legal));
    }
}

fn built(rules: u64) -> Index {
    let mut builder = Index::builder();
    add(&mut builder, 0, rules / 2);
    builder.finish()
}

fn memory(rules: u64, file: &Path) {
    let before = this();
    let index = built(rules);
    let after = this();
    assert_eq!(index.len() as u64, rules);
    let each = |bytes: u64| bytes as f64 / rules as f64;
    println!("| memory, resident | {:.1} bytes a rule |", each(after - before));
    println!("| memory, counted | {:.1} bytes a rule |", each(index.memory_bytes() as u64));
    println!(
        "| peak while building, over what stays | {:.2} |",
        (peak() - before) as f64 / (after - before) as f64
    );
    let start = Instant::now();
    let mut out = BufWriter::new(fs::File::create(file).expect("a file"));
    index.write(&mut out).expect("room on disk");
    let size = fs::metadata(file).expect("it").len();
    println!("| index file | {}, written in {:.2} s |", mb(size), start.elapsed().as_secs_f64());
}

/// Versions that follow one another, with three names in a hundred leaving and as many coming.
fn swap(rules: u64) {
    let names = rules / 2;
    let before = this();
    let mut index = Arc::new(built(rules));
    let alone = this() - before;
    let (mut peaks, mut stays, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    let versions = if rules > 1_000_000 { 4 } else { 12 };
    for version in 1..=versions {
        let steady = this() - before;
        support::forget_peak(std::process::id());
        let from = version * names * 3 / 100;
        let started = on_cpu_ns();
        let mut builder = index.next();
        add(&mut builder, from, from + names);
        let next = Arc::new(builder.finish());
        seconds.push((on_cpu_ns() - started) as f64 / 1e9);
        peaks.push((peak() - before) as f64 / steady as f64);
        index = next;
        stays.push((this() - before) as f64 / alone as f64);
    }
    println!(
        "| swap of a version with 3 % changed, {versions} times: peak over steady | median {:.2}, worst {:.2} |",
        percentile(&mut peaks, 0.5),
        percentile(&mut peaks, 1.0),
    );
    println!(
        "| memory after such swaps, over that of the first | worst {:.2} |",
        percentile(&mut stays, 1.0)
    );
    println!(
        "| building such a version, generating names included | {:.2} s of CPU |",
        percentile(&mut seconds, 0.5)
    );
}

/// Collects rules and counts what was wrong.
struct Collect {
    builder: IndexBuilder,
    rejected: u64,
}

impl Sink for Collect {
    fn rule(&mut self, _: Place<'_>, rule: Rule) {
        self.builder.add(&rule);
    }

    fn reject(&mut self, _: Place<'_>, _: Reason) {
        self.rejected += 1;
    }
}

fn load(zone: &Path) {
    let origin = Origin::Given(Name::from_text("rpz").expect("a name"));
    let options = Options { origin, ..Options::default() };
    let mut sink = Collect { builder: Index::builder(), rejected: 0 };
    let (before, started, start) = (this(), on_cpu_ns(), Instant::now());
    let mut input = BufReader::with_capacity(1 << 20, fs::File::open(zone).expect("the list"));
    read(Format::Rpz, &mut input, &options, &mut sink).expect("a list");
    assert_eq!(sink.rejected, 0);
    let index = sink.builder.finish();
    let cpu_s = (on_cpu_ns() - started) as f64 / 1e9;
    println!(
        "| loading the zone: text to index | {:.2} s, {:.2} s of CPU, {:.2} million rules/s, {} |",
        start.elapsed().as_secs_f64(),
        cpu_s,
        index.len() as f64 / cpu_s / 1e6,
        mb(this() - before),
    );
}

fn set_of(index: Index) -> PolicySet {
    let feed = FeedInForce {
        name: "list".into(),
        version: 1,
        index: Arc::new(index),
        settings: FeedSettings::default(),
        closed: false,
    };
    PolicySet::new(1, vec![Arc::new(feed)], Extras::default())
}

fn read_index(file: &Path) {
    let before = this();
    let start = Instant::now();
    let mut input = BufReader::with_capacity(1 << 16, fs::File::open(file).expect("the index"));
    let set = set_of(Index::read(&mut input).expect("an index"));
    let name = Name::from_text(&lists::name(1)).expect("a name");
    assert!(matches!(set.question(&name, Matches::default(), NOW), Decision::Decided(_)));
    let first = start.elapsed().as_secs_f64();
    println!(
        "| reading the index, to the first decision | {first:.3} s, {} |",
        mb(this() - before)
    );
}

fn decide(rules: u64, file: &Path) {
    let mut input = BufReader::new(fs::File::open(file).expect("the index"));
    let set = set_of(Index::read(&mut input).expect("an index"));
    let mut numbers = Numbers(1);
    let mut names = |make: &dyn Fn(u64) -> String| -> Vec<Name> {
        let name = |n: u64| Name::from_text(&make(n)).expect("a name");
        (0..100_000).map(|_| name(numbers.next())).collect()
    };
    let listed = |n: u64| lists::name(n % (rules / 2));
    let unlisted = |n: u64| lists::name(rules + n % rules);
    let deep = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t";
    let empty = PolicySet::empty();
    let parts: [(&str, &PolicySet, Vec<Name>, bool); 6] = [
        ("no rules at all", &empty, names(&unlisted), false),
        ("miss", &set, names(&unlisted), false),
        ("miss, www before it", &set, names(&|n| format!("www.{}", unlisted(n))), false),
        ("miss, 20 labels before it", &set, names(&|n| format!("{deep}.{}", unlisted(n))), false),
        ("hit", &set, names(&listed), true),
        ("hit below a wildcard", &set, names(&|n| format!("www.{}", listed(n))), true),
    ];
    for (what, set, names, hits) in parts {
        let mut times: Vec<f64> = (0..7).map(|_| round(set, &names, hits)).collect();
        let [median, best] = [0.5, 0.0].map(|share| percentile(&mut times, share));
        println!("| a decision: {what} | {median:.0} ns, at best {best:.0} |");
    }
}

/// Nanoseconds a decision, of CPU time.
fn round(set: &PolicySet, names: &[Name], hits: bool) -> f64 {
    let start = on_cpu_ns();
    let mut decided = 0;
    for name in names {
        let decision = set.question(black_box(name), Matches::default(), NOW);
        decided += usize::from(matches!(decision, Decision::Decided(_)));
    }
    let each = (on_cpu_ns() - start) as f64 / names.len() as f64;
    assert_eq!(decided, if hits { names.len() } else { 0 });
    each
}

/// What the list costs others: the same server with one rule, and with all of them. Each has so many
/// bytes a rule while it loads, at the worst; who would not fit is not started.
fn peers(dir: &Path, rules: u64) {
    println!("\n| party, {rules} rules | memory | bytes a rule | until it blocks | CPU |");
    println!("|---|---|---|---|---|");
    lists::write_zone(&dir.join("one.zone"), 2);
    let parties = [
        ("Unbound", unbound as Start, 900),
        ("BIND", bind, 800),
        ("PowerDNS Recursor", recursor, 500),
    ];
    for (name, start, at_worst) in parties {
        let (needs, free) = (rules * at_worst, free_memory());
        if needs > free {
            let why = format!("NOT MEASURED: may need {}, {} are free", mb(needs), mb(free));
            println!("| {name} | {why} | | | |");
            eprintln!("{name}: {why}");
            continue;
        }
        let [one, all] = [("one.zone", 2), ("list.zone", rules)].map(|(zone, rules)| {
            let begin = Instant::now();
            let port = free_port();
            let server = start(dir, zone, port);
            let last = lists::name(rules / 2 - 1);
            let pause = Duration::from_millis(20);
            let ready = wait_every(pause, Duration::from_secs(600), || blocks(port, &last));
            assert!(ready, "{name} does not enforce {zone}");
            let figures = (begin.elapsed().as_secs_f64(), cpu(server.pid()) as f64 / 1e6);
            quiet(&[server.pid()]);
            let memory = resident(server.pid());
            server.stop();
            (memory, figures)
        });
        let more = all.0.saturating_sub(one.0);
        println!(
            "| {name} | {} | {:.0} | {:.1} s | {:.1} s |",
            mb(more),
            more as f64 / rules as f64,
            all.1.0,
            all.1.1
        );
    }
}

type Start = fn(&Path, &str, u16) -> Process;

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

fn unbound(dir: &Path, zone: &str, port: u16) -> Process {
    let d = dir.display();
    let conf = format!(
        "server:\n num-threads: 1\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n \
         username: \"\"\n chroot: \"\"\n directory: \"{d}\"\n pidfile: \"\"\n use-syslog: no\n \
         access-control: 127.0.0.0/8 allow\n module-config: \"respip iterator\"\n\
         remote-control:\n control-enable: no\n\
         rpz:\n name: rpz\n zonefile: \"{d}/{zone}\"\n"
    );
    let conf = write(dir, &format!("unbound-{port}.conf"), &conf);
    Process::start(0, "unbound", dir, "unbound", &["-d", "-c", &conf])
}

fn bind(dir: &Path, zone: &str, port: u16) -> Process {
    let d = dir.display();
    let conf = format!(
        "options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
         pid-file none; session-keyfile none; recursion yes; dnssec-validation no;\n\
         forwarders {{ 127.0.0.1 port 9; }}; forward only;\n\
         response-policy {{ zone \"rpz\"; }} qname-wait-recurse no; }};\n\
         controls {{ }};\nzone \"rpz\" {{ type primary; file \"{d}/{zone}\"; }};\n"
    );
    let conf = write(dir, &format!("named-{port}.conf"), &conf);
    Process::start(0, "named", dir, "named", &["-f", "-n", "1", "-c", &conf])
}

fn recursor(dir: &Path, zone: &str, port: u16) -> Process {
    let d = dir.display();
    let lua = format!("rpzFile(\"{d}/{zone}\", {{policyName=\"rpz\"}})\n");
    let lua = write(dir, &format!("rpz-{port}.lua"), &lua);
    let args = [
        "--config-dir=/nonexistent".to_owned(),
        format!("--local-address=127.0.0.1:{port}"),
        format!("--lua-config-file={lua}"),
        "--threads=1".into(),
        "--pdns-distributes-queries=no".into(),
        "--dnssec=off".into(),
        "--quiet=yes".into(),
        "--daemon=no".into(),
        "--security-poll-suffix=".into(),
        format!("--socket-dir={d}"),
        "--loglevel=3".into(),
        "--disable-syslog=yes".into(),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Process::start(0, "recursor", dir, "pdns_recursor", &args)
}

/// Whether a server says of this name that it does not exist.
fn blocks(port: u16, name: &str) -> bool {
    let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    query.extend_from_slice(Name::from_text(name).expect("a name").wire());
    query.extend_from_slice(&[0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let mut answer = [0; 512];
    socket.send_to(&query, ("127.0.0.1", port)).is_ok()
        && matches!(socket.recv(&mut answer), Ok(len) if len > 11 && answer[3] & 0xf == 3)
}
