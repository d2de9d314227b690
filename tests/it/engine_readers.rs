//! What readers of the engine may not do: stand in our way, look unseen, or look elsewhere.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
};

use tracegate::{
    config,
    store::engine::{LookHandler, Options},
};

use super::{
    engine::{Engine, LIMIT, limits, options, until},
    engine_http::{post, read},
};

/// A request of which only the beginning is sent, on a connection that stays open.
fn begun(engine: &Engine, secret: &str, body_bytes: usize, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(engine.endpoint.address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: {secret}\r\n\
         Content-Length: {body_bytes}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Far more than any buffer between the two sides holds.
const ENDLESS: &str = "SELECT number FROM numbers(1000000000000)";

#[tokio::test]
async fn readers_that_stall_leave_us_our_turns() {
    let few = config::Engine {
        connections_max: 2,
        readers_max: 2,
        queue_timeout_ms: 200,
        stall_timeout_ms: 60_000,
        ..limits()
    };
    let engine = Engine::with(few).await;
    let e = &engine;
    let reader = e.supervisor.secrets().reader.reveal();
    let held = [
        begun(e, reader, ENDLESS.len(), ENDLESS),
        begun(e, reader, ENDLESS.len(), &ENDLESS[..10]),
        begun(e, reader, ENDLESS.len(), ENDLESS),
        begun(e, reader, ENDLESS.len(), ENDLESS),
        begun(e, reader, ENDLESS.len(), ENDLESS),
    ];
    until("readers have no turn left", || async {
        read(e, "/", "SELECT 1").text().starts_with("Code: 202.")
    })
    .await;
    for _ in 0..3 {
        let ours = post(e, "/", b"SELECT 1");
        assert_eq!((ours.status, ours.text().as_str()), (200, "1\n"));
    }
    drop(held);
    until("readers have their turns again", || async { read(e, "/", "SELECT 1").status == 200 })
        .await;
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn a_client_that_stalls_loses_its_statement() {
    let short = config::Engine {
        connections_max: 1,
        readers_max: 1,
        queue_timeout_ms: 100,
        stall_timeout_ms: 300,
        ..limits()
    };
    let engine = Engine::with(short).await;
    let e = &engine;
    // A reply that nobody reads.
    let mut held = begun(e, e.supervisor.secrets().reader.reveal(), ENDLESS.len(), ENDLESS);
    let mut first = [0; 15];
    held.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    until("its turn is over", || async { read(e, "/", "SELECT 1").status == 200 }).await;
    drop(held);
    // A body that does not come.
    let mut late = begun(e, e.internal(), 100, "SELECT 1");
    let mut said = String::new();
    late.read_to_string(&mut said).ok();
    assert!(said.contains("Code: 209. DB::Exception: ") && said.contains(" 503 "), "{said}");
    assert_eq!(post(e, "/", b"SELECT 1").text(), "1\n");
    engine.supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_say_all_that_was_asked_and_what_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks: LookHandler = {
        let seen = Arc::clone(&seen);
        Arc::new(move |look| {
            seen.lock().unwrap().push((look.question(), look.refused));
            Box::pin(async { true })
        })
    };
    let engine =
        Engine::from(Options { looks: Some(looks), ..options(dir.path(), limits()) }).await;
    let e = &engine;
    let asked = "SELECT {c:IPv6}";
    let path = "/?param_c=2001:db8::1&database=default&max_threads=1";
    assert_eq!(read(e, path, asked).text(), "2001:db8::1\n");
    read(e, "/", "DROP TABLE t").fails(164, 500);
    read(e, "/?query=SELECT%20*%20FROM%20system.processes", "").fails(497, 403);
    read(e, "/?database=system", "SELECT query FROM processes").fails(497, 403);
    read(e, "/?max_insert_block_size=5", "SELECT 1").fails(164, 500);
    read(e, "/", "SELECT 'open").fails(62, 400);
    assert_eq!(post(e, "/", b"SELECT count() FROM system.processes").text(), "1\n");
    assert_eq!(read(e, "/", "SELECT count() FROM system.one").text(), "1\n");
    let expected = [
        (
            r#"{"statement":"SELECT {c:IPv6}","database":"default","parameters":{"c":"2001:db8::1"},"settings":{"max_threads":"1"}}"#,
            false,
        ),
        (r#"{"statement":"DROP TABLE t"}"#, true),
        (r#"{"statement":"SELECT * FROM system.processes"}"#, true),
        (r#"{"statement":"SELECT query FROM processes","database":"system"}"#, true),
        (r#"{"statement":"SELECT 1","settings":{"max_insert_block_size":"5"}}"#, true),
        (r#"{"statement":"SELECT 'open"}"#, true),
        (r#"{"statement":"SELECT count() FROM system.one"}"#, false),
    ];
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let seen: Vec<_> = seen.iter().map(|(q, refused)| (q.as_str(), *refused)).collect();
    assert_eq!(seen, expected);
    engine.supervisor.shutdown().await;
}
