//! How long does a question take over half a year of records?
//!
//! Rows are made by the engine and inserted in blocks in the order of time, 100,000 resolutions an
//! INSERT as the shipper sends them, with 1 % as many jumps spread over 184 days. Every kind of question
//! is asked through the tracer behind `GET /api/v1/trace`, one page each, subjects drawn at random
//! from those there are, once freshly loaded and once after every partition was merged.
//! A kind that is slow is asked fewer than a hundred times.
//!
//! `TRACEGATE_BENCH_ROWS` sets how many rows. `TRACEGATE_BENCH_DIR` keeps the data in this directory;
//! what is there already is neither loaded nor measured freshly loaded. Above ten million rows the
//! passive DNS views are left out: no question reads them, and they are half of the loading.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]
#![expect(dead_code, reason = "each benchmark uses its share of `support`")]

mod support;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use support::{
    Scale, cpu,
    generate::{HalfYear, lane},
    lab::Lab,
    percentile,
};
use tracegate::{
    config,
    record::{PublicSuffixes, Table},
    store::client::PINNED,
    trace::{Ask, Look, Parts, ShortUrls, Tracer},
};

/// Resolutions in one INSERT.
const BLOCK: u64 = 100_000;
/// How often one kind is asked.
#[derive(Clone, Copy)]
struct Patience {
    /// Questions.
    questions: usize,
    /// No question is begun after this.
    limit: Duration,
}

/// Questions of a kind that are asked before it is measured.
const WARM_UP: usize = 5;
/// Tables with rows.
const TABLES: [&str; 7] = [
    "resolutions",
    "jumps",
    "conversions",
    "frames",
    "nodes",
    "passive_dns",
    "passive_dns_by_data",
];
/// The most rows that are loaded with passive DNS.
const PASSIVE_DNS_ROWS_MAX: u64 = 10_000_000;

/// p99 in milliseconds, merged, by kind.
type Figures = BTreeMap<&'static str, f64>;

#[tokio::main]
async fn main() {
    let scale = Scale::from_args();
    let asked = std::env::var("TRACEGATE_BENCH_ROWS").ok();
    let rows = asked.map(|v| v.parse().expect("TRACEGATE_BENCH_ROWS: a number"));
    let sizes = match rows {
        Some(n) => vec![n],
        None if scale.smoke => vec![20_000],
        None if scale.full => vec![10_000_000, 100_000_000],
        None => vec![2_000_000],
    };
    if sizes.iter().any(|n| *n >= 10_000_000) {
        let millions = sizes.iter().sum::<u64>().div_ceil(1_000_000);
        println!(
            "{millions} million rows: about {} minutes on two cores, up to {} GB below {}.\n",
            millions / 2 + 5,
            millions / 10 + 1,
            kept().unwrap_or_else(std::env::temp_dir).display()
        );
    }
    let patience = Patience {
        questions: scale.pick(100, 10),
        limit: Duration::from_secs(if scale.full { 120 } else { 12 }),
    };
    let mut before: Option<Figures> = None;
    for total in sizes {
        let figures = run(total, patience).await;
        if let Some(smaller) = &before {
            println!("\nGrowth of p99, merged, from the size before to {total} rows:");
            for (kind, ms) in &figures {
                println!("- {kind}: {:.2} times", ms / smaller[kind]);
            }
        }
        before = Some(figures);
    }
}

/// Where data stay.
fn kept() -> Option<PathBuf> {
    std::env::var_os("TRACEGATE_BENCH_DIR").map(PathBuf::from)
}

async fn run(total: u64, patience: Patience) -> Figures {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = kept().unwrap_or_else(|| temporary.path().to_owned());
    let lab = Lab::start(&dir.join(total.to_string())).await;
    println!("## {total} resolutions\n");
    let loaded = rows(&lab).await == total;
    if !loaded {
        load(&lab, total).await;
    }
    let tracer = tracer(&lab);
    let asks = subjects(&lab, total, patience.questions).await;
    println!(
        "\n| question | state | asked | p50 ms | p99 ms | longest ms | CPU ms | records on a page |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let fresh = state(&lab, "fresh").await;
    for (kind, asks) in asks.iter().filter(|_| !loaded) {
        measure(&lab, &tracer, (kind, &fresh), asks, patience.limit).await;
    }
    let began = Instant::now();
    merge(&lab).await;
    let merging = began.elapsed();
    let merged = state(&lab, "merged").await;
    let mut figures = Figures::new();
    for (kind, asks) in &asks {
        let p99 = measure(&lab, &tracer, (kind, &merged), asks, patience.limit).await;
        figures.insert(kind, p99);
    }
    println!("\nMerging everything took {:.1} s.", merging.as_secs_f64());
    sizes(&lab, total).await;
    lab.supervisor.shutdown().await;
    figures
}

/// Resolutions that are there.
async fn rows(lab: &Lab) -> u64 {
    let count = lab.store.client().query_raw("SELECT count() FROM resolutions");
    count.fetch_one().await.expect("a count")
}

async fn load(lab: &Lab, total: u64) {
    let half_year = HalfYear { total };
    if total > PASSIVE_DNS_ROWS_MAX {
        for view in ["passive_dns_mv", "passive_dns_by_data_mv"] {
            lab.store.execute(&format!("DROP VIEW {view}")).await.expect("a view");
        }
    }
    insert(lab, &half_year.conversions()).await;
    insert(lab, &half_year.nodes()).await;
    let began = Instant::now();
    for from in (0..total).step_by(usize::try_from(BLOCK).expect("a small number")) {
        for sql in half_year.block(from, BLOCK.min(total - from)) {
            insert(lab, &sql).await;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "Loaded in {seconds:.1} s: {:.0} resolutions/s, generated in the engine, with their jumps and \
         frames{}.",
        total as f64 / seconds,
        if total > PASSIVE_DNS_ROWS_MAX { "" } else { " and passive DNS" }
    );
}

/// One INSERT in one block, as the shipper's are.
async fn insert(lab: &Lab, sql: &str) {
    let query = PINNED
        .iter()
        .fold(lab.store.client().query_raw(sql), |q, (name, value)| q.with_setting(*name, *value));
    query.execute().await.unwrap_or_else(|e| panic!("{e}: {sql}"));
}

async fn merge(lab: &Lab) {
    for table in TABLES {
        let sql = format!(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = '{table}' \
             AND database = currentDatabase() ORDER BY partition_id"
        );
        let ids: Vec<String> = lab.store.client().query_raw(&sql).fetch_all().await.expect("parts");
        for id in ids {
            let sql = format!(
                "OPTIMIZE TABLE {table} PARTITION ID '{id}' FINAL \
                 SETTINGS optimize_skip_merged_partitions = 1"
            );
            lab.store.execute(&sql).await.expect("a merge");
        }
    }
}

/// The state's name with the number of parts of `resolutions`.
async fn state(lab: &Lab, name: &str) -> String {
    let sql = "SELECT count() FROM system.parts WHERE active AND table = 'resolutions' \
               AND database = currentDatabase()";
    let parts: u64 = lab.store.client().query_raw(sql).fetch_one().await.expect("parts");
    format!("{name}, {parts} parts")
}

fn tracer(lab: &Lab) -> Tracer {
    Tracer::new(Parts {
        client: lab.store.client().clone(),
        external: false,
        spool: lab.spool.clone(),
        node: lab.node.clone(),
        clock: lab.clock.clone(),
        limits: config::Trace::default(),
        short_urls: ShortUrls::new(["https://l.example"]),
        known: Box::new(|_| false),
        suffixes: Arc::new(PublicSuffixes::load(None).expect("the list")),
        metrics: Arc::clone(&lab.metrics),
    })
    .expect("a lane")
}

/// Questions of every kind.
async fn subjects(lab: &Lab, total: u64, n: usize) -> Vec<(&'static str, Vec<Ask>)> {
    let n = n + WARM_UP;
    let texts = async |sql: String| -> Vec<String> {
        lab.store
            .client()
            .query_raw(&sql)
            .fetch_all()
            .await
            .unwrap_or_else(|e| panic!("{e}: {sql}"))
    };
    // One in 64 is plenty to draw from, and keeps the drawing cheap.
    let draw = |what: &str, by: &str, from: &str| {
        format!(
            "SELECT {what} FROM {from} AND cityHash64({by}) % 64 = 1 GROUP BY {by} \
             ORDER BY cityHash64({by}, 7) LIMIT {n}"
        )
    };
    let bare = |a: &str| format!("replaceOne(toString({a}), '::ffff:', '')");
    let answered = "resolutions WHERE notEmpty(answers)";
    let jumps = "SELECT any(target), code FROM jumps GROUP BY code ORDER BY cityHash64(code, 7)";
    let jumps: Vec<(String, String)> = lab
        .store
        .client()
        .query_raw(&format!("{jumps} LIMIT {n}"))
        .fetch_all()
        .await
        .expect("jumps");
    let (targets, codes): (Vec<_>, Vec<_>) = jumps.into_iter().unzip();
    let domains = texts(draw("registrable_domain", "registrable_domain", answered)).await;
    let addresses = texts(draw(&bare("any(answers[1])"), "registrable_domain", answered)).await;
    let clients = texts(draw(&bare("client"), "client", "resolutions WHERE true")).await;
    let lane = lane(Table::Resolutions);
    let records = (0..n as u64).map(|i| {
        let seq = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % total;
        format!("bench-{lane}-{seq}")
    });
    let busiest = (0..n).map(|i| format!("d{i}.example"));
    let asks = |kind: &str, texts: Vec<String>| -> Vec<Ask> {
        let ask = |text| Ask { text, kind: Some(kind.to_owned()), ..Ask::default() };
        texts.into_iter().map(ask).collect()
    };
    vec![
        ("domain", asks("domain", domains)),
        ("domain, the busiest", asks("domain", busiest.collect())),
        ("link", asks("link", codes)),
        ("url", asks("url", targets)),
        ("address", asks("address", addresses)),
        ("client", asks("client", clients)),
        ("record", asks("record", records.collect())),
    ]
}

/// Asks one after another; one row of the table; p99 in milliseconds.
async fn measure(
    lab: &Lab,
    tracer: &Tracer,
    (kind, state): (&str, &str),
    asks: &[Ask],
    limit: Duration,
) -> f64 {
    let used = || cpu(lab.endpoint.pid) + cpu(std::process::id());
    let (warm_up, asks) = asks.split_at(asks.len().min(WARM_UP));
    for ask in warm_up {
        page(tracer, ask).await;
    }
    let (mut times, mut records) = (Vec::new(), 0);
    let (started, before) = (Instant::now(), used());
    for ask in asks.iter().take_while(|_| started.elapsed() < limit) {
        let began = Instant::now();
        let page = page(tracer, ask).await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        let page: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
        let found = page["records"].as_array().map_or(0, Vec::len);
        assert!(found > 0, "{kind}: nothing found for {}", ask.text);
        records += found;
    }
    let per = |n: f64| n / times.len() as f64;
    let (cpu_ms, records) = (per((used() - before) as f64 / 1e3), per(records as f64));
    let asked = times.len();
    let p99 = percentile(&mut times, 0.99);
    println!(
        "| {kind} | {state} | {asked} | {:.1} | {p99:.1} | {:.1} | {cpu_ms:.1} | {records:.1} |",
        percentile(&mut times, 0.5),
        percentile(&mut times, 1.0),
    );
    p99
}

async fn page(tracer: &Tracer, ask: &Ask) -> Vec<u8> {
    let look = Look {
        actor: "bench".into(),
        role: "investigator",
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        case_number: "1".into(),
        purpose: "benchmark".into(),
    };
    tracer.page(&look, ask).await.unwrap_or_else(|e| panic!("{}: {e}", ask.text))
}

async fn sizes(lab: &Lab, total: u64) {
    let client = lab.store.client();
    let sql = "SELECT table, sum(rows), sum(bytes_on_disk), sum(secondary_indices_compressed_bytes) \
               FROM system.parts WHERE active AND database = currentDatabase() \
               GROUP BY table ORDER BY sum(bytes_on_disk) DESC";
    let tables: Vec<(String, u64, u64, u64)> =
        client.query_raw(sql).fetch_all().await.expect("parts");
    println!("\n| table | rows | bytes on disk per row | of it skip indexes | per resolution |");
    println!("|---|---|---|---|---|");
    for (table, rows, bytes, indexes) in tables {
        let per = |n: u64, of: u64| n as f64 / of.max(1) as f64;
        println!(
            "| {table} | {rows} | {:.2} | {:.2} | {:.2} |",
            per(bytes, rows),
            per(indexes, rows),
            per(bytes, total)
        );
    }
    let sql = "SELECT concat(table, '.', column), \
               sum(column_data_compressed_bytes) / sum(rows), sum(column_data_compressed_bytes) \
               FROM system.parts_columns WHERE active AND database = currentDatabase() \
               GROUP BY table, column \
               UNION ALL SELECT concat(table, ', projection ', name), \
               sum(bytes_on_disk) / sum(parent_rows), sum(bytes_on_disk) \
               FROM system.projection_parts WHERE active AND database = currentDatabase() \
               GROUP BY table, name";
    let sql = format!("SELECT * FROM ({sql}) ORDER BY 3 DESC LIMIT 12");
    let columns: Vec<(String, f64, u64)> =
        client.query_raw(&sql).fetch_all().await.expect("columns");
    println!("\n| column | bytes per row of its table | MB |");
    println!("|---|---|---|");
    for (name, per_row, bytes) in columns {
        println!("| {name} | {per_row:.2} | {:.1} |", bytes as f64 / 1e6);
    }
}
