//! `link import`: links taken over from another service, a line of report for each.
//!
//! Columns are known by their usual names, whatever the service; `--column` names others. Rows go
//! to the API in batches under keys made of the file's digest: the same import again makes what is
//! missing and nothing twice. What would be another link than it was (one with a password, which
//! no export has, or one that was banned) is refused, not softened.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal as _, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::csv::Records;
use crate::{
    cli::{
        Exit, Format,
        client::{Api, block_on},
        layout,
    },
    escape,
};

/// Rows of one request.
const BATCH_ROWS: usize = 1_000;

/// The largest export in JSON, in bytes: it is read whole.
const JSON_BYTES_MAX: u64 = 1 << 30;

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    /// A table with a line of names.
    Csv,
    /// Shlink: its web client's CSV, or the JSON of its API.
    Shlink,
    /// YOURLS: a CSV of its table of URLs.
    Yourls,
    /// Kutt: the JSON of its API, or CSV.
    Kutt,
    /// Bitly: its CSV.
    Bitly,
    /// Dub: its CSV, or the JSON of its API.
    Dub,
}

/// Take links over from a file.
#[derive(Clone, Debug, Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// What wrote it.
    #[arg(long, default_value = "csv")]
    from: From,
    /// A column by its name in the file, as target="Long URL"; also code, short_url, expires,
    /// not_before, visits_max, tags, purpose and owner.
    #[arg(long = "column", value_name = "MEMBER=NAME")]
    columns: Vec<String>,
    /// Whose the links are, where no column says so.
    #[arg(long)]
    owner: Option<String>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// The host they are served at, one of gateway.domains.
    #[arg(long)]
    domain: Option<String>,
    /// A new file for the report, a JSON object for each row; standard output with --format json.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

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

/// A row of a file by member, or why there is none.
type Row = Result<Map<String, Value>, String>;

/// How it went.
#[derive(Default)]
struct Sum {
    rows: u64,
    made: u64,
    before: u64,
    refused: u64,
}

/// What is under way.
struct Work<'a> {
    api: &'a Api,
    key: String,
    batches: u64,
    report: Option<Box<dyn Write>>,
    sum: Sum,
}

impl Import {
    /// Takes over every row; fails when one was refused.
    pub(super) fn run(self, api: &Api, format: Format) -> anyhow::Result<Exit> {
        let shown = self.file.display().to_string();
        let report: Option<Box<dyn Write>> = match (&self.report, format) {
            (Some(file), _) => {
                let made = File::create_new(file);
                Some(Box::new(made.with_context(|| format!("{}", file.display()))?))
            }
            (None, Format::Json) => Some(Box::new(io::stdout())),
            (None, Format::Text) => None,
        };
        let key = self.key().with_context(|| shown.clone())?;
        let mut work = Work { api, key, batches: 0, report, sum: Sum::default() };
        let bar = bar(&self.file);
        let done = self.rows(&bar, |batch| work.send(batch));
        bar.finish_and_clear();
        done.with_context(|| shown)?;
        let Sum { rows, made, before, refused } = work.sum;
        if format == Format::Text {
            let sum = json!({ "rows": rows, "made": made, "made_before": before,
                "refused": refused });
            io::stdout().lock().write_all(layout::print(&sum, format).as_bytes())?;
        }
        Ok(if refused == 0 { Exit::Ok } else { Exit::Failed })
    }

    /// What an import is known by: the file and everything that says how it is read.
    fn key(&self) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        let mut file = File::open(&self.file)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
        }
        hash.update(format!("{:?}", (self.from, &self.columns, &self.owner, &self.domain)));
        let digest: [u8; 32] = hash.finalize().into();
        Ok(format!("import-{}", hex::encode(&digest[..16])))
    }

    /// Hands over the rows, some at a time.
    fn rows(
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

impl Work<'_> {
    /// Sends rows and reports what became of each.
    fn send(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        let mut lines = String::new();
        for link in rows.iter().flatten() {
            lines.push_str(&serde_json::to_string(link)?);
            lines.push('\n');
        }
        let key = format!("{}-{}", self.key, self.batches);
        self.batches += 1;
        let answers = match lines.is_empty() {
            true => String::new(),
            false => block_on(self.api.lines(&["api", "v1", "links", "bulk"], &key, lines))?,
        };
        let mut answers = answers.lines();
        for row in rows {
            self.sum.rows += 1;
            let mut told = match row {
                Ok(link) => {
                    let answer = answers.next().context("the answer ends early")?;
                    let answer: Value =
                        serde_json::from_str(answer).context("no JSON came back")?;
                    let mut told = Map::from_iter([
                        ("target".to_owned(), link["target"].clone()),
                        ("wanted".to_owned(), link.get("code").cloned().unwrap_or_default()),
                    ]);
                    for name in ["status", "code", "short_url", "repeated", "problem"] {
                        told.extend(answer.get(name).map(|v| (name.to_owned(), v.clone())));
                    }
                    told
                }
                Err(why) => Map::from_iter([("problem".to_owned(), json!({ "title": why }))]),
            };
            match (told.contains_key("problem"), &told.get("repeated")) {
                (true, _) => self.sum.refused += 1,
                (_, Some(Value::Bool(true))) => self.sum.before += 1,
                _ => self.sum.made += 1,
            }
            told.insert("row".into(), self.sum.rows.into());
            self.report(&Value::Object(told))?;
        }
        Ok(())
    }

    fn report(&mut self, told: &Value) -> anyhow::Result<()> {
        let line = escape::json(&told.to_string()).into_owned();
        match &mut self.report {
            Some(report) => writeln!(report, "{line}")?,
            // What was refused is told all the same.
            None if told.get("problem").is_some() => writeln!(io::stdout(), "{line}")?,
            None => {}
        }
        Ok(())
    }
}

/// Bytes of the file read, on a terminal.
fn bar(file: &Path) -> ProgressBar {
    let bytes = std::fs::metadata(file).map_or(0, |m| m.len());
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {elapsed}") {
        bar.set_style(style);
    }
    bar
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

/// The last part of a short URL's path.
fn code_of(short_url: &str) -> String {
    let path = short_url.split_once("://").map_or(short_url, |(_, rest)| rest);
    path.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/').to_owned()
}

/// A time as RFC 3339; without an offset it is taken for UTC.
fn instant(text: &str) -> String {
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
fn tags(value: Option<&Value>) -> Vec<Value> {
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
    use super::*;

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
