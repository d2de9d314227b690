//! Many subjects: a line each, as they are done.

use std::{
    fs,
    io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _, stdin, stdout},
    path::Path,
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    super::{
        Format,
        client::{Api, block_on},
        layout::Lines,
    },
    is_adverse, list, one, word,
};
use crate::escape;

/// Verifies every line of a file; whether all are as they should be.
pub(super) fn run(api: &Api, file: &Path, concurrent: u8, format: Format) -> anyhow::Result<bool> {
    let subjects = subjects(file)?;
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(subjects.len() as u64),
        false => ProgressBar::hidden(),
    };
    let mut is_well = true;
    block_on(async {
        let asks = subjects.into_iter().map(async |subject| (one(api, &subject).await, subject));
        let mut done = stream::iter(asks).buffer_unordered(concurrent.into());
        while let Some((told, subject)) = done.next().await {
            bar.inc(1);
            let told =
                told.unwrap_or_else(|e| json!({ "subject": subject, "error": e.to_string() }));
            is_well &= !is_adverse(&told) && told["error"].is_null();
            let line = match format {
                Format::Json => format!("{}\n", escape::json(&brief(&told).to_string())),
                Format::Text => text(&told),
            };
            bar.suspend(|| stdout().lock().write_all(line.as_bytes()))?;
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(is_well)
}

/// The lines that are no comments.
fn subjects(file: &Path) -> anyhow::Result<Vec<String>> {
    let reader: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(stdin()),
        _ => Box::new(fs::File::open(file).with_context(|| file.display().to_string())?),
    };
    let mut found = Vec::new();
    for line in BufReader::new(reader).lines() {
        let line = line.with_context(|| file.display().to_string())?;
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            found.push(line.to_owned());
        }
    }
    Ok(found)
}

/// What is not as it should be.
fn adverse(told: &Value) -> Vec<&Value> {
    let is_flaw = |f: &&Value| {
        f["outcome"] == "false" && matches!(word(&f["severity"]), "warning" | "error" | "critical")
    };
    list(&told["findings"]).iter().filter(is_flaw).collect()
}

fn brief(told: &Value) -> Value {
    let brief = |f: &&Value| json!({ "id": f["id"], "severity": f["severity"], "says": f["says"] });
    json!({
        "subject": told["subject"], "overall": told["overall"], "record": told["record"],
        "adverse": adverse(told).iter().map(brief).collect::<Vec<_>>(), "error": told["error"],
    })
}

fn text(told: &Value) -> String {
    let mut out = Lines::default();
    let verdict = told["overall"].as_str().unwrap_or("error 出错");
    out.labelled(verdict, 22, word(&told["subject"]));
    if let Some(error) = told["error"].as_str() {
        out.text(2, error);
    }
    for finding in adverse(told) {
        out.text(2, &format!("{} {}", word(&finding["id"]), word(&finding["says"])));
    }
    out.0
}
