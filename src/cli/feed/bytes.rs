//! Lists and reports as bytes: sent from a file, written to one.

use std::{
    fs::File,
    io::{IsTerminal as _, Write},
    path::Path,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::To;
use crate::cli::{Exit, client::Api, progress::busy};

/// Sends a list and gives what became of it.
pub(super) async fn apply(
    api: &Api,
    name: &str,
    file: &Path,
    dry_run: bool,
    reason: Option<&str>,
) -> anyhow::Result<Value> {
    let shown = file.display();
    let list = tokio::fs::File::open(file).await.with_context(|| format!("{shown}"))?;
    let bytes = list.metadata().await.with_context(|| format!("{shown}"))?.len();
    let bar = bar(bytes);
    let told = bar.clone();
    let sent = move |n| told.inc(n);
    let dry_run = if dry_run { "true" } else { "false" };
    let file_name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut query = vec![("dry_run", dry_run), ("file", file_name.as_str())];
    query.extend(reason.map(|r| ("reason", r)));
    let answer = api.upload(&["api", "v1", "feeds", name, "content"], &query, list, sent).await;
    bar.finish_and_clear();
    answer
}

/// Bytes on their way, on a terminal.
fn bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Writes a report.
pub(super) async fn report(
    api: &Api,
    name: &str,
    format: &str,
    part: Option<&str>,
    to: &To,
) -> anyhow::Result<Exit> {
    if format == "xlsx" && to.out.is_none() && std::io::stdout().is_terminal() {
        bail!("a workbook is no text: give --out FILE");
    }
    let mut query = vec![("format", format)];
    query.extend(part.map(|p| ("part", p)));
    download(api, &["api", "v1", "feeds", name, "report"], &query, to).await
}

/// Writes the rules of a version.
pub(super) async fn export(
    api: &Api,
    name: &str,
    format: &str,
    version: Option<u64>,
    to: &To,
) -> anyhow::Result<Exit> {
    let version = version.map(|v| v.to_string());
    let mut query = vec![("format", format)];
    query.extend(version.as_deref().map(|v| ("version", v)));
    download(api, &["api", "v1", "feeds", name, "export"], &query, to).await
}

async fn download(
    api: &Api,
    path: &[&str],
    query: &[(&str, &str)],
    to: &To,
) -> anyhow::Result<Exit> {
    let mut out: Box<dyn Write + Send> = match &to.out {
        Some(file) => {
            let made = File::create_new(file);
            Box::new(made.with_context(|| format!("{}", file.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let done = busy("writing 写出中", api.download(path, query, &mut *out)).await;
    if let (Err(_), Some(file)) = (&done, &to.out) {
        // What is there is not what was asked for.
        std::fs::remove_file(file).ok();
    }
    done.map(|_| Exit::Ok)
}
