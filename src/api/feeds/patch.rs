//! Settings of feeds as they are given: whole, or as a merge patch (RFC 7396).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::object;
use crate::feeds::FeedSpec;

/// A feed to be: its settings, and why.
#[derive(Debug)]
pub(in crate::api) struct NewFeed;

impl JsonSchema for NewFeed {
    fn schema_name() -> Cow<'static, str> {
        "NewFeed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = FeedSpec::json_schema(generator);
        schema.insert("description".into(), "A feed's settings, and why it is added.".into());
        if let Some(Value::Object(members)) = schema.get_mut("properties") {
            let why =
                json_schema!({ "type": ["string", "null"], "description": "Why; it is kept." });
            members.insert("reason".into(), why.to_value());
        }
        schema
    }
}

/// A merge patch (RFC 7396) of a feed's settings, and why.
#[derive(Debug)]
pub(in crate::api) struct FeedPatch;

impl JsonSchema for FeedPatch {
    fn schema_name() -> Cow<'static, str> {
        "FeedPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = NewFeed::json_schema(generator);
        let said = "A merge patch (RFC 7396) of a feed's settings: what is not given stays, null puts \
                    the default back, objects are merged. And why.";
        schema.insert("description".into(), said.into());
        schema.remove("required");
        let Some(Value::Object(members)) = schema.get_mut("properties") else { return schema };
        for member in members.values_mut() {
            let Some(member) = member.as_object_mut() else { continue };
            let description = member.remove("description");
            member.remove("default");
            // What is in an object may be null, too.
            let other = member.contains_key("$ref") || member.contains_key("anyOf");
            let was = std::mem::take(member);
            *member = match other {
                true => object(serde_json::json!({ "type": ["object", "null"] })),
                false => object(serde_json::json!({ "anyOf": [was, { "type": "null" }] })),
            };
            member.extend(description.map(|said| ("description".to_owned(), said)));
        }
        schema
    }
}

/// RFC 7396 §2.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_merge_as_the_rfc_says() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{target} {patch}");
        }
    }
}
