//! CSV as spreadsheets write it (RFC 4180), read a record at a time, in UTF-8 or GB18030.

use std::io::{self, BufRead};

use crate::feeds::format::Encoding;

/// The longest record, in bytes.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Records of a text.
pub(in crate::cli) struct Records<R> {
    input: R,
    separator: u8,
    encoding: Encoding,
    /// Lines read so far.
    lines: u64,
}

impl<R: BufRead> Records<R> {
    /// Fields are separated by a comma, or by what the first line has more of: a tab or a
    /// semicolon. A byte order mark is passed over.
    pub(in crate::cli) fn new(mut input: R) -> io::Result<Self> {
        let head = input.fill_buf()?;
        let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let line = head[mark..].split(|b| *b == b'\n').next().unwrap_or_default();
        let count = |separator: u8| line.iter().filter(|b| **b == separator).count();
        // Of as many, the first in this order.
        let separator = [b';', b'\t', b','].into_iter().max_by_key(|s| count(*s)).unwrap_or(b',');
        let encoding = Encoding::Auto.settled(head);
        input.consume(mark);
        Ok(Self { input, separator, encoding, lines: 0 })
    }

    /// The next record that is not empty; none at the end.
    ///
    /// # Errors
    /// When it cannot be read, is no text, or has no end; its line is named.
    pub(in crate::cli) fn next(&mut self) -> io::Result<Option<Vec<String>>> {
        loop {
            let mut record = Vec::new();
            let line = self.lines + 1;
            let bad = |why: &str| bad(format!("line {line}: {why}"));
            loop {
                let before = record.len();
                let room = (RECORD_BYTES_MAX + 1 - before) as u64;
                let read = io::Read::take(&mut self.input, room).read_until(b'\n', &mut record)?;
                // An odd number of quotes: the line ends within a field.
                let open = record.iter().filter(|b| **b == b'"').count() % 2 == 1;
                if record.len() > RECORD_BYTES_MAX {
                    return Err(bad("a record is longer than may be"));
                }
                if read == 0 && open {
                    return Err(bad("a quoted field has no end"));
                }
                self.lines += u64::from(read > 0);
                if read == 0 || !open {
                    break;
                }
            }
            if record.is_empty() {
                return Ok(None);
            }
            let text = self.encoding.decode(&record);
            let text =
                text.map_err(|_| bad("the record is text neither in UTF-8 nor in GB18030"))?;
            let text = text.trim_end_matches(['\r', '\n']);
            if !text.is_empty() {
                return Ok(Some(fields(text, self.separator as char)));
            }
        }
    }
}

fn bad(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The fields of one record.
fn fields(text: &str, separator: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            c if c == separator && !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> io::Result<Vec<Vec<String>>> {
        let mut records = Records::new(text.as_bytes())?;
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            all.push(record);
        }
        Ok(all)
    }

    #[test]
    fn fields_are_read_as_spreadsheets_write_them() {
        for (text, expected) in [
            ("a,b\n1,2\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("\u{feff}a;b\r\n\r\n1;\"2,3\"", vec![vec!["a", "b"], vec!["1", "2,3"]]),
            ("a\tb\n\"x\"\"y\"\t\"\"", vec![vec!["a", "b"], vec!["x\"y", ""]]),
            ("a,b\n\"one\ntwo\",3", vec![vec!["a", "b"], vec!["one\ntwo", "3"]]),
            ("短码,网址\nx,", vec![vec!["短码", "网址"], vec!["x", ""]]),
            ("", vec![]),
        ] {
            assert_eq!(all(text).unwrap(), expected, "{text}");
        }
        // GBK of 短码,网址.
        let mut gbk = Records::new(&b"\xb6\xcc\xc2\xeb,\xcd\xf8\xd6\xb7\nx,\n"[..]).unwrap();
        assert_eq!(gbk.next().unwrap().unwrap(), ["短码", "网址"]);
        let mut damaged = Records::new(&b"a,b\n\"1\n\",2\n\xff\xff,\n"[..]).unwrap();
        assert!(damaged.next().is_ok() && damaged.next().is_ok());
        let why = damaged.next().unwrap_err().to_string();
        assert!(why.starts_with("line 4: "), "{why}");
        for bad in ["a,\"b", &format!("a\n{}", "x".repeat(RECORD_BYTES_MAX + 1))] {
            assert!(all(bad).is_err());
        }
    }

    #[test]
    fn fuzz_any_bytes_end() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let Ok(mut records) = Records::new(bytes) else { return };
            // Each record takes at least one byte.
            for _ in 0..=bytes.len() {
                match records.next() {
                    Ok(Some(fields)) => assert!(!fields.is_empty()),
                    Ok(None) | Err(_) => return,
                }
            }
            panic!("more records than bytes");
        });
    }
}
