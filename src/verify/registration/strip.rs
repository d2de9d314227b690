//! Persons are taken out of what registries say before it is kept: what stays of a holder is the
//! kind, the country, and digests by a key of our own, which tell whether a declared holder is the
//! one that the registry has, and nothing else.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// The members of a domain that are kept as they are (RFC 9083 §5.3).
const KEPT: [&str; 8] = [
    "objectClassName",
    "ldhName",
    "unicodeName",
    "handle",
    "status",
    "rdapConformance",
    "errorCode",
    "port43",
];

/// The members of a network that are kept (RFC 9083 §5.4).
const NETWORK: [&str; 11] = [
    "objectClassName",
    "handle",
    "startAddress",
    "endAddress",
    "ipVersion",
    "name",
    "type",
    "country",
    "parentHandle",
    "status",
    "rdapConformance",
];

/// The most items of a list that are kept.
const ITEMS_MAX: usize = 256;

/// Makes digests of what is about persons.
#[derive(Clone)]
pub struct Stripper {
    key: [u8; 32],
}

impl std::fmt::Debug for Stripper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stripper")
    }
}

/// An RDAP response that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON object")]
pub struct NotJson;

impl Stripper {
    /// One that makes digests by `key`.
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The digest of a value about a person, whatever its case and spaces.
    pub fn digest(&self, value: &str) -> String {
        let plain = value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        self.mac(plain.as_bytes())
    }

    fn mac(&self, bytes: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(bytes);
        hex::encode(mac.finalize().into_bytes())
    }

    /// An RDAP response without persons: the members that checks look at, and the digest of what
    /// came.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn rdap(&self, body: &[u8]) -> Result<Vec<u8>, NotJson> {
        let Ok(Value::Object(came)) = serde_json::from_slice(body) else { return Err(NotJson) };
        let mut kept = Map::new();
        for name in KEPT {
            if let Some(value) = came.get(name) {
                kept.insert(name.to_owned(), plain(value));
            }
        }
        let list = |name: &str| came.get(name).and_then(Value::as_array).into_iter().flatten();
        let each = |name: &str, members: &[&str]| -> Vec<Value> {
            list(name).take(ITEMS_MAX).map(|item| only(item, members)).collect()
        };
        kept.insert("events".into(), each("events", &["eventAction", "eventDate"]).into());
        kept.insert("nameservers".into(), each("nameservers", &["ldhName"]).into());
        // What a notice says may name somebody; what it is about may be that something was cut.
        kept.insert("notices".into(), each("notices", &["title", "type"]).into());
        kept.insert("remarks".into(), each("remarks", &["title", "type"]).into());
        kept.insert("redacted".into(), list("redacted").take(ITEMS_MAX).map(redaction).collect());
        if let Some(secure) = came.get("secureDNS") {
            kept.insert("secureDNS".into(), secure_dns(secure));
        }
        let entities = list("entities").take(ITEMS_MAX).map(|e| self.entity(e)).collect();
        kept.insert("entities".into(), entities);
        let original = json!({ "bytes": body.len(), "hmac": self.mac(body) });
        kept.insert("tracegate_original".into(), original);
        // Text for keys: it can be written.
        Ok(serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// An RDAP response about a network, without whoever is named in it.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn network(&self, body: &[u8]) -> Result<Vec<u8>, NotJson> {
        let Ok(Value::Object(came)) = serde_json::from_slice(body) else { return Err(NotJson) };
        let members = NETWORK.iter().filter_map(|name| Some((*name, came.get(*name)?)));
        let mut kept: Map<String, Value> =
            members.map(|(name, value)| (name.to_owned(), plain(value))).collect();
        let original = json!({ "bytes": body.len(), "hmac": self.mac(body) });
        kept.insert("tracegate_original".into(), original);
        // Text for keys: it can be written.
        Ok(serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// Registrars are known by name; of others stays what they are.
    fn entity(&self, entity: &Value) -> Value {
        let roles: Vec<&str> = entity["roles"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .take(ITEMS_MAX)
            .collect();
        let mut kept = Map::new();
        kept.insert("roles".into(), roles.clone().into());
        if roles.contains(&"registrar") {
            let ids = entity["publicIds"].as_array().into_iter().flatten().take(ITEMS_MAX);
            let ids = ids.map(|id| only(id, &["type", "identifier"])).collect();
            kept.insert("publicIds".into(), ids);
            kept.insert("name".into(), card(entity, "fn").into());
        }
        if roles.contains(&"registrant") {
            let mut holder = Map::new();
            for (member, property) in [("name", "fn"), ("organization", "org"), ("email", "email")]
            {
                let value = card(entity, property);
                if !value.trim().is_empty() {
                    holder.insert(format!("{member}_digest"), self.digest(&value).into());
                }
            }
            for (member, value) in [("kind", card(entity, "kind")), ("country", country(entity))] {
                if !value.is_empty() && value.len() <= 32 {
                    holder.insert(member.to_owned(), value.into());
                }
            }
            kept.insert("holder".into(), holder.into());
        }
        kept.into()
    }
}

/// Texts, numbers and lists of texts; what lies deeper is nothing that is looked at.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            items.iter().filter(|i| i.is_string()).take(ITEMS_MAX).cloned().collect()
        }
        Value::Object(_) => Value::Null,
        other => other.clone(),
    }
}

fn only(item: &Value, members: &[&str]) -> Value {
    let pairs = members.iter().filter_map(|m| Some(((*m).to_owned(), item.get(*m)?)));
    pairs.filter(|(_, v)| v.is_string()).map(|(m, v)| (m, v.clone())).collect::<Map<_, _>>().into()
}

fn redaction(item: &Value) -> Value {
    let name = &item["name"];
    let name = if name["description"].is_string() { &name["description"] } else { &name["type"] };
    json!({ "name": plain(name), "method": plain(&item["method"]) })
}

fn secure_dns(secure: &Value) -> Value {
    let members = ["keyTag", "algorithm", "digestType", "digest"];
    let ds = secure["dsData"].as_array().map(|all| -> Vec<Value> {
        let one = |d: &Value| {
            members.iter().map(|m| ((*m).to_owned(), plain(&d[*m]))).collect::<Map<_, _>>().into()
        };
        all.iter().take(ITEMS_MAX).map(one).collect()
    });
    let mut kept = Map::new();
    for member in ["delegationSigned", "zoneSigned"] {
        if let Some(Value::Bool(b)) = secure.get(member) {
            kept.insert(member.to_owned(), (*b).into());
        }
    }
    if let Some(ds) = ds {
        kept.insert("dsData".into(), ds.into());
    }
    kept.into()
}

/// The first value of a property of a jCard (RFC 7095), as text.
fn card(entity: &Value, property: &str) -> String {
    let properties = entity["vcardArray"][1].as_array().into_iter().flatten();
    let value = properties.into_iter().find(|p| p[0] == property).map(|p| &p[3]);
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// The country of an address: its code (RFC 8605) or, without one, its name.
fn country(entity: &Value) -> String {
    let properties = entity["vcardArray"][1].as_array().into_iter().flatten();
    let Some(address) = properties.into_iter().find(|p| p[0] == "adr") else {
        return String::new();
    };
    match address[1]["cc"].as_str() {
        Some(code) => code.to_owned(),
        None => address[3][6].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_stays() {
        let stripper = Stripper::new([7; 32]);
        let came = json!({
            "objectClassName": "domain", "ldhName": "EXAMPLE.com", "status": ["active"],
            "events": [{ "eventAction": "registration", "eventDate": "2020-01-01T00:00:00Z",
                         "eventActor": "Jane Doe" }],
            "remarks": [{ "title": "object truncated due to load", "description": ["Jane Doe"] }],
            "entities": [
                { "roles": ["registrar"], "publicIds": [{ "type": "IANA Registrar ID", "identifier": "292" }],
                  "vcardArray": ["vcard", [["fn", {}, "text", "MarkMonitor Inc."]]] },
                { "roles": ["registrant"], "handle": "JD-1", "vcardArray": ["vcard", [
                    ["fn", {}, "text", "Jane  Doe"], ["email", {}, "text", "jane@example.com"],
                    ["kind", {}, "text", "individual"],
                    ["adr", { "cc": "CN" }, "text", ["", "", "1 Street", "", "", "", ""]]]] },
                { "roles": ["technical"], "vcardArray": ["vcard", [["fn", {}, "text", "Jane Doe"]]] },
            ],
        });
        let kept = stripper.rdap(came.to_string().as_bytes()).unwrap();
        let text = String::from_utf8(kept).unwrap();
        for person in ["Jane", "jane@", "JD-1", "Street"] {
            assert!(!text.contains(person), "{person}: {text}");
        }
        let kept: Value = serde_json::from_str(&text).unwrap();
        let holder = &kept["entities"][1]["holder"];
        assert_eq!(holder["name_digest"], stripper.digest("jane doe"));
        assert_eq!((&holder["kind"], &holder["country"]), (&json!("individual"), &json!("CN")));
        assert_eq!(kept["entities"][0]["name"], "MarkMonitor Inc.");
        assert_ne!(Stripper::new([8; 32]).digest("jane doe"), stripper.digest("jane doe"));
        assert!(stripper.rdap(b"[]").is_err());
    }
}
