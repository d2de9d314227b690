//! What is there before anybody asks: the size of the program, the time to its start, its memory.
//!
//! Start-up is from the start of the process to `run.json`, which is written when every listener
//! listens, and on to the first word that the store answers. Memory is what `/proc` calls resident
//! half a minute after the start, without a question asked.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use support::{Scale, Tracegate, children, lab::Lab, percentile, resident, wait_every};

const LISTENERS: &str = "version = 1\n[dns]\nlisten = [\"127.0.0.1:0\"]\nudp_threads = 1\n\
                         [dns.upstream]\nmode = \"off\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n\
                         [api]\nlisten = \"127.0.0.1:0\"\n";

fn main() {
    let scale = Scale::from_args();
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    println!("| what | figure |");
    println!("|---|---|");
    program(dir);
    let idle = Duration::from_secs(scale.pick(30, 1));
    let embedded = format!("{LISTENERS}[store.engine]\nlisten = \"127.0.0.1:0\"\n");
    let first = Started::new(dir, "embedded", &embedded);
    println!("| first start with the engine: listening | {:.0} ms |", first.listening);
    println!("| first start with the engine: tables made | {:.0} ms |", first.stored);
    first.t.process.stop();
    let (mut listening, mut stored) = (Vec::new(), Vec::new());
    for _ in 0..scale.pick(5, 1) {
        let again = Started::new(dir, "embedded", &embedded);
        listening.push(again.listening);
        stored.push(again.stored);
        again.t.process.stop();
    }
    println!("| later starts: listening, median | {:.0} ms |", percentile(&mut listening, 0.5));
    println!("| later starts: store answers, median | {:.0} ms |", percentile(&mut stored, 0.5));
    let again = Started::new(dir, "embedded", &embedded);
    thread::sleep(idle);
    let pid = again.t.process.pid();
    let engine: u64 = children(pid).into_iter().map(resident).sum();
    println!("| idle memory with the engine: serve | {:.1} MB |", mb(resident(pid)));
    println!("| idle memory with the engine: engine | {:.1} MB |", mb(engine));
    again.t.process.stop();
    external(dir, idle);
}

fn program(dir: &Path) {
    let program = env!("CARGO_BIN_EXE_tracegate");
    let size = |p: &Path| fs::metadata(p).expect("a file").len();
    println!("| program as built | {:.1} MB |", mb(size(program.as_ref())));
    let stripped = dir.join("stripped");
    match Command::new("strip").args(["-o"]).arg(&stripped).arg(program).status() {
        Ok(s) if s.success() => println!("| program stripped | {:.1} MB |", mb(size(&stripped))),
        _ => eprintln!("strip is not installed: the stripped size is left out"),
    }
}

/// The same with its records in a server of its own, which here is another engine.
fn external(dir: &Path, idle: Duration) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = dir.join("server");
    fs::create_dir_all(&server).expect("a directory");
    let lab = runtime.block_on(Lab::start(&server));
    let password = dir.join("password");
    fs::write(&password, lab.supervisor.secrets().internal.reveal()).expect("a file");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("its mode");
    let config = format!(
        "{LISTENERS}[store]\nurl = \"{}\"\npassword_file = \"{}\"\n",
        lab.endpoint.url(),
        password.display()
    );
    let t = Started::new(dir, "external", &config);
    println!("| first start with a server: listening | {:.0} ms |", t.listening);
    println!("| first start with a server: store answers | {:.0} ms |", t.stored);
    thread::sleep(idle);
    let pid = t.t.process.pid();
    assert!(children(pid).is_empty(), "there is an engine");
    println!("| idle memory with a server: serve | {:.1} MB |", mb(resident(pid)));
    t.t.process.stop();
    runtime.block_on(lab.supervisor.shutdown());
}

/// A server and how long it took, in milliseconds.
struct Started {
    t: Tracegate,
    listening: f64,
    stored: f64,
}

impl Started {
    fn new(dir: &Path, name: &str, config: &str) -> Self {
        let began = Instant::now();
        let t = Tracegate::start(dir, name, config);
        let up = wait_every(Duration::from_millis(5), Duration::from_secs(60), || {
            t.metric("tracegate_store_up") > 0.5
        });
        assert!(up, "the store never answered");
        let stored = began.elapsed().as_secs_f64() * 1e3;
        Self { listening: t.ready.as_secs_f64() * 1e3, stored, t }
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
