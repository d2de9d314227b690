//! How fast do records reach the store, what does that cost, and how old is the oldest one that
//! has not arrived?
//!
//! A real spool, written by two lanes as the UDP threads write it, the real shipper and the real
//! engine. First everything is in the spool and is shipped as fast as it goes; then 50,000 records
//! a second are appended for a while with the shipper running. Nothing is pinned: lanes, shipper
//! and engine share the machine.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use support::{Scale, cpu, cpu_of_this_thread, lab::Lab, percentile, quiet, wait_for};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracegate::{
    config::{Durability, FullPolicy},
    record::{AnswerData, Flow, Resolution, ResolutionTail, Table},
    spool::{Commit, Lane},
    store::Shipper,
};

/// Lanes that write.
const LANES: u16 = 2;
/// Rows in one append: what a UDP thread finds waiting under load.
const BATCH: u64 = 64;
/// Different answers.
const NAMES: u64 = 20_000;
/// Different clients.
const CLIENTS: u64 = 10_000;
/// Records a second in the second part, all lanes together.
const STEADY: u64 = 50_000;
/// Appends a second of one lane there.
const TICKS: u64 = 100;

fn main() {
    let scale = Scale::from_args();
    let rows = scale.pick(2_000_000, 20_000);
    let seconds = scale.pick(20, 5);
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let lab = Arc::new(runtime.block_on(Lab::start(dir.path())));
    let upkeep = Upkeep::start(&lab);
    println!("| part | records | records/s | append µs | shipper µs | engine µs | note |");
    println!("|---|---|---|---|---|---|---|");
    backlog(&runtime, &lab, rows);
    steady(&runtime, &lab, seconds);
    upkeep.stop();
    runtime.block_on(lab.supervisor.shutdown());
}

/// Everything is there, and is shipped as fast as it goes.
fn backlog(runtime: &tokio::runtime::Runtime, lab: &Arc<Lab>, rows: u64) {
    let appended: u64 = on_lanes(lab, 0, move |lane, tails| {
        let before = cpu_of_this_thread();
        for batch in 0..rows / u64::from(LANES) / BATCH {
            append(lane, tails, batch * BATCH, BATCH);
        }
        cpu_of_this_thread() - before
    });
    let rows = rows / u64::from(LANES) / BATCH * BATCH * u64::from(LANES);
    let (began, own, engine) = (Instant::now(), cpu(std::process::id()), engine_cpu(lab));
    let (shipper, cancel) = ship(runtime, lab);
    assert!(wait_for(Duration::from_secs(300), || shipped(lab)), "not everything was shipped");
    let took = began.elapsed();
    let own = cpu(std::process::id()) - own;
    quiet(&[lab.endpoint.pid]);
    let merged = engine_cpu(lab) - engine;
    row("backlog", rows, took, [appended, own, merged], "engine with the merges that follow");
    end(runtime, shipper, &cancel);
}

/// A steady rate, and the age of the oldest record that is not in the store.
fn steady(runtime: &tokio::runtime::Runtime, lab: &Arc<Lab>, seconds: u64) {
    let (shipper, cancel) = ship(runtime, lab);
    let (began, own, engine) = (Instant::now(), cpu(std::process::id()), engine_cpu(lab));
    let watch = {
        let (lab, stop) = (Arc::clone(lab), cancel.clone());
        thread::spawn(move || {
            let mut ages = Vec::new();
            while !stop.is_cancelled() {
                thread::sleep(Duration::from_millis(50));
                // A shipper that has just begun looks at the store first.
                if began.elapsed() > Duration::from_secs(3) {
                    ages.push(lab.clock.now().since(lab.spool.complete_through()).as_secs_f64());
                }
            }
            ages
        })
    };
    let appended = on_lanes(lab, LANES, move |lane, tails| {
        let before = cpu_of_this_thread();
        let each = STEADY / u64::from(LANES) / TICKS;
        let pause = Duration::from_millis(1_000 / TICKS);
        let began = Instant::now();
        for tick in 0..seconds * TICKS {
            append(lane, tails, tick * each, each);
            let due = began + pause * u32::try_from(tick + 1).expect("a few ticks");
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        cpu_of_this_thread() - before
    });
    let took = began.elapsed();
    let behind = lab.spool.stats().unshipped_rows;
    cancel.cancel();
    let mut ages = watch.join().expect("the watch");
    end(runtime, shipper, &cancel);
    assert!(shipped(lab), "not everything was shipped");
    let own = (cpu(std::process::id()) - own).saturating_sub(appended);
    quiet(&[lab.endpoint.pid]);
    let rows = STEADY * seconds;
    let note = format!(
        "oldest record not in the store: p50 {:.2} s, p99 {:.2} s, at most {:.2} s; {behind} rows \
         on their way at the end",
        percentile(&mut ages, 0.5),
        percentile(&mut ages, 0.99),
        percentile(&mut ages, 1.0),
    );
    row("steady", rows, took, [appended, own, engine_cpu(lab) - engine], &note);
}

fn row(part: &str, rows: u64, took: Duration, cpu_us: [u64; 3], note: &str) {
    let [append, shipper, engine] = cpu_us.map(|us| us as f64 / rows.max(1) as f64);
    println!(
        "| {part} | {rows} | {:.0} | {append:.2} | {shipper:.2} | {engine:.2} | {note} |",
        rows as f64 / took.as_secs_f64()
    );
}

fn engine_cpu(lab: &Lab) -> u64 {
    cpu(lab.endpoint.pid)
}

type Task = JoinHandle<Result<(), tracegate::store::Error>>;

fn ship(runtime: &tokio::runtime::Runtime, lab: &Lab) -> (Task, CancellationToken) {
    let cancel = CancellationToken::new();
    let shipper = Shipper::new(
        lab.spool.clone(),
        lab.store.clone(),
        lab.node.clone(),
        Durability::Written,
        Arc::clone(&lab.metrics),
        lab.clock.clone(),
    );
    (runtime.spawn(shipper.run(cancel.clone())), cancel)
}

fn end(runtime: &tokio::runtime::Runtime, shipper: Task, cancel: &CancellationToken) {
    cancel.cancel();
    runtime.block_on(shipper).expect("the shipper").expect("the store");
}

fn shipped(lab: &Lab) -> bool {
    let under_way = lab.spool.open_shipments().into_iter().flat_map(|s| s.frames);
    let mut waiting = lab.spool.frames().into_iter().chain(under_way);
    !waiting.any(|f| f.table == Table::Resolutions)
}

/// Runs `work` on every lane, each in a thread; the sum of what they return.
fn on_lanes(
    lab: &Arc<Lab>,
    first: u16,
    work: impl Fn(&mut Lane, &[Vec<u8>]) -> u64 + Copy + Send + 'static,
) -> u64 {
    let threads: Vec<_> = (first..first + LANES)
        .map(|worker| {
            let lab = Arc::clone(lab);
            thread::spawn(move || {
                let tails: Vec<_> = (0..NAMES).map(tail).collect();
                let mut lane = lab.spool.lane(Table::Resolutions, worker).expect("a lane");
                let result = work(&mut lane, &tails);
                lane.close().expect("an end mark");
                result
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().expect("a lane's thread")).sum()
}

/// Appends the rows numbered `from..from + rows`.
fn append(lane: &mut Lane, tails: &[Vec<u8>], from: u64, rows: u64) {
    for i in from..from + rows {
        let random = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let name = usize::try_from(random % NAMES).expect("a small number");
        let client = Ipv4Addr::from(0x0a00_0000 + u32::try_from(random % CLIENTS).expect("small"));
        let port = 1_024 + u16::try_from(random % 60_000).expect("small");
        let row = Resolution {
            client: SocketAddr::from((client, port)),
            client_key: "",
            server: SocketAddr::from(([10, 255, 0, 53], 53)),
            transport: "udp",
            flags: 0x8180,
            latency_us: u32::try_from(20 + random % 400).expect("small"),
            min_ttl: u32::try_from(300 - i % 300).expect("small"),
            cache: if random.is_multiple_of(10) { "miss" } else { "hit" },
            flow: Flow::NONE,
            tail: &tails[name],
        };
        lane.push(&row, FullPolicy::Refuse);
    }
    assert_eq!(lane.commit(), Commit::Kept);
}

/// What an answer looks like: two addresses, every fourth behind a CNAME, some other data.
fn tail(n: u64) -> Vec<u8> {
    let domain = format!("d{n}.example");
    let address = |i: u64| {
        let bits = u32::try_from((n * 2 + i).wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
        IpAddr::V4(Ipv4Addr::from(bits.expect("32 bits")))
    };
    let other = AnswerData {
        owner: domain.clone(),
        rtype: 16,
        ttl: 300,
        rdata: format!("\"v=spf1 include:_spf.{domain} -all\""),
    };
    ResolutionTail {
        qname: format!("{}.{domain}", ["www", "mail", "api", "cdn"][(n % 4) as usize]),
        qtype: if n.is_multiple_of(20) { 16 } else { 1 },
        qclass: 1,
        answers: if n.is_multiple_of(20) { vec![] } else { vec![address(0), address(1)] },
        answer_names: if n % 4 == 3 { vec![format!("edge.{domain}")] } else { vec![] },
        answer_data: if n.is_multiple_of(20) { vec![other] } else { vec![] },
        upstream: "udp://192.0.2.53:53".into(),
        dnssec: "not_evaluated",
        psl_version: "2026-10-01".into(),
        registrable_domain: domain,
        ..ResolutionTail::default()
    }
    .encode()
}

/// The thread that maintains the spool, as a server has one.
struct Upkeep {
    stop: CancellationToken,
    thread: thread::JoinHandle<()>,
}

impl Upkeep {
    fn start(lab: &Arc<Lab>) -> Self {
        let (lab, stop) = (Arc::clone(lab), CancellationToken::new());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.is_cancelled() {
                lab.spool.maintain();
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.cancel();
        self.thread.join().expect("the upkeep");
    }
}
