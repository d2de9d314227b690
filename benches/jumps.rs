//! What does one jump cost with its record kept, with a million links and with ten, beside nginx
//! with its access log on and beside `shortener`, which counts hits in SQLite?
//!
//! `GET /{code}` from tracegate, with the links in its SQLite, a list of a hundred thousand other
//! names in force and every record kept; `return 302` from a map in nginx. The targets' host is
//! served from a local zone, so that every jump resolves its target and records that, too. Jumps
//! along links that are in memory, and along links that have to be read, are told apart.
//!
//! `-- --full` takes ten million links, too. Databases are kept in `TRACEGATE_BENCH_DIR` for the
//! next run where it is set; `-- --prepare` makes them and nothing else.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use support::{
    Load, Process, Scale, Tracegate, children, cpu, cpu_by_thread, free_port,
    links::{code, fill, target},
    lists, resident, wait_for, wrk,
};

/// Rules in force, none of them about a target.
const RULES: u64 = 100_000;

fn main() {
    let scale = Scale::from_args();
    let sizes: &[u64] = match (scale.smoke, scale.full) {
        (true, _) => &[2_000],
        (_, true) => &[1_000_000, 10_000_000],
        _ => &[1_000_000],
    };
    let (hot, seconds) = (scale.pick(100_000, 500), scale.pick(15, 1));
    let temporary = tempfile::tempdir().expect("a directory");
    let kept = env::var_os("TRACEGATE_BENCH_DIR").map(PathBuf::from);
    let dir = kept.as_deref().unwrap_or(temporary.path());
    let filled: Vec<String> = sizes.iter().map(|links| prepare(dir, *links)).collect();
    for line in &filled {
        eprintln!("{line}");
    }
    if env::args().any(|a| a == "--prepare") {
        return;
    }
    println!("| party | links | jumps | jumps/s | CPU µs per jump | of it | resident, MB |");
    println!("|---|---|---|---|---|---|---|");
    let dir_of_peers = temporary.path();
    nginx(dir_of_peers, hot, hot, seconds);
    nginx(dir_of_peers, sizes[0], sizes[0], seconds);
    shortener(dir_of_peers, sizes[0], seconds);
    for links in sizes {
        tracegate(dir, *links, Some(hot), seconds);
        tracegate(dir, *links, None, seconds);
    }
}

/// nginx with `links` in its map, of which `asked` are asked.
fn nginx(dir: &Path, links: u64, asked: u64, seconds: u32) {
    let port = free_port();
    let mut map = String::new();
    for n in 0..links {
        writeln!(map, "/{} {};", code(n), target(n)).expect("a string grows");
    }
    fs::write(dir.join("links.map"), map).expect("the map");
    let d = dir.display();
    let conf = format!(
        "daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/nginx.err;\n\
         events {{ worker_connections 1024; }}\nhttp {{ access_log {d}/access.log combined \
         buffer=64k flush=1s; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; \
         fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;\n\
         keepalive_requests 100000000; map_hash_max_size {}; map_hash_bucket_size 256;\n\
         map $uri $target {{ default \"\"; include {d}/links.map; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ if ($target = \"\") {{ return 404; }} \
         return 302 $target; }} }} }}\n",
        (links * 2).next_power_of_two()
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, conf).expect("the configuration");
    let p = Process::start(
        0,
        "nginx",
        dir,
        "nginx",
        &["-p", &d.to_string(), "-c", &file.to_string_lossy()],
    );
    let addr = listening(port, "nginx");
    let script = script(dir, asked, false);
    let url = format!("http://{addr}/");
    let used = |p: &Process| cpu(p.pid()) + children(p.pid()).into_iter().map(cpu).sum::<u64>();
    wrk(&url, &script, 2);
    let before = used(&p);
    let load = wrk(&url, &script, seconds);
    let used = used(&p) - before;
    let memory = children(p.pid()).into_iter().map(resident).sum();
    row("nginx, map, access log", links, &load, used, "", memory);
    p.stop();
}

/// The nearest of its kind in Rust, where it is installed.
fn shortener(dir: &Path, links: u64, seconds: u32) {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let program = cache.unwrap_or_default().join("tracegate/peers/bin/shortener");
    if !program.exists() {
        let root = program.parent().and_then(Path::parent).unwrap_or(&program);
        println!(
            "| shortener 0.2.0 | not there: `cargo install --locked shortener --version 0.2.0 \
             --features bundled-sqlite --root {}` | | | | | |",
            root.display()
        );
        return;
    }
    let database = dir.join("shortener.sqlite");
    {
        let db = rusqlite::Connection::open(&database).expect("a database");
        db.execute_batch(
            "PRAGMA synchronous = OFF; BEGIN; CREATE TABLE Urls(code TEXT PRIMARY KEY, url TEXT NOT \
             NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL, hits INTEGER NOT NULL, \
             last_hit INTEGER)",
        )
        .expect("its table");
        let sql = "INSERT INTO Urls VALUES (?1, ?2, 1750000000, 'bench', 0, NULL)";
        let mut insert = db.prepare(sql).expect("a statement");
        for n in 0..links {
            insert.execute((code(n), target(n))).expect("a link");
        }
        drop(insert);
        db.execute_batch("COMMIT").expect("the end");
    }
    let port = free_port();
    let (file, log) = (database.to_string_lossy(), dir.join("shortener.access"));
    let numbers = (port.to_string(), format!("http://127.0.0.1:{port}/"));
    let args = [
        "--listen-port",
        &numbers.0,
        "--url-prefix",
        &numbers.1,
        "--database",
        &file,
        "--log-file",
        &log.to_string_lossy(),
    ];
    let p = Process::start(0, "shortener", dir, &program.to_string_lossy(), &args);
    let addr = listening(port, "shortener");
    let script = script(dir, links, true);
    let url = format!("http://{addr}/");
    wrk(&url, &script, 2);
    let before = cpu(p.pid());
    let load = wrk(&url, &script, seconds);
    row("shortener, SQLite, log", links, &load, cpu(p.pid()) - before, "", resident(p.pid()));
    p.stop();
}

fn listening(port: u16, who: &str) -> SocketAddr {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let there = wait_for(Duration::from_secs(120), || TcpStream::connect(addr).is_ok());
    assert!(there, "no {who}");
    addr
}

fn config(dir: &Path, cache_bytes: u64) -> String {
    let d = dir.display();
    format!(
        "version = 1\n[dns]\nlisten = [\"127.0.0.1:0\"]\nudp_threads = 1\nzone_root = \"{d}\"\n\
         [[dns.zones]]\nname = \"bench.test\"\nfile = \"jump.zone\"\n[dns.upstream]\nmode = \"off\"\n\
         [gateway]\nlisten = \"127.0.0.1:0\"\nthreads = 1\nlink_cache_bytes_max = {cache_bytes}\n\
         [gateway.targets]\nspecial_hosts = [\"bench.test\"]\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [feeds]\nroots = [\"{d}\"]\n[store.engine]\nlisten = \"127.0.0.1:0\"\n"
    )
}

/// The data directory with so many links below `dir`.
fn name(links: u64) -> String {
    format!("links-{links}")
}

/// Makes a data directory with rules and links, unless it is there; how that went.
fn prepare(dir: &Path, links: u64) -> String {
    let done = dir.join(name(links)).join("filled");
    if let Ok(line) = fs::read_to_string(&done) {
        return line;
    }
    let zone = "$TTL 3600\n$ORIGIN bench.test.\n@ SOA ns hostmaster 1 3600 900 604800 300\n@ NS ns\n\
                ns A 192.0.2.53\nwww A 192.0.2.80\nlisted A 192.0.2.81\n";
    fs::create_dir_all(dir).expect("a directory");
    fs::write(dir.join("jump.zone"), zone).expect("the zone");
    let listed = "listed.bench.test CNAME .\n";
    lists::write_zone_of(&dir.join("list"), 0..RULES / 2, listed);
    let t = Tracegate::start(dir, &name(links), &config(dir, 1 << 20));
    let added = Command::new(env!("CARGO_BIN_EXE_tracegate"))
        .args(["--data-dir", &t.data.to_string_lossy(), "feed", "add", "bench"])
        .args(["--format", "rpz", "--tier", "block", "--source"])
        .arg(dir.join("list"))
        .output()
        .expect("the command");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let rules = || t.metric("tracegate_feeds_rules") as u64 >= RULES;
    // Judged and in force; whoever reads a list of this size does so within seconds.
    wait_for(Duration::from_secs(20), rules);
    let data = t.data.clone();
    t.process.stop();
    let filled = fill(&data.join("control.sqlite"), links);
    let line = format!(
        "{links} links filled in {:.0} s, control.sqlite {} MB, {:.0} bytes a link",
        filled.seconds,
        filled.bytes >> 20,
        filled.bytes as f64 / links as f64
    );
    fs::write(done, &line).expect("a note");
    line
}

/// With `hot`, so many links are asked, and all of them are in memory; without, all are asked, and
/// hardly any is.
fn tracegate(dir: &Path, links: u64, hot: Option<u64>, seconds: u32) {
    let cache = if hot.is_some() { 256 << 20 } else { 1 << 20 };
    let t = Tracegate::start(dir, &name(links), &config(dir, cache));
    let gateway = t.address("gateway");
    let stopped = wait_for(Duration::from_secs(60), || status(gateway, "listed") == 451);
    assert!(stopped, "the rules are not in force: {}", status(gateway, "listed"));
    let script = script(dir, hot.unwrap_or(links), hot.is_none());
    let url = format!("http://{gateway}/");
    // Every link that is to be in memory once: nginx has its map there, too.
    let mut warm = 0;
    while warm < hot.unwrap_or(1) {
        warm += wrk(&url, &script, if hot.is_some() { 5 } else { 2 }).completed;
    }
    assert!(t.drained(), "the warm-up was not shipped");
    let pid = t.process.pid();
    let engines = children(pid);
    let engine = || engines.iter().map(|p| cpu(*p)).sum::<u64>();
    let (threads, all, engine_before) = (cpu_by_thread(pid), cpu(pid), engine());
    let load = wrk(&url, &script, seconds);
    assert!(t.drained(), "records were not shipped");
    let after = cpu_by_thread(pid);
    let of = |all: &BTreeMap<String, u64>, begins: &str| {
        all.iter().filter(|(n, _)| n.starts_with(begins)).map(|(_, v)| v).sum::<u64>()
    };
    let spent = |begins: &str| of(&after, begins).saturating_sub(of(&threads, begins));
    // Threads that read from the disk for those that answer have the runtime's name.
    let (front, reading) = (spent("http"), spent("tokio"));
    let rest = (cpu(pid) - all).saturating_sub(front + reading);
    let engine = engine() - engine_before;
    let per = |v: u64| v as f64 / load.completed.max(1) as f64;
    let of_it = format!(
        "front {:.2}, reading links {:.2}, shipper {:.2}, engine {:.2}",
        per(front),
        per(reading),
        per(rest),
        per(engine)
    );
    let party = if hot.is_some() { "tracegate, in memory" } else { "tracegate, read each time" };
    row(party, links, &load, front + reading + rest + engine, &of_it, resident(pid));
    t.process.stop();
}

fn status(gateway: SocketAddr, code: &str) -> u16 {
    let text = support::http_get(gateway, &format!("/{code}"), "none");
    let refused = text.err().map(|e| e.to_string()).unwrap_or_default();
    refused.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(200)
}

fn row(name: &str, links: u64, load: &Load, cpu_us: u64, detail: &str, memory: u64) {
    println!(
        "| {name} | {links} | {} | {:.0} | {:.2} | {detail} | {} |",
        load.completed,
        load.completed as f64 / load.seconds.max(0.001),
        cpu_us as f64 / load.completed.max(1) as f64,
        memory >> 20
    );
}

/// A script for `wrk` that asks for links out of order: each once in a round, or any at random.
fn script(dir: &Path, links: u64, random: bool) -> PathBuf {
    let next = match random {
        true => format!("math.random(0, {})", links - 1),
        // A prime that divides none of our numbers.
        false => format!("(n + 7919) % {links}"),
    };
    let script = format!(
        "math.randomseed(4)\nlocal n = 0\nrequest = function()\n n = {next}\n \
         return wrk.format(\"GET\", string.format(\"/b%07d\", n))\nend\n"
    );
    let path = dir.join("script.lua");
    fs::write(&path, script).expect("the script");
    path
}
