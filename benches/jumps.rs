//! What does one jump cost with its record kept, beside nginx with its access log on?
//!
//! 100,000 links on either side, asked uniformly: `GET /{code}` from tracegate, `return 302` from
//! a map in nginx. The targets' hosts are served from a local zone, so that every jump resolves
//! its target and records that resolution too.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use support::{Load, Process, Scale, Tracegate, children, cpu, free_port, wait_for, wrk};

fn main() {
    let scale = Scale::from_args();
    let links = scale.pick(100_000, 500);
    let seconds = scale.pick(15, 1);
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    println!("| party | jumps | jumps/s | CPU µs per jump | of it |");
    println!("|---|---|---|---|---|");
    nginx(dir, links, seconds);
    tracegate(dir, links, seconds);
}

fn nginx(dir: &Path, links: usize, seconds: u32) {
    let port = free_port();
    let codes: Vec<String> = (0..links).map(|i| format!("c{i:06}")).collect();
    let mut map = String::new();
    for c in &codes {
        writeln!(map, "/{c} https://www.bench.test/{c};").expect("a string grows");
    }
    fs::write(dir.join("links.map"), map).expect("the map");
    let d = dir.display();
    let conf = format!(
        "daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/nginx.err;\n\
         events {{ worker_connections 1024; }}\nhttp {{ access_log {d}/access.log combined \
         buffer=64k flush=1s; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; \
         fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;\n\
         keepalive_requests 100000000; map_hash_max_size 262144; map_hash_bucket_size 128;\n\
         map $uri $target {{ default \"\"; include {d}/links.map; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ if ($target = \"\") {{ return 404; }} \
         return 302 $target; }} }} }}\n"
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
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(wait_for(Duration::from_secs(20), || TcpStream::connect(addr).is_ok()), "no nginx");
    let script = lua(dir, "nginx.lua", &codes);
    let url = format!("http://{addr}/");
    let used = |p: &Process| cpu(p.pid()) + children(p.pid()).into_iter().map(cpu).sum::<u64>();
    wrk(&url, &script, 2);
    let before = used(&p);
    let load = wrk(&url, &script, seconds);
    row("nginx, map, access log", &load, used(&p) - before, "");
    p.stop();
}

fn tracegate(dir: &Path, links: usize, seconds: u32) {
    let zone = "$TTL 3600\n$ORIGIN bench.test.\n@ SOA ns hostmaster 1 3600 900 604800 300\n@ NS ns\n\
                ns A 192.0.2.53\nwww A 192.0.2.80\n";
    fs::write(dir.join("jump.zone"), zone).expect("the zone");
    let config = format!(
        "version = 1\n[dns]\nlisten = [\"127.0.0.1:0\"]\nudp_threads = 1\nzone_root = \"{}\"\n\
         [[dns.zones]]\nname = \"bench.test\"\nfile = \"jump.zone\"\n[dns.upstream]\nmode = \"off\"\n\
         [gateway]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n[gateway.targets]\n\
         special_hosts = [\"bench.test\"]\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [store.engine]\nlisten = \"127.0.0.1:0\"\n",
        dir.display()
    );
    let codes = prepare(dir, &config, links);
    let t = Tracegate::start(dir, "tracegate", &config);
    let script = lua(dir, "tracegate.lua", &codes);
    let url = format!("http://{}/", t.address("gateway"));
    // Every link once: nginx has its map in memory, too.
    let mut warm = 0;
    while warm < links as u64 {
        warm += wrk(&url, &script, 5).completed;
    }
    assert!(t.drained(), "the warm-up was not shipped");
    let pid = t.process.pid();
    let engines = children(pid);
    let engine = || engines.iter().map(|p| cpu(*p)).sum::<u64>();
    let front_of = || {
        let threads = support::cpu_by_thread(pid);
        threads.iter().filter(|(n, _)| n.starts_with("http")).map(|(_, v)| v).sum::<u64>()
    };
    let (front, all, engine_before) = (front_of(), cpu(pid), engine());
    let load = wrk(&url, &script, seconds);
    assert!(t.drained(), "records were not shipped");
    let front = front_of() - front;
    let rest = (cpu(pid) - all).saturating_sub(front);
    let engine = engine() - engine_before;
    let per = |v: u64| v as f64 / load.completed.max(1) as f64;
    let of_it =
        format!("front {:.2}, shipper {:.2}, engine {:.2}", per(front), per(rest), per(engine));
    row("tracegate", &load, front + rest + engine, &of_it);
    t.process.stop();
}

fn row(name: &str, load: &Load, cpu_us: u64, detail: &str) {
    println!(
        "| {name} | {} | {:.0} | {:.2} | {detail} |",
        load.completed,
        load.completed as f64 / load.seconds.max(0.001),
        cpu_us as f64 / load.completed.max(1) as f64,
    );
}

/// Creates the links, each with its own fsync, where an fsync costs nothing; moves all of it to
/// `dir`, where what is measured is measured.
fn prepare(dir: &Path, config: &str, links: usize) -> Vec<String> {
    let memory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let t = Tracegate::start(memory.path(), "tracegate", config);
    let codes = create(t.address("api"), &t.token(), links);
    assert!(t.drained(), "the links were not shipped");
    let data = t.data.clone();
    t.process.stop();
    let copied = Command::new("cp").arg("-a").arg(data).arg(dir).status();
    assert!(copied.is_ok_and(|s| s.success()), "the links could not be copied");
    codes
}

/// Creates links over one connection, through the API a user would use.
fn create(api: SocketAddr, token: &str, links: usize) -> Vec<String> {
    let stream = TcpStream::connect(api).expect("the API");
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let mut stream = stream;
    (0..links)
        .map(|i| {
            let body = format!("{{\"target\":\"https://www.bench.test/{i}\"}}");
            // In one write: pieces would wait for each other's acknowledgement.
            let request = format!(
                "POST /api/v1/links HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).expect("a request");
            let (status, body) = response(&mut reader);
            assert!(status.contains(" 201 "), "{status}: {body}");
            let link: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            link["code"].as_str().expect("a code").to_owned()
        })
        .collect()
}

fn response(reader: &mut impl BufRead) -> (String, String) {
    let (mut status, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut status).expect("a status line");
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        if line.trim().is_empty() {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// A script for `wrk` that walks through the codes in a fixed shuffled order.
fn lua(dir: &Path, name: &str, codes: &[String]) -> PathBuf {
    let list = dir.join(format!("{name}.codes"));
    let shuffled: Vec<&str> =
        (0..codes.len()).map(|i| codes[(i * 7919) % codes.len()].as_str()).collect();
    fs::write(&list, shuffled.join("\n")).expect("the codes");
    let script = format!(
        "local codes = {{}}\nfor l in io.lines(\"{}\") do codes[#codes + 1] = \"/\" .. l end\n\
         local i = 0\nrequest = function()\n i = i % #codes + 1\n return wrk.format(\"GET\", codes[i])\nend\n",
        list.display()
    );
    let path = dir.join(name);
    fs::write(&path, script).expect("the script");
    path
}
