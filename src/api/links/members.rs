//! What callers may say of a link, and what of it is refused.

use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::super::{ApiState, Problem, time};
use crate::{
    clock::Timestamp,
    links::{
        Actor, Draft, Edit, ForwardFrom, LinkSettings, NotConverted, OwnerVerification,
        PUBLIC_REASONS, STATUS, STATUSES, SettingsEdit, State, hash_password,
    },
};

/// The longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What an owner may want shown before a jump.
pub(super) const TIER_HINTS: [&str; 2] = ["hint", "interstitial"];

/// A link to be.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["target"]))]
pub(in crate::api) struct NewLink {
    /// Where it leads; also accepted as `url`.
    #[serde(alias = "url")]
    #[schemars(with = "String")]
    target: Option<String>,
    /// A code of the caller's choice.
    code: Option<String>,
    /// Until when it may be followed; in the past only with `source`.
    #[schemars(with = "Timestamp")]
    expires: Option<String>,
    /// Whose link it is; without, whom the token is for, else the token's name.
    owner: Option<String>,
    /// Why; it is kept.
    reason: String,
    /// The host it is served at, one of `gateway.domains`; null for every host of ours.
    domain: Option<String>,
    /// It may not be followed before.
    #[schemars(with = "Timestamp")]
    not_before: Option<String>,
    /// How many times it may be followed; null or 0 for as often as anybody likes.
    visits_max: Option<u32>,
    /// A password that visitors must know.
    password: Option<String>,
    /// The owner's own words for finding it.
    tags: Vec<String>,
    /// What it is for.
    purpose: String,
    /// How the owner was verified.
    owner_verification: Option<OwnerVerification>,
    /// The status of its jumps; 302 when absent.
    #[schemars(with = "u16", extend("enum" = STATUSES))]
    status: Option<u16>,
    /// Hand the visitor's query on to the target.
    forward_query: bool,
    /// Hand the rest of the visitor's path on to the target.
    forward_path: bool,
    /// The least tier the owner wants shown.
    #[schemars(extend("enum" = or_null(&TIER_HINTS)))]
    tier_hint: Option<String>,
    /// What it is taken over from, such as `shlink`; its code may then look like one of ours.
    source: Option<String>,
    /// Stopped from the beginning: its code is taken, and leads nowhere.
    #[schemars(with = "String", extend("enum" = ["enabled", "disabled"]))]
    state: Option<String>,
    /// A link of the same owner that is the same in everything will do.
    reuse: bool,
}

/// What is to change; null takes a member away.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "LinkChange")]
pub(in crate::api) struct Change {
    /// Where it leads; also accepted as `url`.
    #[serde(alias = "url")]
    target: Option<String>,
    /// Until when it may be followed.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Timestamp")]
    expires: Option<Option<String>>,
    /// Stop it, or let it go on.
    #[schemars(extend("enum" = ["enabled", "disabled", null]))]
    state: Option<String>,
    /// Whose it is from now on.
    owner: Option<String>,
    /// Why; it is kept.
    reason: String,
    /// Only if this is the newest revision; `If-Match` comes before it.
    revision: Option<u32>,
    /// The host it is served at, one of `gateway.domains`; null for every host of ours.
    #[serde(deserialize_with = "given")]
    domain: Option<Option<String>>,
    /// It may not be followed before.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Timestamp")]
    not_before: Option<Option<String>>,
    /// How many times it may be followed; null for as often as anybody likes.
    #[serde(deserialize_with = "given")]
    visits_max: Option<Option<u32>>,
    /// A password that visitors must know.
    #[serde(deserialize_with = "given")]
    password: Option<Option<String>>,
    /// The owner's own words for finding it.
    tags: Option<Vec<String>>,
    /// What it is for.
    purpose: Option<String>,
    /// How the owner was verified.
    #[serde(deserialize_with = "given")]
    owner_verification: Option<Option<OwnerVerification>>,
    /// The status of its jumps.
    #[schemars(with = "u16", extend("enum" = STATUSES))]
    status: Option<u16>,
    /// Hand the visitor's query on to the target.
    forward_query: Option<bool>,
    /// Hand the rest of the visitor's path on to the target.
    forward_path: Option<bool>,
    /// The least tier the owner wants shown.
    #[serde(deserialize_with = "given")]
    #[schemars(extend("enum" = or_null(&TIER_HINTS)))]
    tier_hint: Option<Option<String>>,
    /// Why the link is stopped, for everybody; only of one that is disabled. `reason` is for the
    /// records alone.
    #[serde(deserialize_with = "given")]
    #[schemars(extend("enum" = or_null(&PUBLIC_REASONS)))]
    public_reason: Option<Option<String>>,
}

/// Words, and none of them.
pub(super) fn or_null<'a>(words: &[&'a str]) -> Vec<Option<&'a str>> {
    words.iter().copied().map(Some).chain([None]).collect()
}

/// Tells a null from a member that is not there.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

/// A draft whose password, if any, is still to be hashed.
pub(super) struct CheckedDraft {
    draft: Draft,
    password: Option<String>,
}

impl CheckedDraft {
    /// Makes it a draft of a forward.
    ///
    /// # Errors
    /// Where a code, a domain or `reuse` was given: a forward has none.
    pub(super) fn of_forward(mut self, from: ForwardFrom) -> Result<Self, Problem> {
        let draft = &mut self.draft;
        if draft.code.is_some() || !draft.domain.is_empty() || draft.reuse {
            return Err(Problem::bad_request("a forward has no code, no domain and no reuse"));
        }
        draft.forward = Some(from);
        Ok(self)
    }

    /// Hashes the password: takes long, and locks nothing.
    pub(super) fn draft(mut self) -> Result<Draft, NotConverted> {
        if let Some(password) = &self.password {
            self.draft.settings.password = hash_password(password)?;
        }
        Ok(self.draft)
    }
}

/// An edit whose password, if any, is still to be hashed.
pub(super) struct CheckedEdit {
    edit: Edit,
    /// Empty to take it away.
    password: Option<String>,
}

impl CheckedEdit {
    /// Hashes the password: takes long, and locks nothing.
    pub(super) fn edit(mut self) -> Result<Edit, NotConverted> {
        self.edit.settings.password = match self.password {
            Some(password) if !password.is_empty() => Some(hash_password(&password)?),
            other => other,
        };
        Ok(self.edit)
    }
}

impl NewLink {
    /// Where it is to lead, as it was submitted.
    pub(super) fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }

    pub(super) fn check(
        self,
        api: &ApiState,
        actor: &Actor,
        request: String,
    ) -> Result<CheckedDraft, Problem> {
        let target = self.target.ok_or_else(|| Problem::bad_request("missing member target"))?;
        let own = || actor.owner.as_ref().unwrap_or(&actor.name).to_string();
        let owner = self.owner.unwrap_or_else(own);
        let settings = LinkSettings {
            not_before: instant(self.not_before.as_deref())?,
            visits_max: self.visits_max.unwrap_or(0),
            password: String::new(),
            tags: self.tags,
            purpose: self.purpose,
            owner_verification: self.owner_verification,
            status: self.status.unwrap_or(STATUS),
            forward_query: self.forward_query,
            forward_path: self.forward_path,
            tier_hint: self.tier_hint.unwrap_or_default(),
            source: self.source.unwrap_or_default(),
            stopped: None,
        };
        let of = Limits(api);
        of.texts(&[("owner", &owner), ("reason", &self.reason), ("source", &settings.source)])?;
        of.texts(&[("purpose", &settings.purpose)])?;
        of.password(self.password.as_deref())?;
        of.tags(&settings.tags)?;
        of.verification(settings.owner_verification.as_ref())?;
        status(settings.status)?;
        tier_hint(&settings.tier_hint)?;
        let disabled = match self.state.as_deref() {
            None | Some("enabled") => false,
            Some("disabled") => true,
            Some(_) => return Err(Problem::bad_request("state is enabled or disabled")),
        };
        api.0.quotas.conversion(actor, api.clock.monotonic())?;
        api.0.quotas.link(actor, &owner, api.clock.monotonic())?;
        let draft = Draft {
            target,
            code: self.code,
            expires: instant(self.expires.as_deref())?,
            disabled,
            owner,
            reason: self.reason,
            domain: self.domain.unwrap_or_default().to_ascii_lowercase(),
            settings,
            request,
            reuse: self.reuse,
            forward: None,
        };
        Ok(CheckedDraft { draft, password: self.password })
    }
}

impl Change {
    pub(super) fn check(
        self,
        api: &ApiState,
        if_match: Option<u32>,
    ) -> Result<CheckedEdit, Problem> {
        let state = self.state.as_deref().map(|name| {
            State::from_name(name)
                .filter(|state| *state != State::Expired)
                .ok_or_else(|| Problem::bad_request("state is enabled or disabled"))
        });
        let instants = |given: Option<Option<String>>| given.map(|t| instant(t.as_deref()));
        let of = Limits(api);
        for (name, text) in [("owner", &self.owner), ("purpose", &self.purpose)] {
            of.texts(&[(name, text.as_deref().unwrap_or(""))])?;
        }
        of.texts(&[("reason", &self.reason)])?;
        of.password(self.password.as_ref().and_then(Option::as_deref))?;
        of.tags(self.tags.as_deref().unwrap_or(&[]))?;
        of.verification(self.owner_verification.as_ref().and_then(Option::as_ref))?;
        self.status.map_or(Ok(()), status)?;
        let tier = self.tier_hint.map(Option::unwrap_or_default);
        tier_hint(tier.as_deref().unwrap_or(""))?;
        let public_reason = self.public_reason.map(Option::unwrap_or_default);
        if !public_reason.as_ref().is_none_or(|r| r.is_empty() || PUBLIC_REASONS.contains(&&**r)) {
            let why = format!("public_reason is one of {}", PUBLIC_REASONS.join(", "));
            return Err(Problem::bad_request(why));
        }
        let settings = SettingsEdit {
            not_before: instants(self.not_before).transpose()?,
            visits_max: self.visits_max.map(Option::unwrap_or_default),
            password: None,
            tags: self.tags,
            purpose: self.purpose,
            owner_verification: self.owner_verification,
            status: self.status,
            forward_query: self.forward_query,
            forward_path: self.forward_path,
            tier_hint: tier,
            public_reason,
        };
        let edit = Edit {
            target: self.target,
            expires: instants(self.expires).transpose()?,
            state: state.transpose()?,
            domain: self.domain.map(|d| d.unwrap_or_default().to_ascii_lowercase()),
            owner: self.owner,
            settings,
            reason: self.reason,
            revision: if_match.or(self.revision),
        };
        let password = self.password.map(Option::unwrap_or_default);
        let nothing =
            Edit { reason: edit.reason.clone(), revision: edit.revision, ..Edit::default() };
        if password.is_none() && edit == nothing {
            return Err(Problem::bad_request(
                "give at least one of target, expires, state, owner, domain or a setting",
            ));
        }
        Ok(CheckedEdit { edit, password })
    }
}

/// What the configuration allows.
struct Limits<'a>(&'a ApiState);

impl Limits<'_> {
    fn texts(&self, texts: &[(&str, &str)]) -> Result<(), Problem> {
        for (member, text) in texts {
            if text.len() > self.0.config.note_bytes_max {
                let why = format!("{member} is longer than api.note_bytes_max");
                return Err(Problem::bad_request(why));
            }
        }
        Ok(())
    }

    fn password(&self, password: Option<&str>) -> Result<(), Problem> {
        match password {
            Some("") => Err(Problem::bad_request("a password is not empty")),
            password => self.texts(&[("password", password.unwrap_or(""))]),
        }
    }

    fn tags(&self, tags: &[String]) -> Result<(), Problem> {
        if tags.len() > self.0.config.tags_max {
            return Err(Problem::bad_request("there are more tags than api.tags_max"));
        }
        if tags.iter().any(String::is_empty) {
            return Err(Problem::bad_request("a tag is not empty"));
        }
        tags.iter().try_for_each(|tag| self.texts(&[("a tag", tag)]))
    }

    fn verification(&self, by: Option<&OwnerVerification>) -> Result<(), Problem> {
        let Some(by) = by else { return Ok(()) };
        if by.how.is_empty() || by.reference.is_empty() || by.when == Timestamp::ZERO {
            let why = "owner_verification says how, when and under which reference";
            return Err(Problem::bad_request(why));
        }
        self.texts(&[("how", &by.how), ("reference", &by.reference), ("icp", &by.icp)])
    }
}

fn instant(text: Option<&str>) -> Result<Timestamp, Problem> {
    Ok(text.map(time::parse).transpose()?.unwrap_or(Timestamp::ZERO))
}

fn status(status: u16) -> Result<(), Problem> {
    match STATUSES.contains(&status) {
        true => Ok(()),
        false => Err(Problem::bad_request("status is 301, 302, 307 or 308")),
    }
}

fn tier_hint(tier: &str) -> Result<(), Problem> {
    match tier.is_empty() || TIER_HINTS.contains(&tier) {
        true => Ok(()),
        false => Err(Problem::bad_request("tier_hint is hint or interstitial")),
    }
}

/// What a request is known by: its key among those of the same token.
pub(super) fn request_of(headers: &HeaderMap, actor: &str) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.to_str().unwrap_or("").trim().trim_matches('"');
    let plain = key.bytes().all(|b| b.is_ascii_graphic());
    if keys.next().is_some() || key.is_empty() || key.len() > KEY_BYTES_MAX || !plain {
        let why = "Idempotency-Key is one text of 1 to 255 visible ASCII characters";
        return Err(Problem::bad_request(why));
    }
    // No token's name has a space.
    Ok(Some(format!("{actor} {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_is_not_a_missing_member() {
        let change = |text| serde_json::from_str::<Change>(text).unwrap().expires;
        assert_eq!(change("{}"), None);
        assert_eq!(change(r#"{"expires": null}"#), Some(None));
        assert_eq!(change(r#"{"expires": "x"}"#), Some(Some("x".to_owned())));
        assert!(serde_json::from_str::<Change>(r#"{"target": "a", "url": "b"}"#).is_err());
    }

    #[test]
    fn keys_are_those_of_one_token() {
        let of = |key: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", key.parse().unwrap());
            request_of(&headers, "shop").ok()
        };
        assert_eq!(of("k1"), Some(Some("shop k1".into())));
        assert_eq!(of("\"k1\""), Some(Some("shop k1".into())));
        for bad in ["", "a b", &"k".repeat(256)] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(request_of(&HeaderMap::new(), "shop").unwrap(), None);
    }

    /// A line of a bulk request, a body of the others.
    #[test]
    fn fuzz() {
        let some = br#"{"target":"https://a.example.com/","visits_max":5,"tags":["a"],"status":308,"expires":null}"#;
        bolero::check!().with_iterations(20_000).with_type::<Vec<(u16, u8)>>().for_each(
            |changes| {
                let mut text = some.to_vec();
                for (at, byte) in changes {
                    let at = usize::from(*at) % text.len();
                    text[at] = *byte;
                }
                if let Ok(new) = serde_json::from_slice::<NewLink>(&text) {
                    assert!(new.tags.len() <= text.len());
                    assert!(instant(new.expires.as_deref()).is_ok() || new.expires.is_some());
                }
                let change = serde_json::from_slice::<Change>(&text);
                assert!(change.is_err() || std::str::from_utf8(&text).is_ok());
            },
        );
    }
}
