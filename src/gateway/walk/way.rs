//! One walk: from a target along its redirects, one question at a time, to where it leads.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use url::{Host, Url};

use super::{Walker, hosts::KeptRobots, location, robots::Robots};
use crate::{
    fetch::{self, Answer, Failure},
    gateway::{ahead::HOP, request::code_of_path, rules},
    links::{Finding, Revision, State},
    policy::Tier,
    resolver::Lookup,
};

/// Redirects on the way to a robots.txt that are followed (RFC 9309 §2.3.1.2).
const ROBOTS_REDIRECTS_MAX: usize = 5;

/// How long a robots.txt that cannot be had keeps us away.
const ROBOTS_AGAIN: Duration = Duration::from_secs(600);

/// One place on the way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) outcome: &'static str,
    pub(super) finding: Option<Finding>,
    pub(super) detail: String,
    pub(super) latency_us: u32,
}

impl Step {
    fn new(url: Url) -> Self {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        Self {
            url,
            host,
            addresses: Vec::new(),
            method: "",
            status: 0,
            location: String::new(),
            // What it is unless it becomes something else before the walk's time is over.
            outcome: "timeout",
            finding: None,
            detail: String::new(),
            latency_us: 0,
        }
    }
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is no further to go.
    Arrived,
    /// Its site does not let us look.
    Robots,
    /// It comes back to the link that it began with.
    Loop,
    /// More redirects than are followed.
    TooManyHops,
    /// It leads into a network that is not public.
    Refused,
    /// Nobody can say now.
    Failed,
    /// The host wants to be left alone for so long; what was found until then stays.
    Busy(Duration),
    /// It was not begun: not our turn yet.
    Later(Duration),
}

/// What follows from a place.
enum Then {
    On(Url),
    End(End),
}

/// A walk under way.
pub(super) struct Way<'a> {
    pub(super) walker: &'a Walker,
    pub(super) link: &'a Revision,
    pub(super) steps: &'a mut Vec<Step>,
    /// When it has to be over.
    pub(super) until: Instant,
    /// What gateways of ours told on the way.
    pub(super) hop: Option<HeaderValue>,
}

impl Way<'_> {
    /// Walks to the end.
    pub(super) async fn follow(&mut self) -> End {
        let Ok(mut url) = Url::parse(&self.link.target) else { return End::Failed };
        let mut seen = HashSet::new();
        for _ in 0..=self.walker.config().hops_max {
            let mut bare = url.clone();
            bare.set_fragment(None);
            if !seen.insert(bare) {
                // It asks for a cookie, or turns in a circle of its own: this is where it leads.
                return End::Arrived;
            }
            // What is known of it is there also when the walk's time is over in between.
            let mut step = Step::new(url);
            self.steps.push(step.clone());
            let then = self.place(&mut step).await;
            if let Some(last) = self.steps.last_mut() {
                *last = step;
            }
            match then {
                Then::On(next) => url = next,
                Then::End(end) => return end,
            }
        }
        if let Some(last) = self.steps.last_mut() {
            last.finding = last.finding.or(Some(Finding::TooManyHops));
        }
        End::TooManyHops
    }

    async fn place(&mut self, step: &mut Step) -> Then {
        let first = self.steps.len() == 1;
        if !matches!(step.url.scheme(), "http" | "https") {
            step.outcome = "other_scheme";
            return Then::End(End::Arrived);
        }
        let began = self.walker.parts.clock.monotonic();
        let lookup = self.walker.look_up(&step.host).await;
        step.addresses.clone_from(&lookup.addresses);
        step.latency_us = micros(self.walker.since(began));
        if !first && let Some(listed) = self.listed(step, &lookup) {
            (step.finding, step.detail) = (Some(Finding::Listed), listed);
        }
        if self.walker.places.has(&step.host, step.url.as_str(), &lookup) {
            return self.at_home(step).await;
        }
        let Some(host) = step.url.host().map(|h| h.to_owned()) else {
            step.outcome = "malformed";
            return Then::End(End::Failed);
        };
        if let Err(refused) = self.allowed(&host, &lookup) {
            step.outcome = "refused";
            step.finding = step.finding.or(Some(Finding::SpecialAddress));
            step.detail = refused.to_string();
            return Then::End(End::Refused);
        }
        if lookup.addresses.is_empty() {
            step.outcome = "unresolved";
            return Then::End(End::Failed);
        }
        if let Err(end) = self.turn(step, first).await {
            return Then::End(end);
        }
        self.asked(step, &host).await
    }

    fn allowed(&self, host: &Host<String>, lookup: &Lookup) -> Result<(), fetch::Error> {
        self.walker.allowed.host(host)?;
        self.walker.allowed.addresses(host, &lookup.addresses)
    }

    /// What a list says of a place, where it means a warning.
    fn listed(&self, step: &Step, lookup: &Lookup) -> Option<String> {
        let parts = &self.walker.parts;
        let set = parts.in_force.load_full();
        let ruling = rules::of_hop(&set, step.url.as_str(), &step.host, lookup, parts.clock.now())?;
        let tier = ruling.listed.filter(|t| *t > Tier::Hint)?;
        Some(format!("{} {} {} {}", tier.name(), ruling.feed, ruling.feed_version, ruling.rule()))
    }

    /// A place of our own: nobody is asked, the link there is read.
    async fn at_home(&self, step: &mut Step) -> Then {
        step.outcome = "own";
        let Some(code) = code_of_path(step.url.path()) else { return Then::End(End::Arrived) };
        if code == self.link.code {
            step.finding = step.finding.or(Some(Finding::Loop));
            return Then::End(End::Loop);
        }
        let (links, wanted) = (Arc::clone(&self.walker.parts.links), code.to_owned());
        let read = tokio::task::spawn_blocking(move || links.store().current(&wanted)).await;
        let Ok(Ok(found)) = read else { return Then::End(End::Failed) };
        let now = self.walker.parts.clock.now();
        let open = found.filter(|r| r.state == State::Enabled && !r.is_expired(now));
        let Some(next) = open.and_then(|r| Url::parse(&r.target).ok()) else {
            return Then::End(End::Arrived);
        };
        next.as_str().clone_into(&mut step.location);
        Then::On(next)
    }

    /// Waits for a turn at the host: not at all before the walk has begun.
    async fn turn(&self, step: &mut Step, first: bool) -> Result<(), End> {
        loop {
            let now = self.walker.parts.clock.monotonic();
            let Err(wait) = self.walker.hosts.turn(&step.host, now) else { return Ok(()) };
            if first {
                return Err(End::Later(wait));
            }
            if now + wait >= self.until {
                step.outcome = "busy";
                return Err(End::Busy(wait));
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn asked(&mut self, step: &mut Step, host: &Host<String>) -> Then {
        let port = step.url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<_> =
            step.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let robots = self.walker.robots(&step.url, host, &addresses).await;
        let path = step
            .url
            .query()
            .map_or(step.url.path().to_owned(), |q| format!("{}?{q}", step.url.path()));
        match &robots.robots {
            Some(robots) if robots.allows(&path) => {}
            Some(_) => {
                step.outcome = "robots";
                return Then::End(End::Robots);
            }
            // RFC 9309 §2.3.1.4: whoever cannot say is taken to say no.
            None => {
                step.outcome = "robots_unavailable";
                return Then::End(End::Failed);
            }
        }
        let began = self.walker.parts.clock.monotonic();
        let answer = self.best_answer(step, &addresses).await;
        step.latency_us = micros(self.walker.since(began));
        let answer = match answer {
            Ok(answer) => answer,
            Err(Failure(why)) => {
                step.outcome = why;
                return Then::End(End::Failed);
            }
        };
        step.outcome = "answered";
        step.status = answer.status.as_u16();
        if let Some(hop) = answer.headers.get(HOP) {
            self.hop = Some(hop.clone());
        }
        self.then(step, &answer)
    }

    /// By HEAD, and by GET where a server does not like that, or a page is to be looked into.
    async fn best_answer(
        &self,
        step: &mut Step,
        addresses: &[SocketAddr],
    ) -> Result<Answer, Failure> {
        let walker = self.walker;
        let told = self.hop.clone().unwrap_or(HeaderValue::from_static("0"));
        let hop = &[(HeaderName::from_static(HOP), told)];
        step.method = "HEAD";
        let head = walker.asker.ask(Method::HEAD, &step.url, addresses, 0, hop).await;
        let refresh = walker.config().meta_refresh;
        let enough = match &head {
            Ok(a) => sends_on(a) || is_busy(a) || a.status.is_success() && !(refresh && is_html(a)),
            // Whoever cannot be reached is not asked twice.
            Err(Failure(why)) => matches!(*why, "no_connection" | "tls"),
        };
        if enough {
            return head;
        }
        step.method = "GET";
        let bytes_max = walker.config().body_bytes_max;
        let got = walker.asker.ask(Method::GET, &step.url, addresses, bytes_max, hop).await;
        match (got, head) {
            // A page that is not given whole leads here all the same.
            (Err(_), Ok(head)) if head.status.is_success() => Ok(head),
            (got, _) => got,
        }
    }

    fn then(&self, step: &mut Step, answer: &Answer) -> Then {
        let length_max = self.walker.parts.config.targets.length_max;
        if is_busy(answer) {
            let clock = &self.walker.parts.clock;
            let after = fetch::retry_after(&answer.headers, clock.now()).unwrap_or_default();
            let after = after.min(Duration::from_secs(self.walker.config().retry_after_s_max));
            self.walker.hosts.leave(&step.host, clock.monotonic() + after);
            step.outcome = "busy";
            return Then::End(End::Busy(after));
        }
        let sent = if sends_on(answer) {
            answer.headers.get(header::LOCATION).map(|l| l.as_bytes().to_vec())
        } else if answer.status.is_success() && self.walker.config().meta_refresh {
            let refresh = answer.headers.get(header::REFRESH).and_then(|r| r.to_str().ok());
            let refresh = refresh.and_then(location::refresh).map(str::to_owned);
            let html = is_html(answer);
            refresh
                .or_else(|| html.then(|| location::of_page(&answer.body)).flatten())
                .map(String::into_bytes)
        } else {
            None
        };
        let Some(sent) = sent else {
            // A page that is gone, or a server in trouble, says nothing about where the link leads.
            let there = answer.status.is_success()
                || answer.status.is_redirection()
                || matches!(answer.status.as_u16(), 401 | 402 | 403 | 405 | 406 | 451);
            return Then::End(if there { End::Arrived } else { End::Failed });
        };
        match location::resolved(&step.url, &sent, length_max) {
            Some(next) => {
                next.as_str().clone_into(&mut step.location);
                if step.url.scheme() == "https" && next.scheme() == "http" {
                    step.finding = step.finding.or(Some(Finding::SchemeDowngrade));
                }
                Then::On(next)
            }
            None => {
                step.outcome = "malformed";
                Then::End(End::Failed)
            }
        }
    }
}

impl Walker {
    /// What the site at `url` lets us ask for.
    async fn robots(
        &self,
        url: &Url,
        host: &Host<String>,
        addresses: &[SocketAddr],
    ) -> Arc<KeptRobots> {
        let origin = url.origin().ascii_serialization();
        let now = self.parts.clock.monotonic();
        if let Some(kept) = self.hosts.robots(&origin, now) {
            return kept;
        }
        let found = self.fetch_robots(url, host, addresses).await;
        let keep = Duration::from_secs(self.config().robots_keep_s);
        let keep = if found.is_some() { keep } else { ROBOTS_AGAIN.min(keep) };
        self.hosts.keep(&origin, found, now + keep)
    }

    async fn fetch_robots(
        &self,
        url: &Url,
        host: &Host<String>,
        addresses: &[SocketAddr],
    ) -> Option<Robots> {
        let bytes_max = self.config().robots_bytes_max;
        let (mut at, mut host, mut addresses) =
            (url.join("/robots.txt").ok()?, host.clone(), addresses.to_vec());
        let hop = [(HeaderName::from_static(HOP), HeaderValue::from_static("0"))];
        for _ in 0..=ROBOTS_REDIRECTS_MAX {
            let answer =
                self.asker.ask(Method::GET, &at, &addresses, bytes_max, &hop).await.ok()?;
            if sends_on(&answer) {
                let location = answer.headers.get(header::LOCATION)?.as_bytes().to_vec();
                at = location::resolved(&at, &location, self.parts.config.targets.length_max)?;
                if !matches!(at.scheme(), "http" | "https") {
                    return Some(Robots::default());
                }
                // Another host is looked up and checked like any other.
                host = if at.host().is_some_and(|h| h.to_owned() == host) {
                    host
                } else {
                    at.host()?.to_owned()
                };
                let name = at.host_str()?.trim_end_matches('.').to_owned();
                let lookup = self.look_up(&name).await;
                self.allowed.host(&host).ok()?;
                self.allowed.addresses(&host, &lookup.addresses).ok()?;
                let port = at.port_or_known_default()?;
                addresses = lookup.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                continue;
            }
            return match answer.status.as_u16() {
                200..=299 => Some(Robots::parse(&answer.body, &self.name)),
                // §2.3.1.3: what is not there forbids nothing; but who is asked too often says no.
                429 => None,
                400..=499 => Some(Robots::default()),
                _ => None,
            };
        }
        // §2.3.1.2: after so many, as if it were not there.
        Some(Robots::default())
    }
}

fn sends_on(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308)
        && answer.headers.contains_key(header::LOCATION)
}

fn is_busy(answer: &Answer) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
        || answer.status == StatusCode::SERVICE_UNAVAILABLE
            && answer.headers.contains_key(header::RETRY_AFTER)
}

fn is_html(answer: &Answer) -> bool {
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|c| c.to_str().ok());
    kind.is_some_and(|c| {
        let kind = c.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        kind == "text/html" || kind == "application/xhtml+xml"
    })
}

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}
