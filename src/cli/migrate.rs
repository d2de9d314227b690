//! `tracegate migrate`: the store's schema, by hand.

use std::{io::Write, time::Duration};

use anyhow::Context;

use super::{Exit, Format, Global};
use crate::{
    clock::Clock,
    config::Config,
    store::{
        Credentials, Store,
        engine::{Options, Secrets, Supervisor},
        migrate::{self, Migration},
    },
};

/// Applies the migrations that the store lacks, as `serve` does when it starts.
///
/// With the embedded engine no `serve` may use the data directory meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// Print the statements instead of running them.
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    /// Runs to the end.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let config = global.load()?.config;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start")?;
        let done = runtime.block_on(self.work(&config))?;
        self.print(global.format(), &config, &done)?;
        Ok(Exit::Ok)
    }

    async fn work(&self, config: &Config) -> anyhow::Result<Vec<Migration>> {
        if config.store.url != "embedded" {
            let credentials = Credentials::load(&config.store)?;
            let store = Store::connect(&config.store, &config.store.url, credentials);
            return self.migrate(&store).await;
        }
        let options = Options {
            program: std::env::current_exe().context("cannot find our own program")?,
            data_dir: config.data_dir.clone(),
            config: config.store.engine.clone(),
            secrets: Secrets::generate().context("no random bytes for a secret")?,
            looks: None,
            clock: Clock::system(),
        };
        let password = options.secrets.internal.reveal().to_owned();
        let supervisor = Supervisor::start(options);
        let limit = Duration::from_millis(config.store.engine.start_timeout_ms);
        let done = match supervisor.ready(limit).await {
            Ok(endpoint) => {
                let credentials = Credentials { user: "default".into(), password };
                let store = Store::connect(&config.store, &endpoint.url(), credentials);
                self.migrate(&store).await
            }
            Err(e) => Err(e.into()),
        };
        supervisor.shutdown().await;
        done
    }

    async fn migrate(&self, store: &Store) -> anyhow::Result<Vec<Migration>> {
        store.check_server().await?;
        let list = if self.dry_run {
            migrate::pending(store).await?
        } else {
            migrate::migrate(store).await?
        };
        Ok(list)
    }

    fn print(&self, format: Format, config: &Config, list: &[Migration]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if format == Format::Json {
            let migrations: Vec<_> = list
                .iter()
                .map(|m| {
                    serde_json::json!({
                        "number": m.number, "name": m.name, "checksum": m.checksum(),
                    })
                })
                .collect();
            let applied = !self.dry_run;
            writeln!(out, "{}", serde_json::json!({"applied": applied, "migrations": migrations}))?;
            return Ok(());
        }
        if list.is_empty() {
            writeln!(out, "The store is up to date.")?;
        }
        for m in list {
            let what = if self.dry_run { "To apply" } else { "Applied" };
            writeln!(out, "-- {what}: {:04} {}", m.number, m.name)?;
            if self.dry_run {
                for sql in m.statements(config.store.replicated) {
                    writeln!(out, "{sql};\n")?;
                }
            }
        }
        Ok(())
    }
}
