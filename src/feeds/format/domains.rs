//! A name a line. `#`, `;`, `!` and `//` begin comments; `#` behind a name does, too.
//!
//! `*.name` lists everything below `name`, `.name` the name and everything below it.

use std::io::BufRead;

use super::{Error, Place, Reason, lines, names::meant, out::Out};

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    lines::each(input, out, entry)
}

fn entry(at: Place<'_>, out: &mut Out<'_>) -> Result<(), Reason> {
    let text = without_comment(at.text);
    if text.is_empty() {
        return Ok(());
    }
    let meant = read(text, out)?;
    let action = &out.options.action;
    meant.triggers().for_each(|trigger| out.rule(at, trigger, action.clone()));
    Ok(())
}

fn read(text: &[u8], out: &Out<'_>) -> Result<super::names::Meant, Reason> {
    let mut words = text.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    if second.is_some() {
        let address = std::str::from_utf8(first).ok().and_then(super::names::address);
        return Err(match address {
            Some(_) => Reason::syntax("an address and names: this is a hosts file (format hosts)"),
            None => Reason::syntax("more than one word: a list of domains has a name a line"),
        });
    }
    meant(first, out.options.encoding)
}

/// The entry of a line: without what surrounds it, empty for a comment.
pub(super) fn without_comment(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    if matches!(line.first(), None | Some(b'#' | b';' | b'!')) {
        return &[];
    }
    if line.starts_with(b"//") {
        // `//host` is a URL without its scheme, `// words` a comment.
        return if line.get(2).is_some_and(u8::is_ascii_alphanumeric) { line } else { &[] };
    }
    let mut hashes = memchr::memchr_iter(b'#', line);
    match hashes.find(|at| line[at - 1].is_ascii_whitespace()) {
        Some(at) => line[..at].trim_ascii_end(),
        None => line,
    }
}
