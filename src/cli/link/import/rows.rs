//! The rows of a file: by member, however its columns are called, and the links to be of them.

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use serde_json::{Map, Value};

use super::{
    super::csv::Records,
    From, Import, Row,
    values::{code_of, instant, tags},
};

/// Rows of one request.
pub(in crate::cli) const BATCH_ROWS: usize = 1_000;

/// The largest export in JSON, in bytes: it is read whole.
const JSON_BYTES_MAX: u64 = 1 << 30;

/// Members, and the names that services give them, in small letters and digits.
const NAMES: [(&str, &[&str]); 11] = [
    ("target", &["target", "longurl", "url", "destination", "destinationurl", "originalurl"]),
    ("code", &["code", "shortcode", "keyword", "address", "slug", "key", "alias", "backhalf"]),
    ("short_url", &["shorturl", "shortlink", "link", "bitlink"]),
    ("expires", &["expires", "validuntil", "expiresat", "expirein", "expirationdate"]),
    ("not_before", &["notbefore", "validsince"]),
    ("visits_max", &["visitsmax", "maxvisits"]),
    ("tags", &["tags"]),
    ("purpose", &["purpose", "title", "description"]),
    ("owner", &["owner"]),
    ("password", &["password"]),
    ("banned", &["banned", "disabled", "archived"]),
];

impl Import {
    /// Hands over the rows, some at a time.
    pub(super) fn rows(
        &self,
        bar: &ProgressBar,
        mut batch: impl FnMut(Vec<Row>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let chosen = self.chosen()?;
        let mut input = BufReader::new(bar.wrap_read(File::open(&self.file)?));
        let json =
            matches!(io::BufRead::fill_buf(&mut input)?.trim_ascii_start(), [b'{' | b'[', ..]);
        if json {
            let objects = objects(&mut input)?;
            for some in objects.chunks(BATCH_ROWS) {
                batch(some.iter().map(|o| self.row(&members_of(o, &chosen))).collect())?;
            }
            return Ok(());
        }
        let mut records = Records::new(input)?;
        let Some(head) = records.next()? else { bail!("there is nothing in it") };
        let names: Vec<Option<&str>> = head.iter().map(|name| member(name, &chosen)).collect();
        if !names.contains(&Some("target")) {
            bail!("no column is the target: name it, as --column target=\"Long URL\"");
        }
        let mut rows = Vec::new();
        while let Some(record) = records.next()? {
            let mut members = Map::new();
            for (name, field) in names.iter().zip(record) {
                if let Some(name) = name.filter(|name| !members.contains_key(*name)) {
                    members.insert(name.to_owned(), field.into());
                }
            }
            rows.push(self.row(&members));
            if rows.len() == BATCH_ROWS {
                batch(std::mem::take(&mut rows))?;
            }
        }
        if rows.is_empty() { Ok(()) } else { batch(rows) }
    }

    /// The columns that were named: name in the file, member.
    fn chosen(&self) -> anyhow::Result<Vec<(String, &'static str)>> {
        let one = |column: &String| {
            let (member, name) = column.split_once('=').unwrap_or((column, ""));
            let known = NAMES.iter().find(|(m, _)| *m == member && !name.is_empty());
            let known = known.with_context(|| format!("--column {column}: MEMBER=NAME"))?;
            Ok((plain(name), known.0))
        };
        self.columns.iter().map(one).collect()
    }

    /// The link to be of a row.
    fn row(&self, members: &Map<String, Value>) -> Row {
        let text = |name: &str| match members.get(name) {
            Some(Value::String(s)) => s.trim().to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let is =
            |name: &str| !matches!(&*text(name).to_ascii_lowercase(), "" | "0" | "false" | "no");
        if is("password") {
            return Err("it has a password, which the file does not tell".into());
        }
        if is("banned") {
            return Err("it was banned, disabled or archived there".into());
        }
        let mut link = Map::new();
        link.insert("target".into(), text("target").into());
        let code = match text("code") {
            code if code.is_empty() => code_of(&text("short_url")),
            code => code,
        };
        let source = match self.from {
            From::Csv => "csv",
            From::Shlink => "shlink",
            From::Yourls => "yourls",
            From::Kutt => "kutt",
            From::Bitly => "bitly",
            From::Dub => "dub",
        };
        link.insert("source".into(), source.into());
        let owner = Some(text("owner")).filter(|o| !o.is_empty()).or_else(|| self.owner.clone());
        let mut put = |name: &str, value: String| {
            if !value.is_empty() {
                link.insert(name.to_owned(), value.into());
            }
        };
        put("code", code);
        put("expires", instant(&text("expires")));
        put("not_before", instant(&text("not_before")));
        put("purpose", text("purpose"));
        put("owner", owner.unwrap_or_default());
        put("domain", self.domain.clone().unwrap_or_default());
        put("reason", self.reason.clone().unwrap_or_default());
        let visits = text("visits_max");
        if !visits.is_empty() {
            let visits: u32 =
                visits.parse().map_err(|_| format!("{visits}: no number of visits"))?;
            link.insert("visits_max".into(), visits.into());
        }
        let tags = tags(members.get("tags"));
        if !tags.is_empty() {
            link.insert("tags".into(), tags.into());
        }
        Ok(link)
    }
}

/// A name without what is written differently everywhere.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The member that a column of this name is.
fn member(name: &str, chosen: &[(String, &'static str)]) -> Option<&'static str> {
    let name = plain(name);
    if let Some((_, member)) = chosen.iter().find(|(n, _)| *n == name) {
        return Some(member);
    }
    let (member, _) = NAMES.iter().find(|(_, names)| names.contains(&name.as_str()))?;
    // Whoever named a column means that one.
    (!chosen.iter().any(|(_, m)| m == member)).then_some(member)
}

/// The members of an object, those of `meta` among them (Shlink).
fn members_of(object: &Value, chosen: &[(String, &'static str)]) -> Map<String, Value> {
    let mut members = Map::new();
    for object in [object, &object["meta"]].into_iter().filter_map(Value::as_object) {
        for (name, value) in object {
            if let Some(name) = member(name, chosen).filter(|_| !value.is_null()) {
                members.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    members
}

/// The objects of an export in JSON: a list, or an object that has one somewhere.
fn objects(input: &mut impl Read) -> anyhow::Result<Vec<Value>> {
    let mut text = String::new();
    input.take(JSON_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > JSON_BYTES_MAX {
        bail!("it is larger than {JSON_BYTES_MAX} bytes: split it");
    }
    let value: Value = serde_json::from_str(&text)?;
    let list = |value: &Value| value.as_array().cloned();
    let found = list(&value).or_else(|| list(&value["data"])).or_else(|| list(&value["links"]));
    found.or_else(|| list(&value["shortUrls"]["data"])).context("there is no list of links in it")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    /// Every export that can be read makes rows of one line each, whatever wrote it.
    #[test]
    fn fuzz() {
        let froms = [From::Csv, From::Shlink, From::Yourls, From::Kutt, From::Bitly, From::Dub];
        let imports = froms.map(|from| Import {
            file: PathBuf::new(),
            from,
            columns: vec!["target=where".into()],
            owner: None,
            reason: None,
            domain: None,
            report: None,
        });
        let head = b"Long URL,keyword,tags,validUntil,maxVisits,password\n";
        bolero::check!().with_iterations(5_000).with_max_len(512).for_each(|input: &[u8]| {
            let mut read = Vec::new();
            for text in [input.to_vec(), [head, input].concat()] {
                let Ok(mut records) = Records::new(&text[..]) else { continue };
                let Ok(Some(names)) = records.next() else { continue };
                while let Ok(Some(record)) = records.next() {
                    let named = names.iter().zip(record);
                    let members =
                        named.filter_map(|(n, f)| Some((member(n, &[])?.to_owned(), f.into())));
                    read.push(Map::from_iter(members));
                }
            }
            for text in [input.to_vec(), [b"{\"data\":[{\"longUrl\":", input, b"}]}"].concat()] {
                let found = objects(&mut &text[..]).unwrap_or_default();
                read.extend(found.iter().map(|o| members_of(o, &[])));
            }
            for import in &imports {
                for link in read.iter().filter_map(|members| import.row(members).ok()) {
                    let line = serde_json::to_string(&link).unwrap();
                    assert!(link["target"].is_string() && !line.contains('\n'), "{line}");
                }
            }
        });
    }

    #[test]
    fn columns_are_known_by_their_names() {
        let none = Vec::new();
        for (name, expected) in [
            ("longUrl", Some("target")),
            ("Long URL", Some("target")),
            ("long_url", Some("target")),
            ("keyword", Some("code")),
            ("Short Link", Some("short_url")),
            ("validUntil", Some("expires")),
            ("clicks", None),
        ] {
            assert_eq!(member(name, &none), expected, "{name}");
        }
        let chosen = vec![("where".to_owned(), "target")];
        assert_eq!(member("Where", &chosen), Some("target"));
        assert_eq!(member("url", &chosen), None, "another column is the target");
    }

    #[test]
    fn lists_are_found_where_services_put_them() {
        for text in [
            r#"[{"url": "u"}]"#,
            r#"{"data": [{"url": "u"}]}"#,
            r#"{"shortUrls": {"data": [{"url": "u"}]}}"#,
        ] {
            assert_eq!(objects(&mut text.as_bytes()).unwrap(), [json!({ "url": "u" })], "{text}");
        }
        assert!(objects(&mut "{}".as_bytes()).is_err());
        let shlink = json!({
            "shortCode": "abc", "longUrl": "https://www.demo.test/",
            "meta": { "validSince": null, "maxVisits": 5 }
        });
        let expected = json!({
            "code": "abc", "target": "https://www.demo.test/", "visits_max": 5
        });
        assert_eq!(Value::Object(members_of(&shlink, &[])), expected);
    }
}
