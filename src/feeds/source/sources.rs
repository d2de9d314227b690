//! Every kind of source behind one door.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Ask, Files, Https, Looked, Source, SourceError, Verdicts};
use crate::feeds::Location;

/// Sources by what feeds say: files, web servers, zones at name servers.
#[derive(Clone)]
pub struct Sources {
    files: Files,
    https: Https,
    zones: Option<Arc<dyn Source>>,
    verdicts: Option<Verdicts>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("zones", &self.zones.is_some()).finish_non_exhaustive()
    }
}

impl Sources {
    /// Files and web servers, and `zones` for transfers.
    pub fn new(files: Files, https: Https, zones: Option<Arc<dyn Source>>) -> Self {
        Self { files, https, zones, verdicts: None }
    }

    /// And our own verdicts.
    #[must_use]
    pub fn with_verdicts(mut self, verdicts: Verdicts) -> Self {
        self.verdicts = Some(verdicts);
        self
    }
}

impl Source for Sources {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        match (&ask.spec.source, &self.zones) {
            (Location::Path(_), _) => self.files.look(ask),
            (Location::Https(_), _) => self.https.look(ask),
            (Location::Zone(_), Some(zones)) => zones.look(ask),
            (Location::Verdicts(_), _) => match &self.verdicts {
                Some(verdicts) => verdicts.look(ask),
                None => Box::pin(async { Err(SourceError::Refused("nothing is verified".into())) }),
            },
            (Location::Zone(_), None) => {
                Box::pin(async { Err(SourceError::Refused("transfers are not set up".into())) })
            }
        }
    }

    fn forget(&self, feed: &str) {
        if let Some(zones) = &self.zones {
            zones.forget(feed);
        }
    }
}
