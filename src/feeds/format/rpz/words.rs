//! The words of one entry of a zone text.

use super::super::Reason;

/// The words of an entry, by their places in it. Kept and used again, so that an entry costs no
/// allocation.
#[derive(Debug, Default)]
pub(crate) struct Words {
    places: Vec<(usize, usize)>,
    /// Whether the entry begins with space: its owner is that of the entry before.
    pub(crate) indented: bool,
}

impl Words {
    /// Splits an entry into words: escapes and quoted strings are left as they are, comments and
    /// parentheses are not there.
    ///
    /// # Errors
    /// When a quote does not end on its line or an escape has nothing behind it.
    pub(crate) fn split(&mut self, entry: &[u8]) -> Result<(), Reason> {
        self.places.clear();
        self.indented = matches!(entry.first(), Some(b' ' | b'\t'));
        let mut at = 0;
        while let Some(&b) = entry.get(at) {
            match b {
                b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' => at += 1,
                b';' => at = line_end(entry, at),
                _ => {
                    let end = word_end(entry, at)?;
                    self.places.push((at, end));
                    at = end;
                }
            }
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The last word of `entry`, when it stands at this place.
    pub(crate) fn only<'e>(&self, entry: &'e [u8], index: usize) -> Option<&'e [u8]> {
        self.get(entry, index).filter(|_| self.len() == index + 1)
    }

    /// The word at this place of `entry`.
    pub(crate) fn get<'e>(&self, entry: &'e [u8], index: usize) -> Option<&'e [u8]> {
        self.places.get(index).map(|&(from, to)| &entry[from..to])
    }
}

/// How deep in parentheses a line ends that begins `depth` deep; none when it closes more than it
/// opens, or opens more than one at a time.
pub(super) fn depth_behind(line: &[u8], depth: usize) -> Option<usize> {
    let mut depth = depth;
    let mut at = 0;
    // Nearly no line has any of these.
    while let Some(next) =
        line[at..].iter().position(|b| matches!(b, b'(' | b')' | b'"' | b'\\' | b';'))
    {
        at += next;
        match line[at] {
            b'(' if depth == 0 => depth = 1,
            b')' if depth == 1 => depth = 0,
            b'(' | b')' => return None,
            b';' => break,
            b'"' => at = quote_end(line, at).unwrap_or(line.len() - 1),
            _ => at += 1,
        }
        at += 1;
        if at >= line.len() {
            break;
        }
    }
    Some(depth)
}

fn line_end(entry: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &entry[at..]).map_or(entry.len(), |n| at + n)
}

fn word_end(entry: &[u8], mut at: usize) -> Result<usize, Reason> {
    while let Some(&b) = entry.get(at) {
        match b {
            b'\\' if at + 1 == entry.len() => {
                return Err(Reason::syntax("a backslash with nothing behind it"));
            }
            b'\\' => at += 2,
            b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' => break,
            b'"' => {
                at = quote_end(entry, at)
                    .ok_or_else(|| Reason::syntax("a quote that does not end on its line"))?
                    + 1;
            }
            _ => at += 1,
        }
    }
    Ok(at)
}

/// Where the quote that begins at `at` ends, on the same line.
fn quote_end(entry: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match entry.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at),
            b'\n' => return None,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_depth() {
        let check = |entry: &str, expected: Option<&[&str]>| {
            let mut words = Words::default();
            let split = words.split(entry.as_bytes()).ok().map(|()| {
                let word = |i| std::str::from_utf8(words.get(entry.as_bytes(), i).unwrap());
                (0..words.len()).map(|i| word(i).unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(split.as_deref(), expected, "{entry:?}");
        };
        check("", Some(&[]));
        check("a CNAME . ; (\"", Some(&["a", "CNAME", "."]));
        check(
            "\ta\\;b\\ c ( \"x ; y\" ; z\n q=\"1 2\"3 )",
            Some(&["a\\;b\\ c", "\"x ; y\"", "q=\"1 2\"3"]),
        );
        check("a \"b", None);
        check("a \"b\n\"", None);
        check("a\\", None);

        assert_eq!(depth_behind(b"a (", 0), Some(1));
        assert_eq!(depth_behind(b"1 ) ; (", 1), Some(0));
        assert_eq!(depth_behind(b"a \\( \"(\"", 0), Some(0));
        assert_eq!(depth_behind(b"a ( (", 0), None);
        assert_eq!(depth_behind(b"a )", 0), None);
        assert_eq!(depth_behind(b"a \"(", 0), Some(0));
        assert_eq!(depth_behind(b"a \\", 1), Some(1));
    }
}
