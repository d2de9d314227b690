//! The embedded engine through the real binary and the real library: what it promises to the store,
//! whatever dies.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracegate::{
    clock::Clock,
    config,
    store::engine::{Endpoint, LookHandler, Options, Secrets, Start, State, Supervisor},
};

/// Generous: a loaded machine may be slow, but nothing here may hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A supervised engine, in a directory of its own unless told otherwise.
pub(crate) struct Engine {
    pub(crate) supervisor: Supervisor,
    pub(crate) endpoint: Endpoint,
    _dir: Option<tempfile::TempDir>,
}

/// The default limits on a port of the kernel's choice.
pub(crate) fn limits() -> config::Engine {
    config::Engine { listen: ([127, 0, 0, 1], 0).into(), ..config::Engine::default() }
}

pub(crate) fn options(dir: &Path, config: config::Engine) -> Options {
    Options {
        program: env!("CARGO_BIN_EXE_tracegate").into(),
        data_dir: dir.to_owned(),
        config,
        secrets: Secrets::generate().unwrap(),
        looks: None,
        clock: Clock::system(),
    }
}

impl Engine {
    pub(crate) async fn start() -> Self {
        Self::with(limits()).await
    }

    pub(crate) async fn with(config: config::Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Self::from(options(dir.path(), config)).await;
        engine._dir = Some(dir);
        engine
    }

    pub(crate) async fn from(options: Options) -> Self {
        let supervisor = Supervisor::start(options);
        let endpoint =
            supervisor.ready(LIMIT).await.expect("the library: run scripts/fetch-engine");
        Self { supervisor, endpoint, _dir: None }
    }

    pub(crate) fn client(&self) -> Client {
        Client::default()
            .with_url(self.endpoint.url())
            .with_user("default")
            .with_password(self.internal())
            .with_compression(Compression::Lz4)
    }

    pub(crate) fn reader(&self) -> Client {
        self.client().with_password(self.supervisor.secrets().reader.reveal())
    }

    pub(crate) fn internal(&self) -> &str {
        self.supervisor.secrets().internal.reveal()
    }

    /// A line of the process's status, in kB.
    fn memory_kb(&self, line: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.endpoint.pid)).unwrap();
        let value = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        value.split_whitespace().find_map(|w| w.parse().ok()).unwrap()
    }
}

/// Waits until `holds`; an event, not a span of time, ends the wait.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = timeout(LIMIT, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct Line {
    id: u64,
    text: String,
}

async fn table(client: &Client) {
    client
        .query(
            "CREATE TABLE t (id UInt64, text String) ENGINE = MergeTree ORDER BY id \
             SETTINGS non_replicated_deduplication_window = 100",
        )
        .execute()
        .await
        .unwrap();
}

async fn count(client: &Client) -> u64 {
    client.query("SELECT count() FROM t").fetch_one().await.unwrap()
}

#[tokio::test]
async fn the_clickhouse_crate_writes_and_reads() {
    let engine = Engine::start().await;
    for compression in [Compression::Lz4, Compression::None] {
        let client = engine.client().with_compression(compression);
        client.query("DROP TABLE IF EXISTS t").execute().await.unwrap();
        table(&client).await;
        let lines: Vec<Line> = (0..200_000_u64)
            .map(|id| Line {
                id,
                text: format!("\0\n\t\u{0}\u{7f}'{}", "x".repeat((id % 50) as usize)),
            })
            .collect();
        let mut insert = client.insert::<Line>("t").await.unwrap();
        for line in &lines {
            insert.write(line).await.unwrap();
        }
        insert.end().await.unwrap();
        let read: Vec<Line> =
            client.query("SELECT id, text FROM t ORDER BY id").fetch_all().await.unwrap();
        assert_eq!(read, lines);
        let none: Vec<Line> =
            client.query("SELECT id, text FROM t WHERE id > 300000").fetch_all().await.unwrap();
        assert!(none.is_empty());
        let some: Line = client
            .query("SELECT ?fields FROM t WHERE id = {id:UInt64} AND text = {text:String}")
            .param("id", 7)
            .param("text", &lines[7].text)
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(some, lines[7]);
    }
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn a_token_counts_once_and_a_reader_only_reads() {
    let engine = Engine::start().await;
    let client = engine.client();
    table(&client).await;
    for _ in 0..3 {
        let mut insert = client
            .insert_formatted_with("INSERT INTO t (id, text) FORMAT RowBinary")
            .with_setting("insert_deduplication_token", "one");
        insert
            .send((0_u8..10).flat_map(|i| [i, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xff]).collect())
            .await
            .unwrap();
        insert.end().await.unwrap();
    }
    assert_eq!(count(&client).await, 10);
    assert_eq!(count(&engine.reader()).await, 10);
    let refused = engine.reader().query("TRUNCATE TABLE t").execute().await.unwrap_err();
    assert!(refused.to_string().contains("Code: 164."), "{refused}");
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_killed_engine() {
    let engine = Engine::start().await;
    let client = engine.client();
    table(&client).await;
    for round in 0..3_u64 {
        let mut insert = client.insert::<Line>("t").await.unwrap();
        for id in 0..1_000 {
            insert.write(&Line { id: round * 1_000 + id, text: "kept".into() }).await.unwrap();
        }
        insert.end().await.unwrap();
        let before = engine.supervisor.ready(LIMIT).await.unwrap();
        Command::new("kill").args(["-9", &before.pid.to_string()]).status().unwrap();
        let mut state = engine.supervisor.state();
        let again = |s: &State| matches!(s, State::Ready(e) if e.run > before.run);
        timeout(LIMIT, state.wait_for(again)).await.unwrap().unwrap();
        let after = engine.supervisor.ready(LIMIT).await.unwrap();
        assert_eq!(after.address, before.address);
        assert_eq!(count(&client).await, (round + 1) * 1_000);
    }
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn the_engine_ends_with_whoever_holds_its_stdin() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), limits());
    let start = Start { secrets: options.secrets, engine: options.config, report: false };
    let line = dir.path().join("start.json");
    std::fs::write(&line, serde_json::to_string(&start).unwrap() + "\n").unwrap();
    let (stdin, held) = std::io::pipe().unwrap();
    let mut holder = Command::new("sh")
        .args(["-c", "cat \"$0\"; exec sleep 600"])
        .arg(&line)
        .stdout(held)
        .spawn()
        .unwrap();
    let mut engine = tokio::process::Command::new(options.program)
        .args(["engine", "--supervised", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let stdout = engine.stdout.take().unwrap();
    let mut stdout = tokio::io::BufReader::new(stdout);
    timeout(LIMIT, tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut ready))
        .await
        .unwrap()
        .unwrap();
    assert!(ready.starts_with("{\"ready\":"), "{ready}");
    // Neither the terminal's ^C nor a service manager's TERM, meant for the supervisor, ends it.
    for signal in ["-INT", "-TERM", "-HUP"] {
        let pid = engine.id().unwrap().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
    }
    let address = serde_json::from_str::<serde_json::Value>(&ready).unwrap()["address"].clone();
    let ping = format!("http://{}/ping", address.as_str().unwrap());
    let pong = Command::new("curl").args(["-sS", &ping]).output().unwrap();
    assert_eq!(pong.stdout, b"Ok.\n");
    // SIGKILL, as it would strike us.
    holder.kill().unwrap();
    holder.wait().unwrap();
    let status = timeout(LIMIT, engine.wait()).await.expect("it outlived us").unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_directory_in_use_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let first = Engine::from(options(dir.path(), limits())).await;
    let second = Supervisor::start(options(dir.path(), limits()));
    let mut state = second.state();
    let waits = |s: &State| matches!(s, State::Starting(what) if what.contains("another process"));
    timeout(LIMIT, state.wait_for(waits)).await.unwrap().unwrap();
    first.supervisor.shutdown().await;
    second.ready(LIMIT).await.unwrap();
    second.shutdown().await;

    let first = Engine::from(options(dir.path(), limits())).await;
    let impatient = config::Engine { start_timeout_ms: 100, ..limits() };
    let second = Supervisor::start(options(dir.path(), impatient));
    let mut state = second.state();
    timeout(LIMIT, state.wait_for(|s| matches!(s, State::Down(_)))).await.unwrap().unwrap();
    first.supervisor.shutdown().await;
    second.shutdown().await;
}

#[tokio::test]
async fn a_large_result_and_a_large_insert_take_bounded_memory() {
    let engine = Engine::start().await;
    let client = engine.client();
    client.query("CREATE TABLE n (s String) ENGINE = Null").execute().await.unwrap();
    let mut piece = Vec::new();
    for _ in 0..10_000 {
        piece.push(100);
        piece.extend([b'y'; 100]);
    }
    let piece = bytes::Bytes::from(piece);
    let mut peaks = Vec::new();
    // What the engine collects into one block it keeps for the next; four times as much takes no
    // more.
    for pieces in [100_usize, 400] {
        let mut insert = client.insert_formatted_with("INSERT INTO n FORMAT RowBinary");
        for _ in 0..pieces {
            insert.send(piece.clone()).await.unwrap();
        }
        insert.end().await.unwrap();
        let sql = format!("SELECT repeat('x', 100) AS s FROM numbers({})", pieces * 10_000);
        let mut cursor = client.query(&sql).fetch_bytes("RowBinary").unwrap();
        let mut read = 0;
        while let Some(bytes) = cursor.next().await.unwrap() {
            read += bytes.len();
        }
        assert_eq!(read, pieces * 10_000 * 101);
        peaks.push(engine.memory_kb("VmHWM:") / 1024);
    }
    assert!(peaks[1] < peaks[0] + 150, "100 MB took {} MB, 400 MB took {} MB", peaks[0], peaks[1]);
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_statement() {
    let one = config::Engine { connections_max: 1, ..limits() };
    let engine = Engine::with(one).await;
    let client = engine.client();
    for sql in [
        // Nothing to send for a long time, and much to send from the beginning.
        "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
        "SELECT number FROM numbers(1000000000000)",
    ] {
        let mut cursor = client.query(sql).fetch_bytes("RowBinary").unwrap();
        let waited = timeout(Duration::from_millis(300), async {
            while cursor.next().await.is_ok_and(|b| b.is_some()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(waited.await.is_err(), "it should still run");
        drop(cursor);
        // There is one connection only: this waits for the end of the other.
        let others = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(10000%'";
        let left: u64 = timeout(LIMIT, client.query(others).fetch_one()).await.unwrap().unwrap();
        assert_eq!(left, 1, "only the question itself");
    }
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn an_insert_that_breaks_off_keeps_nothing() {
    let engine = Engine::start().await;
    let client = engine.client();
    table(&client).await;
    let mut insert = client.insert::<Line>("t").await.unwrap();
    for id in 0..100_000 {
        insert.write(&Line { id, text: "half".into() }).await.unwrap();
    }
    drop(insert);
    // Its statement has ended when nothing but the question runs.
    until("the insert has ended", || async {
        let sql = "SELECT count() FROM system.processes";
        client.query(sql).fetch_one::<u64>().await.unwrap() == 1
    })
    .await;
    assert_eq!(count(&client).await, 0);
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn statements_of_readers_are_reported_before_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks: LookHandler = {
        let seen = Arc::clone(&seen);
        Arc::new(move |look| {
            let allow = !look.statement.contains("secret");
            seen.lock().unwrap().push(look.statement);
            Box::pin(async move { allow })
        })
    };
    let engine =
        Engine::from(Options { looks: Some(looks), ..options(dir.path(), limits()) }).await;
    table(&engine.client()).await;
    assert_eq!(count(&engine.reader()).await, 0);
    let refused = engine.reader().query("SELECT 'secret'").fetch_one::<String>().await.unwrap_err();
    assert!(refused.to_string().contains("Code: 497."), "{refused}");
    assert_eq!(*seen.lock().unwrap(), ["SELECT count() FROM t", "SELECT 'secret'"]);
    engine.supervisor.shutdown().await;

    // Who does not answer does not allow.
    let hang: LookHandler = Arc::new(|_| Box::pin(std::future::pending()));
    let short = config::Engine { look_timeout_ms: 100, ..limits() };
    let engine = Engine::from(Options { looks: Some(hang), ..options(dir.path(), short) }).await;
    let refused = engine.reader().query("SELECT 1").fetch_one::<u8>().await.unwrap_err();
    assert!(refused.to_string().contains("Code: 497."), "{refused}");
    assert_eq!(count(&engine.client()).await, 0);
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn an_insert_that_fails_early_says_why_to_a_client_that_still_sends() {
    let engine = Engine::start().await;
    let client = engine.client().with_compression(Compression::None);
    let piece = bytes::Bytes::from(vec![1_u8; 1 << 20]);
    for sql in ["INSERT INTO nowhere FORMAT RowBinary", "DROP TABLE x; DROP TABLE y"] {
        let mut insert = client.insert_formatted_with(sql);
        let mut sent = Ok(());
        for _ in 0..30 {
            sent = insert.send(piece.clone()).await;
            if sent.is_err() {
                break;
            }
        }
        let error = match sent {
            Err(error) => error,
            Ok(()) => insert.end().await.unwrap_err(),
        };
        let error = error.to_string();
        assert!(error.contains("Code: 60.") || error.contains("Code: 497."), "{error}");
    }
    engine.supervisor.shutdown().await;
}
