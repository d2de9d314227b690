//! What does one UDP answer cost with every record kept, beside resolvers that keep nothing?
//!
//! All parties answer the same names for 128 client flows: once from their cache (filled from a
//! BIND that is authoritative for `bench.test`), once from local data. Peers log nothing, except
//! one Unbound that writes dnstap to a file through `fstrm_capture`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{fmt::Write as _, fs, net::UdpSocket, path::Path, time::Duration};

use support::{Load, Process, Scale, Tracegate, cpu, cpu_by_thread, dnsperf, free_port, wait_for};

const NAMES: usize = 10_000;

fn main() {
    let scale = Scale::from_args();
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let seconds = scale.pick(10, 1);
    let queries = dir.join("queries");
    let mut text = String::new();
    for i in 0..NAMES {
        writeln!(text, "n{i}.bench.test A").expect("a string grows");
    }
    fs::write(&queries, text).expect("the questions");
    let upstream_port = free_port();
    let upstream = named_authoritative(dir, upstream_port, 1);
    answers(upstream_port);
    println!("| party | answers | lost | answers/s | CPU µs per answer | of it |");
    println!("|---|---|---|---|---|---|");
    for peer in [unbound, unbound_dnstap, named_forwarding, dnsdist, recursor] {
        let (name, port, parts) = peer(dir, upstream_port);
        answers(port);
        dnsperf(port, &queries, 2);
        measure(name, &parts, port, &queries, seconds);
    }
    drop(upstream);
    let port = free_port();
    let parts = [named_authoritative(dir, port, 0)];
    answers(port);
    measure("BIND, authoritative", &parts, port, &queries, seconds);
    drop(parts);
    tracegate(dir, &queries, seconds, scale);
}

fn tracegate(dir: &Path, queries: &Path, seconds: u32, scale: Scale) {
    let upstream_port = free_port();
    let upstream = named_authoritative(dir, upstream_port, 1);
    answers(upstream_port);
    let base = "version = 1\n[dns]\nlisten = [\"127.0.0.1:0\"]\nudp_threads = 1\n";
    let rest = "[gateway]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
                [store.engine]\nlisten = \"127.0.0.1:0\"\n";
    let zones = format!(
        "zone_root = \"{}\"\n[[dns.zones]]\nname = \"bench.test\"\nfile = \"bench.zone\"\n",
        dir.display()
    );
    let forward = format!("[dns.upstream]\nservers = [\"127.0.0.1:{upstream_port}\"]\n");
    for durability in scale.pick(&["written", "synced"][..], &["written"][..]) {
        let spool = format!("[spool]\ndurability = \"{durability}\"\n");
        for (kind, dns) in [("cached", &forward), ("local zone", &zones)] {
            let name = format!("tracegate-{}-{durability}", &kind[..5]);
            let t = Tracegate::start(dir, &name, &format!("{base}{dns}{spool}{rest}"));
            let port = t.address("dns").port();
            answers(port);
            dnsperf(port, queries, 2);
            assert!(t.drained(), "the warm-up was not shipped");
            record(&t, &format!("tracegate, {kind}, {durability}"), port, queries, seconds);
            t.process.stop();
        }
    }
    drop(upstream);
}

/// One row for tracegate: front, the rest of the process, engine with its merges.
fn record(t: &Tracegate, name: &str, port: u16, queries: &Path, seconds: u32) {
    let pid = t.process.pid();
    let engines = support::children(pid);
    let engine = || engines.iter().map(|p| cpu(*p)).sum::<u64>();
    let (threads, all, engine_before) = (cpu_by_thread(pid), cpu(pid), engine());
    let load = dnsperf(port, queries, seconds);
    assert!(t.drained(), "records were not shipped");
    wait_for(Duration::from_secs(30), || {
        let before = engine();
        std::thread::sleep(Duration::from_secs(2));
        engine() - before < 100_000
    });
    let front_of = |m: &std::collections::BTreeMap<String, u64>| {
        m.iter().filter(|(n, _)| n.starts_with("dns-udp")).map(|(_, v)| v).sum::<u64>()
    };
    let front = front_of(&cpu_by_thread(pid)) - front_of(&threads);
    let rest = (cpu(pid) - all).saturating_sub(front);
    let engine = engine() - engine_before;
    let per = |v: u64| v as f64 / load.completed.max(1) as f64;
    row(
        name,
        &load,
        front + rest + engine,
        &format!("front {:.2}, shipper {:.2}, engine {:.2}", per(front), per(rest), per(engine)),
    );
}

fn measure(name: &str, parts: &[Process], port: u16, queries: &Path, seconds: u32) {
    let before: Vec<_> = parts.iter().map(|p| cpu(p.pid())).collect();
    let load = dnsperf(port, queries, seconds);
    let used: Vec<_> = parts.iter().zip(before).map(|(p, b)| cpu(p.pid()) - b).collect();
    let detail = match used[..] {
        [server, reader] => {
            let per = |v: u64| v as f64 / load.completed.max(1) as f64;
            format!("server {:.2}, reader {:.2}", per(server), per(reader))
        }
        _ => String::new(),
    };
    row(name, &load, used.iter().sum(), &detail);
}

fn row(name: &str, load: &Load, cpu_us: u64, detail: &str) {
    println!(
        "| {name} | {} | {} | {:.0} | {:.2} | {detail} |",
        load.completed,
        load.lost,
        load.completed as f64 / load.seconds.max(0.001),
        cpu_us as f64 / load.completed.max(1) as f64,
    );
}

/// Waits until the server on `port` answers a real question.
fn answers(port: u16) {
    let s = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    s.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let ok = wait_for(Duration::from_secs(20), || {
        let mut q = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in ["n1", "bench", "test"] {
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

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

fn named_authoritative(dir: &Path, port: u16, core: usize) -> Process {
    let mut zone = String::from(
        "$TTL 86400\n$ORIGIN bench.test.\n@ SOA ns hostmaster 1 3600 900 604800 300\n@ NS ns\nns A 192.0.2.53\n",
    );
    for i in 0..NAMES {
        writeln!(zone, "n{i} A 192.0.2.{}", i % 250).expect("a string grows");
    }
    let file = write(dir, "bench.zone", &zone);
    let d = dir.display();
    let conf = format!(
        "options {{ directory \"{d}\"; pid-file none; session-keyfile none; listen-on port {port} \
         {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; \
         minimal-responses yes; }};\ncontrols {{ }};\n\
         zone \"bench.test\" {{ type primary; file \"{file}\"; }};\n"
    );
    let conf = write(dir, &format!("named-{port}.conf"), &conf);
    Process::start(core, &format!("named-{port}"), dir, "named", &["-f", "-n", "1", "-c", &conf])
}

type Peer = (&'static str, u16, Vec<Process>);

fn named_forwarding(dir: &Path, upstream: u16) -> Peer {
    let (port, d) = (free_port(), dir.display());
    let conf = format!(
        "options {{ directory \"{d}\"; pid-file none; session-keyfile none; listen-on port {port} \
         {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; allow-recursion {{ any; }}; \
         dnssec-validation no; forward only; forwarders port {upstream} {{ 127.0.0.1; }}; \
         minimal-responses yes; empty-zones-enable no; }};\ncontrols {{ }};\n"
    );
    let conf = write(dir, "named-forward.conf", &conf);
    let p = Process::start(0, "named-forward", dir, "named", &["-f", "-n", "1", "-c", &conf]);
    ("BIND", port, vec![p])
}

fn unbound_conf(dir: &Path, port: u16, upstream: u16, more: &str) -> String {
    let conf = format!(
        "server:\n num-threads: 1\n interface: 127.0.0.1@{port}\n port: {port}\n do-ip6: no\n \
         username: \"\"\n chroot: \"\"\n directory: \"{d}\"\n pidfile: \"{d}/unbound-{port}.pid\"\n \
         use-syslog: no\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n \
         module-config: \"iterator\"\n minimal-responses: yes\n local-zone: \"test.\" nodefault\n \
         msg-cache-size: 64m\n rrset-cache-size: 64m\n so-reuseport: no\n\
         remote-control:\n control-enable: no\n{more}\
         forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{upstream}\n",
        d = dir.display()
    );
    write(dir, &format!("unbound-{port}.conf"), &conf)
}

fn unbound(dir: &Path, upstream: u16) -> Peer {
    let port = free_port();
    let conf = unbound_conf(dir, port, upstream, "");
    ("Unbound", port, vec![Process::start(0, "unbound", dir, "unbound", &["-d", "-c", &conf])])
}

fn unbound_dnstap(dir: &Path, upstream: u16) -> Peer {
    let port = free_port();
    let socket = dir.join("dnstap.sock").to_string_lossy().into_owned();
    let out = dir.join("out.dnstap").to_string_lossy().into_owned();
    let reader = Process::start(
        0,
        "fstrm",
        dir,
        "fstrm_capture",
        &["-t", "protobuf:dnstap.Dnstap", "-u", &socket, "-w", &out],
    );
    assert!(wait_for(Duration::from_secs(10), || Path::new(&socket).exists()), "no dnstap reader");
    let tap = format!(
        "dnstap:\n dnstap-enable: yes\n dnstap-socket-path: \"{socket}\"\n \
         dnstap-log-client-response-messages: yes\n dnstap-send-identity: no\n"
    );
    let conf = unbound_conf(dir, port, upstream, &tap);
    let server = Process::start(0, "unbound-dnstap", dir, "unbound", &["-d", "-c", &conf]);
    ("Unbound with dnstap to a file", port, vec![server, reader])
}

fn dnsdist(dir: &Path, upstream: u16) -> Peer {
    let port = free_port();
    let conf = format!(
        "setLocal(\"127.0.0.1:{port}\")\nnewServer({{address=\"127.0.0.1:{upstream}\", \
         checkInterval=3600}})\npc = newPacketCache(100000, {{maxTTL=86400}})\n\
         getPool(\"\"):setCache(pc)\nsetSecurityPollSuffix(\"\")\n"
    );
    let conf = write(dir, "dnsdist.conf", &conf);
    let p = Process::start(0, "dnsdist", dir, "dnsdist", &["--supervised", "-C", &conf]);
    ("dnsdist", port, vec![p])
}

fn recursor(dir: &Path, upstream: u16) -> Peer {
    let port = free_port();
    let d = dir.to_string_lossy().into_owned();
    let args = [
        "--config-dir=/nonexistent".to_owned(),
        format!("--local-address=127.0.0.1:{port}"),
        format!("--forward-zones-recurse=.=127.0.0.1:{upstream}"),
        "--threads=1".into(),
        "--pdns-distributes-queries=no".into(),
        "--reuseport=yes".into(),
        "--dnssec=off".into(),
        "--quiet=yes".into(),
        "--daemon=no".into(),
        "--security-poll-suffix=".into(),
        format!("--socket-dir={d}"),
        "--loglevel=3".into(),
        "--disable-syslog=yes".into(),
        "--dont-query=".into(),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let p = Process::start(0, "recursor", dir, "pdns_recursor", &args);
    ("PowerDNS Recursor", port, vec![p])
}
