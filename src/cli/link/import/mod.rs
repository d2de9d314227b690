//! `link import`: links taken over from another service, a line of report for each.
//!
//! Columns are known by their usual names, whatever the service; `--column` names others. Rows go
//! to the API in batches under keys made of the file's digest: the same import again makes what is
//! missing and nothing twice. What could not be followed, or only by those who know a password that no
//! export has, is taken over stopped, so that its code is nobody else's; what a link here cannot do
//! is named in the report of its row.

mod own;
mod rows;
mod taken;
mod values;
mod work;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

pub(in crate::cli) use self::{
    rows::BATCH_ROWS,
    taken::Taken,
    values::instant,
    work::{Sum, Work},
};
use crate::cli::{Exit, Format, client::Api, layout};

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
    /// `tracegate link export` of another database.
    Tracegate,
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
    #[arg(long, conflicts_with = "keep_domains")]
    domain: Option<String>,
    /// Serve each at the host that its row names, which has to be one of gateway.domains.
    #[arg(long)]
    keep_domains: bool,
    /// A new file for the report, a JSON object for each row; standard output with --format json.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// The link to be of a row, or why there is none.
type Row = Result<Taken, String>;

impl Import {
    /// Takes over every row; fails when one was refused.
    pub(super) fn run(self, api: &Api, format: Format) -> anyhow::Result<Exit> {
        let shown = self.file.display().to_string();
        let report = report(self.report.as_deref(), format)?;
        let salt = format!(
            "{:?}",
            (self.from, &self.columns, &self.owner, &self.domain, self.keep_domains)
        );
        let key = key(&self.file, &salt).with_context(|| shown.clone())?;
        let sum = Sum::default();
        let mut work = Work { api, what: "links", key, batches: 0, report, sum };
        let bar = bar(&self.file);
        let done = self.rows(&bar, |batch| work.send(batch));
        bar.finish_and_clear();
        done.with_context(|| shown)?;
        if format == Format::Text {
            io::stdout().lock().write_all(layout::print(&work.sum.json(), format).as_bytes())?;
        }
        Ok(if work.sum.refused == 0 { Exit::Ok } else { Exit::Failed })
    }
}

/// Where the report of every row goes, if anywhere: a new file, or standard output.
pub(in crate::cli) fn report(
    file: Option<&Path>,
    format: Format,
) -> anyhow::Result<Option<Box<dyn Write>>> {
    Ok(match (file, format) {
        (Some(file), _) => {
            let made = File::create_new(file);
            Some(Box::new(made.with_context(|| format!("{}", file.display()))?))
        }
        (None, Format::Json) => Some(Box::new(io::stdout())),
        (None, Format::Text) => None,
    })
}

/// What an import is known by: the file and everything that says how it is read.
pub(in crate::cli) fn key(file: &Path, salt: &str) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(file)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    hash.update(salt);
    let digest: [u8; 32] = hash.finalize().into();
    Ok(format!("import-{}", hex::encode(&digest[..16])))
}

/// Bytes of the file read, on a terminal.
pub(in crate::cli) fn bar(file: &Path) -> ProgressBar {
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
