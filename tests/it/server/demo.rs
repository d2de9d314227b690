//! `tracegate demo`: what it prints works.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, UdpSocket},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::run;
use crate::harness::{DEADLINE, eventually, leftovers, tracegate};

#[test]
fn the_commands_work() {
    for port in [5300, 8080, 8081, 8124] {
        let free = TcpListener::bind(("127.0.0.1", port));
        assert!(free.is_ok(), "the demo's port {port} is in use here: end what uses it");
    }
    assert!(
        UdpSocket::bind(("127.0.0.1", 5300)).is_ok(),
        "the demo's port 5300/udp is in use here"
    );
    let dir = tempfile::Builder::new().prefix("tracegate-it-").tempdir().unwrap();
    let data = dir.path().join("the data");
    // The second time, the link is there already.
    for _ in 0..2 {
        demo(&data);
        eventually("nothing is left running", || leftovers(dir.path()).is_empty().then_some(()));
    }
}

fn demo(data: &std::path::Path) {
    let mut child = tracegate(["demo", "--data-dir"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (say, heard) = mpsc::channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = thread::spawn(move || lines.map_while(Result::ok).for_each(|l| drop(say.send(l))));
    let mut commands = Vec::new();
    while commands.len() < 4 {
        let Ok(line) = heard.recv_timeout(DEADLINE) else {
            child.kill().unwrap();
            panic!("no four commands: {commands:?} {:?}", child.wait_with_output().unwrap());
        };
        commands.extend(line.strip_prefix("  ").map(str::to_owned));
    }
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_remove("TRACEGATE_DATA_DIR").stdin(Stdio::null());
        let output = run(command);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let [dig, blocked, curl, trace] = commands.try_into().unwrap();
    assert!(dig.starts_with("dig ") && curl.starts_with("curl ") && trace.contains(" trace "));
    assert!(shell(&dig).contains("192.0.2.10"));
    let answer = shell(&blocked);
    assert!(answer.contains("NXDOMAIN") && answer.contains("DEMO-1"), "{answer}");
    assert!(shell(&curl).contains("https://www.demo.test/"));
    // A link to what is warned of, and one to what is stopped.
    for (code, status) in [("lottery", "200 OK"), ("blocked", "451")] {
        let page = shell(&curl.replace("/demo", &format!("/{code}")));
        let head = page.split("\r\n\r\n").next().unwrap();
        assert!(head.contains(status) && head.contains("text/html"), "{head}");
        assert!(page.contains("<strong>demo.test</strong>"), "{page}");
    }
    eventually("the chain is on screen", || {
        let text = shell(&trace);
        let all = ["解析", "跳转", "链接转换"].iter().all(|w| text.contains(w));
        all.then_some(())
    });
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let status = eventually("the demo ends", || child.try_wait().unwrap());
    reader.join().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
