//! RDAP responses (RFC 9083), as they are kept.

use serde_json::Value;

use super::{Ds, Registrar, Registration, Said, status::Status, times};

/// Why a body tells nothing about the domain that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRdap {
    /// It is no JSON object.
    #[error("no JSON object")]
    NotJson,
    /// It is neither a domain nor the error that there is none.
    #[error("no domain object")]
    NotADomain,
    /// It is about another domain.
    #[error("about {0}")]
    Another(String),
}

/// What a response says of `domain`.
///
/// # Errors
/// When it says nothing about it: another object is never evidence.
pub fn read(body: &[u8], domain: &str) -> Result<Said, BadRdap> {
    let json: Value = serde_json::from_slice(body).map_err(|_| BadRdap::NotJson)?;
    if !json.is_object() {
        return Err(BadRdap::NotJson);
    }
    if json["objectClassName"].is_null() && json["errorCode"] == 404 {
        return Ok(Said::Absent);
    }
    if json["objectClassName"] != "domain" {
        return Err(BadRdap::NotADomain);
    }
    let name = name_of(&json);
    if name != domain {
        return Err(BadRdap::Another(name));
    }
    let mut found = Registration { domain: name, ..Registration::default() };
    statuses(&json, &mut found);
    events(&json, &mut found);
    for server in list(&json["nameservers"]) {
        if let Some(name) = server["ldhName"].as_str() {
            found.nameservers.insert(name.trim_end_matches('.').to_ascii_lowercase());
        }
    }
    secure_dns(&json["secureDNS"], &mut found);
    entities(&json, &mut found);
    found.redacted = list(&json["redacted"]).filter_map(|r| text(&r["name"])).collect();
    let notes = list(&json["notices"]).chain(list(&json["remarks"]));
    found.is_partial = notes.filter_map(|n| text(&n["type"]).or(text(&n["title"]))).any(|t| {
        let t = t.to_ascii_lowercase();
        t.contains("truncated due to") || t.contains("object truncated")
    });
    if !list(&json["rdapConformance"]).any(|c| c == "rdap_level_0") {
        found.flaws.insert("RdapConformanceMissing".into());
    }
    Ok(Said::Registered(Box::new(found)))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The name in A-labels, of whichever member has it.
fn name_of(json: &Value) -> String {
    let plain = |v: &Value| v.as_str().map(|t| t.trim_end_matches('.').to_lowercase());
    let ldh = plain(&json["ldhName"]);
    let unicode = || plain(&json["unicodeName"]).and_then(|t| idna::domain_to_ascii(&t).ok());
    ldh.or_else(unicode).unwrap_or_default()
}

fn statuses(json: &Value, found: &mut Registration) {
    for status in list(&json["status"]).filter_map(Value::as_str) {
        match Status::read(status) {
            Some(status) => {
                found.statuses.insert(status);
            }
            None => {
                found.unknown_statuses.insert(status.to_owned());
                found.flaws.insert("StatusValueUnknown".into());
            }
        }
    }
    let unicode = json["unicodeName"].as_str().and_then(|u| idna::domain_to_ascii(u).ok());
    if unicode.is_some_and(|u| u.trim_end_matches('.') != found.domain) {
        found.flaws.insert("LdhNameDoesNotMatchUnicode".into());
    }
}

fn events(json: &Value, found: &mut Registration) {
    for event in list(&json["events"]) {
        let Some(date) = event["eventDate"].as_str() else { continue };
        let Some(at) = times::rfc3339(date) else {
            found.flaws.insert("EventDateIsNotRfc3339".into());
            continue;
        };
        let place = match event["eventAction"].as_str().unwrap_or_default() {
            "registration" => &mut found.registered,
            "reregistration" => &mut found.reregistered,
            "transfer" => &mut found.transferred,
            "last changed" => &mut found.changed,
            "expiration" => &mut found.expires,
            "last update of RDAP database" => &mut found.as_of,
            _ => continue,
        };
        *place = Some(place.map_or(at, |there| there.max(at)));
    }
}

fn secure_dns(secure: &Value, found: &mut Registration) {
    found.is_signed = secure["delegationSigned"].as_bool();
    let one = |d: &Value| {
        let number = |name: &str| d[name].as_u64();
        Some(Ds {
            key_tag: number("keyTag")?.try_into().ok()?,
            algorithm: number("algorithm")?.try_into().ok()?,
            digest_type: number("digestType")?.try_into().ok()?,
            digest: d["digest"].as_str()?.to_ascii_lowercase(),
        })
    };
    found.ds = match (secure["dsData"].as_array(), found.is_signed) {
        (Some(all), _) => Some(all.iter().filter_map(one).collect()),
        (None, Some(false)) => Some(Default::default()),
        (None, _) => None,
    };
}

fn entities(json: &Value, found: &mut Registration) {
    for entity in list(&json["entities"]) {
        let is = |role: &str| list(&entity["roles"]).any(|r| r == role);
        if is("registrar") {
            let id = list(&entity["publicIds"]).find(|p| p["type"] == "IANA Registrar ID");
            let id = id.and_then(|p| match &p["identifier"] {
                Value::String(text) => text.parse().ok(),
                number => number.as_u64().and_then(|n| n.try_into().ok()),
            });
            let name = entity["name"].as_str().unwrap_or_default().to_owned();
            found.registrar = Some(Registrar { name, iana_id: id });
        }
        if is("registrant")
            && let Some(holder) = entity["holder"].as_object()
        {
            let pairs = holder.iter().filter_map(|(k, v)| Some((k.clone(), text(v)?)));
            found.registrant.extend(pairs);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: &Value, expected: Result<&str, BadRdap>) {
        let found = read(body.to_string().as_bytes(), "example.com").map(|said| match said {
            Said::Registered(r) => r.domain,
            other => format!("{other:?}"),
        });
        assert_eq!(found.as_deref(), expected.as_ref().map(|t| *t), "{body}");
    }

    #[test]
    fn only_what_is_about_the_domain_is_evidence() {
        let domain = |name: &str| json!({ "objectClassName": "domain", "ldhName": name });
        check(&domain("EXAMPLE.COM."), Ok("example.com"));
        check(&domain("example.net"), Err(BadRdap::Another("example.net".into())));
        check(
            &json!({ "objectClassName": "nameserver", "ldhName": "example.com" }),
            Err(BadRdap::NotADomain),
        );
        check(&json!({ "errorCode": 404, "title": "not found" }), Ok("Absent"));
        check(&json!({ "errorCode": 500 }), Err(BadRdap::NotADomain));
        check(&json!([]), Err(BadRdap::NotJson));
    }
}
