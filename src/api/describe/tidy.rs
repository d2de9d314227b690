//! Schemas as readers of the API want them.

use serde_json::{Map, Value, json};

use super::document::SCHEMAS;

/// A query has no null.
pub(super) fn never_null(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            members.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(words)) = members.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(choices)) = members.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let [one] = choices.as_slice() {
        let mut one = one.clone();
        members.remove("anyOf");
        if let Some(one) = one.as_object_mut() {
            members.append(one);
        }
    }
}

/// Renames what is referred to.
pub(super) fn refer(schema: &mut Value, from: &str, to: &str) {
    match schema {
        Value::String(text) if text.strip_prefix(SCHEMAS) == Some(from) => {
            *text = format!("{SCHEMAS}{to}");
        }
        Value::Array(all) => all.iter_mut().for_each(|s| refer(s, from, to)),
        Value::Object(all) => all.values_mut().for_each(|s| refer(s, from, to)),
        _ => {}
    }
}

/// A default of null says nothing, nor does the title that a type's name makes.
pub(super) fn plain(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(plain),
        Value::Object(all) => {
            all.values_mut().for_each(plain);
            if all.get("default").is_some_and(Value::is_null) {
                all.remove("default");
            }
            words(all);
            or_null(all);
        }
        _ => {}
    }
}

/// A choice of described words becomes a list of them, which generated clients have types for, and
/// a description.
fn words(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let (mut words, mut lines) = (Vec::new(), Vec::new());
    for choice in choices {
        let (Some(word), Some("string")) = (choice["const"].as_str(), choice["type"].as_str())
        else {
            return;
        };
        lines.push(format!("`{word}`: {}", choice["description"].as_str().unwrap_or_default()));
        words.push(word.to_owned());
    }
    let said = schema.get("description").and_then(Value::as_str);
    let lines = said.into_iter().map(str::to_owned).chain(lines).collect::<Vec<_>>();
    schema.insert("description".into(), lines.join("\n").into());
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), words.into());
}

/// A choice between words and null becomes a list with null in it.
fn or_null(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("anyOf") else { return };
    let [Value::Object(words), null] = choices.as_slice() else { return };
    if null["type"] != "null"
        || !words.contains_key("enum")
        || words.get("type") != Some(&"string".into())
    {
        return;
    }
    let mut words = words.clone();
    schema.remove("anyOf");
    words.insert("type".into(), json!(["string", "null"]));
    if let Some(Value::Array(words)) = words.get_mut("enum") {
        words.push(Value::Null);
    }
    for (name, value) in words {
        schema.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_no_null() {
        for (given, expected) in [
            (json!({"type": ["string", "null"]}), json!({"type": "string"})),
            (
                json!({"type": "string", "enum": ["a", null]}),
                json!({"type": "string", "enum": ["a"]}),
            ),
            (json!({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]}), json!({"$ref": "#/a"})),
            (json!({"type": "integer"}), json!({"type": "integer"})),
        ] {
            let mut schema = given.clone();
            never_null(&mut schema);
            assert_eq!(schema, expected, "{given}");
        }
    }

    #[test]
    fn described_words_become_a_list() {
        let word = |word: &str| json!({ "type": "string", "const": word, "description": "It is." });
        let mut schema = json!({
            "anyOf": [{ "description": "How.", "oneOf": [word("on"), word("off")] }, { "type": "null" }],
        });
        plain(&mut schema);
        let expected = json!({
            "type": ["string", "null"],
            "enum": ["on", "off", null],
            "description": "How.\n`on`: It is.\n`off`: It is.",
        });
        assert_eq!(schema, expected);
    }
}
