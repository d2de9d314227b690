//! Sending rows, and reporting what became of each.

use std::io::{self, Write};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::{Row, Taken};
use crate::{
    cli::client::{Api, block_on},
    escape,
};

/// How it went.
#[derive(Default)]
pub(in crate::cli) struct Sum {
    pub(in crate::cli) rows: u64,
    pub(in crate::cli) made: u64,
    pub(in crate::cli) before: u64,
    /// Of both, those that are stopped.
    pub(in crate::cli) disabled: u64,
    pub(in crate::cli) refused: u64,
}

impl Sum {
    /// The same for whoever asked.
    pub(in crate::cli) fn json(&self) -> Value {
        let Self { rows, made, before, disabled, refused } = self;
        json!({
            "rows": rows, "made": made, "made_before": before, "disabled": disabled,
            "refused": refused
        })
    }
}

/// What is under way.
pub(in crate::cli) struct Work<'a> {
    pub(in crate::cli) api: &'a Api,
    /// `links` or `forwards`.
    pub(in crate::cli) what: &'static str,
    pub(in crate::cli) key: String,
    pub(in crate::cli) batches: u64,
    pub(in crate::cli) report: Option<Box<dyn Write>>,
    pub(in crate::cli) sum: Sum,
}

impl Work<'_> {
    /// Sends rows and reports what became of each.
    pub(in crate::cli) fn send(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        let mut lines = String::new();
        for taken in rows.iter().flatten() {
            lines.push_str(&serde_json::to_string(&taken.link)?);
            lines.push('\n');
        }
        let key = format!("{}-{}", self.key, self.batches);
        self.batches += 1;
        let answers = match lines.is_empty() {
            true => String::new(),
            false => block_on(self.api.lines(&["api", "v1", self.what, "bulk"], &key, lines))?,
        };
        let mut answers = answers.lines();
        for row in rows {
            self.sum.rows += 1;
            let mut told = match row {
                Ok(Taken { link, without }) => {
                    let answer = answers.next().context("the answer ends early")?;
                    let answer: Value =
                        serde_json::from_str(answer).context("no JSON came back")?;
                    let wanted = match self.what {
                        "forwards" => ("from", link.get("from")),
                        _ => ("wanted", link.get("code")),
                    };
                    let mut told = Map::from_iter([
                        ("target".to_owned(), link["target"].clone()),
                        (wanted.0.to_owned(), wanted.1.cloned().unwrap_or_default()),
                    ]);
                    for name in ["status", "code", "short_url", "repeated", "problem"] {
                        told.extend(answer.get(name).map(|v| (name.to_owned(), v.clone())));
                    }
                    if !without.is_empty() {
                        told.insert("without".into(), without.into());
                    }
                    let is_made = !told.contains_key("problem");
                    if let Some(state) = link.get("state").filter(|_| is_made) {
                        self.sum.disabled += 1;
                        told.insert("state".into(), state.clone());
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
