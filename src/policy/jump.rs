//! Deciding about jumps.

use std::net::IpAddr;

use super::{
    Matches, Outcome, PolicySet, Trigger, UrlKind,
    decide::At,
    hit::Kind,
    index::key::{self, Tag},
    set::Slot,
    url::Canonical,
};
use crate::{clock::Timestamp, name::Name};

/// A jump as policy sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct JumpFacts<'a> {
    /// The target.
    pub url: &'a str,
    /// The target's host in lower case; none for an address.
    pub host: Option<&'a Name>,
    /// The link's code; none where the jump is not a link's.
    pub code: Option<&'a str>,
    /// The target's addresses, as far as they are known.
    pub addresses: &'a [IpAddr],
    /// The names that the host's aliases led to, in order, in lower case.
    pub chain: &'a [Name],
}

impl PolicySet {
    /// Decides a jump. In a feed, the link's code comes first, then the URL itself, the longest
    /// beginning of it, its host, the host as a name, the target's addresses. Rules about clients
    /// and servers of zones are DNS's alone. [`PolicySet::closed`] is for the caller to ask.
    pub fn jump(&self, facts: &JumpFacts<'_>, now: Timestamp) -> Outcome {
        let at = |position| At { staged: false, ..At::new(now, position) };
        let mut matches = Matches::default();
        let url = Canonical::read(facts.url);
        for slot in &self.slots {
            slot.link(facts.code, url.as_ref(), at(0), &mut matches);
        }
        for (position, name) in facts.host.into_iter().chain(facts.chain).enumerate() {
            matches = matches.and(self.names(name, at(position)));
        }
        self.addresses(facts.addresses, at(facts.chain.len()), &mut matches);
        matches.outcome()
    }
}

impl Slot {
    fn link(&self, code: Option<&str>, url: Option<&Canonical>, at: At, matches: &mut Matches) {
        if let Some(code) = code {
            self.text(Tag::Code, Kind::Code, code, || Trigger::Code(code.into()), at, matches);
        }
        let Some(url) = url else { return };
        self.url(url.text(), Kind::Url, [UrlKind::Exact, UrlKind::ExactAnyCase], at, matches);
        let index = &self.feed.index;
        let paths = url.paths().filter(|path| {
            let slashes = key::slashes(path.as_bytes()).into();
            [Tag::UrlPrefix, Tag::UrlPrefixAnyCase].iter().any(|t| index.has_size(*t, slashes))
        });
        let hosts = |path| url.hosts().map(move |host| format!("{host}{path}"));
        let kinds = [UrlKind::Prefix, UrlKind::PrefixAnyCase];
        paths.flat_map(hosts).any(|text| self.url(&text, Kind::UrlPrefix, kinds, at, matches));
        url.hosts().any(|host| {
            let of_host = || Trigger::Url(UrlKind::Host, host.into());
            self.text(Tag::UrlHost, Kind::UrlHost, host, of_host, at, matches)
        });
    }

    /// Whether a rule of this text applies: one that is particular about case, else one that is not.
    fn url(
        &self,
        text: &str,
        kind: Kind,
        [particular, any_case]: [UrlKind; 2],
        at: At,
        matches: &mut Matches,
    ) -> bool {
        let tags = match kind {
            Kind::Url => [Tag::UrlExact, Tag::UrlExactAnyCase],
            _ => [Tag::UrlPrefix, Tag::UrlPrefixAnyCase],
        };
        let trigger = || Trigger::Url(particular, text.into());
        if self.text(tags[0], kind, text, trigger, at, matches) {
            return true;
        }
        if !self.feed.index.has(&tags[1..]) {
            return false;
        }
        let folded = text.to_ascii_lowercase();
        let trigger = || Trigger::Url(any_case, folded.as_str().into());
        self.text(tags[1], kind, &folded, trigger, at, matches)
    }

    /// Whether a rule of this text applies.
    fn text(
        &self,
        tag: Tag,
        kind: Kind,
        text: &str,
        trigger: impl Fn() -> Trigger,
        at: At,
        matches: &mut Matches,
    ) -> bool {
        let class = self.feed.index.find_text(tag, text);
        let Some(class) = class.filter(|class| self.counts(class, at.now, &trigger)) else {
            return false;
        };
        self.hit(class, &trigger(), kind, at, matches);
        true
    }
}
