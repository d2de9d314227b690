//! What the service manager hears.

use std::{collections::VecDeque, os::unix::net::UnixDatagram};

use nix::sys::signal::Signal;

use super::{addresses, complete, node};
use crate::harness::DEADLINE;

/// Hears one line of one message after another.
struct Manager {
    socket: UnixDatagram,
    heard: VecDeque<String>,
}

impl Manager {
    fn new(path: &std::path::Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, heard: VecDeque::new() }
    }

    fn next(&mut self) -> String {
        while self.heard.is_empty() {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).expect("a message");
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.extend(text.lines().map(str::to_owned));
        }
        self.heard.pop_front().unwrap()
    }

    /// Everything up to this line, which comes.
    fn until(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let next = self.next();
            if next == line {
                return before;
            }
            before.push(next);
        }
    }
}

#[test]
fn ready_watchdog_and_stopping_are_told() {
    let home = node();
    let path = home.path().join("notify");
    let mut manager = Manager::new(&path);
    let home = home.variable("NOTIFY_SOCKET", path.to_str().unwrap());
    let server = home.variable("WATCHDOG_USEC", "1000000").start();
    assert!(!manager.until("READY=1").contains(&"STOPPING=1".to_owned()));
    // Ready means that it answers.
    assert_eq!(addresses(server.dns(), "www.demo.test").len(), 1);
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    server.signal(Signal::SIGTERM);
    manager.until("STOPPING=1");
    let (status, _) = server.terminate();
    assert!(status.success());
}

#[test]
fn a_watchdog_of_another_process_is_left_alone() {
    let home = node();
    let path = home.path().join("notify");
    let mut manager = Manager::new(&path);
    let home = home.variable("NOTIFY_SOCKET", path.to_str().unwrap());
    let home = home.variable("WATCHDOG_USEC", "100000").variable("WATCHDOG_PID", "1");
    let server = home.start();
    // Shipping takes several of these intervals.
    complete(&server);
    let (status, _) = server.terminate();
    assert!(status.success());
    let mut all = manager.until("READY=1");
    all.extend(manager.until("STOPPING=1"));
    assert!(!all.contains(&"WATCHDOG=1".to_owned()), "{all:?}");
}

#[test]
fn a_start_that_reads_the_spool_asks_for_time() {
    let server = node().start();
    complete(&server);
    let (status, home) = server.terminate();
    assert!(status.success());
    let path = home.path().join("notify");
    let mut manager = Manager::new(&path);
    let server = home.variable("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    let before = manager.until("READY=1");
    assert!(before.contains(&"EXTEND_TIMEOUT_USEC=300000000".to_owned()), "{before:?}");
    let (status, _) = server.terminate();
    assert!(status.success());
    let after = manager.until("STOPPING=1");
    assert!(!after.iter().any(|l| l.starts_with("EXTEND")), "{after:?}");
}
