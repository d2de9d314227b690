//! What a page carries of the notice it shows, signed, so that its answers need no memory of ours.
//!
//! A token is hexadecimal: its fields, and an HMAC-SHA-256 over them under `notices.key`, or, for as
//! long as pages of before it was exchanged may be open, `notices.key.previous`. It gives its bearer
//! nothing but to answer the one notice; it may be used more than once, and whoever counts counts
//! flows.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{Form, Service};
use crate::{clock::Timestamp, gateway::Language, policy::Tier, record::Flow};

/// A longer token is none, in characters.
const LENGTH_MAX: usize = 8_192;
/// The longest rule that a token carries, in bytes; with a longer one the records after `issued` name
/// none, and are joined to it by their flow.
const RULE_MAX: usize = 512;
/// What the signature is for, so that no other signature under the key is taken for one.
const PURPOSE: &[u8] = b"tracegate notice 3\n";
const TAG: usize = 32;

/// The key that signs, and the one before it.
#[derive(Clone)]
pub struct Keys {
    /// Signs and verifies.
    pub current: [u8; 32],
    /// Verifies.
    pub previous: Option<[u8; 32]>,
    /// Signs requests to, and verifies grants of, whoever checks identities.
    pub step_up: [u8; 32],
}

/// One notice, as its page carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Token {
    pub(in crate::gateway) flow: Flow,
    pub(in crate::gateway) issued: Timestamp,
    pub(in crate::gateway) code: String,
    /// A digest of what the visitor agrees to go to, with all that is handed on.
    pub(in crate::gateway) target: String,
    pub(in crate::gateway) service: Service,
    pub(in crate::gateway) tier: Tier,
    pub(in crate::gateway) form: Form,
    /// Whether the page goes on by itself.
    pub(in crate::gateway) goes_on: bool,
    pub(in crate::gateway) language: Language,
    pub(in crate::gateway) reason: String,
    pub(in crate::gateway) feed: String,
    pub(in crate::gateway) feed_version: String,
    pub(in crate::gateway) rule: String,
    pub(in crate::gateway) text_version: String,
    pub(in crate::gateway) tier_version: String,
    /// A digest of the password's hash, where the visitor gave the link's password before this page;
    /// another password opens nothing with it.
    pub(in crate::gateway) passed: String,
    /// A keyed digest of the client, where somebody's identity may open this notice; else empty.
    pub(in crate::gateway) client: String,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Refused {
    /// Not ours, or of a key that is gone.
    Forged,
    /// Ours, and its page was shown too long ago.
    Expired(Box<Token>),
}

/// A digest of a target: what was agreed to and nothing else.
pub(in crate::gateway) fn digest(target: &str) -> String {
    hex::encode(&Sha256::digest(target)[..16])
}

/// Writes and reads tokens.
pub(super) struct Tokens {
    keys: Keys,
    valid: Duration,
}

impl Tokens {
    pub(super) fn new(keys: Keys, valid: Duration) -> Self {
        Self { keys, valid }
    }

    pub(super) fn write(&self, token: &Token) -> String {
        let form = if token.form == Form::StepUp { "step_up" } else { "stop" };
        let rule = if token.rule.len() > RULE_MAX { "" } else { &token.rule };
        let (flow, issued) = (format!("{:x}", token.flow.0), token.issued.0.to_string());
        let fields: [&str; 17] = [
            &flow,
            &issued,
            &token.code,
            &token.target,
            token.service.name(),
            token.tier.name(),
            form,
            if token.goes_on { "1" } else { "0" },
            token.language.tag(),
            &token.reason,
            &token.feed,
            &token.feed_version,
            rule,
            &token.text_version,
            &token.tier_version,
            &token.passed,
            &token.client,
        ];
        let mut bytes = fields.map(|f| f.replace('\n', " ")).join("\n").into_bytes();
        let tag = mac(&self.keys.current, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag);
        hex::encode(bytes)
    }

    /// A digest of the client with this prefix, for the notice of `flow` alone; the address cannot be
    /// found from it.
    pub(super) fn client(&self, flow: Flow, prefix: u128) -> String {
        client(&self.keys.current, flow, prefix)
    }

    /// Whether `token` was made for the client with this prefix.
    pub(super) fn is_of(&self, token: &Token, prefix: u128) -> bool {
        let keys = [Some(&self.keys.current), self.keys.previous.as_ref()];
        keys.into_iter().flatten().any(|key| client(key, token.flow, prefix) == token.client)
    }

    pub(super) fn read(&self, text: &str, now: Timestamp) -> Result<Token, Refused> {
        if text.len() > LENGTH_MAX {
            return Err(Refused::Forged);
        }
        let bytes = hex::decode(text).map_err(|_| Refused::Forged)?;
        let cut = bytes.len().checked_sub(TAG).ok_or(Refused::Forged)?;
        let (fields, tag) = bytes.split_at(cut);
        let keys = [Some(&self.keys.current), self.keys.previous.as_ref()];
        let signed = |key: &[u8; 32]| mac(key, fields).verify_slice(tag).is_ok();
        if !keys.into_iter().flatten().any(signed) {
            return Err(Refused::Forged);
        }
        let token = std::str::from_utf8(fields).ok().and_then(parse).ok_or(Refused::Forged)?;
        if token.issued.saturating_add(self.valid) < now {
            return Err(Refused::Expired(Box::new(token)));
        }
        Ok(token)
    }
}

fn parse(fields: &str) -> Option<Token> {
    let fields: Vec<&str> = fields.split('\n').collect();
    let [
        flow,
        issued,
        code,
        target,
        service,
        tier,
        form,
        goes_on,
        language,
        reason,
        feed,
        feed_version,
        rule,
        text_version,
        tier_version,
        passed,
        client,
    ] = fields.try_into().ok()?;
    Some(Token {
        flow: Flow(u128::from_str_radix(flow, 16).ok()?),
        issued: Timestamp(issued.parse().ok()?),
        code: code.to_owned(),
        target: target.to_owned(),
        service: Service::from_name(service)?,
        tier: Tier::from_name(tier)?,
        form: if form == "step_up" { Form::StepUp } else { Form::Stop },
        goes_on: goes_on == "1",
        language: Language::from_tag(language)?,
        reason: reason.to_owned(),
        feed: feed.to_owned(),
        feed_version: feed_version.to_owned(),
        rule: rule.to_owned(),
        text_version: text_version.to_owned(),
        tier_version: tier_version.to_owned(),
        passed: passed.to_owned(),
        client: client.to_owned(),
    })
}

fn client(key: &[u8; 32], flow: Flow, prefix: u128) -> String {
    let of = format!("client\n{flow}\n{prefix:x}");
    hex::encode(&mac(key, of.as_bytes()).finalize().into_bytes()[..16])
}

fn mac(key: &[u8; 32], bytes: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(PURPOSE);
    mac.update(bytes);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> Token {
        Token {
            flow: Flow(u128::MAX - 7),
            issued: Timestamp::from_secs(1_900_000_000),
            code: "abc".into(),
            target: digest("https://www.demo.test/"),
            service: Service::Link,
            tier: Tier::Block,
            form: Form::StepUp,
            goes_on: false,
            language: Language::Chinese,
            reason: String::new(),
            feed: "regulator".into(),
            feed_version: "7".into(),
            rule: "url-prefix:www.demo.test/例/".into(),
            text_version: "1+abcd".into(),
            tier_version: "1+dcba".into(),
            passed: String::new(),
            client: tokens(1, None).client(Flow(u128::MAX - 7), 7),
        }
    }

    fn tokens(current: u8, previous: Option<u8>) -> Tokens {
        let keys =
            Keys { current: [current; 32], previous: previous.map(|p| [p; 32]), step_up: [0; 32] };
        Tokens::new(keys, Duration::from_secs(900))
    }

    #[test]
    fn a_token_is_read_as_written_until_it_expires() {
        let (ours, token) = (tokens(1, None), token());
        let text = ours.write(&token);
        let at = |s| token.issued.saturating_add(Duration::from_secs(s));
        assert_eq!(ours.read(&text, at(0)), Ok(token.clone()));
        assert_eq!(ours.read(&text, at(900)), Ok(token.clone()));
        assert_eq!(ours.read(&text, at(901)), Err(Refused::Expired(Box::new(token.clone()))));
        // After an exchange of keys, and after a second one.
        assert_eq!(tokens(2, Some(1)).read(&text, at(1)), Ok(token.clone()));
        assert_eq!(tokens(3, Some(2)).read(&text, at(1)), Err(Refused::Forged));
    }

    #[test]
    fn a_token_knows_whom_it_was_made_for() {
        let token = token();
        assert!(tokens(1, None).is_of(&token, 7) && tokens(2, Some(1)).is_of(&token, 7));
        assert!(!tokens(1, None).is_of(&token, 8) && !tokens(2, None).is_of(&token, 7));
        assert!(!tokens(1, None).is_of(&Token { flow: Flow(1), ..token }, 7));
    }

    #[test]
    fn a_rule_too_long_is_left_out_and_lines_cannot_be_added() {
        let ours = tokens(1, None);
        let long = Token { rule: "x".repeat(RULE_MAX + 1), ..token() };
        assert_eq!(ours.read(&ours.write(&long), long.issued).unwrap().rule, "");
        let lines = Token { rule: "a\nb".into(), ..token() };
        assert_eq!(ours.read(&ours.write(&lines), lines.issued).unwrap().rule, "a b");
    }

    /// Signed or not: what is no token is refused, and what is one reads as it was written.
    #[test]
    fn fuzz_tokens() {
        let (ours, now) = (tokens(1, None), Timestamp::from_secs(1_900_000_000));
        bolero::check!().with_iterations(20_000).with_max_len(512).for_each(|input: &[u8]| {
            let text = String::from_utf8_lossy(input);
            assert_eq!(ours.read(&text, now), Err(Refused::Forged));
            let mut signed = input.to_vec();
            signed.extend_from_slice(&mac(&[1; 32], input).finalize().into_bytes());
            let text = hex::encode(signed);
            if let Ok(token) = ours.read(&text, now) {
                assert_eq!(ours.read(&ours.write(&token), now), Ok(token));
            }
        });
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(at in 0usize..1000, other in any::<char>(), junk in ".{0,80}") {
            let ours = tokens(1, None);
            let text = ours.write(&token());
            let mut changed: Vec<char> = text.chars().collect();
            let at = at % changed.len();
            // Hexadecimal digits count the same in either case.
            prop_assume!(!changed[at].eq_ignore_ascii_case(&other));
            changed[at] = other;
            let changed: String = changed.into_iter().collect();
            prop_assert_eq!(ours.read(&changed, token().issued), Err(Refused::Forged));
            prop_assert_eq!(ours.read(&junk, token().issued), Err(Refused::Forged));
            prop_assert_eq!(ours.read(&text[..at & !1], token().issued), Err(Refused::Forged));
        }
    }
}
