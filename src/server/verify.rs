//! The verifier, and the tables and sets of data that it is kept up to date with.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Error, core::Core, policy};
use crate::{
    clock::Clock,
    config::Config,
    feeds::source::Tell,
    gateway::notice::TierRules,
    links::{self, Secrets},
    record::{PublicSuffixes, Table},
    resolver::Resolver,
    verify::{
        self, Book, Occasion, Verdicts, Verifier, VerifierOptions,
        data::Data,
        gather::registry::{self, Registries, RegistriesOptions},
        here::Here,
    },
};

/// The file that a fetched table is kept in, below the data directory.
const TABLE: &str = "registries.json";

pub(super) fn verifier_of(
    parts: &policy::Parts<'_>,
    secrets: &Secrets,
    verdicts: &Arc<Verdicts>,
    here: Here,
) -> Result<Arc<Verifier>, Error> {
    let tiers = TierRules::load(parts.config.gateway.notices.tier_rules.as_deref())?;
    Ok(Arc::new(Verifier::new(VerifierOptions {
        config: parts.config.verify.clone(),
        lane: parts.spool.shared(Table::Verifications)?,
        evidence: parts.spool.shared(Table::Evidence)?,
        node: parts.node.clone(),
        suffixes: Arc::clone(parts.suffixes),
        registries: registries_of(parts, secrets)?,
        book: Arc::clone(parts.book),
        verdicts: Arc::clone(verdicts),
        data: Arc::new(Data::load(&parts.config.verify.data).map_err(verify::Error::from)?),
        protected: Arc::new(verify::protected(&parts.config.verify, parts.suffixes)?),
        here,
        policy_version: tiers.version().to_owned(),
        clock: parts.clock.clone(),
    })?))
}

/// The verdicts that are kept in memory.
pub(super) fn verdicts_of(config: &Config) -> Arc<Verdicts> {
    let schedule = &config.verify.schedule;
    Arc::new(Verdicts::new(schedule.verdicts_max, schedule.wanted_max))
}

/// Wants to know about every domain that the resolver meets, where the configuration says so.
pub(super) fn watch(
    config: &Config,
    resolver: &Resolver,
    suffixes: &Arc<PublicSuffixes>,
    verdicts: &Arc<Verdicts>,
    clock: &Clock,
) {
    let schedule = &config.verify.schedule;
    if !(schedule.enabled && schedule.resolved && config.verify.network) {
        return;
    }
    let (suffixes, verdicts) = (Arc::clone(suffixes), Arc::clone(verdicts));
    let clock = clock.clone();
    resolver.tell_seen(Box::new(move |name| {
        let domain = suffixes.registrable_domain(name);
        verdicts.standing_or_wanted(domain, clock.now(), Occasion::FirstSeen);
    }));
}

/// What links know of the verdict on a host.
pub(super) fn standing(
    verdicts: &Arc<Verdicts>,
    clock: &Clock,
    config: &Config,
) -> links::Standings {
    let (verdicts, clock) = (Arc::clone(verdicts), clock.clone());
    let schedule = config.verify.schedule.clone();
    let is_wanted = schedule.enabled && config.verify.network;
    Box::new(move |host| {
        let Some(last) = verdicts.standing(host, clock.now()) else {
            if is_wanted {
                verdicts.want(host, Occasion::Create);
            }
            return links::Standing::default();
        };
        let names = last.adverse.iter().copied().chain([last.overall.name()]);
        let refused = names.into_iter().find(|name| schedule.refuse.iter().any(|r| r == name));
        links::Standing { word: last.overall.name(), refused }
    })
}

/// What is kept beside records.
pub(super) fn book_of(config: &Config) -> Result<Arc<Book>, Error> {
    let path = config.data_dir.join("verify.sqlite3");
    let book = Book::open(&path, config.verify.schedule.queue_max);
    Ok(Arc::new(book.map_err(verify::Error::from)?))
}

/// Verdicts as a list of rules: JSON lines, each with the findings, the record that they are in, and
/// the time through which they may be believed.
pub(super) fn list(book: &Arc<Book>, clock: &Clock) -> Tell {
    let (book, clock) = (Arc::clone(book), clock.clone());
    Arc::new(move |words| {
        let found = book.named(words, clock.now()).map_err(|e| e.to_string())?;
        let mut list = Vec::new();
        for (subject, last) in found {
            let key = if subject.parse::<IpAddr>().is_ok() { "address" } else { "name" };
            let reason = format!("{}: {}", last.overall.name(), last.adverse.join(" "));
            let line = json!({
                key: subject, "reason": reason, "evidence": last.record,
                "expires_at": last.valid_until.to_string(),
            });
            list.extend_from_slice(line.to_string().as_bytes());
            list.push(b'\n');
        }
        Ok(list)
    })
}

fn registries_of(
    parts: &policy::Parts<'_>,
    secrets: &Secrets,
) -> Result<Option<Arc<Registries>>, Error> {
    let (verify, config) = (&parts.config.verify, &parts.config.verify.registries);
    if !verify.network || !config.enabled {
        return Ok(None);
    }
    let mut bootstrap = verify::registries(config)?;
    // What was fetched before counts, as long as it is newer than the file.
    if let Ok(kept) = fs::read(parts.config.data_dir.join(TABLE))
        && let Ok(newer) = bootstrap.take(&kept)
    {
        bootstrap = newer;
    }
    let ca = config.ca_file.as_ref().map(fs::read).transpose();
    let ca = ca.map_err(Error::io("verify.registries.ca_file"))?;
    let vantage = if verify.vantage.is_empty() { parts.node.as_str() } else { &verify.vantage };
    let options = RegistriesOptions {
        config: config.clone(),
        bootstrap,
        vantage: vantage.to_owned(),
        resolve: registry::resolve(),
        ca,
        key: secrets.load_or_make("persons.key")?,
        clock: parts.clock.clone(),
    };
    let registries = Registries::new(options).map_err(verify::Error::from)?;
    Ok(Some(Arc::new(registries)))
}

/// The tasks that keep up to date what is verified by.
pub(super) struct Refresh {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Refresh {
    pub(super) fn start(core: &Core) -> Self {
        let stop = CancellationToken::new();
        let (config, registries) = (&core.config.verify, core.verifier.registries());
        let mut tasks = vec![core.tasks.spawn(reload(
            Arc::clone(core.verifier.data()),
            Duration::from_secs(config.data.reload_s),
            stop.clone(),
        ))];
        if let Some(registries) = registries
            && !config.registries.bootstrap_url.is_empty()
        {
            tasks.push(core.tasks.spawn(fetch(
                Arc::clone(registries),
                core.config.data_dir.join(TABLE),
                Duration::from_secs(config.registries.bootstrap_interval_s),
                stop.clone(),
            )));
        }
        if config.network && config.schedule.enabled {
            tasks.push(core.tasks.spawn(Arc::clone(&core.verifier).run(stop.clone())));
        }
        Self { stop, tasks }
    }

    /// Stops them.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "keeping sets of data up to date failed");
            }
        }
    }
}

/// Loads sets of data anew where their files changed.
async fn reload(data: Arc<Data>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let data = Arc::clone(&data);
        match tokio::task::spawn_blocking(move || data.reload()).await {
            Ok(Ok(true)) => tracing::info!("sets of data about addresses are loaded anew"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the sets of data in use are kept"),
            Err(error) => tracing::error!(%error, "loading sets of data failed"),
        }
    }
}

/// Fetches the table of registries, again and again.
async fn fetch(
    registries: Arc<Registries>,
    file: PathBuf,
    interval: Duration,
    stop: CancellationToken,
) {
    loop {
        let next = async {
            once(&registries, &file).await;
            tokio::time::sleep(interval).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}

/// Fetches the table once; what is not newer changes nothing, and what is refused is said.
async fn once(registries: &Registries, file: &Path) {
    let bytes = match registries.fetch_table().await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(?error, "the table of registries cannot be fetched");
            return;
        }
    };
    match registries.bootstrap().take(&bytes) {
        Ok(table) => {
            let (names, digest) = (table.len(), table.digest);
            registries.use_bootstrap(table);
            tracing::info!(names, %digest, "a new table of registries is in use");
            if let Err(error) = keep(file, &bytes) {
                tracing::warn!(%error, "the table of registries cannot be kept");
            }
        }
        Err(verify::registration::bootstrap::BadTable::Older) => {}
        Err(error) => tracing::warn!(%error, "a table of registries is refused"),
    }
}

fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(new, file)
}
