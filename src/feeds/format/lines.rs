//! Lines of a bounded length, one after the other.

use std::{collections::VecDeque, io::BufRead};

use super::{Error, Place, Reason, out::Out};

/// Hands every line to `entry`, and rejects those that are too long or that it says are wrong.
pub(super) fn each(
    input: &mut dyn BufRead,
    out: &mut Out<'_>,
    entry: impl Fn(Place<'_>, &mut Out<'_>) -> Result<(), Reason>,
) -> Result<(), Error> {
    let bytes_max = out.options.line_bytes_max;
    let mut lines = Lines::new(input, bytes_max);
    let mut line = Vec::with_capacity(256);
    while out.wants_more() {
        let next = lines.next(&mut line)?;
        let at = Place { line: lines.number(), text: &line };
        let taken = match next {
            Next::End => break,
            Next::TooLong => Err(Reason::too_long(bytes_max)),
            Next::Line => entry(at, out),
        };
        if let Err(reason) = taken {
            out.reject(at, reason);
        }
    }
    out.summary.lines = lines.number();
    Ok(())
}

/// Reads lines; a line that is too long costs no more memory than one that is not.
pub(super) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    bytes_max: usize,
    /// Lines read for the first time, and given back in `again`.
    number: u64,
    again: VecDeque<(Vec<u8>, bool)>,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line.
    Line,
    /// The beginning of a line that is longer than allowed.
    TooLong,
    /// There are no more.
    End,
}

impl<'a> Lines<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead, bytes_max: usize) -> Self {
        Self { input, bytes_max, number: 0, again: VecDeque::new() }
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Reads the next line into `line`, without its end and without a byte order mark.
    ///
    /// # Errors
    /// When the input cannot be read, or is UTF-16.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Result<Next, Error> {
        line.clear();
        if let Some((text, too_long)) = self.again.pop_front() {
            self.number += 1;
            *line = text;
            return Ok(if too_long { Next::TooLong } else { Next::Line });
        }
        let (mut any, mut too_long) = (false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', buffer);
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            // A carriage return before the end does not count.
            let room = (self.bytes_max + 1).saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            too_long |= piece.len() > room;
            let read = piece.len() + usize::from(end.is_some());
            self.input.consume(read);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(Next::End);
        }
        self.number += 1;
        self.finish(line, too_long)
    }

    fn finish(&mut self, line: &mut Vec<u8>, too_long: bool) -> Result<Next, Error> {
        if self.number == 1 {
            if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                return Err(Error::Encoding("UTF-16"));
            }
            if line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
        }
        if !too_long && line.last() == Some(&b'\r') {
            line.pop();
        }
        if too_long || line.len() > self.bytes_max {
            line.truncate(self.bytes_max);
            return Ok(Next::TooLong);
        }
        Ok(Next::Line)
    }

    /// Gives lines back, the last ones read, in their order: they will be read again.
    pub(super) fn give_back(&mut self, lines: Vec<(Vec<u8>, bool)>) {
        self.number -= lines.len() as u64;
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(text: &[u8], bytes_max: usize) -> Vec<(u64, String, Next)> {
        // A buffer of three bytes: lines come in pieces.
        let mut input = BufReader::with_capacity(3, text);
        let mut lines = Lines::new(&mut input, bytes_max);
        let (mut line, mut all) = (Vec::new(), Vec::new());
        loop {
            let next = lines.next(&mut line).unwrap();
            if next == Next::End {
                return all;
            }
            all.push((lines.number(), String::from_utf8(line.clone()).unwrap(), next));
        }
    }

    #[test]
    fn ends_marks_and_limits() {
        let check = |text: &[u8], expected: &[(&str, Next)]| {
            let expected: Vec<_> =
                expected.iter().zip(1..).map(|((t, n), i)| (i, (*t).to_owned(), *n)).collect();
            assert_eq!(read(text, 5), expected, "{text:?}");
        };
        check(b"", &[]);
        check(b"\n", &[("", Next::Line)]);
        check(b"a\r\nb\nc", &[("a", Next::Line), ("b", Next::Line), ("c", Next::Line)]);
        check(b"\xef\xbb\xbfa\n", &[("a", Next::Line)]);
        check(b"12345\r\n12345", &[("12345", Next::Line), ("12345", Next::Line)]);
        check(b"123456\nb", &[("12345", Next::TooLong), ("b", Next::Line)]);
        check(b"1234567890", &[("12345", Next::TooLong)]);
    }

    #[test]
    fn lines_given_back_come_again() {
        let mut input: &[u8] = b"a\nb\nc\nd\n";
        let mut lines = Lines::new(&mut input, 5);
        let mut line = Vec::new();
        for _ in 0..3 {
            lines.next(&mut line).unwrap();
        }
        lines.give_back(vec![(b"b".to_vec(), false), (b"c".to_vec(), true)]);
        assert_eq!(lines.next(&mut line).unwrap(), Next::Line);
        assert_eq!((&line[..], lines.number()), (&b"b"[..], 2));
        assert_eq!(lines.next(&mut line).unwrap(), Next::TooLong);
        assert_eq!(lines.next(&mut line).unwrap(), Next::Line);
        assert_eq!((&line[..], lines.number()), (&b"d"[..], 4));
        assert_eq!(lines.next(&mut line).unwrap(), Next::End);
    }

    #[test]
    fn utf16_is_refused() {
        let mut input: &[u8] = b"\xff\xfea\0";
        assert!(Lines::new(&mut input, 5).next(&mut Vec::new()).is_err());
    }
}
