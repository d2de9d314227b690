//! Networks as regional registries have them (RFC 9083 §5.4): IP-07.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    clock::Timestamp,
    verify::{
        Check, Finding, Grade, Outcome, Severity, Unclear,
        evidence::{Bundle, Got, Question},
    },
};

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its handle.
    pub handle: String,
    /// Its name.
    pub name: String,
    /// Its country, in two letters.
    pub country: String,
    /// What kind of allocation it is.
    pub kind: String,
    /// Its first address and its last.
    pub range: (IpAddr, IpAddr),
    /// Its statuses.
    pub statuses: Vec<String>,
}

/// Why a body tells nothing about the network of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It is no network.
    #[error("no network object")]
    NotANetwork,
    /// The address is not in it.
    #[error("about another network")]
    Another,
}

/// The network of `address` in a response.
///
/// # Errors
/// When it is none, or another.
pub fn read(body: &[u8], address: IpAddr) -> Result<Network, BadNetwork> {
    let json: Value = serde_json::from_slice(body).map_err(|_| BadNetwork::NotANetwork)?;
    if json["objectClassName"] != "ip network" {
        return Err(BadNetwork::NotANetwork);
    }
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let end = |name: &str| text(name).parse::<IpAddr>().map_err(|_| BadNetwork::NotANetwork);
    let range = (end("startAddress")?, end("endAddress")?);
    let is_within = range.0.is_ipv4() == address.is_ipv4()
        && range.1.is_ipv4() == address.is_ipv4()
        && (range.0..=range.1).contains(&address);
    if !is_within {
        return Err(BadNetwork::Another);
    }
    let statuses = json["status"].as_array().into_iter().flatten();
    Ok(Network {
        handle: text("handle"),
        name: text("name"),
        country: text("country"),
        kind: text("type"),
        range,
        statuses: statuses.filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

/// IP-07, for each address that was asked about, as of `now`.
pub fn networks(bundle: &Bundle, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    for observation in &bundle.observations {
        let Question::Network { address: text } = &observation.question else { continue };
        let Ok(address) = text.parse() else { continue };
        let by = &observation.source.name;
        let new = |outcome, says: String| Finding::new(Check::Ip07, outcome, says);
        let malformed = Outcome::Unknown(Unclear::Malformed);
        let finding = match &observation.got {
            Got::Fault(fault) => new(fault.outcome(), format!("{by} did not tell about {text}")),
            Got::Body { .. } if observation.expires < now => {
                let says = format!("what {by} said of {text} is old");
                new(Outcome::Unknown(Unclear::Stale), says)
            }
            Got::Body { .. } => match bundle.body(observation).map(|body| read(body, address)) {
                Some(Ok(network)) => judged(text, by, &network),
                _ => new(malformed, format!("what {by} said of {text} cannot be read")),
            },
        };
        findings.push(finding.arg("address", text.clone()).by(observation.evidence()));
    }
    findings
}

fn judged(address: &str, by: &str, network: &Network) -> Finding {
    let Network { handle, name, country, kind, range, statuses } = network;
    let shown = format!(
        "{address} is in {name} ({handle}), {}–{}, {country}, {kind}, says {by}",
        range.0, range.1
    );
    // RFC 9083 §10.2.2: what was given back, or kept from use.
    let is_nobodys = statuses.iter().any(|s| matches!(s.as_str(), "reserved" | "removed"));
    let finding = if is_nobodys {
        let says = format!("{shown}: {}", statuses.join(", "));
        Finding::new(Check::Ip07, Outcome::False, says).severity(Severity::Warning)
    } else {
        Finding::new(Check::Ip07, Outcome::True, shown)
    };
    finding
        .grade(Grade::A)
        .arg("handle", handle.clone())
        .arg("name", name.clone())
        .arg("country", country.clone())
        .arg("type", kind.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_network_of_the_address_is_evidence() {
        let body = |first: &str, last: &str, class: &str| {
            json!({ "objectClassName": class, "startAddress": first, "endAddress": last })
                .to_string()
        };
        let check = |body: &str, address: &str, expected: Option<BadNetwork>| {
            let found = read(body.as_bytes(), address.parse().unwrap());
            assert_eq!(found.err(), expected, "{body} {address}");
        };
        let net = body("5.6.0.0", "5.6.255.255", "ip network");
        check(&net, "5.6.0.0", None);
        check(&net, "5.6.255.255", None);
        check(&net, "5.7.0.0", Some(BadNetwork::Another));
        check(&net, "::5.6.0.1", Some(BadNetwork::Another));
        check(&body("5.6.0.0", "x", "ip network"), "5.6.0.1", Some(BadNetwork::NotANetwork));
        check(&body("5.6.0.0", "5.6.0.9", "domain"), "5.6.0.1", Some(BadNetwork::NotANetwork));
        check("[", "5.6.0.1", Some(BadNetwork::NotANetwork));
    }
}
