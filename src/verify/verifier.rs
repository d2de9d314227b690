//! Verifications on demand: gathered, judged, recorded, told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{
    Book, BookError, Declaration, Dossier, Last, Perspective, RULES_VERSION, Sees, Subject,
    Unclear, Verdict, Verdicts,
    data::Data,
    dns::{Grounds, plan::Plan, reply::OwnName},
    evidence::{Bundle, Observation},
    gather::{self, network::Networks, own::Own, registry::Registries, vantage::Vantages},
    here::{Here, Records},
    idn::Protected,
    keeper::{About, Keeper},
    outcome::words,
    roots::{self, Error},
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    record::{Flow, NodeName, PublicSuffixes},
    special::{is_special, is_special_address},
    spool::{Refused, SharedLane},
};

words! {
    /// Why a verification is made.
    Occasion {
        /// Somebody asked for it.
        Asked = "asked",
        /// A link was made or changed.
        Create = "create",
        /// A zone of ours was loaded.
        Zone = "zone",
        /// A domain was seen for the first time.
        FirstSeen = "first_seen",
        /// It was time to look again.
        Schedule = "schedule",
    }
}

/// What a verifier is made of.
pub struct VerifierOptions {
    /// The section `[verify]`.
    pub config: config::Verify,
    /// The lane of verdicts.
    pub lane: SharedLane,
    /// The lane of evidence.
    pub evidence: SharedLane,
    /// This node.
    pub node: NodeName,
    /// For registrable domains.
    pub suffixes: Arc<PublicSuffixes>,
    /// Registries, where they are asked.
    pub registries: Option<Arc<Registries>>,
    /// What is kept beside records.
    pub book: Arc<Book>,
    /// The last verdicts in memory.
    pub verdicts: Arc<Verdicts>,
    /// Sets of data about addresses.
    pub data: Arc<Data>,
    /// Names that others must not read like.
    pub protected: Arc<Protected>,
    /// What this node itself knows.
    pub here: Here,
    /// The version of the rules that make tiers of findings.
    pub policy_version: String,
    /// The clock.
    pub clock: Clock,
}

/// The most addresses about whose networks registries are asked.
const NETWORKS_MAX: usize = 2;

/// The most addresses that sets of data are asked about.
const ROWS_MAX: usize = 32;

/// Makes verifications.
pub struct Verifier {
    settings: gather::Settings,
    grounds: Grounds,
    network: bool,
    keeper: Keeper,
    registries: Option<Arc<Registries>>,
    networks: Networks,
    vantages: Vantages,
    book: Arc<Book>,
    verdicts: Arc<Verdicts>,
    schedule: config::Schedule,
    data: Arc<Data>,
    protected: Arc<Protected>,
    here: Here,
    /// Our zones with their serials, as they were last verified.
    zones: Mutex<Vec<(String, u32)>>,
    suffixes: Arc<PublicSuffixes>,
    clock: Clock,
    places: Semaphore,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A verification as it is told.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Verification")]
pub struct Told {
    /// What was found.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// `host`, `url` or `address`.
    pub kind: &'static str,
    /// The public suffix of the name and one label; empty for an address.
    pub registrable_domain: String,
    /// When it was judged.
    pub at: Timestamp,
    /// Through when it may be believed.
    pub valid_until: Timestamp,
    /// The version of the rules it was judged by.
    pub rules_version: &'static str,
    /// The id of the record.
    pub record: String,
    /// What was asked of whom, and what came back.
    pub observations: Vec<Observation>,
}

/// Why there is no verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// As many are under way as may be.
    #[error("too many verifications at once")]
    Busy,
    /// There is no room for its record.
    #[error("{0}")]
    Record(#[from] Refused),
}

impl Verifier {
    /// A verifier by the configuration.
    ///
    /// # Errors
    /// What cannot be read of it.
    pub fn new(parts: VerifierOptions) -> Result<Self, Error> {
        let VerifierOptions {
            config,
            lane,
            evidence,
            node,
            suffixes,
            registries,
            book,
            verdicts,
            data,
            protected,
            here,
            policy_version,
            clock,
        } = parts;
        let now = clock.now();
        for (subject, last) in book.lasts(lasts_max(&config))? {
            verdicts.put(&subject, last, now);
        }
        let settings = roots::settings(&config, node.as_str())?;
        Ok(Self {
            networks: Networks::new(&config.registries.networks)?,
            vantages: Vantages::new(&config.vantages, &settings, clock.clone())?,
            settings,
            grounds: Grounds {
                servers_allow: config.servers_allow.clone(),
                anchors: roots::root_keys(config.anchors_file.as_deref())?,
            },
            network: config.network,
            places: Semaphore::new(config.concurrent_max),
            keeper: Keeper::new(lane, evidence, policy_version),
            registries,
            book,
            verdicts,
            schedule: config.schedule.clone(),
            data,
            protected,
            here,
            zones: Mutex::default(),
            suffixes,
            clock,
        })
    }

    /// Registries, where they are asked.
    pub const fn registries(&self) -> Option<&Arc<Registries>> {
        self.registries.as_ref()
    }

    /// Lets the records be asked from now on.
    pub fn remembers(&self, records: Records) {
        // Whoever was there first stays.
        self.here.records.set(records).ok();
    }

    /// The zones of ours that were not verified as they are.
    pub(super) fn zones_loaded(&self) -> Vec<String> {
        let zones = (self.here.zones)();
        let mut known = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let new = zones.iter().filter(|zone| !known.contains(zone));
        let new = new.map(|(apex, _)| apex.clone()).collect();
        *known = zones;
        new
    }

    /// Sets of data about addresses.
    pub const fn data(&self) -> &Arc<Data> {
        &self.data
    }

    /// Verifies, records, tells.
    ///
    /// # Errors
    /// When nothing could be verified or recorded: then nothing may be told either.
    pub async fn verify(&self, subject: &Subject, occasion: Occasion) -> Result<Told, NotVerified> {
        let Ok(_place) = self.places.try_acquire() else { return Err(NotVerified::Busy) };
        let host = subject.host().map(ToString::to_string).unwrap_or_default();
        let domain = self.suffixes.registrable_domain(&host).to_owned();
        let dossier = self.gather(subject, &domain).await;
        // What was gathered here can be read here.
        let judged = dossier.judge();
        let verdict = judged.unwrap_or_else(|_| Verdict::of(subject.text(), Vec::new()));
        let about = About {
            kind: subject.kind(),
            host: &host,
            registrable_domain: &domain,
            code: "",
            occasion,
            flow: Flow(0),
        };
        let record = self.keeper.keep(&dossier, &verdict, about, &self.suffixes).await?;
        self.note(subject, &dossier, &verdict, record.to_string()).await;
        Ok(Told {
            kind: subject.kind(),
            registrable_domain: domain,
            at: dossier.at,
            valid_until: dossier.valid_until(),
            rules_version: RULES_VERSION,
            record: record.to_string(),
            observations: dossier.bundle.observations,
            verdict,
        })
    }

    /// What this place sees of a name, for another place that wants to know.
    ///
    /// # Errors
    /// When as many verifications are under way as may be.
    pub async fn perspective(&self, host: &OwnName) -> Result<Perspective, NotVerified> {
        let Ok(_place) = self.places.try_acquire() else { return Err(NotVerified::Busy) };
        let sees = if self.network {
            gather::seen(&self.settings, &self.clock, host).await
        } else {
            Sees::Unknown { cause: Unclear::Transport }
        };
        let (node, at) = (self.settings.vantage.clone(), self.clock.now());
        Ok(Perspective { node, name: host.to_string(), at, sees })
    }

    /// Asks all who can be asked about `subject`.
    async fn gather(&self, subject: &Subject, domain: &str) -> Dossier {
        let registered = self.registered_domain(subject);
        let own_zone = subject.host().and_then(|name| (self.here.zone_of)(&name.to_string()));
        let own = Own { settings: &self.settings, clock: &self.clock, here: &self.here };
        let (plan, mut bundle) = match subject.host() {
            None => (None, Bundle::default()),
            Some(name) if let Some(zone) = &own_zone => {
                let (plan, bundle) = own.zone(&name.to_string(), zone, &probe());
                (Some(plan), bundle)
            }
            Some(name) if !self.network => {
                (Some(Plan { host: name.to_string(), ..Plan::default() }), Bundle::default())
            }
            Some(name) => {
                let zone: OwnName = domain.parse().unwrap_or_else(|_| name.clone());
                let (settings, clock) = (&self.settings, &self.clock);
                let probe = probe();
                let (mut of_registry, mut seen) = (Bundle::default(), Bundle::default());
                let (gathered, (), ()) = tokio::join!(
                    gather::resolution(settings, clock, name, &zone, &probe),
                    self.ask_registry(&registered, &mut of_registry),
                    self.vantages.ask(name, settings.deadline, &mut seen),
                );
                let (plan, mut bundle) = gathered;
                bundle.extend(of_registry);
                bundle.extend(seen);
                (Some(plan), bundle)
            }
        };
        let host = subject.host().map(ToString::to_string).unwrap_or_default();
        if plan.is_some() && (self.network || own_zone.is_some()) {
            own.served(&host, &mut bundle).await;
            own.history(&host, &mut bundle).await;
        }
        bundle.sort();
        let is_protecting = !self.protected.is_empty() && !host.is_empty();
        let mut dossier = Dossier {
            rules_version: RULES_VERSION.to_owned(),
            at: self.clock.now(),
            subject: subject.text(),
            kind: subject.kind().to_owned(),
            network: self.network,
            address: subject.address(),
            registered_domain: registered,
            plan,
            grounds: self.grounds.clone(),
            registrable_domain: domain.to_owned(),
            declared: self.declared(domain).await,
            alike: is_protecting.then(|| self.protected.alike(&host, domain)),
            rows: Vec::new(),
            own_zone: own_zone.is_some(),
            listed: Vec::new(),
            filed: self.data.filed(domain),
            asns: BTreeMap::new(),
            bundle,
        };
        let addresses = dossier.addresses();
        dossier.rows = addresses.into_iter().take(ROWS_MAX).map(|a| self.data.rows(a)).collect();
        self.ask_more(&mut dossier, &own).await;
        let listed = dossier.names().into_iter().map(|name| (self.here.listed)(&name, dossier.at));
        dossier.listed = listed.flatten().collect();
        let seen = dossier.addresses_seen();
        if !seen.is_empty() {
            let all = seen.into_iter().take(ROWS_MAX).chain(dossier.addresses());
            dossier.asns = all.map(|a| (a, self.data.asns(a))).collect();
        }
        dossier
    }
}

impl Verifier {
    /// Before a link is made that leads to `url`: waits a while for a verdict on its host, where there
    /// is none and the configuration says so. Without one in time the host is verified later.
    pub async fn before_creation(&self, url: &str) {
        let wait = Duration::from_millis(self.schedule.create_wait_ms);
        if wait.is_zero() || !self.network {
            return;
        }
        let Ok(subject) = Subject::parse(url) else { return };
        let Some(host) = subject.host().map(ToString::to_string) else { return };
        if self.verdicts.standing(&host, self.clock.now()).is_none() {
            // What is made of it is asked of the verdicts in memory.
            tokio::time::timeout(wait, self.verify(&subject, Occasion::Create)).await.ok();
        }
    }
}

/// As many verdicts are taken into memory at the start as it holds.
fn lasts_max(config: &config::Verify) -> u32 {
    u32::try_from(config.schedule.verdicts_max).unwrap_or(u32::MAX)
}

impl Verifier {
    /// The section `[verify.schedule]`.
    pub(super) const fn schedule(&self) -> &config::Schedule {
        &self.schedule
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The last verdicts in memory.
    pub const fn verdicts(&self) -> &Arc<Verdicts> {
        &self.verdicts
    }

    /// Works on the book where that holds up nobody.
    ///
    /// # Errors
    /// Those of `work`; when the file cannot be worked on.
    pub async fn with_book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        let book = Arc::clone(&self.book);
        let worked = tokio::task::spawn_blocking(move || work(&book)).await;
        worked.unwrap_or(Err(BookError::Sql(rusqlite::Error::InvalidQuery)))
    }

    /// Notes a verdict in memory and in the book. The record is what counts: a book that fails is
    /// said, and changes nothing of the verdict.
    async fn note(&self, subject: &Subject, dossier: &Dossier, verdict: &Verdict, record: String) {
        let adverse = verdict.findings.iter().filter(|f| f.is_adverse());
        let mut adverse: Vec<&'static str> = adverse.map(|f| f.id.entry().id).collect();
        adverse.dedup();
        let again = self.again(dossier.valid_until(), dossier.ends());
        let last = Last {
            overall: verdict.overall,
            adverse,
            at: dossier.at,
            // Until it is looked at again the last word stands.
            valid_until: dossier.valid_until().max(again),
            record,
        };
        let key = subject.host().map_or_else(|| subject.text(), ToString::to_string);
        self.verdicts.put(&key, last.clone(), dossier.at);
        let noted = self.with_book(move |book| book.judged(&key, &last, Some(again))).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "a verdict could not be noted in the book of verifications");
        }
    }

    /// What the owner of `domain` declared.
    async fn declared(&self, domain: &str) -> Option<Declaration> {
        let domain = domain.to_owned();
        let found = self.with_book(move |book| book.declared(&domain)).await;
        found.unwrap_or_default().map(|declared| declared.declaration)
    }

    /// The domain under which registries have the subject's name; empty where nobody can register
    /// it.
    fn registered_domain(&self, subject: &Subject) -> String {
        let name = subject.host().map(ToString::to_string).unwrap_or_default();
        let domain = self.suffixes.registered_domain(&name);
        let table = self.registries.as_ref().map(|r| r.bootstrap());
        // A registry that is named for it is one, whatever the name is for.
        let is_known = table.is_some_and(|t| t.of(domain).is_some());
        let is_none = domain.is_empty()
            || self.suffixes.is_suffix(domain)
            || (is_special(domain) && !is_known);
        if is_none { String::new() } else { domain.to_owned() }
    }

    /// Asks what can be asked only once it is known where the name leads, and what was declared.
    async fn ask_more(&self, dossier: &mut Dossier, own: &Own<'_>) {
        if self.network
            && let Some(registries) = &self.registries
        {
            let asks = dossier.rows.iter().take(NETWORKS_MAX).filter_map(|rows| {
                let given = rows.delegations.iter().flatten().next();
                let base = self.networks.of(rows.address, given.map(|g| g.registry.as_str()))?;
                (!is_special_address(rows.address)).then_some((rows.address, base))
            });
            let asks = asks.map(async |(address, base)| {
                let mut bundle = Bundle::default();
                let limit = self.settings.deadline;
                registries.ask_network(address, base, limit, &mut bundle).await;
                bundle
            });
            for found in join_all(asks).await {
                dossier.bundle.extend(found);
            }
        }
        let declares = |d: &Declaration| d.counts(dossier.at) && !d.targets.is_empty();
        if dossier.declared.as_ref().is_some_and(declares) {
            own.redirects(&dossier.registrable_domain, &mut dossier.bundle).await;
        }
        dossier.bundle.sort();
    }

    async fn ask_registry(&self, domain: &str, bundle: &mut Bundle) {
        if let Some(registries) = &self.registries
            && !domain.is_empty()
        {
            registries.ask(domain, self.settings.deadline, bundle).await;
        }
    }
}

/// A label that nobody has: 20 random digits.
fn probe() -> String {
    let mut random = [0; 10];
    // Without randomness it is a label all the same.
    getrandom::fill(&mut random).ok();
    format!("probe-{}", hex::encode(random))
}
