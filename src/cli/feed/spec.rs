//! A feed's settings on the command line, as the JSON object that the API takes.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};

/// A feed's settings. What is not given keeps its default, or stays as it is.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SpecArgs {
    /// Where the list comes from: a file or directory of the server's machine, or an https://,
    /// axfr://, ixfr:// or xot:// address; or verdicts: and words, such as verdicts:RES-07,contradicted.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Its place among the feeds: the lowest decides first [default: 100]
    #[arg(long, value_name = "N")]
    position: Option<u32>,
    /// The name that the owners of an RPZ text are below, where the text does not say [default:
    /// the feed's name]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// What a column of a table holds, as name=B or order_number=文号; may be repeated.
    #[arg(long = "column", value_name = "FIELD=COLUMN", value_parser = pair)]
    columns: Vec<(String, String)>,
    /// The sheet of a workbook [default: the first]
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// The row with the headings, from 1; 0 for none [default: found]
    #[arg(long, value_name = "ROW")]
    header_row: Option<u32>,
    /// auto, utf-8 or gb18030 [default: auto]
    #[arg(long, value_name = "ENCODING")]
    encoding: Option<String>,
    /// What parts the columns of a CSV file [default: found]
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// Who ordered it, where the list does not say.
    #[arg(long)]
    authority: Option<String>,
    /// The order's number, where the list does not say.
    #[arg(long)]
    order_number: Option<String>,
    /// The class of content, where the list does not say.
    #[arg(long, value_name = "CLASS")]
    content_class: Option<String>,
    /// What being listed means: hint, interstitial or block [default: block]
    #[arg(long)]
    tier: Option<String>,
    /// What its rules do whatever the list says: given, nxdomain, nodata, passthru, drop, tcp-only
    /// or cname:NAME; what the list lets through passes all the same [default: given]
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Count and record, do not act.
    #[arg(long, conflicts_with = "action")]
    observe: bool,
    /// A listed name means everything below it, too.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    subtree: Option<bool>,
    /// Resolve listed names before they are decided.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    qname_wait_recurse: Option<bool>,
    /// Whether allow rules win over it [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    allow_may_win: Option<bool>,
    /// The extended DNS error of its answers: 4, 15, 16, 17 or 18.
    #[arg(long, value_name = "CODE")]
    ede_code: Option<u16>,
    /// The text of that error.
    #[arg(long, value_name = "TEXT", requires = "ede_code")]
    ede_text: Option<String>,
    /// What to do when it cannot be loaded: keep-last, open or closed [default: keep-last]
    #[arg(long, value_name = "MODE")]
    on_failure: Option<String>,
    /// How often the source is looked at, as 30m or 1h.
    #[arg(long, value_name = "SPAN", value_parser = super::ask::span)]
    refresh: Option<u64>,
    /// How long a version counts that its source does not confirm, as 12h or 7d.
    #[arg(long, value_name = "SPAN", value_parser = super::ask::span)]
    stale_after: Option<u64>,
    /// The most rules of a version.
    #[arg(long, value_name = "N")]
    rules_max: Option<u64>,
    /// Hold a version with more rejected entries than this.
    #[arg(long, value_name = "N")]
    rejected_max: Option<u64>,
    /// Hold a version that shrinks by more than this many percent.
    #[arg(long, value_name = "PERCENT")]
    shrink_percent: Option<u32>,
    /// Hold a version that grows by more than this many percent.
    #[arg(long, value_name = "PERCENT")]
    growth_percent: Option<u32>,
    /// Hold a version that would decide more than this many percent of recent traffic otherwise.
    #[arg(long, value_name = "PERCENT")]
    blast_percent: Option<u32>,
    /// The name of the key that transfers are signed with.
    #[arg(long, value_name = "NAME")]
    tsig_key: Option<String>,
    /// The public key (minisign) that files must be signed with.
    #[arg(long, value_name = "KEY")]
    minisign_key: Option<String>,
    /// The authorities (PEM, below feeds.roots) that its web server's certificate must be from.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// A file beside the list with what the law wants known of its rules.
    #[arg(long, value_name = "NAME")]
    manifest: Option<String>,
    /// The offset from UTC of times in the list that say none, such as +08:00.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    utc_offset: Option<String>,
    /// Serve it to others as this response policy zone.
    #[arg(long, value_name = "ZONE")]
    share_zone: Option<String>,
    /// Who may transfer that zone and is told of new versions; may be repeated.
    #[arg(long = "share-secondary", value_name = "ADDRESS", requires = "share_zone")]
    share_secondaries: Vec<String>,
    /// The name of the key that its transfers must be signed with.
    #[arg(long, value_name = "NAME", requires = "share_zone")]
    share_tsig_key: Option<String>,
    /// Whom answers name for complaints: a mailto:, tel: or https: address; may be repeated.
    #[arg(long = "contact", value_name = "ADDRESS")]
    contacts: Vec<String>,
    /// What answers say of why.
    #[arg(long, value_name = "TEXT")]
    justification: Option<String>,
    /// All settings from a JSON file; options beside it come before it.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
}

impl SpecArgs {
    /// The object, with what is given and nothing else. A list needs a source and a format.
    pub(super) fn body(
        &self,
        name: Option<&str>,
        format: Option<&str>,
    ) -> anyhow::Result<Map<String, Value>> {
        let mut body = self.file()?;
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                set(&mut body, key, value);
            }
        };
        put("name", name.map(Value::from));
        put("format", format.map(Value::from));
        put("source", self.source.as_deref().map(absolute).transpose()?.map(Value::from));
        put("action", self.observe.then(|| json!("observe")));
        for (key, text) in self.texts() {
            put(key, text.as_ref().map(|t| json!(t)));
        }
        for (key, number) in self.numbers() {
            put(key, number.map(Value::from));
        }
        for (key, said) in [
            ("subtree", self.subtree),
            ("qname_wait_recurse", self.qname_wait_recurse),
            ("allow_may_win", self.allow_may_win),
        ] {
            put(key, said.map(Value::from));
        }
        for (field, column) in &self.columns {
            put(&format!("options.columns.{field}"), Some(json!(column)));
        }
        let lists = [("share.secondaries", &self.share_secondaries), ("contact", &self.contacts)];
        for (key, list) in lists {
            put(key, (!list.is_empty()).then(|| json!(list)));
        }
        if name.is_some() && !(body.contains_key("source") && body.contains_key("format")) {
            bail!("a feed needs --source and --format (rpz, hosts, domains, csv, xlsx, jsonl, …)");
        }
        Ok(body)
    }

    fn texts(&self) -> [(&'static str, &Option<String>); 19] {
        [
            ("options.origin", &self.origin),
            ("options.sheet", &self.sheet),
            ("options.encoding", &self.encoding),
            ("authority", &self.authority),
            ("order_number", &self.order_number),
            ("content_class", &self.content_class),
            ("tier", &self.tier),
            ("action", &self.action),
            ("ede.text", &self.ede_text),
            ("on_failure", &self.on_failure),
            ("tsig_key", &self.tsig_key),
            ("minisign_key", &self.minisign_key),
            ("share.zone", &self.share_zone),
            ("share.tsig_key", &self.share_tsig_key),
            ("justification", &self.justification),
            ("options.delimiter", &self.delimiter),
            ("options.manifest", &self.manifest),
            ("options.utc_offset", &self.utc_offset),
            ("ca_file", &self.ca_file),
        ]
    }

    fn numbers(&self) -> [(&'static str, Option<u64>); 10] {
        [
            ("position", self.position.map(u64::from)),
            ("options.header_row", self.header_row.map(u64::from)),
            ("ede.code", self.ede_code.map(u64::from)),
            ("refresh_s", self.refresh),
            ("stale_after_s", self.stale_after),
            ("limits.rules_max", self.rules_max),
            ("limits.rejected_max", self.rejected_max),
            ("limits.shrink_percent", self.shrink_percent.map(u64::from)),
            ("limits.growth_percent", self.growth_percent.map(u64::from)),
            ("limits.blast_percent", self.blast_percent.map(u64::from)),
        ]
    }

    fn file(&self) -> anyhow::Result<Map<String, Value>> {
        let Some(file) = &self.spec else { return Ok(Map::new()) };
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("{shown}"))?;
        serde_json::from_str(&text).with_context(|| format!("{shown}: not a JSON object"))
    }
}

/// Puts a value at a path such as `limits.rules_max`. What follows `options.columns.` is one key,
/// dots and all.
fn set(object: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        object.insert(path.to_owned(), value);
        return;
    };
    let below = object.entry(first).or_insert_with(|| json!({}));
    let Some(below) = below.as_object_mut() else { return };
    match first {
        "columns" => {
            below.insert(rest.to_owned(), value);
        }
        _ => set(below, rest, value),
    }
}

/// A path as the server sees it, which stands elsewhere; an address as it is.
fn absolute(source: &str) -> anyhow::Result<String> {
    if source.contains("://") || source.starts_with("verdicts:") {
        return Ok(source.to_owned());
    }
    let path = std::path::absolute(source).with_context(|| source.to_owned())?;
    let path = path.into_os_string().into_string();
    path.map_err(|p| anyhow::anyhow!("{}: not a path in UTF-8", p.to_string_lossy()))
}

fn pair(text: &str) -> Result<(String, String), NoPair> {
    let (field, column) = text.split_once('=').ok_or(NoPair)?;
    let both = !field.is_empty() && !column.is_empty();
    both.then(|| (field.to_owned(), column.to_owned())).ok_or(NoPair)
}

/// Not a field and its column.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a column is FIELD=COLUMN, as name=B or order_number=文号")]
struct NoPair;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_the_settings() {
        let args = SpecArgs {
            source: Some("axfr://192.0.2.1/rpz.example".into()),
            observe: true,
            header_row: Some(3),
            columns: vec![("name".into(), "域名.1".into())],
            ede_code: Some(16),
            ede_text: Some("2026-17".into()),
            contacts: vec!["mailto:a@b.example".into()],
            share_zone: Some("rpz.here".into()),
            subtree: Some(false),
            ..SpecArgs::default()
        };
        let expected = json!({
            "name": "police",
            "format": "rpz",
            "source": "axfr://192.0.2.1/rpz.example",
            "action": "observe",
            "subtree": false,
            "options": { "header_row": 3, "columns": { "name": "域名.1" } },
            "ede": { "code": 16, "text": "2026-17" },
            "contact": ["mailto:a@b.example"],
            "share": { "zone": "rpz.here" },
        });
        let body = args.body(Some("police"), Some("rpz")).unwrap();
        assert_eq!(Value::from(body), expected);
        assert!(args.body(Some("police"), None).is_err());
        let none = SpecArgs::default().body(None, None).unwrap();
        assert!(none.is_empty(), "{none:?}");
    }

    #[test]
    fn paths_are_those_of_here() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("list.txt").unwrap(), here.join("list.txt").to_str().unwrap());
        assert_eq!(absolute("https://a.example/x").unwrap(), "https://a.example/x");
    }
}
