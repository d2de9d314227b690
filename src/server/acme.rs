//! Certificates obtained for our own hosts and those that are forwarded.

use std::{path::PathBuf, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Error, core::Core};
use crate::{
    clock::Clock,
    config::Config,
    fetch::Resolve,
    gateway::acme::{Acme, AcmeParts},
    links::Links,
    metrics::Metrics,
};

/// Where the account and the certificates are kept.
pub(super) fn dir(config: &Config) -> PathBuf {
    config.gateway.acme.dir.clone().unwrap_or_else(|| config.data_dir.join("acme"))
}

/// Reads what is kept, where certificates are obtained.
pub(super) fn open(
    config: &Config,
    links: &Arc<Links>,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Acme>>, Error> {
    if !config.gateway.acme.is_on() {
        return Ok(None);
    }
    // As the rest of the machine does it: the authority may be known inside alone.
    let resolve: Resolve = Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(|e| e.to_string())?;
            Ok(found.map(|address| address.ip()).collect())
        })
    });
    let acme = Acme::open(AcmeParts {
        config: config.gateway.acme.clone(),
        files: config.gateway.certificates.clone(),
        dir: dir(config),
        links: Arc::clone(links),
        resolve,
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    })?;
    Ok(Some(acme))
}

/// The task that does it.
pub(super) struct Obtaining {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Obtaining {
    pub(super) fn start(core: &Core) -> Self {
        let stop = CancellationToken::new();
        let run = |acme: &Arc<Acme>| core.tasks.spawn(Arc::clone(acme).run(stop.clone()));
        Self { task: core.acme.as_ref().map(run), stop }
    }

    /// Stops it; an order under way is given up.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the obtaining of certificates failed");
        }
    }
}
