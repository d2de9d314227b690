//! What the rules of tiers are given of a jump, beyond what lists say: what walks found, what the owner
//! wants, and what the request itself tells.
//!
//! A first visit is told by a cookie that says nothing but that there was one, the same for everybody;
//! it is given and asked for only where a rule minds. Whoever deletes it sees the page again.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::Full;

use super::{
    notice::Inputs,
    worker::{Asked, Worker},
};
use crate::{
    links::{Finding, Link},
    policy::Tier,
};

/// What a visitor who was here before brings.
const VISITED: &str = "tracegate-visited=1";

/// Marks requests that came over TLS of our own.
#[derive(Clone, Copy, Debug)]
pub struct Secure;

impl Worker {
    /// The inputs that `given` does not have yet. `findings` are the names of the link's.
    pub(super) fn known<'a>(
        &self,
        link: &'a Link,
        findings: &'a [&'static str],
        asked: &Asked<'_>,
        given: Inputs<'a>,
    ) -> Inputs<'a> {
        let encrypted = self.gateway.places.is_encrypted() || asked.secure;
        let downgrade = encrypted && link.target.starts_with("http:")
            || link.findings.has(Finding::SchemeDowngrade);
        let minds = self.gateway.parts.notices.minds_first_visits();
        Inputs {
            findings,
            asked: link.settings().and_then(|s| wanted(&s.tier_hint)),
            downgrade,
            first_visit: minds && !was_here(asked.headers),
            ..given
        }
    }

    /// Tells a visitor who is sent on that this was a visit, where a rule minds.
    pub(super) fn remember(&self, response: &mut Response<Full<Bytes>>, asked: &Asked<'_>) {
        if !self.gateway.parts.notices.minds_first_visits() || was_here(asked.headers) {
            return;
        }
        let encrypted = self.gateway.places.is_encrypted() || asked.secure;
        let secure = if encrypted { "; Secure" } else { "" };
        let cookie = format!("{VISITED}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
}

/// The tier that an owner asks for.
fn wanted(tier: &str) -> Option<Tier> {
    [Tier::Hint, Tier::Interstitial].into_iter().find(|t| t.name() == tier)
}

fn was_here(headers: &HeaderMap) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
    cookies.flat_map(|c| c.split(';')).any(|c| c.trim() == VISITED)
}
