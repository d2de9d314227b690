//! Registration (域名注册信息): what its registry says of a domain. Reading and judging, without
//! asking.
//!
//! RDAP (RFC 9083) and WHOIS (RFC 3912) are read into one [`Registration`]. Persons are taken out
//! before anything is kept ([`strip`]): what is left of a registrant is what kind it is, its
//! country, and digests by a key of our own.

pub mod bootstrap;
mod checks;
mod grammar;
mod network;
mod rdap;
mod status;
pub mod strip;
mod times;
pub mod whois;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::status::Status;
use super::{
    Grade,
    evidence::{Bundle, EvidenceId, Got, Kind, Question},
    outcome::{Outcome, Unclear},
};
use crate::clock::Timestamp;

pub use checks::{Facts, registration};
pub use network::{BadNetwork, Network, networks, read as read_network};
pub use rdap::read as read_rdap;

/// What a registry says of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// It is there.
    Registered(Box<Registration>),
    /// It is not.
    Absent,
    /// Nobody made for this registry's words has read them, and they seem to say that it is not.
    Perhaps,
}

/// A domain as its registry has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The domain, in A-labels.
    pub domain: String,
    /// Its statuses.
    pub statuses: BTreeSet<Status>,
    /// Statuses that nobody knows.
    pub unknown_statuses: BTreeSet<String>,
    /// When it was registered.
    pub registered: Option<Timestamp>,
    /// When it was registered again after it had been deleted.
    pub reregistered: Option<Timestamp>,
    /// When it last went to another registrar.
    pub transferred: Option<Timestamp>,
    /// When it was last changed.
    pub changed: Option<Timestamp>,
    /// Through when it is registered.
    pub expires: Option<Timestamp>,
    /// As of when the registry says this.
    pub as_of: Option<Timestamp>,
    /// Who registered it on behalf of its holder.
    pub registrar: Option<Registrar>,
    /// Its name servers, in lower case.
    pub nameservers: BTreeSet<String>,
    /// Its DS records; none where the source does not tell.
    pub ds: Option<BTreeSet<Ds>>,
    /// Whether it says that the delegation is signed.
    pub is_signed: Option<bool>,
    /// What is withheld, by the names of RFC 9537 or the words of the source.
    pub redacted: BTreeSet<String>,
    /// What is left of its holder.
    pub registrant: BTreeMap<String, String>,
    /// Where it is not as the standard wants it.
    pub flaws: BTreeSet<String>,
    /// Whether the source says that it is not whole.
    pub is_partial: bool,
}

/// Who registers on behalf of others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrar {
    /// Its name.
    pub name: String,
    /// Its number at IANA.
    pub iana_id: Option<u32>,
}

/// A DS record (RFC 4034 §5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ds {
    /// The tag of the key.
    pub key_tag: u16,
    /// The algorithm of the key.
    pub algorithm: u8,
    /// The type of the digest.
    pub digest_type: u8,
    /// The digest, in lower case hexadecimal digits.
    pub digest: String,
}

/// The best that sources said of a domain.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it says, or why nothing is known.
    pub said: Result<Said, Outcome>,
    /// By what authority.
    pub grade: Grade,
    /// Who said it.
    pub source: String,
    /// When.
    pub at: Timestamp,
    /// The body.
    pub evidence: Option<EvidenceId>,
}

/// What registries said of `domain`, the best first: fresh before stale, RDAP before WHOIS.
pub fn heard(bundle: &Bundle, domain: &str, now: Timestamp) -> Vec<Heard> {
    let mut found: Vec<Heard> = Vec::new();
    for observation in &bundle.observations {
        let Question::Domain { name } = &observation.question else { continue };
        if name != domain {
            continue;
        }
        let malformed = Outcome::Unknown(Unclear::Malformed);
        let (said, grade) = match &observation.got {
            Got::Fault(fault) => (Err(fault.outcome()), Grade::U),
            Got::Body { .. } if observation.expires < now => {
                (Err(Outcome::Unknown(Unclear::Stale)), Grade::U)
            }
            Got::Body { kind, .. } => match (bundle.body(observation), kind) {
                (Some(body), Kind::RdapJson) => {
                    (rdap::read(body, domain).map_err(|_| malformed), Grade::A)
                }
                (Some(body), Kind::WhoisText) => match whois::read(body, domain) {
                    Ok((said, grade)) => (Ok(said), grade),
                    Err(_) => (Err(malformed), Grade::U),
                },
                _ => (Err(malformed), Grade::U),
            },
        };
        found.push(Heard {
            grade: if said.is_ok() { grade } else { Grade::U },
            said,
            source: format!("{} ({})", observation.source.name, observation.source.endpoint),
            at: observation.at,
            evidence: observation.evidence(),
        });
    }
    // What was asked in vain now says more than what was heard long ago.
    found.sort_by_key(|h| (h.said.is_err(), h.said.is_err() && h.evidence.is_some(), h.grade));
    found
}
