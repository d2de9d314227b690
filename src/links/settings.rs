//! What is set of a link besides its target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Revision;
use crate::clock::Timestamp;

/// The status of a jump unless its owner wants another: 302, which nobody keeps.
pub const STATUS: u16 = 302;

/// Statuses a link may be answered with (RFC 9110 §15.4). All of them are sent with `no-store`.
pub const STATUSES: [u16; 4] = [301, 302, 307, 308];

/// How, when and under which reference the owner's real name was verified. Never who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["how", "when", "reference"]))]
pub struct OwnerVerification {
    /// By what means, such as `id_card` or `business_licence`.
    pub how: String,
    /// When.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub when: Timestamp,
    /// Where whoever verified it keeps it.
    pub reference: String,
    /// The ICP number of the owner's site (备案号).
    pub icp: String,
}

/// What the public may be told of why a link was stopped; what it says is wording of the pages.
pub const PUBLIC_REASONS: [&str; 9] =
    ["order", "fraud", "phishing", "malware", "illegal", "abuse", "owner", "terms", "other"];

/// Why a link is stopped, as everybody may know it. The reason given to us is for the records alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    /// Since when.
    #[schemars(schema_with = "crate::clock::instant_schema")]
    pub since: Timestamp,
    /// By whom: `operator` (of this service) or `owner` (of the link).
    #[schemars(extend("enum" = ["operator", "owner"]))]
    pub by: String,
    /// One of [`PUBLIC_REASONS`]; empty for not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(description = "The reason that everybody may know")]
    #[schemars(extend("enum" = PUBLIC_REASONS))]
    pub reason: String,
}

/// Settings of a link; what is not set is not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkSettings {
    /// It may not be followed before; [`Timestamp::ZERO`] for at once.
    #[serde(skip_serializing_if = "is_never")]
    pub not_before: Timestamp,
    /// How many times it may be followed; 0 for no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub visits_max: u32,
    /// A password's Argon2 hash as a PHC string; empty for none. Records say that there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// The owner's own words for finding it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// How the owner was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_verification: Option<OwnerVerification>,
    /// The status of its jumps, one of [`STATUSES`].
    #[serde(skip_serializing_if = "is_usual")]
    pub status: u16,
    /// Whether the visitor's query is handed on to the target.
    #[serde(skip_serializing_if = "is_false")]
    pub forward_query: bool,
    /// Whether the rest of the visitor's path is handed on to the target.
    #[serde(skip_serializing_if = "is_false")]
    pub forward_path: bool,
    /// The least tier its owner wants shown: `hint` or `interstitial`; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tier_hint: String,
    /// What it was taken over from, such as `shlink`; empty for links made here.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Why it is stopped; none for a link that is not. Set by whatever stops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            not_before: Timestamp::ZERO,
            visits_max: 0,
            password: String::new(),
            tags: Vec::new(),
            purpose: String::new(),
            owner_verification: None,
            status: STATUS,
            forward_query: false,
            forward_path: false,
            tier_hint: String::new(),
            source: String::new(),
            stopped: None,
        }
    }
}

impl LinkSettings {
    /// As the database has it: a JSON object, empty when nothing is set.
    pub fn to_text(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// When it is none of that.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        if text.is_empty() { Ok(Self::default()) } else { serde_json::from_str(text) }
    }

    /// What may be told: everything that is set, and of a password only that there is one.
    pub fn told(&self) -> Map<String, Value> {
        let mut all = match serde_json::to_value(self) {
            Ok(Value::Object(all)) => all,
            _ => Map::new(),
        };
        if !self.password.is_empty() {
            all.insert("password".into(), true.into());
        }
        all
    }
}

/// What a conversion changed, as it was before: a JSON object. The same password hashed anew
/// counts as a change.
pub(super) fn previous(before: &Revision, after: &Revision) -> String {
    let (old, new) = (members(before), members(after));
    let mut changed = Map::new();
    for name in old.keys().chain(new.keys()) {
        if old.get(name) != new.get(name) {
            changed.insert(name.clone(), old.get(name).cloned().unwrap_or(Value::Null));
        }
    }
    if before.settings.password != after.settings.password {
        changed.insert("password".into(), (!before.settings.password.is_empty()).into());
    }
    Value::Object(changed).to_string()
}

/// Everything an edit may change.
fn members(r: &Revision) -> Map<String, Value> {
    let mut all = r.settings.told();
    let rest = json!({
        "target": r.target,
        "target_submitted": r.target_submitted,
        "state": r.state.name(),
        "expires": r.expires,
        "owner": r.owner,
        "domain": r.domain,
    });
    if let Value::Object(rest) = rest {
        all.extend(rest);
    }
    all
}

fn is_never(ts: &Timestamp) -> bool {
    *ts == Timestamp::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_usual(status: &u16) -> bool {
    *status == STATUS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(b: &bool) -> bool {
    !*b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz() {
        let some = r#"{"not_before":1900000000000000,"visits_max":5,"tags":["a"],"status":308,"tier_hint":"hint"}"#;
        bolero::check!().with_iterations(20_000).with_type::<Vec<(u16, u8)>>().for_each(
            |changes| {
                let mut text = some.as_bytes().to_vec();
                for (at, byte) in changes {
                    let at = usize::from(*at) % text.len();
                    text[at] = *byte;
                }
                if let Ok(read) = LinkSettings::from_text(&String::from_utf8_lossy(&text)) {
                    assert_eq!(LinkSettings::from_text(&read.to_text()).unwrap(), read);
                }
            },
        );
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        assert_eq!(LinkSettings::default().to_text(), "");
        assert_eq!(LinkSettings::from_text("").unwrap(), LinkSettings::default());
        let some = LinkSettings {
            not_before: Timestamp::from_secs(1_900_000_000),
            password: "$argon2id$secret".into(),
            status: 308,
            ..LinkSettings::default()
        };
        let text = some.to_text();
        assert_eq!(LinkSettings::from_text(&text).unwrap(), some);
        assert!(text.contains("308") && !text.contains("tags"), "{text}");
        let told = Value::Object(some.told()).to_string();
        assert!(!told.contains("argon2") && told.contains(r#""password":true"#), "{told}");
    }
}
