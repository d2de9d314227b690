//! Which results can be streamed. The engine writes every chunk as a document of its own; where
//! the documents of a format add up when their repeated heads are left out, chunks are passed on
//! as they come, otherwise the whole result is made in memory, within `result_bytes_max`.

/// How chunks of a format become one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    /// One after the other.
    Plain,
    /// After the head of so many lines was cut from all but the first.
    Lines(usize),
    /// The same for the binary head of names and, perhaps, types.
    Names {
        /// Whether types follow the names.
        types: bool,
    },
    /// Not at all.
    Never,
}

/// How chunks of `format` are joined.
pub(super) fn joining(format: &str) -> Joining {
    match format {
        "RowBinary"
        | "Native"
        | "MsgPack"
        | "Null"
        | "JSONEachRow"
        | "JSONLines"
        | "NDJSON"
        | "JSONStringsEachRow"
        | "JSONCompactEachRow"
        | "JSONCompactStringsEachRow"
        | "TSKV"
        | "TabSeparated"
        | "TSV"
        | "TabSeparatedRaw"
        | "TSVRaw"
        | "Raw"
        | "LineAsString"
        | "RawBLOB"
        | "CSV" => Joining::Plain,
        "RowBinaryWithNames" => Joining::Names { types: false },
        "RowBinaryWithNamesAndTypes" => Joining::Names { types: true },
        "TabSeparatedWithNames"
        | "TSVWithNames"
        | "CSVWithNames"
        | "JSONCompactEachRowWithNames"
        | "JSONCompactStringsEachRowWithNames" => Joining::Lines(1),
        "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes"
        | "CSVWithNamesAndTypes"
        | "JSONCompactEachRowWithNamesAndTypes"
        | "JSONCompactStringsEachRowWithNamesAndTypes" => Joining::Lines(2),
        _ => Joining::Never,
    }
}

/// Cuts the head that a chunk repeats.
#[derive(Debug)]
pub(super) struct Joiner {
    joining: Joining,
    first: bool,
}

impl Joiner {
    pub(super) fn new(joining: Joining) -> Self {
        Self { joining, first: true }
    }

    /// What of `chunk` belongs into the document.
    pub(super) fn cut<'c>(&mut self, chunk: &'c [u8]) -> &'c [u8] {
        if std::mem::take(&mut self.first) {
            return chunk;
        }
        let head = match self.joining {
            Joining::Plain | Joining::Never => Some(0),
            Joining::Lines(n) => lines(chunk, n),
            Joining::Names { types } => names(chunk, types),
        };
        // A chunk shorter than its head cannot be; nothing of it would be data.
        head.and_then(|n| chunk.get(n..)).unwrap_or_default()
    }
}

/// The length of the first `n` lines; a line break between double quotes is none.
fn lines(chunk: &[u8], n: usize) -> Option<usize> {
    let (mut left, mut quoted) = (n, false);
    for (i, &b) in chunk.iter().enumerate() {
        match b {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => left -= 1,
            _ => {}
        }
        if left == 0 {
            return Some(i + 1);
        }
    }
    None
}

/// The length of a count, so many names and, with `types`, so many types.
fn names(chunk: &[u8], types: bool) -> Option<usize> {
    let mut at = 0;
    let columns = varuint(chunk, &mut at)?;
    for _ in 0..columns * if types { 2 } else { 1 } {
        let length = varuint(chunk, &mut at)?;
        at = at.checked_add(length)?;
    }
    Some(at)
}

fn varuint(chunk: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *chunk.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_heads_are_cut() {
        for (format, chunks, whole) in [
            ("CSV", vec!["1\n", "2\n"], "1\n2\n"),
            ("TSVWithNames", vec!["a\n1\n", "a\n2\n"], "a\n1\n2\n"),
            ("CSVWithNames", vec!["\"a\nb\"\n1\n", "\"a\nb\"\n2\n"], "\"a\nb\"\n1\n2\n"),
            ("TSVWithNamesAndTypes", vec!["a\nString\n", "a\nString\nx\n"], "a\nString\nx\n"),
            ("RowBinaryWithNames", vec!["\x01\x01axx", "\x01\x01ayy"], "\x01\x01axxyy"),
            (
                "RowBinaryWithNamesAndTypes",
                vec!["\x01\x01a\x02T1x", "\x01\x01a\x02T1y"],
                "\x01\x01a\x02T1xy",
            ),
        ] {
            let mut joiner = Joiner::new(joining(format));
            let out: Vec<u8> =
                chunks.iter().flat_map(|c| joiner.cut(c.as_bytes()).to_vec()).collect();
            assert_eq!(String::from_utf8(out).unwrap(), whole, "{format}");
        }
        assert_eq!(joining("JSON"), Joining::Never);
        assert_eq!(joining("Parquet"), Joining::Never);
    }
}
