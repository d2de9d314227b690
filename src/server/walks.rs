//! Walks along the redirects of targets.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Addresses, Error, core::Core};
use crate::{
    gateway::{WalkParts, Walker},
    record::Table,
};

/// The task that does it.
pub(super) struct Walks {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Walks {
    pub(super) fn start(core: &Core, at: &Addresses) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let gateway = &core.config.gateway;
        if !gateway.walks.enabled {
            return Ok(Self { stop, task: None });
        }
        let walker = Walker::new(WalkParts {
            config: gateway.clone(),
            listening: at.gateway.into_iter().chain(at.gateway_tls).collect(),
            public: core.config.policy.gateway_addresses.clone(),
            in_force: core.in_force.clone(),
            suffixes: Arc::clone(&core.suffixes),
            links: Arc::clone(&core.links),
            resolver: Arc::clone(&core.resolver),
            lane: core.spool.shared(Table::Hops)?,
            clock: core.clock.clone(),
            metrics: Arc::clone(&core.metrics),
        })?;
        let task = core.tasks.spawn(walker.run(stop.clone()));
        Ok(Self { stop, task: Some(task) })
    }

    /// Stops it; walks under way are given up.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the walks failed");
        }
    }
}
