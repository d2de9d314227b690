//! Looking at a source: what people and the steady watch ask for.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    super::{
        super::{
            Error, FeedSpec, Location,
            shelf::Kept,
            source::{ADDRESSES_MAX, Ask, Brought, Looked, SourceError},
        },
        By, Feeds,
        work::Stage,
    },
    Outcome, Took, validator_mark,
};

impl Feeds {
    /// Looks at a feed's source now, and takes what is new.
    ///
    /// # Errors
    /// When there is no such feed, the reason is too long, or the database fails. A source that
    /// gives nothing usable is an outcome.
    pub async fn refresh(self: &Arc<Self>, feed: &str, by: &By) -> Result<Outcome, Error> {
        self.note(&by.reason)?;
        let _working = self.working(feed, Stage::Fetching);
        let name = feed.to_owned();
        let (spec, validator, last) = self.blocking(move |feeds| feeds.before_look(&name)).await?;
        let looked = self.look(&spec, &validator, last.as_deref()).await;
        let (name, by) = (feed.to_owned(), by.clone());
        match looked {
            Err(error) => {
                let problem = error.to_string();
                let after = error.again_after();
                self.blocking(move |feeds| feeds.look_failed(&name, &problem, after)).await
            }
            Ok(Looked { brought, again_after, expires_after }) => {
                self.looked(feed, again_after);
                let Some(brought) = brought else {
                    self.confirmed(feed, expires_after);
                    return Ok(Outcome::of(Took::Unchanged, feed, 0));
                };
                let taking = self.blocking(move |feeds| feeds.take(&name, brought, &by));
                let outcome = taking.await?;
                if outcome.outcome != Took::Failed {
                    self.confirmed(feed, expires_after);
                }
                Ok(outcome)
            }
        }
    }

    /// Says what taking a list would do: the source's, or one that somebody gave us. Changes
    /// nothing.
    ///
    /// # Errors
    /// As [`Feeds::refresh`].
    pub async fn dry_run(
        self: &Arc<Self>,
        feed: &str,
        given: Option<Brought>,
    ) -> Result<Outcome, Error> {
        let _working = self.working(feed, Stage::Fetching);
        let brought = match given {
            Some(given) => given,
            None => {
                let name = feed.to_owned();
                let (spec, _, last) = self.blocking(move |f| f.before_look(&name)).await?;
                let name = feed.to_owned();
                match self.look(&spec, "", last.as_deref()).await {
                    Ok(Looked { brought: Some(brought), .. }) => brought,
                    Ok(_) => return self.blocking(move |feeds| feeds.rehearse_newest(&name)).await,
                    Err(e) => return Ok(Outcome::failed(feed, e.to_string())),
                }
            }
        };
        let name = feed.to_owned();
        let work = move |feeds: &Arc<Self>| {
            let manifest = brought.manifest.as_ref().map(|m| m.path());
            feeds.rehearse(&name, brought.list.path(), manifest, brought.digest())
        };
        self.blocking(work).await
    }

    /// Takes a list that somebody gave us instead of the feed's source. It stays until the source
    /// has something new.
    ///
    /// # Errors
    /// As [`Feeds::refresh`].
    pub async fn apply(
        self: &Arc<Self>,
        feed: &str,
        brought: Brought,
        by: &By,
    ) -> Result<Outcome, Error> {
        self.note(&by.reason)?;
        let _working = self.working(feed, Stage::Reading);
        let (name, by) = (feed.to_owned(), by.clone());
        self.blocking(move |feeds| feeds.take_given(&name, brought, &by)).await
    }

    async fn look(
        &self,
        spec: &FeedSpec,
        validator: &str,
        last: Option<&Path>,
    ) -> Result<Looked, SourceError> {
        let meter = self.meter(&spec.name);
        let ask = Ask {
            meter: &meter,
            spec,
            validator,
            last,
            incoming: self.shelf.incoming(),
            bytes_max: self.config.list_bytes_max,
        };
        // Each address of a primary has its own time; this is for all of them.
        let limit = match spec.source {
            Location::Zone(_) => {
                Duration::from_millis(self.config.transfer.transfer_timeout_ms) * ADDRESSES_MAX
            }
            _ => Duration::from_millis(self.config.fetch_timeout_ms),
        };
        let late = || SourceError::Away(format!("nothing came within {} s", limit.as_secs()));
        let began = self.clock().monotonic();
        let looked = timeout(limit, self.source.look(ask)).await.unwrap_or_else(|_| Err(late()));
        self.count_look(spec, &looked, self.clock().monotonic().duration_since(began));
        looked
    }

    /// Measures a look: what came of it, how much, how long it took.
    fn count_look(&self, spec: &FeedSpec, looked: &Result<Looked, SourceError>, took: Duration) {
        let (outcome, brought) = match looked {
            Ok(Looked { brought: Some(brought), .. }) => ("new", Some(brought)),
            Ok(_) => ("same", None),
            Err(SourceError::Busy(..)) => ("busy", None),
            Err(_) => ("failed", None),
        };
        self.metrics.looks(&spec.name, outcome).increment(1);
        let of = self.metrics.feed(&spec.name);
        of.look_seconds.set(took.as_secs_f64());
        let Some(brought) = brought else { return };
        of.received_bytes.increment(brought.list.bytes());
        if let (Location::Zone(_), Ok(serial)) = (&spec.source, brought.validator.parse::<u32>()) {
            of.serial.set(f64::from(serial));
        }
    }

    fn before_look(&self, feed: &str) -> Result<(FeedSpec, String, Option<PathBuf>), Error> {
        let (row, spec) = self.feed(feed)?;
        let validator = self.store().mark(&validator_mark(feed))?.unwrap_or_default();
        let last = match row.newest {
            0 => None,
            newest => self.store().version(feed, newest)?,
        };
        // Read by other settings it makes another version: it is to be sent again.
        let last = match last {
            Some(last) => self.is_read_by(&last, &spec)?.then_some(last),
            None => None,
        };
        let last = last.map(|v| self.shelf.version(feed, v.number, v.arrived.digest));
        let last = last.filter(Kept::is_there).map(|kept| kept.list());
        // What is gone must be sent again.
        let validator = if last.is_some() { validator } else { String::new() };
        Ok((spec, validator, last))
    }
}
