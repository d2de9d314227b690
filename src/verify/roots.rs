//! Where the DNS begins: the servers of the root, and the keys that sign it.

use std::net::IpAddr;

use super::{
    BookError,
    data::BadSet,
    dns::{BadAnchors, anchors, reply::OwnName},
    gather,
    idn::{BadProtected, Protected},
    registration::bootstrap::{BadRegistry, BadTable, Bootstrap},
};
use crate::record::PublicSuffixes;

/// The root's servers in the root zone of 2026, IPv4 first.
const ROOTS: [&str; 26] = [
    "a.root-servers.net 198.41.0.4",
    "b.root-servers.net 170.247.170.2",
    "c.root-servers.net 192.33.4.12",
    "d.root-servers.net 199.7.91.13",
    "e.root-servers.net 192.203.230.10",
    "f.root-servers.net 192.5.5.241",
    "g.root-servers.net 192.112.36.4",
    "h.root-servers.net 198.97.190.53",
    "i.root-servers.net 192.36.148.17",
    "j.root-servers.net 192.58.128.30",
    "k.root-servers.net 193.0.14.129",
    "l.root-servers.net 199.7.83.42",
    "m.root-servers.net 202.12.27.33",
    "a.root-servers.net 2001:503:ba3e::2:30",
    "b.root-servers.net 2801:1b8:10::b",
    "c.root-servers.net 2001:500:2::c",
    "d.root-servers.net 2001:500:2d::d",
    "e.root-servers.net 2001:500:a8::e",
    "f.root-servers.net 2001:500:2f::f",
    "g.root-servers.net 2001:500:12::d0d",
    "h.root-servers.net 2001:500:1::53",
    "i.root-servers.net 2001:7fe::53",
    "j.root-servers.net 2001:503:c27::2:30",
    "k.root-servers.net 2001:7fd::1",
    "l.root-servers.net 2001:500:9f::42",
    "m.root-servers.net 2001:dc3::35",
];

/// The root's keys: KSK-2017 and KSK-2024 (IANA's `root-anchors.xml`).
const ANCHORS: &str = "\
. 3600 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. 3600 IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
";

/// Why verification cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server of the root that cannot be read.
    #[error(
        "verify.roots: {0}: write a name and an address, such as a.root-servers.net 198.41.0.4"
    )]
    Root(String),
    /// The file with the root's keys cannot be read.
    #[error("verify: {0}: {1}")]
    File(String, std::io::Error),
    /// A registry by hand that cannot be read.
    #[error("verify.registries.servers: {0}")]
    Registry(#[from] BadRegistry),
    /// The table of registries cannot be used.
    #[error("verify.registries.bootstrap_file: {0}: {1}")]
    Table(String, BadTable),
    /// Certificates of registries that cannot be used.
    #[error("verify.registries.ca_file: {0}")]
    Certificates(#[from] crate::fetch::Error),
    /// A protected name that is none.
    #[error("verify.protected: {0}")]
    Protected(#[from] BadProtected),
    /// The book of verifications cannot be opened or read.
    #[error("verify.sqlite3: {0}")]
    Book(#[from] BookError),
    /// A line about networks that cannot be read.
    #[error("verify.registries.networks: {0}")]
    Networks(#[from] gather::network::BadNetwork),
    /// Another place that cannot be asked.
    #[error(transparent)]
    Vantage(#[from] gather::vantage::BadVantage),
    /// A set of data that cannot be used.
    #[error(transparent)]
    Data(#[from] BadSet),
    /// There is no key in it.
    #[error("verify.anchors_file: {0}: {1}")]
    Anchors(String, BadAnchors),
}

/// The servers of the root that `configured` names, or those that are known.
///
/// # Errors
/// The first that cannot be read.
pub(super) fn roots(configured: &[String]) -> Result<Vec<(OwnName, IpAddr)>, Error> {
    let known = || ROOTS.iter().copied().map(one).collect();
    if configured.is_empty() { known() } else { configured.iter().map(|line| one(line)).collect() }
}

fn one(line: &str) -> Result<(OwnName, IpAddr), Error> {
    let bad = || Error::Root(line.to_owned());
    let (name, address) = line.split_once(' ').ok_or_else(bad)?;
    Ok((name.parse().map_err(|_| bad())?, address.trim().parse().map_err(|_| bad())?))
}

/// The root's keys of a file, or those that are known.
///
/// # Errors
/// When the file cannot be read, or has none.
pub(super) fn root_keys(file: Option<&std::path::Path>) -> Result<String, Error> {
    let shown = || file.map_or_else(String::new, |f| f.display().to_string());
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|e| Error::File(shown(), e))?,
        None => ANCHORS.to_owned(),
    };
    anchors(&text).map_err(|e| Error::Anchors(shown(), e))?;
    Ok(text)
}

/// Who answers for which top-level domain: as is known, as the table in `file` says, as the
/// configuration says.
///
/// # Errors
/// When the file or a line cannot be read.
pub fn registries(config: &crate::config::Registries) -> Result<Bootstrap, Error> {
    let mut table = Bootstrap::known();
    if let Some(file) = &config.bootstrap_file {
        let shown = || file.display().to_string();
        let bytes = std::fs::read(file).map_err(|e| Error::File(shown(), e))?;
        table = table.take(&bytes).map_err(|e| Error::Table(shown(), e))?;
    }
    for line in &config.servers {
        table.set(line)?;
    }
    Ok(table)
}

/// The names that others must not read like: those of the configuration, and of its file.
///
/// # Errors
/// When the file cannot be read, or a name is none.
pub fn protected(
    config: &crate::config::Verify,
    suffixes: &PublicSuffixes,
) -> Result<Protected, Error> {
    let text = match &config.protected_file {
        Some(file) => {
            std::fs::read_to_string(file).map_err(|e| Error::File(file.display().to_string(), e))?
        }
        None => String::new(),
    };
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let names = config.protected.iter().map(String::as_str).chain(lines);
    let registrable = |name: &str| suffixes.registrable_domain(name).to_owned();
    Ok(Protected::new(names, registrable)?)
}

/// How name servers are asked, by the configuration.
///
/// # Errors
/// As [`roots`].
pub(super) fn settings(
    config: &crate::config::Verify,
    vantage: &str,
) -> Result<gather::Settings, Error> {
    let millis = std::time::Duration::from_millis;
    Ok(gather::Settings {
        roots: roots(&config.roots)?,
        port: config.port,
        servers_allow: config.servers_allow.clone(),
        attempts: config.attempts,
        timeout: millis(config.timeout_ms),
        deadline: millis(config.deadline_ms),
        questions_max: config.questions_max,
        servers_max: config.servers_max,
        keep: std::time::Duration::from_secs(config.keep_s),
        vantage: if config.vantage.is_empty() { vantage } else { &config.vantage }.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_can_be_read() {
        assert_eq!(roots(&[]).unwrap().len(), 26);
        assert_eq!(anchors(&root_keys(None).unwrap()).unwrap().len(), 2);
        assert_eq!(roots(&["ns.root 127.1.0.1".into()]).unwrap().len(), 1);
        let bad = roots(&["ns.root".into()]).unwrap_err().to_string();
        assert!(bad.starts_with("verify.roots: ns.root: "), "{bad}");
    }
}
