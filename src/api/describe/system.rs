//! Health, measures, this description, zones, tokens.

use super::{
    super::{
        certificates::Certificates,
        system::{Alive, Readiness, Zones},
        tokens::{NewToken, Secret, Tokens},
    },
    Operation,
    operation::Content,
    problems::NOT_FOUND,
};

pub(in crate::api) fn healthz() -> Operation {
    Operation::new("healthz", "The process answers").gives::<Alive>(200, "It does")
}

pub(in crate::api) fn readyz() -> Operation {
    Operation::new("readyz", "Every part is ready, or why not")
        .gives::<Readiness<'_>>(200, "Ready, or degraded")
        .gives::<Readiness<'_>>(503, "Not ready")
}

pub(in crate::api) fn metrics() -> Operation {
    Operation::new("metrics", "Measures in the Prometheus text format")
        .gives_other("The measures", &[("text/plain", Content::Text)])
}

pub(in crate::api) fn openapi() -> Operation {
    Operation::new("openapi", "This description")
        .gives::<std::collections::BTreeMap<String, serde_json::Value>>(200, "The description")
}

pub(in crate::api) fn reload_zones() -> Operation {
    Operation::new("reloadZones", "Load every zone anew; a bad one keeps its last good version")
        .gives::<Zones>(200, "What became of each")
}

pub(in crate::api) fn list_certificates() -> Operation {
    Operation::new("listCertificates", "How the gateway's certificates stand, host by host")
        .more("There are at most gateway.acme.hosts_max, and those that are configured.")
        .gives::<Certificates>(200, "The certificates of this node")
        .problems([(403, "out_of_scope")])
}

pub(in crate::api) fn list_tokens() -> Operation {
    Operation::new("listTokens", "Every token, without its secret")
        .more("There are at most api.tokens_max.")
        .gives::<Tokens<'_>>(200, "The tokens")
        .problems([(503, "control_away")])
}

pub(in crate::api) fn create_token() -> Operation {
    Operation::new("createToken", "Make a token; the answer shows its secret for the only time")
        .takes::<NewToken>()
        .gives::<Secret>(201, "The token")
        .problems([
            (409, "token_exists"),
            (409, "too_many_tokens"),
            (422, "expires_in_the_past"),
            (503, "control_away"),
        ])
}

pub(in crate::api) fn revoke_token() -> Operation {
    Operation::new("revokeToken", "End a token")
        .place("name", "The token's name")
        .gives_nothing("Ended")
        .problems([NOT_FOUND, (503, "control_away")])
}
