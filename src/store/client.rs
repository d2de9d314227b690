//! The connection to the store and the settings every INSERT is pinned to.

use std::{fmt, fs, io, net::IpAddr, os::unix::fs::MetadataExt, path::Path, time::Duration};

use bytes::Bytes;
use clickhouse::{Client, Compression};
use url::{Host, Url};

use super::Error;
use crate::{
    config,
    record::{SchemaId, Table},
};

/// The largest piece of a body handed to the connection at once, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// What makes one INSERT one block under one token, whatever the server's profile says.
///
/// `ClickHouse` 26 collects small inserts asynchronously by default, cuts and joins blocks by size,
/// and ignores tokens where a server says so; each of these would turn a retry into duplicates.
pub const PINNED: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("deduplicate_insert", "enable"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_insert_block_size", "10000000"),
    ("max_insert_block_size_bytes", "0"),
    ("min_insert_block_size_rows", "10000000"),
    ("min_insert_block_size_bytes", "0"),
    ("input_format_max_block_size_bytes", "0"),
    ("input_format_max_block_wait_ms", "0"),
    ("input_format_connection_handling", "0"),
    ("materialized_views_ignore_errors", "0"),
    // The view of passive DNS groups by its target's whole key: nothing is left to collapse.
    ("optimize_on_insert", "0"),
];

/// The setting that carries a shipment's token.
pub const TOKEN: &str = "insert_deduplication_token";

/// Who we are to the store. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password; empty for none.
    pub password: String,
}

impl Credentials {
    /// The user and password that the configuration names for an external server.
    ///
    /// # Errors
    /// [`Error::Password`], also when others may read the file.
    pub fn load(config: &config::Store) -> Result<Self, Error> {
        let password = match &config.password_file {
            None => String::new(),
            Some(path) => read_secret(path)
                .map_err(|source| Error::Password { path: path.clone(), source })?,
        };
        Ok(Self { user: config.user.clone(), password })
    }
}

fn read_secret(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.mode() & 0o077 != 0 {
        let reason = "others may read it; run `chmod 600` on it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok(fs::read_to_string(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    config: config::Store,
    insert_timeout: Duration,
}

impl Store {
    /// A store at `url`. Nothing is sent yet, so a store that is down can be connected to.
    pub fn connect(config: &config::Store, url: &str, credentials: Credentials) -> Self {
        let compression = if is_loopback(url) { Compression::None } else { Compression::Lz4 };
        let mut client = Client::default()
            .with_url(url)
            .with_database(&config.database)
            .with_compression(compression)
            .with_product_info("tracegate", env!("CARGO_PKG_VERSION"));
        if !credentials.user.is_empty() {
            client = client.with_user(credentials.user);
        }
        if !credentials.password.is_empty() {
            client = client.with_password(credentials.password);
        }
        Self {
            client,
            config: config.clone(),
            insert_timeout: Duration::from_millis(config.insert_timeout_ms),
        }
    }

    /// The client, bound to the database, for questions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Limits and names.
    pub fn config(&self) -> &config::Store {
        &self.config
    }

    /// Waits for `question` at most as long as for an INSERT.
    ///
    /// # Errors
    /// The server's, or [`Error::Timeout`].
    pub async fn bounded<T>(
        &self,
        question: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.insert_timeout, question).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::Timeout(self.insert_timeout)),
        }
    }

    /// Runs one statement without an answer.
    ///
    /// # Errors
    /// As [`Store::bounded`].
    pub async fn execute(&self, sql: &str) -> Result<(), Error> {
        self.bounded(self.client.query_raw(sql).execute()).await
    }

    /// Whether the server answers.
    ///
    /// # Errors
    /// As [`Store::bounded`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.execute("SELECT 1 FORMAT Null").await
    }

    /// One INSERT of rows encoded under `schema`, as one block under one token.
    ///
    /// # Errors
    /// As [`Store::bounded`]; the fate of the rows follows from [`Error::failure`].
    pub async fn insert(
        &self,
        table: Table,
        schema: SchemaId,
        token: &str,
        rows: Vec<Bytes>,
    ) -> Result<(), Error> {
        let columns = schema.column_list().unwrap_or_default();
        let sql = format!("INSERT INTO {table} ({columns}) FORMAT RowBinary");
        let seconds = self.insert_timeout.as_secs().max(1).to_string();
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(self.insert_timeout), Some(self.insert_timeout))
            .with_setting(TOKEN, token)
            // The server gives up when we do: no INSERT lives on unseen.
            .with_setting("max_execution_time", seconds);
        for (name, value) in PINNED {
            insert = insert.with_setting(*name, *value);
        }
        for mut rows in rows {
            while !rows.is_empty() {
                let chunk = rows.split_to(rows.len().min(CHUNK_BYTES));
                insert.send(chunk).await?;
            }
        }
        Ok(insert.end().await?)
    }
}

/// Bytes that never leave the machine are not worth compressing.
fn is_loopback(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(a)) => IpAddr::V4(a).is_loopback(),
        Some(Host::Ipv6(a)) => IpAddr::V6(a).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_seen() {
        for (url, expected) in [
            ("http://127.0.0.1:8124", true),
            ("http://[::1]:8124/", true),
            ("http://localhost:1", true),
            ("https://ch.example:8443", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials { user: "u".into(), password: "hunter2".into() };
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let store = Store::connect(&config::Store::default(), "http://127.0.0.1:1", credentials);
        assert!(!format!("{store:?}").contains("hunter2"));
    }
}
