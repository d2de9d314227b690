//! The link to be of a row, and what of the row cannot come along.
//!
//! Nothing is softened: what could be followed under a condition that we do not know, or could not
//! be followed any more, becomes a link that is stopped. So its code is nobody else's, and whoever
//! comes is told.

use serde_json::{Map, Value};

use super::{
    From, Import, Row,
    rows::lost_of,
    values::{code_of, instant, tags},
};

/// A link to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) struct Taken {
    /// As the API takes it.
    pub(in crate::cli) link: Map<String, Value>,
    /// What it was there and is not here.
    pub(in crate::cli) without: Vec<String>,
}

impl std::convert::From<Map<String, Value>> for Taken {
    fn from(link: Map<String, Value>) -> Self {
        Self { link, without: Vec::new() }
    }
}

impl From {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Shlink => "shlink",
            Self::Yourls => "yourls",
            Self::Kutt => "kutt",
            Self::Bitly => "bitly",
            Self::Dub => "dub",
            Self::Tracegate => "tracegate",
        }
    }
}

impl Import {
    /// The link to be of a row of another service's.
    pub(super) fn row(&self, members: &Map<String, Value>) -> Row {
        let text = |name: &str| match members.get(name) {
            Some(Value::String(s)) => s.trim().to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let is =
            |name: &str| !matches!(&*text(name).to_ascii_lowercase(), "" | "0" | "false" | "no");
        let mut stopped = Vec::new();
        let mut link = Map::new();
        link.insert("target".into(), text("target").into());
        let code = match text("code") {
            code if code.is_empty() => code_of(&text("short_url")),
            code => code,
        };
        link.insert("source".into(), self.from.name().into());
        let owner = Some(text("owner")).filter(|o| !o.is_empty()).or_else(|| self.owner.clone());
        put(&mut link, "code", code);
        put(&mut link, "expires", instant(&text("expires")));
        put(&mut link, "not_before", instant(&text("not_before")));
        put(&mut link, "purpose", text("purpose"));
        put(&mut link, "owner", owner.unwrap_or_default());
        let mut without = lost_of(members);
        let domain = text("domain").to_ascii_lowercase();
        put(
            &mut link,
            "domain",
            match &self.domain {
                Some(domain) => domain.clone(),
                None if self.keep_domains => domain.clone(),
                None => String::new(),
            },
        );
        if !domain.is_empty() && link.get("domain").and_then(Value::as_str) != Some(&*domain) {
            without.push(format!("domain {domain}"));
        }
        if is("forward_query") {
            link.insert("forward_query".into(), true.into());
        }
        if let Some(left) = visits_left(&text("visits_max"), &text("visits"))? {
            if left == 0 {
                stopped.push("its visits were used up");
            }
            link.insert("visits_max".into(), left.max(1).into());
        }
        let tags = tags(members.get("tags"));
        if !tags.is_empty() {
            link.insert("tags".into(), tags.into());
        }
        if is("password") {
            without.push("password".into());
            stopped.push("it has a password, which the file does not tell");
        }
        if is("banned") {
            stopped.push("it was stopped there");
        }
        Ok(self.finish(link, without, &stopped))
    }

    /// The link with why it is made, and stopped where it has to be.
    pub(super) fn finish(
        &self,
        mut link: Map<String, Value>,
        without: Vec<String>,
        stopped: &[&str],
    ) -> Taken {
        if !stopped.is_empty() {
            link.insert("state".into(), "disabled".into());
        }
        let why = match (stopped, self.from) {
            ([], _) => None,
            // The words of an export of ours are its owner's: they come over as they were.
            (stopped, From::Tracegate) => Some(stopped.join("; ")),
            (stopped, from) => Some(format!("{}: {}", from.name(), stopped.join("; "))),
        };
        let reasons: Vec<String> = self.reason.clone().into_iter().chain(why).collect();
        put(&mut link, "reason", reasons.join("; "));
        Taken { link, without }
    }
}

fn put(link: &mut Map<String, Value>, name: &str, value: String) {
    if !value.is_empty() {
        link.insert(name.to_owned(), value.into());
    }
}

/// How many of `max` visits are left when there were so many; none without a limit.
fn visits_left(max: &str, visits: &str) -> Result<Option<u32>, String> {
    if max.is_empty() {
        return Ok(None);
    }
    let max: u32 = max.parse().map_err(|_| format!("{max}: no number of visits"))?;
    let visits: u64 = match visits {
        "" => 0,
        visits => visits.parse().map_err(|_| format!("{visits}: no number of visits"))?,
    };
    let left = u64::from(max).saturating_sub(visits);
    Ok((max > 0).then_some(u32::try_from(left).unwrap_or(max)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_taken_as_it_was_or_stopped() {
        let import = Import {
            file: PathBuf::new(),
            from: From::Shlink,
            columns: Vec::new(),
            owner: None,
            reason: None,
            domain: None,
            keep_domains: false,
            report: None,
        };
        let check = |row: Value, more: Value, without: &[&str]| {
            let Value::Object(row) = row else { panic!("{row}") };
            let taken = import.row(&row).unwrap();
            let mut link = json!({ "target": "https://a.test/", "source": "shlink" });
            link.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(
                (Value::Object(taken.link), taken.without),
                (link, without.iter().map(|w| (*w).to_owned()).collect())
            );
        };
        let target = "https://a.test/";
        check(json!({ "target": target }), json!({}), &[]);
        check(
            json!({ "target": target, "visits_max": 9, "visits": "4", "forward_query": true }),
            json!({ "visits_max": 5, "forward_query": true }),
            &[],
        );
        check(
            json!({ "target": target, "domain": "S.example", "archived": true }),
            json!({}),
            &["archived", "domain s.example"],
        );
        check(
            json!({ "target": target, "visits_max": "9", "visits": 12, "redirect rules": true }),
            json!({ "visits_max": 1, "state": "disabled", "reason": "shlink: its visits were used up" }),
            &["redirect rules"],
        );
        check(
            json!({ "target": target, "password": "yes", "geo": {}, "banned": "false" }),
            json!({ "state": "disabled", "reason": "shlink: it has a password, which the file does not tell" }),
            &["password"],
        );
        check(
            json!({ "target": target, "banned": true, "visits": 7, "visits_max": 0 }),
            json!({ "state": "disabled", "reason": "shlink: it was stopped there" }),
            &[],
        );
        let bad = json!({ "target": target, "visits_max": "many" });
        assert!(import.row(bad.as_object().unwrap()).is_err());
    }
}
