//! Where it leads: the redirects of links' targets, followed when a link is made and again and again,
//! and kept as hops.
//!
//! | file | part |
//! |---|---|
//! | `way` | one walk, question by question |
//! | `exchange` | one question to one server, bounded |
//! | `hosts` | how often a host is asked, and its robots.txt |
//! | `robots` | RFC 9309 |
//! | `location` | where an answer sends its reader |
//! | `judge` | what a walk means |
//! | `keep` | records of hops, and what is kept of a walk |
//!
//! **Schedule.** It lies in the control database, beside the links: no creation waits for it, a restart
//! forgets nothing, and of several gateways one walks a link at a time. The nearest due goes first. A
//! link that is disabled or has ended is not walked until it has another revision.
//!
//! **A walk** asks by `HEAD`, and by `GET` where a server does not like that or a page is to be looked
//! into; it brings no cookie, no credential and no `Referer`. Names are looked up by our own resolver,
//! before policy; every address is checked ([`crate::fetch`]) and a connection goes to one of those that
//! were. A place of our own is not asked: the link there is read, so that a way which comes back to its
//! own link is a `loop`, whatever hosts lie between. A name that lists mean, beyond a hint, is `listed`.
//! robots.txt is honoured, `Retry-After` too, and no host is asked more often than the configuration
//! says. The questions to the resolver are not recorded: addresses stand in the hops.
//!
//! **Findings.** Where the first walk from a target arrived is what later ones are held against, until
//! the target is changed. A walk that comes to no end says nothing: what was found before stands. What
//! stands is told with the link, and is an input of the rules of tiers
//! ([`Inputs`](super::notice::Inputs)).
//!
//! **Failure.** Without room for its records a walk is not ended and is due again.

mod hosts;
mod judge;
mod keep;
mod location;
mod robots;
mod way;

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::hosts::Hosts;
use super::ahead::Places;
use crate::{
    clock::Clock,
    config,
    fetch::{Allowed, Asker, Trust},
    links::{DueWalk, Error, Intake, Links},
    metrics::Metrics,
    policy::InForce,
    record::PublicSuffixes,
    resolver::{Lookup, Resolver},
    spool::SharedLane,
};

/// How often the last revisions are gone over again.
const SETTLE_EVERY: Duration = Duration::from_secs(60);

/// What a claim lasts longer than a walk may.
const LEASE_MARGIN: Duration = Duration::from_secs(60);

/// The largest file of certificates, in bytes.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// Why nobody can walk.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// Certificates that cannot be used.
    #[error("gateway.walks.ca_file: {0}")]
    Certificates(String),
    /// A name that fits no header.
    #[error("gateway.walks.user_agent: not a name that a request can have")]
    UserAgent,
}

/// What a walker is made of.
pub struct WalkParts {
    /// The section `[gateway]`.
    pub config: config::Gateway,
    /// Where the gateway listens.
    pub listening: Vec<SocketAddr>,
    /// Where visitors of a wildcard come to.
    pub public: Vec<IpAddr>,
    /// The rules in force.
    pub in_force: InForce,
    /// The public suffix list in use.
    pub suffixes: Arc<PublicSuffixes>,
    /// The links.
    pub links: Arc<Links>,
    /// Resolves hosts.
    pub resolver: Arc<Resolver>,
    /// The lane of hops.
    pub lane: SharedLane,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// Whoever walks.
pub struct Walker {
    parts: WalkParts,
    places: Places,
    allowed: Allowed,
    hosts: Hosts,
    asker: Asker,
    /// What robots.txt names us by.
    name: String,
}

/// Where new revisions are looked for.
struct Cursor {
    after: i64,
    settled: Instant,
}

impl Walker {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When certificates or our name cannot be used.
    pub fn new(parts: WalkParts) -> Result<Arc<Self>, WalkError> {
        let walks = &parts.config.walks;
        let trust = trust(walks.ca_file.as_deref())?;
        let agent = user_agent(&parts.config);
        let name = agent.split('/').next().unwrap_or_default().to_owned();
        let agent = HeaderValue::from_str(&agent).map_err(|_| WalkError::UserAgent)?;
        Ok(Arc::new(Self {
            places: Places::new(&parts.config, &parts.listening, &parts.public),
            allowed: Allowed::new(&walks.allowed_hosts),
            hosts: Hosts::new(walks, parts.clock.monotonic()),
            asker: Asker {
                trust,
                user_agent: agent,
                connect_timeout: Duration::from_millis(walks.connect_timeout_ms),
                answer_timeout: Duration::from_millis(walks.answer_timeout_ms),
                head_bytes_max: walks.head_bytes_max,
            },
            name,
            parts,
        }))
    }

    fn config(&self) -> &config::Walks {
        &self.parts.config.walks
    }

    /// Walks what is due until it is stopped. Walks under way are given up then, and are due again.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut walks = JoinSet::new();
        let mut poll = tokio::time::interval(Duration::from_millis(self.config().poll_ms));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cursor = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = walks.join_next(), if !walks.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a walk failed");
                    }
                }
                _ = poll.tick() => match self.due(&mut cursor, walks.len()).await {
                    Ok(due) => for walk in due {
                        let walker = Arc::clone(&self);
                        walks.spawn(async move { walker.walk(walk).await });
                    },
                    Err(error) => tracing::warn!(%error, "walks that are due cannot be read"),
                },
            }
        }
        walks.shutdown().await;
    }

    /// Takes new revisions into the schedule, and walks that are due.
    async fn due(
        &self,
        cursor: &mut Option<Cursor>,
        running: usize,
    ) -> Result<Vec<DueWalk>, Error> {
        let (config, clock) = (self.config(), &self.parts.clock);
        let begun = match cursor.take() {
            Some(cursor) => cursor,
            None => {
                let after = self.blocking(|links| links.store().walks_mark()).await?;
                Cursor { after, settled: clock.monotonic() }
            }
        };
        let (now, mono) = (clock.now(), clock.monotonic());
        let spread = Duration::from_secs(config.interval_s);
        let settle = mono.saturating_duration_since(begun.settled) >= SETTLE_EVERY;
        let intake =
            Intake { after: begun.after, limit: config.schedule_max, now, spread, settle: false };
        let per_poll = config.per_second_max * usize::try_from(config.poll_ms).unwrap_or(1);
        let room = config.concurrent_max.saturating_sub(running).min((per_poll / 1_000).max(1));
        let lease = Duration::from_millis(config.timeout_ms) + LEASE_MARGIN;
        let until = now.saturating_add(lease);
        let (taken, due) = self
            .blocking(move |links| {
                let store = links.store();
                if settle {
                    let after = store.walks_mark()?;
                    store.take_in(&Intake { after, settle: true, ..intake })?;
                }
                let taken = store.take_in(&intake)?;
                let due = match room {
                    0 => Vec::new(),
                    room => store.claim_walks(now, until, room)?,
                };
                Ok((taken, due))
            })
            .await?;
        let settled = if settle { mono } else { begun.settled };
        *cursor = Some(Cursor { after: taken.after, settled });
        Ok(due)
    }

    /// Asks the database where that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Links) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let links = Arc::clone(&self.parts.links);
        tokio::task::spawn_blocking(move || work(&links)).await.unwrap_or(Err(Error::Failed))
    }

    async fn look_up(&self, host: &str) -> Lookup {
        let wait = Duration::from_millis(self.config().resolve_timeout_ms);
        Box::pin(self.parts.resolver.addresses(host, wait)).await
    }

    fn since(&self, began: Instant) -> Duration {
        self.parts.clock.monotonic().saturating_duration_since(began)
    }
}

fn user_agent(config: &config::Gateway) -> String {
    if !config.walks.user_agent.is_empty() {
        return config.walks.user_agent.clone();
    }
    let version = env!("CARGO_PKG_VERSION");
    match config.public_url.as_str() {
        "" => format!("tracegate/{version}"),
        url => format!("tracegate/{version} (+{url})"),
    }
}

fn trust(file: Option<&Path>) -> Result<Trust, WalkError> {
    let bad = |why: String| WalkError::Certificates(why);
    let pem = match file {
        None => None,
        Some(path) => {
            let length = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?.len();
            if length > CERTIFICATES_BYTES_MAX {
                return Err(bad(format!("more than {CERTIFICATES_BYTES_MAX} bytes")));
            }
            Some(std::fs::read(path).map_err(|e| bad(e.to_string()))?)
        }
    };
    Trust::new(pem.as_deref()).map_err(|e| bad(e.to_string()))
}
