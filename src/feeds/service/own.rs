//! The operator's own rules: instant blocks, which a second person confirms, and allow rules.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{
    super::{
        ALLOW, Error, INSTANT, Needed,
        events::EventKind,
        ledger::Entry,
        store::{Body, NewOwnRule, OwnRule},
    },
    By, Feeds,
};
use crate::{
    clock::Timestamp,
    policy::{Action, Legal, Rule, Trigger, UrlKind},
};

/// A block to be made at once.
#[derive(Clone, Debug, Default)]
pub struct NewBlock {
    /// A name, `*.name`, a URL, an address, a prefix or a rule.
    pub what: String,
    /// How long it lasts once it is confirmed, in seconds; 0 for `feeds.block_s`.
    pub seconds: u64,
    /// Who ordered it; empty for nobody.
    pub authority: String,
    /// The order's number.
    pub order_number: String,
}

/// An allow rule to be made.
#[derive(Clone, Debug, Default)]
pub struct NewAllow {
    /// A name, `*.name`, a URL, an address, a prefix or a rule.
    pub what: String,
    /// Who answers for it; empty for whoever makes it.
    pub owner: String,
    /// When it ends; [`Timestamp::ZERO`] for after `feeds.allow_s_max`.
    pub expires: Timestamp,
}

impl Feeds {
    /// Blocks something at once, on every node. It ends by itself, soon, unless a second person
    /// confirms it. Blocks.
    ///
    /// # Errors
    /// [`Error::BadRule`], [`Error::Protected`], [`Error::TooMany`], [`Error::TooLong`], or when the
    /// database fails.
    pub fn block_now(self: &Arc<Self>, block: &NewBlock, by: &By) -> Result<OwnRule, Error> {
        let trigger = trigger_of(&block.what)?;
        let rule = Rule { trigger, action: Action::Nxdomain, legal: Arc::new(Legal::default()) };
        if let Some(reason) = self.protected.refuses(&rule, false) {
            return Err(Error::Protected(reason.text.into_owned()));
        }
        let seconds = if block.seconds == 0 { self.config.block_s } else { block.seconds };
        if seconds > self.config.block_s_max {
            return Err(Error::TooLate(self.config.block_s_max));
        }
        let now = self.clock().now();
        let until = |seconds| now.saturating_add(Duration::from_secs(seconds));
        let new = NewOwnRule {
            owner: by.actor.clone(),
            person: by.person().to_owned(),
            authority: self.note(&block.authority)?.to_owned(),
            order_number: self.note(&block.order_number)?.to_owned(),
            expires: until(seconds.min(self.config.block_unconfirmed_s)),
            expires_confirmed: until(seconds),
        };
        self.make_own(INSTANT, EventKind::Blocked, &rule.trigger, &new, by)
    }

    /// Confirms a block that somebody else made: it lasts as long as they wanted. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::SamePerson`], [`Error::Over`], or when the database fails.
    pub fn confirm(self: &Arc<Self>, id: u64, by: &By) -> Result<OwnRule, Error> {
        self.note(&by.reason)?;
        self.step_own(INSTANT, id, EventKind::Confirmed, by)
    }

    /// Ends a block before its time. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Over`], or when the database fails.
    pub fn lift(self: &Arc<Self>, id: u64, by: &By) -> Result<OwnRule, Error> {
        self.note(&by.reason)?;
        self.step_own(INSTANT, id, EventKind::Lifted, by)
    }

    /// Lets something through, whatever feeds say that allow rules win over. It says why, and ends
    /// by itself. Blocks.
    ///
    /// # Errors
    /// [`Error::BadRule`], [`Error::Missing`] without a reason, [`Error::Past`],
    /// [`Error::TooLate`], [`Error::TooMany`], [`Error::TooLong`], or when the database fails.
    pub fn allow(self: &Arc<Self>, allow: &NewAllow, by: &By) -> Result<OwnRule, Error> {
        let trigger = trigger_of(&allow.what)?;
        self.needed(Needed::Reason, &by.reason)?;
        let now = self.clock().now();
        let last = now.saturating_add(Duration::from_secs(self.config.allow_s_max));
        let expires = if allow.expires == Timestamp::ZERO { last } else { allow.expires };
        if expires <= now {
            return Err(Error::Past);
        }
        if expires > last {
            return Err(Error::TooLate(self.config.allow_s_max));
        }
        let owner = if allow.owner.is_empty() { &by.actor } else { &allow.owner };
        let new = NewOwnRule {
            owner: self.note(owner)?.to_owned(),
            person: by.person().to_owned(),
            authority: String::new(),
            order_number: String::new(),
            expires,
            expires_confirmed: expires,
        };
        self.make_own(ALLOW, EventKind::Allowed, &trigger, &new, by)
    }

    /// Takes an allow rule back before its time. Blocks.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Over`], or when the database fails.
    pub fn disallow(self: &Arc<Self>, id: u64, by: &By) -> Result<OwnRule, Error> {
        self.note(&by.reason)?;
        self.step_own(ALLOW, id, EventKind::Disallowed, by)
    }

    /// Instant blocks with ids below `before` (0 for no bound), newest first. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn blocks(&self, before: u64, limit: usize) -> Result<Vec<OwnRule>, Error> {
        self.store().own_rules(INSTANT, before, limit)
    }

    /// Allow rules with ids below `before` (0 for no bound), newest first. Blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub fn allows(&self, before: u64, limit: usize) -> Result<Vec<OwnRule>, Error> {
        self.store().own_rules(ALLOW, before, limit)
    }

    fn make_own(
        self: &Arc<Self>,
        feed: &'static str,
        kind: EventKind,
        trigger: &Trigger,
        new: &NewOwnRule,
        by: &By,
    ) -> Result<OwnRule, Error> {
        self.note(&by.reason)?;
        let rule = trigger.to_string();
        let id = self.upon(feed, |basis| {
            let standing = self.standing()?;
            let (rules, version) = match feed {
                INSTANT => (&standing.instant, standing.instant_version),
                _ => (&standing.allow, standing.allow_version),
            };
            if rules.len() >= self.config.own_rules_max {
                return Err(Error::TooMany("own rules", self.config.own_rules_max));
            }
            let entry = Entry::new(kind, feed).version(version + 1).about(&rule);
            let entry = entry.by(&by.actor, &by.reason).with("owner", new.owner.as_str());
            let entry = entry.with("person", by.person());
            let entry = entry.with("expires_at", serde_json::json!(new.expires));
            let entry = match kind {
                EventKind::Blocked => entry
                    .with("confirmed", false)
                    .with("expires_at_confirmed", serde_json::json!(new.expires_confirmed))
                    .with("authority", new.authority.as_str())
                    .with("order_number", new.order_number.as_str()),
                _ => entry,
            };
            Ok(self.ledger.write(&entry, Body::OwnRule(new), Some(basis))?.id)
        })?;
        self.obey()?;
        self.write_own_rows(feed);
        self.store().own_rule(id)?.ok_or(Error::Unknown("rule"))
    }

    fn step_own(
        self: &Arc<Self>,
        feed: &'static str,
        id: u64,
        kind: EventKind,
        by: &By,
    ) -> Result<OwnRule, Error> {
        self.upon(feed, |basis| {
            let standing = self.standing()?;
            let (rules, version) = match feed {
                INSTANT => (&standing.instant, standing.instant_version),
                _ => (&standing.allow, standing.allow_version),
            };
            let Some(rule) = rules.iter().find(|r| r.id == id) else {
                let known = self.store().own_rule(id)?.is_some();
                return Err(if known { Error::Over } else { Error::Unknown("rule") });
            };
            let confirms = kind == EventKind::Confirmed;
            if confirms && !rule.confirmed_by.is_empty() {
                return Err(Error::Over);
            }
            // Two tokens do not make two persons.
            if confirms && rule.person.eq_ignore_ascii_case(by.person()) {
                return Err(Error::SamePerson);
            }
            let entry = Entry::new(kind, feed).version(version + 1).about(&rule.rule);
            let entry = entry.by(&by.actor, &by.reason).with("id", id);
            let entry = entry.with("person", by.person());
            let (entry, body) = if confirms {
                let until = serde_json::json!(rule.expires_confirmed);
                (entry.with("expires_at", until), Body::Confirmed(id))
            } else {
                (entry, Body::Ended(id))
            };
            self.ledger.write(&entry, body, Some(basis))
        })?;
        self.obey()?;
        self.write_own_rows(feed);
        self.store().own_rule(id)?.ok_or(Error::Unknown("rule"))
    }
}

/// What a person means: a rule's text, a URL, an address or prefix, a name.
pub(super) fn trigger_of(what: &str) -> Result<Trigger, Error> {
    let what = what.trim();
    let bad = || Error::BadRule(what.to_owned());
    // Names may hold anything; what people mean by them does not.
    if what.contains(|c: char| c.is_whitespace() || c.is_control())
        || what.trim_matches(['*', '.']).is_empty()
    {
        return Err(bad());
    }
    if let Ok(address) = what.parse::<IpAddr>() {
        return Ok(Trigger::ResponseIp(IpNet::from(address.to_canonical())));
    }
    if let Ok(net) = what.parse::<IpNet>() {
        return Ok(Trigger::ResponseIp(net.trunc()));
    }
    if what.contains("://") {
        return Trigger::url(UrlKind::Exact, what).map_err(|_| bad());
    }
    if what.is_ascii()
        && let Ok(trigger) = what.parse::<Trigger>()
    {
        // A URL without its scheme is no name, but the delegation of a part of a network is
        // (RFC 2317 §4).
        let name = trigger.to_string();
        let is_name = matches!(trigger, Trigger::Qname(_));
        return match is_name && name.contains(['/', '?', '#', '@', ':']) {
            true if !name.ends_with(".arpa") => Err(bad()),
            _ => Ok(trigger),
        };
    }
    // A name as people write it: in upper case, in their script, with a dot at its end.
    let (star, name) = match what.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", what),
    };
    let ascii = idna::domain_to_ascii(name.trim_end_matches('.')).map_err(|_| bad())?;
    if ascii.is_empty() {
        return Err(bad());
    }
    format!("{star}{ascii}").parse().map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_a_rule() {
        let check = |what: &str, rule: &str| {
            assert_eq!(trigger_of(what).unwrap().to_string(), rule, "{what}");
        };
        check("bad.example", "bad.example");
        check(" BAD.Example. ", "bad.example");
        check("*.bad.example", "*.bad.example");
        check("诈骗.example", "xn--0d3aq50a.example");
        check("192.0.2.1", "32.1.2.0.192.rpz-ip");
        check("192.0.2.0/24", "24.0.2.0.192.rpz-ip");
        check("https://evil.example/a?b", "url:evil.example/a?b");
        check("url-host:evil.example", "url-host:evil.example");
        check("32.1.2.0.192.rpz-client-ip", "32.1.2.0.192.rpz-client-ip");
        check("code:abc", "code:abc");
        check("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa");
        let urls = ["bad.example/a", "bad.example:8080", "user@bad.example", "bad.example?a"];
        for bad in [&["", "*.", "a b", "..", "http://"][..], &urls].concat() {
            assert!(trigger_of(bad).is_err(), "{bad:?}");
        }
    }
}
