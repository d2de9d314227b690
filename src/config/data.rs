//! `[verify.data]`: files about addresses.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ranges::{Limits, limits};

/// Files about addresses.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// What may be announced (RPKI): an export of Routinator or rpki-client.
    pub vrps_file: Option<PathBuf>,
    /// Who announces: MMDB, or text.
    pub origins_files: Vec<PathBuf>,
    /// To whom addresses were given: the extended statistics of regional registries.
    pub delegated_files: Vec<PathBuf>,
    /// Countries: MMDB, or text.
    pub countries_files: Vec<PathBuf>,
    /// What is on file (备案): `DOMAIN,NUMBER[,STATUS]`.
    pub icp_file: Option<PathBuf>,
    /// Whether a domain has to be on file.
    pub icp_required: bool,
    /// How often the files are looked at for changes, in seconds.
    pub reload_s: u64,
}

/// What the numbers may be.
pub(super) const LIMITS: &[Limits] = &[limits("verify.data.reload_s", 1, 86_400)];

impl Default for Data {
    fn default() -> Self {
        Self {
            vrps_file: None,
            origins_files: Vec::new(),
            delegated_files: Vec::new(),
            countries_files: Vec::new(),
            icp_file: None,
            icp_required: false,
            reload_s: 60,
        }
    }
}
