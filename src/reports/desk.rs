//! What is done with reports: taken, looked up, decided, acted on, counted.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    Act, Category, Counts, Decision, Error, Forms, Kind, Person, Report, ReportStore, Standing,
    Step, is_number,
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    links::OutboxRow,
    metrics::Metrics,
    record::{self, Flow, LaneId, NodeName, PublicSuffixes},
    spool::{Recovery, Refused, SharedLane},
};

/// A longer subject is none, in bytes.
const SUBJECT_BYTES_MAX: usize = 2_048;

/// A report to be.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// What it is made of: see [`Forms`].
    pub nonce: [u8; 16],
    /// What is said.
    pub category: Category,
    /// What it is about.
    pub kind: Kind,
    /// The URL or host.
    pub subject: String,
    /// The host of it.
    pub host: String,
    /// The rule that stands against it; empty for none that is known.
    pub rule: String,
    /// The link; empty for none.
    pub code: String,
    /// What the claimant wrote.
    pub text: String,
    /// How to reach the claimant; empty for not at all.
    pub contact: String,
    /// Where the claimant connected from.
    pub client: SocketAddr,
    /// The feed whose rule the notice named; empty for none.
    pub feed: String,
    /// The notice's flow; zero for none.
    pub flow: Flow,
}

/// What a claimant is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number.
    pub number: String,
    /// The secret, which shows the state together with the number.
    pub secret: String,
    /// When it came.
    pub received: Timestamp,
    /// When it is decided at the latest.
    pub due: Timestamp,
}

/// An appeal to be opened.
#[derive(Clone, Debug)]
pub struct AppealAsked<'a> {
    /// The feed whose rule it is about; empty for every feed's.
    pub feed: &'a str,
    /// The rule, else the host that is blocked.
    pub what: &'a str,
    /// The report's number: who appeals, and why, stays with the report.
    pub number: &'a str,
}

/// Takes an appeal down where policy keeps them; its id, or why not. May block.
pub type OpenAppeal = Box<dyn Fn(&AppealAsked<'_>) -> Result<u64, Error> + Send + Sync>;

/// What a desk is made of.
pub struct ReportsOptions {
    /// The section `[gateway.reports]`.
    pub config: config::Reports,
    /// The database.
    pub store: Arc<dyn ReportStore>,
    /// The lane of reports.
    pub lane: SharedLane,
    /// This node.
    pub node: NodeName,
    /// The key of forms, numbers and secrets.
    pub key: [u8; 32],
    /// Opens appeals.
    pub open_appeal: OpenAppeal,
    /// For registrable domains.
    pub suffixes: Arc<PublicSuffixes>,
    /// The clock.
    pub clock: Clock,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// The desk.
pub struct Reports {
    parts: ReportsOptions,
    forms: Forms,
    /// Held by whoever takes a report.
    taking: Mutex<()>,
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").field("config", &self.parts.config).finish_non_exhaustive()
    }
}

impl Reports {
    /// Opens the desk.
    pub fn new(parts: ReportsOptions) -> Self {
        let forms = Forms::new(parts.key, Duration::from_secs(parts.config.form_valid_s));
        Self { forms, parts, taking: Mutex::default() }
    }

    /// What forms carry.
    pub const fn forms(&self) -> &Forms {
        &self.forms
    }

    /// The section `[gateway.reports]`.
    pub const fn config(&self) -> &config::Reports {
        &self.parts.config
    }

    /// The database.
    pub fn store(&self) -> &dyn ReportStore {
        &*self.parts.store
    }

    /// Whether it could be taken as it is.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::TooLong`].
    pub fn check(&self, new: &NewReport) -> Result<(), Error> {
        let config = &self.parts.config;
        for (what, text, max) in [
            ("subject", &new.subject, SUBJECT_BYTES_MAX),
            ("text", &new.text, config.text_bytes_max),
            ("contact", &new.contact, config.contact_bytes_max),
        ] {
            if text.len() > max {
                return Err(Error::TooLong(what, max));
            }
        }
        if new.category == Category::Appeal {
            for (what, text) in [("text", &new.text), ("contact", &new.contact)] {
                if text.trim().is_empty() {
                    return Err(Error::Missing(what));
                }
            }
        }
        Ok(())
    }

    /// Takes a report. The same nonce gets the same report again. Blocks.
    ///
    /// # Errors
    /// Those of [`Self::check`], [`Error::TooMany`], or when it cannot be kept.
    pub fn receive(&self, new: &NewReport) -> Result<Receipt, Error> {
        self.check(new)?;
        let config = &self.parts.config;
        let (number, secret) = (self.forms.number(&new.nonce), self.forms.secret(&new.nonce));
        // One at a time: a form that is sent twice at once is one report, and one appeal.
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.find(&number, &secret)? {
            let Report { received, due, .. } = known.report;
            return Ok(Receipt { number, secret, received, due });
        }
        let received = self.parts.clock.now();
        if self.parts.store.counts(received)?.open >= config.open_max as u64 {
            self.parts.metrics.gateway.reports_refused.increment(1);
            return Err(Error::TooMany(config.open_max));
        }
        let report = self.report(new, &number, &secret, received)?;
        let person =
            Person { contact: new.contact.clone(), text: new.text.clone(), client: new.client };
        let (host, appeal) = (report.host(), report.appeal_id());
        let row = row(&report, (&host, &appeal), "received", Some(&person), None);
        self.write(&row, |record| self.parts.store.add(&report, &person, record))?;
        self.parts.metrics.gateway.reports.increment(1);
        Ok(Receipt { number, secret, received, due: report.due })
    }

    fn report(
        &self,
        new: &NewReport,
        number: &str,
        secret: &str,
        received: Timestamp,
    ) -> Result<Report, Error> {
        let mut report = Report {
            id: 0,
            number: number.to_owned(),
            secret: Sha256::digest(secret).into(),
            received,
            due: received.saturating_add(Duration::from_secs(self.parts.config.decide_within_s)),
            category: new.category,
            kind: new.kind,
            subject: new.subject.clone(),
            code: new.code.clone(),
            registrable_domain: self.parts.suffixes.registrable_domain(&new.host).to_owned(),
            psl_version: self.parts.suffixes.version().to_owned(),
            flow: match new.flow {
                Flow(0) => self.parts.lane.new_flow(),
                flow => flow,
            },
            feed: new.feed.clone(),
            appeal_node: String::new(),
            appeal: 0,
        };
        if new.category == Category::Appeal {
            // What stands there without its report is seen and decided all the same.
            report.appeal = (self.parts.open_appeal)(&AppealAsked {
                feed: &new.feed,
                what: if new.rule.is_empty() { &new.host } else { &new.rule },
                number,
            })?;
            report.appeal_node = self.parts.node.to_string();
        }
        Ok(report)
    }

    /// The report of this number, for whoever has its secret. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn find(&self, number: &str, secret: &str) -> Result<Option<Standing>, Error> {
        if !is_number(number) {
            return Ok(None);
        }
        let found = self.parts.store.find(number)?;
        let digest: [u8; 32] = Sha256::digest(secret).into();
        Ok(found.filter(|s| bool::from(s.report.secret.ct_eq(&digest))))
    }

    /// The report of this number. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database fails.
    pub fn one(&self, number: &str) -> Result<Standing, Error> {
        self.parts.store.find(number)?.ok_or(Error::Unknown)
    }

    /// Writes that somebody decided (`acted = false`) or that it was done. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Conflict`], [`Error::TooLong`], or when it cannot be kept.
    pub fn step(&self, number: &str, acted: bool, by: &Decided) -> Result<Standing, Error> {
        let max = self.parts.config.text_bytes_max;
        for (what, text) in [("reason", &by.reason), ("answer", &by.answer)] {
            if text.len() > max {
                return Err(Error::TooLong(what, max));
            }
        }
        if by.reason.trim().is_empty() {
            return Err(Error::Missing("reason"));
        }
        let standing = self.one(number)?;
        let event = if acted { "acted" } else { "decided" };
        let step = Step {
            ts: self.parts.clock.now(),
            event,
            decision: by.decision,
            act: by.act,
            reason: by.reason.clone(),
            answer: by.answer.clone(),
            actor: by.actor.clone(),
        };
        let Standing { report, steps } = &standing;
        let (host, appeal) = (report.host(), report.appeal_id());
        let row = row(report, (&host, &appeal), event, None, Some(&step));
        self.write(&row, |record| self.parts.store.step(report.id, steps.len(), &step, record))?;
        if !acted {
            self.parts.metrics.gateway.reports_decided.increment(1);
        }
        self.one(number)
    }

    /// Counts those that wait, for whoever looks at the measures. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(&self) -> Result<Counts, Error> {
        let counts = self.parts.store.counts(self.parts.clock.now())?;
        let metrics = &self.parts.metrics.gateway;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let set = |gauge: &metrics::Gauge, n: u64| gauge.set(n as f64);
        set(&metrics.reports_open, counts.open);
        set(&metrics.reports_overdue, counts.overdue);
        Ok(counts)
    }

    /// A record and what it is of, together; then the record in the spool.
    fn write(
        &self,
        row: &record::Report<'_>,
        commit: impl FnOnce(&OutboxRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let prepared = self.parts.lane.prepare(row).map_err(refused)?;
        let promised = OutboxRow {
            lane: prepared.id.lane,
            seq: prepared.id.seq,
            schema: prepared.schema,
            bytes: prepared.bytes.clone(),
        };
        match commit(&promised) {
            Ok(()) => {}
            Err(Error::InDoubt) => {
                // Whatever becomes of the commit, its place is taken.
                prepared.append().map_err(refused)?;
                return Err(Error::InDoubt);
            }
            Err(e) => return Err(e),
        }
        let place = (promised.lane, promised.seq);
        // What cannot be appended stays in the outbox for the next start.
        prepared.append().map_err(refused)?;
        if let Err(error) = self.parts.store.forget(&[place]) {
            tracing::warn!(%error, "a kept record of a report stays in the outbox for now");
        }
        Ok(())
    }
}

/// A decision, or what was done upon one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// What is to be done, or was.
    pub act: Act,
    /// Why, for us.
    pub reason: String,
    /// What the claimant is told.
    pub answer: String,
    /// Who.
    pub actor: String,
}

fn row<'a>(
    report: &'a Report,
    (host, appeal): (&'a str, &'a str),
    event: &'static str,
    person: Option<&'a Person>,
    step: Option<&'a Step>,
) -> record::Report<'a> {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    record::Report {
        report: &report.number,
        event,
        category: report.category.name(),
        subject: &report.subject,
        code: &report.code,
        registrable_domain: &report.registrable_domain,
        text: person.map_or("", |p| &p.text),
        contact: person.map_or("", |p| &p.contact),
        decision: step.map_or("", |s| s.decision.name()),
        reason: step.map_or("", |s| &s.reason),
        actor: step.map_or("", |s| &s.actor),
        due: report.due,
        client: person.map_or(nobody, |p| p.client),
        client_key: "",
        psl_version: &report.psl_version,
        flow: report.flow,
        subject_kind: report.kind.name(),
        host,
        act: step.map_or("", |s| s.act.name()),
        answer: step.map_or("", |s| &s.answer),
        feed: &report.feed,
        appeal,
    }
}

/// Puts every record of the outbox into the spool, unless it is or was there; what
/// [`ReportStore::forget`] takes after [`Recovery::finish`]. Before anything is served.
///
/// # Errors
/// When the database cannot be read or the spool cannot take a record.
pub fn restore(
    store: &dyn ReportStore,
    recovery: &mut Recovery,
) -> Result<Vec<(LaneId, u64)>, Error> {
    let mut kept = Vec::new();
    for record in store.outbox()? {
        recovery.restore(record.lane, record.seq, record.schema, &record.bytes)?;
        kept.push((record.lane, record.seq));
    }
    Ok(kept)
}

const fn refused(why: Refused) -> Error {
    match why {
        Refused::Full | Refused::TooLarge => Error::Full,
        Refused::Failed => Error::Failed,
    }
}
