//! SIGTERM: what is under way is finished, nothing else is begun, nothing is left behind.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{accepts, call, complete, node};
use crate::{
    harness::{Server, eventually},
    site::{Reply, connect},
};

#[test]
fn what_is_in_flight_is_answered() {
    // Nobody waits for the end of the grace: the deadline of a drain in these tests is shorter.
    let server = node().config(|c| c.drain_grace_ms = 300_000).start();
    let idle = [connect(server.gateway()), connect(server.api()), connect(server.dns())];
    let body = r#"{"target":"https://www.demo.test/late"}"#;
    let (mut late, rest) = half_a_request(&server, body);
    server.signal(Signal::SIGTERM);
    let run_file = server.home().path().join("data/run.json");
    eventually("run.json is gone", || (!run_file.exists()).then_some(()));
    for address in [server.gateway(), server.api(), server.dns()] {
        eventually("nobody else is let in", || (!accepts(address)).then_some(()));
    }
    late.write_all(rest.as_bytes()).unwrap();
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).unwrap();
    let answer = Reply::parse(&answer);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let code = answer.json()["code"].as_str().unwrap().to_owned();
    let (status, home) = server.terminate();
    assert_eq!(status.code(), Some(0), "{}", home.log());
    drop(idle);
    assert!(!run_file.exists());

    let server = home.start();
    complete(&server);
    let path = format!("/api/v1/trace?q={code}&kind=link");
    let page = call(&server, &server.token(), "GET", &path, "").json();
    assert_eq!(page["records"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["gaps"], serde_json::json!([]));
}

/// A request whose body is half sent, and the other half. The server has its head: what is sent
/// on another connection afterwards is answered.
fn half_a_request(server: &Server, body: &str) -> (TcpStream, String) {
    let mut stream = connect(server.api());
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        server.api(),
        server.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: it has begun with the request.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let (first, rest) = body.split_at(body.len() / 2);
    stream.write_all(first.as_bytes()).unwrap();
    (stream, rest.to_owned())
}

#[test]
fn the_grace_ends_what_does_not_end() {
    let server = node().config(|c| c.drain_grace_ms = 200).start();
    let (mut stuck, _) = half_a_request(&server, r#"{"target":"https://www.demo.test/"}"#);
    let (status, home) = server.terminate();
    assert_eq!(status.code(), Some(0), "{}", home.log());
    // Whatever was said before the end, the connection is closed.
    stuck.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut said = Vec::new();
    let (Ok(_) | Err(_)) = stuck.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 201"));
}

#[test]
fn a_signal_while_starting_ends_it_in_order() {
    let gone = "/nonexistent/libchdb.so";
    // Without an engine, whatever asks the store goes on asking.
    let home = node().config(|c| c.store.engine.library = Some(gone.into()));
    let (status, home) = home.start_and_terminate("the spool is open");
    assert_eq!(status.code(), Some(0), "{}", home.log());
    assert!(home.log().contains("drained"), "{}", home.log());
}
