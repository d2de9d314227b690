//! Reports by the public: their database opened before any listener, those that wait counted.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Error, core::Core, policy};
use crate::{
    clock::Clock,
    config::Config,
    feeds::{self, By, Feeds, NewAppeal},
    links::Secrets,
    record::{LaneId, NodeName, Table},
    reports::{
        self, AppealAsked, OpenAppeal, PostgresReports, REPORTS, ReportStore, Reports,
        ReportsOptions, SqliteReports, pretty,
    },
    spool::Recovery,
    sql::postgres::Settings,
};

/// Connections to PostgreSQL for reports.
const CONNECTIONS_MAX: usize = 2;
/// How often those that wait are counted: their time runs out by itself.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

/// The database of reports, and its records that are in the spool by now.
pub(super) struct Opened {
    store: Arc<dyn ReportStore>,
    kept: Vec<(LaneId, u64)>,
}

impl Opened {
    /// Opens the database, and puts what its outbox promises into the spool. `settings` are those
    /// of PostgreSQL, where links are there.
    pub(super) fn new(
        config: &Config,
        node: &NodeName,
        clock: &Clock,
        settings: Option<Settings>,
        recovery: &mut Recovery,
    ) -> Result<Self, Error> {
        let store: Arc<dyn ReportStore> = match settings {
            None => Arc::new(SqliteReports::open(&config.data_dir.join(REPORTS), node)?),
            Some(settings) => {
                let settings = Settings { connections_max: CONNECTIONS_MAX, ..settings };
                Arc::new(PostgresReports::open(settings, node, clock.clone())?)
            }
        };
        let kept = reports::restore(&*store, recovery)?;
        Ok(Self { store, kept })
    }

    /// Forgets what is in the spool to stay.
    pub(super) fn forget(&self) -> Result<(), Error> {
        if !self.kept.is_empty() {
            self.store.forget(&self.kept)?;
        }
        Ok(())
    }

    /// Opens the desk, whose appeals are those of `feeds`.
    pub(super) fn start(
        self,
        parts: &policy::Parts<'_>,
        secrets: &Secrets,
        feeds: &Arc<Feeds>,
    ) -> Result<Arc<Reports>, Error> {
        Ok(Arc::new(Reports::new(ReportsOptions {
            config: parts.config.gateway.reports.clone(),
            store: self.store,
            lane: parts.spool.shared(Table::Reports)?,
            node: parts.node.clone(),
            key: secrets.load_or_make("reports.key")?,
            open_appeal: open_appeal(feeds),
            suffixes: Arc::clone(parts.suffixes),
            clock: parts.clock.clone(),
            metrics: Arc::clone(parts.metrics),
        })))
    }
}

/// Appeals by the public are those of policy: operators find and decide them there, too.
fn open_appeal(feeds: &Arc<Feeds>) -> OpenAppeal {
    let feeds = Arc::clone(feeds);
    Box::new(move |asked: &AppealAsked<'_>| {
        // Who appealed and in which words stays with the report, where persons are looked at.
        let report = format!("report 举报单号 {}", pretty(asked.number));
        let by = By { reason: report.clone(), ..By::default() };
        let new = |feed: &str| NewAppeal {
            feed: feed.to_owned(),
            what: asked.what.to_owned(),
            claimant: report.clone(),
        };
        let opened = match feeds.open_appeal(&new(asked.feed), &by) {
            // An operator's own rule, or a feed that is gone meanwhile.
            Err(feeds::Error::Unknown(_)) => feeds.open_appeal(&new(""), &by),
            opened => opened,
        };
        match opened {
            Ok(appeal) => Ok(appeal.id),
            Err(feeds::Error::Full) => Err(reports::Error::Full),
            Err(feeds::Error::BadRule(_)) => Err(reports::Error::Subject),
            Err(e) => Err(reports::Error::Appeal(e.to_string())),
        }
    })
}

/// The task that counts those that wait.
pub(super) struct Counting {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Counting {
    pub(super) fn start(core: &Core) -> Self {
        let stop = CancellationToken::new();
        let (desk, stopped) = (Arc::clone(&core.reports), stop.clone());
        let tasks = core.tasks.clone();
        let task = core.tasks.spawn(async move {
            loop {
                let desk: Arc<Reports> = Arc::clone(&desk);
                match tasks.spawn_blocking(move || desk.count()).await {
                    Ok(Ok(counts)) if counts.overdue > 0 => {
                        tracing::debug!(overdue = counts.overdue, "reports wait for a decision");
                    }
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "reports cannot be counted"),
                    Err(error) => tracing::error!(%error, "the count of reports failed"),
                }
                let wait = stopped.run_until_cancelled(tokio::time::sleep(COUNT_INTERVAL));
                if wait.await.is_none() {
                    return;
                }
            }
        });
        Self { stop, task }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the count of reports failed");
        }
    }
}
