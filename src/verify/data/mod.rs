//! Sets of data about addresses, loaded from files of the operator's: origins that may announce a
//! prefix (RPKI), who announces it, to whom it was given, in which country it is said to be.
//!
//! A set is checked whole before it takes the place of the one in use; one that cannot be read changes
//! nothing, and is said. What was found of an address goes into the dossier, row by row, with the
//! digest of the set.

mod delegated;
mod icp;
mod lines;
mod load;
mod mmdb;
mod ranges;
mod vrps;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, verify::evidence::EvidenceId};

pub use icp::Filed;
pub use load::{BadSet, Data};
pub use vrps::{Validity, Vrp, validity};

/// A set that something was found in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The file's name.
    pub name: String,
    /// Its SHA-256.
    pub digest: EvidenceId,
    /// When it was made, where that is known; else when the file was written.
    pub made: Timestamp,
}

/// Who announces a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The prefix as it is announced; the look-up's, where the set has ranges.
    pub prefix: IpNet,
    /// The number of the autonomous system.
    pub asn: u32,
    /// Who says so.
    pub set: Set,
}

/// To whom a range was given, by a regional registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The registry: `apnic`.
    pub registry: String,
    /// `allocated`, `assigned`, `available`, `reserved`.
    pub status: String,
    /// The country, in two letters.
    pub country: String,
    /// Who says so.
    pub set: Set,
}

/// The country of an address, as a set has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Country {
    /// In two letters, upper case.
    pub code: String,
    /// Who says so.
    pub set: Set,
}

/// What sets say of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The address.
    pub address: IpAddr,
    /// Who announces it; none where no set was loaded.
    pub origins: Option<Vec<Origin>>,
    /// What may be announced that covers it (RFC 6811); none where no set was loaded.
    pub vrps: Option<Vec<Vrp>>,
    /// The set of those.
    pub vrps_of: Option<Set>,
    /// To whom it was given; none where no set was loaded.
    pub delegations: Option<Vec<Delegation>>,
    /// The countries by set.
    pub countries: Vec<Country>,
}
