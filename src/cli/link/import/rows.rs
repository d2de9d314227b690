//! The rows of a file, by member, however its columns are called.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read},
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use serde_json::{Map, Value};

use super::{super::csv::Records, From, Import, Row};

/// Rows of one request.
pub(in crate::cli) const BATCH_ROWS: usize = 1_000;

/// The largest export in JSON, in bytes: it is read whole.
const JSON_BYTES_MAX: u64 = 1 << 30;

/// Members, and the names that services give them, in small letters and digits.
const NAMES: [(&str, &[&str]); 14] = [
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
    ("banned", &["banned", "disabled", "disabledat"]),
    ("visits", &["visits", "visitscount", "visitcount", "clicks", "totalclicks"]),
    ("forward_query", &["forwardquery"]),
    ("domain", &["domain", "hostname"]),
];

/// What services do that a link here does not, by the names they give it.
const LOST: [(&str, &str); 12] = [
    ("hasredirectrules", "redirect rules"),
    ("redirectrules", "redirect rules"),
    ("devicelongurls", "targets by device"),
    ("ios", "target for iOS"),
    ("android", "target for Android"),
    ("geo", "targets by country"),
    ("testvariants", "test variants"),
    ("expiredurl", "target after its end"),
    ("rewrite", "masking of the target"),
    ("custombitlinks", "further short links"),
    ("proxy", "preview card"),
    ("archived", "archived"),
];

impl Import {
    /// Hands over the rows, some at a time.
    pub(super) fn rows(
        &self,
        bar: &ProgressBar,
        mut batch: impl FnMut(Vec<Row>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let chosen = self.chosen()?;
        let mut input = text(BufReader::new(bar.wrap_read(File::open(&self.file)?)))?;
        if self.from == From::Tracegate {
            return self.own(input, batch);
        }
        if matches!(input.fill_buf()?.trim_ascii_start(), [b'{' | b'[', ..]) {
            let objects = objects(&mut input)?;
            for some in objects.chunks(BATCH_ROWS) {
                batch(some.iter().map(|o| self.row(&members_of(o, &chosen))).collect())?;
            }
            return Ok(());
        }
        let mut records = Records::new(input)?;
        let Some(head) = records.next()? else { bail!("there is nothing in it") };
        let names: Vec<Option<&str>> =
            head.iter().map(|name| member(name, &chosen).or_else(|| lost(name))).collect();
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

/// What a column of this name says that a link here cannot.
fn lost(name: &str) -> Option<&'static str> {
    let name = plain(name);
    LOST.iter().find(|(known, _)| *known == name).map(|(_, what)| *what)
}

/// What a row says that a link here cannot.
pub(super) fn lost_of(members: &Map<String, Value>) -> Vec<String> {
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(s) => !matches!(&*s.to_ascii_lowercase(), "" | "0" | "false" | "no"),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => all.values().any(|v| !v.is_null()),
        _ => true,
    };
    let mut all: Vec<&str> = LOST.iter().map(|(_, what)| *what).collect();
    all.dedup();
    all.into_iter().filter(|w| members.get(*w).is_some_and(says)).map(str::to_owned).collect()
}

/// The members of an object, those of `meta` and the sum of its visits among them (Shlink).
fn members_of(object: &Value, chosen: &[(String, &'static str)]) -> Map<String, Value> {
    let mut members = Map::new();
    for object in [object, &object["meta"]].into_iter().filter_map(Value::as_object) {
        for (name, value) in object {
            let name = member(name, chosen).or_else(|| lost(name));
            if let Some(name) = name.filter(|_| !value.is_null()) {
                members.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    if let Some(total) = object["visitsSummary"]["total"].as_u64() {
        members.insert("visits".into(), total.into());
    }
    members
}

/// The text of a file: what is in UTF-16 by its mark is read whole, and a mark of UTF-8 before JSON is
/// passed over; tables look at theirs themselves.
fn text<'r>(mut input: impl BufRead + 'r) -> anyhow::Result<Box<dyn BufRead + 'r>> {
    let head = input.fill_buf()?;
    let wide = match head {
        [0xff, 0xfe, ..] => encoding_rs::UTF_16LE,
        [0xfe, 0xff, ..] => encoding_rs::UTF_16BE,
        [0xef, 0xbb, 0xbf, rest @ ..] if matches!(rest.trim_ascii_start(), [b'{' | b'[', ..]) => {
            input.consume(3);
            return Ok(Box::new(input));
        }
        _ => return Ok(Box::new(input)),
    };
    let mut bytes = Vec::new();
    input.take(JSON_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > JSON_BYTES_MAX {
        bail!("it is larger than {JSON_BYTES_MAX} bytes: split it, or write it in UTF-8");
    }
    let (text, damaged) = wide.decode_with_bom_removal(&bytes);
    if damaged {
        bail!("it begins as UTF-16 and is none");
    }
    Ok(Box::new(Cursor::new(text.into_owned().into_bytes())))
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
            keep_domains: false,
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
                let taken = read.iter().filter_map(|members| import.row(members).ok());
                for link in taken.map(|t| t.link) {
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
            ("clicks", Some("visits")),
            ("created", None),
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
