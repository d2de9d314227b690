//! What each action asks of the API.

use http::Method;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Map, Value, json};

use super::{Action, Allow, Appeal, BlockNow, Why, bytes};
use crate::cli::client::Api;

/// A request: method, path below `/api/v1`, query, body.
struct Request {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Action {
    /// Asks the API; `format` is what a list is written in.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    pub(super) async fn ask(&self, api: &Api, format: Option<&str>) -> anyhow::Result<Value> {
        if let Self::Apply { name, dry_run, file: Some(file), why } = self {
            return bytes::apply(api, name, file, *dry_run, why.reason.as_deref()).await;
        }
        let answer = Self::send(api, self.request(format)?).await?;
        let Self::Add { name, .. } = self else { return Ok(answer) };
        // The first fetch goes on: whoever adds a feed wants to know what came of it. What went
        // wrong with it, the feed itself says.
        let first = post(["feeds", name, "refresh"], members([("first", Some(json!(true)))]));
        let fetched = Self::send(api, first).await;
        let status = Self::send(api, get(["feeds", name])).await;
        fetched.and(status).or(Ok(answer))
    }

    /// How far a fetch is by now, for a person; none for other actions, and where nothing is known.
    pub(super) async fn stage(&self, api: &Api) -> Option<String> {
        let (Self::Add { name, .. }
        | Self::Change { name, .. }
        | Self::Refresh { name, .. }
        | Self::Apply { name, .. }) = self
        else {
            return None;
        };
        let status = Self::send(api, get(["feeds", name])).await.ok()?;
        far(&status)
    }

    async fn send(api: &Api, request: Request) -> anyhow::Result<Value> {
        let path = ["api", "v1"].into_iter().chain(request.path.iter().map(String::as_str));
        let path: Vec<&str> = path.collect();
        let query: Vec<_> = request.query.iter().map(|(n, v)| (*n, v.as_str())).collect();
        api.json(request.method, &path, &query, request.body.as_ref()).await
    }

    fn request(&self, format: Option<&str>) -> anyhow::Result<Request> {
        Ok(match self {
            Self::Add { name, spec, why } => {
                post(["feeds"], why.beside(spec.body(Some(name), format)?))
            }
            Self::Change { name, spec, why } => Request {
                method: Method::PATCH,
                body: Some(why.beside(spec.body(None, format)?).into()),
                ..get(["feeds", name])
            },
            Self::Remove { name, why } => delete(["feeds", name], why),
            Self::List => get(["feeds"]),
            Self::Report { name, .. } => get(["feeds", name, "report"]),
            Self::Export { name, .. } => get(["feeds", name, "export"]),
            Self::Status { name } => get(["feeds", name]),
            Self::Versions { name, version: None } => get(["feeds", name, "versions"]),
            Self::Versions { name, version: Some(n) } => {
                get(["feeds", name, "versions", &n.to_string()])
            }
            Self::Refresh { name, why } => {
                post(["feeds", name, "refresh"], members([why.member()]))
            }
            Self::Diff { name, from, to } => Request {
                query: given([("from", from), ("to", to)]),
                ..get(["feeds", name, "diff"])
            },
            Self::Apply { name, dry_run, why, .. } => {
                let body = members([("dry_run", Some(json!(dry_run))), why.member()]);
                post(["feeds", name, "apply"], body)
            }
            Self::Approve { name, version, why } => {
                decide(name, "approve", "version", *version, why)
            }
            Self::Refuse { name, version, why } => decide(name, "refuse", "version", *version, why),
            Self::Rollback { name, to, why } => decide(name, "rollback", "version", *to, why),
            Self::BlockNow(block) => post(["blocks"], block.body()),
            Self::Blocks => get(["blocks"]),
            Self::Confirm { id, why } => {
                post(["blocks", &id.to_string(), "confirm"], members([why.member()]))
            }
            Self::Lift { id, why } => {
                post(["blocks", &id.to_string(), "lift"], members([why.member()]))
            }
            Self::Allow(allow) => allow.request(),
            Self::Appeal(appeal) => appeal.request(),
        })
    }
}

/// How far the work on a feed is, from its status.
fn far(status: &Value) -> Option<String> {
    let words = match status["work"].as_str()? {
        "fetching" => "fetching 获取中",
        "reading" => "reading and compiling 解析编译中",
        "judging" => return Some("judging 核验中".to_owned()),
        "activating" => return Some("taking force 生效中".to_owned()),
        _ => return None,
    };
    let done = &status["progress"];
    let bytes = |key: &str| done[key].as_u64().filter(|n| *n > 0).map(HumanBytes);
    let mut text = words.to_owned();
    match (bytes("bytes"), bytes("bytes_total")) {
        (Some(bytes), Some(total)) => text += &format!(" {bytes} / {total}"),
        (Some(bytes), None) => text += &format!(" {bytes}"),
        (None, _) => {}
    }
    if let Some(rules) = done["rules"].as_u64().filter(|n| *n > 0) {
        text += &format!(", {} rules 条规则", HumanCount(rules));
    }
    Some(text)
}

impl BlockNow {
    fn body(&self) -> Map<String, Value> {
        members([
            ("name", Some(json!(self.name))),
            ("for_s", self.span.map(Value::from)),
            ("authority", self.authority.as_ref().map(|v| json!(v))),
            ("order_number", self.order_number.as_ref().map(|v| json!(v))),
            self.why.member(),
        ])
    }
}

impl Allow {
    fn request(&self) -> Request {
        match self {
            Self::Add { name, owner, span, expires, because } => {
                let body = members([
                    ("name", Some(json!(name))),
                    ("owner", owner.as_ref().map(|v| json!(v))),
                    ("for_s", span.map(Value::from)),
                    ("expires", expires.as_ref().map(|v| json!(v))),
                    ("reason", Some(json!(because.reason))),
                ]);
                post(["allow"], body)
            }
            Self::List => get(["allow"]),
            Self::Remove { id, why } => delete(["allow", &id.to_string()], why),
        }
    }
}

impl Appeal {
    fn request(&self) -> Request {
        match self {
            Self::Open { subject, contact, feed, suspend, because } => {
                let body = members([
                    ("subject", Some(json!(subject))),
                    ("contact", Some(json!(contact))),
                    ("feed", feed.as_ref().map(|v| json!(v))),
                    ("suspend", suspend.then_some(Value::Bool(true))),
                    ("reason", Some(json!(because.reason))),
                ]);
                post(["appeals"], body)
            }
            Self::List { status } => {
                Request { query: given([("status", status)]), ..get(["appeals"]) }
            }
            Self::Person { id, case_number, purpose } => {
                let (case, purpose) = (Some(case_number.clone()), Some(purpose.clone()));
                let query = given([("case", &case), ("purpose", &purpose)]);
                Request { query, ..get(["appeals", &id.to_string(), "person"]) }
            }
            Self::Decide { id, status, why } => Request {
                method: Method::PATCH,
                body: Some(members([("status", Some(json!(status))), why.member()]).into()),
                ..get(["appeals", &id.to_string()])
            },
        }
    }
}

impl Why {
    fn member(&self) -> (&'static str, Option<Value>) {
        ("reason", self.reason.as_ref().map(|v| json!(v)))
    }

    /// Settings, and the reason beside them.
    fn beside(&self, mut settings: Map<String, Value>) -> Map<String, Value> {
        settings.extend(members([self.member()]));
        settings
    }
}

fn get<const N: usize>(path: [&str; N]) -> Request {
    let path = path.map(str::to_owned).to_vec();
    Request { method: Method::GET, path, query: Vec::new(), body: None }
}

fn post<const N: usize>(path: [&str; N], body: Map<String, Value>) -> Request {
    Request { method: Method::POST, body: Some(body.into()), ..get(path) }
}

fn delete<const N: usize>(path: [&str; N], why: &Why) -> Request {
    Request { method: Method::DELETE, query: given([("reason", &why.reason)]), ..get(path) }
}

fn decide(
    name: &str,
    verb: &str,
    member: &'static str,
    version: Option<u64>,
    why: &Why,
) -> Request {
    let body = members([(member, version.map(Value::from)), why.member()]);
    post(["feeds", name, verb], body)
}

/// What is given, and nothing else: what is absent stays as it is.
fn members<const N: usize>(all: [(&'static str, Option<Value>); N]) -> Map<String, Value> {
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn given<T: ToString, const N: usize>(
    all: [(&'static str, &Option<T>); N],
) -> Vec<(&'static str, String)> {
    let one = |(name, value): (&'static str, &Option<T>)| Some((name, value.as_ref()?.to_string()));
    all.into_iter().filter_map(one).collect()
}

/// Seconds of a span such as 90s, 30m, 12h, 7d or 4w.
pub(super) fn span(text: &str) -> Result<u64, NoSpan> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(NoSpan),
    };
    let number: u64 = digits.parse().map_err(|_| NoSpan)?;
    number.checked_mul(unit).filter(|s| *s > 0).ok_or(NoSpan)
}

/// Not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a span is a number and a unit, as 90s, 30m, 12h, 7d or 4w")]
pub(super) struct NoSpan;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::feed::SpecArgs;

    #[test]
    fn spans_have_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("4w", 2_419_200)] {
            assert_eq!(span(text), Ok(seconds), "{text}");
        }
        for bad in ["", "h", "7", "-7d", "0h", "1y", "99999999999999999w", "1 h"] {
            assert_eq!(span(bad), Err(NoSpan), "{bad}");
        }
    }

    #[test]
    fn whoever_waits_is_told_how_far_it_is() {
        let check = |status: Value, told: Option<&str>| {
            assert_eq!(far(&status).as_deref(), told, "{status}");
        };
        check(json!({"name": "f"}), None);
        check(
            json!({"work": "fetching", "progress": {"bytes": 0, "rules": 0}}),
            Some("fetching 获取中"),
        );
        check(
            json!({"work": "fetching", "progress": {"bytes": 1_572_864, "rules": 0}}),
            Some("fetching 获取中 1.50 MiB"),
        );
        check(
            json!({"work": "reading", "progress":
                {"bytes": 1_048_576, "bytes_total": 4_194_304, "rules": 54_321}}),
            Some("reading and compiling 解析编译中 1.00 MiB / 4.00 MiB, 54,321 rules 条规则"),
        );
        check(
            json!({"work": "judging", "progress": {"bytes": 9, "rules": 9}}),
            Some("judging 核验中"),
        );
    }

    #[test]
    fn only_what_is_given_is_sent() {
        let why = Why { reason: Some("wrong list".into()) };
        let action = Action::Rollback { name: "a/b".into(), to: None, why };
        let request = action.request(None).unwrap();
        assert_eq!(request.path, ["feeds", "a/b", "rollback"]);
        assert_eq!(request.body, Some(json!({ "reason": "wrong list" })));
        let why = Why { reason: Some("a call".into()) };
        let action = Action::Refresh { name: "f".into(), why: why.clone() };
        assert_eq!(action.request(None).unwrap().body, Some(json!({ "reason": "a call" })));
        let why_said = why.clone();
        let action = Action::Apply { name: "f".into(), dry_run: false, file: None, why };
        let body = json!({ "dry_run": false, "reason": "a call" });
        assert_eq!(action.request(None).unwrap().body, Some(body));
        let spec = Box::new(SpecArgs::default());
        let action = Action::Change { name: "f".into(), spec, why: why_said };
        assert_eq!(action.request(None).unwrap().body, Some(json!({ "reason": "a call" })));
        let action = Action::Diff { name: "f".into(), from: Some(3), to: None };
        let request = action.request(None).unwrap();
        assert_eq!(request.query, [("from", "3".to_owned())]);
    }
}
