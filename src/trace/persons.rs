//! Columns about persons, and who may see them.
//!
//! | role | asks | sees persons | may ask by `client` |
//! |---|---|---|---|
//! | `operator`, `investigator` | yes | with case number and purpose | with case number and purpose |
//! | `auditor` | yes | never | never |
//! | `writer` | no | no | no |
//!
//! About persons is what tells one visitor from another: `client`, `client_port`, `client_key`,
//! `user_agent`; how somebody who reported or appealed is reached and what they wrote (`contact`,
//! `text`, `claimant` among the details of a feed's event); in a look at the records also `peer`, `peer_port`, and the question of a `client`
//! question. Who made or owns a link (`actor`, `owner`) answers for it and is not withheld.
//! A withheld column is `null`, and its name stands in `withheld`.

use serde_json::{Map, Value};

use crate::record::Table;

/// What the one who asks may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    Persons,
    /// Everything but columns about persons.
    Things,
}

/// The columns about persons of `table`.
const fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Resolutions | Table::Conversions | Table::Notices => {
            &["client", "client_port", "client_key"]
        }
        Table::Jumps => &["client", "client_port", "client_key", "user_agent"],
        Table::Access => &["peer", "peer_port"],
        Table::Verifications
        | Table::FeedEvents
        | Table::Rules
        | Table::Gaps
        | Table::Frames
        | Table::Nodes
        | Table::Hops
        | Table::Evidence => &[],
        Table::Reports => &["client", "client_port", "client_key", "contact", "text"],
    }
}

/// Whether a column may be blanked.
pub(super) fn may_be_withheld(table: Table, column: &str) -> bool {
    columns(table).contains(&column) || (table == Table::Access && column == "question")
}

/// Blanks what may not be seen, and says so.
pub(super) fn withhold(record: &mut Map<String, Value>, table: Table, sight: Sight) {
    if sight == Sight::Persons {
        return;
    }
    let mut withheld = columns(table).to_vec();
    if table == Table::Access && asks_about_a_person(record) {
        withheld.push("question");
    }
    if table == Table::FeedEvents && blank_claimant(record) {
        record.insert("withheld".to_owned(), vec!["detail.claimant"].into());
    }
    if withheld.is_empty() {
        return;
    }
    for name in &withheld {
        record.insert((*name).to_owned(), Value::Null);
    }
    record.insert("withheld".to_owned(), withheld.into());
}

/// Blanks how whoever appealed is reached, which the details of an event hold as JSON. Whether there
/// was such a member; what cannot be read might have one.
fn blank_claimant(record: &mut Map<String, Value>) -> bool {
    let Some(Value::String(detail)) = record.get_mut("detail") else { return false };
    if !detail.contains("claimant") {
        return false;
    }
    match serde_json::from_str::<Map<String, Value>>(detail) {
        Ok(mut members) => {
            if members.contains_key("claimant") {
                members.insert("claimant".to_owned(), Value::Null);
                *detail = Value::Object(members).to_string();
                return true;
            }
            false
        }
        Err(_) => {
            detail.clear();
            true
        }
    }
}

/// Whether an access row's question names a person: what cannot be read might.
fn asks_about_a_person(record: &Map<String, Value>) -> bool {
    let question = record.get("question").and_then(Value::as_str).unwrap_or_default();
    let Ok(question) = serde_json::from_str::<Value>(question) else { return true };
    !matches!(
        question["kind"].as_str(),
        Some(
            "record"
                | "url"
                | "link"
                | "address"
                | "domain"
                | "rules"
                | "feed"
                | "report"
                | "appeal"
        )
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{SchemaId, schema::Type};

    fn seen(record: &Value, table: Table, sight: Sight) -> Value {
        let mut record = record.as_object().unwrap().clone();
        withhold(&mut record, table, sight);
        record.into()
    }

    #[test]
    fn persons_are_blanked_and_named() {
        let jump = json!({ "client": "192.0.2.7", "client_port": 1, "client_key": "",
            "user_agent": "x", "code": "a" });
        assert_eq!(seen(&jump, Table::Jumps, Sight::Persons), jump);
        assert_eq!(
            seen(&jump, Table::Jumps, Sight::Things),
            json!({ "client": null, "client_port": null, "client_key": null, "user_agent": null,
                "code": "a",
                "withheld": ["client", "client_port", "client_key", "user_agent"] })
        );
    }

    #[test]
    fn whoever_appealed_is_blanked_in_the_details_of_the_event() {
        let detail = r#"{"actor":"operator","claimant":"shop@example.org","reason":"ours"}"#;
        let event = json!({ "event": "appeal_opened", "detail": detail });
        assert_eq!(seen(&event, Table::FeedEvents, Sight::Persons), event);
        let blanked = seen(&event, Table::FeedEvents, Sight::Things);
        assert_eq!(blanked["withheld"], json!(["detail.claimant"]));
        let left: Value = serde_json::from_str(blanked["detail"].as_str().unwrap()).unwrap();
        assert_eq!(left, json!({ "actor": "operator", "claimant": null, "reason": "ours" }));
        for (detail, left) in [
            (r#"{"reason":"the claimant was told"}"#, r#"{"reason":"the claimant was told"}"#),
            (r#"{"claimant":"shop@exam"#, ""),
        ] {
            let event = json!({ "detail": detail });
            assert_eq!(seen(&event, Table::FeedEvents, Sight::Things)["detail"], left);
        }
    }

    #[test]
    fn a_look_at_a_person_stays_one() {
        for (question, blanked) in [
            (r#"{"text":"demo.test","kind":"domain"}"#, false),
            (r#"{"text":"192.0.2.7","kind":"client"}"#, true),
            (r#"{"text":"192.0.2.7:1","kind":null}"#, true),
            ("cut short", true),
        ] {
            let row = json!({ "question": question });
            let row = seen(&row, Table::Access, Sight::Things);
            assert_eq!(row["question"].is_null(), blanked, "{question}");
        }
    }

    #[test]
    fn every_address_and_port_of_a_peer_is_covered() {
        for table in Table::ALL {
            let schema = SchemaId::newest(table).columns().unwrap();
            let known: Vec<_> = schema.iter().map(|c| c.name).collect();
            assert!(columns(table).iter().all(|c| known.contains(c)), "{table}");
            for c in schema.iter().filter(|c| c.ty == Type::Ip && c.name != "server_address") {
                assert!(columns(table).contains(&c.name), "{table}.{}", c.name);
            }
        }
    }
}
