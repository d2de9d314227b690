//! `forward import`: forwards from a table, a line of report for each row.
//!
//! Rows go to the API in batches under keys made of the file's digest: the same import again makes what
//! is missing and nothing twice. A column that is not known ends it before anything is made, because a
//! forward without its end or its purpose would be another one.

use std::{
    fs::File,
    io::{self, BufReader, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::{
    Exit, Format,
    client::Api,
    layout,
    link::import::{BATCH_ROWS, Sum, Taken, Work, bar, key, report},
    link::{Records, instant},
};

/// The columns there may be.
const COLUMNS: [&str; 10] = [
    "from",
    "target",
    "status",
    "forward_path",
    "forward_query",
    "owner",
    "purpose",
    "not_before",
    "expires",
    "reason",
];

/// Make forwards from a CSV file.
#[derive(Clone, Debug, Args)]
pub(super) struct Import {
    /// The file. Its first line names the columns: from and target, and any of status, forward_path,
    /// forward_query, owner, purpose, not_before, expires and reason.
    file: PathBuf,
    /// Whose the forwards are, where no column says so.
    #[arg(long)]
    owner: Option<String>,
    /// Why, where no column says so.
    #[arg(long)]
    reason: Option<String>,
    /// A new file for the report, a JSON object for each row; standard output with --format json.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Import {
    /// Makes every row's forward; fails when one was refused.
    pub(super) fn run(self, api: &Api, format: Format) -> anyhow::Result<Exit> {
        let shown = self.file.display().to_string();
        let salt = format!("{:?}", ("forwards", &self.owner));
        let key = key(&self.file, &salt).with_context(|| shown.clone())?;
        let report = report(self.report.as_deref(), format)?;
        let sum = Sum::default();
        let mut work = Work { api, what: "forwards", key, batches: 0, report, sum };
        let bar = bar(&self.file);
        let file = File::open(&self.file).with_context(|| shown.clone())?;
        let done = self.rows(bar.wrap_read(file), |batch: Vec<Result<_, String>>| {
            work.send(batch.into_iter().map(|row| row.map(Taken::from)).collect())
        });
        bar.finish_and_clear();
        done.with_context(|| shown)?;
        if format == Format::Text {
            io::stdout().lock().write_all(layout::print(&work.sum.json(), format).as_bytes())?;
        }
        Ok(if work.sum.refused == 0 { Exit::Ok } else { Exit::Failed })
    }

    fn rows(
        &self,
        input: impl io::Read,
        mut batch: impl FnMut(Vec<Result<Map<String, Value>, String>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut records = Records::new(BufReader::new(input))?;
        let Some(head) = records.next()? else { bail!("there is nothing in it") };
        let names: Vec<String> = head.iter().map(|n| n.trim().to_ascii_lowercase()).collect();
        if let Some(odd) = names.iter().find(|n| !COLUMNS.contains(&n.as_str())) {
            bail!("the column {odd:?} is none of {}", COLUMNS.join(", "));
        }
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                bail!("there are two columns {name}");
            }
        }
        for needed in ["from", "target"] {
            if !names.iter().any(|n| n == needed) {
                bail!("there is no column {needed}");
            }
        }
        let mut rows = Vec::new();
        while let Some(fields) = records.next()? {
            rows.push(self.row(&names, &fields));
            if rows.len() == BATCH_ROWS {
                batch(std::mem::take(&mut rows))?;
            }
        }
        if rows.is_empty() { Ok(()) } else { batch(rows) }
    }

    /// The forward to be of a row.
    fn row(&self, names: &[String], fields: &[String]) -> Result<Map<String, Value>, String> {
        if fields.len() > names.len() {
            return Err(format!(
                "it has {} fields, there are {} columns",
                fields.len(),
                names.len()
            ));
        }
        let mut forward = Map::new();
        forward.extend(self.owner.clone().map(|o| ("owner".to_owned(), json!(o))));
        forward.extend(self.reason.clone().map(|r| ("reason".to_owned(), json!(r))));
        for (name, field) in names.iter().zip(fields) {
            let field = field.trim();
            if field.is_empty() {
                continue;
            }
            let value = match name.as_str() {
                "status" => json!(field.parse::<u16>().map_err(|_| format!("{field}: no status"))?),
                "forward_path" | "forward_query" => json!(switch(field)?),
                "expires" | "not_before" => json!(instant(field)),
                _ => json!(field),
            };
            forward.insert(name.clone(), value);
        }
        for needed in ["from", "target"] {
            if !forward.contains_key(needed) {
                return Err(format!("it has no {needed}"));
            }
        }
        Ok(forward)
    }
}

fn switch(field: &str) -> Result<bool, String> {
    match &*field.to_ascii_lowercase() {
        "true" | "yes" | "1" | "是" => Ok(true),
        "false" | "no" | "0" | "否" => Ok(false),
        _ => Err(format!("{field}: neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<Result<Value, String>>;

    fn read(text: &str) -> Result<Rows, String> {
        let import =
            Import { file: PathBuf::new(), owner: Some("acme".into()), reason: None, report: None };
        let mut all = Vec::new();
        let done = import.rows(text.as_bytes(), |rows| {
            all.extend(rows.into_iter().map(|row| row.map(Value::Object)));
            Ok(())
        });
        done.map(|()| all).map_err(|e| e.to_string())
    }

    #[test]
    fn rows_are_forwards() {
        let text = "\u{feff}From;target;status;forward_path;expires;owner\r\n\
                    a.example/x;https://b.example/;301;yes;2030-01-02;\r\n\
                    a.example;https://b.example/;;0;;me\r\n\
                    a.example;;;;;\r\n\
                    a.example;https://b.example/;moved;;;\r\n\
                    a.example;https://b.example/;;perhaps;;\r\n\
                    a.example;https://b.example/;;;;;;\r\n";
        let rows = read(text).unwrap();
        let target = "https://b.example/";
        let expected = [
            Ok(json!({ "from": "a.example/x", "target": target, "status": 301,
                "forward_path": true, "expires": "2030-01-02T00:00:00Z", "owner": "acme" })),
            Ok(json!({ "from": "a.example", "target": target, "forward_path": false,
                "owner": "me" })),
            Err("it has no target".to_owned()),
            Err("moved: no status".to_owned()),
            Err("perhaps: neither true nor false".to_owned()),
            Err("it has 8 fields, there are 6 columns".to_owned()),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_table_that_says_something_else_makes_nothing() {
        for (text, why) in [
            ("", "there is nothing in it"),
            ("from\na", "there is no column target"),
            ("from,target,target\na,b,c", "there are two columns target"),
            ("from,target,expire\na,b,c", "the column \"expire\" is none of"),
        ] {
            assert!(read(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn fuzz_any_table_ends() {
        bolero::check!().with_iterations(2_000).with_max_len(256).for_each(|input: &[u8]| {
            let text =
                format!("from,target,status,forward_path\n{}", String::from_utf8_lossy(input));
            for row in read(&text).unwrap_or_default().into_iter().flatten() {
                assert!(row["from"].is_string() && !row.to_string().contains('\n'), "{row}");
            }
        });
    }
}
