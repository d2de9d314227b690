//! The way to whoever checks a visitor's identity, and back.
//!
//! The visitor is sent to `step_up_url?flow=…&code=…&return=…&expires=…&sig=…`, where `sig` is the
//! HMAC-SHA-256, in hexadecimal, under `step_up.key` over the line `step-up request 1`, flow,
//! code, return and expires, one a line, without a line break at the end. Whoever has checked sends the
//! visitor to `return` with `?expires=…&sig=…` (seconds since the epoch), signed over
//! `step-up grant 1`, flow and expires. A grant opens its own notice alone, until it expires.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::{Url, form_urlencoded};

use super::{Keys, Token, answer::packed};
use crate::clock::Timestamp;

/// Sends visitors there and takes them back.
pub(in crate::gateway) struct StepUp {
    url: Url,
    /// What our own address begins with; empty to go by the request's `Host`.
    base: String,
    key: [u8; 32],
    valid_s: u64,
}

impl StepUp {
    /// None where nobody checks.
    pub(super) fn new(url: &str, base: &str, keys: &Keys, valid_s: u64) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let base = base.trim_end_matches('/').to_owned();
        Some(Self { url, base, key: keys.step_up, valid_s })
    }

    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Where to send the visitor who was shown `token`, whose text is `text`, and who asked for `rest`
    /// beyond the code.
    pub(in crate::gateway) fn request(
        &self,
        token: &Token,
        text: &str,
        rest: &str,
        host: &str,
    ) -> String {
        let base = if self.base.is_empty() { format!("http://{host}") } else { self.base.clone() };
        let mut back = format!("{base}/.notice/{text}/granted");
        if !rest.is_empty() {
            back.push('/');
            back.push_str(&packed(rest));
        }
        let until = i64::try_from(self.valid_s).unwrap_or(i64::MAX);
        let expires = token.issued.secs().saturating_add(until).to_string();
        let flow = token.flow.to_string();
        let lines = ["step-up request 1", &flow, &token.code, &back, &expires];
        let sig = hex::encode(self.mac(&lines).finalize().into_bytes());
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("flow", &flow)
            .append_pair("code", &token.code)
            .append_pair("return", &back)
            .append_pair("expires", &expires)
            .append_pair("sig", &sig);
        url.into()
    }

    /// Whether `query` is a grant for `token`.
    pub(in crate::gateway) fn grants(&self, token: &Token, query: &str, now: Timestamp) -> bool {
        let mut given = [String::new(), String::new()];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "expires" => given[0] = value.into_owned(),
                "sig" => given[1] = value.into_owned(),
                _ => {}
            }
        }
        let [expires, sig] = given;
        let lines = ["step-up grant 1", &token.flow.to_string(), &expires];
        let (Ok(until), Ok(sig)) = (expires.parse::<i64>(), hex::decode(sig)) else { return false };
        self.mac(&lines).verify_slice(&sig).is_ok() && now.secs() <= until
    }

    fn mac(&self, lines: &[&str]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(lines.join("\n").as_bytes());
        mac
    }
}
