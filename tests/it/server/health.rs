//! What the server says about itself, and what it keeps to itself.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};
use tracegate::record::{LaneId, Table};

use super::{call, complete, json, node, query_from};
use crate::{
    harness::{DEADLINE, Server, eventually},
    site::{self, Reply},
};

fn get(server: &Server, path: &str) -> Reply {
    let host = server.api().to_string();
    site::ask(server.api(), "GET", path, &[("Host", &host)], "")
}

#[test]
fn readiness_says_what_is_missing() {
    let server = node().start();
    assert_eq!(get(&server, "/healthz").status, 200);
    let ready = || (get(&server, "/readyz").json()["status"] == "ready").then_some(());
    eventually("ready", ready);
    assert_eq!(get(&server, "/readyz").json()["checks"]["control"], "ok");
    assert!(get(&server, "/metrics").body.lines().any(|l| l == "tracegate_control_failed 0"));
    let state = eventually("degraded without the engine", || {
        server.kill_engine();
        let state = get(&server, "/readyz").json();
        (state["checks"]["engine"] != "ok").then_some(state)
    });
    assert_eq!((&state["status"], &state["checks"]["spool"]), (&"degraded".into(), &"ok".into()));
    let why = state["checks"]["engine"].as_str().unwrap();
    assert!(why.starts_with("down: ") || why.starts_with("starting: again"), "{why}");
    assert!(why.contains("the engine ended"), "{why}");
    // The process is well all the same, and answers.
    assert_eq!(get(&server, "/healthz").status, 200);
    assert_eq!(super::addresses(server.dns(), "www.demo.test").len(), 1);
    eventually("ready again", ready);
}

#[test]
fn readiness_names_the_library_that_is_not_there() {
    let gone = "/nonexistent/libchdb.so";
    let server = node().config(|c| c.store.engine.library = Some(gone.into())).start();
    let why = eventually("a reason", || {
        let reply = get(&server, "/readyz");
        assert_eq!(reply.json()["status"], "degraded", "{}", reply.body);
        let why = reply.json()["checks"]["engine"].as_str().unwrap().to_owned();
        why.starts_with("down: ").then_some(why)
    });
    let log = server.home().log();
    assert!(why.contains(gone) || log.contains(gone), "{why}\n{log}");
}

#[test]
fn readiness_names_a_server_that_does_not_answer() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let server = node().config(|c| c.store.url = url).start();
    let state = eventually("a reason", || {
        let reply = get(&server, "/readyz");
        assert_eq!(reply.status, 200, "{}", reply.body);
        let state = reply.json();
        let why = state["checks"]["store"].as_str().unwrap();
        (!why.contains("not asked yet")).then_some(state)
    });
    assert_eq!((&state["status"], &state["checks"]["engine"]), (&"degraded".into(), &().into()));
    let why = state["checks"]["store"].as_str().unwrap();
    assert!(why.starts_with("away since 20"), "{why}");
    assert_eq!(super::addresses(server.dns(), "www.demo.test").len(), 1);
    // Retention does not look for tables that nobody made.
    assert!(!server.home().log().contains("retention waits"), "{}", server.home().log());
}

/// The disk lost a part of the conversions: nobody says that every code is known, now or later.
#[test]
fn readiness_names_codes_that_cannot_be_learned() {
    // No frame may close before it dies.
    let server = node().config(|c| c.spool.frame_age_ms_max = 60_000).start();
    let token = server.token();
    let target = r#"{"target":"https://www.demo.test/"}"#;
    let ready = |server: &Server| get(server, "/readyz").json();
    eventually("every code is known", || (ready(&server)["status"] == "ready").then_some(()));
    // It dies before its frame closes: what the store has is learned from there.
    assert_eq!(call(&server, &token, "POST", "/api/v1/links", target).status, 201);
    let spool = server.data().join("spool");
    let home = server.kill9();
    let segments = std::fs::read_dir(spool).unwrap().map(|e| e.unwrap().path());
    let of_conversions = segments.filter(|p| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let lane = name.split_once('-').and_then(|(lane, _)| lane.parse().ok());
        lane.and_then(|lane| LaneId(lane).table()) == Some(Table::Conversions)
    });
    let mut spoiled = 0;
    for path in of_conversions {
        let mut bytes = std::fs::read(&path).unwrap();
        // In the first batch, behind the header of the segment and its own.
        bytes[128 + 80 + 10] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        spoiled += 1;
    }
    assert!(spoiled > 0, "no segment of conversions");
    let mut home = home;
    // Unread codes are asked for again by every start, as long as they are there.
    for _ in 0..2 {
        let server = home.start();
        let why = eventually("a reason", || {
            let state = ready(&server);
            let why = state["checks"]["codes"].as_str().unwrap().to_owned();
            (why != "ok").then(|| (state["status"].clone(), why))
        });
        assert_eq!(why.0, "degraded");
        assert!(why.1.contains("cannot be read"), "{}", why.1);
        assert_eq!(call(&server, &token, "POST", "/api/v1/links", target).status, 201);
        home = server.kill9();
    }
}

/// A visitor from 127.0.0.2, so that every trace of it would be seen.
#[test]
fn measures_and_logs_name_nobody() {
    let visitor = Ipv4Addr::new(127, 0, 0, 2);
    let server = node().config(|c| c.log.filter = "info,tracegate=debug".into()).start();
    let (_, port) = query_from(visitor, server.dns(), "hiddenname.wild.demo.test", 1);
    query_from(visitor, server.dns(), "hiddenname.elsewhere.invalid", 1);
    let made = server.cli([
        "link",
        "create",
        "https://www.demo.test/hiddenpath",
        "--code",
        "hiddencode",
        "--format",
        "json",
    ]);
    assert_eq!(json(&made)["code"], "hiddencode");
    for path in ["/hiddencode", "/hiddenunknown"] {
        let reply = visit_from(visitor, &server, path);
        assert!(reply.contains("302") || reply.contains("404"), "{reply}");
    }
    let token = server.token();
    call(&server, &token, "GET", "/api/v1/trace?q=hiddenname.wild.demo.test", "");
    call(&server, "hiddentoken", "GET", "/api/v1/trace?q=hiddenquestion", "");
    complete(&server);
    let metrics = get(&server, "/metrics");
    assert_eq!(metrics.status, 200);
    let measures = metrics.body;
    assert!(measures.contains("tracegate_"), "{measures}");
    let (status, home) = server.terminate();
    assert!(status.success());
    let log = home.log();
    assert!(log.contains("serving") && log.contains("drained"), "{log}");
    assert!(log.contains("store.disk_bytes_max: without a limit"), "{log}");
    let ports = [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")];
    let persons = ["hidden", "127.0.0.2", &ports[0], &ports[1], "192.0.2.", &token];
    for text in [&measures, &log] {
        for word in persons {
            let line = text.lines().find(|l| l.contains(word));
            assert_eq!(line, None, "{word}");
        }
    }
}

fn visit_from(from: Ipv4Addr, server: &Server, path: &str) -> String {
    let to = server.gateway();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply.lines().next().unwrap_or_default().to_owned()
}
