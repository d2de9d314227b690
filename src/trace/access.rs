//! Every look at the records is itself a record (调阅), written before its page is sent.
//!
//! One row per page: who asked, from where, in which role, for which case, what, how it ended, and
//! the digest of the page's bytes. Looks that were refused, that failed, and those whose caller
//! went away are written too. What cannot be recorded is not shown.

use std::net::SocketAddr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Error, Sight, TEXT_BYTES_MAX};
use crate::{
    config::FullPolicy,
    record::{Access, capped},
    spool::SharedLane,
};

/// The longest case number, in bytes.
const CASE_BYTES_MAX: usize = 256;

/// The longest purpose, in bytes.
const PURPOSE_BYTES_MAX: usize = 1_024;

/// The longest actor kept, in bytes.
const ACTOR_BYTES_MAX: usize = 256;

/// Who looks, and why.
#[derive(Clone, Debug)]
pub struct Look {
    /// The name of the token.
    pub actor: String,
    /// The name of its role; one that is not in the table of `persons` may nothing.
    pub role: &'static str,
    /// Who connected.
    pub peer: SocketAddr,
    /// The case number given; empty for none.
    pub case_number: String,
    /// The purpose given; empty for none.
    pub purpose: String,
}

impl Look {
    /// What this look may see; see the table in [`super::persons`].
    ///
    /// # Errors
    /// When the role may not ask at all, or case or purpose are too long to keep.
    pub(super) fn sight(&self) -> Result<Sight, Error> {
        if self.case_number.len() > CASE_BYTES_MAX || self.purpose.len() > PURPOSE_BYTES_MAX {
            return Err(Error::Detail);
        }
        let reason = !self.case_number.trim().is_empty() && !self.purpose.trim().is_empty();
        match self.role {
            "operator" | "investigator" if reason => Ok(Sight::Persons),
            "operator" | "investigator" | "auditor" => Ok(Sight::Things),
            _ => Err(Error::Role),
        }
    }
}

/// A question as kept: whole but for what is longer than any question may be.
#[derive(Serialize)]
pub(super) struct Asked<'a> {
    pub(super) text: &'a str,
    pub(super) kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<&'a str>,
}

impl Asked<'_> {
    fn text(&self) -> String {
        let cut = |s: &'_ str| capped(s, TEXT_BYTES_MAX).to_owned();
        let (from, to, cursor) = (self.from.map(cut), self.to.map(cut), self.cursor.map(cut));
        let (text, kind) = (cut(self.text), self.kind.map(cut));
        let whole = Asked {
            text: &text,
            kind: kind.as_deref(),
            from: from.as_deref(),
            to: to.as_deref(),
            cursor: cursor.as_deref(),
        };
        // Strings alone always serialise.
        serde_json::to_string(&whole).unwrap_or_default()
    }
}

/// A look that has begun. Dropped without an end, it is recorded as failed: its caller went away.
pub(super) struct Begun<'a> {
    lane: &'a SharedLane,
    look: &'a Look,
    question: String,
    ended: bool,
}

impl<'a> Begun<'a> {
    pub(super) fn new(lane: &'a SharedLane, look: &'a Look, asked: &Asked<'_>) -> Self {
        Self { lane, look, question: asked.text(), ended: false }
    }

    /// Names the kind once it is known.
    pub(super) fn asks(&mut self, asked: &Asked<'_>) {
        self.question = asked.text();
    }

    /// Records a page about to be sent.
    ///
    /// # Errors
    /// [`Error::NotRecorded`]: the page must not be sent.
    pub(super) async fn answered(mut self, page: &[u8], rows: u64) -> Result<(), Error> {
        self.ended = true;
        let digest = Sha256::digest(page).into();
        let row = self.row("answered", rows, digest);
        self.lane.append_async(&row, FullPolicy::Refuse).await.map_err(|_| Error::NotRecorded)?;
        Ok(())
    }

    /// Records that nothing is shown.
    pub(super) async fn unanswered(mut self, error: Error) -> Error {
        self.ended = true;
        let outcome = if error.is_refusal() { "refused" } else { "failed" };
        let row = self.row(outcome, 0, [0; 32]);
        match self.lane.append_async(&row, FullPolicy::Refuse).await {
            Ok(_) => error,
            Err(_) => Error::NotRecorded,
        }
    }

    fn row(&self, outcome: &'static str, rows: u64, digest: [u8; 32]) -> Access<'_> {
        Access {
            actor: capped(&self.look.actor, ACTOR_BYTES_MAX),
            peer: self.look.peer,
            role: self.look.role,
            case_number: capped(&self.look.case_number, CASE_BYTES_MAX),
            purpose: capped(&self.look.purpose, PURPOSE_BYTES_MAX),
            question: &self.question,
            outcome,
            rows,
            digest,
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let row = self.row("failed", 0, [0; 32]);
        if self.lane.append(&row, FullPolicy::Refuse).is_err() {
            tracing::warn!("a look whose caller went away could not be recorded");
        }
    }
}
