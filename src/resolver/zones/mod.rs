//! Local zones: read from files, immutable once read, swapped whole.
//!
//! Zone text is read with the `domain` crate's parser ([`load`]) into a map from every existing
//! name, empty non-terminals included, to its records ([`zone`]), so that a look-up takes at most
//! one probe per label, also for names that do not exist ([`lookup`]).
//!
//! A zone that cannot be read names file and line. Its last good version and all other zones stay
//! in force. Where there is no good version, its names are answered with SERVFAIL and EDE 24:
//! never from upstream, which would leak or contradict them.
//!
//! Files lie below `dns.zone_root`, also after every symbolic link is followed; `$INCLUDE` obeys
//! the same rule and is bounded in depth.

mod load;
mod lookup;
mod units;
mod zone;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::Serialize;
use tracing::{error, info, warn};
use zone::Zone;

use super::{cache::Cache, message::rtype};
use crate::name::Name;
use crate::{config, metrics::Metrics};

/// What loading one zone came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Zone")]
pub struct ZoneReport {
    /// The zone's apex, as configured.
    pub zone: String,
    /// Its file, as configured.
    pub file: PathBuf,
    /// `loaded`; `kept-last` when the last good version stays; `failed` when there is none.
    #[schemars(extend("enum" = ["loaded", "kept-last", "failed"]))]
    pub outcome: &'static str,
    /// Records in force.
    pub records: usize,
    /// The serial in force.
    pub serial: u32,
    /// Why it was not loaded.
    pub problem: Option<ZoneProblem>,
}

/// Why a zone was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, thiserror::Error)]
#[error("{}{}: {reason}", file.display(), LineSuffix(*line))]
pub struct ZoneProblem {
    /// The file.
    pub file: PathBuf,
    /// The line in it, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub reason: String,
}

struct LineSuffix(Option<usize>);

impl std::fmt::Display for LineSuffix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// The zones in force, and where they come from.
pub(crate) struct Zones {
    options: ZoneOptions,
    /// Held while loading, so that two reloads do not overtake one another.
    loading: Mutex<()>,
    in_force: ArcSwap<ZoneSet>,
    metrics: Arc<Metrics>,
}

/// Where zones come from and what bounds them.
#[derive(Debug)]
pub(crate) struct ZoneOptions {
    pub root: PathBuf,
    pub zones: Vec<config::Zone>,
    /// Records over all zones.
    pub records_max: usize,
    /// Names in one CNAME or DNAME chain.
    pub chain_max: usize,
    /// Answers kept ready, in bytes.
    pub cache_bytes_max: u64,
}

impl Zones {
    /// Loads every zone for the first time.
    pub(crate) fn load(options: ZoneOptions, metrics: Arc<Metrics>) -> (Self, Vec<ZoneReport>) {
        let empty = ZoneSet::new(HashMap::new(), &options);
        let in_force = ArcSwap::from_pointee(empty);
        let zones = Self { options, loading: Mutex::new(()), in_force, metrics };
        let reports = zones.reload();
        (zones, reports)
    }

    /// The zones in force now.
    pub(crate) fn in_force(&self) -> arc_swap::Guard<Arc<ZoneSet>> {
        self.in_force.load()
    }

    /// Reads every zone again.
    pub(crate) fn reload(&self) -> Vec<ZoneReport> {
        let _one = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_apex = self.in_force.load().by_apex.clone();
        let reports: Vec<_> =
            self.options.zones.iter().map(|z| self.load_one(z, &mut by_apex)).collect();
        self.in_force.store(Arc::new(ZoneSet::new(by_apex, &self.options)));
        let count = |which: fn(&&ZoneReport) -> bool| {
            f64::from(u32::try_from(reports.iter().filter(which).count()).unwrap_or(u32::MAX))
        };
        self.metrics.dns.zones.set(count(|r| r.outcome != "failed"));
        self.metrics.dns.zones_bad.set(count(|r| r.problem.is_some()));
        reports
    }

    fn load_one(&self, z: &config::Zone, by_apex: &mut Apexes) -> ZoneReport {
        let others: usize = by_apex
            .iter()
            .filter(|(apex, _)| {
                Name::from_text(&z.name).map(|n| n.lower().wire().into()) != Ok((*apex).clone())
            })
            .map(|(_, zone)| zone.as_ref().map_or(0, |z| z.records()))
            .sum();
        let room = self.options.records_max.saturating_sub(others);
        let mut report = ZoneReport {
            zone: z.name.clone(),
            file: z.file.clone(),
            outcome: "loaded",
            records: 0,
            serial: 0,
            problem: None,
        };
        let apex = Name::from_text(&z.name).map(|n| n.lower());
        let last = match load::zone(&self.options.root, z, room) {
            Ok(zone) => {
                info!(
                    zone = z.name,
                    records = zone.records(),
                    serial = zone.serial(),
                    "zone loaded"
                );
                Some(Arc::new(zone))
            }
            Err(problem) => {
                let last = apex.ok().and_then(|a| by_apex.get(a.wire()).cloned()).flatten();
                report.outcome = if last.is_some() { "kept-last" } else { "failed" };
                match report.outcome {
                    "failed" => {
                        error!(zone = z.name, %problem, "zone not loaded: SERVFAIL for its names")
                    }
                    _ => warn!(zone = z.name, %problem, "zone not loaded: last good version stays"),
                }
                report.problem = Some(problem);
                last
            }
        };
        if let Some(zone) = &last {
            (report.records, report.serial) = (zone.records(), zone.serial());
        }
        if let Ok(apex) = apex {
            by_apex.insert(apex.wire().into(), last);
        }
        report
    }
}

/// By apex in lower-case wire form; none where a zone should be but could never be loaded.
type Apexes = HashMap<Box<[u8]>, Option<Arc<Zone>>>;

/// Zones of one moment, with answers made from them.
#[derive(Debug)]
pub(crate) struct ZoneSet {
    by_apex: Apexes,
    /// Label counts that some apex has: others need no probe.
    apex_labels: [bool; 128],
    chain_max: usize,
    /// Answers made from these very zones; gone with them.
    pub(crate) answers: Cache,
}

/// The zone that a name belongs to.
enum Owner<'a> {
    Zone(&'a Zone),
    /// Ours, but there is no version of it.
    Missing,
}

impl ZoneSet {
    fn new(by_apex: Apexes, options: &ZoneOptions) -> Self {
        let mut apex_labels = [false; 128];
        for apex in by_apex.keys() {
            apex_labels[crate::name::suffixes(apex).count() - 1] = true;
        }
        let bytes = if by_apex.is_empty() { 0 } else { options.cache_bytes_max };
        Self { by_apex, apex_labels, chain_max: options.chain_max, answers: Cache::new(bytes) }
    }

    /// Whether there is no zone at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_apex.is_empty()
    }

    /// Whether the lower-case name is at or below an apex.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.owners(name).next().is_some()
    }

    /// The zones that are loaded, with their serials.
    pub(crate) fn loaded(&self) -> Vec<(String, u32)> {
        let loaded = self.by_apex.iter().filter_map(|(apex, zone)| Some((apex, zone.as_ref()?)));
        loaded.map(|(apex, zone)| (printed(apex), zone.serial())).collect()
    }

    /// The apex of the zone that holds `name`.
    pub(crate) fn apex_of(&self, name: &Name) -> Option<String> {
        match self.owners(name).next() {
            Some((_, Owner::Zone(zone))) => Some(printed(zone.apex())),
            _ => None,
        }
    }

    fn owners<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = (usize, Owner<'a>)> {
        let all = name.label_count();
        let (mut left, mut at) = (all + 1, name.suffixes());
        std::iter::from_fn(move || {
            loop {
                let suffix = at.next()?;
                left -= 1;
                if self.apex_labels[left]
                    && let Some(zone) = self.by_apex.get(suffix)
                {
                    let owner = zone.as_deref().map_or(Owner::Missing, Owner::Zone);
                    return Some((left, owner));
                }
            }
        })
    }

    /// The zone that answers for a name: the closest above it, but for DS at an apex, which is the
    /// parent's (RFC 4035 §3.1.4.1).
    fn owner<'a>(&'a self, name: &'a Name, qtype: u16) -> Option<Owner<'a>> {
        let mut owners = self.owners(name);
        let (labels, owner) = owners.next()?;
        if qtype == rtype::DS && labels == name.label_count() && labels > 0 {
            return Some(owners.next().map_or(owner, |(_, parent)| parent));
        }
        Some(owner)
    }
}

fn printed(wire: &[u8]) -> String {
    let mut text = String::new();
    crate::name::print(wire, &mut text);
    text
}
