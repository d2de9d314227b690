//! Actions as words.

use std::{net::IpAddr, sync::Arc};

use super::{Options, Reason, names};
use crate::policy::{Action, LocalRecord};

/// Reads `nxdomain`, `nodata`, `passthru`, `drop`, `tcp-only`, `cname:NAME`, `cname:*.NAME`, or an
/// address to answer with; nothing for the feed's action.
pub(super) fn action(text: &str, options: &Options) -> Result<Action, Reason> {
    let text = text.trim();
    Ok(match text.to_ascii_lowercase().as_str() {
        "" => options.action.clone(),
        "nxdomain" => Action::Nxdomain,
        "nodata" => Action::Nodata,
        "passthru" => Action::Passthru,
        "drop" => Action::Drop,
        "tcp-only" => Action::TcpOnly,
        lower => match lower.strip_prefix("cname:") {
            Some(target) => alias(target)?,
            None => {
                let address = names::address(text).ok_or_else(|| {
                    Reason::new("unknown-action", format!("{text:?} is no action that is known"))
                })?;
                address_action(address, options)
            }
        },
    })
}

fn alias(target: &str) -> Result<Action, Reason> {
    Ok(match target.strip_prefix("*.") {
        Some(below) => Action::CnameBelow(names::name(below)?.wire().into()),
        None => Action::Cname(names::name(target)?.wire().into()),
    })
}

/// What a list means that gives an address with a name: one that leads nowhere (unspecified,
/// loopback) stands for the feed's action, every other one is the answer.
pub(super) fn sink_or_address(address: IpAddr, options: &Options) -> Action {
    if address.is_unspecified() || address.is_loopback() {
        return options.action.clone();
    }
    address_action(address, options)
}

fn address_action(address: IpAddr, options: &Options) -> Action {
    let (rtype, rdata): (_, Box<[u8]>) = match address {
        IpAddr::V4(a) => (1, a.octets().into()),
        IpAddr::V6(a) => (28, a.octets().into()),
    };
    Action::LocalData(Arc::new([LocalRecord { rtype, ttl: options.ttl_s, rdata }]))
}
