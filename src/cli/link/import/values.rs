//! Values as services write them.

use serde_json::Value;

/// The last part of a short URL's path.
pub(super) fn code_of(short_url: &str) -> String {
    let path = short_url.split_once("://").map_or(short_url, |(_, rest)| rest);
    path.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/').to_owned()
}

/// A time as RFC 3339; without an offset it is taken for UTC.
pub(in crate::cli) fn instant(text: &str) -> String {
    let text = text.trim().replacen(' ', "T", 1);
    let has_time = text.contains('T');
    let offset = text.ends_with('Z') || text.rfind(['+', '-']).is_some_and(|at| at > 10);
    match (text.is_empty(), has_time, offset) {
        (true, ..) | (_, true, true) => text,
        (_, true, false) => format!("{text}Z"),
        (_, false, _) => format!("{text}T00:00:00Z"),
    }
}

/// Tags as a list, or as text between bars or commas.
pub(super) fn tags(value: Option<&Value>) -> Vec<Value> {
    let texts: Vec<String> = match value {
        Some(Value::String(text)) => text.split(['|', ',']).map(str::to_owned).collect(),
        Some(Value::Array(list)) => {
            let name = |v: &Value| v.as_str().or(v["name"].as_str()).map(str::to_owned);
            list.iter().filter_map(name).collect()
        }
        _ => Vec::new(),
    };
    let texts = texts.iter().map(|t| t.trim()).filter(|t| !t.is_empty());
    texts.map(Value::from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_services_write_them() {
        for (short_url, code) in [
            ("https://s.test/abc", "abc"),
            ("s.test/a/b/", "a/b"),
            ("https://s.test", ""),
            ("", ""),
        ] {
            assert_eq!(code_of(short_url), code);
        }
        for (text, expected) in [
            ("2030-01-02T03:04:05+08:00", "2030-01-02T03:04:05+08:00"),
            ("2030-01-02 03:04:05", "2030-01-02T03:04:05Z"),
            ("2030-01-02T03:04:05.000Z", "2030-01-02T03:04:05.000Z"),
            ("2030-01-02", "2030-01-02T00:00:00Z"),
            ("", ""),
        ] {
            assert_eq!(instant(text), expected);
        }
        assert_eq!(tags(Some(&json!("a| b,,c"))), [json!("a"), json!("b"), json!("c")]);
        assert_eq!(tags(Some(&json!([{ "name": "x" }, "y"]))), [json!("x"), json!("y")]);
    }
}
