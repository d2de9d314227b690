//! `[[verify.vantages]]`: other places that are asked what they see.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Another place: a resolver, or another tracegate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vantage {
    /// What it is called in evidence.
    pub name: String,
    /// What runs there: two implementations at least have to agree.
    pub software: String,
    /// The address and port of a resolver.
    pub resolver: Option<SocketAddr>,
    /// The API of another tracegate.
    pub node: Option<String>,
    /// A file with a token of that one.
    pub token_file: Option<PathBuf>,
    /// Authorities that its certificate is held to, in PEM; the system's when absent.
    pub ca_file: Option<PathBuf>,
}
