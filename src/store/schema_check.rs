//! Looking at a server before the first row is sent: settings, columns, windows, durability.

use std::collections::HashMap;

use super::{
    Error, Store,
    client::{PINNED, TOKEN},
    migrate,
};
use crate::{
    config::Durability,
    record::{SchemaId, Table},
};

/// Settings of tables that migrations and durability use.
const TABLE_SETTINGS: &[&str] = &[
    "non_replicated_deduplication_window",
    "replicated_deduplication_window",
    "replicated_deduplication_window_seconds",
    "fsync_after_insert",
    "fsync_part_directory",
];

/// What the views write to.
const VIEW_TARGETS: &[&str] = &["passive_dns", "passive_dns_by_data"];

impl Store {
    /// Makes the store ready for rows: looks at the server, migrates, looks at the tables.
    ///
    /// # Errors
    /// Those of [`Store::check_server`], [`migrate::migrate`] and [`Store::check_tables`].
    pub async fn prepare(&self, durability: Durability) -> Result<(), Error> {
        self.check_server().await?;
        migrate::migrate(self).await?;
        self.check_tables(durability).await
    }

    /// Whether this server can keep every row exactly once. Needs no tables.
    ///
    /// # Errors
    /// [`Error::UnknownSettings`]; the server's.
    pub async fn check_server(&self) -> Result<(), Error> {
        let mut unknown = Vec::new();
        let pinned = PINNED.iter().map(|(name, _)| *name).chain([TOKEN, "max_execution_time"]);
        for (source, wanted) in [
            ("system.settings", pinned.collect::<Vec<_>>()),
            ("system.merge_tree_settings", TABLE_SETTINGS.to_vec()),
        ] {
            let list: Vec<_> = wanted.iter().map(|name| format!("'{name}'")).collect();
            let sql = format!("SELECT name FROM {source} WHERE name IN ({})", list.join(", "));
            let client = self.client().clone().with_database("default");
            let known: Vec<String> = self.bounded(client.query_raw(&sql).fetch_all()).await?;
            unknown.extend(
                wanted.iter().filter(|w| !known.iter().any(|k| k == *w)).map(|w| (*w).to_owned()),
            );
        }
        if unknown.is_empty() { Ok(()) } else { Err(Error::UnknownSettings(unknown)) }
    }

    /// Whether the tables have the columns of our rows and a deduplication window; sets what the
    /// spool's durability asks of them.
    ///
    /// # Errors
    /// [`Error::Column`], [`Error::NoWindow`]; the server's.
    pub async fn check_tables(&self, durability: Durability) -> Result<(), Error> {
        self.check_columns().await?;
        let sql = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()";
        let rows = self.client().query_raw(sql).fetch_all::<(String, String)>();
        let tables: HashMap<String, String> = self.bounded(rows).await?.into_iter().collect();
        let names = Table::ALL.iter().map(|t| t.name()).chain(VIEW_TARGETS.iter().copied());
        for name in names {
            let engine = tables.get(name).map(String::as_str).unwrap_or_default();
            // A window that the table does not set is the server's default, which may be zero.
            for key in [" non_replicated_deduplication_window", " replicated_deduplication_window"]
            {
                if setting(engine, key).is_none_or(|n| n == 0) {
                    return Err(Error::NoWindow(name.to_owned()));
                }
            }
            let synced = durability == Durability::Synced && !engine.starts_with("Replicated");
            let is_synced = setting(engine, " fsync_after_insert") == Some(1)
                && setting(engine, " fsync_part_directory") == Some(1);
            if synced && !is_synced {
                let on = "MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1";
                self.execute(&format!("ALTER TABLE {name} {on}")).await?;
            } else if !synced && is_synced {
                let off = "RESET SETTING fsync_after_insert, fsync_part_directory";
                self.execute(&format!("ALTER TABLE {name} {off}")).await?;
            }
        }
        Ok(())
    }

    async fn check_columns(&self) -> Result<(), Error> {
        let sql = "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()";
        let rows = self.client().query_raw(sql).fetch_all::<(String, String, String)>();
        let there: HashMap<(String, String), String> =
            self.bounded(rows).await?.into_iter().map(|(t, c, ty)| ((t, c), ty)).collect();
        for table in Table::ALL {
            for column in SchemaId::newest(table).columns().unwrap_or_default() {
                let key = (table.name().to_owned(), column.name.to_owned());
                let found = there.get(&key).map_or("missing", String::as_str);
                if found != column.ty.sql() {
                    return Err(Error::Column {
                        table: key.0,
                        column: key.1,
                        found: found.to_owned(),
                        expected: column.ty.sql().to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The value of `key = N` in an engine's full text.
fn setting(engine: &str, key: &str) -> Option<u64> {
    let rest = &engine[engine.find(&format!("{key} = "))? + key.len() + 3..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_the_engine() {
        let text =
            "MergeTree ORDER BY ts SETTINGS non_replicated_deduplication_window = 100, x = 1";
        for (key, expected) in [
            (" non_replicated_deduplication_window", Some(100)),
            (" replicated_deduplication_window", None),
            (" x", Some(1)),
            (" y", None),
        ] {
            assert_eq!(setting(text, key), expected, "{key}");
        }
    }
}
