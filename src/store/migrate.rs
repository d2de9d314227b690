//! Migrations: numbered SQL, checksummed, forward only; the rules are in `migrations/README.md`.
//!
//! Killed between two statements, or run twice at once, nothing is harmed: every statement is
//! idempotent, and a file is recorded only after its last one.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Error, Store, failure};

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number, from 1 without holes.
    pub number: u32,
    /// Its name without the number.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// Creates the table `migrations`; run before every look and recorded nowhere.
const BOOTSTRAP: Migration = Migration {
    number: 0,
    name: "migrations",
    sql: include_str!("../../migrations/0000_migrations.sql"),
};

/// Every migration, by number.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "records",
        sql: include_str!("../../migrations/0001_records.sql"),
    },
    Migration {
        number: 2,
        name: "passive_dns",
        sql: include_str!("../../migrations/0002_passive_dns.sql"),
    },
    Migration { number: 3, name: "lists", sql: include_str!("../../migrations/0003_lists.sql") },
    Migration { number: 4, name: "feeds", sql: include_str!("../../migrations/0004_feeds.sql") },
    Migration {
        number: 5,
        name: "gateway",
        sql: include_str!("../../migrations/0005_gateway.sql"),
    },
    Migration {
        number: 6,
        name: "passive_dns_actions",
        sql: include_str!("../../migrations/0006_passive_dns_actions.sql"),
    },
    Migration {
        number: 7,
        name: "reports",
        sql: include_str!("../../migrations/0007_reports.sql"),
    },
    Migration {
        number: 8,
        name: "notices",
        sql: include_str!("../../migrations/0008_notices.sql"),
    },
    Migration { number: 9, name: "verify", sql: include_str!("../../migrations/0009_verify.sql") },
];

/// A program version: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    /// This program's.
    pub fn ours() -> Self {
        Self::parse(env!("CARGO_PKG_VERSION")).unwrap_or(Self(0, 0, 0))
    }

    /// Reads `X.Y.Z`; what follows a `-` or `+` does not count.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next()?;
        let mut parts = core.split('.').map(|p| p.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Migration {
    /// SHA-256 of the file, in hex.
    pub fn checksum(&self) -> String {
        hex::encode(Sha256::digest(self.sql.as_bytes()))
    }

    /// The oldest program that works with the schema after this file.
    pub fn min_binary(&self) -> Option<Version> {
        let line = self.sql.lines().next()?;
        Version::parse(line.strip_prefix("-- min_binary: ")?.trim())
    }

    /// Its statements without comments, for a single server or a replicated one.
    pub fn statements(&self, replicated: bool) -> Vec<String> {
        let code: Vec<_> =
            self.sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let code = engines(&code.join("\n"), replicated);
        code.split(";\n")
            .map(|s| s.trim().trim_end_matches(';').to_owned())
            .filter(|s| !s.is_empty())
            .collect()
    }
}

/// Replaces every `@XMergeTree@` by the engine.
fn engines(sql: &str, replicated: bool) -> String {
    let mut out = String::with_capacity(sql.len());
    for (i, part) in sql.split('@').enumerate() {
        match (i % 2 == 1, replicated) {
            (true, true) => {
                out.push_str("Replicated");
                out.push_str(part);
                out.push_str("('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')");
            }
            _ => out.push_str(part),
        }
    }
    out
}

/// What is still to be done, or why it cannot be.
///
/// # Errors
/// [`Error::NewerSchema`] and [`Error::Changed`]; the server's.
pub async fn pending(store: &Store) -> Result<Vec<Migration>, Error> {
    let question = "SELECT number, checksum, min_binary FROM migrations FINAL ORDER BY number";
    let rows = store.client().query_raw(question).fetch_all::<(u32, String, String)>();
    let applied = match store.bounded(rows).await {
        Ok(rows) => rows,
        Err(Error::Server(e)) if failure::is_missing(&e) => Vec::new(),
        Err(e) => return Err(e),
    };
    judge(&applied, MIGRATIONS, Version::ours())
}

/// Compares what was applied with what we have.
fn judge(
    applied: &[(u32, String, String)],
    ours: &[Migration],
    version: Version,
) -> Result<Vec<Migration>, Error> {
    for (number, checksum, min_binary) in applied {
        if Version::parse(min_binary).is_none_or(|min| min > version) {
            let (number, min_binary) = (*number, min_binary.clone());
            return Err(Error::NewerSchema { number, min_binary });
        }
        if let Some(m) = ours.iter().find(|m| m.number == *number)
            && m.checksum() != *checksum
        {
            let (number, applied) = (*number, checksum.clone());
            return Err(Error::Changed { number, applied, ours: m.checksum() });
        }
    }
    let missing = |m: &&Migration| !applied.iter().any(|(number, ..)| *number == m.number);
    Ok(ours.iter().filter(missing).copied().collect())
}

/// Applies what is missing and returns it. On an up-to-date store it only looks.
///
/// # Errors
/// As [`pending`]; what was applied before the error stays applied.
pub async fn migrate(store: &Store) -> Result<Vec<Migration>, Error> {
    if pending(store).await?.is_empty() {
        return Ok(Vec::new());
    }
    // The database may not exist, and a request that names it would fail.
    let sql = format!("CREATE DATABASE IF NOT EXISTS `{}`", store.config().database);
    store
        .bounded(store.client().clone().with_database("default").query_raw(&sql).execute())
        .await?;
    for sql in BOOTSTRAP.statements(store.config().replicated) {
        store.execute(&sql).await?;
    }
    let todo = pending(store).await?;
    for migration in &todo {
        for sql in migration.statements(store.config().replicated) {
            store.execute(&sql).await?;
        }
        record(store, migration).await?;
        tracing::info!(number = migration.number, name = migration.name, "migration applied");
    }
    Ok(todo)
}

async fn record(store: &Store, migration: &Migration) -> Result<(), Error> {
    let min_binary = migration.min_binary().unwrap_or(Version::ours());
    let sql = format!(
        "INSERT INTO migrations (number, name, checksum, applied_at, min_binary, version) \
         SELECT {}, '{}', '{}', now64(6, 'UTC'), '{min_binary}', '{}'",
        migration.number,
        migration.name,
        migration.checksum(),
        Version::ours(),
    );
    store.execute(&sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_folder() {
        let mut files: Vec<_> = std::fs::read_dir("migrations")
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .filter(|f| f.ends_with(".sql"))
            .collect();
        files.sort_unstable();
        let ours: Vec<_> = std::iter::once(&BOOTSTRAP)
            .chain(MIGRATIONS)
            .enumerate()
            .map(|(i, m)| {
                assert_eq!(m.number as usize, i, "numbers have no holes");
                assert!(m.min_binary().is_some(), "{}: first line", m.name);
                format!("{:04}_{}.sql", m.number, m.name)
            })
            .collect();
        assert_eq!(files, ours);
    }

    #[test]
    fn statements_are_single_idempotent_and_windowed() {
        for m in std::iter::once(&BOOTSTRAP).chain(MIGRATIONS) {
            for sql in m.statements(false) {
                let again = sql.contains("IF NOT EXISTS") || sql.contains(" MODIFY QUERY\n");
                assert!(again, "{sql}");
                assert!(!sql.contains(';') && !sql.contains('@') && !sql.contains("--"), "{sql}");
                if sql.starts_with("CREATE TABLE") {
                    assert!(sql.contains("non_replicated_deduplication_window = 10000"), "{sql}");
                    assert!(sql.contains(" replicated_deduplication_window = 10000"), "{sql}");
                    assert!(!sql.contains(" DEFAULT "), "{sql}");
                }
            }
        }
    }

    #[test]
    fn engines_follow_the_server() {
        let sql = "ENGINE = @MergeTree@ ORDER";
        assert_eq!(engines(sql, false), "ENGINE = MergeTree ORDER");
        let path = "('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')";
        assert_eq!(engines(sql, true), format!("ENGINE = ReplicatedMergeTree{path} ORDER"));
    }

    /// Every table that rows are sent to is replicated under a path of its own; what was applied is
    /// known per server.
    #[test]
    fn a_replicated_schema_replicates_every_table_but_its_own() {
        let replicated =
            "MergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')\n";
        let mut tables = 0;
        for m in MIGRATIONS {
            for (sql, single) in m.statements(true).iter().zip(m.statements(false)) {
                assert!(!sql.contains('@') && !sql.contains("ON CLUSTER"), "{sql}");
                if sql.starts_with("CREATE TABLE") {
                    tables += 1;
                    let (_, engine) = sql.split_once("ENGINE = Replicated").expect(sql);
                    assert!(engine.contains(replicated), "{sql}");
                } else if sql.starts_with("ALTER TABLE") {
                    // Replicated by the table itself.
                    assert_eq!(*sql, single);
                } else {
                    assert!(sql.starts_with("CREATE MATERIALIZED VIEW"), "{sql}");
                    assert!(sql.contains(" TO ") && *sql == single, "a view has no engine: {sql}");
                }
                // Nothing else differs.
                assert_eq!(
                    sql.replace("Replicated", "").replace(replicated, "MergeTree\n"),
                    single
                );
            }
        }
        assert_eq!(tables, crate::record::Table::ALL.len() + 2);
        assert_eq!(BOOTSTRAP.statements(true), BOOTSTRAP.statements(false));
    }

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("1.2.3", Some(Version(1, 2, 3))),
            ("0.1.0-rc.1", Some(Version(0, 1, 0))),
            ("1.2", None),
            ("1.2.3.4", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_store_is_judged_by_what_it_needs() {
        let ours = &MIGRATIONS[..2];
        let row = |n: usize, min: &str| (n as u32 + 1, ours[n].checksum(), min.to_owned());
        let v = Version(0, 1, 0);
        let numbers = |r: Result<Vec<Migration>, Error>| {
            r.unwrap().iter().map(|m| m.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(judge(&[], ours, v)), [1, 2]);
        assert_eq!(numbers(judge(&[row(0, "0.1.0")], ours, v)), [2]);
        // A newer schema that an old program can still use is no obstacle.
        let newer = (9, "x".to_owned(), "0.1.0".to_owned());
        assert!(numbers(judge(&[row(0, "0.1.0"), row(1, "0.1.0"), newer], ours, v)).is_empty());
        let newer = (9, "x".to_owned(), "0.2.0".to_owned());
        assert!(matches!(judge(&[newer], ours, v), Err(Error::NewerSchema { number: 9, .. })));
        let changed = (1, "x".to_owned(), "0.1.0".to_owned());
        assert!(matches!(judge(&[changed], ours, v), Err(Error::Changed { number: 1, .. })));
    }
}
