//! From a version's bytes to its rules.
//!
//! Entries that are no rules, or that protected names forbid, are counted by reason and kept with
//! line and text up to a limit; the others become an [`Index`]. Only a list that cannot be read at
//! all, or is longer than a list may be, has no rules.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use serde_json::{Map, Value, json};

use super::{
    FeedSpec, Meter,
    format::{self, Encoding, Format, Manifest, Place, Reason, Sink, Summary},
    protected::Protected,
    store::Rejection,
};
use crate::{
    config,
    policy::{Added, Index, IndexBuilder, Rule, Trigger},
};

/// Duplicates, contradictions and entries of a manifest without a rule kept with line and text, of each.
const EXAMPLES_MAX: usize = 100;

/// Read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a list has no rules.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The feed's settings do not fit its format.
    #[error("{0}")]
    Settings(String),
    /// It is not in that format.
    #[error("{0}")]
    Format(String),
    /// It has more rules than it may.
    #[error("more than {0} rules")]
    TooMany(u64),
}

/// What a list was read into.
#[derive(Debug, Default)]
pub(super) struct ListRead {
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
    /// Rules about servers of zones.
    pub(super) server_rules: u64,
    /// Entries that were not taken, by reason.
    pub(super) by_reason: BTreeMap<&'static str, u64>,
    /// Some of them.
    pub(super) rejections: Vec<Rejection>,
    /// Entries of its manifest, or TXT records beside its rules, that name no rule of it.
    pub(super) manifest_unused: u64,
    pub(super) summary: Summary,
}

/// What reading needs besides the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) spec: &'a FeedSpec,
    pub(super) limits: &'a config::Feeds,
    pub(super) protected: &'a Protected,
    /// Where it is counted how far it is.
    pub(super) meter: Option<&'a Meter>,
}

impl Reading<'_> {
    /// Reads a whole list. What it has in common with `base`, it shares the memory of.
    pub(super) fn read(
        &self,
        list: &Path,
        manifest: Option<&Path>,
        base: Option<&Index>,
    ) -> Result<(Index, ListRead), Unreadable> {
        let rules_max = self.spec.rules_max(self.limits);
        let mut collector = Collector {
            reading: *self,
            builder: base.map_or_else(Index::builder, Index::next),
            read: ListRead::default(),
            rules_max,
            kept_max: self.limits.rejected_kept_max,
            manifest: None,
            encoding: Encoding::Auto,
        };
        let summary = self.stream(list, manifest, &mut collector)?;
        if collector.is_full() {
            return Err(Unreadable::TooMany(rules_max));
        }
        let manifest = collector.manifest.take();
        let index = std::mem::replace(&mut collector.builder, Index::builder()).finish();
        if let Some(manifest) = manifest {
            collector.unused(&manifest, &index);
        }
        let read = ListRead { summary, ..collector.read };
        Ok((index, read))
    }

    /// Hands every entry of a list to `sink`.
    pub(super) fn stream(
        &self,
        list: &Path,
        manifest: Option<&Path>,
        sink: &mut dyn Sink,
    ) -> Result<Summary, Unreadable> {
        let bad = |e: &dyn std::fmt::Display| Unreadable::Format(e.to_string());
        let format = Format::from_name(&self.spec.format)
            .ok_or_else(|| Unreadable::Settings(format!("no format {:?}", self.spec.format)))?;
        let options = format::Options::of(self.spec, self.limits);
        let mut options = options.map_err(|e| Unreadable::Settings(e.to_string()))?;
        if let Some(manifest) = manifest {
            let json = std::fs::read(manifest).map_err(|e| bad(&e))?;
            let manifest = format::Manifest::parse(&json, &options).map_err(|e| bad(&e))?;
            options.manifest = Some(manifest.into());
        }
        let file = File::open(list).map_err(|e| bad(&e))?;
        if let Some(meter) = self.meter {
            meter.begin(file.metadata().map_err(|e| bad(&e))?.len());
        }
        let counted = Counted { file, meter: self.meter };
        let mut input = BufReader::with_capacity(BUFFER_BYTES, counted);
        format::read(format, &mut input, &options, sink).map_err(|e| bad(&e))
    }

    /// Why a rule may not be.
    fn refuses(&self, rule: &Rule) -> Option<Reason> {
        self.protected.refuses(rule, self.spec.subtree)
    }
}

/// A list, while it is read.
struct Counted<'a> {
    file: File,
    meter: Option<&'a Meter>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let Some(meter) = self.meter {
            meter.add(read);
        }
        Ok(read)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.file.seek(to)?;
        if let Some(meter) = self.meter {
            meter.at(at);
        }
        Ok(at)
    }
}

impl ListRead {
    /// What was found, for people and programs.
    pub(super) fn findings(&self) -> Map<String, Value> {
        let mut findings = Map::new();
        findings.insert("rejected_by".into(), json!(self.by_reason));
        findings.insert("conflicts_in_list".into(), self.conflicts.into());
        findings.insert("ignored".into(), self.summary.ignored.into());
        if self.manifest_unused > 0 {
            findings.insert("manifest_unused".into(), self.manifest_unused.into());
        }
        if let Some(serial) = self.summary.serial {
            findings.insert("serial".into(), serial.into());
        }
        findings
    }
}

struct Collector<'a> {
    reading: Reading<'a>,
    builder: IndexBuilder,
    read: ListRead,
    rules_max: u64,
    kept_max: usize,
    manifest: Option<Arc<Manifest>>,
    encoding: Encoding,
}

impl Collector<'_> {
    fn is_full(&self) -> bool {
        self.builder.len() as u64 > self.rules_max
    }

    /// Reports what is said of rules that the list does not have.
    fn unused(&mut self, manifest: &Manifest, index: &Index) {
        let unused = manifest.without_rule(|trigger| index.get(trigger).is_some());
        self.read.manifest_unused = unused.len() as u64;
        for text in unused.into_iter().take(EXAMPLES_MAX) {
            let at = Place { line: 0, text: text.as_bytes() };
            self.keep(
                at,
                "manifest-unused",
                "the manifest names a rule that the list does not have",
            );
        }
    }

    fn keep(&mut self, at: Place<'_>, code: &str, reason: &str) {
        let text = self.encoding.decode(at.text);
        let text = text.unwrap_or_else(|_| String::from_utf8_lossy(at.text));
        let text_max = self.reading.limits.rejected_text_bytes_max;
        self.read.rejections.push(Rejection {
            line: at.line,
            code: code.to_owned(),
            reason: reason.to_owned(),
            text: crate::record::capped(&text, text_max).to_owned(),
        });
    }
}

impl Sink for Collector<'_> {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        if let Some(reason) = self.reading.refuses(&rule) {
            return self.reject(at, reason);
        }
        match self.builder.add(&rule) {
            Added::New => {
                let of_server = matches!(rule.trigger, Trigger::Nsdname(_) | Trigger::Nsip(_));
                self.read.server_rules += u64::from(of_server);
                if let Some(meter) = self.reading.meter {
                    meter.rules(self.builder.len() as u64);
                }
            }
            Added::Merged => {}
            Added::Duplicate => {
                self.read.duplicates += 1;
                if self.read.duplicates <= EXAMPLES_MAX as u64 {
                    self.keep(at, "duplicate", "the same rule stands further up");
                }
            }
            Added::Conflict => {
                self.read.conflicts += 1;
                if self.read.conflicts <= EXAMPLES_MAX as u64 {
                    let why = format!("another rule for {} stands further up", rule.trigger);
                    self.keep(at, "conflict", &why);
                }
            }
        }
    }

    fn reject(&mut self, at: Place<'_>, reason: Reason) {
        self.read.rejected += 1;
        *self.read.by_reason.entry(reason.code).or_default() += 1;
        if self.read.rejected <= self.kept_max as u64 {
            self.keep(at, reason.code, &reason.text);
        }
    }

    fn encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    fn manifest(&mut self, manifest: &Arc<Manifest>) {
        self.manifest = Some(Arc::clone(manifest));
    }

    fn wants_more(&self) -> bool {
        !self.is_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PublicSuffixes;

    #[test]
    fn it_is_counted_how_far_reading_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let suffixes = Arc::new(PublicSuffixes::load(None).unwrap());
        let (limits, protected) = (config::Feeds::default(), Protected::new(suffixes));
        // The second has a beginning that is read twice.
        for (format, text) in [
            ("domains", "bad.example\nworse.example\nbad.example\n"),
            ("rpz", "bad.example CNAME .\nbad.example TXT \"x\"\nworse.example CNAME .\n"),
        ] {
            std::fs::write(&path, text).unwrap();
            let spec = format!(r#"{{"name":"a","source":"/l/a","format":"{format}"}}"#);
            let (spec, meter) = (FeedSpec::read(&spec).unwrap(), Meter::default());
            let reading = Reading {
                spec: &spec,
                limits: &limits,
                protected: &protected,
                meter: Some(&meter),
            };
            reading.read(&path, None, None).unwrap();
            let (done, bytes) = (meter.done(), text.len() as u64);
            assert_eq!((done.bytes, done.bytes_total, done.rules), (bytes, Some(bytes), 2));
        }
    }
}
