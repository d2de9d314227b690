//! Ends a walk: its hops become records first, then what it means is kept with the link.

use std::time::Duration;

use url::Host;

use super::{
    Walker,
    judge::{judged, told},
    way::{End, Step, Way},
};
use crate::{
    config::FullPolicy,
    links::{Destination, DueWalk, Error, Revision, Scheduled, State},
    record::{Flow, Hop, capped},
    spool::Refused,
};

/// Doublings of the wait after walks that came to no end.
const DOUBLINGS_MAX: u32 = 16;

/// The longest detail of a hop kept, in bytes.
const DETAIL_MAX: usize = 500;

/// What the database knows of a link that is walked.
struct Known {
    link: Option<Revision>,
    newest: Option<Destination>,
    first: Option<Destination>,
}

impl Walker {
    /// Walks a link from beginning to end.
    pub(super) async fn walk(&self, due: DueWalk) {
        if let Err(error) = self.walked(&due).await {
            tracing::warn!(%error, code = due.code, "a walk is not ended and due again");
        }
    }

    async fn walked(&self, due: &DueWalk) -> Result<(), Error> {
        let known = self.known(&due.code).await?;
        let now = self.parts.clock.now();
        let open = |r: &Revision| r.state == State::Enabled && !r.is_expired(now) && self.may(r);
        let Some(link) = known.link.as_ref().filter(|r| open(r)) else {
            self.end(due, None, None).await?;
            return Ok(());
        };
        let (mut steps, end) = self.way(link).await;
        if let End::Later(wait) = end {
            let scheduled = self.next(due, wait, false);
            self.end(due, Some(scheduled), None).await?;
            return Ok(());
        }
        let domain = steps.last().map(|s| self.domain(&s.host)).unwrap_or_default();
        let (findings, detail) = judged(&mut steps, &end, &domain, known.first.as_ref());
        let flow = self.parts.lane.new_flow();
        self.record(link, &steps, flow).await.map_err(|e| match e {
            Refused::Full | Refused::TooLarge => Error::Full,
            Refused::Failed => Error::Failed,
        })?;
        self.parts.metrics.gateway.walks.increment(1);
        let found = told(&end).and_then(|outcome| {
            let last = steps.last()?;
            Some(Destination {
                code: link.code.clone(),
                revision: link.revision,
                ts: self.parts.clock.now(),
                target: link.target.clone(),
                url: last.url.as_str().to_owned(),
                host: last.host.clone(),
                registrable_domain: domain.clone(),
                outcome: outcome.to_owned(),
                findings,
                detail,
                flow: flow.to_string(),
            })
        });
        let next = match end {
            End::Busy(wait) => self.next(due, wait, false),
            End::Failed => self.next(due, self.again(due.failures), true),
            _ => Scheduled {
                due: self.later(Duration::from_secs(self.config().interval_s)),
                walked: self.parts.clock.now(),
                failures: 0,
            },
        };
        let news = found.filter(|d| known.newest.as_ref().is_none_or(|n| !n.is_like(d)));
        if let Some(d) = news.as_ref().filter(|d| !d.findings.is_empty()) {
            self.parts.metrics.gateway.walk_findings.increment(1);
            tracing::warn!(code = d.code, findings = ?d.findings, "a link leads elsewhere");
        }
        let changed = news.is_some();
        if self.end(due, Some(next), news).await? && changed {
            self.parts.links.walked(&due.code);
        }
        Ok(())
    }

    async fn known(&self, code: &str) -> Result<Known, Error> {
        let code = code.to_owned();
        self.blocking(move |links| {
            let store = links.store();
            let link = store.current(&code)?;
            let newest = store.destination(&code)?;
            let first = match &link {
                Some(link) => store.first_destination(&code, &link.target)?,
                None => None,
            };
            Ok(Known { link, newest, first })
        })
        .await
    }

    /// Whether a link's target may be asked at all: a name that leads nowhere on the public internet is
    /// no finding but somebody's own.
    fn may(&self, link: &Revision) -> bool {
        let own = Host::parse(&link.target_host).ok();
        own.is_some_and(|host| self.allowed.host(&host).is_ok())
    }

    async fn way(&self, link: &Revision) -> (Vec<Step>, End) {
        let mut steps = Vec::new();
        let limit = Duration::from_millis(self.config().timeout_ms);
        let until = self.parts.clock.monotonic() + limit;
        let mut way = Way { walker: self, link, steps: &mut steps, until, hop: None };
        let end = tokio::time::timeout(limit, way.follow()).await;
        (steps, end.unwrap_or(End::Failed))
    }

    async fn record(&self, link: &Revision, steps: &[Step], flow: Flow) -> Result<(), Refused> {
        for (hop, step) in steps.iter().enumerate() {
            let length_max = self.parts.config.targets.length_max;
            let row = Hop {
                code: &link.code,
                revision: link.revision,
                hop: u8::try_from(hop).unwrap_or(u8::MAX),
                url: capped(step.url.as_str(), length_max),
                host: &step.host,
                registrable_domain: &self.domain(&step.host),
                addresses: &step.addresses,
                method: step.method,
                status: step.status,
                location: capped(&step.location, length_max),
                outcome: step.outcome,
                finding: step.finding.map_or("", |f| f.name()),
                detail: capped(&step.detail, DETAIL_MAX),
                latency_us: step.latency_us,
                psl_version: self.parts.suffixes.version(),
                flow,
            };
            self.parts.lane.append_async(&row, FullPolicy::Refuse).await?;
        }
        Ok(())
    }

    async fn end(
        &self,
        due: &DueWalk,
        next: Option<Scheduled>,
        found: Option<Destination>,
    ) -> Result<bool, Error> {
        let due = due.clone();
        self.blocking(move |links| links.store().end_walk(&due, next, found.as_ref())).await
    }

    fn domain(&self, host: &str) -> String {
        match host.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
            Ok(_) => host.to_owned(),
            Err(_) => self.parts.suffixes.registrable_domain(host).to_owned(),
        }
    }

    fn later(&self, wait: Duration) -> crate::clock::Timestamp {
        self.parts.clock.now().saturating_add(wait)
    }

    /// A walk that is to be begun again.
    fn next(&self, due: &DueWalk, wait: Duration, failed: bool) -> Scheduled {
        let failures = due.failures.saturating_add(u32::from(failed));
        // Zero is not later than what is kept.
        Scheduled { due: self.later(wait), walked: crate::clock::Timestamp::ZERO, failures }
    }

    /// The wait after a walk that came to no end.
    fn again(&self, failures: u32) -> Duration {
        let first = Duration::from_secs(self.config().retry_s);
        let wait = first.saturating_mul(1 << failures.min(DOUBLINGS_MAX));
        wait.min(Duration::from_secs(self.config().interval_s))
    }
}
