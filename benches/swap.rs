//! What does a client feel while a list of millions is replaced?
//!
//! `tracegate serve` on core 0 has one feed in force and answers from its cache, for core 1. The
//! feed's file is replaced, again and again, by one of which three names in a hundred are others,
//! and by one that has nothing in common with it. Every answer says of which version it is, or may
//! be: after the first one of a new version, no question may be answered by the old one. Records
//! are kept, but there is no store to ship them to, whose merges would be measured as well.
//!
//! `--rules N` for another size, `--share N` for another share of what one core can answer, in a
//! hundred; `--full` also with as many questions as one core answers.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    fmt::Write as _,
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use support::{
    Process, Scale, Tracegate,
    asker::{Asked, Asker, Kind, Question, SLICE_NS},
    authority, cpu, cpu_by_thread, forget_peak, free_port, lists, peak, percentile, resident,
    wait_every, wait_for,
};

/// Names of each kind that are asked about.
const NAMES: usize = 1_000;

/// The lists: a first one, one with a few other names, one with none of its names.
const LISTS: [u8; 3] = [1, 2, 3];

/// What a swap changes.
const FEW: &str = "3 % are others";
const ALL: &str = "all are others";

/// How many in a hundred of the questions that one core can answer are asked.
const SHARE: u64 = 60;

/// Slices of a window; how far windows without a swap differ says what noise is.
const WINDOW: usize = 5;

/// What is done about the load, in seconds.
#[derive(Clone, Copy)]
struct Times {
    steady: u64,
    after: u64,
    /// A version that is not in force by then is a failure.
    limit: u64,
}

fn main() {
    let scale = Scale::from_args();
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        Some(args.get(at + 1)?.parse::<u64>().expect("a number"))
    };
    let rules = number("--rules").unwrap_or_else(|| scale.pick(5_000_000, 10_000));
    let share = number("--share").unwrap_or(SHARE);
    let mut core = CpuSet::new();
    core.set(1).expect("a core");
    sched_setaffinity(Pid::from_raw(0), &core).expect("a second core");
    let dir = tempfile::tempdir().expect("a directory");
    let bench = Bench::start(dir.path(), rules);
    let times = scale.pick(
        Times { steady: 10, after: 10, limit: 600 },
        Times { steady: 1, after: 1, limit: 60 },
    );
    let swaps = scale.pick(&[2, 1, 2, 1, 3, 1][..], &[2, 3][..]);
    let most = bench.most(scale);
    println!("{rules} rules, questions as fast as answers come: {most}/s");
    let mut wrong = 0;
    let mut loads = vec![most * share / 100];
    if scale.full {
        loads.push(0);
    }
    for rate in loads {
        // A core without a pause takes minutes to read a list: fewer of them.
        let swaps = if rate == 0 { &swaps[..2] } else { swaps };
        wrong += bench.run(rate, swaps, times);
    }
    let warnings = bench.complaints();
    bench.server.process.stop();
    assert_eq!(wrong, 0, "answers of a version that was not in force");
    assert!(warnings.is_empty(), "{warnings}");
}

/// One swap, as it was measured.
struct Swap {
    what: &'static str,
    replaced: u64,
    in_force: u64,
    /// When the load was taken away again.
    over: u64,
    steady_bytes: u64,
    peak_bytes: u64,
    after_bytes: u64,
    /// How long the server worked on, without load.
    work: Duration,
}

struct Bench {
    dir: PathBuf,
    server: Tracegate,
    _upstream: Process,
    port: u16,
}

impl Bench {
    /// A server with the first list in force.
    fn start(dir: &Path, rules: u64) -> Self {
        let names = rules / 2;
        for list in LISTS {
            let from = match list {
                1 => 0,
                2 => names * 3 / 100,
                _ => 2 * names,
            };
            lists::write_zone_of(&path(dir, list), from..from + names, &marks(list));
        }
        fs::create_dir(dir.join("lists")).expect("a directory");
        put(dir, 1);
        let up = free_port();
        let upstream = named(dir, up);
        let config = format!(
            "version = 1\n[dns]\nlisten = [\"127.0.0.1:0\"]\nudp_threads = 1\n\
             [dns.upstream]\nservers = [\"127.0.0.1:{up}\"]\n\
             [gateway]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
             [store]\nurl = \"http://127.0.0.1:9\"\n[feeds]\nroots = [\"{}\"]\n",
            dir.join("lists").display()
        );
        let server = Tracegate::start(dir, "tracegate", &config);
        let port = server.address("dns").port();
        let list = dir.join("lists/list");
        let added = Command::new(env!("CARGO_BIN_EXE_tracegate"))
            .args(["--data-dir", server.data.to_str().expect("a path in UTF-8")])
            .args(["feed", "add", "swap", "--format", "rpz", "--source"])
            .arg(&list)
            .output()
            .expect("the command");
        let said = String::from_utf8_lossy(&added.stderr).into_owned();
        let known = wait_every(Duration::from_millis(50), Duration::from_secs(300), || {
            version(port) == Some(1)
        });
        assert!(known, "the first list is not in force: {said}");
        let bench = Self { dir: dir.to_owned(), server, _upstream: upstream, port };
        bench.quiet();
        bench
    }

    /// How many questions a second one core answers; everything asked is in its cache then.
    fn most(&self, scale: Scale) -> u64 {
        let asker = Asker::start(self.port, questions(), 128);
        asker.control.in_force(1);
        asker.control.pause(false);
        let seconds = scale.pick(4, 1);
        thread::sleep(Duration::from_secs(seconds));
        let before = asker.control.answered();
        thread::sleep(Duration::from_secs(seconds));
        let most = (asker.control.answered() - before) / seconds;
        let asked = asker.finish();
        assert_eq!(asked.wrong, 0, "{:?}", asked.examples);
        most
    }

    /// Swaps the lists under so many questions a second (0: as many as are answered); returns how
    /// many answers were wrong.
    fn run(&self, rate: u64, swaps: &[u8], times: Times) -> u64 {
        // What waits at once must fit into the server's socket buffer where nothing is lost by
        // asking as fast as it answers.
        let asker = Asker::start(self.port, questions(), if rate == 0 { 128 } else { 4_096 });
        let mut old = 1;
        asker.control.in_force(old);
        asker.control.rate(rate);
        let (mut done, mut steady) = (Vec::new(), Vec::new());
        for list in swaps {
            asker.control.pause(false);
            thread::sleep(Duration::from_secs(1));
            let from = asker.now();
            thread::sleep(Duration::from_secs(times.steady));
            steady.push((from, asker.now()));
            done.push(self.swap(&asker, old, *list, times));
            old = *list;
        }
        let asked = asker.finish();
        report(rate, &done, &steady, &asked);
        asked.wrong
    }

    fn swap(&self, asker: &Asker, old: u8, list: u8, times: Times) -> Swap {
        let pid = self.server.process.pid();
        let steady_bytes = resident(pid);
        forget_peak(pid);
        asker.control.swapping(old, list);
        let replaced = asker.now();
        put(&self.dir, list);
        wait_every(Duration::from_millis(10), Duration::from_secs(times.limit), || {
            asker.control.first().is_some()
        });
        let in_force = asker.control.first().expect("a version in force in time");
        thread::sleep(Duration::from_secs(times.after));
        let over = asker.now();
        asker.control.pause(true);
        self.quiet();
        asker.control.in_force(list);
        let work = Duration::from_nanos(asker.now() - over);
        let (peak_bytes, after_bytes) = (peak(pid), resident(pid));
        let what = if old.max(list) == 3 { ALL } else { FEW };
        Swap { what, replaced, in_force, over, steady_bytes, peak_bytes, after_bytes, work }
    }

    /// Waits until the server does nothing besides answering: the records of a version's rules are
    /// written long after it is in force.
    fn quiet(&self) {
        let pid = self.server.process.pid();
        let mut calm = 0;
        let quiet = wait_every(Duration::ZERO, Duration::from_secs(600), || {
            let before = beside(pid);
            thread::sleep(Duration::from_millis(500));
            calm = if beside(pid) - before < 50_000 { calm + 1 } else { 0 };
            calm > 3
        });
        if !quiet {
            eprintln!("the server is still at work");
        }
    }

    /// What the server complained about, its missing store apart.
    fn complaints(&self) -> String {
        let log = fs::read_to_string(self.dir.join("tracegate.log")).unwrap_or_default();
        let bad = log.lines().filter(|l| l.contains("ERROR") || l.contains("waits for approval"));
        bad.filter(|l| l.contains("feed")).take(5).collect::<Vec<_>>().join("\n")
    }
}

/// CPU time of everything in a server but the thread that answers, in microseconds.
fn beside(pid: u32) -> u64 {
    let threads = cpu_by_thread(pid);
    let front: u64 = threads.iter().filter(|(n, _)| n.starts_with("dns-udp")).map(|(_, v)| v).sum();
    cpu(pid).saturating_sub(front)
}

fn path(dir: &Path, list: u8) -> PathBuf {
    dir.join(format!("list-{list}.zone"))
}

/// Puts a list in the feed's place at once, without writing anything.
fn put(dir: &Path, list: u8) {
    let [part, whole] = ["list.part", "list"].map(|n| dir.join("lists").join(n));
    fs::hard_link(path(dir, list), &part).expect("one file system");
    fs::rename(part, whole).expect("a file in its place");
}

/// The records by which a list's answers are known.
fn marks(list: u8) -> String {
    let mut text = String::new();
    for i in 0..NAMES {
        writeln!(text, "n{i}.only{list}.bench.test CNAME .").expect("a string grows");
        writeln!(
            text,
            "n{i}.each.bench.test A 10.0.0.{list}\nn{i}.each.bench.test A 10.1.0.{list}"
        )
        .expect("a string grows");
    }
    text
}

/// Half of them about names in no list, the others about those that tell.
fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for i in 0..NAMES {
        let mut ask = |label: &str, kind| {
            all.push(Question::new(&format!("n{i}.{label}.bench.test"), kind));
        };
        for label in ["a", "b", "c", "d"] {
            ask(label, Kind::Free);
        }
        for list in LISTS {
            ask(&format!("only{list}"), Kind::Only(list));
        }
        ask("each", Kind::Each);
    }
    all
}

/// The version that answers the first question now.
fn version(port: u16) -> Option<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    let name = tracegate::name::Name::from_text("n0.each.bench.test").ok()?;
    let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    query.extend_from_slice(name.wire());
    query.extend_from_slice(&[0, 1, 0, 1]);
    let mut answer = [0; 512];
    socket.send_to(&query, ("127.0.0.1", port)).ok()?;
    let len = socket.recv(&mut answer).ok()?;
    (answer[7] == 2).then(|| answer[len - 1])
}

/// BIND as the authority for the names asked, whether listed or not.
fn named(dir: &Path, port: u16) -> Process {
    let mut names = String::new();
    for label in ["a", "b", "c", "d", "only1", "only2", "only3", "each"] {
        writeln!(names, "*.{label} A 192.0.2.1").expect("a string grows");
    }
    let named = authority::start(dir, port, &names);
    let answers = wait_for(Duration::from_secs(20), || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05bench\x04test\0\0\x06\0\x01";
        let mut answer = [0; 512];
        socket.send_to(query, ("127.0.0.1", port)).is_ok() && socket.recv(&mut answer).is_ok()
    });
    assert!(answers, "no upstream");
    named
}

fn report(rate: u64, swaps: &[Swap], steady: &[(u64, u64)], asked: &Asked) {
    let load = if rate == 0 { "as many as are answered".into() } else { format!("{rate}/s") };
    let seconds = |from: u64, to: u64| (to - from) as f64 / 1e9;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "\n| swap under {load} | in force after | steady | peak | peak over steady | after it | work left |"
    );
    println!("|---|---|---|---|---|---|---|");
    for s in swaps {
        println!(
            "| {} | {:.1} s | {:.0} MB | {:.0} MB | {:.2} | {:.0} MB | {:.0} s |",
            s.what,
            seconds(s.replaced, s.in_force),
            mb(s.steady_bytes),
            mb(s.peak_bytes),
            s.peak_bytes as f64 / s.steady_bytes as f64,
            mb(s.after_bytes),
            s.work.as_secs_f64(),
        );
    }
    println!(
        "\n| window under {load} | seconds | sent | unanswered | p50 µs | p99 | p99.9 | longest | p99 of half seconds: median, 9 in 10 below |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    row("no swap", steady, asked);
    for what in [FEW, ALL] {
        let of: Vec<&Swap> = swaps.iter().filter(|s| s.what == what).collect();
        if of.is_empty() {
            continue;
        }
        let until: Vec<_> = of.iter().map(|s| (s.replaced, s.in_force)).collect();
        let after: Vec<_> = of.iter().map(|s| (s.in_force, s.over)).collect();
        row(&format!("{what}: until in force"), &until, asked);
        row(&format!("{what}: after, rules are recorded"), &after, asked);
    }
    println!("\nAnswers of no version or of one that was not in force: {}", asked.wrong);
    for example in &asked.examples {
        println!("- {example}");
    }
}

/// One row: what became of the questions sent in these spans of time.
fn row(what: &str, spans: &[(u64, u64)], asked: &Asked) {
    let (mut sent, mut unanswered, mut all, mut windows) = (0, 0, Vec::new(), Vec::new());
    for (from, to) in spans {
        // The slices at both ends belong to other spans as well.
        let within = from.div_ceil(SLICE_NS) as usize..(to / SLICE_NS) as usize;
        let slices = asked.slices.get(within).unwrap_or_default();
        for window in slices.chunks(WINDOW) {
            let latencies =
                || window.iter().flat_map(|s| s.latencies.iter().copied().map(f64::from));
            sent += window.iter().map(|s| s.sent).sum::<u64>();
            unanswered += window.iter().map(|s| s.unanswered).sum::<u64>();
            all.extend(latencies());
            let mut window: Vec<f64> = latencies().collect();
            // Without an answer there is no latency; what was asked counts as unanswered.
            if !window.is_empty() {
                windows.push(percentile(&mut window, 0.99));
            }
        }
    }
    let seconds = spans.iter().map(|(from, to)| (to - from) as f64 / 1e9).sum::<f64>();
    let of = [0.5, 0.99, 0.999, 1.0].map(|share| format!("{:.0}", percentile(&mut all, share)));
    let windows = [0.5, 0.9].map(|share| format!("{:.0}", percentile(&mut windows, share)));
    println!(
        "| {what} | {seconds:.1} | {sent} | {unanswered} | {} | {} |",
        of.join(" | "),
        windows.join(", ")
    );
}
