//! How many connections each client has: nobody holds all of them (slowloris).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::config::JumpLimits;

/// Connections by client prefix; clones share one count.
#[derive(Clone, Debug)]
pub(super) struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: JumpLimits,
    /// As many as there are connections, at most.
    open: Mutex<HashMap<u128, usize>>,
}

/// One connection of a client, counted while it is held.
#[derive(Debug)]
pub(super) struct Admitted {
    clients: Clients,
    prefix: u128,
}

impl Clients {
    /// None has any.
    pub(super) fn new(limits: JumpLimits) -> Self {
        Self(Arc::new(Inner { limits, open: Mutex::default() }))
    }

    /// Counts one connection of `client`; an error when it has as many as it may. Those exempt are
    /// not counted.
    pub(super) fn admit(&self, client: IpAddr) -> Result<Option<Admitted>, Full> {
        let (max, client) = (self.0.limits.client_connections_max, client.to_canonical());
        if max == 0 || self.0.limits.is_exempt(client) {
            return Ok(None);
        }
        let prefix = self.0.limits.prefix(client);
        let mut open = self.open();
        let held = open.entry(prefix).or_default();
        if *held >= max {
            return Err(Full);
        }
        *held += 1;
        drop(open);
        Ok(Some(Admitted { clients: self.clone(), prefix }))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u128, usize>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.clients.open();
        if let Some(held) = open.get_mut(&self.prefix) {
            *held -= 1;
            if *held == 0 {
                open.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_so_many_and_nobody_is_remembered_without_one() {
        let limits = JumpLimits { client_connections_max: 2, ..JumpLimits::default() };
        let clients = Clients::new(limits);
        let admit = |ip: &str| clients.admit(ip.parse().expect("an address"));
        let held = [admit("192.0.2.1"), admit("::ffff:192.0.2.1"), admit("192.0.2.2")];
        assert!(held.iter().all(|h| matches!(h, Ok(Some(_)))));
        assert_eq!(admit("192.0.2.1").err(), Some(Full));
        let site = [admit("2001:db8::1"), admit("2001:db8:0:ff::1")];
        assert!(site.iter().all(Result::is_ok));
        assert!(admit("2001:db8:0:12::1").is_err(), "one site, whatever its addresses");
        assert!((0..9).all(|_| matches!(admit("127.0.0.1"), Ok(None))), "exempt");
        drop((held, site));
        assert!(clients.open().is_empty());
        assert!(admit("192.0.2.1").is_ok());
    }
}
