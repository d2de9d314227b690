//! What is said of a change. No client, no owner, no actor, no contact, and nothing that somebody
//! wrote about somebody: who may know that asks the API, as a recorded look.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Kind;
use crate::{
    clock::Timestamp,
    feeds::Event,
    reports::{Report, Step},
};

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same for the same event, whoever tells it.
    pub id: String,
    /// What has happened.
    pub kind: Kind,
    /// The body.
    pub body: String,
}

impl Message {
    /// About `object`. `of` is what tells this event from every other of its kind.
    pub(super) fn new(kind: Kind, of: &[&str], at: Timestamp, object: Value) -> Self {
        let mut hash = Sha256::new();
        let at = at.to_string();
        for text in [kind.name(), &at].iter().chain(of) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let mut id = String::from("msg_");
        for byte in &hash.finalize()[..16] {
            // Writing to a text does not fail.
            if write!(id, "{byte:02x}").is_err() {}
        }
        // `type`, `timestamp` and `data` are what the specification suggests.
        let body = json!({ "id": id, "type": kind.name(), "timestamp": at, "data": object });
        Self { id, kind, body: body.to_string() }
    }

    /// A try; no two are the same.
    pub(super) fn test(endpoint: i64, salt: &[u8], at: Timestamp) -> Self {
        let of = [&*endpoint.to_string(), &*hex::encode(salt)];
        Self::new(Kind::Test, &of, at, json!({ "webhook": endpoint }))
    }

    /// A report that came.
    pub(super) fn received(r: &Report) -> Self {
        let mut object = report(r);
        object.insert("due".into(), r.due.to_string().into());
        Self::new(Kind::ReportReceived, &[&r.number], r.received, object.into())
    }

    /// A report that was decided.
    pub(super) fn decided(r: &Report, step: &Step) -> Self {
        let mut object = report(r);
        object.insert("decision".into(), step.decision.name().into());
        object.insert("act".into(), step.act.name().into());
        Self::new(Kind::ReportDecided, &[&r.number], step.ts, object.into())
    }

    /// What befell a feed, or an appeal against a rule of it.
    pub(super) fn of_feed(kind: Kind, event: &Event) -> Self {
        let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
        let mut object = Map::new();
        object.insert("feed".into(), event.feed.as_str().into());
        object.insert("node".into(), event.node.as_str().into());
        if event.version > 0 {
            object.insert("version".into(), event.version.into());
        }
        if !event.subject.is_empty() {
            object.insert("rule".into(), event.subject.as_str().into());
        }
        match kind {
            Kind::AppealReceived => {
                object.insert("appeal".into(), event.id.into());
            }
            Kind::AppealDecided => {
                object.insert("appeal".into(), detail["id"].clone());
                object.insert("decision".into(), detail["status"].clone());
            }
            _ => {}
        }
        let of = [&*event.node, &*event.id.to_string()];
        Self::new(kind, &of, event.ts, object.into())
    }
}

fn report(r: &Report) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, text) in [
        ("number", &*r.number),
        ("category", r.category.name()),
        ("kind", r.kind.name()),
        ("subject", &*r.subject),
        ("registrable_domain", &*r.registrable_domain),
    ] {
        object.insert(name.into(), text.into());
    }
    if !r.code.is_empty() {
        object.insert("code".into(), r.code.as_str().into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_id_and_others_have_others() {
        let at = Timestamp::from_secs(1_900_000_000);
        let of = |kind, of: &[&str], at| Message::new(kind, of, at, json!({})).id;
        let one = of(Kind::LinkCreated, &["a", "1"], at);
        assert_eq!(one, of(Kind::LinkCreated, &["a", "1"], at));
        assert!(one.len() == 36 && one.starts_with("msg_"));
        for other in [
            of(Kind::LinkEdited, &["a", "1"], at),
            of(Kind::LinkCreated, &["a1", ""], at),
            of(Kind::LinkCreated, &["a", "1"], Timestamp::from_secs(1)),
        ] {
            assert_ne!(one, other);
        }
    }
}
