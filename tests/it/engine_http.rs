//! The engine's HTTP interface as curl and clickhouse-connect meet it.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use tracegate::config;

use super::{
    engine::{Engine, LIMIT, limits, until},
    harness::python,
};

/// A reply as curl saw it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
    exit: i32,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: u32, status: u16) {
        let text = self.text();
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{self:?}");
        assert_eq!(self.header("x-clickhouse-exception-code"), Some(code.to_string().as_str()));
        assert_eq!(self.status, status, "{text}");
    }
}

/// curl without credentials.
fn bare(engine: &Engine, path: &str, args: &[&str], body: Option<&[u8]>) -> Reply {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "-i", "--max-time", &LIMIT.as_secs().to_string(), "-H", "Expect:"])
        .args(args)
        .arg(format!("{}{path}", engine.endpoint.url()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if body.is_some() {
        command.args(["--data-binary", "@-"]);
    }
    let mut child = command.spawn().expect("curl");
    child.stdin.take().unwrap().write_all(body.unwrap_or_default()).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let cut = stdout.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(stdout.len());
    let head = String::from_utf8_lossy(&stdout[..cut]).into_owned();
    Reply {
        status: head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
        body: stdout.get(cut + 4..).unwrap_or_default().to_vec(),
        exit: status.code().unwrap_or(-1),
        head,
    }
}

pub(crate) fn post(engine: &Engine, path: &str, body: &[u8]) -> Reply {
    let key = format!("X-ClickHouse-Key: {}", engine.internal());
    bare(engine, path, &["-H", &key], Some(body))
}

pub(crate) fn read(engine: &Engine, path: &str, body: &str) -> Reply {
    let secret = engine.supervisor.secrets().reader.reveal();
    bare(engine, path, &["-u", &format!("anyone:{secret}")], Some(body.as_bytes()))
}

#[tokio::test]
async fn curl_asks_and_is_answered() {
    let engine = Engine::start().await;
    let e = &engine;
    assert_eq!(bare(e, "/ping", &[], None).text(), "Ok.\n");
    assert_eq!(bare(e, "/other", &[], None).status, 404);
    bare(e, "/?query=SELECT%201", &[], None).fails(194, 401);
    bare(e, "/?query=SELECT%201&password=wrong", &[], None).fails(516, 403);

    let reply = post(e, "/?query_id=mine&default_format=JSONEachRow", b"SELECT 1 AS a, 'x' AS b");
    assert_eq!((reply.status, reply.text().as_str()), (200, "{\"a\":1,\"b\":\"x\"}\n"));
    assert_eq!(reply.header("x-clickhouse-query-id"), Some("mine"));
    assert_eq!(reply.header("x-clickhouse-format"), Some("JSONEachRow"));
    assert!(reply.header("x-clickhouse-timezone").is_some_and(|z| !z.is_empty()));
    assert_eq!(reply.header("x-clickhouse-server-display-name"), Some("tracegate"));
    assert!(reply.header("x-clickhouse-summary").unwrap().contains("\"result_rows\":\"1\""));

    let key = format!("Authorization: Bearer {}", e.internal());
    let get = |path: &str| bare(e, path, &["-H", &key], None);
    assert_eq!(get("/?query=SELECT%20%7Bx%3AString%7D&param_x=a%5Ctb").text(), "a\\tb\n");
    get("/?query=CREATE%20TABLE%20g%20(a%20Int8)%20ENGINE=Memory").fails(164, 500);
    get("/?query=SELECT%201&no_such_setting=1").fails(115, 404);
    get("/?query=SELECT%201&max_block_size=many").fails(27, 400);
    get("/?query=SELECT%201&database=nowhere").fails(81, 404);
    post(e, "/", b"SELECT * FROM nowhere").fails(60, 404);
    post(e, "/", b"SELEC 1").fails(497, 403);
    post(e, "/", b"SELECT 1 +").fails(62, 400);
    post(e, "/", b"SELECT nofunction(1)").fails(46, 404);
    post(e, "/", b"").fails(62, 400);
    post(e, "/", b"SELECT throwIf(1)").fails(395, 500);

    // Form fields: the query and its parameters.
    let form = bare(
        e,
        "/",
        &[
            "-H",
            &key,
            "-F",
            "query=SELECT {x:String}, {n:UInt8}",
            "-F",
            "param_x=it's\\ta\\\\b",
            "-F",
            "param_n=7",
        ],
        None,
    );
    assert_eq!(form.text(), "it\\'s\\ta\\\\b\t7\n", "{form:?}");
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn settings_databases_and_temporary_tables_stay_with_their_statement() {
    let engine = Engine::start().await;
    let e = &engine;
    assert_eq!(post(e, "/", b"CREATE DATABASE d").text(), "");
    assert_eq!(post(e, "/?database=d", b"CREATE TABLE t (a UInt8) ENGINE = Memory").text(), "");
    let ask = b"SELECT getSetting('max_block_size'), getSetting('extremes'), currentDatabase()";
    assert_eq!(post(e, "/", ask).text(), "65409\tfalse\tdefault\n");
    assert_eq!(
        post(e, "/?database=d&max_block_size=7&extremes=1", ask).text().lines().next(),
        Some("7\ttrue\td")
    );
    for _ in 0..20 {
        assert_eq!(post(e, "/", ask).text(), "65409\tfalse\tdefault\n");
    }
    post(e, "/", b"SET max_block_size = 3").fails(344, 500);
    post(e, "/", b"CREATE TEMPORARY TABLE x (a UInt8)").fails(497, 403);
    post(e, "/", b"SELECT * FROM t").fails(60, 404);
    // Limits can be lowered, not raised.
    let memory = b"SELECT getSetting('max_memory_usage'), getSetting('max_threads')";
    let limit = config::Engine::default();
    let most = format!("{}\t{}\n", limit.query_memory_bytes_max, limit.query_threads_max);
    assert_eq!(post(e, "/?max_memory_usage=0&max_threads=64", memory).text(), most);
    assert_eq!(
        post(e, "/?max_memory_usage=50000000&max_threads=1", memory).text(),
        "50000000\t1\n"
    );
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn inserts_take_every_form() {
    let engine = Engine::start().await;
    let e = &engine;
    let table = b"CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a";
    assert_eq!(post(e, "/", table).text(), "");
    for (path, body) in [
        ("/", &b"INSERT INTO t VALUES (1, 'one;'), (2, 'two')"[..]),
        ("/", b"INSERT INTO t (a, s) FORMAT JSONEachRow\n{\"a\":3,\"s\":\"three\"}"),
        ("/?query=INSERT%20INTO%20t%20FORMAT%20CSV", b"4,four\n"),
        ("/?query=INSERT%20INTO%20t%20(s,a)%20VALUES", b"('five', 5)"),
        ("/", b"INSERT INTO t (a, s) FORMAT RowBinary\n\x06\0\0\0\0\0\0\0\x03\xff\0\n"),
        ("/?query=INSERT%20INTO%20t%20FORMAT%20RowBinary", b"\x07\0\0\0\0\0\0\0\x02;\0"),
        ("/", b"INSERT INTO t SELECT 8, 'eight'"),
        ("/?param_n=9", b"INSERT INTO t SELECT {n:UInt64}, 'nine'"),
    ] {
        let reply = post(e, path, body);
        assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{path}");
    }
    let written = post(e, "/", b"INSERT INTO t VALUES (10, 'ten')");
    assert!(written.header("x-clickhouse-summary").unwrap().contains("\"written_rows\":\"1\""));
    let all = post(e, "/", b"SELECT a, hex(s) FROM t ORDER BY a FORMAT TSV").text();
    let hex = [
        "6F6E653B",
        "74776F",
        "7468726565",
        "666F7572",
        "66697665",
        "FF000A",
        "3B00",
        "6569676874",
        "6E696E65",
        "74656E",
    ];
    let expected: String =
        hex.iter().enumerate().map(|(i, h)| format!("{}\t{h}\n", i + 1)).collect();
    assert_eq!(all, expected);
    post(e, "/", b"INSERT INTO t FORMAT RowBinary\n\x01\x02\x03").fails(33, 500);
    post(e, "/", b"INSERT INTO nowhere FORMAT CSV\n1").fails(60, 404);
    post(
        e,
        "/?query=INSERT%20INTO%20t%20FORMAT%20CSV&decompress=1",
        b"not a block, but long enough to be one",
    )
    .fails(271, 500);
    assert_eq!(post(e, "/", b"SELECT count() FROM t").text(), "10\n");
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn results_stream_or_are_held_within_limits() {
    let small = config::Engine { result_bytes_max: 1 << 20, statement_bytes_max: 4096, ..limits() };
    let engine = Engine::with(small).await;
    let e = &engine;
    // Heads come once, whatever the number of chunks.
    let rows = |format: &str| format!("SELECT number AS n FROM numbers(200000) FORMAT {format}");
    let text = post(e, "/", rows("TSVWithNamesAndTypes").as_bytes()).text();
    assert!(text.starts_with("n\nUInt64\n0\n1\n"));
    assert_eq!(text.lines().count(), 200_002);
    let text = post(e, "/", rows("CSVWithNames").as_bytes()).text();
    assert_eq!(text.matches("\"n\"").count(), 1);
    let binary = post(e, "/", rows("RowBinaryWithNamesAndTypes").as_bytes()).body;
    assert_eq!(binary.len(), 1 + 2 + 7 + 200_000 * 8);
    // A document that cannot be streamed, and one that was to be held back.
    let few = post(e, "/", b"SELECT number AS n FROM numbers(3) FORMAT JSONCompact");
    assert!(few.text().contains("\"rows\": 3"), "{few:?}");
    post(e, "/", rows("JSON").as_bytes()).fails(396, 500);
    post(e, "/?wait_end_of_query=1", rows("RowBinary").as_bytes()).fails(396, 500);
    let late = "SELECT throwIf(number = 300000) FROM numbers(400000) FORMAT RowBinary";
    // Held back, the failure has its status; streamed, the body breaks off behind the reason.
    post(e, "/?wait_end_of_query=1", late.as_bytes()).fails(395, 500);
    let broken = post(e, "/", late.as_bytes());
    assert_eq!(broken.status, 200);
    assert_eq!(broken.exit, 18, "curl's \"transfer closed with outstanding data\"");
    let tail = broken.text();
    let tag = broken.header("x-clickhouse-exception-tag").unwrap();
    assert!(tail.contains("Code: 395. DB::Exception: "), "no reason");
    assert!(tail.ends_with(&format!(" {tag}\r\n__exception__\r\n")));
    let crate_says = engine
        .client()
        .query("SELECT throwIf(number = 300000) FROM numbers(400000)")
        .fetch_all::<u8>()
        .await
        .unwrap_err();
    assert!(crate_says.to_string().contains("Code: 395."), "{crate_says}");
    // Statements have a longest, too.
    let long = format!("SELECT '{}'", "x".repeat(5_000));
    post(e, "/", long.as_bytes()).fails(62, 400);
    // Both compressions.
    let blocks = post(e, "/?compress=1", b"SELECT 1").body;
    assert_eq!((blocks[16], &blocks[25..]), (0x82, &[0x20, b'1', b'\n'][..]));
    let key = format!("X-ClickHouse-Key: {}", e.internal());
    let frame = bare(e, "/", &["-H", &key, "-H", "Accept-Encoding: gzip, lz4"], Some(b"SELECT 1"));
    assert_eq!(frame.header("content-encoding"), Some("lz4"));
    assert_eq!(&frame.body[..4], [4, 0x22, 0x4d, 0x18]);
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn limits_of_memory_time_and_queue() {
    let tight = config::Engine {
        query_memory_bytes_max: 50 << 20,
        query_timeout_ms: 1_000,
        connections_max: 1,
        queue_max: 1,
        queue_timeout_ms: 100,
        ..limits()
    };
    let engine = Engine::with(tight).await;
    let e = &engine;
    post(e, "/", b"SELECT groupArray(number) FROM numbers(100000000)").fails(241, 500);
    post(e, "/", b"SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1")
        .fails(159, 500);
    // One statement runs and one waits for it in vain, one finds the queue full.
    let client = engine.client();
    let mut running =
        client.query("SELECT number FROM numbers(1000000000000)").fetch_bytes("RowBinary").unwrap();
    running.next().await.unwrap();
    let late = post(e, "/", b"SELECT 1");
    late.fails(202, 500);
    assert!(late.text().contains("none ended in time"), "{late:?}");
    drop(running);
    until("the connection is free again", || async { post(e, "/", b"SELECT 1").status == 200 })
        .await;
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn refusals_hold_for_both_secrets() {
    let engine = Engine::start().await;
    let e = &engine;
    assert_eq!(post(e, "/", b"CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").text(), "");
    for sql in [
        "SELECT 1; DROP TABLE t",
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM `url`/**/('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT * FROM view(SELECT * FROM s3('http://127.0.0.1:1/x'))",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM executable('id', CSV, 'a String')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT 1 INTO OUTFILE '/tmp/tracegate-refused'",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SYSTEM SHUTDOWN",
        "BACKUP TABLE t TO File('x')",
        "CREATE FUNCTION f AS x -> x",
        "CREATE TABLE u (a UInt8) ENGINE = URL('http://127.0.0.1:1/', CSV)",
    ] {
        for reply in [post(e, "/", sql.as_bytes()), read(e, "/", sql)] {
            assert!(reply.text().starts_with("Code: "), "{sql}: {reply:?}");
            assert!([400, 403, 500].contains(&reply.status), "{sql}: {reply:?}");
        }
    }
    for sql in
        ["INSERT INTO t VALUES (1)", "DROP TABLE t", "OPTIMIZE TABLE t", "KILL QUERY WHERE 1"]
    {
        read(e, "/", sql).fails(164, 500);
    }
    read(e, "/?max_insert_block_size=5", "SELECT 1").fails(164, 500);
    read(e, "/?readonly=0", "SELECT 1").fails(164, 500);
    read(e, "/", "SELECT 1 SETTINGS max_block_size = 5").fails(164, 500);
    // As at a server: 1 only reads, 2 may also change settings.
    let settings = b"SELECT 1 SETTINGS max_block_size = 5";
    post(e, "/?readonly=1", settings).fails(164, 500);
    assert_eq!(post(e, "/?readonly=2", settings).text(), "1\n");
    post(e, "/?readonly=2", b"INSERT INTO t VALUES (1)").fails(164, 500);
    assert_eq!(read(e, "/?max_block_size=5", "SELECT count() FROM t").text(), "0\n");
    assert_eq!(read(e, "/", "SHOW TABLES").text(), "t\n");
    assert!(!std::path::Path::new("/tmp/tracegate-refused").exists());
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn clickhouse_connect_inserts_and_asks() {
    let engine = Engine::start().await;
    let output = tokio::process::Command::from(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/python_client.py"))
        .arg(engine.endpoint.address.port().to_string())
        .env("TRACEGATE_TEST_INTERNAL", engine.internal())
        .env("TRACEGATE_TEST_READER", engine.supervisor.secrets().reader.reveal())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    engine.supervisor.shutdown().await;
}
