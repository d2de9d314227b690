//! Keeps verdicts: evidence first, then the row that rests on it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

use super::{
    Dossier, Verdict,
    evidence::{EvidenceId, Got, Kind},
    verifier::Occasion,
};
use crate::{
    clock::Timestamp,
    config::FullPolicy,
    record::{Evidence, Flow, PublicSuffixes, RecordId, Verification},
    spool::{Kept, Refused, SharedLane},
};

/// The same bytes are kept once in this time.
const AGAIN: Duration = Duration::from_secs(86_400);

/// How many digests are remembered as kept; beyond, some bytes are kept twice.
const REMEMBERED_MAX: usize = 65_536;

/// Keeps verdicts.
#[derive(Debug)]
pub(super) struct Keeper {
    verdicts: SharedLane,
    evidence: SharedLane,
    /// The version of the rules that make tiers of findings.
    policy_version: String,
    kept: Mutex<HashMap<EvidenceId, Timestamp>>,
}

/// What a verdict is about, beside its dossier.
pub(super) struct About<'a> {
    pub kind: &'static str,
    pub host: &'a str,
    pub registrable_domain: &'a str,
    pub code: &'a str,
    pub occasion: Occasion,
    pub flow: Flow,
}

impl Keeper {
    pub(super) fn new(verdicts: SharedLane, evidence: SharedLane, policy_version: String) -> Self {
        Self { verdicts, evidence, policy_version, kept: Mutex::default() }
    }

    /// Keeps what `dossier` rests on, the dossier, and the verdict.
    ///
    /// # Errors
    /// When there is no room: then no verdict was recorded.
    pub(super) async fn keep(
        &self,
        dossier: &Dossier,
        verdict: &Verdict,
        about: About<'_>,
        suffixes: &PublicSuffixes,
    ) -> Result<RecordId, Refused> {
        for observation in &dossier.bundle.observations {
            if let Got::Body { evidence, kind, .. } = observation.got
                && let Some(body) = dossier.bundle.body(observation)
            {
                self.body(evidence, kind, body, dossier.at).await?;
            }
        }
        let packed = dossier.packed();
        let id = EvidenceId::of(&packed);
        self.body(id, Kind::Dossier, &packed, dossier.at).await?;
        let mut evidence: Vec<String> =
            verdict.findings.iter().flat_map(|f| &f.evidence).map(ToString::to_string).collect();
        evidence.sort_unstable();
        evidence.dedup();
        let row = Verification {
            registrable_domain: about.registrable_domain,
            subject: &verdict.subject,
            kind: about.kind,
            overall: verdict.overall.name(),
            grid: &json(&verdict.grid),
            findings: &json(&verdict.findings),
            evidence: &evidence,
            policy_version: &self.policy_version,
            flow: about.flow,
            host: about.host,
            addresses: &dossier.addresses(),
            code: about.code,
            occasion: about.occasion.name(),
            rules_version: &dossier.rules_version,
            dossier: id.bytes(),
            valid_until: dossier.valid_until(),
            psl_version: if about.registrable_domain.is_empty() { "" } else { suffixes.version() },
        };
        match self.verdicts.append_async(&row, FullPolicy::Refuse).await? {
            Kept::Recorded(id) => Ok(id),
            Kept::Shed => Err(Refused::Full),
        }
    }

    async fn body(
        &self,
        id: EvidenceId,
        kind: Kind,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Refused> {
        if self.is_kept(id, now) {
            return Ok(());
        }
        let row = Evidence { digest: id.bytes(), form: kind.name(), body };
        self.evidence.append_async(&row, FullPolicy::Refuse).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= REMEMBERED_MAX {
            kept.clear();
        }
        kept.insert(id, now);
        Ok(())
    }

    fn is_kept(&self, id: EvidenceId, now: Timestamp) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&id).is_some_and(|at| now < at.saturating_add(AGAIN))
    }
}

/// What is serialised here has text for keys, and cannot fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
