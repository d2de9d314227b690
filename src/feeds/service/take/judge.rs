//! Reading and judging a version, and deciding by that whether it takes force.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    super::{
        super::{
            Error, FeedSpec, Rejection,
            events::EventKind,
            judge::{Case, Hold, holds},
            ledger::Entry,
            load::{ListRead, Reading, Unreadable},
            store::{Body, FeedRow, Judgement, NewVersion},
        },
        Feeds,
        aside::{Yields, aside},
        view::Changes,
        work::Stage,
    },
    Outcome, Took,
    weigh::blast_json,
};
use crate::policy::Index;

/// A version that another node received and has not judged for so long is judged here.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// A version that was read and judged.
struct Judged {
    index: Arc<Index>,
    judgement: Judgement,
    read_rejections: Vec<Rejection>,
    holds: Vec<Hold>,
}

impl Feeds {
    /// Reads and judges versions that were received and never judged: by a process that died here,
    /// or by another node that seems to be gone.
    pub(in crate::feeds::service) fn judge_left_over(
        self: &Arc<Self>,
        at_start: bool,
    ) -> Result<(), Error> {
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
    pub(super) fn judge(
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
    pub(super) fn rehearse_newest(&self, feed: &str) -> Result<Outcome, Error> {
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

    pub(super) fn rehearse(
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
