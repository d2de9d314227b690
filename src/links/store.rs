//! What any database of links must do. `tests/it/links_conformance.rs` runs against each.

use super::Error;
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId},
};

/// Whether a link may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It may.
    Enabled,
    /// It may not, until someone enables it.
    Disabled,
}

impl State {
    /// The state's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled].into_iter().find(|s| s.name() == name)
    }
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Made the link.
    Create,
    /// Changed its target or its end.
    Edit,
    /// Stopped it.
    Disable,
    /// Let it go on.
    Enable,
}

impl Operation {
    /// The operation's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Disable => "disable",
            Self::Enable => "enable",
        }
    }

    /// The operation of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Create, Self::Edit, Self::Disable, Self::Enable];
        all.into_iter().find(|o| o.name() == name)
    }
}

/// One state of a link. Revisions are written once and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The link's code.
    pub code: String,
    /// From 1, without holes.
    pub revision: u32,
    /// When it was made.
    pub ts: Timestamp,
    /// What made it.
    pub operation: Operation,
    /// The target byte for byte as submitted.
    pub target_submitted: String,
    /// The target in its WHATWG serialisation.
    pub target: String,
    /// The host of `target`.
    pub target_host: String,
    /// Its registrable domain.
    pub target_registrable_domain: String,
    /// Whether it may be followed.
    pub state: State,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Timestamp,
    /// The token that made it.
    pub actor: String,
    /// Whose link it is.
    pub owner: String,
    /// The reason given.
    pub reason: String,
    /// The public suffix list behind `target_registrable_domain`.
    pub psl_version: String,
}

impl Revision {
    /// Whether the link has ended by `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires != Timestamp::ZERO && self.expires <= now
    }
}

/// A conversion record on its way to the spool: its place and its bytes as encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The lane it lies in.
    pub lane: LaneId,
    /// Its number there.
    pub seq: u64,
    /// The columns of `bytes`.
    pub schema: SchemaId,
    /// The whole row, head included.
    pub bytes: Vec<u8>,
}

/// One token as stored. The secret is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Who bears it; unique among tokens that are not revoked.
    pub name: String,
    /// The name of its role.
    pub role: String,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; [`Timestamp::ZERO`] for never.
    pub expires: Timestamp,
    /// The token that made it.
    pub actor: String,
}

/// The control state of links and tokens, append-only. Every call may block on a disk.
pub trait LinkStore: Send + Sync + std::fmt::Debug {
    /// The newest revision of a link. Revisions become visible only when their record is kept.
    fn current(&self, code: &str) -> Result<Option<Revision>, Error>;

    /// Revisions of a link from number `from` on, oldest first, at most `limit`.
    fn revisions(&self, code: &str, from: u32, limit: usize) -> Result<Vec<Revision>, Error>;

    /// The newest revision of each link whose code sorts (by bytes) after `after`, at most `limit`.
    fn list_from(&self, after: &str, limit: usize) -> Result<Vec<Revision>, Error>;

    /// When the newest revision of all was made; [`Timestamp::ZERO`] without any.
    fn newest(&self) -> Result<Timestamp, Error>;

    /// Writes a revision and its record in one transaction, durably; then runs `append`; then
    /// shows the revision to readers and forgets the record. When `append` fails both are
    /// undone, and its error is returned; after [`Error::Failed`] from it, which says that the
    /// record may or may not be kept, both stay hidden for the next start to decide.
    ///
    /// # Errors
    /// [`Error::Taken`] for a first revision of a code in use, [`Error::Unknown`] for a later
    /// one of a code not in use, [`Error::Conflict`] when it does not follow the newest one. None
    /// of them runs `append`. [`Error::Failed`] after a write whose outcome is unknown: only a
    /// restart helps, whatever is in the outbox then counts.
    fn revise(
        &self,
        revision: &Revision,
        record: &OutboxRow,
        append: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Whether anything can be written: not after [`Error::Failed`], until a restart.
    fn takes_writes(&self) -> bool;

    /// Records written by [`Self::revise`] that may not be in the spool.
    fn outbox(&self) -> Result<Vec<OutboxRow>, Error>;

    /// Forgets records that are in the spool.
    fn forget(&self, records: &[(LaneId, u64)]) -> Result<(), Error>;

    /// Takes `count` sequence numbers for codes of `length`; the first of them. No number is
    /// given twice, whatever crashed in between.
    fn reserve(&self, length: u8, count: u64) -> Result<u64, Error>;

    /// Makes every number reserved from now on at least `next`.
    fn raise(&self, length: u8, next: u64) -> Result<(), Error>;

    /// Since when conversions may hold codes that this database does not know; none when
    /// everybody who may know some was asked.
    fn unlearned(&self) -> Result<Option<Timestamp>, Error>;

    /// Keeps that, durably.
    fn set_unlearned(&self, since: Option<Timestamp>) -> Result<(), Error>;

    /// Keeps `value` under `name` for ever; whether the value kept is this one.
    fn pin(&self, name: &str, value: &[u8]) -> Result<bool, Error>;

    /// Every token that is not revoked, by name.
    fn tokens(&self) -> Result<Vec<TokenRow>, Error>;

    /// Adds a token.
    ///
    /// # Errors
    /// [`Error::Taken`] when a token of that name is in use.
    fn add_token(&self, token: &TokenRow) -> Result<(), Error>;

    /// Revokes the token of this name; whether there was one.
    fn revoke_token(&self, name: &str, actor: &str, ts: Timestamp) -> Result<bool, Error>;
}
