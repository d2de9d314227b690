//! What this node itself holds and says of a name, for whoever verifies it. Nobody is answered, so
//! nothing is recorded.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::{Context, Resolver, Step, Transport, entry::Entry, query::Query};
use crate::name::Name;

/// Is told of a name, in lower case and without the trailing dot.
pub type Seen = Box<dyn Fn(&str) + Send + Sync>;

impl Resolver {
    /// The zones that we serve, each with its serial.
    pub fn zones(&self) -> Vec<(String, u32)> {
        self.zones.in_force().loaded()
    }

    /// The zone of ours that holds `host`; none for a name below a delegation.
    pub fn zone_of(&self, host: &str) -> Option<String> {
        let name = Name::from_text(&host.to_ascii_lowercase()).ok()?;
        let zones = self.zones.in_force();
        zones.answer(&Query::new(name, 1), true)?;
        zones.apex_of(&name)
    }

    /// What our own zones say, as a whole message, before policy.
    pub fn held(&self, host: &str, qtype: u16) -> Option<Vec<u8>> {
        let q = Query::new(Name::from_text(&host.to_ascii_lowercase()).ok()?, qtype);
        let local = self.zones.in_force().answer(&q, true)?;
        let mut out = Vec::new();
        let entry = Arc::new(Entry::unrecorded(&q, &local.answer));
        entry.serve(&q, &self.ourselves(), &self.style, "local", &mut out);
        Some(out)
    }

    /// What a client on this machine would be told, as a whole message: after policy.
    pub async fn told(self: &Arc<Self>, host: &str, qtype: u16) -> Option<Vec<u8>> {
        let q = Query::new(Name::from_text(&host.to_ascii_lowercase()).ok()?, qtype);
        let mut out = Vec::new();
        match self.answer(&q, &self.ourselves(), &mut out) {
            Step::Done(_) => Some(out),
            Step::Ask(pending) => Some(self.resolve(*pending).await.wire),
        }
    }

    /// Tells `seen` from now on of every name that upstream was asked about and that there is.
    pub fn tell_seen(&self, seen: Seen) {
        // Whoever was there first stays.
        self.seen.set(seen).ok();
    }

    fn ourselves(&self) -> Context {
        Context {
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            transport: Transport::Tcp,
            now: self.clock.now(),
            now_mono: self.clock.monotonic(),
        }
    }
}
