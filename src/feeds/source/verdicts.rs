//! Our own verdicts as a list: names whose last verdict is one of these words, or whose findings
//! name one of these checks. A list like any other from there on: judged, versioned, recorded.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use super::{Ask, Brought, Incoming, Looked, Source, SourceError};
use crate::feeds::Location;

/// Tells the list of these words as JSON lines; it may read a file.
pub type Tell = Arc<dyn Fn(&[String]) -> Result<Vec<u8>, String> + Send + Sync>;

/// Our own verdicts.
#[derive(Clone)]
pub struct Verdicts(Tell);

impl Verdicts {
    /// Verdicts as `tell` tells them.
    pub const fn new(tell: Tell) -> Self {
        Self(tell)
    }
}

impl Source for Verdicts {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        Box::pin(async move {
            let Location::Verdicts(words) = &ask.spec.source else {
                return Err(SourceError::Refused("no list of verdicts".into()));
            };
            let (tell, words) = (Arc::clone(&self.0), words.clone());
            let told = tokio::task::spawn_blocking(move || tell(&words)).await;
            let list = told.unwrap_or_else(|e| Err(e.to_string())).map_err(SourceError::Away)?;
            let validator = hex::encode(Sha256::digest(&list));
            if validator == ask.validator {
                return Ok(Looked::SAME);
            }
            let mut incoming = Incoming::create(ask.incoming, ask.bytes_max)?;
            incoming.push(&list)?;
            let brought = Brought {
                list: incoming.finish()?,
                manifest: None,
                from: ask.spec.source.to_string(),
                signer: String::new(),
                validator,
            };
            Ok(Looked { brought: Some(brought), ..Looked::SAME })
        })
    }
}
