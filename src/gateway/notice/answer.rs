//! What comes back from a page: its style sheet asked for, its buttons pressed.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::Full;
use url::form_urlencoded;

use super::{Refused, Service, Token, digest};
use crate::{
    gateway::{
        Language, outbound,
        page::Page,
        request::host,
        respond::common,
        worker::{Asked, Worker},
    },
    links::{Link, onward::Beyond},
    policy::Tier,
    record::Notice,
};

/// Below this path nothing is a code.
const PLACE: &str = "/.notice/";

/// What a request wants of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Step {
    Style,
    Language(Language),
    Continue,
    Return,
    Report,
    Identify,
    Granted,
}

/// A request that concerns a notice, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Wanted<'a> {
    /// The style sheet of pages that are no notices.
    PlainStyle,
    /// A step of a notice: its token, what is wanted, and the rest of the path behind it.
    Step(&'a str, Step, &'a str),
    /// Nothing we know.
    Nothing,
}

/// What the path asks for; none where it does not concern notices.
pub(in crate::gateway) fn wanted(uri: &Uri) -> Option<Wanted<'_>> {
    let rest = uri.path().strip_prefix(PLACE)?;
    if rest == "style.css" {
        return Some(Wanted::PlainStyle);
    }
    let Some((token, rest)) = rest.split_once('/') else {
        let token = rest.strip_suffix(".css");
        return Some(token.map_or(Wanted::Nothing, |t| Wanted::Step(t, Step::Style, "")));
    };
    let (step, more) = rest.split_once('/').unwrap_or((rest, ""));
    let step = match step {
        "zh" => Step::Language(Language::Chinese),
        "en" => Step::Language(Language::English),
        "continue" => Step::Continue,
        "return" => Step::Return,
        "report" => Step::Report,
        "step_up" => Step::Identify,
        "granted" => Step::Granted,
        _ => return Some(Wanted::Nothing),
    };
    let takes_more = more.is_empty() || step.goes_back();
    Some(if takes_more { Wanted::Step(token, step, more) } else { Wanted::Nothing })
}

impl Step {
    /// Whether what the visitor asked beyond the code comes along.
    const fn goes_back(self) -> bool {
        matches!(self, Self::Language(_) | Self::Continue | Self::Identify | Self::Granted)
    }

    /// Whether a request with this method may ask for it. What changes what is recorded of the
    /// visitor's choice is asked for by POST alone, so that nobody who follows links makes a choice;
    /// but a page that goes on by itself can only GET. Whoever is asked for a password on the way
    /// answers by POST.
    fn takes(self, method: &Method, token: &Token) -> bool {
        match self {
            Self::Style => matches!(*method, Method::GET | Method::HEAD),
            Self::Language(_) | Self::Granted => {
                matches!(*method, Method::GET | Method::HEAD | Method::POST)
            }
            Self::Continue if *method == Method::GET => token.goes_on && token.tier == Tier::Hint,
            Self::Continue | Self::Return | Self::Report | Self::Identify => {
                *method == Method::POST
            }
        }
    }
}

/// Where a notice leads, as its records say it.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Leads<'a> {
    pub(in crate::gateway) target: &'a str,
    pub(in crate::gateway) registrable_domain: &'a str,
    pub(in crate::gateway) psl_version: &'a str,
}

impl<'a> Leads<'a> {
    /// Along `link` to `target`, which is the link's own or one with something handed on.
    pub(in crate::gateway) fn along(link: &'a Link, target: &'a str) -> Self {
        let (registrable_domain, psl_version) =
            (&*link.target_registrable_domain, &*link.psl_version);
        Self { target, registrable_domain, psl_version }
    }
}

/// One event of the notice `token`, of which the record of `issued` says more.
pub(in crate::gateway) fn event<'a>(
    asked: &Asked<'a>,
    token: &'a Token,
    leads: Option<Leads<'a>>,
    event: &'static str,
) -> Notice<'a> {
    // What the visitor was shown, not where the link leads by now.
    let leads = leads.filter(|l| digest(l.target) == token.target);
    let dwell = asked.now.since(token.issued).as_millis();
    Notice {
        client: asked.peer.client,
        client_key: "",
        code: &token.code,
        tier: token.tier.name(),
        text_version: &token.text_version,
        language: token.language.tag(),
        event,
        dwell_ms: u32::try_from(dwell).unwrap_or(u32::MAX),
        rule: &token.rule,
        feed: &token.feed,
        feed_version: &token.feed_version,
        flow: token.flow,
        service: token.service.name(),
        host: host(asked.uri, asked.headers),
        target: leads.map_or("", |l| l.target),
        target_registrable_domain: leads.map_or("", |l| l.registrable_domain),
        form: match (token.tier, token.form) {
            (Tier::Block, super::Form::Stop) => "stop",
            (Tier::Block, super::Form::StepUp) => "step_up",
            _ => "",
        },
        tier_version: &token.tier_version,
        authority: "",
        order_number: "",
        reason: &token.reason,
        client_class: asked.class,
        psl_version: leads.map_or("", |l| l.psl_version),
        continued_by: "",
    }
}

/// The visitor went on, or the page did.
pub(in crate::gateway) fn continued<'a>(
    asked: &Asked<'a>,
    agreed: &Agreed<'a>,
    leads: Option<Leads<'a>>,
) -> Notice<'a> {
    let continued_by = match *asked.method {
        _ if agreed.granted => "identified",
        // Only a page that goes on by itself may ask so.
        Method::GET => "page",
        _ => "visitor",
    };
    Notice { continued_by, ..event(asked, agreed.token, leads, "continued") }
}

impl Worker {
    /// Answers a request that concerns a notice.
    pub(in crate::gateway) async fn answer(
        &self,
        asked: &Asked<'_>,
        wanted: Wanted<'_>,
    ) -> Response<Full<Bytes>> {
        let parts = &self.gateway.parts;
        let (text, step, more) = match wanted {
            Wanted::PlainStyle => return parts.notices.style(),
            Wanted::Nothing => return self.no_notice(asked),
            Wanted::Step(text, step, more) => (text, step, more),
        };
        let (packed, query) = match step {
            Step::Granted => (unpacked(more), ""),
            _ => (String::new(), asked.uri.query().unwrap_or("")),
        };
        let beyond = match packed.split_once('?') {
            Some((path, query)) => Beyond { path, query },
            None if step == Step::Granted => Beyond { path: &packed, query: "" },
            None if step.goes_back() => Beyond { path: more, query },
            None => Beyond::default(),
        };
        let token = match parts.notices.read(text, asked.now) {
            Ok(token) => token,
            Err(Refused::Forged) => return self.no_notice(asked),
            // The page is still open and may look as it did; what it says may no longer be so.
            Err(Refused::Expired(_)) if step == Step::Style => return parts.notices.style(),
            Err(Refused::Expired(token)) => return anew(&token, beyond),
        };
        let asked = &Asked { beyond, passed: &token.passed, ..*asked };
        if !step.takes(asked.method, &token) {
            return Page::Method.response(&parts.notices, asked.language);
        }
        if *asked.method == Method::POST && is_elsewhere(asked) {
            return anew(&token, beyond);
        }
        if asked.password.is_some()
            && let Some(over) = self.attempt(asked, &token.code)
        {
            return over;
        }
        match step {
            Step::Style if *asked.method == Method::HEAD => parts.notices.style(),
            Step::Style => {
                self.note(asked, &token, "rendered").await.unwrap_or_else(|| parts.notices.style())
            }
            Step::Return => self.told(asked, &token, "returned").await,
            Step::Report => self.told(asked, &token, "reported").await,
            Step::Identify => match &parts.notices.step_up {
                Some(step_up) if token.tier == Tier::Block && token.form == super::Form::StepUp => {
                    let host = host(asked.uri, asked.headers);
                    see_other(&step_up.request(&token, text, &beyond.rest(), host))
                }
                _ => self.no_notice(asked),
            },
            Step::Granted => {
                let query = asked.uri.query().unwrap_or("");
                match &parts.notices.step_up {
                    Some(s)
                        if s.grants(&token, query, asked.now)
                            && parts.notices.is_of(&token, asked.peer.client.ip()) =>
                    {
                        self.go_on(asked, &token, true).await
                    }
                    _ => anew(&token, beyond),
                }
            }
            Step::Continue => self.go_on(asked, &token, false).await,
            Step::Language(language) => {
                let of = asked.of(&token.code, None);
                self.again(&Asked { language, stays: true, flow: token.flow, ..of }, &token).await
            }
        }
    }

    /// The visitor goes on, if policy still lets those go who agree to this notice.
    async fn go_on(
        &self,
        asked: &Asked<'_>,
        token: &Token,
        granted: bool,
    ) -> Response<Full<Bytes>> {
        let agreed = Agreed { token, granted };
        let asked = Asked {
            flow: token.flow,
            language: token.language,
            ..asked.of(&token.code, Some(agreed))
        };
        self.again(&asked, token).await
    }

    /// The link of the notice asked for once more.
    async fn again(&self, asked: &Asked<'_>, token: &Token) -> Response<Full<Bytes>> {
        match token.service {
            Service::Outbound => self.go(asked).await,
            Service::Name => match self.at_name(asked).await {
                Some(response) => response,
                None => self.no_notice(asked),
            },
            Service::Link | Service::Forward => self.visit(asked).await,
        }
    }

    /// Records an event and thanks for it.
    async fn told(
        &self,
        asked: &Asked<'_>,
        token: &Token,
        event: &'static str,
    ) -> Response<Full<Bytes>> {
        let notices = &self.gateway.parts.notices;
        match self.note(asked, token, event).await {
            Some(busy) => busy,
            None if event == "reported" => notices.reported(token),
            None => notices.message(event, StatusCode::OK, token.language, false),
        }
    }

    /// Records an event; what to answer where it cannot be.
    pub(in crate::gateway) async fn note(
        &self,
        asked: &Asked<'_>,
        token: &Token,
        of: &'static str,
    ) -> Option<Response<Full<Bytes>>> {
        let link = match token.code.is_empty() {
            true => None,
            false => self.link(&token.code).await.flatten(),
        };
        let leads = link.as_deref().map(|l| Leads::along(l, &l.target));
        if self.recorder.keep_notice(&event(asked, token, leads, of)).await {
            return None;
        }
        self.gateway.parts.metrics.gateway.stopped.increment(1);
        Some(Page::Busy.response(&self.gateway.parts.notices, token.language))
    }

    fn no_notice(&self, asked: &Asked<'_>) -> Response<Full<Bytes>> {
        self.gateway.parts.metrics.gateway.malformed.increment(1);
        Page::Unknown.response(&self.gateway.parts.notices, asked.language)
    }
}

/// A notice that the visitor was shown and goes on from.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Agreed<'a> {
    pub(in crate::gateway) token: &'a Token,
    /// Somebody has checked the visitor's identity.
    pub(in crate::gateway) granted: bool,
}

/// Back to the link or the outbound page, which shows its notice as it is now.
fn anew(token: &Token, beyond: Beyond<'_>) -> Response<Full<Bytes>> {
    let at = match token.service {
        Service::Outbound => outbound::PATH.to_owned(),
        _ => format!("/{}", token.code),
    };
    see_other(&(at + &beyond.rest()))
}

/// What was asked beyond the code, as one segment of a path: the way back from whoever checks
/// identities has a query of its own.
pub(super) fn packed(rest: &str) -> String {
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    form_urlencoded::byte_serialize(rest.as_bytes()).collect()
}

/// The reverse; empty for what was packed by nobody.
fn unpacked(segment: &str) -> String {
    let text = form_urlencoded::parse(segment.as_bytes()).next();
    text.map(|(text, _)| text.into_owned()).unwrap_or_default()
}

fn see_other(to: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    common(headers);
    let to = HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    headers.insert(header::LOCATION, to);
    response
}

/// Whether a form of another site was sent: somebody else's page must not answer for the visitor.
/// Browsers say so; of those that do not we know nothing, and a token is needed all the same.
pub(in crate::gateway) fn is_elsewhere(asked: &Asked<'_>) -> bool {
    let value = |headers: &HeaderMap, name: HeaderName| {
        headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
    };
    let site = value(asked.headers, HeaderName::from_static("sec-fetch-site"));
    if let Some(site) = site {
        return !matches!(site.as_str(), "same-origin" | "none");
    }
    // Our pages have their forms say where they are from; `null` is anybody who does not.
    let origin = value(asked.headers, header::ORIGIN);
    origin.is_some_and(|o| {
        let of = o.split_once("://").map_or("", |(_, host)| host);
        !of.eq_ignore_ascii_case(host(asked.uri, asked.headers))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_notices_are_told_apart() {
        for (path, expected) in [
            ("/abc", None),
            ("/.notice", None),
            ("/.notice/style.css", Some(Wanted::PlainStyle)),
            ("/.notice/ab12.css", Some(Wanted::Step("ab12", Step::Style, ""))),
            ("/.notice/ab12/continue", Some(Wanted::Step("ab12", Step::Continue, ""))),
            ("/.notice/ab12/zh", Some(Wanted::Step("ab12", Step::Language(Language::Chinese), ""))),
            (
                "/.notice/ab12/continue/x//y.css",
                Some(Wanted::Step("ab12", Step::Continue, "x//y.css")),
            ),
            ("/.notice/ab12/return/x", Some(Wanted::Nothing)),
            ("/.notice/ab12/other", Some(Wanted::Nothing)),
            ("/.notice/ab12", Some(Wanted::Nothing)),
            ("/.notice/", Some(Wanted::Nothing)),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(wanted(&uri), expected, "{path}");
        }
    }
}
