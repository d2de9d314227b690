//! The spool against itself: see each module.

mod basics;
mod campaign;
mod corners;
mod damage;
pub(super) mod faults;
mod limits;
mod quarantine;
mod resume;
mod world;

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::{Options, Progress, Recovery, Spool, io::Disk, recover};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, Durability, FullPolicy},
    record::{Access, RecordId, SchemaId, Table, rowbinary::Reader},
};

/// A spool in a directory of its own, with small limits and a clock that stands still.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    pub(super) clock: Clock,
    pub(super) config: config::Spool,
    pub(super) disk: Disk,
    pub(super) boot_id: [u8; 16],
}

impl Bench {
    pub(super) fn new() -> Self {
        let config = config::Spool {
            segment_bytes_max: 16 << 10,
            shared_segment_bytes_max: 16 << 10,
            batch_bytes_max: 4 << 10,
            frame_rows_max: 100,
            frame_bytes_max: 8 << 10,
            disk_free_bytes_min: 0,
            ..config::Spool::default()
        };
        Self {
            dir: place(),
            clock: Clock::fixed(Timestamp::from_secs(1_800_000_000)),
            config,
            disk: Disk::default(),
            boot_id: [7; 16],
        }
    }

    pub(super) fn synced() -> Self {
        let mut bench = Self::new();
        bench.config.durability = Durability::Synced;
        bench
    }

    pub(super) fn try_open(&self) -> Result<(Spool, Recovery), super::Error> {
        let options = Options {
            dir: self.dir.path().join("spool"),
            node: "n1".parse().unwrap(),
            config: self.config.clone(),
            clock: self.clock.clone(),
        };
        recover::open(options, self.disk.clone(), self.boot_id, Progress::default())
    }

    pub(super) fn open(&self) -> Spool {
        let (spool, recovery) = self.try_open().unwrap();
        recovery.finish().unwrap();
        spool
    }

    /// Gap rows, once upkeep has had its time.
    pub(super) fn gaps(&self, spool: &Spool) -> Vec<String> {
        for _ in 0..2 {
            self.advance_ms(2_000);
            spool.maintain();
        }
        gaps_of(spool)
    }

    pub(super) fn advance_ms(&self, ms: u64) {
        self.clock.advance(std::time::Duration::from_millis(ms));
    }
}

/// In memory where there is a place for it: what is durable is for `faults` to say.
fn place() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A row that is told apart by its purpose, and as long as that is.
pub(super) fn row(purpose: &str) -> Access<'_> {
    Access {
        actor: "a",
        peer: "192.0.2.1:5".parse().unwrap(),
        role: "operator",
        case_number: "",
        purpose,
        question: "",
        outcome: "answered",
        rows: 0,
        digest: [0; 32],
    }
}

/// A row "0", and behind it the place and bytes of a row "1" that another store has kept when the
/// process dies, before the append.
fn kept_elsewhere(bench: &Bench) -> (RecordId, Vec<u8>) {
    let spool = bench.open();
    let shared = spool.shared(Table::Access).unwrap();
    shared.append(&row("0"), FullPolicy::Refuse).unwrap();
    let prepared = shared.prepare(&row("1")).unwrap();
    (prepared.id.clone(), prepared.bytes.clone())
}

/// Rows as `(lane, seq, column)`.
pub(super) fn decode(schema: SchemaId, bytes: &[u8], column: &str) -> Vec<(u64, u64, String)> {
    let mut reader = Reader(bytes);
    let mut rows = Vec::new();
    while !reader.is_empty() {
        let whole = schema.take_row(&mut reader).unwrap();
        let mut head = Reader(whole);
        head.bytes().unwrap();
        let (lane, seq) = (head.u64().unwrap(), head.u64().unwrap());
        let json = schema.read_json(&mut Reader(whole)).unwrap();
        let value = match &json[column] {
            serde_json::Value::String(s) => s.clone(),
            v => v.to_string(),
        };
        rows.push((lane, seq, value));
    }
    rows
}

/// Every row of a table in closed frames, shipped or not, sorted.
pub(super) fn rows_of(spool: &Spool, table: Table, column: &str) -> Vec<(u64, u64, String)> {
    spool.core.collect();
    let frames: Vec<_> = spool.core.index().frames.values().map(|(f, _)| f.clone()).collect();
    let mut rows = Vec::new();
    for f in frames.iter().filter(|f| f.table == table) {
        rows.extend(decode(f.schema, &spool.read(f).unwrap(), column));
    }
    rows.sort();
    rows
}

/// Gap rows as `stream reason bound count`, sorted.
pub(super) fn gaps_of(spool: &Spool) -> Vec<String> {
    let mut found: Vec<_> = gaps_by_place(spool).into_values().collect();
    found.sort();
    found
}

/// Gap rows by lane and seq.
pub(super) fn gaps_by_place(spool: &Spool) -> BTreeMap<(u64, u64), String> {
    spool.core.collect();
    let frames: Vec<_> = spool.core.index().frames.values().map(|(f, _)| f.clone()).collect();
    let mut found = BTreeMap::new();
    for f in frames.iter().filter(|f| f.table == Table::Gaps) {
        let rows = gaps_in(f.schema, &spool.read(f).unwrap()).into_iter();
        found.extend((f.first_seq..).map(|q| (f.lane.0, q)).zip(rows));
    }
    found
}

/// The gap rows in a frame's bytes.
pub(super) fn gaps_in(schema: SchemaId, bytes: &[u8]) -> Vec<String> {
    let mut reader = Reader(bytes);
    let mut found = Vec::new();
    while !reader.is_empty() {
        let j = schema.read_json(&mut reader).unwrap();
        let word = |k: &str| j[k].as_str().unwrap().to_owned();
        let (stream, reason, bound) = (word("stream"), word("reason"), word("bound"));
        found.push(format!("{stream} {reason} {bound} {}", j["count"]));
    }
    found
}
