//! A notice from its tier to its page.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use minijinja::Value;
use serde::Serialize;

use super::{
    Error, Form, Inputs, Keys, Refused, Service, TierRules, Tiered, Token,
    destination::{Destination, said},
    digest,
    frame::{ANYWHERE, Fact, Frame, Other, Refresh, html},
    message::MESSAGES,
    step_up::StepUp,
    template::Templates,
    token::Tokens,
};
use crate::{
    clock::Timestamp,
    config,
    gateway::{
        Language,
        told::{self, Told},
    },
    policy::{Hit, Tier},
    record::Flow,
};

/// The longest value shown of what a list says of a rule, in characters.
const SAID_MAX: usize = 400;

/// Everything that makes notices.
pub struct Notices {
    rules: TierRules,
    pub(super) templates: Templates,
    pub(super) tokens: Tokens,
    pub(super) step_up: Option<StepUp>,
    pub(super) config: config::Notices,
    limits: config::JumpLimits,
    /// Whether the public may report and appeal here.
    pub(super) reports: bool,
    blocked_by: String,
}

/// A jump that gets a warning.
pub(in crate::gateway) struct Warned<'a> {
    pub(in crate::gateway) tiered: Tiered,
    /// The list's rule behind it.
    pub(in crate::gateway) hit: Option<&'a Hit>,
    /// What the rule names, where that is not the target.
    pub(in crate::gateway) listed: Option<&'a str>,
    pub(in crate::gateway) service: Service,
    /// Empty where no link was asked for.
    pub(in crate::gateway) code: &'a str,
    pub(in crate::gateway) target: &'a str,
    pub(in crate::gateway) registrable_domain: &'a str,
    /// What is handed on, as it stands behind the code.
    pub(in crate::gateway) rest: &'a str,
    /// Which password was given; see [`Token`].
    pub(in crate::gateway) passed: &'a str,
    pub(in crate::gateway) flow: Flow,
    pub(in crate::gateway) language: Language,
    pub(in crate::gateway) client: IpAddr,
    /// Whether the visitor asked for a page that does not go on by itself.
    pub(in crate::gateway) stays: bool,
    pub(in crate::gateway) now: Timestamp,
}

/// A page made, and what is to be recorded of it before it is sent.
pub(in crate::gateway) struct Issued {
    pub(in crate::gateway) token: Token,
    pub(in crate::gateway) response: Response<Full<Bytes>>,
}

#[derive(Serialize)]
struct Way {
    /// Whether there is somebody to send the visitor to.
    url: bool,
}

#[derive(Serialize)]
struct NoticePage<'a> {
    #[serde(flatten)]
    frame: Frame<'a>,
    words: Value,
    tier: &'static str,
    why: String,
    destination: Destination,
    facts: Vec<Fact>,
    step_up: Option<Way>,
    contact: &'a str,
    can_continue: bool,
    act: &'a str,
    rest: &'a str,
    flow: String,
}

impl Notices {
    /// Reads the rules and templates that `gateway` names, and tries every page once. `blocked_by`
    /// names who blocks (RFC 7725 §4); empty for nobody.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn open(gateway: &config::Gateway, blocked_by: &str, keys: Keys) -> Result<Self, Error> {
        let config = gateway.notices.clone();
        let new = Self {
            rules: TierRules::load(config.tier_rules.as_deref())?,
            templates: Templates::load(config.dir.as_deref())?,
            step_up: StepUp::new(&config.step_up_url, &gateway.public_url, &keys, config.valid_s),
            tokens: Tokens::new(keys, Duration::from_secs(config.valid_s)),
            config,
            limits: gateway.limits.clone(),
            reports: gateway.reports.enabled,
            blocked_by: blocked_by.to_owned(),
        };
        new.try_all()?;
        Ok(new)
    }

    /// Renders everything there is, so that a template's mistake stops the start and no visitor.
    fn try_all(&self) -> Result<(), Error> {
        let sample = [
            told::Fact::StoppedBy("operator".to_owned()),
            told::Fact::PublicReason("fraud".to_owned()),
            told::Fact::Since(Timestamp::ZERO),
            told::Fact::Ended(Timestamp::ZERO),
        ];
        for language in [Language::English, Language::Chinese] {
            for name in MESSAGES {
                self.render_message(name, language, true, &sample, String::new())?;
            }
            self.render_password(language, true, true)?;
            self.try_desk(language)?;
            for (tier, form, service) in [
                (Tier::Hint, Form::Stop, Service::Link),
                (Tier::Interstitial, Form::Stop, Service::Link),
                (Tier::Hint, Form::Stop, Service::Name),
                (Tier::Interstitial, Form::Stop, Service::Name),
                (Tier::Block, Form::Stop, Service::Link),
                (Tier::Block, Form::StepUp, Service::Link),
            ] {
                let continue_after_s = (tier == Tier::Hint).then_some(20);
                let reason = super::Reason::Verdict;
                let warned = Warned {
                    tiered: Tiered { tier, form, continue_after_s, reason },
                    hit: None,
                    listed: Some("old.example/a"),
                    service,
                    code: "code",
                    target: "http://user@www.xn--fsq.example:81/",
                    registrable_domain: "xn--fsq.example",
                    rest: "/a?b",
                    passed: "",
                    flow: Flow(1),
                    language,
                    client: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    stays: false,
                    now: Timestamp::ZERO,
                };
                self.render(&warned, &self.token(&warned), true)?;
            }
        }
        Ok(())
    }

    /// The warning that a jump gets; none to let the visitor pass.
    pub(in crate::gateway) fn tier(&self, inputs: &Inputs<'_>) -> Option<Tiered> {
        self.rules.tier(inputs)
    }

    /// Whether a rule minds that a visitor is here for the first time.
    pub(in crate::gateway) const fn minds_first_visits(&self) -> bool {
        self.rules.minds_first_visits()
    }

    /// The version of the rules that make tiers.
    pub(in crate::gateway) fn tier_version(&self) -> &str {
        self.rules.version()
    }

    /// Reads what a page carried.
    pub(in crate::gateway) fn read(&self, token: &str, now: Timestamp) -> Result<Token, Refused> {
        self.tokens.read(token, now)
    }

    /// Makes the page of a warning.
    pub(in crate::gateway) fn issue(&self, warned: &Warned<'_>) -> Issued {
        let token = self.token(warned);
        // Where all that is handed on does not fit three times, what is needed has it alone.
        let page = match self.render(warned, &token, true) {
            Err(Error::Large { .. }) => self.render(warned, &token, false),
            page => page,
        };
        let response = match page {
            Ok(page) => {
                let mut response = html(warned.language, page, &self.form_action(warned));
                *response.status_mut() = warned.status();
                self.tell_who_blocks(warned.tiered, response.headers_mut());
                response.extensions_mut().insert(Told {
                    code: "stopped",
                    words: ["notice", warned.key()],
                    language: warned.language,
                    facts: told_of(warned),
                });
                response
            }
            Err(e) => {
                tracing::error!(error = %e, "a notice cannot be shown");
                self.message("busy", StatusCode::SERVICE_UNAVAILABLE, warned.language, false)
            }
        };
        Issued { token, response }
    }

    /// Says in a header who blocks (RFC 7725 §4).
    pub(super) fn tell_who_blocks(&self, tiered: Tiered, headers: &mut HeaderMap) {
        if tiered.tier == Tier::Block && !self.blocked_by.is_empty() {
            let link = format!("<{}>; rel=\"blocked-by\"", self.blocked_by);
            headers.extend(HeaderValue::try_from(link).ok().map(|l| (header::LINK, l)));
        }
    }

    fn token(&self, w: &Warned<'_>) -> Token {
        let hit = w.hit;
        Token {
            flow: w.flow,
            issued: w.now,
            code: w.code.to_owned(),
            target: digest(w.target),
            service: w.service,
            tier: w.tiered.tier,
            form: w.tiered.form,
            goes_on: w.goes_on_after().is_some(),
            language: w.language,
            reason: w.tiered.reason.name().to_owned(),
            feed: hit.map_or(String::new(), |h| h.feed.to_string()),
            feed_version: hit.map_or(String::new(), |h| h.feed_version.to_string()),
            rule: hit.map_or(String::new(), |h| h.rule.to_string()),
            text_version: self.templates.version().to_owned(),
            tier_version: self.rules.version().to_owned(),
            passed: w.passed.to_owned(),
            client: match w.tiered.form() {
                "step_up" => {
                    self.tokens.client(w.flow, self.limits.prefix(w.client.to_canonical()))
                }
                _ => String::new(),
            },
        }
    }

    /// Whether `client` is whom `token` was shown to, or their neighbour: a grant is nobody else's.
    pub(in crate::gateway) fn is_of(&self, token: &Token, client: IpAddr) -> bool {
        self.tokens.is_of(token, self.limits.prefix(client.to_canonical()))
    }

    /// The page; without `comfort` it neither goes on by itself nor leads to the other language.
    fn render(&self, w: &Warned<'_>, token: &Token, comfort: bool) -> Result<String, Error> {
        let act = format!("/.notice/{}", self.tokens.write(token));
        let tier = w.tiered.tier.name();
        let key = w.key();
        let words = self.templates.words(w.language);
        let of_key = words.get_attr("notice").and_then(|n| n.get_attr(key)).unwrap_or_default();
        let (tag, other, name) = w.language.other();
        let refresh = w.goes_on_after().filter(|_| comfort && w.can_continue());
        let frame = Frame {
            lang: w.language.tag(),
            kind: tier,
            title: self.templates.text(w.language, &["notice", key, "title"]),
            style: format!("{act}.css"),
            refresh: refresh.map(|seconds| Refresh {
                seconds,
                url: format!("{act}/continue{}", w.rest),
                stay: format!("{act}/{}{}", w.language.place(), w.rest),
            }),
            other: comfort.then(|| Other { url: format!("{act}/{other}{}", w.rest), tag, name }),
            w: words,
            help: self.help(w.language),
            appeal_url: self.appeal_url(w, &act),
            report_url: String::new(),
        };
        let destination = match w.service {
            Service::Name => Destination::host(host_of(w.target), w.registrable_domain),
            _ => Destination::new(w.target, w.registrable_domain),
        };
        let page = NoticePage {
            frame,
            words: of_key,
            tier,
            why: match w.tiered.reason.name() {
                "" => String::new(),
                reason => self.templates.text(w.language, &["reason", reason]),
            },
            destination,
            facts: facts(w),
            step_up: (w.tiered.form() == "step_up").then_some(Way { url: self.step_up.is_some() }),
            contact: &self.config.contact,
            can_continue: w.can_continue(),
            act: &act,
            rest: w.rest,
            flow: w.flow.to_string(),
        };
        self.templates.render("notice.html", &page)
    }

    /// Where the decision behind a notice can be appealed: where the operator says, else at our desk.
    fn appeal_url(&self, w: &Warned<'_>, act: &str) -> Cow<'_, str> {
        if !self.reports || !self.config.appeal_url.is_empty() {
            return Cow::Borrowed(&self.config.appeal_url);
        }
        let token = act.rsplit('/').next().unwrap_or("");
        let subject = match w.service {
            Service::Name => format!("&subject={}", host_of(w.target)),
            _ => String::new(),
        };
        format!("/report?notice={token}&category=appeal{subject}").into()
    }

    /// Where forms of a page may lead. Browsers hold redirects to it, too, so that the page of a
    /// warning that can be dismissed names every site: the destination may send on elsewhere.
    fn form_action(&self, w: &Warned<'_>) -> String {
        match &self.step_up {
            _ if w.can_continue() => ANYWHERE.to_owned(),
            Some(step_up) if w.tiered.form() == "step_up" => format!("'self' {}", step_up.origin()),
            _ => "'self'".to_owned(),
        }
    }
}

impl Warned<'_> {
    /// When its page goes on by itself, in seconds; none where it does not.
    fn goes_on_after(&self) -> Option<u32> {
        self.tiered.continue_after_s.filter(|_| !self.stays)
    }

    fn can_continue(&self) -> bool {
        self.tiered.tier != Tier::Block && self.service != Service::Name
    }

    /// The key of the wording.
    fn key(&self) -> &'static str {
        match (self.tiered.tier, self.tiered.form(), self.service) {
            (Tier::Block, "step_up", _) => "step_up",
            (Tier::Block, ..) => "stop",
            (Tier::Interstitial, _, Service::Name) => "name_interstitial",
            (Tier::Interstitial, ..) => "interstitial",
            (Tier::Hint, _, Service::Name) => "name_hint",
            (Tier::Hint, ..) => "hint",
        }
    }

    /// The status of its page. A host that DNS policy led here is not the one that was asked, so that
    /// a program that asked does not take our page for its answer.
    pub(in crate::gateway) fn status(&self) -> StatusCode {
        match (self.tiered.tier, self.service) {
            (Tier::Block, _) => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
            (_, Service::Name) => StatusCode::FORBIDDEN,
            _ => StatusCode::OK,
        }
    }
}

fn host_of(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// What a problem document says of a warning.
fn told_of(w: &Warned<'_>) -> Vec<told::Fact> {
    let own = [
        ("tier", w.tiered.tier.name().to_owned()),
        ("form", w.tiered.form().to_owned()),
        ("flow", w.flow.to_string()),
    ];
    let listed = facts(w).into_iter().map(|f| (f.name, f.value));
    let all = own.into_iter().chain(listed).filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| told::Fact::Said(name, value)).collect()
}

/// What a list says of its rule.
fn facts(w: &Warned<'_>) -> Vec<Fact> {
    let Some(hit) = w.hit else { return Vec::new() };
    let reason = match &*hit.legal.reason {
        "" => &*hit.justification,
        reason => reason,
    };
    let facts = [
        ("listed", w.listed.unwrap_or("")),
        ("authority", &*hit.legal.authority),
        ("order_number", &hit.legal.order_number),
        ("reason", reason),
        ("feed", &hit.feed),
        ("contact", &hit.contact),
    ];
    let there = facts.into_iter().filter(|(_, value)| !value.is_empty());
    there.map(|(name, value)| Fact { name, value: said(value, SAID_MAX) }).collect()
}
