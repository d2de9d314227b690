//! What people change about feeds and their versions.

use std::sync::Arc;

use serde_json::Value;

use super::{
    super::{
        Error, Fault, FeedSpec, OnFailure, SpecError,
        events::EventKind,
        format::Options,
        ledger::Entry,
        store::{Body, EventQuery, FeedRow, VersionRow},
    },
    By, Feeds,
    force::Promised,
    lock,
    take::validator_mark,
};
use crate::policy::Index;

/// Events read at once.
const EVENTS_AT_ONCE: usize = 1_000;

impl Feeds {
    /// Adds a feed; `spec` is its settings in JSON. Its source is looked at at once. Blocks.
    ///
    /// # Errors
    /// [`Error::Spec`], [`Error::Taken`], [`Error::TooMany`], or when the database fails.
    pub fn add(self: &Arc<Self>, spec: &str, by: &By) -> Result<FeedSpec, Error> {
        let spec = self.checked(spec)?;
        self.note(&by.reason)?;
        let json = spec.to_json()?;
        self.store().set_mark(&validator_mark(&spec.name), None)?;
        self.upon(&spec.name, |basis| {
            let feeds = self.standing()?.feeds;
            if feeds.iter().any(|f| f.name == spec.name) {
                return Err(Error::Taken);
            }
            if feeds.len() >= self.config.feeds_max {
                return Err(Error::TooMany("feeds", self.config.feeds_max));
            }
            let entry = Entry::new(EventKind::FeedAdded, &spec.name).by(&by.actor, &by.reason);
            let entry = entry.with("spec", serde_json::json!(spec));
            self.ledger.write(&entry, Body::Spec(&json), Some(basis))
        })?;
        self.obey()?;
        Ok(spec)
    }

    /// Changes a feed's settings, which take force at once. What a list's rules depend on, and what
    /// would make them reach further or otherwise (`subtree`, another `action` or `position`, a
    /// higher `tier`, `allow_may_win`), makes a version of the lists that are here; it is judged as
    /// any other is, and in force or held when this returns. Blocks.
    ///
    /// # Errors
    /// As [`Feeds::add`].
    pub fn change(self: &Arc<Self>, name: &str, spec: &str, by: &By) -> Result<FeedSpec, Error> {
        self.change_from(name, None, spec, by)
    }

    /// The same for settings that were made from `base`: nothing is changed where the feed has others
    /// by now. Blocks.
    ///
    /// # Errors
    /// [`Error::Conflict`] then, and as [`Feeds::change`].
    pub fn change_from(
        self: &Arc<Self>,
        name: &str,
        base: Option<&Value>,
        spec: &str,
        by: &By,
    ) -> Result<FeedSpec, Error> {
        let spec = self.checked(spec)?;
        self.note(&by.reason)?;
        if spec.name != name {
            let fault = Fault::NotOneOf(&["the feed's own name"]);
            return Err(SpecError { key: "name".into(), fault }.into());
        }
        let json = spec.to_json()?;
        self.upon(name, |basis| {
            let (row, _) = self.feed(name)?;
            let now = serde_json::from_str::<Value>(&row.spec).unwrap_or_default();
            if base.is_some_and(|base| *base != now) {
                return Err(Error::Conflict);
            }
            if row.spec == json {
                return Ok(());
            }
            let entry = Entry::new(EventKind::FeedChanged, name).by(&by.actor, &by.reason);
            let entry = entry.with("spec", serde_json::json!(spec));
            self.ledger.write(&entry, Body::Spec(&json), Some(basis)).map(|_| ())
        })?;
        self.store().set_mark(&validator_mark(name), None)?;
        self.obey()?;
        if let Err(error) = self.judge_anew(name, by) {
            // The settings are changed; the next look at the source tries again.
            tracing::error!(feed = name, %error, "other settings are not judged yet");
        }
        Ok(spec)
    }

    /// Removes a feed: none of its rules is in force any more. Its history stays. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database fails.
    pub fn remove(self: &Arc<Self>, name: &str, by: &By) -> Result<(), Error> {
        self.note(&by.reason)?;
        self.upon(name, |basis| {
            self.feed(name)?;
            let entry = Entry::new(EventKind::FeedRemoved, name).by(&by.actor, &by.reason);
            self.ledger.write(&entry, Body::None, Some(basis))
        })?;
        self.obey()
    }

    /// Lets a held version take force: the newest one held when `version` is none. Blocks.
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Superseded`] when a later version was in force meanwhile,
    /// [`Error::NotKept`], or when the database fails.
    pub fn approve(
        self: &Arc<Self>,
        name: &str,
        version: Option<u64>,
        by: &By,
    ) -> Result<u64, Error> {
        self.note(&by.reason)?;
        let deciding = lock(&self.deciding);
        let (number, _promised) = self.upon(name, |basis| {
            let held = self.held(name, version)?;
            if self.newest_decided(name)? > held.number {
                return Err(Error::Superseded);
            }
            Ok((held.number, self.decide(EventKind::Approved, &held, by, basis)?))
        })?;
        drop(deciding);
        self.obey()?;
        self.rows_wanted.notify_one();
        Ok(number)
    }

    /// Refuses a held version for good. Blocks.
    ///
    /// # Errors
    /// [`Error::NotHeld`], or when the database fails.
    pub fn refuse(&self, name: &str, version: Option<u64>, by: &By) -> Result<u64, Error> {
        self.note(&by.reason)?;
        self.upon(name, |basis| {
            let held = self.held(name, version)?;
            self.write_about(EventKind::Refused, &held, by, basis)?;
            Ok(held.number)
        })
    }

    /// Puts an earlier version back in force: the one that was before this one when `to` is none.
    /// While a newer one that cannot be read keeps the last good one out of force, that is the one;
    /// either ends the failure.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`] when it never was in force, [`Error::NotKept`] when it is no longer on
    /// disk, or when the database fails.
    pub fn rollback(self: &Arc<Self>, name: &str, to: Option<u64>, by: &By) -> Result<u64, Error> {
        self.note(&by.reason)?;
        let deciding = lock(&self.deciding);
        let (number, _promised) = self.upon(name, |basis| {
            let (row, spec) = self.feed(name)?;
            let number = self.earlier(&row, &spec, to)?;
            let version = self.store().version(name, number)?;
            let version = version.ok_or(Error::Unknown("version"))?;
            Ok((number, self.decide(EventKind::RolledBack, &version, by, basis)?))
        })?;
        drop(deciding);
        self.obey()?;
        Ok(number)
    }

    fn checked(&self, spec: &str) -> Result<FeedSpec, Error> {
        let spec = FeedSpec::parse(spec, &self.config)?;
        Options::of(&spec, &self.config)
            .map_err(|e| SpecError { key: e.key, fault: Fault::Json(e.why.to_string()) })?;
        Ok(spec)
    }

    /// A version that waits for a person.
    fn held(&self, name: &str, version: Option<u64>) -> Result<VersionRow, Error> {
        let (row, _) = self.feed(name)?;
        let found = match version {
            Some(number) => {
                let found = self.store().version(name, number)?;
                Some(found.ok_or(Error::Unknown("version"))?)
            }
            None => {
                let newest = self.store().versions(name, 0, self.config.versions_kept)?;
                newest.into_iter().find(|v| v.last.kind == EventKind::Held)
            }
        };
        // Of a feed of the same name that was there before, nothing waits.
        let held = found.filter(|v| v.last.kind == EventKind::Held && v.event > row.added);
        held.ok_or(Error::NotHeld)
    }

    /// The highest version that ever was to be in force, since the feed was added.
    fn newest_decided(&self, name: &str) -> Result<u64, Error> {
        let (row, _) = self.feed(name)?;
        // Versions are decided for the first time in their order: the last of these is the highest.
        let query = EventQuery {
            feed: Some(name),
            kinds: &[EventKind::Activated, EventKind::Approved],
            newest_first: true,
            limit: 1,
            ..EventQuery::default()
        };
        let newest = self.store().events(&query)?.pop().filter(|e| e.id > row.added);
        Ok(newest.map_or(0, |e| e.version))
    }

    /// The version to go back to.
    fn earlier(&self, row: &FeedRow, spec: &FeedSpec, to: Option<u64>) -> Result<u64, Error> {
        // A later version that cannot be read may keep this one out of force.
        let failed = row.newest_failed || self.failure(&row.name).is_some();
        let keeps = spec.on_failure == OnFailure::KeepLast;
        let found = match to {
            Some(to) => self.decided(row, |v| v == to)?,
            None if row.newest_failed && !keeps => self.decided(row, |v| v == row.version)?,
            None => self.decided(row, |v| v < row.version)?,
        };
        let number = found.ok_or(Error::Unknown("earlier version that was in force"))?;
        if number == row.version && !failed { Err(Error::InForceAlready) } else { Ok(number) }
    }

    /// The version decided last, since the feed was added, of those that are `wanted`.
    fn decided(&self, row: &FeedRow, wanted: impl Fn(u64) -> bool) -> Result<Option<u64>, Error> {
        let mut from = 0;
        loop {
            let page = self.store().events(&EventQuery {
                feed: Some(&row.name),
                kinds: &EventKind::DECIDING,
                from,
                newest_first: true,
                limit: EVENTS_AT_ONCE,
                ..EventQuery::default()
            })?;
            let since = page.iter().take_while(|e| e.id > row.added);
            if let Some(found) = since.map(|e| e.version).find(|v| wanted(*v)) {
                return Ok(Some(found));
            }
            match page.last() {
                Some(last) if last.id > row.added => from = last.id,
                _ => return Ok(None),
            }
        }
    }

    /// Has a version's rules at hand, then says that it is to be in force. They stay at hand until
    /// the answer is dropped.
    fn decide(
        &self,
        kind: EventKind,
        version: &VersionRow,
        by: &By,
        basis: u64,
    ) -> Result<Promised<'_>, Error> {
        // Until it is said, other nodes that share the directory would remove it.
        let _held = self.shelf.hold(&version.feed)?;
        let index = self.kept_rules(version)?;
        let promised = self.make_ready(&version.feed, version.number, &index);
        self.write_about(kind, version, by, basis)?;
        Ok(promised)
    }

    /// The rules of a version that is still on disk, for the next start.
    fn kept_rules(&self, version: &VersionRow) -> Result<Arc<Index>, Error> {
        let number = version.number;
        if !self.shelf.version(&version.feed, number, version.arrived.digest).is_there() {
            return Err(Error::NotKept(number));
        }
        self.rules_of(&version.feed, number)
    }

    fn write_about(
        &self,
        kind: EventKind,
        version: &VersionRow,
        by: &By,
        basis: u64,
    ) -> Result<(), Error> {
        let mut entry =
            Entry::new(kind, &version.feed).version(version.number).by(&by.actor, &by.reason);
        (entry.digest, entry.signer) = (version.arrived.digest, &version.arrived.signer);
        let counts = version.judgement.as_ref().map_or((0, 0), |j| (j.accepted, j.rejected));
        (entry.accepted, entry.rejected) = counts;
        self.ledger.write(&entry, Body::None, Some(basis))?;
        Ok(())
    }
}
