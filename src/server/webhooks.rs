//! Changes told to those who asked for them.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Error, core::Core};
use crate::{
    fetch::Resolve,
    webhooks::{Sender, SenderParts},
};

/// The task that does it.
pub(super) struct Webhooks {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Webhooks {
    pub(super) fn start(core: &Core) -> Result<Self, Error> {
        // As the rest of the machine does it: endpoints are often known inside alone.
        let resolve: Resolve = Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await.map_err(|e| e.to_string())?;
                Ok(found.map(|address| address.ip()).collect())
            })
        });
        let sender = Sender::new(SenderParts {
            config: core.config.webhooks.clone(),
            links: Arc::clone(&core.links),
            reports: Arc::clone(&core.reports),
            feeds: Arc::clone(&core.feeds),
            signer: Arc::clone(&core.signer),
            resolve,
            node: core.node.clone(),
            clock: core.clock.clone(),
            metrics: Arc::clone(&core.metrics),
        })?;
        let stop = CancellationToken::new();
        let task = core.tasks.spawn(sender.run(stop.clone()));
        Ok(Self { stop, task })
    }

    /// Stops it; attempts under way are given up, and made again.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the webhooks failed");
        }
    }
}
