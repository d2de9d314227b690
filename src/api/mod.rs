//! The HTTP API on top of all stages.
//!
//! Bearer tokens alone, JSON alone, no cookies, no CORS, a list of `Host` values: what a foreign
//! page in somebody's browser could send is refused before any handler runs ([`auth`]). Problems
//! are RFC 9457 in the caller's language. Every route is in one table ([`ROUTES`]), which the API's
//! description is made from ([`document`]).
//!
//! `/healthz` and `/readyz` need no token. `/metrics` needs one except from this machine: whoever
//! lets others reach the loopback address (a proxy on the same host) must not forward that path.

mod appeals;
mod auth;
mod body;
mod certificates;
mod checks;
mod describe;
mod etag;
mod feeds;
mod links;
mod notices;
mod outbound;
mod own;
mod persons;
mod problem;
mod quota;
mod reports;
mod routes;
mod rules;
mod system;
mod time;
mod tokens;
mod trace;
mod webhooks;

use std::{ops::Deref, sync::Arc};

pub use auth::{Caller, Hosts, Right, may};
pub use body::{Body, Params};
pub use describe::{Code, Operation, PUBLIC_ROUTES, PublicRoute, document};
pub use problem::{Problem, Words};
pub use routes::{Carries, Need, ROUTES, Route, router};
pub use trace::routes as trace_routes;

use tokio_util::task::TaskTracker;

use crate::{
    clock::Clock,
    config,
    feeds::Feeds,
    gateway::acme::Standing,
    links::{Links, Tokens},
    metrics::Metrics,
    reports::Reports,
    resolver::ZoneReport,
    verify::Verifier,
    webhooks::Signer,
};

/// One part's readiness.
pub struct Check {
    /// The part.
    pub name: &'static str,
    /// Whether nobody should be sent to us without it.
    pub needed: bool,
    /// Why it is not ready, in one sentence; none when it is. Does not block.
    pub look: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// What the handlers work with.
pub struct ApiParts {
    /// The section `[api]`.
    pub config: config::Api,
    /// The `Host` values we answer to.
    pub hosts: Hosts,
    /// The links.
    pub links: Arc<Links>,
    /// What short URLs begin with.
    pub short_url_base: String,
    /// Feeds, and the policy in force.
    pub feeds: Arc<Feeds>,
    /// Reports by the public.
    pub reports: Arc<Reports>,
    /// Verifies names and addresses.
    pub verifier: Arc<Verifier>,
    /// Owns what goes on after a handler has answered.
    pub tasks: TaskTracker,
    /// How the gateway's certificates stand. Blocks on the disk.
    pub certificates: Box<dyn Fn() -> Vec<Standing> + Send + Sync>,
    /// The section `[webhooks]`.
    pub webhooks: config::Webhooks,
    /// Makes their secrets.
    pub signer: Arc<Signer>,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// The measures.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
    /// What `/readyz` asks.
    pub checks: Vec<Check>,
    /// Loads the zones anew. May block.
    pub reload_zones: Box<dyn Fn() -> Vec<ZoneReport> + Send + Sync>,
}

/// The handlers' state; cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

struct Shared {
    parts: ApiParts,
    quotas: quota::Quotas,
    /// The description of the API.
    description: bytes::Bytes,
}

impl ApiState {
    /// Shares the parts.
    pub fn new(parts: ApiParts) -> Self {
        let quotas = quota::Quotas::new(&parts.config.limits, parts.clock.monotonic());
        let description = document().to_string().into();
        Self(Arc::new(Shared { parts, quotas, description }))
    }
}

impl Deref for ApiState {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0.parts
    }
}
