//! What readers of the engine may not do: stand in our way, look unseen, or look elsewhere.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use tracegate::config;

use super::{
    engine::{Engine, LIMIT, limits, until},
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
