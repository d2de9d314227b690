//! Zone files read into zones.

use std::{
    fs::File,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use domain::{
    base::{ToName, rdata::ComposeRecordData},
    zonefile::inplace::{Entry, ScannedRecord, Zonefile},
};

use super::{ZoneProblem, units, zone::Zone};
use crate::{
    config,
    name::Name,
    resolver::message::{Record, class},
};

/// How deep `$INCLUDE` may go.
const INCLUDE_DEPTH_MAX: usize = 8;

/// What one record may take in a file on average, in bytes: bounds the files by the records.
const RECORD_TEXT_BYTES_MAX: u64 = 512;

/// Files below this size, in bytes, are read however few records are allowed.
const FILE_BYTES_MIN: u64 = 1 << 20;

/// Reads one zone of at most `room` records.
///
/// # Errors
/// When it cannot be read or is no zone, with the file and line to blame.
pub(super) fn zone(root: &Path, z: &config::Zone, room: usize) -> Result<Zone, ZoneProblem> {
    let problem = |reason: &str| problem(&z.file, None, reason);
    let root = root
        .canonicalize()
        .map_err(|e| problem(&format!("dns.zone_root {}: {e}", root.display())))?;
    let apex = Name::from_text(&z.name).map_err(|_| problem("the zone's name is not a name"))?;
    let mut loader = Loader { root: &root, zone: Zone::new(&apex), room };
    let file = below(&root, &z.file)?;
    loader.file(&file, &apex, 0)?;
    loader.zone.check().map_err(|e| problem(&e.to_string()))?;
    Ok(loader.zone)
}

fn problem(file: &Path, line: Option<usize>, reason: &str) -> ZoneProblem {
    ZoneProblem { file: file.into(), line, reason: reason.into() }
}

/// The file with every link followed, which must lie below `root`.
fn below(root: &Path, file: &Path) -> Result<PathBuf, ZoneProblem> {
    let real = root.join(file).canonicalize().map_err(|e| problem(file, None, &e.to_string()))?;
    if real.starts_with(root) {
        return Ok(real);
    }
    Err(problem(file, None, "the file lies outside dns.zone_root"))
}

struct Loader<'a> {
    root: &'a Path,
    zone: Zone,
    room: usize,
}

impl Loader<'_> {
    fn file(&mut self, file: &Path, origin: &Name, depth: usize) -> Result<(), ZoneProblem> {
        let text = self.text(file)?;
        self.scan(file, &text, origin, depth)
    }

    /// Adds the records of one file's text, which ends with a line feed.
    fn scan(
        &mut self,
        file: &Path,
        text: &[u8],
        origin: &Name,
        depth: usize,
    ) -> Result<(), ZoneProblem> {
        let text = units::plain_numbers(text);
        let mut scanner = Zonefile::from(&text[..]);
        let origin = domain::base::Name::from_octets(Bytes::copy_from_slice(origin.wire()))
            .map_err(|_| problem(file, None, "the origin is not a name"))?;
        scanner.set_origin(origin);
        scanner.set_default_class(domain::base::iana::Class::IN);
        let mut lines = Lines { text: &text, counted_to: 0, line: 1 };
        loop {
            // `domain` 0.12.3 can still index past its buffer on broken text; that is a broken zone,
            // not the end of the server. The scanner is not used again after that.
            let entry = catch_unwind(AssertUnwindSafe(|| scanner.next_entry()))
                .map_err(|_| problem(file, None, "the text cannot be read as a zone"))?
                .map_err(|e| syntax(file, &e.to_string()))?;
            // The scanner's buffer begins with a byte that is not the file's.
            let line = lines.at(scanner.current_offset().saturating_sub(1));
            match entry {
                None => return Ok(()),
                Some(Entry::Record(r)) => record(&r)
                    .map_err(str::to_owned)
                    .and_then(|r| self.zone.add(r, self.room).map_err(|e| e.to_string()))
                    .map_err(|e| problem(file, Some(line), &e))?,
                Some(Entry::Include { path, origin }) => {
                    if depth == INCLUDE_DEPTH_MAX {
                        return Err(problem(file, Some(line), "$INCLUDE goes too deep"));
                    }
                    let included = below(self.root, Path::new(&*path)).map_err(|p| {
                        problem(file, Some(line), &format!("$INCLUDE {path}: {}", p.reason))
                    })?;
                    let origin = match origin {
                        Some(o) => Name::from_checked(o.as_slice()),
                        None => scanner
                            .origin()
                            .map(|o| Name::from_checked(o.as_slice()))
                            .map_err(|e| problem(file, Some(line), &e.to_string()))?,
                    };
                    self.file(&included, &origin, depth + 1)?;
                }
            }
        }
    }

    fn text(&self, file: &Path) -> Result<Vec<u8>, ZoneProblem> {
        let io = |e: std::io::Error| problem(file, None, &e.to_string());
        let bytes_max =
            (self.room as u64).saturating_mul(RECORD_TEXT_BYTES_MAX).max(FILE_BYTES_MIN);
        let mut text = Vec::new();
        File::open(file).and_then(|f| f.take(bytes_max + 1).read_to_end(&mut text)).map_err(io)?;
        if text.len() as u64 > bytes_max {
            let reason = format!("the file is larger than {bytes_max} bytes");
            return Err(problem(file, None, &reason));
        }
        if text.last().is_some_and(|b| *b != b'\n') {
            text.push(b'\n');
        }
        Ok(text)
    }
}

fn record(r: &ScannedRecord) -> Result<Record, &'static str> {
    let mut owner = Vec::with_capacity(64);
    let mut rdata = Vec::with_capacity(64);
    r.owner().compose(&mut owner).map_err(|_| "the owner is too long")?;
    r.data().compose_rdata(&mut rdata).map_err(|_| "the data is too long")?;
    if rdata.len() > usize::from(u16::MAX) {
        return Err("the data is longer than 65535 bytes");
    }
    let class = if r.class() == domain::base::iana::Class::IN { class::IN } else { 0 };
    Ok(Record {
        owner: owner.into(),
        rtype: r.rtype().to_int(),
        class,
        ttl: r.ttl().as_secs().min(i32::MAX as u32),
        rdata: rdata.into(),
    })
}

/// The scanner's errors read `line:column: what`.
fn syntax(file: &Path, error: &str) -> ZoneProblem {
    let mut parts = error.splitn(3, ':');
    let mut number = || parts.next().and_then(|n| n.trim().parse::<usize>().ok());
    let (Some(line), Some(column)) = (number(), number()) else {
        return problem(file, None, error);
    };
    // An error in the last token of a line is found when the line has been left.
    let line = if column <= 1 { line.saturating_sub(1).max(1) } else { line };
    problem(file, Some(line), parts.next().unwrap_or(error).trim())
}

/// Counts lines up to growing offsets.
struct Lines<'a> {
    text: &'a [u8],
    counted_to: usize,
    line: usize,
}

impl Lines<'_> {
    fn at(&mut self, offset: usize) -> usize {
        let offset = offset.clamp(self.counted_to, self.text.len());
        let between = &self.text[self.counted_to..offset];
        self.line += between.iter().filter(|b| **b == b'\n').count();
        self.counted_to = offset;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// What zone files are made of, so that random text gets past the first token.
    const PIECES: &[&str] = &[
        " ",
        " ",
        "\t",
        "\n",
        "\n",
        "\r\n",
        "@",
        "(",
        ")",
        "\"",
        "\\",
        "\\065",
        ";",
        ".",
        "*",
        "a",
        "a.test.",
        "b.",
        "IN",
        "CH",
        "60",
        "1h",
        "4294967296",
        "$TTL 60\n",
        "$ORIGIN ",
        "$INCLUDE ",
        "@ 60 SOA ns h 1 2 3 4 5\n",
        "@ 60 NS ns\n",
        "A 192.0.2.1\n",
        "AAAA ::1\n",
        "CNAME ",
        "TXT ",
        "MX 10 ",
        "SRV 0 5 5060 ",
        "DS 1 13 2 00\n",
        "CAA 0 issue \"x\"\n",
        "NAPTR 1 1 \"u\" \"\" \"\" .\n",
        "HTTPS 1 . alpn=h2\n",
        "TYPE65280 \\# 2 0102\n",
        "\\# ",
        "TYPE1 \\# 4 ",
        "0102",
        "LOC ",
        "NSEC a. A MX\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn any_text_is_a_zone_or_a_problem(
            pieces in proptest::collection::vec(
                prop_oneof![
                    8 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
                    1 => proptest::collection::vec(any::<u8>(), 0..8),
                ],
                0..40,
            ),
            noise: Vec<u8>,
        ) {
            const ROOM: usize = 16;
            let apex = Name::from_text("test").unwrap();
            for text in [pieces.concat(), noise] {
                let text = [&text[..], b"\n"].concat();
                let zone = Zone::new(&apex);
                // No file lies below this root.
                let mut loader = Loader { root: Path::new("/nowhere"), zone, room: ROOM };
                let lines = text.iter().filter(|b| **b == b'\n').count();
                match loader.scan(Path::new("x.zone"), &text, &apex, 0) {
                    Ok(()) => prop_assert!(loader.zone.records() <= ROOM),
                    Err(e) => prop_assert!(e.line.is_none_or(|l| (1..=lines + 1).contains(&l)), "{e}"),
                }
            }
        }
    }
}
