//! Links by the million, put into the control database by its back door: what is measured is what
//! becomes of them, not how they come.

use std::{fs, path::Path, time::Instant};

use rusqlite::{Connection, params};

/// The code of the `n`th link.
pub(crate) fn code(n: u64) -> String {
    format!("b{n:07}")
}

/// Where it leads.
pub(crate) fn target(n: u64) -> String {
    format!("https://www.bench.test/{n}")
}

/// How a database was filled.
#[derive(Clone, Copy)]
pub(crate) struct Filled {
    /// Seconds it took.
    pub(crate) seconds: f64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// Adds `links` links, and one with the code `listed` to `listed.bench.test`, to the control
/// database of a server that has ended.
pub(crate) fn fill(database: &Path, links: u64) -> Filled {
    let began = Instant::now();
    let db = Connection::open(database).expect("the control database");
    // Nothing of this need survive a crash; the server opens it as its own afterwards.
    let pragmas =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -1048576";
    db.execute_batch(pragmas).expect("pragmas");
    db.execute_batch("BEGIN").expect("a transaction");
    {
        let sql = "INSERT INTO revisions (code, revision, ts, operation, target_submitted, target, \
                   target_host, target_registrable_domain, state, expires, actor, owner, reason, \
                   psl_version, domain, settings, request, alike) VALUES (?1, 1, 1750000000000000, \
                   'create', ?2, ?2, ?3, 'bench.test', 'enabled', 0, 'bench', ?4, '', 'bench', '', \
                   '', '', ?5)";
        let mut insert = db.prepare(sql).expect("a statement");
        for n in 0..links {
            let owner = format!("owner-{}", n % 10_000);
            let alike = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed() | 1;
            insert
                .execute(params![code(n), target(n), "www.bench.test", owner, alike])
                .expect("a revision");
        }
        let listed = "https://listed.bench.test/";
        let row = params!["listed", listed, "listed.bench.test", "owner-0", 0];
        insert.execute(row).expect("a revision");
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("the end");
    drop(db);
    let bytes = fs::metadata(database).expect("the file").len();
    Filled { seconds: began.elapsed().as_secs_f64(), bytes }
}
