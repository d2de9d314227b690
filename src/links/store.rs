//! What any database of links must do. `tests/it/links_conformance.rs` runs against each.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Error, Freshness, LinkSettings, WalkStore};
use crate::{
    clock::Timestamp,
    record::{LaneId, SchemaId},
    sql::Any,
};

/// Whether a link may be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum State {
    /// It may.
    Enabled,
    /// It may not, until someone enables it.
    Disabled,
    /// Its end has come.
    Expired,
}

impl State {
    /// The state's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled, Self::Expired].into_iter().find(|s| s.name() == name)
    }
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Operation {
    /// Made the link.
    Create,
    /// Changed something else than its state.
    Edit,
    /// Stopped it.
    Disable,
    /// Let it go on.
    Enable,
    /// Its end had come.
    Expire,
}

impl Operation {
    /// The operation's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Expire => "expire",
        }
    }

    /// The operation of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Create, Self::Edit, Self::Disable, Self::Enable, Self::Expire];
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
    /// The host it is served at; empty for every host of ours.
    pub domain: String,
    /// What else is set.
    pub settings: LinkSettings,
    /// The request that made it, so that the same one is known again; empty without. No two
    /// revisions have the same.
    pub request: String,
}

impl Revision {
    /// Whether the link has ended by `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let past = self.expires != Timestamp::ZERO && self.expires <= now;
        past || self.state == State::Expired
    }
}

/// A number that is the same for the same owner, domain and target, and never 0.
pub(super) fn alike(owner: &str, domain: &str, target: &str) -> i64 {
    let mut hash = Sha256::new();
    for text in [owner, domain, target] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    i64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// Which links to list: the newest revision of each counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkQuery {
    /// Codes that sort after this one, by bytes.
    pub after: String,
    /// At most so many.
    pub limit: usize,
    /// Of this owner.
    pub owner: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Served at this host; empty for those served at every host of ours.
    pub domain: Option<String>,
    /// Leading to this host.
    pub target_host: Option<String>,
    /// Forwards, and not links.
    pub forwards: bool,
}

/// Keeps the records of revisions within their transaction.
pub trait Keep {
    /// Gives each of `accepted` a place in the spool and encodes its record: as many, in their
    /// order. Whatever was prepared is given up when this is dropped without [`Self::append`].
    ///
    /// # Errors
    /// When there is no place for all of them; none is changed then.
    fn prepare(&mut self, accepted: &[&Revision]) -> Result<Vec<OutboxRow>, Error>;

    /// Writes what was prepared to the spool, all or nothing.
    ///
    /// # Errors
    /// [`Error::Failed`] when they may or may not be kept; else none of them is.
    fn append(&mut self) -> Result<(), Error>;

    /// Writes nothing of what was prepared, and keeps its places free: the transaction that names
    /// them may have come true although its commit failed, and the next start would then put the
    /// records there.
    fn abandon(&mut self);
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
    /// Which person bears it; several tokens may be one person's.
    pub person: String,
    /// The name of its role.
    pub role: String,
    /// Whose links alone it is for; empty for everybody's.
    pub owner: String,
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
pub trait LinkStore: WalkStore {
    /// The newest revision of a link. Revisions become visible only when their record is kept.
    fn current(&self, code: &str) -> Result<Option<Revision>, Error>;

    /// Revisions of a link from number `from` on, oldest first, at most `limit`.
    fn revisions(&self, code: &str, from: u32, limit: usize) -> Result<Vec<Revision>, Error>;

    /// The newest revision of each link that `query` asks for, by code.
    fn list(&self, query: &LinkQuery) -> Result<Vec<Revision>, Error>;

    /// The revision that a request made.
    fn by_request(&self, request: &str) -> Result<Option<Revision>, Error>;

    /// The newest revisions of links of this owner, domain and target (as serialised), those made
    /// last first, at most `limit`.
    fn alike(
        &self,
        owner: &str,
        domain: &str,
        target: &str,
        limit: usize,
    ) -> Result<Vec<Revision>, Error>;

    /// The newest revisions that are enabled and whose end lies at or after `from` and not after
    /// `until`, by their end, at most `limit`. Where nodes share the database, its own clock must
    /// have come to the end as well: revisions are for all, and one node's clock may be wrong.
    fn due(&self, from: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Revision>, Error>;

    /// Takes at most `portion` of the visits of a link that may be followed `max` times: how many
    /// there were left to take. What was taken is never given again, whatever crashed in between.
    fn lease_visits(&self, code: &str, portion: u32, max: u32) -> Result<u32, Error>;

    /// How many links and forwards of `owner` may be followed, as far as `limit`.
    fn live(&self, owner: &str, limit: u64) -> Result<u64, Error>;

    /// When the newest revision of all was made; [`Timestamp::ZERO`] without any.
    fn newest(&self) -> Result<Timestamp, Error>;

    /// Writes revisions and their records in one transaction, durably: each that follows the
    /// newest of its code is written, and the others take none with them. Within the transaction
    /// the records of those written are prepared; after it they are appended; only then are the
    /// revisions shown to readers and the records forgotten. When that fails all of them are
    /// undone, and its error is returned; after [`Error::Failed`] from the append, which says that
    /// records may or may not be kept, all stay hidden for the next start to decide.
    ///
    /// A result for each, in their order: [`Error::Taken`] for a first revision of a code in use or
    /// spent,
    /// [`Error::Unknown`] for a later one of a code not in use, [`Error::Conflict`] when it does
    /// not follow the newest one, [`Error::Repeated`] when its request has made one before. `keep`
    /// sees none of these, and is not called at all when there is nothing else.
    ///
    /// # Errors
    /// Of the whole transaction: nothing was changed, except after [`Error::Failed`], whose
    /// outcome is unknown: only a restart helps, whatever is in the outbox then counts.
    fn revise(
        &self,
        revisions: &[Revision],
        keep: &mut dyn Keep,
    ) -> Result<Vec<Result<(), Error>>, Error>;

    /// Whether anything can be written: not after [`Error::Failed`], until a restart.
    fn takes_writes(&self) -> bool;

    /// How long what is in memory may be believed; none where nobody else changes links.
    fn freshness(&self) -> Option<Arc<Freshness>> {
        None
    }

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

    /// Keeps those of `codes` that no link here has from being taken for a new one, for ever.
    fn spend(&self, codes: &[&str]) -> Result<(), Error>;

    /// Keeps `value` under `name` for ever; whether the value kept is this one.
    fn pin(&self, name: &str, value: &[u8]) -> Result<bool, Error>;

    /// Runs `work` in one transaction, durably: what other parts keep beside the links.
    ///
    /// # Errors
    /// Those of `work`, which change nothing, and of the database.
    fn transact(
        &self,
        work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Runs `work`, which only reads. Each statement sees what is committed by then.
    ///
    /// # Errors
    /// Those of `work`, and of the database.
    fn look(&self, work: &mut dyn FnMut(&mut dyn Any) -> Result<(), Error>) -> Result<(), Error>;

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
