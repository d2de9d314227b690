//! `check-config`: everything that is wrong with a configuration, without starting anything.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Deserialize;

use super::{Exit, Format, Global};
use crate::{
    config::{self, Loaded, Problem},
    gateway::notice,
    server,
};

/// Says everything that is wrong with a configuration, without starting anything.
///
/// Ports are really bound and directories really written, for a moment; ports of our own running
/// server are left alone.
#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    /// The configuration, instead of --config.
    file: Option<PathBuf>,
    /// Look at the file alone, not at this machine's ports, directories and files.
    #[arg(long)]
    file_only: bool,
}

impl CheckConfig {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let mut global = global.clone();
        global.config = self.file.or(global.config);
        let loaded = global.load();
        let warnings = loaded.as_ref().map_or_else(|_| Vec::new(), config::warnings);
        let problems = match loaded {
            Err(config::Error(problems)) => problems,
            Ok(_) if self.file_only => Vec::new(),
            Ok(loaded) => {
                let mut problems = config::probe(&loaded, &running(&loaded.config.data_dir));
                problems.extend(notices(&loaded, &problems));
                problems
            }
        };
        let mut out = io::stdout().lock();
        match global.format() {
            Format::Json => json(&mut out, &problems, &warnings)?,
            Format::Text => text(&mut out, &problems, &warnings)?,
        }
        out.flush()?;
        Ok(if problems.is_empty() { Exit::Ok } else { Exit::Usage })
    }
}

/// What is wrong with the files that warnings are made from.
fn notices(loaded: &Loaded, known: &[Problem]) -> Vec<Problem> {
    let error = match notice::check(&loaded.config.gateway) {
        Ok(()) => return Vec::new(),
        Err(notice::Error::Config(config::Error(problems))) => return problems,
        Err(error) => error,
    };
    // A file that cannot be read may have been found before, under its own key.
    if known.iter().any(|p| p.key.starts_with("gateway.notices")) {
        return Vec::new();
    }
    let key = match loaded.config.gateway.notices.dir {
        Some(_) => "gateway.notices.dir",
        None => "gateway.notices.tier_rules",
    };
    let advice = "Correct the file, or remove it to use ours";
    vec![loaded.source.problem(key, error.to_string().trim_end_matches('.'), advice)]
}

fn json(out: &mut impl Write, problems: &[Problem], warnings: &[Problem]) -> io::Result<()> {
    let ok = problems.is_empty();
    let report = serde_json::json!({ "ok": ok, "problems": problems, "warnings": warnings });
    writeln!(out, "{report:#}")
}

fn text(out: &mut impl Write, problems: &[Problem], warnings: &[Problem]) -> io::Result<()> {
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for problem in problems {
        writeln!(out, "{problem}")?;
    }
    match problems.len() {
        0 => writeln!(out, "The configuration is good."),
        1 => writeln!(out, "1 problem."),
        n => writeln!(out, "{n} problems."),
    }
}

/// What a running server says about itself, as far as it matters here.
#[derive(Deserialize)]
struct Running {
    #[serde(default)]
    dns: Vec<SocketAddr>,
    gateway: Option<SocketAddr>,
    api: Option<SocketAddr>,
    engine: Option<SocketAddr>,
    #[serde(default)]
    transfers: Option<SocketAddr>,
}

/// The addresses of the server that runs on `data_dir`; none when none does.
fn running(data_dir: &Path) -> Vec<SocketAddr> {
    let read = || -> Option<Running> {
        let file = std::fs::File::open(data_dir.join("run.json")).ok()?;
        server::is_held(&file).ok().filter(|held| *held)?;
        serde_json::from_reader(file).ok()
    };
    let Some(running) = read() else { return Vec::new() };
    let others = [running.gateway, running.api, running.engine, running.transfers];
    running.dns.into_iter().chain(others.into_iter().flatten()).collect()
}
