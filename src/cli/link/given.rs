//! What may be set of a link, as options of a command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};

/// Settings of a link.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Members {
    /// When it ends, as 2030-01-31T12:00:00Z; `never` for never.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) expires: Option<String>,
    /// Whose link it is.
    #[arg(long)]
    pub(in crate::cli) owner: Option<String>,
    /// Why.
    #[arg(long)]
    pub(in crate::cli) reason: Option<String>,
    /// The host it is served at, one of gateway.domains.
    #[arg(long)]
    pub(in crate::cli) domain: Option<String>,
    /// It may not be followed before.
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) not_before: Option<String>,
    /// How many times it may be followed; 0 for no limit.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) visits_max: Option<u32>,
    /// A file with the password that visitors must know; an empty one takes it away.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) password_file: Option<PathBuf>,
    /// A tag; may be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    pub(in crate::cli) tags: Vec<String>,
    /// What it is for.
    #[arg(long)]
    pub(in crate::cli) purpose: Option<String>,
    /// The status of its jumps: 301, 302, 307 or 308.
    #[arg(long)]
    pub(in crate::cli) status: Option<u16>,
    /// Hand the visitor's query on to the target.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub(in crate::cli) forward_query: Option<bool>,
    /// Hand the rest of the visitor's path on to the target.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub(in crate::cli) forward_path: Option<bool>,
    /// The least tier that visitors are shown: hint or interstitial.
    #[arg(long, value_name = "TIER")]
    pub(in crate::cli) tier_hint: Option<String>,
    /// How the owner's real name was verified, such as id_card.
    #[arg(long, value_name = "HOW", requires_all = ["verified_when", "verified_reference"])]
    pub(in crate::cli) verified_how: Option<String>,
    /// When.
    #[arg(long, value_name = "TIME", requires = "verified_how")]
    pub(in crate::cli) verified_when: Option<String>,
    /// Where whoever verified it keeps it; never the identity itself.
    #[arg(long, value_name = "TEXT", requires = "verified_how")]
    pub(in crate::cli) verified_reference: Option<String>,
    /// The ICP number of the owner's site (备案号).
    #[arg(long, value_name = "NUMBER", requires = "verified_how")]
    pub(in crate::cli) icp: Option<String>,
}

/// What they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Given {
    /// A new link.
    New,
    /// A change: what is empty is taken away.
    Change,
}

/// The longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 64 << 10;

impl Members {
    /// What is given, and nothing else: what is absent stays as it is.
    pub(in crate::cli) fn body(&self, of: Given) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|v| (name.to_owned(), v)));
        };
        let text = |t: &Option<String>| t.as_ref().map(|t| json!(t));
        // Null takes away what may be absent.
        let nullable = |t: &Option<String>| {
            t.as_ref().map(|t| if t.is_empty() || t == "never" { Value::Null } else { json!(t) })
        };
        put("expires", nullable(&self.expires));
        put("not_before", nullable(&self.not_before));
        put("domain", nullable(&self.domain));
        put("tier_hint", nullable(&self.tier_hint));
        put("owner", text(&self.owner));
        put("reason", text(&self.reason));
        put("purpose", text(&self.purpose));
        put("visits_max", self.visits_max.map(Value::from));
        put("status", self.status.map(Value::from));
        put("forward_query", self.forward_query.map(Value::from));
        put("forward_path", self.forward_path.map(Value::from));
        // One empty tag is none at all.
        let tags: Vec<&String> = self.tags.iter().filter(|t| !t.is_empty()).collect();
        put("tags", (!self.tags.is_empty()).then(|| json!(tags)));
        put("password", self.password(of)?);
        put(
            "owner_verification",
            self.verified_how.as_ref().map(|how| {
                json!({
                    "how": how,
                    "when": self.verified_when,
                    "reference": self.verified_reference,
                    "icp": self.icp.as_deref().unwrap_or(""),
                })
            }),
        );
        Ok(body)
    }

    /// Read from a file: a command line is seen by everybody on the machine.
    fn password(&self, of: Given) -> anyhow::Result<Option<Value>> {
        let Some(file) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        let password = text.trim_end_matches(['\r', '\n']);
        match password.is_empty() {
            true if of == Given::Change => Ok(Some(Value::Null)),
            true => bail!("{}: holds no password", file.display()),
            false if password.len() > PASSWORD_BYTES_MAX => {
                bail!("{}: is no password", file.display())
            }
            false => Ok(Some(json!(password))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_taken_away() {
        let members = Members {
            expires: Some("never".into()),
            domain: Some(String::new()),
            tags: vec![String::new()],
            visits_max: Some(0),
            forward_query: Some(false),
            ..Members::default()
        };
        let body = members.body(Given::Change).unwrap();
        let expected = json!({
            "expires": null, "domain": null, "tags": [], "visits_max": 0, "forward_query": false
        });
        assert_eq!(Value::Object(body), expected);
        assert!(Members::default().body(Given::New).unwrap().is_empty());
    }
}
