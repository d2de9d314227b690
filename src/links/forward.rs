//! What is forwarded: a host, or a path of one and everything below it.
//!
//! A forward (域名跳转) is a link by another name: its code is `fwd:` and what it forwards, which no
//! visitor's `/{code}` can say ([`is_code`](super::is_code)). So its revisions, its records and its
//! place in memory are those of links.
//!
//! Paths are compared as RFC 3986 §6.2.2 has it, what is declared and what is asked for alike: octets
//! that need no escape are written without one, escapes are in capitals, characters that no path holds
//! are escaped, `.` and `..` are followed, `%2e` being a dot. An escaped slash parts nothing. Of the
//! forwards of a host the one with the longest path counts, by whole segments.

use std::{borrow::Cow, fmt};

use url::Url;

use super::{LinkQuery, Refusal};

/// What codes of forwards begin with.
pub(super) const PREFIX: &str = "fwd:";

/// Segments of a path that is forwarded, at most: as many look-ups a visit takes, and one.
pub(super) const SEGMENTS_MAX: usize = 4;

/// The longest code, in bytes.
const CODE_BYTES_MAX: usize = 512;

/// Whether a code is that of a forward.
pub fn is_forward(code: &str) -> bool {
    code.starts_with(PREFIX)
}

/// What stands in memory for all forwards of a host: no code ends in a slash.
pub(super) fn all_of(host: &str) -> String {
    format!("{PREFIX}{host}/")
}

/// Codes of forwards lie between these, by bytes.
const BETWEEN: [&str; 2] = [PREFIX, "fwd;"];

/// The code after which a list begins, and what else has to be said of codes `r.code` that come after
/// it: for forwards one range without a second lower bound, of which a planner may choose the wrong
/// one and read every link before them.
pub(super) fn range(query: &LinkQuery) -> (&str, String) {
    let [from, to] = BETWEEN;
    match query.forwards {
        true => (from.max(&query.after), format!(" AND r.code < '{to}'")),
        false => (&query.after, format!(" AND NOT (r.code >= '{from}' AND r.code < '{to}')")),
    }
}

/// What is forwarded: a host, or a path of it and everything below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardFrom {
    /// Lower case, A-labels, without the trailing dot.
    host: String,
    /// Empty, or `/` and segments without a slash at the end.
    path: String,
}

impl ForwardFrom {
    /// Reads `host` or `host/path`, as a browser would.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: a scheme, a port, a query, an empty segment, more than 4 of them.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        // What the parser would forgive, or take for something else.
        let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '?' | '#');
        if text.contains(odd) || host.is_empty() || host.contains(['@', ':', '%']) {
            return Err(Refusal::Malformed);
        }
        let path = AskedPath::new(path);
        let url = Url::parse(&format!("https://{host}{}", path.0));
        let url = url.map_err(|_| Refusal::Malformed)?;
        let host = url.domain().ok_or(Refusal::Malformed)?.trim_end_matches('.').to_owned();
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let mut from = Self { host, path: String::new() };
        for segment in path.split('/').skip(1) {
            if segment.is_empty() {
                return Err(Refusal::Malformed);
            }
            from.path.push('/');
            plain(segment, &mut from.path);
        }
        let fits = path.split('/').skip(1).count() <= SEGMENTS_MAX;
        let fits = fits && from.code().len() <= CODE_BYTES_MAX;
        if fits { Ok(from) } else { Err(Refusal::Malformed) }
    }

    /// What a forward's code forwards; none for other codes.
    pub fn of_code(code: &str) -> Option<Self> {
        let text = code.strip_prefix(PREFIX)?;
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        Some(Self { host: host.to_owned(), path: path.to_owned() })
    }

    /// The code of its forward.
    pub fn code(&self) -> String {
        format!("{PREFIX}{self}")
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path; empty for the whole host.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for ForwardFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// A path that is asked for, as the visitor writes it but without `.` and `..` (RFC 3986 §5.2.4).
#[derive(Clone, Debug)]
pub struct AskedPath<'p>(Cow<'p, str>);

impl<'p> AskedPath<'p> {
    /// Of the path of a request.
    pub fn new(path: &'p str) -> Self {
        if path.split('/').all(|s| dots(s) == 0) {
            return Self(Cow::Borrowed(path));
        }
        let mut kept = Vec::new();
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
        while let Some(segment) = segments.next() {
            match dots(segment) {
                0 => kept.push(segment),
                up => {
                    if up == 2 {
                        kept.pop();
                    }
                    if segments.peek().is_none() {
                        kept.push("");
                    }
                }
            }
        }
        Self(Cow::Owned(format!("/{}", kept.join("/"))))
    }
}

impl AskedPath<'_> {
    /// The same, for longer.
    pub fn to_owned(&self) -> AskedPath<'static> {
        AskedPath(Cow::Owned(self.0.clone().into_owned()))
    }

    /// Its last `length` bytes, as [`candidates`] may leave them.
    pub fn last(&self, length: usize) -> &str {
        self.0.get(self.0.len().saturating_sub(length)..).unwrap_or("")
    }
}

/// 1 for `.` and 2 for `..`, in disguise too; 0 for everything else.
fn dots(segment: &str) -> usize {
    // Almost every segment is none, and not looked at twice.
    if segment.len() > "%2e%2e".len() || !segment.starts_with(['.', '%']) {
        return 0;
    }
    match &*segment.to_ascii_lowercase().replace("%2e", ".") {
        "." => 1,
        ".." => 2,
        _ => 0,
    }
}

/// Writes a segment as segments are compared.
fn plain(segment: &str, to: &mut String) {
    let digit = |at: Option<&u8>| at.and_then(|b| char::from(*b).to_digit(16));
    let bytes = segment.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let (value, escaped) = match (byte, digit(bytes.get(at)), digit(bytes.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                (u8::try_from(high * 16 + low).unwrap_or_default(), true)
            }
            _ => (byte, false),
        };
        if is_unreserved(value) || !escaped && is_delimiter(value) {
            to.push(char::from(value));
        } else {
            to.push('%');
            to.extend(
                [value >> 4, value & 15].map(|d| char::from(b"0123456789ABCDEF"[usize::from(d)])),
            );
        }
    }
}

/// What means the same with and without an escape (RFC 3986 §2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What else a segment holds without an escape (RFC 3986 §3.3).
const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\''..=b',' | b';' | b'=' | b':' | b'@')
}

/// Codes of the forwards that may answer for `path` at `host`, the longest path first, each with what
/// it leaves of the path, without the slash before that.
pub fn candidates<'p>(host: &str, path: &'p AskedPath<'_>) -> Vec<(String, &'p str)> {
    let path = &*path.0;
    let behind = |at: usize| path[at..].strip_prefix('/').unwrap_or("");
    let mut code = format!("{PREFIX}{host}");
    let (mut all, mut at) = (vec![(code.clone(), behind(0))], 0);
    while all.len() <= SEGMENTS_MAX {
        let Some(rest) = path[at..].strip_prefix('/') else { break };
        let segment = &rest[..rest.find('/').unwrap_or(rest.len())];
        if segment.is_empty() {
            break;
        }
        at += 1 + segment.len();
        code.push('/');
        plain(segment, &mut code);
        if code.len() > CODE_BYTES_MAX {
            break;
        }
        all.push((code.clone(), behind(at)));
    }
    all.reverse();
    all
}

#[cfg(test)]
mod tests;
