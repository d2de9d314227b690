//! `tracegate spool` on a spool that was written here, whole and damaged.

use std::{fs, path::PathBuf, process::Output};

use serde_json::Value;
use tempfile::TempDir;
use tracegate::{
    clock::{Clock, Timestamp},
    config::{self, FullPolicy::Refuse},
    record::{Access, SchemaId, Table},
    spool::{Commit, Options, Spool},
};

use crate::harness::tracegate;

struct Written {
    dir: TempDir,
    clock: Clock,
}

impl Written {
    fn options(&self) -> Options {
        Options {
            dir: self.spool(),
            node: "n1".parse().unwrap(),
            config: config::Spool {
                segment_bytes_max: 64 << 10,
                shared_segment_bytes_max: 64 << 10,
                batch_bytes_max: 16 << 10,
                disk_free_bytes_min: 0,
                ..config::Spool::default()
            },
            clock: self.clock.clone(),
        }
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("data/spool")
    }

    fn open(&self) -> Spool {
        let (spool, recovery) = Spool::open(self.options()).unwrap();
        recovery.finish().unwrap();
        spool
    }

    fn run(&self, args: &[&str]) -> Output {
        let data = self.dir.path().join("data");
        let mut command = tracegate(["--data-dir", data.to_str().unwrap(), "spool"]);
        command.args(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let out = self.run(&[args, &["--format", "json"]].concat());
        let text = String::from_utf8(out.stdout).unwrap();
        (out.status.code().unwrap(), serde_json::from_str(&text).expect(&text))
    }
}

fn look(purpose: &str) -> Access<'_> {
    Access {
        actor: "auditor",
        peer: "192.0.2.1:5".parse().unwrap(),
        role: "auditor",
        case_number: "",
        purpose,
        question: "",
        outcome: "answered",
        rows: 0,
        digest: [0; 32],
    }
}

/// A spool with one lane of five batches of four rows, left as a killed process leaves it.
fn written() -> Written {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::fixed(Timestamp::from_secs(1_800_000_000));
    let written = Written { dir, clock };
    let spool = written.open();
    let mut lane = spool.lane(Table::Access, 0).unwrap();
    for batch in 0..5 {
        for row in 0..4 {
            lane.push(&look(&format!("{batch}/{row} \u{202e}")), Refuse);
        }
        assert_eq!(lane.commit(), Commit::Kept);
    }
    drop((lane, spool));
    written
}

fn segment_of(written: &Written) -> PathBuf {
    let all = fs::read_dir(written.spool()).unwrap().map(|e| e.unwrap().path());
    all.into_iter().find(|p| p.extension().is_some_and(|e| e == "open")).unwrap()
}

#[test]
fn a_whole_spool_is_good_and_prints_its_rows() {
    let written = written();
    let (code, report) = written.json(&["fsck"]);
    assert_eq!((code, &report["ok"], &report["rows"]), (0, &true.into(), &20.into()));
    let (_, stats) = written.json(&["stats"]);
    assert_eq!(stats["unshipped_rows"], 20);
    let out = written.run(&["dump", "--table", "access", "--limit", "6"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(!text.contains('\u{202e}'), "nothing turns the terminal's text around");
    let rows: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[5]["purpose"], "1/1 \u{202e}");
    assert_eq!((&rows[5]["seq"], &rows[5]["actor"]), (&5.into(), &"auditor".into()));
    let columns = SchemaId::newest(Table::Access).columns().unwrap();
    assert!(columns.iter().all(|c| !rows[0][c.name].is_null()));
}

#[test]
fn fsck_names_the_first_bad_batch_and_looks_beside_a_running_server() {
    let written = written();
    let path = segment_of(&written);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&b| b != 0).unwrap();
    bytes[end - 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, report) = written.json(&["fsck"]);
    assert_eq!((code, &report["ok"], &report["rows"]), (3, &false.into(), &16.into()));
    let bad = &report["damaged"][0];
    assert_eq!(bad["file"], path.file_name().unwrap().to_str().unwrap());
    assert!(bad["bad_offset"].as_u64().unwrap() > 128);
    assert_eq!(bad["bad"], "CRC mismatch");
    let text = String::from_utf8(written.run(&["fsck"]).stdout).unwrap();
    assert!(text.contains("first bad batch at offset"), "{text}");
    // The same while the spool is in use, and told in a gap row by then.
    let spool = written.open();
    let (code, report) = written.json(&["fsck"]);
    assert_eq!((code, &report["damaged"][0]["stage"]), (3, &"damaged".into()));
    drop(spool);
}

#[test]
fn what_was_set_aside_is_named_and_released() {
    let written = written();
    let spool = written.open();
    let frames: Vec<_> = spool.frames().into_iter().filter(|f| f.table == Table::Access).collect();
    let rows: u64 = frames.iter().map(|f| f.count).sum();
    let shipment = spool.begin_shipment(frames).unwrap();
    let token = shipment.token.clone();
    spool.set_aside(shipment, "refused\u{1b}[2J").unwrap();
    let (_, stats) = written.json(&["stats"]);
    assert_eq!(stats["aside"][0]["token"], token.as_str());
    assert_eq!(stats["aside"][0]["rows"], rows);
    assert!(!written.run(&["stats"]).stdout.contains(&0x1b));
    assert_eq!(written.json(&["release", "nothing"]).0, 1);
    assert_eq!(written.json(&["release", &token]).0, 0);
    spool.maintain();
    let back = spool.frames().into_iter().filter(|f| f.table == Table::Access);
    assert_eq!(back.map(|f| f.count).sum::<u64>(), rows);
}

#[test]
fn a_frame_set_aside_is_checked_printed_and_counted_in_its_own_file() {
    let written = written();
    let spool = written.open();
    let frames: Vec<_> = spool.frames().into_iter().filter(|f| f.table == Table::Access).collect();
    let shipment = spool.begin_shipment(frames).unwrap();
    spool.set_aside(shipment, "no").unwrap();
    let (_, stats) = written.json(&["stats"]);
    assert_eq!(stats["aside"][0]["copied"], false);
    let text = String::from_utf8(written.run(&["stats"]).stdout).unwrap();
    assert!(text.contains("keeps its segment"), "{text}");
    spool.maintain();
    spool.purge(Timestamp::MAX).unwrap();
    let (_, stats) = written.json(&["stats"]);
    assert_eq!(stats["aside"][0]["copied"], true);
    let copy = &stats["copies"][0];
    assert_eq!((&copy["rows"], &copy["alone"]), (&20.into(), &true.into()));
    assert!(stats["bytes"].as_u64().unwrap() > copy["bytes"].as_u64().unwrap());
    assert_eq!(stats["unshipped_rows"], 1, "its gap row");
    let out = written.run(&["dump", "--table", "access"]);
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 20);
    assert_eq!(written.json(&["fsck"]).0, 0);

    let path = written.spool().join("quarantine").join(copy["file"].as_str().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, report) = written.json(&["fsck"]);
    assert_eq!((code, &report["ok"]), (3, &false.into()));
    assert!(report["copies"][0]["bad"].is_string());
    let text = String::from_utf8(written.run(&["fsck"]).stdout).unwrap();
    assert!(text.contains(".frame: first bad batch"), "{text}");
}

#[test]
fn a_directory_that_is_none_is_an_error() {
    let written = written();
    fs::remove_dir_all(written.spool()).unwrap();
    let out = written.run(&["fsck"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("does not exist"));
}
