//! Lists at web servers, over TLS alone.
//!
//! Asked conditionally (entity tag, time of the last change), so that what has not changed is not
//! sent. A redirect is followed a few times, to `https:` alone, and each hop passes the guard. A
//! body that is packed, cut short, too long or too slow is no list. What fails on the way is tried
//! again a few times, later and later; what a server says no to is not, and one that says when to
//! come back (`Retry-After`) is left alone until then.

mod exchange;
mod validator;

use std::{path::Path, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, Uri, header};
use url::{Host, Url};

use self::{exchange::Exchange, validator::Validator};
use super::{
    Ask, Brought, Files, Guard, Looked, Part, Source, SourceError,
    signature::{self, SIGNATURE_BYTES_MAX, SUFFIX},
};
use crate::{config, feeds::Location, fetch::Trust};

/// How long everything may take, and how often it is tried.
#[derive(Clone, Copy, Debug)]
pub struct HttpsBounds {
    /// The wait for a connection and its handshake.
    pub connect_timeout: Duration,
    /// The wait for the head of an answer, and for each further piece of it.
    pub idle_timeout: Duration,
    /// How often one look asks at most.
    pub attempts_max: u32,
    /// How often it is sent elsewhere at most.
    pub redirects_max: u32,
    /// The wait before the second attempt; each further one is twice as long.
    pub retry_wait: Duration,
    /// The longest time that a server may ask to be left alone.
    pub retry_after_max: Duration,
    /// The largest manifest, in bytes.
    pub companion_bytes_max: u64,
}

impl HttpsBounds {
    /// What the configuration says.
    pub fn of(config: &config::Feeds) -> Self {
        Self {
            connect_timeout: Duration::from_millis(config.fetch_connect_timeout_ms),
            idle_timeout: Duration::from_millis(config.fetch_idle_timeout_ms),
            attempts_max: config.fetch_attempts_max,
            redirects_max: config.fetch_redirects_max,
            retry_wait: Duration::from_millis(config.fetch_retry_wait_ms),
            retry_after_max: Duration::from_secs(config.fetch_retry_after_s_max),
            companion_bytes_max: config.companion_bytes_max,
        }
    }
}

/// Lists at web servers.
#[derive(Clone, Debug)]
pub struct Https {
    guard: Guard,
    bounds: HttpsBounds,
    /// For the certificates that feeds name.
    files: Files,
}

/// One file fetched.
struct Fetched {
    part: Part,
    from: Url,
    validator: Validator,
}

/// What became of one request.
enum Answer {
    Same,
    Body(Fetched),
    Elsewhere(Url),
}

/// The largest file of certificates, in bytes.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

impl Https {
    /// Web servers that the guard lets through; `files` opens certificates that feeds name.
    pub fn new(guard: Guard, bounds: HttpsBounds, files: Files) -> Self {
        Self { guard, bounds, files }
    }

    async fn bring(&self, ask: Ask<'_>, url: &Url) -> Result<Looked, SourceError> {
        let trust = self.trust(ask).await?;
        let (list_before, manifest_before) = validator::split(ask.validator);
        let manifest_url = manifest_url(url, &ask.spec.options.manifest)?;
        let fetch = Fetch { https: self, ask, trust: &trust };
        let mut list = fetch.file(url, list_before, ask.bytes_max).await?;
        let manifest = match &manifest_url {
            None => None,
            Some(url) => {
                let max = self.bounds.companion_bytes_max;
                // With a new list, its manifest comes anew, too.
                let before = if list.is_some() { Validator::default() } else { manifest_before };
                match fetch.file(url, before, max).await? {
                    None => return Ok(Looked::SAME),
                    some => some,
                }
            }
        };
        if list.is_none() && manifest.is_some() {
            list = fetch.file(url, Validator::default(), ask.bytes_max).await?;
        }
        let Some(list) = list else { return Ok(Looked::SAME) };
        let (list, signer) = fetch.signed(list, url).await?;
        let manifest = match (manifest, &manifest_url) {
            (Some(manifest), Some(url)) => Some(fetch.signed(manifest, url).await?.0),
            _ => None,
        };
        let of_manifest = manifest.as_ref().map(|m| &m.validator);
        let validator = validator::join(&list.validator, of_manifest);
        Ok(Looked {
            brought: Some(Brought {
                list: list.part,
                manifest: manifest.map(|m| m.part),
                from: list.from.to_string(),
                signer,
                validator,
            }),
            again_after: None,
            expires_after: None,
        })
    }

    /// Whom to trust: the authorities in the feed's file, or the system's.
    async fn trust(&self, ask: Ask<'_>) -> Result<Trust, SourceError> {
        let pem = match ask.spec.ca_file.as_str() {
            "" => None,
            path => {
                let (files, path) = (self.files.clone(), path.to_owned());
                let read = move || files.small(Path::new(&path), CERTIFICATES_BYTES_MAX);
                Some(super::files::blocking(read).await?)
            }
        };
        super::files::blocking(move || Ok(Trust::new(pem.as_deref())?)).await
    }
}

/// One look at one feed.
struct Fetch<'a> {
    https: &'a Https,
    ask: Ask<'a>,
    trust: &'a Trust,
}

impl Fetch<'_> {
    /// A file, if it is new; tried again where that may help.
    async fn file(
        &self,
        url: &Url,
        before: Validator,
        bytes_max: u64,
    ) -> Result<Option<Fetched>, SourceError> {
        let bounds = self.https.bounds;
        let mut wait = bounds.retry_wait;
        let mut attempt = 1;
        loop {
            match self.followed(url, &before, bytes_max).await {
                Err(SourceError::Away(_)) if attempt < bounds.attempts_max => {
                    tokio::time::sleep(wait.mul_f64(jitter()?)).await;
                    wait = wait.saturating_mul(2);
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// A file, wherever redirects lead.
    async fn followed(
        &self,
        url: &Url,
        before: &Validator,
        bytes_max: u64,
    ) -> Result<Option<Fetched>, SourceError> {
        let mut url = url.clone();
        for _ in 0..=self.https.bounds.redirects_max {
            match self.once(&url, before, bytes_max).await? {
                Answer::Same => return Ok(None),
                Answer::Body(fetched) => return Ok(Some(fetched)),
                Answer::Elsewhere(next) => url = next,
            }
        }
        Err(SourceError::Refused(format!("{url}: sent elsewhere too often")))
    }

    async fn once(
        &self,
        url: &Url,
        before: &Validator,
        bytes_max: u64,
    ) -> Result<Answer, SourceError> {
        let host = host_of(url)?;
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses = self.https.guard.addresses(&host, port).await?;
        let bounds = &self.https.bounds;
        let stream = exchange::connect(&addresses, &host, self.trust, bounds, url).await?;
        let now = self.https.files.now();
        let exchange = Exchange { url, stream, bounds, now };
        exchange.get(before, self.ask, bytes_max).await
    }

    /// The file, and who signed it: nobody where the feed has no key.
    async fn signed(&self, fetched: Fetched, url: &Url) -> Result<(Fetched, String), SourceError> {
        let key = self.ask.spec.minisign_key.clone();
        if key.is_empty() {
            return Ok((fetched, String::new()));
        }
        let mut beside = url.clone();
        beside.set_path(&format!("{}{SUFFIX}", url.path()));
        let found = self.file(&beside, Validator::default(), SIGNATURE_BYTES_MAX).await;
        let signature = match found {
            Ok(Some(found)) => found.part,
            Err(e @ (SourceError::Away(_) | SourceError::Busy(..))) => return Err(e),
            Err(e) => return Err(SourceError::Refused(format!("the signature: {e}"))),
            Ok(None) => return Err(SourceError::Refused("the signature: not sent".into())),
        };
        let check = move || {
            let read = |e: std::io::Error| SourceError::Away(format!("the signature: {e}"));
            let text = std::fs::read(signature.path()).map_err(read)?;
            let signer = signature::verified(&fetched.part, &key, &text)?;
            Ok((fetched, signer))
        };
        super::files::blocking(check).await
    }
}

/// Where a redirect leads.
fn elsewhere(url: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Url, SourceError> {
    let refused = |why: &str| SourceError::Refused(format!("{url}: {status}: {why}"));
    let to = headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
    let next = url.join(to.ok_or_else(|| refused("without a Location"))?);
    let next = next.map_err(|_| refused("to what is no URL"))?;
    if next.scheme() != "https" || !next.username().is_empty() || next.password().is_some() {
        return Err(refused("to what is not plain https:"));
    }
    Ok(next)
}

fn host_of(url: &Url) -> Result<Host<String>, SourceError> {
    url.host().map(|h| h.to_owned()).ok_or_else(|| SourceError::Refused(format!("{url}: no host")))
}

/// A manifest lies at the list's own server.
fn manifest_url(url: &Url, name: &str) -> Result<Option<Url>, SourceError> {
    if name.is_empty() {
        return Ok(None);
    }
    let joined = url.join(name).ok().filter(|m| m.origin() == url.origin());
    let why = || SourceError::Refused(format!("{name}: a manifest lies beside its list"));
    joined.map(Some).ok_or_else(why)
}

/// The path and query of a request.
fn target(url: &Url) -> Result<Uri, SourceError> {
    let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
    let target = format!("{}{query}", url.path());
    target.parse().map_err(|_| SourceError::Refused(format!("{url}: cannot be asked for")))
}

/// A factor from 0.5 to 1.5: many nodes must not come back at once.
fn jitter() -> Result<f64, SourceError> {
    let mut bytes = [0; 4];
    let random = getrandom::fill(&mut bytes);
    random.map_err(|e| SourceError::Away(format!("no random numbers: {e}")))?;
    Ok(0.5 + f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

impl Source for Https {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        Box::pin(async move {
            let Location::Https(url) = &ask.spec.source else {
                return Err(SourceError::Refused(format!("{}: not https:", ask.spec.source)));
            };
            self.bring(ask, url).await
        })
    }
}
