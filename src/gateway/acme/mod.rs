//! Certificates obtained by ACME (RFC 8555), for the hosts that are named and those that are
//! forwarded: one certificate a host, so that one that cannot be had keeps no other from being had.
//!
//! **Challenges** are answered over HTTP (http-01) without remembering any: what is asked for is the
//! token and the account key's thumbprint (§8.1), so whoever has the account can answer, whichever
//! gateway ordered. Gateways behind one address are given the same account file, and each orders for
//! itself, or they share the directory, and one of them orders at a time. Another account has another
//! thumbprint: the answer proves nothing for anybody else.
//!
//! **Failure.** A certificate stays until a better one is there. An order that fails is tried again
//! later, each time later; an authority that says when to come back is left alone until then. What
//! died amid an order begins a new one. Hosts without a certificate, and those whose end is near, are
//! named by [`Acme::standing`].

mod client;
mod files;
mod order;
mod standing;

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use instant_acme::{Account, AccountBuilder, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use files::certificates;
pub use standing::Standing;

use self::{
    client::Client,
    files::{Dir, Kept},
    standing::Book,
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    fetch::{self, Guard, Resolve, Trust},
    links::{ForwardFrom, LinkQuery, Links, State},
    metrics::Metrics,
};

/// Where the authority asks.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The longest token answered, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// What an authority says of an account that it does not know (RFC 8555 §6.7).
const NO_SUCH_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Forwards read at a time.
const PAGE: usize = 500;

/// Why no certificates can be obtained.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A file cannot be read or written.
    #[error("gateway.acme: {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What nobody else may read, others may.
    #[error("gateway.acme: {0}: others may read it; give it mode 0600, a directory 0700")]
    Exposed(PathBuf),
    /// The account cannot be read.
    #[error("gateway.acme: {0}: {1}")]
    Account(PathBuf, String),
    /// The directory's URL is none.
    #[error("gateway.acme.directory: no https URL of a server")]
    Directory,
    /// A file of certificates or keys.
    #[error("gateway.acme.{0}: {1}")]
    Key(&'static str, String),
    /// The links cannot be read.
    #[error("the hosts that are forwarded cannot be read: {0}")]
    Links(#[from] crate::links::Error),
    /// The authority has no account for us.
    #[error("no account: {0}")]
    NoAccount(instant_acme::Error),
}

/// What it is made of.
pub struct AcmeParts {
    /// The section `[gateway.acme]`.
    pub config: config::Acme,
    /// The certificates in files: their hosts need no other.
    pub files: Vec<config::Certificate>,
    /// Where the account and the certificates are kept.
    pub dir: PathBuf,
    /// The links.
    pub links: Arc<Links>,
    /// Looks up the authority's host.
    pub resolve: Resolve,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// Obtains certificates.
pub struct Acme {
    parts: AcmeParts,
    dir: Dir,
    client: Client,
    external: Option<ExternalAccountKey>,
    /// Of the account's key; none before there is one.
    thumbprint: ArcSwapOption<String>,
    book: Mutex<Book>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acme").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Acme {
    /// Reads what is kept. Blocks on the disk.
    ///
    /// # Errors
    /// When something cannot be read, or others may.
    pub fn open(parts: AcmeParts) -> Result<Arc<Self>, AcmeError> {
        let config = &parts.config;
        let dir = Dir::open(parts.dir.clone())?;
        let url = Url::parse(&config.directory).ok().filter(|url| url.scheme() == "https");
        let url = url.ok_or(AcmeError::Directory)?;
        // Named by whoever runs this, it may be inside; where it sends us may not.
        let host = url.host_str().ok_or(AcmeError::Directory)?.trim_matches(['[', ']']).to_owned();
        let guard = Guard::new(Arc::clone(&parts.resolve), &[host]);
        let pem = config.ca_file.as_ref().map(std::fs::read).transpose();
        let pem = pem.map_err(|e| AcmeError::Key("ca_file", e.to_string()))?;
        let trust = Trust::new(pem.as_deref());
        let trust = trust.map_err(|e: fetch::Error| AcmeError::Key("ca_file", e.to_string()))?;
        let client = Client::new(
            guard,
            trust,
            Duration::from_millis(config.timeout_ms),
            config.answer_bytes_max,
            parts.clock.clone(),
        );
        let external = external_account(config)?;
        let kept = dir.account()?.filter(|kept| kept.directory == config.directory);
        let thumbprint = ArcSwapOption::new(kept.map(|kept| Arc::new(kept.thumbprint)));
        let book = Mutex::default();
        Ok(Arc::new(Self { parts, dir, client, external, thumbprint, book }))
    }

    /// The answer to a challenge; none where `path` asks for none.
    pub(super) fn answer(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        let token = path.strip_prefix(CHALLENGES)?;
        let of_token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(of_token) {
            return None;
        }
        let thumbprint = self.thumbprint.load_full()?;
        let mut response = Response::new(Full::from(format!("{token}.{thumbprint}")));
        let text = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    /// How the certificates stand, by host.
    pub fn standing(&self) -> Vec<Standing> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).standing()
    }

    /// What is wrong, in one sentence; none when every host has a certificate that is good for a
    /// while.
    pub fn trouble(&self) -> Option<String> {
        let now = self.parts.clock.now();
        self.book.lock().unwrap_or_else(PoisonError::into_inner).trouble(now)
    }

    /// Obtains what is missing or due until `stop`. An order under way is given up then.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let poll = Duration::from_millis(self.parts.config.poll_ms);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                done = self.round() => if let Err(error) = done {
                    tracing::warn!(%error, "certificates were not obtained");
                },
            }
            if timeout(poll, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Obtains what is missing or due once.
    async fn round(self: &Arc<Self>) -> Result<(), AcmeError> {
        let this = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || this.look()).await;
        let due = looked.map_err(|e| AcmeError::Key("dir", e.to_string()))??;
        if due.is_empty() || self.client.until().is_some() {
            return Ok(());
        }
        // Another who shares the directory is at it.
        let Some(lock) = self.dir.lock()? else { return Ok(()) };
        let account = match self.account().await {
            Ok(account) => account,
            Err(error) => {
                self.put_off(&due, &error.to_string());
                return Err(error);
            }
        };
        for host in due {
            if self.client.until().is_some() || !self.may_order() {
                break;
            }
            if !self.obtain(&account, &host).await {
                break;
            }
        }
        drop(lock);
        Ok(())
    }

    /// Whether others can be obtained with the same account.
    async fn obtain(&self, account: &Account, host: &str) -> bool {
        let wait = Duration::from_millis(self.parts.config.timeout_ms);
        let made = order::order(account, host, wait).await.map_err(|e| e.to_string());
        let made = made.and_then(|pem| {
            self.dir.put_certificate(host, &pem).map_err(|e| e.to_string())?;
            files::validity(pem.as_bytes()).ok_or_else(|| "no certificate in the answer".to_owned())
        });
        let known = made.as_ref().err().is_none_or(|error| !error.contains(NO_SUCH_ACCOUNT));
        if !known {
            self.forget_account();
        }
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(validity) => {
                tracing::info!(host, "a certificate was obtained");
                book.obtained(host, validity);
            }
            Err(error) => {
                tracing::warn!(host, %error, "a certificate was not obtained");
                book.failed(host, error, self.parts.clock.monotonic(), &self.parts.config);
            }
        }
        book.measure(&self.parts.metrics, self.parts.clock.now());
        known
    }

    /// The authority does not know our account (any more): the next round makes another. The file of
    /// the old one stays beside it.
    fn forget_account(&self) {
        match self.dir.set_account_aside() {
            Ok(()) => tracing::warn!("the authority does not know our account: another is made"),
            Err(error) => tracing::error!(%error, "the account cannot be set aside"),
        }
    }

    /// Nothing can be ordered now: all that is due waits as after an order that failed.
    fn put_off(&self, due: &[String], error: &str) {
        let now = self.parts.clock.monotonic();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        for host in due {
            book.failed(host, error.to_owned(), now, &self.parts.config);
        }
    }

    /// Counts one more order, unless there were as many in this hour as there may be.
    fn may_order(&self) -> bool {
        let now = self.parts.clock.monotonic();
        let max = self.parts.config.orders_hour_max;
        self.book.lock().unwrap_or_else(PoisonError::into_inner).may_order(now, max)
    }

    /// The hosts whose certificate is missing or due. Blocks on the disk.
    fn look(&self) -> Result<Vec<String>, AcmeError> {
        let mut looked = Vec::new();
        for host in self.hosts()? {
            let validity = self.dir.validity(&host)?;
            looked.push((host, validity));
        }
        let (now, mono) = (self.parts.clock.now(), self.parts.clock.monotonic());
        let before = Duration::from_secs(u64::from(self.parts.config.renew_before_days) * 86_400);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let due = book.look(looked, now, mono, before);
        book.measure(&self.parts.metrics, now);
        Ok(due)
    }

    /// The hosts that are to have a certificate of this kind. Blocks on the disk.
    fn hosts(&self) -> Result<Vec<String>, AcmeError> {
        let config = &self.parts.config;
        // Those that are named go before those that others forward.
        let mut hosts: Vec<String> = config.hosts.iter().map(|h| plain(h)).collect();
        if config.forwards {
            hosts.extend(self.forwarded()?);
        }
        let mut seen = HashSet::new();
        let in_files = |host: &str| self.parts.files.iter().any(|c| covers(&c.hosts, host));
        hosts.retain(|host| seen.insert(host.clone()) && !in_files(host));
        if hosts.len() > config.hosts_max {
            tracing::warn!(hosts = hosts.len(), "more hosts than gateway.acme.hosts_max allows");
            hosts.truncate(config.hosts_max);
        }
        Ok(hosts)
    }

    fn forwarded(&self) -> Result<Vec<String>, AcmeError> {
        let (mut hosts, mut after) = (Vec::new(), String::new());
        let now = self.parts.clock.now();
        loop {
            let query = LinkQuery { forwards: true, limit: PAGE, after, ..LinkQuery::default() };
            let page = self.parts.links.store().list(&query)?;
            let on = page.iter().filter(|r| r.state == State::Enabled && !r.is_expired(now));
            hosts.extend(on.filter_map(|r| Some(ForwardFrom::of_code(&r.code)?.host().to_owned())));
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.code.clone(),
                _ => return Ok(hosts),
            }
        }
    }

    /// The account: the one that is kept, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let config = &self.parts.config;
        let builder =
            || -> AccountBuilder { Account::builder_with_http(Box::new(self.client.clone())) };
        if let Some(kept) = self.dir.account()?.filter(|kept| kept.directory == config.directory) {
            let path = self.parts.dir.join("account.json");
            let credentials: AccountCredentials = serde_json::from_value(kept.credentials)
                .map_err(|e| AcmeError::Account(path, e.to_string()))?;
            let account = builder().from_credentials(credentials).await;
            let account = account.map_err(AcmeError::NoAccount)?;
            self.thumbprint.store(Some(Arc::new(kept.thumbprint)));
            return Ok(account);
        }
        self.new_account(builder()).await
    }

    /// Makes an account and keeps it.
    async fn new_account(&self, builder: AccountBuilder) -> Result<Account, AcmeError> {
        let config = &self.parts.config;
        let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: config.terms_agreed,
            only_return_existing: false,
        };
        let made = builder.create(&new, config.directory.clone(), self.external.as_ref()).await;
        let (account, credentials) = made.map_err(AcmeError::NoAccount)?;
        let thumbprint = account.key_thumbprint().to_owned();
        let credentials = serde_json::to_value(&credentials)
            .map_err(|e| AcmeError::Account(self.parts.dir.clone(), e.to_string()))?;
        let directory = config.directory.clone();
        self.dir.put_account(&Kept { directory, thumbprint: thumbprint.clone(), credentials })?;
        self.thumbprint.store(Some(Arc::new(thumbprint)));
        Ok(account)
    }
}

/// How the certificates in `files` stand, by host. Blocks on the disk.
pub fn in_files(files: &[config::Certificate]) -> Vec<Standing> {
    let of = |file: &config::Certificate| {
        let until = std::fs::read(&file.chain).ok().and_then(|pem| files::validity(&pem));
        let until = until.map_or(Timestamp::ZERO, |v| v.until);
        let error = if until == Timestamp::ZERO { "no certificate can be read" } else { "" };
        let one = move |host: &String| Standing {
            host: plain(host),
            source: "file",
            until,
            failures: 0,
            error: error.to_owned(),
        };
        file.hosts.iter().map(one).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

fn external_account(config: &config::Acme) -> Result<Option<ExternalAccountKey>, AcmeError> {
    let Some(path) = &config.external_account_key_file else { return Ok(None) };
    let bad = |why: String| AcmeError::Key("external_account_key_file", why);
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let key = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let key = key.map_err(|_| bad("it is not in base64url".to_owned()))?;
    Ok(Some(ExternalAccountKey::new(config.external_account_id.clone(), &key)))
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a certificate for `hosts` is one for `host`.
fn covers(hosts: &[String], host: &str) -> bool {
    let above = host.split_once('.').map(|(_, above)| above);
    hosts.iter().map(|h| plain(h)).any(|h| match h.strip_prefix("*.") {
        Some(wild) => above == Some(wild),
        None => h == host,
    })
}
