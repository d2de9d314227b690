//! From what a source brought to a version that is activated or held.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::{runtime::Handle, time::timeout};

use super::{
    super::{
        ALLOW, Error, FeedSpec, INSTANT, Location,
        blast::{Blast, PastAsk, blast},
        events::EventKind,
        judge::{Case, Hold, holds},
        ledger::Entry,
        load::{ListRead, Reading, Unreadable},
        shelf::Kept,
        source::{ADDRESSES_MAX, Ask, Brought, Looked, SourceError},
        store::{Body, EventQuery, FeedRow, Judgement, NewVersion, VersionRow},
    },
    By, Feeds,
    aside::{Yields, aside},
    lock,
    view::Changes,
    work::Stage,
};
use crate::policy::{Action, FeedSettings, Index, Override};

/// A version that another node received and has not judged for so long is judged here.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// Contradictions between feeds that are named.
const CONFLICTS_NAMED: usize = 100;

/// What came of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Took {
    /// There was nothing new.
    Unchanged,
    /// It is in force.
    InForce,
    /// It waits for a person.
    Held,
    /// It cannot be read, or its source gave nothing usable.
    Failed,
}

/// What came of looking at a source, or of a list that somebody gave us.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What came of it; of a dry run, what would have.
    pub outcome: Took,
    /// Whether nothing was changed on purpose.
    pub dry_run: bool,
    /// The feed.
    pub feed: String,
    /// The version; 0 where there is none.
    pub version: u64,
    /// SHA-256 of what was received, in hexadecimal.
    pub digest: String,
    /// Rules taken.
    pub accepted: u64,
    /// Entries not taken.
    pub rejected: u64,
    /// Rules that were there already.
    pub duplicates: u64,
    /// Rules that contradict others.
    pub conflicts: u64,
    /// Rules that cannot be decided here.
    pub not_evaluable: u64,
    /// Why it waits, what was rejected for what, what it would change.
    pub findings: Value,
    /// How many rules come, go and change against the version in force; of a dry run alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Outcome {
    fn of(outcome: Took, feed: &str, version: u64) -> Self {
        Self {
            outcome,
            dry_run: false,
            feed: feed.to_owned(),
            version,
            digest: String::new(),
            accepted: 0,
            rejected: 0,
            duplicates: 0,
            conflicts: 0,
            not_evaluable: 0,
            findings: Value::Null,
            changes: None,
            problem: None,
        }
    }

    fn judged(mut self, judgement: &Judgement, digest: [u8; 32]) -> Self {
        self.digest = hex::encode(digest);
        self.accepted = judgement.accepted;
        self.rejected = judgement.rejected;
        self.duplicates = judgement.duplicates;
        self.conflicts = judgement.conflicts;
        self.not_evaluable = judgement.not_evaluable;
        self.findings = serde_json::from_str(&judgement.findings).unwrap_or_default();
        self
    }

    pub(super) fn failed(feed: &str, problem: String) -> Self {
        Self { problem: Some(problem), ..Self::of(Took::Failed, feed, 0) }
    }
}

/// A version that was read and judged.
struct Judged {
    index: Arc<Index>,
    judgement: Judgement,
    read_rejections: Vec<crate::feeds::Rejection>,
    holds: Vec<Hold>,
}

impl Feeds {
    /// Looks at a feed's source now, and takes what is new.
    ///
    /// # Errors
    /// When there is no such feed, the reason is too long, or the database fails. A source that
    /// gives nothing usable is an outcome.
    pub async fn refresh(self: &Arc<Self>, feed: &str, by: &By) -> Result<Outcome, Error> {
        self.note(&by.reason)?;
        let _working = self.working(feed, Stage::Fetching);
        let name = feed.to_owned();
        let (spec, validator, last) = self.blocking(move |feeds| feeds.before_look(&name)).await?;
        let looked = self.look(&spec, &validator, last.as_deref()).await;
        let (name, by) = (feed.to_owned(), by.clone());
        match looked {
            Err(error) => {
                let problem = error.to_string();
                let after = error.again_after();
                self.blocking(move |feeds| feeds.look_failed(&name, &problem, after)).await
            }
            Ok(Looked { brought, again_after, expires_after }) => {
                self.looked(feed, again_after);
                let Some(brought) = brought else {
                    self.confirmed(feed, expires_after);
                    return Ok(Outcome::of(Took::Unchanged, feed, 0));
                };
                let taking = self.blocking(move |feeds| feeds.take(&name, brought, &by));
                let outcome = taking.await?;
                if outcome.outcome != Took::Failed {
                    self.confirmed(feed, expires_after);
                }
                Ok(outcome)
            }
        }
    }

    /// Says what taking a list would do: the source's, or one that somebody gave us. Changes
    /// nothing.
    ///
    /// # Errors
    /// As [`Feeds::refresh`].
    pub async fn dry_run(
        self: &Arc<Self>,
        feed: &str,
        given: Option<Brought>,
    ) -> Result<Outcome, Error> {
        let _working = self.working(feed, Stage::Fetching);
        let brought = match given {
            Some(given) => given,
            None => {
                let name = feed.to_owned();
                let (spec, _, last) = self.blocking(move |f| f.before_look(&name)).await?;
                let name = feed.to_owned();
                match self.look(&spec, "", last.as_deref()).await {
                    Ok(Looked { brought: Some(brought), .. }) => brought,
                    Ok(_) => return self.blocking(move |feeds| feeds.rehearse_newest(&name)).await,
                    Err(e) => return Ok(Outcome::failed(feed, e.to_string())),
                }
            }
        };
        let name = feed.to_owned();
        let work = move |feeds: &Arc<Self>| {
            let manifest = brought.manifest.as_ref().map(|m| m.path());
            feeds.rehearse(&name, brought.list.path(), manifest, brought.digest())
        };
        self.blocking(work).await
    }

    /// Takes a list that somebody gave us instead of the feed's source. It stays until the source
    /// has something new.
    ///
    /// # Errors
    /// As [`Feeds::refresh`].
    pub async fn apply(
        self: &Arc<Self>,
        feed: &str,
        brought: Brought,
        by: &By,
    ) -> Result<Outcome, Error> {
        self.note(&by.reason)?;
        let _working = self.working(feed, Stage::Reading);
        let (name, by) = (feed.to_owned(), by.clone());
        self.blocking(move |feeds| feeds.take_given(&name, brought, &by)).await
    }

    async fn look(
        &self,
        spec: &FeedSpec,
        validator: &str,
        last: Option<&Path>,
    ) -> Result<Looked, SourceError> {
        let meter = self.meter(&spec.name);
        let ask = Ask {
            meter: &meter,
            spec,
            validator,
            last,
            incoming: self.shelf.incoming(),
            bytes_max: self.config.list_bytes_max,
        };
        // Each address of a primary has its own time; this is for all of them.
        let limit = match spec.source {
            Location::Zone(_) => {
                Duration::from_millis(self.config.transfer.transfer_timeout_ms) * ADDRESSES_MAX
            }
            _ => Duration::from_millis(self.config.fetch_timeout_ms),
        };
        let late = || SourceError::Away(format!("nothing came within {} s", limit.as_secs()));
        let began = self.clock().monotonic();
        let looked = timeout(limit, self.source.look(ask)).await.unwrap_or_else(|_| Err(late()));
        self.count_look(spec, &looked, self.clock().monotonic().duration_since(began));
        looked
    }

    /// Measures a look: what came of it, how much, how long it took.
    fn count_look(&self, spec: &FeedSpec, looked: &Result<Looked, SourceError>, took: Duration) {
        let (outcome, brought) = match looked {
            Ok(Looked { brought: Some(brought), .. }) => ("new", Some(brought)),
            Ok(_) => ("same", None),
            Err(SourceError::Busy(..)) => ("busy", None),
            Err(_) => ("failed", None),
        };
        self.metrics.looks(&spec.name, outcome).increment(1);
        let of = self.metrics.feed(&spec.name);
        of.look_seconds.set(took.as_secs_f64());
        let Some(brought) = brought else { return };
        of.received_bytes.increment(brought.list.bytes());
        if let (Location::Zone(_), Ok(serial)) = (&spec.source, brought.validator.parse::<u32>()) {
            of.serial.set(f64::from(serial));
        }
    }

    fn before_look(
        &self,
        feed: &str,
    ) -> Result<(FeedSpec, String, Option<std::path::PathBuf>), Error> {
        let (row, spec) = self.feed(feed)?;
        let validator = self.store().mark(&validator_mark(feed))?.unwrap_or_default();
        let last = match row.newest {
            0 => None,
            newest => self.store().version(feed, newest)?,
        };
        // Read by other settings it makes another version: it is to be sent again.
        let last = match last {
            Some(last) => self.is_read_by(&last, &spec)?.then_some(last),
            None => None,
        };
        let last = last.map(|v| self.shelf.version(feed, v.number, v.arrived.digest));
        let last = last.filter(Kept::is_there).map(|kept| kept.list());
        // What is gone must be sent again.
        let validator = if last.is_some() { validator } else { String::new() };
        Ok((spec, validator, last))
    }

    /// Keeps, reads and judges what was brought. One at a time of each feed.
    fn take(self: &Arc<Self>, feed: &str, brought: Brought, by: &By) -> Result<Outcome, Error> {
        let busy = self.busy(feed);
        let _busy = lock(&busy);
        let validator = brought.validator.clone();
        let (row, spec) = self.feed(feed)?;
        let name = format!("brought:{feed}");
        let digest = hex::encode(brought.digest());
        let mark = json!([row.added, digest, spec.format, spec.options]).to_string();
        // What the source brought last is nothing new, whatever a person gave or put back since,
        // and whatever other settings made of that.
        let same = self.store().mark(&name)?.as_ref() == Some(&mark);
        let outcome = if same && !row.newest_failed && self.newest_stands(&row, &spec)? {
            Outcome::of(Took::Unchanged, feed, row.newest)
        } else {
            self.take_one(feed, brought, by)?
        };
        if !same {
            self.store().set_mark(&name, Some(&mark))?;
        }
        let mark = Some(validator.as_str()).filter(|v| !v.is_empty());
        self.store().set_mark(&validator_mark(feed), mark)?;
        Ok(outcome)
    }

    /// Whether the newest version is on disk, and was read as it would be now.
    fn newest_stands(&self, row: &FeedRow, spec: &FeedSpec) -> Result<bool, Error> {
        let Some(newest) = self.store().version(&row.name, row.newest)? else { return Ok(false) };
        let kept = self.shelf.version(&row.name, newest.number, newest.arrived.digest);
        Ok(kept.is_there() && self.is_read_by(&newest, spec)?)
    }

    /// The same of a list that somebody gave us. What the source said last stays known: its list
    /// comes back when it changes, not at once.
    fn take_given(
        self: &Arc<Self>,
        feed: &str,
        brought: Brought,
        by: &By,
    ) -> Result<Outcome, Error> {
        let busy = self.busy(feed);
        let _busy = lock(&busy);
        let outcome = self.take_one(feed, brought, by)?;
        if outcome.outcome != Took::Failed {
            self.confirmed(feed, None);
        }
        Ok(outcome)
    }

    pub(super) fn take_one(
        self: &Arc<Self>,
        feed: &str,
        brought: Brought,
        by: &By,
    ) -> Result<Outcome, Error> {
        let digest = brought.digest();
        let arrived = NewVersion {
            digest,
            bytes: brought.list.bytes() + brought.manifest.as_ref().map_or(0, |m| m.bytes()),
            received_at: self.clock().now(),
            source: brought.from.clone(),
            signer: brought.signer.clone(),
        };
        let mut brought = Some(brought);
        let mut kept: Option<(u64, Kept)> = None;
        let received = self.upon(feed, |basis| {
            let (row, spec) = self.feed(feed)?;
            if let Some(same) = self.is_known(&row, &spec, digest)? {
                return Ok(Err(same));
            }
            let number = self.store().newest_version(feed)? + 1;
            match (brought.take(), kept.take()) {
                (Some(brought), _) => {
                    kept = Some((number, self.shelf.keep(feed, number, brought)?));
                }
                (None, Some((before, files))) if before != number => {
                    kept = Some((number, self.shelf.renumber(files, feed, number, digest)?));
                }
                (None, files) => kept = files,
            }
            let mut entry =
                Entry::new(EventKind::Received, feed).version(number).by(&by.actor, &by.reason);
            (entry.digest, entry.signer) = (digest, &arrived.signer);
            let entry = entry.with("source", arrived.source.as_str()).with("bytes", arrived.bytes);
            self.ledger.write(&entry, Body::Version(&arrived), Some(basis))?;
            Ok(Ok((number, spec)))
        })?;
        let (number, spec) = match received {
            Ok(received) => received,
            Err(same) => return Ok(Outcome::of(Took::Unchanged, feed, same)),
        };
        self.metrics.feed(feed).versions.increment(1);
        self.judge(feed, &spec, number, &arrived)
    }

    /// The newest version, when it is what was brought and was read as it would be now.
    fn is_known(
        &self,
        row: &FeedRow,
        spec: &FeedSpec,
        digest: [u8; 32],
    ) -> Result<Option<u64>, Error> {
        if row.newest == 0 {
            return Ok(None);
        }
        let Some(newest) = self.store().version(&row.name, row.newest)? else { return Ok(None) };
        if newest.arrived.digest != digest {
            return Ok(None);
        }
        Ok(self.is_read_by(&newest, spec)?.then_some(newest.number))
    }

    /// Whether a version was read as it would be now, or will be: somebody may be at it.
    fn is_read_by(&self, version: &VersionRow, spec: &FeedSpec) -> Result<bool, Error> {
        let read = self.spec_of(&version.feed, version.event)?;
        Ok(read.reading_key() == spec.reading_key())
    }

    /// Reads and judges versions that were received and never judged: by a process that died here,
    /// or by another node that seems to be gone.
    pub(super) fn judge_left_over(self: &Arc<Self>, at_start: bool) -> Result<(), Error> {
        for row in self.standing()?.feeds {
            if row.newest == 0 {
                continue;
            }
            let Some(version) = self.store().version(&row.name, row.newest)? else { continue };
            let own = at_start && version.node == self.ledger.node.as_str();
            let age = self.clock().now().since(version.arrived.received_at);
            if version.judgement.is_some() || !(own || age > TAKE_OVER) {
                continue;
            }
            let busy = self.busy(&row.name);
            let Ok(_busy) = busy.try_lock() else { continue };
            // As it was to be read when it came: others read it by that, too.
            let spec = self.spec_of(&row.name, version.event)?;
            tracing::info!(feed = row.name, version = row.newest, "judging a version left over");
            let judged = self.judge(&row.name, &spec, row.newest, &version.arrived);
            if let Err(error) = judged {
                tracing::error!(feed = row.name, %error, "a version left over cannot be judged");
            }
        }
        Ok(())
    }

    /// Reads and judges a version that the database knows.
    fn judge(
        self: &Arc<Self>,
        feed: &str,
        spec: &FeedSpec,
        number: u64,
        arrived: &NewVersion,
    ) -> Result<Outcome, Error> {
        let kept = self.shelf.version(feed, number, arrived.digest);
        let (row, _) = self.feed(feed)?;
        let left = self.rolled_back(&row, arrived.digest)?;
        let read = aside(Yields::Much, || {
            let files = (&*kept.list(), kept.manifest());
            let read = self.read_and_judge(&row, spec, (files.0, files.1.as_deref()), left)?;
            kept.keep_index(&read.index, self.protected.key());
            Ok(read)
        });
        let judged = match read {
            Ok(judged) => judged,
            Err(unreadable) => return self.cannot_read(feed, spec, number, arrived, &unreadable),
        };
        let Judged { index, judgement, read_rejections, holds } = judged;
        self.stage(feed, Stage::Activating);
        let held = !holds.is_empty();
        let kind = if held { EventKind::Held } else { EventKind::Activated };
        let _promised = (!held).then(|| self.make_ready(feed, number, &index));
        self.upon(feed, |basis| {
            self.still_waits(feed, number)?;
            let mut entry = Entry::new(kind, feed).version(number);
            (entry.digest, entry.signer) = (arrived.digest, &arrived.signer);
            (entry.accepted, entry.rejected) = (judgement.accepted, judgement.rejected);
            let findings: Value = serde_json::from_str(&judgement.findings).unwrap_or_default();
            let entry = entry.with("findings", findings);
            self.ledger.write(&entry, Body::Judgement(&judgement, &read_rejections), Some(basis))
        })?;
        self.obey()?;
        self.rows_wanted.notify_one();
        self.tidy(feed)?;
        let took = if held { Took::Held } else { Took::InForce };
        if held {
            tracing::warn!(feed, version = number, "a version waits for approval");
        }
        Ok(Outcome::of(took, feed, number).judged(&judgement, arrived.digest))
    }

    /// Whether a version is still to be decided about: not when another node did, when a newer one
    /// came, or when the feed ended and another of its name began.
    fn still_waits(&self, feed: &str, number: u64) -> Result<(), Error> {
        let (row, _) = self.feed(feed)?;
        let version = self.store().version(feed, number)?.ok_or(Error::Unknown("version"))?;
        let waits = row.newest == number && version.event > row.added;
        if waits && version.judgement.is_none() { Ok(()) } else { Err(Error::Superseded) }
    }

    fn cannot_read(
        self: &Arc<Self>,
        feed: &str,
        spec: &FeedSpec,
        number: u64,
        arrived: &NewVersion,
        unreadable: &Unreadable,
    ) -> Result<Outcome, Error> {
        let problem = unreadable.to_string();
        tracing::error!(feed, version = number, problem, "a version cannot be read");
        self.metrics.feed(feed).failures.increment(1);
        let findings = json!({"problem": problem, "reading": spec.reading_key()});
        let judgement = Judgement { findings: findings.to_string(), ..Judgement::default() };
        self.upon(feed, |basis| {
            self.still_waits(feed, number)?;
            let mut entry = Entry::new(EventKind::Failed, feed).version(number);
            (entry.digest, entry.signer) = (arrived.digest, &arrived.signer);
            let entry = entry.with("problem", problem.as_str());
            self.ledger.write(&entry, Body::Judgement(&judgement, &[]), Some(basis))
        })?;
        self.obey()?;
        self.tidy(feed)?;
        let outcome = Outcome::of(Took::Failed, feed, number).judged(&judgement, arrived.digest);
        Ok(Outcome { problem: Some(problem), ..outcome })
    }

    /// The same where the source has nothing but the newest version: what became of that one, as
    /// far as it waits for somebody or could not be read.
    fn rehearse_newest(&self, feed: &str) -> Result<Outcome, Error> {
        let unchanged = Outcome { dry_run: true, ..Outcome::of(Took::Unchanged, feed, 0) };
        let (row, _) = self.feed(feed)?;
        let Some(newest) = self.store().version(feed, row.newest)? else { return Ok(unchanged) };
        let digest = newest.arrived.digest;
        let kept = self.shelf.version(feed, newest.number, digest);
        let waits = matches!(newest.last.kind, EventKind::Held | EventKind::Failed);
        if !waits || newest.event < row.added || !kept.is_there() {
            return Ok(unchanged);
        }
        self.rehearse(feed, &kept.list(), kept.manifest().as_deref(), digest)
    }

    fn rehearse(
        &self,
        feed: &str,
        list: &Path,
        manifest: Option<&Path>,
        digest: [u8; 32],
    ) -> Result<Outcome, Error> {
        let (row, spec) = self.feed(feed)?;
        let left = self.rolled_back(&row, digest)?;
        let judged =
            aside(Yields::Much, || self.read_and_judge(&row, &spec, (list, manifest), left));
        let judged = match judged {
            Ok(judged) => judged,
            Err(e) => {
                let failed = Outcome::failed(feed, e.to_string());
                return Ok(Outcome { dry_run: true, ..failed });
            }
        };
        let took = if judged.holds.is_empty() { Took::InForce } else { Took::Held };
        let before = self.loaded(feed).map_or_else(|| Arc::new(Index::empty()), |l| l.index);
        let outcome = Outcome::of(took, feed, 0).judged(&judged.judgement, digest);
        let changes = Some(Changes::between(&before, &judged.index));
        Ok(Outcome { dry_run: true, changes, ..outcome })
    }

    fn read_and_judge(
        &self,
        row: &FeedRow,
        spec: &FeedSpec,
        (list, manifest): (&Path, Option<&Path>),
        left: Option<u64>,
    ) -> Result<Judged, Unreadable> {
        self.stage(&row.name, Stage::Reading);
        let base = self.loaded(&row.name).map(|l| l.index);
        let meter = self.meter(&row.name);
        let reading = Reading { meter: Some(&meter), ..self.reading(spec) };
        let (index, read) = reading.read(list, manifest, base.as_deref())?;
        self.stage(&row.name, Stage::Judging);
        let index = Arc::new(index);
        let mut findings = read.findings();
        findings.insert("reading".into(), spec.reading_key().into());
        let (conflicts, named) = self.conflicts(&row.name, spec, &index);
        findings.insert("conflicts_with_feeds".into(), named);
        let blast = self.blast_of(row, spec, &index);
        let case = Case {
            spec,
            limits: &self.config,
            before: self.rules_before(row),
            after: index.len() as u64,
            rejected: read.rejected,
            blast: blast.as_ref().map_err(String::as_str),
        };
        let mut holds = holds(&case);
        holds.extend(left.map(|version| Hold::RolledBack { version }));
        findings.insert("held_for".into(), json!(holds));
        findings.insert("blast".into(), blast_json(&blast));
        let judgement = judgement(&read, &index, conflicts, self.servers_known, findings);
        Ok(Judged { index, judgement, read_rejections: read.rejections, holds })
    }

    /// The version of these bytes that a person put the one in force in the place of.
    fn rolled_back(&self, row: &FeedRow, digest: [u8; 32]) -> Result<Option<u64>, Error> {
        let (first, in_force) = self.since_put_there(row)?;
        let versions = self.store().versions(&row.name, 0, self.config.versions_kept)?;
        let left = |v: &VersionRow| {
            // The same list was put back by other settings, each of which is left above its own.
            let above = if Some(digest) == in_force { row.version } else { first };
            v.number > above && v.event > row.added && EventKind::DECIDING.contains(&v.last.kind)
        };
        Ok(versions.iter().find(|v| v.arrived.digest == digest && left(v)).map(|v| v.number))
    }

    /// The lowest version by which the list in force has been so without a break, and its digest:
    /// what other settings made of it counts as the same.
    fn since_put_there(&self, row: &FeedRow) -> Result<(u64, Option<[u8; 32]>), Error> {
        let digest_of = |number| -> Result<_, Error> {
            Ok(self.store().version(&row.name, number)?.map(|v| v.arrived.digest))
        };
        let digest = digest_of(row.version)?;
        let events = self.store().events(&EventQuery {
            feed: Some(&row.name),
            kinds: &EventKind::DECIDING,
            newest_first: true,
            limit: self.config.versions_kept,
            ..EventQuery::default()
        })?;
        let mut first = row.version;
        for event in events.iter().take_while(|e| e.id > row.added) {
            if digest_of(event.version)? != digest {
                break;
            }
            first = first.min(event.version);
        }
        Ok((first, digest))
    }

    /// How many rules the version in force has; none for a feed that has none in force.
    fn rules_before(&self, row: &FeedRow) -> Option<u64> {
        if row.version == 0 {
            return None;
        }
        let version = self.store().version(&row.name, row.version).ok()??;
        version.judgement.map(|j| j.accepted)
    }

    /// Rules that another feed in force decides otherwise: how many, and some of them.
    fn conflicts(&self, name: &str, spec: &FeedSpec, index: &Index) -> (u64, Value) {
        let set = self.in_force.load_full();
        let own = spec.settings();
        let (mut count, mut named) = (0, Vec::new());
        let others = set.feeds().filter(|f| ![name, INSTANT, ALLOW].contains(&&*f.name));
        for other in others {
            // The smaller of the two is looked up in the larger.
            let (small, large, swapped) = if index.len() <= other.index.len() {
                (index, &*other.index, false)
            } else {
                (&*other.index, index, true)
            };
            for rule in small.iter() {
                let Some(found) = large.get(&rule.trigger) else { continue };
                let (ours, theirs) = if swapped { (&found, &rule) } else { (&rule, &found) };
                let ours = word(&own, &ours.action);
                let theirs = word(&other.settings, &theirs.action);
                if ours == theirs {
                    continue;
                }
                count += 1;
                if named.len() < CONFLICTS_NAMED {
                    named.push(json!({
                        "feed": &*other.name, "rule": rule.trigger.to_string(),
                        "ours": ours, "theirs": theirs,
                    }));
                }
            }
        }
        (count, named.into())
    }

    /// What the version would decide otherwise in the past hours.
    fn blast_of(
        &self,
        row: &FeedRow,
        spec: &FeedSpec,
        index: &Arc<Index>,
    ) -> Result<Blast, String> {
        let hours = u64::from(self.config.blast_hours);
        if hours == 0 {
            return Ok(Blast::default());
        }
        let query = self.past.get().ok_or("the store is not there yet")?;
        let now = self.clock().now();
        let from = now.saturating_sub(Duration::from_secs(hours * 3_600));
        let new = self.set_with(row, spec, index);
        let old = self.in_force.load_full();
        let ask = PastAsk {
            from,
            kinds_max: self.config.blast_kinds_max,
            timeout_ms: self.config.blast_timeout_ms,
            clients: old.has_client_triggers() || new.has_client_triggers(),
        };
        let limit = Duration::from_millis(self.config.blast_timeout_ms);
        let asked = query(ask);
        let past = Handle::current().block_on(async { timeout(limit, asked).await });
        let past = past.map_err(|_| "the store did not answer in time".to_owned())??;
        Ok(blast(&past, from, (&old, &new), &self.suffixes, now))
    }

    /// Removes what need not be kept any more.
    fn tidy(&self, feed: &str) -> Result<(), Error> {
        let _deciding = lock(&self.deciding);
        // Another node of this directory may be going back to a version right now.
        let Some(alone) = self.shelf.hold_alone(feed)? else { return Ok(()) };
        let (row, _) = self.feed(feed)?;
        let newest = self.store().versions(feed, 0, self.config.versions_kept)?;
        let Some(oldest) = newest.last().map(|v| v.number) else { return Ok(()) };
        let mut keep = vec![row.version];
        keep.extend(self.rows_base(feed)?);
        let held = newest.iter().filter(|v: &&VersionRow| v.last.kind == EventKind::Held);
        keep.extend(held.map(|v| v.number));
        // What was in force stays to go back to, however many came after it and never were.
        let decided = self.store().events(&EventQuery {
            feed: Some(feed),
            kinds: &EventKind::DECIDING,
            newest_first: true,
            limit: self.config.versions_kept,
            ..EventQuery::default()
        })?;
        keep.extend(decided.iter().map(|e| e.version));
        let below = oldest.min(self.rows_pending_from(feed)?.unwrap_or(u64::MAX));
        self.shelf.prune(&alone, feed, below, &keep);
        self.store().forget_rejections(feed, below)
    }
}

pub(super) fn validator_mark(feed: &str) -> String {
    format!("validator:{feed}")
}

fn judgement(
    read: &ListRead,
    index: &Index,
    conflicts: u64,
    servers_known: bool,
    findings: Map<String, Value>,
) -> Judgement {
    Judgement {
        accepted: index.len() as u64,
        rejected: read.rejected,
        duplicates: read.duplicates,
        conflicts: read.conflicts + conflicts,
        not_evaluable: if servers_known { 0 } else { read.server_rules },
        findings: Value::Object(findings).to_string(),
    }
}

/// What a rule does in a feed of these settings.
fn word(settings: &FeedSettings, given: &Action) -> &'static str {
    match &settings.action {
        Override::Observe => "observe",
        action => action.of(given).name(),
    }
}

fn blast_json(blast: &Result<Blast, String>) -> Value {
    match blast {
        Ok(blast) => json!(blast),
        Err(why) => json!({"unknown": why}),
    }
}
