//! Whose name an address has, and whether that name leads back to it.

use domain::base::Rtype;
use futures_util::future::join_all;

use super::walk::Walker;
use crate::verify::dns::{
    reply::OwnName,
    reverse::{name_of, pointers},
};

/// How many addresses of a name are looked at, and how many names of an address.
const LOOKED_AT: usize = 2;

/// Asks for the names of the addresses that `host` leads to, and for the addresses of those.
pub(super) async fn gather(walker: &Walker<'_>, host: &OwnName) {
    let led = walker.addresses(host, 0).await;
    let names = led.addresses.iter().take(LOOKED_AT).filter_map(|a| name_of(*a));
    let asks = names.map(async |name: OwnName| {
        let way = walker.walk(&name, Rtype::PTR, 0).await;
        let Some(last) = way.last else { return };
        let named = pointers(&last, &name);
        join_all(named.iter().take(LOOKED_AT).map(|n| walker.addresses(n, 0))).await;
    });
    join_all(asks).await;
}
