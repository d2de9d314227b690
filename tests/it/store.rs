//! The store's schema on the real engine: migrations, what is looked at before the first row, and
//! rows that come back byte for byte.

use proptest::{prelude::*, test_runner::TestRunner};
use tracegate::{
    clock::Timestamp,
    config::{self, Durability},
    record::{
        LaneId, SchemaId, Table,
        rowbinary::Writer,
        schema::{Column, Type},
    },
    store::{Credentials, Error, Store, migrate},
};

use crate::{engine::Engine, harness};

/// A store on this engine, at `url` instead of the engine's own address where given.
pub(crate) fn connect(engine: &Engine, url: Option<&str>, config: &config::Store) -> Store {
    let password = engine.supervisor.secrets().internal.reveal().to_owned();
    let credentials = Credentials { user: "default".into(), password };
    let own = engine.endpoint.url();
    Store::connect(config, url.unwrap_or(&own), credentials)
}

#[tokio::test]
async fn migrations_are_applied_once_and_by_many_at_a_time() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    assert_eq!(migrate::pending(&store).await.unwrap().len(), migrate::MIGRATIONS.len());
    let (a, b) = tokio::join!(store.prepare(Durability::Written), migrate::migrate(&store));
    a.unwrap();
    b.unwrap();
    assert!(migrate::migrate(&store).await.unwrap().is_empty());
    store.check_tables(Durability::Written).await.unwrap();
    let sql = "SELECT number, checksum FROM migrations FINAL ORDER BY number";
    let rows: Vec<(u32, String)> = store.client().query_raw(sql).fetch_all().await.unwrap();
    let ours: Vec<_> = migrate::MIGRATIONS.iter().map(|m| (m.number, m.checksum())).collect();
    assert_eq!(rows, ours);
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn a_migration_that_was_cut_short_is_finished() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    let all = migrate::MIGRATIONS[0].statements(false);
    for statements in 0..3 {
        store.execute("DROP DATABASE IF EXISTS tracegate").await.ok();
        let server = store.client().clone().with_database("default");
        server.query_raw("CREATE DATABASE IF NOT EXISTS tracegate").execute().await.unwrap();
        for sql in &all[..statements] {
            store.execute(sql).await.unwrap();
        }
        store.prepare(Durability::Written).await.unwrap();
    }
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn what_would_lose_or_double_rows_is_refused() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    store.prepare(Durability::Written).await.unwrap();
    let refused = async |sql: &str, undo: &str| {
        store.execute(sql).await.unwrap();
        let error = store.prepare(Durability::Written).await.unwrap_err();
        assert!(error.is_final(), "{error}");
        store.execute(undo).await.unwrap();
        error
    };
    let error = refused(
        "ALTER TABLE passive_dns MODIFY SETTING non_replicated_deduplication_window = 0",
        "ALTER TABLE passive_dns MODIFY SETTING non_replicated_deduplication_window = 10000",
    )
    .await;
    assert!(matches!(error, Error::NoWindow(table) if table == "passive_dns"));
    let error = refused(
        "ALTER TABLE gaps MODIFY COLUMN detail LowCardinality(String)",
        "ALTER TABLE gaps MODIFY COLUMN detail String",
    )
    .await;
    assert!(matches!(error, Error::Column { column, .. } if column == "detail"));
    let error = refused(
        "INSERT INTO migrations SELECT 99, 'x', 'x', now64(6), '99.0.0', '99.0.0'",
        "ALTER TABLE migrations DELETE WHERE number = 99 SETTINGS mutations_sync = 1",
    )
    .await;
    assert!(matches!(error, Error::NewerSchema { number: 99, .. }));
    // A newer schema that does not need a newer program is fine.
    let sql = "INSERT INTO migrations SELECT 99, 'x', 'x', now64(6), '0.1.0', '99.0.0'";
    store.execute(sql).await.unwrap();
    store.prepare(Durability::Written).await.unwrap();
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn synced_tables_fsync() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    let fsyncing = async || {
        let sql = "SELECT countIf(engine_full LIKE '%fsync_after_insert = 1%fsync_part_directory = 1%') \
                   FROM system.tables WHERE database = 'tracegate'";
        store.client().query_raw(sql).fetch_one::<u64>().await.unwrap()
    };
    store.prepare(Durability::Synced).await.unwrap();
    assert_eq!(fsyncing().await, Table::ALL.len() as u64 + 2);
    store.prepare(Durability::Written).await.unwrap();
    assert_eq!(fsyncing().await, 0);
    engine.supervisor.shutdown().await;
}

/// One value of each column but the head, from a stream of random bytes.
fn value(w: &mut Writer<'_>, ty: Type, random: &mut impl FnMut(usize) -> Vec<u8>) {
    let some = |random: &mut dyn FnMut(usize) -> Vec<u8>| usize::from(random(1)[0] % 3);
    match ty {
        Type::U8 => drop(w.raw(&random(1))),
        Type::U16 => drop(w.raw(&random(2))),
        Type::U32 => drop(w.raw(&random(4))),
        Type::U64 => drop(w.raw(&random(8))),
        Type::U128 | Type::Ip => drop(w.raw(&random(16))),
        Type::Digest => drop(w.raw(&random(32))),
        // Any microsecond from 1970 to 2255.
        Type::Ts => {
            let b: [u8; 8] = random(8).try_into().unwrap();
            w.ts(Timestamp(i64::from_le_bytes(b) & ((1 << 53) - 1)));
        }
        Type::Str | Type::Bytes | Type::Word => {
            let n = usize::from(random(1)[0]);
            w.bytes(&random(n));
        }
        Type::U16s | Type::Ips | Type::Strs | Type::Rrs => {
            let n = some(random);
            w.len(n);
            for _ in 0..n {
                match ty {
                    Type::U16s => value(w, Type::U16, random),
                    Type::Ips => value(w, Type::Ip, random),
                    Type::Strs => value(w, Type::Str, random),
                    _ => {
                        for part in [Type::Str, Type::U16, Type::U32, Type::Str] {
                            value(w, part, random);
                        }
                    }
                }
            }
        }
    }
}

/// `count` rows of a table in the order of lane and seq, of any contents.
fn rows(columns: &[Column], count: u64, lane: u64, bytes: &[u8]) -> Vec<u8> {
    let mut at = 0;
    let mut random = |n: usize| -> Vec<u8> {
        let out = (0..n).map(|i| bytes[(at + i) % bytes.len()] ^ ((at + i) / bytes.len()) as u8);
        let out = out.collect();
        at += n;
        out
    };
    let mut out = Vec::new();
    for seq in 0..count {
        let mut w = Writer(&mut out);
        // A month at most: an INSERT takes a hundred partitions.
        w.str("n1").u64(lane).u64(seq).ts(Timestamp(1_795_000_000_000_000 + seq.cast_signed()));
        for column in &columns[4..] {
            value(&mut w, column.ty, &mut random);
        }
    }
    out
}

#[test]
fn rows_come_back_byte_for_byte() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = runtime.block_on(Engine::start());
    let store = connect(&engine, None, &config::Store::default());
    runtime.block_on(store.prepare(Durability::Written)).unwrap();
    let lane = std::cell::Cell::new(0);
    for table in Table::ALL {
        let schema = SchemaId::newest(table);
        let columns = schema.columns().unwrap();
        let config = ProptestConfig { cases: 6, failure_persistence: None, ..Default::default() };
        let bytes = proptest::collection::vec(any::<u8>(), 1..4096);
        TestRunner::new(config)
            .run(&(bytes, 1_u64..40), |(bytes, count)| {
                lane.set(lane.get() + 1);
                let lane = lane.get();
                let sent = rows(columns, count, lane, &bytes);
                let back = runtime.block_on(async {
                    let token = format!("lane {lane}");
                    store.insert(table, schema, &token, vec![sent.clone().into()]).await.unwrap();
                    read_back(&store, table, lane).await
                });
                prop_assert_eq!(back, sent);
                Ok(())
            })
            .unwrap();
    }
    runtime.block_on(engine.supervisor.shutdown());
}

/// Every row of a lane in `RowBinary`, by seq.
pub(crate) async fn read_back(store: &Store, table: Table, lane: u64) -> Vec<u8> {
    let columns = SchemaId::newest(table).column_list().unwrap();
    let sql = format!("SELECT {columns} FROM {table} WHERE lane = {lane} ORDER BY lane, seq");
    let mut cursor = store.client().query_raw(&sql).fetch_bytes("RowBinary").unwrap();
    let mut out = Vec::new();
    while let Some(chunk) = cursor.next().await.unwrap() {
        out.extend_from_slice(&chunk);
    }
    out
}

#[test]
fn migrate_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tracegate.toml");
    let config = "version = 1\n[store.engine]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(&file, config).unwrap();
    let migrate = |more: &[&str]| {
        let mut command = harness::tracegate(["migrate", "--config"]);
        command.arg(&file).arg("--data-dir").arg(dir.path().join("data")).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let plan = migrate(&["--dry-run"]);
    assert!(plan.contains("CREATE TABLE IF NOT EXISTS resolutions"), "{plan}");
    let applied = "-- Applied: 0001 records\n-- Applied: 0002 passive_dns\n-- Applied: 0003 lists\n-- Applied: 0004 feeds\n-- Applied: 0005 gateway\n-- Applied: 0006 passive_dns_actions\n-- Applied: 0007 reports\n-- Applied: 0008 notices\n-- Applied: 0009 verify\n";
    assert_eq!(migrate(&[]), applied);
    assert_eq!(migrate(&[]), "The store is up to date.\n");
    let json: serde_json::Value = serde_json::from_str(&migrate(&["--format", "json"])).unwrap();
    assert_eq!(json, serde_json::json!({"applied": true, "migrations": []}));
}

#[tokio::test]
async fn codes_are_seen_since_a_moment() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    store.prepare(Durability::Written).await.unwrap();
    let day = 86_400_000_000_i64;
    for (seq, ts) in [day * 19_000, day * 20_000, day * 20_000 + 1].into_iter().enumerate() {
        let sql = format!(
            "INSERT INTO conversions (node, lane, seq, ts, code) \
             VALUES ('n', 1, {seq}, fromUnixTimestamp64Micro({ts}, 'UTC'), 'code{seq}')"
        );
        store.execute(&sql).await.unwrap();
    }
    for (since, expected) in [
        (0, &["code0", "code1", "code2"][..]),
        (day * 20_000, &["code1", "code2"]),
        (day * 20_000 + 2, &[]),
    ] {
        let mut seen = Vec::new();
        store.codes_seen(Timestamp(since), |code, _| seen.push(code)).await.unwrap();
        seen.sort();
        assert_eq!(seen, expected);
    }
    engine.supervisor.shutdown().await;
}

/// The engine cannot make a replicated table, but it reads the statement that would.
#[tokio::test]
async fn replicated_statements_are_sql() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    let client = store.client().clone().with_database("default");
    for migration in tracegate::store::migrate::MIGRATIONS {
        for sql in migration.statements(true) {
            let tree: Vec<String> =
                client.query_raw(&format!("EXPLAIN AST {sql}")).fetch_all().await.unwrap();
            let kind = if sql.starts_with("ALTER") { "AlterQuery" } else { "CreateQuery" };
            assert!(tree[0].starts_with(kind), "{sql}: {tree:?}");
            let engines = tree.iter().filter(|l| l.contains("Function Replicated")).count();
            assert_eq!(engines, usize::from(sql.starts_with("CREATE TABLE")), "{sql}: {tree:?}");
        }
    }
    engine.supervisor.shutdown().await;
}

#[tokio::test]
async fn the_highest_lane_is_known_by_rows_and_by_frames() {
    let engine = Engine::start().await;
    let store = connect(&engine, None, &config::Store::default());
    store.prepare(Durability::Written).await.unwrap();
    let node = "n".parse().unwrap();
    assert_eq!(store.highest_lane(&node).await.unwrap(), None);
    for (sql, expected) in [
        ("INSERT INTO nodes (node, lane) VALUES ('n', 5), ('other', 99)", 5),
        ("INSERT INTO frames (node, lane, frame_lane) VALUES ('n', 2, 8), ('other', 9, 97)", 8),
        ("INSERT INTO frames (node, lane, frame_lane) VALUES ('n', 11, 3)", 11),
    ] {
        store.execute(sql).await.unwrap();
        assert_eq!(store.highest_lane(&node).await.unwrap(), Some(LaneId(expected)));
    }
    engine.supervisor.shutdown().await;
}
