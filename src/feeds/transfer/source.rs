//! A primary as a source of lists: looks at its serial, and brings the newest zone as text.
//!
//! The serial that we hold stands in the text of the newest version, so that nothing else has to be
//! kept. The zone's own timers say when to ask again.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustls::pki_types::ServerName;
use url::Host;

use super::{Client, Error, Keys, Outcome, Primary, QueryError, Serial, Soa, Zone, serial_of};
use crate::{
    feeds::{
        FeedSpec, Location, Transfer,
        share::{Registry, Watched},
        source::{Ask, Brought, Guard, Incoming, Looked, Source, SourceError},
    },
    name::Name,
};

/// The first lines of a zone's text are shorter than this, in bytes: two names and five numbers.
const HEAD_BYTES_MAX: u64 = 4_096;

/// The longest wait that a zone's timers may ask for.
const REFRESH_MAX: Duration = Duration::from_secs(86_400);

/// Zones at name servers.
#[derive(Debug)]
pub struct Zones {
    client: Client,
    keys: Keys,
    guard: Guard,
    registry: Arc<Registry>,
    refresh_min: Duration,
}

impl Zones {
    /// A source that asks primaries which `guard` lets through, and again not before
    /// `refresh_min`. Their NOTIFY is taken from `registry`.
    pub const fn new(
        client: Client,
        keys: Keys,
        guard: Guard,
        registry: Arc<Registry>,
        refresh_min: Duration,
    ) -> Self {
        Self { client, keys, guard, registry, refresh_min }
    }

    async fn bring(&self, ask: Ask<'_>) -> Result<Looked, SourceError> {
        let Location::Zone(transfer) = &ask.spec.source else {
            return Err(SourceError::Refused("not a zone at a name server".into()));
        };
        let primary = self.primary(ask.spec, transfer).await?;
        let held = match ask.last {
            None => None,
            Some(last) => self.held(&primary, last).await?,
        };
        if let Some(Held::Newest(soa)) = &held {
            return Ok(self.looked(None, soa));
        }
        let held = held.and_then(|held| match held {
            Held::Zone(zone) => Some(zone),
            Held::Newest(_) => None,
        });
        let client = self.client.counting(ask.meter);
        let outcome = client.fetch(&primary, held.as_ref()).await.map_err(|e| problem(&e))?;
        let zone = match outcome {
            Outcome::UpToDate(soa) => {
                return Ok(self.looked(None, &soa));
            }
            Outcome::Zone { zone, .. } => zone,
        };
        let (soa, serial) = (zone.soa().clone(), zone.soa().serial);
        let (dir, bytes_max) = (ask.incoming.to_owned(), ask.bytes_max);
        let writing = tokio::task::spawn_blocking(move || write_down(zone, &dir, bytes_max));
        let list = writing.await.map_err(|_| SourceError::Away("interrupted".into()))??;
        let brought = Brought {
            list,
            manifest: None,
            from: ask.spec.source.to_string(),
            signer: ask.spec.tsig_key.clone(),
            validator: serial.to_string(),
        };
        Ok(self.looked(Some(brought), &soa))
    }

    /// Whom to ask, and whose NOTIFY counts.
    async fn primary(&self, spec: &FeedSpec, transfer: &Transfer) -> Result<Primary, SourceError> {
        let refused = |why: &str| SourceError::Refused(why.to_owned());
        let zone = [&transfer.zone, &spec.options.origin, &spec.name];
        let zone = zone.into_iter().find(|name| !name.is_empty());
        let zone = Name::from_text(zone.map_or("", |z| z)).map_err(|_| refused("not a zone"))?;
        let key = match spec.tsig_key.as_str() {
            "" => None,
            name => {
                let no_key = || refused(&format!("feeds.transfer.keys has no key {name}"));
                Some(self.keys.find(name).ok_or_else(no_key)?)
            }
        };
        let addresses = self.guard.addresses(&transfer.host, transfer.port).await?;
        let name = || {
            let name = match &transfer.host {
                Host::Domain(name) => ServerName::try_from(name.clone()).ok()?,
                Host::Ipv4(v4) => ServerName::from(std::net::IpAddr::V4(*v4)),
                Host::Ipv6(v6) => ServerName::from(std::net::IpAddr::V6(*v6)),
            };
            Some(name)
        };
        let tls = match transfer.tls {
            false => None,
            true => Some(name().ok_or_else(|| refused("no certificate can name this server"))?),
        };
        let primaries = addresses.iter().map(std::net::SocketAddr::ip).collect();
        let watched = Watched { primaries, key: spec.tsig_key.to_ascii_lowercase() };
        self.registry.watch(&spec.name, &zone, watched);
        Ok(Primary { addresses, tls, zone: zone.lower(), key, whole: transfer.whole })
    }

    /// What we hold: none where the newest version is no text of such a zone. The whole text is
    /// read only where the primary has something newer.
    async fn held(&self, primary: &Primary, last: &Path) -> Result<Option<Held>, SourceError> {
        let Some(serial) = serial_in(last.to_owned()).await else { return Ok(None) };
        let soa = self.client.newest(primary).await.map_err(|e| problem(&e))?;
        if soa.serial == serial {
            return Ok(Some(Held::Newest(soa)));
        }
        let (path, apex) = (last.to_owned(), primary.zone);
        let reading = tokio::task::spawn_blocking(move || {
            Zone::from_text(std::fs::read(path).ok()?, &apex).ok().map(Arc::new)
        });
        Ok(reading.await.ok().flatten().map(Held::Zone))
    }

    /// A look that went well, and the zone's timers. A zone does not expire before it was asked for
    /// again and once more, whatever it says.
    fn looked(&self, brought: Option<Brought>, soa: &Soa) -> Looked {
        let seconds = |n: u32| Duration::from_secs(u64::from(n));
        let refresh = seconds(soa.refresh).clamp(self.refresh_min.min(REFRESH_MAX), REFRESH_MAX);
        let retry = seconds(soa.retry).clamp(self.refresh_min.min(REFRESH_MAX), REFRESH_MAX);
        let expire = seconds(soa.expire).max(refresh + retry);
        Looked { brought, again_after: Some(refresh), expires_after: Some(expire) }
    }
}

enum Held {
    /// The primary's newest.
    Newest(Soa),
    /// An older one.
    Zone(Arc<Zone>),
}

/// The serial of the zone whose text the file holds.
async fn serial_in(path: PathBuf) -> Option<Serial> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut head = Vec::new();
        std::fs::File::open(path).ok()?.take(HEAD_BYTES_MAX).read_to_end(&mut head).ok()?;
        serial_of(&head)
    });
    reading.await.ok().flatten()
}

fn write_down(
    zone: Zone,
    dir: &Path,
    bytes_max: u64,
) -> Result<crate::feeds::source::Part, SourceError> {
    let mut incoming = Incoming::create(dir, bytes_max)?;
    incoming.push(&zone.into_text())?;
    incoming.finish()
}

/// What is wrong with an answer stays wrong; what is wrong with the way to it may pass.
fn problem(error: &Error) -> SourceError {
    let text = error.to_string();
    match error {
        Error::Refused(_) | Error::NoTls | Error::Query(QueryError::Signature(_)) => {
            SourceError::Refused(text)
        }
        _ => SourceError::Away(text),
    }
}

impl Source for Zones {
    fn look<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Looked, SourceError>> {
        Box::pin(self.bring(ask))
    }

    fn forget(&self, feed: &str) {
        self.registry.unwatch(feed);
    }
}
