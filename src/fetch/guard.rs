//! Where we may be sent: nothing that strangers set makes us knock on doors of our own network.
//!
//! A host's name is resolved, every address it has is checked, and a connection goes to one of the
//! addresses that were checked: asking again could give others. One address that is not public
//! refuses the host, unless the configuration names it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use url::Host;

use super::Error;
use crate::special::{canonical_address, is_special, is_special_address};

/// Resolves a host's name into its addresses; the error is why it could not.
pub type Resolve =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> + Send + Sync>;

/// Addresses of one host that are tried.
pub const ADDRESSES_MAX: u32 = 8;

/// Lets through what is public, and what the configuration names.
#[derive(Clone, Debug)]
pub struct Allowed {
    names: Arc<[String]>,
    nets: Arc<[IpNet]>,
}

impl Allowed {
    /// What is public, and these hosts: names, addresses, prefixes.
    pub fn new(allowed: &[String]) -> Self {
        let nets = allowed.iter().filter_map(|host| net(host)).collect();
        let names = allowed.iter().filter(|host| net(host).is_none());
        let names = names.map(|n| n.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self { names, nets }
    }

    /// Whether a host may be asked at all, before it is looked up.
    ///
    /// # Errors
    /// [`Error::Special`] for one that may not.
    pub fn host(&self, host: &Host<String>) -> Result<(), Error> {
        match host {
            Host::Ipv4(a) => self.addresses(host, &[IpAddr::V4(*a)]),
            Host::Ipv6(a) => self.addresses(host, &[IpAddr::V6(*a)]),
            Host::Domain(name) => {
                let name = plain(name);
                let bad = !self.names.contains(&name) && (is_special(&name) || !name.contains('.'));
                if bad { Err(Error::Special(name)) } else { Ok(()) }
            }
        }
    }

    /// Whether a host that has these addresses may be connected to at one of them.
    ///
    /// # Errors
    /// [`Error::Special`] where one of them is not public.
    pub fn addresses(&self, host: &Host<String>, found: &[IpAddr]) -> Result<(), Error> {
        let named = matches!(host, Host::Domain(name) if self.names.contains(&plain(name)));
        match found.iter().find(|a| !named && !self.may_be(**a)) {
            Some(address) => Err(Error::Special(format!("{host} ({address})"))),
            None => Ok(()),
        }
    }

    fn may_be(&self, address: IpAddr) -> bool {
        let address = canonical_address(address);
        !is_special_address(address) || self.nets.iter().any(|net| net.contains(&address))
    }
}

/// Lets through what may be connected to.
#[derive(Clone)]
pub struct Guard {
    resolve: Resolve,
    allowed: Allowed,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that lets through what is public, and these hosts: names, addresses, prefixes.
    pub fn new(resolve: Resolve, allowed: &[String]) -> Self {
        Self { resolve, allowed: Allowed::new(allowed) }
    }

    /// The addresses of a host that may be connected to, in the order to try them.
    ///
    /// # Errors
    /// When there is none, or one of them must not be.
    pub async fn addresses(
        &self,
        host: &Host<String>,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Error> {
        self.allowed.host(host)?;
        let found = match host {
            Host::Ipv4(a) => vec![IpAddr::V4(*a)],
            Host::Ipv6(a) => vec![IpAddr::V6(*a)],
            Host::Domain(name) => {
                let name = plain(name);
                let found = (self.resolve)(name.clone()).await;
                let found = found.map_err(|e| Error::Away(format!("{name}: {e}")))?;
                if found.is_empty() {
                    return Err(Error::Away(format!("{name}: no address")));
                }
                found
            }
        };
        self.allowed.addresses(host, &found)?;
        Ok(found
            .into_iter()
            .take(ADDRESSES_MAX as usize)
            .map(|a| SocketAddr::new(a, port))
            .collect())
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn net(text: &str) -> Option<IpNet> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        let resolve: Resolve = Arc::new(|name: String| {
            Box::pin(async move {
                let addresses: &[&str] = match name.as_str() {
                    "public.example.com" => &["198.51.101.7", "2600::7"],
                    "inside.example.com" => &["198.51.101.7", "10.0.0.1"],
                    "mapped.example.com" => &["::ffff:127.0.0.1"],
                    "nowhere.example.com" => &[],
                    _ => return Err("no such name".into()),
                };
                Ok(addresses.iter().map(|a| a.parse().unwrap()).collect())
            })
        });
        Guard::new(resolve, &allowed.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    async fn check(allowed: &[&str], host: &str, expected: Result<usize, bool>) {
        let host = Host::parse(host).unwrap();
        let found = guard(allowed).addresses(&host, 443).await;
        let found = found.map(|a| a.len()).map_err(|e| matches!(e, Error::Special(_)));
        assert_eq!(found, expected, "{host}");
    }

    #[tokio::test]
    async fn only_public_hosts_unless_named() {
        check(&[], "public.example.com", Ok(2)).await;
        check(&[], "Public.Example.com.", Ok(2)).await;
        check(&[], "inside.example.com", Err(true)).await;
        check(&["inside.example.com"], "inside.example.com", Ok(2)).await;
        check(&["10.0.0.0/8"], "inside.example.com", Ok(2)).await;
        check(&["10.0.0.2"], "inside.example.com", Err(true)).await;
        check(&[], "mapped.example.com", Err(true)).await;
        check(&["127.0.0.1"], "mapped.example.com", Ok(1)).await;
        check(&[], "nowhere.example.com", Err(false)).await;
        check(&[], "missing.example.com", Err(false)).await;
        for host in [
            "localhost",
            "intranet",
            "db.internal",
            "127.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[fe80::1]",
            "0x7f.1",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
        ] {
            check(&[], host, Err(true)).await;
        }
        check(&[], "198.51.101.7", Ok(1)).await;
        check(&["[::1]"], "[::1]", Ok(1)).await;
    }
}
