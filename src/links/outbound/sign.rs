//! Signing for whoever asks through the API: a conversion, recorded before it is answered.

use serde_json::json;

use crate::{
    clock::Timestamp,
    config::FullPolicy,
    links::{By, Error, Links, NotConverted, Refusal, keep::refused},
    record::{Conversion, RecordId},
    spool::Kept,
};

/// A target to be signed.
#[derive(Clone, Debug)]
pub struct SignRequest {
    /// The target as submitted.
    pub target: String,
    /// When the signature ends; [`Timestamp::ZERO`] for never. Whole seconds count.
    pub expires: Timestamp,
    /// The host of ours at which it counts; empty for all.
    pub domain: String,
    /// For whom.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// A target signed, and the record of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The query of `/go`.
    pub query: String,
    /// The key's id.
    pub key: String,
    /// The target in its WHATWG serialisation: what `Location` will say.
    pub target: String,
    /// Its host.
    pub target_host: String,
    /// The record.
    pub record: RecordId,
}

impl Links {
    /// Signs a target under the newest key. What is refused of a link's target is refused here, too.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// See [`NotConverted`]; [`Error::NoKey`] without a key.
    pub fn sign(&self, ask: &SignRequest, by: &By) -> Result<Signed, NotConverted> {
        if !by.actor.acts_for(&ask.owner) {
            return Err(NotConverted::Scope);
        }
        let target = self.target(&ask.target)?;
        self.refuse_domain(&ask.domain)?;
        let expires = Timestamp::from_secs(ask.expires.secs());
        self.refuse_past(expires)?;
        // What was submitted is signed; both are read the same.
        let seal = self.outbound.sign(&target.submitted, expires, &ask.domain);
        let seal = seal.ok_or(Error::NoKey)?;
        if seal.query.len() > self.query_bytes_max {
            return Err(Refusal::TooLong.into());
        }
        let settings = json!({ "key": seal.key }).to_string();
        let row = Conversion {
            code: "",
            revision: 0,
            operation: "create",
            target_submitted: &target.submitted,
            target: &target.serialised,
            target_host: &target.host,
            target_registrable_domain: &target.registrable_domain,
            actor: &by.actor.name,
            owner: &ask.owner,
            reason: &ask.reason,
            client: by.client,
            client_key: "",
            expires,
            verification: "not_evaluated",
            psl_version: self.suffixes.version(),
            flow: self.lane.new_flow(),
            service: "outbound",
            domain: &ask.domain,
            state: "enabled",
            settings: &settings,
            previous: "",
        };
        let Kept::Recorded(record) = self.lane.append(&row, FullPolicy::Refuse).map_err(refused)?
        else {
            return Err(Error::Full.into());
        };
        self.metrics.gateway.conversions.increment(1);
        let (target, target_host) = (target.serialised, target.host);
        Ok(Signed { query: seal.query, key: seal.key, target, target_host, record })
    }
}
