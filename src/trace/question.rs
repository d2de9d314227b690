//! What is asked: text becomes a [`Question`] once, at the edge.
//!
//! Without a declared kind the text is, in this order: a record id, a URL (or one of our own short
//! URLs, which asks for its link), a known code, an address (as an answer), a domain. `client` is
//! never guessed: it is about a person and has to be asked for by name. URLs and domains cover the
//! forwards there; `fwd:HOST/PATH` asks for one alone.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use schemars::JsonSchema;
use serde::Serialize;
use url::Url;

use crate::{links::ForwardFrom, record::RecordId};

/// The longest question, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 8_192;

/// The longest code, in bytes.
const CODE_BYTES_MAX: usize = 256;

/// A domain name in presentation form is at most four bytes per octet.
const NAME_BYTES_MAX: usize = 1_020;

/// The kinds of question. The list is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Kind {
    /// One record by its id.
    Record,
    /// A target.
    Url,
    /// A link by its code or short URL.
    Link,
    /// An address that was answered, or jumped to.
    Address,
    /// Everything at or below a name.
    Domain,
    /// A person's address, with or without port.
    Client,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Record, Self::Url, Self::Link, Self::Address, Self::Domain, Self::Client];

    /// Its name in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Url => "url",
            Self::Link => "link",
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = BadQuestion;

    fn from_str(s: &str) -> Result<Self, BadQuestion> {
        Self::ALL.into_iter().find(|k| k.name() == s).ok_or(BadQuestion::Kind)
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The text as asked.
    pub text: String,
    /// What it asks about.
    pub subject: Subject,
}

impl Question {
    /// The kind of question.
    pub const fn kind(&self) -> Kind {
        match self.subject {
            Subject::Record(_) => Kind::Record,
            Subject::Url { .. } => Kind::Url,
            Subject::Link { .. } => Kind::Link,
            Subject::Address(_) => Kind::Address,
            Subject::Domain(_) => Kind::Domain,
            Subject::Client { .. } => Kind::Client,
        }
    }
}

/// What a question asks about, in the form the columns hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A record.
    Record(RecordId),
    /// A target in its WHATWG serialisation.
    Url {
        /// The serialisation.
        target: String,
    },
    /// A link.
    Link {
        /// Its code.
        code: String,
    },
    /// An address.
    Address(IpAddr),
    /// A name: lower case, A-labels, absolute without the trailing dot; the root is `.`.
    Domain(String),
    /// A person's address.
    Client {
        /// The address.
        address: IpAddr,
        /// The port, where one was given.
        port: Option<u16>,
    },
}

/// The text asks nothing we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// Nothing was asked.
    #[error("the question is empty")]
    Empty,
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("the question is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// No such kind.
    #[error("kind is one of record, url, link, address, domain, client")]
    Kind,
    /// Not a record id.
    #[error("a record id has the form node-lane-seq")]
    Record,
    /// Not a URL.
    #[error("a URL begins with http:// or https:// and has a host")]
    Url,
    /// Not a code.
    #[error("a link is asked for by its code or its short URL")]
    Link,
    /// Not an address.
    #[error("an address is an IPv4 or IPv6 address without port or prefix")]
    Address,
    /// Not a name.
    #[error(
        "neither record id, URL, known code, address nor domain; ask by client with kind=client, \
         by URL with http:// or https:// in front"
    )]
    Domain,
    /// Not a client.
    #[error("a client is an address, `a.b.c.d:port` or `[v6]:port`")]
    Client,
}

/// Where our own short URLs live, to recognise them.
#[derive(Clone, Debug, Default)]
pub struct ShortUrls(Vec<Url>);

impl ShortUrls {
    /// Short URLs begin with one of `bases`; what is no URL is left out.
    pub fn new<'a>(bases: impl IntoIterator<Item = &'a str>) -> Self {
        Self(bases.into_iter().filter_map(|b| Url::parse(b).ok()).collect())
    }

    /// The code of `url`, when it is one of ours.
    fn code<'u>(&self, url: &'u Url) -> Option<&'u str> {
        let own = |base: &&Url| {
            base.host() == url.host() && base.port_or_known_default() == url.port_or_known_default()
        };
        let base = self.0.iter().find(own)?;
        let code = url.path().strip_prefix(base.path().trim_end_matches('/'))?.strip_prefix('/')?;
        (!code.is_empty() && !code.contains('/') && url.query().is_none()).then_some(code)
    }
}

/// Reads a question. `known` tells whether a code names a link; it is asked only about text that
/// could be one.
///
/// # Errors
/// When the text is no question of `kind`, or of any kind.
pub fn parse(
    text: &str,
    kind: Option<Kind>,
    own: &ShortUrls,
    known: impl Fn(&str) -> bool,
) -> Result<Question, BadQuestion> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(BadQuestion::TooLong);
    }
    let asked = text.trim();
    if asked.is_empty() {
        return Err(BadQuestion::Empty);
    }
    let subject = match kind {
        Some(kind) => declared(asked, kind, own)?,
        None => guessed(asked, own, known)?,
    };
    Ok(Question { text: text.to_owned(), subject })
}

fn declared(asked: &str, kind: Kind, own: &ShortUrls) -> Result<Subject, BadQuestion> {
    match kind {
        Kind::Record => asked.parse().map(Subject::Record).map_err(|_| BadQuestion::Record),
        Kind::Url => {
            let url = web_url(asked).ok_or(BadQuestion::Url)?;
            Ok(Subject::Url { target: url.into() })
        }
        Kind::Link => {
            if let Some(code) = forward(asked) {
                return Ok(Subject::Link { code });
            }
            let url = web_url(asked);
            // Jumps keep whatever code was asked, so that any text may be one.
            let code = url.as_ref().map_or(Some(asked), |u| own.code(u));
            let fits = |c: &&str| c.len() <= CODE_BYTES_MAX;
            let code = code.filter(fits).ok_or(BadQuestion::Link)?;
            Ok(Subject::Link { code: code.to_owned() })
        }
        Kind::Address => address(asked).map(Subject::Address).ok_or(BadQuestion::Address),
        Kind::Domain => domain(asked).map(Subject::Domain).ok_or(BadQuestion::Domain),
        Kind::Client => client(asked),
    }
}

fn guessed(
    asked: &str,
    own: &ShortUrls,
    known: impl Fn(&str) -> bool,
) -> Result<Subject, BadQuestion> {
    if let Ok(id) = asked.parse() {
        return Ok(Subject::Record(id));
    }
    if let Some(url) = web_url(asked) {
        return Ok(match own.code(&url).filter(|c| known(c)) {
            Some(code) => Subject::Link { code: code.to_owned() },
            None => Subject::Url { target: url.into() },
        });
    }
    if let Some(code) = forward(asked) {
        return Ok(Subject::Link { code });
    }
    let code_like = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if asked.len() <= CODE_BYTES_MAX && asked.bytes().all(code_like) && known(asked) {
        return Ok(Subject::Link { code: asked.to_owned() });
    }
    if let Some(a) = address(asked) {
        return Ok(Subject::Address(a));
    }
    domain(asked).map(Subject::Domain).ok_or(BadQuestion::Domain)
}

/// The code of a forward, however its host and path are written.
fn forward(asked: &str) -> Option<String> {
    let from = asked.strip_prefix("fwd:")?;
    ForwardFrom::parse(from).ok().map(|from| from.code())
}

fn web_url(asked: &str) -> Option<Url> {
    let url = Url::parse(asked).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn address(asked: &str) -> Option<IpAddr> {
    let bare = asked.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
    match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => asked.parse().ok(),
    }
    .map(|a| a.to_canonical())
}

fn client(asked: &str) -> Result<Subject, BadQuestion> {
    if let Some(address) = address(asked) {
        return Ok(Subject::Client { address, port: None });
    }
    let socket: SocketAddr = asked.parse().map_err(|_| BadQuestion::Client)?;
    Ok(Subject::Client { address: socket.ip().to_canonical(), port: Some(socket.port()) })
}

/// The name in the columns' form. ASCII passes as it is but for case, because qnames may hold
/// anything (underscores, RFC 1035 escapes); the rest goes through UTS #46.
fn domain(asked: &str) -> Option<String> {
    let name = if asked.is_ascii() {
        asked.to_ascii_lowercase()
    } else {
        Uts46::new()
            .to_ascii(asked.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
            .ok()?
            .into_owned()
    };
    if name == "." {
        return Some(name);
    }
    let name = name.strip_suffix('.').filter(|n| !n.ends_with('\\')).unwrap_or(&name);
    let refused =
        |b: u8| b.is_ascii_control() || matches!(b, b' ' | b'/' | b':' | b'@' | b'?' | b'#' | b'[');
    let numeric = name.parse::<Ipv4Addr>().is_ok();
    let good = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !numeric
        && !name.bytes().any(refused)
        && labels(name).all(|l| !l.is_empty());
    good.then(|| name.to_owned())
}

/// The labels of a name in presentation form: an escaped dot separates nothing.
fn labels(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let s = rest?;
        let Some(at) = first_dot(s) else {
            rest = None;
            return Some(s);
        };
        rest = Some(&s[at + 1..]);
        Some(&s[..at])
    })
}

fn first_dot(s: &str) -> Option<usize> {
    let mut escaped = false;
    s.bytes().position(|b| {
        let dot = b == b'.' && !escaped;
        escaped = b == b'\\' && !escaped;
        dot
    })
}

/// `name` and every name above it of two labels or more: where its registrable domain must lie,
/// whatever public suffix list was in force. A single label is the registrable domain of itself
/// alone.
pub(super) fn at_and_above(name: &str) -> Vec<&str> {
    let mut above = vec![name];
    let mut rest = name;
    while let Some(at) = first_dot(rest) {
        rest = &rest[at + 1..];
        above.push(rest);
    }
    if above.len() > 1 {
        above.pop();
    }
    above
}

#[cfg(test)]
mod tests;
