//! The verifier, and the table of registries that it is kept up to date with.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Error, core::Core, policy};
use crate::{
    links::Secrets,
    record::Table,
    verify::{
        self, Verifier, VerifierOptions,
        gather::registry::{self, Registries, RegistriesOptions},
    },
};

/// The file that a fetched table is kept in, below the data directory.
const TABLE: &str = "registries.json";

pub(super) fn verifier_of(
    parts: &policy::Parts<'_>,
    secrets: &Secrets,
) -> Result<Arc<Verifier>, Error> {
    Ok(Arc::new(Verifier::new(VerifierOptions {
        config: parts.config.verify.clone(),
        lane: parts.spool.shared(Table::Verifications)?,
        evidence: parts.spool.shared(Table::Evidence)?,
        node: parts.node.clone(),
        suffixes: Arc::clone(parts.suffixes),
        registries: registries_of(parts, secrets)?,
        clock: parts.clock.clone(),
    })?))
}

fn registries_of(
    parts: &policy::Parts<'_>,
    secrets: &Secrets,
) -> Result<Option<Arc<Registries>>, Error> {
    let (verify, config) = (&parts.config.verify, &parts.config.verify.registries);
    if !verify.network || !config.enabled {
        return Ok(None);
    }
    let mut bootstrap = verify::registries(config)?;
    // What was fetched before counts, as long as it is newer than the file.
    if let Ok(kept) = fs::read(parts.config.data_dir.join(TABLE))
        && let Ok(newer) = bootstrap.take(&kept)
    {
        bootstrap = newer;
    }
    let ca = config.ca_file.as_ref().map(fs::read).transpose();
    let ca = ca.map_err(Error::io("verify.registries.ca_file"))?;
    let vantage = if verify.vantage.is_empty() { parts.node.as_str() } else { &verify.vantage };
    let options = RegistriesOptions {
        config: config.clone(),
        bootstrap,
        vantage: vantage.to_owned(),
        resolve: registry::resolve(),
        ca,
        key: secrets.load_or_make("persons.key")?,
        clock: parts.clock.clone(),
    };
    let registries = Registries::new(options).map_err(verify::Error::from)?;
    Ok(Some(Arc::new(registries)))
}

/// The task that fetches the table of registries anew.
pub(super) struct Refresh {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Refresh {
    pub(super) fn start(core: &Core) -> Self {
        let stop = CancellationToken::new();
        let config = &core.config.verify.registries;
        let registries = core.verifier.registries().filter(|_| !config.bootstrap_url.is_empty());
        let task = registries.map(|registries| {
            let (registries, stop) = (Arc::clone(registries), stop.clone());
            let interval = Duration::from_secs(config.bootstrap_interval_s);
            let file = core.config.data_dir.join(TABLE);
            core.tasks.spawn(async move {
                loop {
                    let next = async {
                        once(&registries, &file).await;
                        tokio::time::sleep(interval).await;
                    };
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = next => {}
                    }
                }
            })
        });
        Self { stop, task }
    }

    /// Stops it.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "fetching the table of registries failed");
        }
    }
}

/// Fetches the table once; what is not newer changes nothing, and what is refused is said.
async fn once(registries: &Registries, file: &Path) {
    let bytes = match registries.fetch_table().await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(?error, "the table of registries cannot be fetched");
            return;
        }
    };
    match registries.bootstrap().take(&bytes) {
        Ok(table) => {
            let (names, digest) = (table.len(), table.digest);
            registries.use_bootstrap(table);
            tracing::info!(names, %digest, "a new table of registries is in use");
            if let Err(error) = keep(file, &bytes) {
                tracing::warn!(%error, "the table of registries cannot be kept");
            }
        }
        Err(verify::registration::bootstrap::BadTable::Older) => {}
        Err(error) => tracing::warn!(%error, "a table of registries is refused"),
    }
}

fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(new, file)
}
