//! Columns of a record as JSON, as text.

use std::borrow::Cow;

use serde_json::Value;

/// The elements of an array, none where there is none.
pub(super) fn list(r: &Value, column: &str) -> Vec<String> {
    r[column].as_array().into_iter().flatten().map(|v| plain(v).into_owned()).collect()
}

/// One column; nothing for null.
pub(super) fn str<'a>(r: &'a Value, column: &str) -> Cow<'a, str> {
    plain(&r[column])
}

/// A string without its quotes.
pub(super) fn plain(v: &Value) -> Cow<'_, str> {
    match v {
        Value::String(s) => Cow::from(s.as_str()),
        Value::Null => Cow::from(""),
        other => Cow::from(other.to_string()),
    }
}
