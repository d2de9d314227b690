//! What there is to see of feeds and their versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{
        Done, Error, FeedSpec,
        events::EventKind,
        store::{Event, EventQuery, FeedRow, Judgement, Rejection, VersionRow},
    },
    Feeds,
    looks::LookState,
    work::Stage,
};
use crate::{
    clock::Timestamp,
    policy::{Index, Rule},
};

/// A feed as it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Feed")]
pub struct FeedStatus {
    /// Its name.
    pub name: String,
    /// Its settings.
    #[schemars(with = "FeedSpec")]
    pub spec: Value,
    /// When they were last changed.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub changed_at: Timestamp,
    /// Who changed them.
    pub changed_by: String,
    /// The version that is to be in force everywhere; 0 for none.
    pub version: u64,
    /// Since when it is.
    pub since: Timestamp,
    /// Rules in force here.
    pub rules: u64,
    /// The version that is in force here; 0 for none.
    pub in_force_here: u64,
    /// Its newest version; 0 for none.
    pub newest: u64,
    /// What became of that one.
    #[schemars(extend("enum" = ["empty", "received", "held", "refused", "failed", "in-force", "superseded"]))]
    pub state: &'static str,
    /// Versions that wait for a person, newest first.
    pub held: Vec<u64>,
    /// What is done about it on this node now; none when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Stage>,
    /// How far that is: bytes received or read, rules read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Done>,
    /// Why it is not in force here as it should be.
    pub failure: Option<String>,
    /// How looking at its source goes, on this node.
    pub source: LookState,
    /// Which version is in force on each node, and since when.
    pub nodes: BTreeMap<String, OnNode>,
}

/// A version on a node.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FeedOnNode")]
pub struct OnNode {
    /// The version; 0 for none.
    pub version: u64,
    /// Since when.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub at: Timestamp,
    /// Seconds from its arrival until then.
    pub seconds: Option<f64>,
}

/// A version as it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FeedVersion")]
pub struct VersionStatus {
    /// The feed.
    pub feed: String,
    /// The number.
    pub version: u64,
    /// `received`, `held`, `refused`, `failed`, `in-force` or `superseded`.
    #[schemars(extend("enum" = ["received", "held", "refused", "failed", "in-force", "superseded"]))]
    pub state: &'static str,
    /// SHA-256 of what was received, in hexadecimal.
    pub digest: String,
    /// How many bytes.
    pub bytes: u64,
    /// When they arrived.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub received_at: Timestamp,
    /// The node that they arrived at.
    pub node: String,
    /// Where they came from.
    pub source: String,
    /// Who signed them.
    pub signer: String,
    /// Whether they are still on disk, to go back to.
    pub kept: bool,
    /// What reading and judging found.
    pub judgement: Option<Judgement>,
    /// The newest event that says what is to become of it.
    pub last: Event,
    /// The nodes on which it took force: when, how long after its arrival.
    pub nodes: BTreeMap<String, OnNode>,
}

/// How many rules come, go and change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FeedChanges")]
pub struct Changes {
    /// Rules that were not there before.
    pub added: u64,
    /// Rules that are no more.
    pub removed: u64,
    /// Rules that do or say something else.
    pub changed: u64,
}

/// What differs between two versions.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "FeedDiff")]
pub struct Diff {
    /// The feed.
    pub feed: String,
    /// The version before; 0 for none.
    pub from: u64,
    /// The version after.
    pub to: u64,
    /// How many.
    pub counts: Changes,
    /// Which, in order; as many of each as were asked for.
    pub added: Vec<String>,
    /// Which are no more.
    pub removed: Vec<String>,
    /// Which do or say something else.
    pub changed: Vec<String>,
}

impl Changes {
    pub(super) fn between(old: &Index, new: &Index) -> Self {
        let mut counts = Self::default();
        compare(old, new, |kind, _| counts.count(kind));
        counts
    }

    fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Added => self.added += 1,
            Kind::Removed => self.removed += 1,
            Kind::Changed => self.changed += 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Added,
    Removed,
    Changed,
}

fn compare(old: &Index, new: &Index, mut found: impl FnMut(Kind, &Rule)) {
    for rule in new.iter() {
        match old.get(&rule.trigger) {
            None => found(Kind::Added, &rule),
            Some(before) if before != rule => found(Kind::Changed, &rule),
            Some(_) => {}
        }
    }
    for rule in old.iter() {
        if new.get(&rule.trigger).is_none() {
            found(Kind::Removed, &rule);
        }
    }
}

/// The first so many in order, of however many there are.
struct First(BTreeSet<String>, usize);

impl First {
    fn add(&mut self, text: String) {
        let Self(first, max) = self;
        if first.len() < *max || first.last().is_some_and(|last| text < *last) {
            first.insert(text);
        }
        if first.len() > *max {
            first.pop_last();
        }
    }
}

impl Feeds {
    /// Every feed, by name. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<FeedStatus>, Error> {
        self.standing()?.feeds.iter().map(|row| self.status_of(row)).collect()
    }

    /// One feed. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database fails.
    pub fn status(&self, name: &str) -> Result<FeedStatus, Error> {
        let (row, _) = self.feed(name)?;
        self.status_of(&row)
    }

    fn status_of(&self, row: &FeedRow) -> Result<FeedStatus, Error> {
        let newest = self.store().versions(&row.name, 0, self.config.versions_kept)?;
        let newest: Vec<_> = newest.into_iter().filter(|v| v.event > row.added).collect();
        let held = newest.iter().filter(|v| v.last.kind == EventKind::Held);
        let loaded = self.loaded(&row.name);
        let (work, progress) = self.stage_of(&row.name).unzip();
        let events = self.events_of(&row.name, None, &[EventKind::InForce], 256)?;
        let decided = self.events_of(&row.name, None, &EventKind::DECIDING, 1)?;
        let since = decided.first().filter(|e| e.id == row.version_event).map(|e| e.ts);
        Ok(FeedStatus {
            name: row.name.clone(),
            spec: serde_json::from_str(&row.spec).unwrap_or_default(),
            changed_at: row.changed_at,
            changed_by: row.changed_by.clone(),
            version: row.version,
            since: since.unwrap_or(Timestamp::ZERO),
            rules: loaded.as_ref().map_or(0, |l| l.index.len() as u64),
            in_force_here: loaded.map_or(0, |l| l.version),
            newest: row.newest,
            state: newest.first().map_or("empty", |v| state(v, row.version)),
            held: held.map(|v| v.number).collect(),
            work,
            progress,
            failure: self.failure(&row.name),
            source: self.look_state(&row.name),
            nodes: on_nodes(&events),
        })
    }

    /// Versions of a feed below number `before` (0 for no bound), newest first. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database fails.
    pub fn versions(
        &self,
        name: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<VersionStatus>, Error> {
        let (row, _) = self.feed(name)?;
        let versions = self.store().versions(name, before, limit)?;
        versions.into_iter().map(|v| self.version_status(&row, v)).collect()
    }

    /// One version of a feed. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database fails.
    pub fn version(&self, name: &str, number: u64) -> Result<VersionStatus, Error> {
        let (row, _) = self.feed(name)?;
        let version = self.store().version(name, number)?.ok_or(Error::Unknown("version"))?;
        self.version_status(&row, version)
    }

    fn version_status(&self, row: &FeedRow, v: VersionRow) -> Result<VersionStatus, Error> {
        let events = self.events_of(&row.name, Some(v.number), &[EventKind::InForce], 256)?;
        Ok(VersionStatus {
            state: state(&v, row.version),
            digest: hex::encode(v.arrived.digest),
            bytes: v.arrived.bytes,
            received_at: v.arrived.received_at,
            kept: self.shelf.version(&v.feed, v.number, v.arrived.digest).is_there(),
            feed: v.feed,
            version: v.number,
            node: v.node,
            source: v.arrived.source,
            signer: v.arrived.signer,
            judgement: v.judgement,
            last: v.last,
            nodes: on_nodes(&events),
        })
    }

    fn events_of(
        &self,
        feed: &str,
        version: Option<u64>,
        kinds: &[EventKind],
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        self.store().events(&EventQuery {
            feed: Some(feed),
            version,
            kinds,
            newest_first: true,
            limit,
            ..EventQuery::default()
        })
    }

    /// Entries of a version that were not taken, from line `from` on. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn rejected(
        &self,
        name: &str,
        number: u64,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Rejection>, Error> {
        self.store().rejections(name, number, from, limit)
    }

    /// What differs between two versions: by default between the one in force and the newest, or
    /// the one before it where those are the same. At most `limit` rules of each kind are named.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::NotKept`], or when the database fails.
    pub fn diff(
        &self,
        name: &str,
        from: Option<u64>,
        to: Option<u64>,
        limit: usize,
    ) -> Result<Diff, Error> {
        let (row, _) = self.feed(name)?;
        let to = to.unwrap_or(row.newest);
        let from = match from {
            Some(from) => from,
            None if row.version == to => to.saturating_sub(1),
            None => row.version,
        };
        let (old, new) = (self.rules_of(name, from)?, self.rules_of(name, to)?);
        let mut counts = Changes::default();
        let mut first = [(); 3].map(|()| First(BTreeSet::new(), limit));
        compare(&old, &new, |kind, rule| {
            counts.count(kind);
            first[kind as usize].add(rule.trigger.to_string());
        });
        let [added, removed, changed] = first.map(|f| f.0.into_iter().collect());
        Ok(Diff { feed: name.to_owned(), from, to, counts, added, removed, changed })
    }

    /// The rules of a version; none for version 0. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::NotKept`], or when the database fails.
    pub fn rules_of(&self, name: &str, number: u64) -> Result<Arc<Index>, Error> {
        match self.at_hand(name, number) {
            _ if number == 0 => Ok(Arc::new(Index::empty())),
            Some(index) => Ok(index),
            None => self.load(name, number),
        }
    }
}

/// What became of a version.
fn state(version: &VersionRow, in_force: u64) -> &'static str {
    match version.last.kind {
        _ if version.number == in_force => "in-force",
        EventKind::Held => "held",
        EventKind::Refused => "refused",
        EventKind::Failed => "failed",
        EventKind::Received => "received",
        _ => "superseded",
    }
}

/// The newest of each node; `events` are newest first.
fn on_nodes(events: &[Event]) -> BTreeMap<String, OnNode> {
    let mut nodes = BTreeMap::new();
    for event in events {
        let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
        let seconds = detail["seconds"].as_f64();
        let at = detail["in_force_at"].as_str().and_then(|at| at.parse().ok());
        let on = OnNode { version: event.version, at: at.unwrap_or(event.ts), seconds };
        nodes.entry(event.node.clone()).or_insert(on);
    }
    nodes
}
