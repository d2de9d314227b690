//! `GET /api/v1/rules`: is this listed, by whom, since when, with what effect; and what was true at
//! another time.
//!
//! Now is answered from the policy in force, without the store. Another time is put together from
//! the control state as it stood then and the rows of `rules` that could be about the subject; the
//! answers given around it come with it, so that it is a look at the records: what a role may see
//! is decided, and a refusal recorded, by [`crate::trace`].

mod told;

use std::collections::BTreeMap;

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::header;
use serde_json::{Map, Value};

pub(super) use self::told::Rules;
use self::told::{FeedThen, History, Judged, JudgedThen, RuleAbout, RulesNow};

use super::{ApiState, Caller, Problem, Right, auth, trace as looks};
use crate::{
    feeds::{self, Feeds},
    name::Name,
    policy::{Effect, Explained, Listing, Thing},
    trace::{AskListed, Error, Listed, Look, OnNode, RuleRow, Subject, Tracer},
};

/// The query string.
#[derive(Debug, Default)]
struct Given {
    name: String,
    at: Option<String>,
    case_number: String,
    purpose: String,
    misfit: bool,
}

impl Given {
    fn read(query: Option<&str>) -> Self {
        let mut given = Self::default();
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.into_owned();
            match &*name {
                _ if seen.contains(&name) => given.misfit = true,
                "name" => given.name = value,
                "at" => given.at = Some(value),
                "case" => given.case_number = value,
                "purpose" => given.purpose = value,
                _ => given.misfit = true,
            }
            seen.push(name);
        }
        given
    }
}

/// The answer, recorded first where it is about another time.
pub(super) async fn rules(
    State(api): State<ApiState>,
    Extension(tracer): Extension<Tracer>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(query.as_deref());
    let Some(at) = given.at else { return now(&api, &tracer, &caller, &given) };
    let look = Look {
        actor: caller.actor.name.to_string(),
        role: caller.actor.role.name(),
        peer: caller.peer.client,
        case_number: given.case_number,
        purpose: given.purpose,
    };
    let ask = AskListed { text: given.name, at, misfit: given.misfit };
    let texts = |subject: &Subject| thing(&api, subject).map(|t| t.rules()).unwrap_or_default();
    let judge = |listed: Listed| judge(api.clone(), listed);
    let page = tracer.listed(&look, &ask, texts, judge).await.map_err(looks::problem)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], page).into_response())
}

fn now(
    api: &ApiState,
    tracer: &Tracer,
    caller: &Caller,
    given: &Given,
) -> Result<Response, Problem> {
    if !caller.may(Right::ReadFeeds) {
        return Err(auth::forbidden());
    }
    if given.misfit {
        return Err(Problem::bad_request("the query has name, at, case and purpose, each once"));
    }
    let question = tracer.subject(&given.name).map_err(Problem::bad_request)?;
    let thing = thing(api, &question.subject).ok_or_else(|| {
        Problem::bad_request("a name, a URL, a link code or an address can be listed")
    })?;
    let set = api.feeds.in_force().load_full();
    let explained = set.explain(&thing, api.clock.now());
    let page = RulesNow {
        name: &question.text,
        kind: question.kind(),
        judged: shown(&explained, |_| None),
    };
    Ok(axum::Json(page).into_response())
}

/// What a question's subject is to policy.
fn thing(api: &ApiState, subject: &Subject) -> Option<Thing> {
    Some(match subject {
        Subject::Domain(name) => Thing::Name(Box::new(Name::from_text(name).ok()?.lower())),
        Subject::Url { target } => Thing::Url(target.clone()),
        Subject::Address(address) => Thing::Address(*address),
        Subject::Client { address, .. } => Thing::Address(*address),
        Subject::Link { code } => {
            let link = api.links.store().current(code).ok().flatten();
            let target = link.map(|l| l.target).unwrap_or_default();
            Thing::Link { code: code.clone(), target }
        }
        Subject::Record(_) => return None,
    })
}

/// What stood at that time, and what it meant.
async fn judge(api: ApiState, listed: Listed) -> Result<JudgedThen, Error> {
    let work = tokio::task::spawn_blocking(move || {
        thing(&api, &listed.subject).map(|thing| then(&api.feeds, &thing, &listed))
    });
    // What can be asked about can be listed, but for a record, which is refused before.
    let done = work.await.map_err(|_| Error::Malformed)?.ok_or(Error::Malformed)?;
    done.map_err(|error: feeds::Error| {
        tracing::error!(%error, "the control state of policy cannot be read");
        Error::Malformed
    })
}

fn then(feeds: &Feeds, thing: &Thing, listed: &Listed) -> Result<JudgedThen, feeds::Error> {
    let (at, store) = (listed.at, &**feeds.store());
    let standing = store.standing(store.newest_at(at)?, at)?;
    let rows: BTreeMap<&str, Vec<&RuleRow>> = by_feed(&listed.rules);
    let set = feeds::then(&standing, at, feeds.warns(), |feed| {
        let rows = rows.get(feed.name.as_str()).map_or(&[][..], Vec::as_slice);
        rows_at(rows, feed.version)
    });
    let explained = set.explain(thing, at);
    let judged = shown(&explained, |listing| {
        let history = rows.get(&*listing.feed).map_or_else(Vec::new, |rows| history(rows, listing));
        let since = |first: &&RuleRow| {
            feeds::in_force_since(store, &listing.feed, first.version, at).ok().flatten()
        };
        let here = |n: &&OnNode| n.feed == *listing.feed;
        Some(History {
            since: history.last().map(since),
            since_version: history.last().map(|first| first.version),
            text: history.first().map(|newest| newest.columns["text"].clone()),
            nodes: listed.on_nodes.iter().filter(here).map(|n| n.node.clone()).collect(),
        })
    });
    let feed = |f: &feeds::FeedRow| FeedThen { feed: f.name.clone(), version: f.version };
    Ok(JudgedThen { judged, feeds: standing.feeds.iter().map(feed).collect() })
}

fn by_feed(rows: &[RuleRow]) -> BTreeMap<&str, Vec<&RuleRow>> {
    let mut feeds: BTreeMap<&str, Vec<&RuleRow>> = BTreeMap::new();
    for row in rows {
        feeds.entry(&row.feed).or_default().push(row);
    }
    feeds
}

/// Of each rule, the newest row whose version is not above `version`, unless it says that the rule
/// is gone, or a later version told all its rules and not this one. Rows come with the newest version
/// first.
fn rows_at<'a>(rows: &[&'a RuleRow], version: u64) -> Vec<&'a Map<String, Value>> {
    let mut newest: BTreeMap<&str, &RuleRow> = BTreeMap::new();
    let reset = resets(rows, version).next().unwrap_or(0);
    let counts = |r: &&&RuleRow| (reset..=version).contains(&r.version) && !r.rule.is_empty();
    for row in rows.iter().filter(counts) {
        newest.entry(&row.rule).or_insert(row);
    }
    newest.into_values().map(|r| &r.columns).filter(|c| c["action"] != "removed").collect()
}

/// The rule's rows since it has been there without a break, the one that counted then first.
fn history<'a>(rows: &[&'a RuleRow], listing: &Listing) -> Vec<&'a RuleRow> {
    since_version(rows, &listing.trigger.to_string(), listing.feed_version)
}

fn since_version<'a>(rows: &[&'a RuleRow], rule: &str, version: u64) -> Vec<&'a RuleRow> {
    let of_rule = rows.iter().filter(|r| r.rule == rule && r.version <= version);
    let of_rule: Vec<&RuleRow> = of_rule.copied().collect();
    // A version that told all its rules and not this one did not have it.
    let without = resets(rows, version).find(|v| !of_rule.iter().any(|r| r.version == *v));
    let since = without.unwrap_or(0);
    let rows = of_rule.into_iter().take_while(|r| r.columns["action"] != "removed");
    rows.take_while(|r| r.version > since).collect()
}

/// The versions that told all their rules, up to `version`, newest first.
fn resets(rows: &[&RuleRow], version: u64) -> impl Iterator<Item = u64> {
    let resets = rows.iter().filter(move |r| r.rule.is_empty() && r.version <= version);
    resets.map(|r| r.version)
}

/// The decision and the rules behind it.
fn shown(explained: &Explained, history: impl Fn(&Listing) -> Option<History>) -> Judged {
    let rules = explained.listings.iter().map(|l| about(l, history(l))).collect();
    Judged { decision: explained.decision, rules }
}

fn about(l: &Listing, history: Option<History>) -> RuleAbout {
    let legal = &l.legal;
    RuleAbout {
        feed: l.feed.to_string(),
        feed_version: l.feed_version.to_string(),
        trigger: l.trigger.to_string(),
        action: l.action.name(),
        tier: l.tier,
        authority: legal.authority.to_string(),
        order_number: legal.order_number.to_string(),
        reason: legal.reason.to_string(),
        content_class: legal.content_class.to_string(),
        approver: legal.approver.to_string(),
        evidence: legal.evidence.to_string(),
        issued_at: legal.issued_at,
        effective_from: legal.effective_from,
        expires_at: legal.expires_at,
        due_at: legal.due_at,
        effect: l.effect.name(),
        acts: l.effect == Effect::Acts,
        counts: l.effect.counts(),
        history,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(version: u64, rule: &str, action: &str) -> RuleRow {
        let columns = super::super::feeds::object(json!({ "action": action, "rule": rule }));
        RuleRow { feed: "f".into(), version, rule: rule.into(), columns }
    }

    #[test]
    fn a_version_is_the_newest_row_of_each_rule() {
        let rows = [
            row(4, "a.test", "nxdomain"),
            row(3, "a.test", "removed"),
            row(3, "b.test", "drop"),
            row(1, "a.test", "nodata"),
        ];
        let rows: Vec<_> = rows.iter().collect();
        let check = |version, expected: &[&str]| {
            let found = rows_at(&rows, version);
            let found: Vec<_> =
                found.iter().map(|c| format!("{} {}", c["rule"], c["action"])).collect();
            assert_eq!(found, expected, "{version}");
        };
        check(0, &[]);
        check(1, &[r#""a.test" "nodata""#]);
        check(2, &[r#""a.test" "nodata""#]);
        check(3, &[r#""b.test" "drop""#]);
        check(4, &[r#""a.test" "nxdomain""#, r#""b.test" "drop""#]);
    }

    #[test]
    fn what_a_version_told_whole_did_not_name_was_gone() {
        let rows = [
            row(4, "b.test", "drop"),
            row(3, "", "reset"),
            row(3, "a.test", "nxdomain"),
            row(1, "a.test", "nodata"),
            row(1, "b.test", "nodata"),
        ];
        let rows: Vec<_> = rows.iter().collect();
        let at = |version| -> Vec<String> {
            rows_at(&rows, version)
                .iter()
                .map(|c| format!("{} {}", c["rule"], c["action"]))
                .collect()
        };
        assert_eq!(at(2), [r#""a.test" "nodata""#, r#""b.test" "nodata""#]);
        assert_eq!(at(3), [r#""a.test" "nxdomain""#]);
        assert_eq!(at(4), [r#""a.test" "nxdomain""#, r#""b.test" "drop""#]);
        let first = |rule: &str| since_version(&rows, rule, 4).last().map(|r| r.version);
        assert_eq!((first("a.test"), first("b.test")), (Some(1), Some(4)));
    }

    #[test]
    fn the_query_string_is_read_strictly() {
        let given = Given::read(Some("name=a%26b&at=-2h&case=7&purpose=p+q"));
        assert_eq!((given.name.as_str(), given.at.as_deref()), ("a&b", Some("-2h")));
        assert!(!given.misfit);
        for odd in ["name=a&name=b", "q=a", "name=a&limit=1"] {
            assert!(Given::read(Some(odd)).misfit, "{odd}");
        }
    }
}
