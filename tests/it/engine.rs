//! The embedded engine through the real binary and the real library: ClickHouse's HTTP interface
//! as clients use it, its limits, its end.

use std::{path::Path, time::Duration};

use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};
use tracegate::{
    clock::Clock,
    config,
    store::engine::{Endpoint, LookHandler, Options, Secrets, Supervisor},
};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Engine {
    pub(crate) supervisor: Supervisor,
    pub(crate) endpoint: Endpoint,
    _dir: Option<tempfile::TempDir>,
}

pub(crate) fn small() -> config::Engine {
    config::Engine { listen: ([127, 0, 0, 1], 0).into(), ..config::Engine::default() }
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Self::on(dir.path(), small(), None).await;
        engine._dir = Some(dir);
        engine
    }

    pub(crate) async fn on(dir: &Path, config: config::Engine, looks: Option<LookHandler>) -> Self {
        let supervisor = Supervisor::start(Options {
            program: env!("CARGO_BIN_EXE_tracegate").into(),
            data_dir: dir.to_owned(),
            config,
            secrets: Secrets::generate().unwrap(),
            looks,
            clock: Clock::system(),
        });
        let endpoint =
            supervisor.ready(LIMIT).await.expect("the library: run scripts/fetch-engine");
        Self { supervisor, endpoint, _dir: None }
    }

    pub(crate) fn client(&self) -> Client {
        Client::default()
            .with_url(self.endpoint.url())
            .with_user("default")
            .with_password(self.supervisor.secrets().internal.reveal())
            .with_compression(Compression::Lz4)
    }

    pub(crate) fn reader(&self) -> Client {
        self.client().with_password(self.supervisor.secrets().reader.reveal())
    }
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
