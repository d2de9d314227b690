//! Loading sets, looking things up, and swapping in what changed.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use ipnet::IpNet;

use super::{
    Country, Delegation, Filed, Origin, Rows, Set, delegated, icp::Icp, lines, mmdb::Mmdb,
    ranges::Ranges, vrps::Vrps,
};
use crate::{clock::Timestamp, config, special::canonical_address, verify::evidence::EvidenceId};

/// A set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("verify.data: {file}: {why}")]
pub struct BadSet {
    /// The file.
    pub file: String,
    /// Why.
    pub why: String,
}

/// What is loaded, and from where.
#[derive(Debug)]
pub struct Data {
    config: config::Data,
    loaded: Mutex<Arc<Loaded>>,
}

/// One state of all sets.
#[derive(Debug, Default)]
struct Loaded {
    vrps: Option<Of<Vrps>>,
    origins: Vec<Of<Table<u32>>>,
    delegated: Vec<Of<Ranges<delegated::Given>>>,
    countries: Vec<Of<Table<String>>>,
    icp: Option<Of<Icp>>,
}

#[derive(Debug)]
struct Of<T> {
    set: Set,
    file: PathBuf,
    what: T,
}

#[derive(Debug)]
enum Table<T> {
    Ranges(Ranges<T>),
    Mmdb(Box<Mmdb>),
}

impl Data {
    /// Loads everything.
    ///
    /// # Errors
    /// The first set that cannot be used.
    pub fn load(config: &config::Data) -> Result<Self, BadSet> {
        let loaded = Loaded::load(config)?;
        Ok(Self { config: config.clone(), loaded: Mutex::new(Arc::new(loaded)) })
    }

    /// Loads everything anew where a file changed; whether one had. What cannot be used changes
    /// nothing.
    ///
    /// # Errors
    /// As [`Data::load`].
    pub fn reload(&self) -> Result<bool, BadSet> {
        if !self.loaded().is_old() {
            return Ok(false);
        }
        let loaded = Loaded::load(&self.config)?;
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(true)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is on file of a domain; none where no file is loaded.
    pub fn filed(&self, domain: &str) -> Option<Filed> {
        let all = self.loaded();
        let icp = all.icp.as_ref()?;
        let (number, status) = icp.what.of(domain).cloned().unwrap_or_default();
        let required = self.config.icp_required;
        Some(Filed { number, status, set: icp.set.clone(), required })
    }

    /// Who announces an address.
    pub fn asns(&self, address: IpAddr) -> BTreeSet<u32> {
        self.rows(address).origins.iter().flatten().map(|o| o.asn).collect()
    }

    /// What is said of an address.
    pub fn rows(&self, address: IpAddr) -> Rows {
        let (all, at) = (self.loaded(), canonical_address(address));
        Rows {
            address,
            origins: all.any(
                &all.origins,
                |table| match table {
                    Table::Ranges(ranges) => {
                        // What is announced is no shorter than what is routed everywhere.
                        let length = if at.is_ipv4() { 24 } else { 48 };
                        let prefix = IpNet::new(at, length).ok()?.trunc();
                        Some((prefix, *ranges.of(at)?))
                    }
                    Table::Mmdb(mmdb) => mmdb.origin(at),
                },
                |(prefix, asn), set| Origin { prefix, asn, set },
            ),
            vrps: all.vrps.as_ref().map(|v| v.what.covering(at)),
            vrps_of: all.vrps.as_ref().map(|v| v.set.clone()),
            delegations: all.any(
                &all.delegated,
                |ranges| ranges.of(at).cloned(),
                |given, set| {
                    let delegated::Given { registry, status, country } = given;
                    Delegation { registry, status, country, set }
                },
            ),
            countries: all
                .any(
                    &all.countries,
                    |table| match table {
                        Table::Ranges(ranges) => ranges.of(at).cloned(),
                        Table::Mmdb(mmdb) => mmdb.country(at),
                    },
                    |code, set| Country { code, set },
                )
                .unwrap_or_default(),
        }
    }
}

impl Loaded {
    fn load(config: &config::Data) -> Result<Self, BadSet> {
        let vrps = config.vrps_file.as_deref().map(|file| {
            let mut of = one(file, |bytes| Vrps::read(&bytes))?;
            of.set.made = of.what.made.unwrap_or(of.set.made);
            Ok(of)
        });
        let origins = config.origins_files.iter().map(|f| table(f, lines::asn));
        let countries = config.countries_files.iter().map(|f| table(f, lines::country));
        let delegated =
            config.delegated_files.iter().map(|f| one(f, |bytes| delegated::read(&bytes)));
        let icp = config.icp_file.as_deref().map(|file| one(file, |bytes| Icp::read(&bytes)));
        Ok(Self {
            icp: icp.transpose()?,
            vrps: vrps.transpose()?,
            origins: origins.collect::<Result<_, _>>()?,
            delegated: delegated.collect::<Result<_, _>>()?,
            countries: countries.collect::<Result<_, _>>()?,
        })
    }

    /// What every set of a kind says; none where there is no set.
    fn any<T, F, R>(
        &self,
        sets: &[Of<T>],
        find: impl Fn(&T) -> Option<F>,
        tell: impl Fn(F, Set) -> R,
    ) -> Option<Vec<R>> {
        let told = |of: &Of<T>| Some(tell(find(&of.what)?, of.set.clone()));
        (!sets.is_empty()).then(|| sets.iter().filter_map(told).collect())
    }

    /// Whether a file is another than the one that was read.
    fn is_old(&self) -> bool {
        fn files<T>(all: &[Of<T>]) -> impl Iterator<Item = (&PathBuf, EvidenceId)> {
            all.iter().map(|of| (&of.file, of.set.digest))
        }
        let all = files(&self.origins)
            .chain(files(&self.delegated))
            .chain(files(&self.countries))
            .chain(self.vrps.iter().map(|of| (&of.file, of.set.digest)))
            .chain(self.icp.iter().map(|of| (&of.file, of.set.digest)));
        let changed = |(file, digest): (&PathBuf, EvidenceId)| {
            fs::read(file).is_ok_and(|bytes| EvidenceId::of(&bytes) != digest)
        };
        all.into_iter().any(changed)
    }
}

fn table<T>(file: &Path, word: impl Fn(&str) -> Option<T>) -> Result<Of<Table<T>>, BadSet> {
    let mut made = None;
    let mut of = one(file, |bytes| {
        if Mmdb::is_one(&bytes) {
            let mmdb = Mmdb::read(bytes)?;
            made = Some(mmdb.made());
            Ok(Table::Mmdb(Box::new(mmdb)))
        } else {
            lines::read(&bytes, &word).map(Table::Ranges)
        }
    })?;
    of.set.made = made.unwrap_or(of.set.made);
    Ok(of)
}

fn one<T>(file: &Path, read: impl FnOnce(Vec<u8>) -> Result<T, String>) -> Result<Of<T>, BadSet> {
    let bad = |why: String| BadSet { file: file.display().to_string(), why };
    let bytes = fs::read(file).map_err(|e| bad(e.to_string()))?;
    let written = fs::metadata(file).and_then(|m| m.modified()).ok();
    let written = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let made = Timestamp::from_secs(written.map_or(0, |d| d.as_secs().cast_signed()));
    let set = Set {
        name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        digest: EvidenceId::of(&bytes),
        made,
    };
    Ok(Of { set, file: file.to_owned(), what: read(bytes).map_err(bad)? })
}
