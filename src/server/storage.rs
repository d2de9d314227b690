//! The store beside the listeners: engine, shipper, retention. Nobody who asks us waits for it.

use std::{
    net::TcpListener,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{ClockError, Error, core::Core};
use crate::{
    clock::Timestamp,
    config::{self, FullPolicy},
    links::{self, Links},
    record::{Access, LaneId, NodeName, Table},
    spool::Spool,
    store::{
        Credentials, Health, NoHolds, Retention, Shipper, Store,
        engine::{self, Look, LookHandler, Secret, Secrets, Supervisor},
    },
};

/// Codes are held for so long while the store cannot be asked for those of a newer copy of the
/// database.
const CODES_WAIT: Duration = Duration::from_secs(10);
/// Between the first attempts to ask it; doubles.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(2);
/// Codes kept in memory while they are read.
const CODES_AT_ONCE: usize = 4096;

/// The store's tasks.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) health: Arc<Health>,
    pub(super) engine: Option<Supervisor>,
    pub(super) engine_address: Option<std::net::SocketAddr>,
    shipper: Option<JoinHandle<Result<(), crate::store::Error>>>,
    retention: JoinHandle<()>,
    learning: Option<JoinHandle<Result<(), Error>>>,
    /// Why codes given out before may not all be known, once that is so.
    pub(super) unknown_codes: Arc<OnceLock<String>>,
    cancel: CancellationToken,
}

impl Storage {
    /// Starts the engine where it is embedded, and the tasks that use the store.
    pub(super) fn start(core: &Core) -> Result<Self, Error> {
        let mut config = core.config.store.clone();
        let mut credentials = Credentials::default();
        let mut url = config.url.clone();
        let mut engine = None;
        let mut engine_address = None;
        if config.url == "embedded" {
            config.engine.listen = fixed_port(config.engine.listen)?;
            let supervisor = embedded(core, &config)?;
            credentials.user = "default".into();
            credentials.password = supervisor.secrets().internal.reveal().to_owned();
            url = format!("http://{}", config.engine.listen);
            engine_address = Some(config.engine.listen);
            engine = Some(supervisor);
        } else {
            credentials = Credentials::load(&config)?;
        }
        let store = Store::connect(&config, &url, credentials);
        let cancel = CancellationToken::new();
        let shipper = Shipper::new(
            core.spool.clone(),
            store.clone(),
            core.node.clone(),
            core.config.spool.durability,
            Arc::clone(&core.metrics),
            core.clock.clone(),
        );
        let health = shipper.health();
        let shipper = core.tasks.spawn(shipper.run(cancel.clone()));
        let retention = Retention::new(
            store.clone(),
            core.spool.clone(),
            core.node.clone(),
            Arc::new(NoHolds),
            core.clock.clone(),
            Arc::clone(&core.metrics),
        );
        let retention = core.tasks.spawn(retention.run(Arc::clone(&health), cancel.clone()));
        Ok(Self {
            store,
            health,
            engine,
            engine_address,
            shipper: Some(shipper),
            retention,
            learning: None,
            unknown_codes: Arc::default(),
            cancel,
        })
    }

    /// Holds new codes until the sequence lies above every code that spool and store know. Where
    /// the database has links of its own, no longer than [`CODES_WAIT`]: it is most likely the one
    /// that was here before. An empty one may be what is left of a lost one, and waits.
    pub(super) fn learn_codes(&mut self, core: &Core) {
        core.links.hold(true);
        let (store, links) = (self.store.clone(), Arc::clone(&core.links));
        let (spool, node, clock) = (core.spool.clone(), core.node.clone(), core.clock.clone());
        let unknown = Arc::clone(&self.unknown_codes);
        self.learning = Some(core.tasks.spawn(async move {
            let since = links.unlearned().unwrap_or_else(|error| {
                tracing::error!(%error, "the control database cannot say what it knows");
                Timestamp::ZERO
            });
            // The spool first: what is shipped after this is in the store when that is asked.
            let left = learn_from_spool(&spool, &links);
            let mut asking = pin!(ask_store(&store, &node, &links, since));
            let highest = match timeout(CODES_WAIT, &mut asking).await {
                Ok(highest) => highest,
                Err(_) => {
                    let held = since == Timestamp::ZERO;
                    tracing::warn!(held, "the store cannot be asked for codes given out before");
                    links.hold(held);
                    asking.await
                }
            };
            let learned = match left {
                None => links.learned().map_err(|error| error.to_string()),
                Some(why) => Err(why),
            };
            if let Err(why) = learned {
                tracing::error!(why, "the next start asks for the same codes again");
                unknown.get_or_init(|| why);
            }
            links.hold(false);
            // Ids of lanes that are still to come would be given a second time. Our own may lie
            // ahead of the clock by as many seconds as there were starts within one.
            let now = clock.now();
            let secs = |lane: LaneId| i64::try_from(lane.start()).unwrap_or(i64::MAX);
            let ours = secs(spool.shared(Table::Nodes)?.lane_id());
            match highest.map(secs) {
                Some(start) if start > now.secs().max(ours) => {
                    Err(Error::Clock(ClockError::Back { now, newest: Timestamp::from_secs(start) }))
                }
                _ => Ok(()),
            }
        }));
    }

    /// Waits for a task to end, which none should.
    pub(super) async fn ended(&mut self) -> Error {
        loop {
            let Some(shipper) = &mut self.shipper else { return std::future::pending().await };
            let learning = async {
                match &mut self.learning {
                    Some(learning) => learning.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // A handle must not be asked again once it has answered.
                learned = learning => {
                    self.learning = None;
                    if let Ok(Err(error)) = learned {
                        return error;
                    }
                }
                ended = shipper => {
                    self.shipper = None;
                    return match ended {
                        Ok(Err(error)) => error.into(),
                        _ => Error::Ended("the shipper".into()),
                    };
                }
                _ = &mut self.retention => return Error::Ended("retention".into()),
            }
        }
    }

    /// Ships what is closed, within `grace`.
    pub(super) async fn stop_shipping(&mut self, grace: Duration) -> Result<(), Error> {
        self.cancel.cancel();
        if let Some(learning) = self.learning.take() {
            learning.abort();
        }
        let Some(mut shipper) = self.shipper.take() else { return Ok(()) };
        match timeout(grace, &mut shipper).await {
            Ok(Ok(shipped)) => Ok(shipped?),
            Ok(Err(_)) => Err(Error::Ended("the shipper".into())),
            Err(_) => {
                tracing::warn!("not everything was shipped in time; the next start goes on");
                // Nothing may be appended once the spool is closed.
                shipper.abort();
                shipper.await.ok();
                Ok(())
            }
        }
    }

    /// Ends the engine.
    pub(super) async fn stop_engine(&self) {
        if let Some(engine) = &self.engine {
            engine.shutdown().await;
        }
    }
}

/// Raises the sequence above the codes of the conversions in the spool; why that may not be all
/// of them.
fn learn_from_spool(spool: &Spool, links: &Links) -> Option<String> {
    let found = links::codes_in_spool(spool);
    if let Err(error) = links.learn(&found.codes) {
        return Some(format!("the sequence of codes could not be raised: {error}"));
    }
    let unread = found.unread;
    (unread > 0).then(|| {
        format!(
            "conversions in the spool cannot be read (frames and segments: {unread}): see the log"
        )
    })
}

/// Raises the sequence above the codes of conversions since `since`; returns the highest lane of
/// this node. However long it takes.
async fn ask_store(
    store: &Store,
    node: &NodeName,
    links: &Links,
    since: Timestamp,
) -> Option<LaneId> {
    let mut wait = ASK_AGAIN;
    loop {
        match ask_once(store, node, links, since).await {
            Ok(highest) => return highest,
            Err(Error::Links(error)) => {
                tracing::error!(%error, "the sequence of codes could not be raised");
            }
            // The shipper says so.
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(ASK_AGAIN_MAX);
    }
}

async fn ask_once(
    store: &Store,
    node: &NodeName,
    links: &Links,
    since: Timestamp,
) -> Result<Option<LaneId>, Error> {
    let (mut codes, mut raised) = (Vec::new(), Ok(()));
    let seen = |code: String, taken_over: bool| {
        codes.push(links::SeenCode { code, taken_over });
        if codes.len() >= CODES_AT_ONCE {
            if raised.is_ok() {
                raised = links.learn(&codes);
            }
            codes.clear();
        }
    };
    store.codes_seen(since, seen).await?;
    raised?;
    links.learn(&codes)?;
    Ok(store.highest_lane(node).await?)
}

/// Port 0 becomes a free port now: the engine keeps its address over restarts.
fn fixed_port(listen: std::net::SocketAddr) -> Result<std::net::SocketAddr, Error> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let free = TcpListener::bind(listen).and_then(|l| l.local_addr());
    free.map_err(Error::io("store.engine.listen"))
}

fn embedded(core: &Core, config: &config::Store) -> Result<Supervisor, Error> {
    let reader = Secret::new(hex::encode(core.secrets.load_or_make("engine.reader")?));
    let secrets = Secrets { internal: Secret::generate()?, reader };
    let program = std::env::current_exe().map_err(Error::io("our own program"))?;
    Ok(Supervisor::start(engine::Options {
        program,
        data_dir: core.config.data_dir.clone(),
        config: config.engine.clone(),
        secrets,
        looks: Some(recorded_looks(core)?),
        clock: core.clock.clone(),
    }))
}

/// A statement of the reader's runs, or is refused, only after the look is a record.
fn recorded_looks(core: &Core) -> Result<LookHandler, Error> {
    let lane = core.spool.shared(Table::Access)?;
    Ok(Arc::new(move |look: Look| {
        let lane = lane.clone();
        async move {
            let row = Access {
                actor: "engine-reader",
                peer: look.peer,
                role: "reader",
                case_number: "",
                purpose: "",
                question: &look.question(),
                outcome: if look.refused { "refused" } else { "answered" },
                rows: 0,
                digest: [0; 32],
            };
            lane.append_async(&row, FullPolicy::Refuse).await.is_ok()
        }
        .boxed()
    }))
}
