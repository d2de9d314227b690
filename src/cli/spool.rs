//! `spool`: looks at the local log, beside a running server or without one.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Exit, Format, Global};
use crate::{
    clock::Timestamp,
    escape,
    record::{LaneId, Table, rowbinary::Reader},
    spool::inspect::{self, CopyReport, Inspection, SegmentReport},
};

/// Look at the spool. Nothing is locked and nothing but `release` changes anything.
#[derive(Clone, Debug, Args)]
pub(super) struct Spool {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Check every byte; exit code 3 and the first bad batch of each damaged segment.
    Fsck,
    /// Print every row as a line of JSON.
    ///
    /// This reads the files, not the server: it leaves no record of the look.
    Dump(Dump),
    /// Say what there is: segments, rows, shipments, frames set aside.
    Stats,
    /// Ship a frame again that was set aside (`stats` names them).
    Release {
        /// Its token.
        token: String,
    },
}

#[derive(Clone, Debug, Args)]
struct Dump {
    /// Only this lane.
    #[arg(long, value_name = "LANE")]
    lane: Option<u64>,
    /// Only this table.
    #[arg(long, value_name = "TABLE", value_parser = table)]
    table: Option<Table>,
    /// At most this many rows.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

fn table(name: &str) -> Result<Table, &'static str> {
    Table::from_name(name).ok_or("no such table")
}

impl Spool {
    /// Carries it out.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let dir = global.load()?.config.data_dir.join("spool");
        if !dir.is_dir() {
            anyhow::bail!("{} does not exist; is --data-dir right?", dir.display());
        }
        let mut out = io::BufWriter::new(io::stdout().lock());
        let exit = match self.what {
            What::Fsck => fsck(&mut out, &look(&dir)?, global.format()),
            What::Stats => stats(&mut out, &look(&dir)?, global.format()),
            What::Dump(dump) => dump.run(&mut out, &dir),
            What::Release { token } => release(&mut out, &dir, &token, global.format()),
        }?;
        out.flush()?;
        Ok(exit)
    }
}

fn look(dir: &Path) -> anyhow::Result<Inspection> {
    let bar = ProgressBar::hidden();
    if io::stderr().is_terminal() {
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} segments")?);
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    }
    let found = inspect::inspect(dir, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })
    .with_context(|| format!("cannot read {}", dir.display()))?;
    bar.finish_and_clear();
    Ok(found)
}

fn fsck(out: &mut impl Write, found: &Inspection, format: Format) -> anyhow::Result<Exit> {
    match format {
        Format::Json => {
            let damaged = found.segments.iter().filter(|s| s.damage.is_some());
            let report = json!({
                "ok": !found.is_damaged(),
                "segments": found.segments.len(),
                "frames": frames(found),
                "rows": found.rows(),
                "damaged": damaged.map(segment).collect::<Vec<_>>(),
                "copies": found.copies.iter().map(copy).collect::<Vec<_>>(),
                "unreadable": found.unreadable.iter().map(|p| shown(p)).collect::<Vec<_>>(),
            });
            writeln!(out, "{}", escape::json(&format!("{report:#}")))?;
        }
        Format::Text => {
            for s in &found.segments {
                if let Some(d) = s.damage {
                    let (file, rows) = (shown(&s.path), s.rows);
                    let (offset, bad) = (d.offset, d.bad);
                    writeln!(out, "{file}: first bad batch at offset {offset}: {bad}")?;
                    writeln!(out, "  {rows} good rows before it; stage {}", s.stage)?;
                }
            }
            for c in &found.copies {
                if let Some(d) = c.damage {
                    let (file, offset, bad) = (shown(&c.path), d.offset, d.bad);
                    writeln!(
                        out,
                        "{file}: first bad batch at offset {offset} of its segment: {bad}"
                    )?;
                }
            }
            for path in &found.unreadable {
                writeln!(out, "{}: cannot be read as what it should be", shown(path))?;
            }
            let bad = found.segments.iter().filter(|s| s.damage.is_some()).count()
                + found.copies.iter().filter(|c| c.damage.is_some()).count();
            let (segments, frames, rows) = (found.segments.len(), frames(found), found.rows());
            writeln!(out, "{segments} segments, {frames} frames, {rows} rows; {bad} damaged.")?;
        }
    }
    Ok(if found.is_damaged() { Exit::Verification } else { Exit::Ok })
}

fn stats(out: &mut impl Write, found: &Inspection, format: Format) -> anyhow::Result<Exit> {
    let bytes = found.bytes();
    match format {
        Format::Json => {
            let report = json!({
                "bytes": bytes,
                "frames": frames(found),
                "rows": found.rows(),
                "unshipped_rows": found.unshipped_rows,
                "shipments_pending": found.pending,
                "shipments_acknowledged": found.acknowledged,
                "aside": found.aside,
                "copies": found.copies.iter().map(copy).collect::<Vec<_>>(),
                "segments": found.segments.iter().map(segment).collect::<Vec<_>>(),
            });
            writeln!(out, "{}", escape::json(&format!("{report:#}")))?;
        }
        Format::Text => {
            for s in &found.segments {
                let table = s.lane.table().map_or("unknown", Table::name);
                let (file, rows, frames) = (shown(&s.path), s.rows, s.frames);
                writeln!(out, "{file}  {table}  {} bytes  {frames} frames  {rows} rows", s.size)?;
            }
            for a in &found.aside {
                let reason = escape::text(&a.reason);
                let pins = if a.copied { "" } else { "  (keeps its segment)" };
                writeln!(out, "set aside: {}  {} rows  {reason}{pins}", a.token, a.rows)?;
            }
            let (pending, acknowledged) = (found.pending, found.acknowledged);
            writeln!(out, "{} rows, {} not shipped yet", found.rows(), found.unshipped_rows)?;
            writeln!(
                out,
                "{bytes} bytes in {} segments and {} copies of frames set aside",
                found.segments.len(),
                found.copies.len()
            )?;
            writeln!(out, "{pending} shipments under way, {acknowledged} acknowledged")?;
        }
    }
    Ok(Exit::Ok)
}

fn release(out: &mut impl Write, dir: &Path, token: &str, format: Format) -> anyhow::Result<Exit> {
    let found = inspect::release(dir, token)?;
    let token = escape::text(token);
    match format {
        Format::Json => writeln!(out, "{}", json!({ "token": token, "released": found }))?,
        Format::Text if found => writeln!(out, "{token} will be shipped again.")?,
        Format::Text => writeln!(out, "Nothing is set aside under {token}.")?,
    }
    Ok(if found { Exit::Ok } else { Exit::Failed })
}

impl Dump {
    fn run(&self, out: &mut impl Write, dir: &Path) -> anyhow::Result<Exit> {
        let wanted = |lane: LaneId| {
            self.lane.is_none_or(|l| l == lane.0)
                && (self.table.is_none() || self.table == lane.table())
        };
        let mut left = self.limit.unwrap_or(u64::MAX);
        inspect::dump(dir, wanted, |schema, bytes| -> anyhow::Result<()> {
            let mut reader = Reader(bytes);
            while left > 0 && !reader.is_empty() {
                let row = schema.read_json(&mut reader).context("a row that is none")?;
                writeln!(out, "{}", escape::json(&serde_json::to_string(&row)?))?;
                left -= 1;
            }
            Ok(())
        })?;
        Ok(Exit::Ok)
    }
}

fn frames(found: &Inspection) -> usize {
    found.segments.iter().map(|s| s.frames).sum()
}

fn shown(path: &Path) -> String {
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    escape::text(&name.to_string_lossy()).into_owned()
}

fn copy(c: &CopyReport) -> serde_json::Value {
    json!({
        "file": shown(&c.path),
        "lane": c.lane.to_string(),
        "table": c.lane.table().map(Table::name),
        "bytes": c.size,
        "first_seq": c.first_seq,
        "rows": c.rows,
        "alone": c.alone,
        "bad_offset": c.damage.map(|d| d.offset),
        "bad": c.damage.map(|d| d.bad.to_string()),
    })
}

fn segment(s: &SegmentReport) -> serde_json::Value {
    let ts = |t: Option<Timestamp>| t.map(|t| t.to_string());
    json!({
        "file": shown(&s.path),
        // Larger than readers of JSON count exactly.
        "lane": s.lane.to_string(),
        "segment": s.number,
        "table": s.lane.table().map(Table::name),
        "stage": s.stage,
        "bytes": s.size,
        "frames": s.frames,
        "rows": s.rows,
        "first_seq": s.seqs.map(|s| s.0),
        "next_seq": s.seqs.map(|s| s.1),
        "min_ts": ts(s.span.map(|s| s.0)),
        "max_ts": ts(s.span.map(|s| s.1)),
        "ended": s.ended,
        "unfinished": s.unfinished,
        "bad_offset": s.damage.map(|d| d.offset),
        "bad": s.damage.map(|d| d.bad.to_string()),
    })
}
