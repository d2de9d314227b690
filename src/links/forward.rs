//! Forwards (域名跳转): a host, or a path of one, that leads elsewhere.
//!
//! A forward is a link by another name: its code is `fwd:` and what it forwards, which no visitor's
//! `/{code}` can say ([`is_code`](super::is_code)). So its revisions, its records and its place in
//! memory are those of links. Of the forwards of a host the one with the longest path counts, by whole
//! segments.
//!
//! A forward that would come back to itself through others is refused when it is made, changed or
//! enabled. Two that are changed at once on two gateways can still close a loop; the jump stops there
//! (`gateway`).

use std::{fmt, sync::Arc};

use url::Url;

use super::{Error, Link, Links, NotConverted, Refusal, State};

/// What codes of forwards begin with.
const PREFIX: &str = "fwd:";

/// Segments of a path that is forwarded, at most: as many look-ups a visit takes, and one.
pub(super) const SEGMENTS_MAX: usize = 4;

/// The longest code, in bytes.
const CODE_BYTES_MAX: usize = 512;

/// Whether a code is that of a forward.
pub fn is_forward(code: &str) -> bool {
    code.starts_with(PREFIX)
}

/// Codes of forwards lie between these, by bytes.
pub(super) const BETWEEN: [&str; 2] = [PREFIX, "fwd;"];

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
    /// The host's fault, or [`Refusal::Malformed`] for anything else: a scheme, a port, a query, an
    /// empty segment, more than 4 of them.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let url = Url::parse(&format!("https://{text}")).map_err(|_| Refusal::Malformed)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.port().is_none();
        let plain = plain && url.username().is_empty() && url.password().is_none();
        // What the parser would forgive.
        let written = text.split('/').next().unwrap_or("");
        let plain = plain
            && !text.contains('\\')
            && !text.starts_with('/')
            && !written.contains(['@', ':', '%']);
        let domain = url.domain().filter(|_| plain);
        let host = domain.ok_or(Refusal::Malformed)?.trim_end_matches('.').to_owned();
        let path = url.path().trim_end_matches('/').to_owned();
        let segments = || path.split('/').skip(1);
        let from = Self { host, path: path.clone() };
        let fits = segments().count() <= SEGMENTS_MAX && from.code().len() <= CODE_BYTES_MAX;
        match fits && segments().all(|s| !s.is_empty()) {
            true => Ok(from),
            false => Err(Refusal::Malformed),
        }
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

/// Codes of the forwards that may answer for `path` at `host`, the longest path first, each with what
/// it leaves of the path.
pub fn candidates<'p>(host: &str, path: &'p str) -> Vec<(String, &'p str)> {
    let (mut ends, mut at) = (vec![0], 0);
    while ends.len() <= SEGMENTS_MAX {
        let Some(rest) = path[at..].strip_prefix('/') else { break };
        let length = rest.find('/').unwrap_or(rest.len());
        if length == 0 {
            break;
        }
        at += 1 + length;
        ends.push(at);
    }
    let of = |end: usize| {
        let rest = path[end..].strip_prefix('/').unwrap_or("");
        (format!("{PREFIX}{host}{}", &path[..end]), rest)
    };
    let all = ends.into_iter().rev().map(of);
    all.filter(|(code, _)| code.len() <= CODE_BYTES_MAX).collect()
}

/// A forward in memory, or what is known of it there.
#[derive(Debug)]
pub enum Remembered<'p> {
    /// It is this one, and leaves this of the path.
    Forward(Arc<Link>, &'p str),
    /// There is none.
    None,
    /// The database has to be asked.
    Unknown,
}

impl Links {
    /// The forward for `path` at `host`, as far as it is in memory. Does not block.
    pub fn remembered_forward<'p>(&self, host: &str, path: &'p str) -> Remembered<'p> {
        let now = self.clock.monotonic();
        for (code, rest) in candidates(host, path) {
            match self.cached(&code) {
                Some(link) => return Remembered::Forward(link, rest),
                None if self.cache.is_absent(&code, now) => {}
                None => return Remembered::Unknown,
            }
        }
        Remembered::None
    }

    /// The forward for `path` at `host`, and what it leaves of the path. Blocks on the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forward<'p>(
        &self,
        host: &str,
        path: &'p str,
    ) -> Result<Option<(Arc<Link>, &'p str)>, Error> {
        for (code, rest) in candidates(host, path) {
            if let Some(link) = self.cached(&code) {
                return Ok(Some((link, rest)));
            }
            if self.cache.is_absent(&code, self.clock.monotonic()) {
                continue;
            }
            let before = self.cache.changes();
            match self.read(&code)? {
                Some(link) => return Ok(Some((link, rest))),
                None => self.cache.absent(&code, self.clock.monotonic(), before),
            }
        }
        Ok(None)
    }

    /// Whether a zone that we serve holds `host`.
    pub fn serves(&self, host: &str) -> bool {
        (self.serves)(host)
    }

    /// Refuses to forward a host that we must not, or may not.
    pub(super) fn refuse_host(&self, from: &ForwardFrom) -> Result<(), NotConverted> {
        match self.target(&format!("https://{}/", from.host)) {
            Ok(_) => {}
            Err(NotConverted::Target(refusal)) => return Err(NotConverted::Host(refusal)),
            Err(e) => return Err(e),
        }
        match self.foreign_forwards || self.serves(&from.host) {
            true => Ok(()),
            false => Err(NotConverted::Foreign),
        }
    }

    /// Refuses to let the forward `code` lead to `target` where that way comes back to it, or passes
    /// too many of our forwards.
    pub(super) fn refuse_loop(&self, code: &str, target: &str) -> Result<(), NotConverted> {
        let mut chain = vec![code.to_owned()];
        let mut target = target.to_owned();
        loop {
            let Some((host, path)) = place(&target) else { return Ok(()) };
            // It may not be there yet, or lead elsewhere still.
            let itself = candidates(&host, &path).into_iter().any(|(c, _)| c == code);
            let next = self.forward(&host, &path)?.map(|(link, _)| link);
            let nearer = |link: &Link| !itself || link.code.len() > code.len();
            let Some(next) = next.filter(|link| nearer(link)) else {
                if !itself {
                    return Ok(());
                }
                chain.push(code.to_owned());
                return Err(NotConverted::Loop(chain));
            };
            let comes_back = chain.iter().any(|c| **c == *next.code);
            chain.push(next.code.to_string());
            if comes_back {
                return Err(NotConverted::Loop(chain));
            }
            if chain.len() > usize::from(self.hops_max) {
                return Err(NotConverted::TooManyHops(chain));
            }
            if next.state != State::Enabled || next.is_expired(self.clock.now()) {
                return Ok(());
            }
            target = next.target.to_string();
        }
    }
}

/// Host and path of a URL, where its host is a name.
fn place(url: &str) -> Option<(String, String)> {
    let url = Url::parse(url).ok()?;
    let host = url.domain()?.trim_end_matches('.').to_owned();
    Some((host, url.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_paths_are_read_as_a_browser_does() {
        for (text, expected) in [
            ("old.example", Some("old.example")),
            ("OLD.example.", Some("old.example")),
            ("旧站.example", Some("xn--ygv397b.example")),
            ("old.example/", Some("old.example")),
            ("old.example/a/b/", Some("old.example/a/b")),
            ("old.example/a/../b", Some("old.example/b")),
            ("old.example/%C3%A9", Some("old.example/%C3%A9")),
            ("old%2Eexample", None),
            ("old.example\\a", None),
            ("old.example/é", Some("old.example/%C3%A9")),
            ("old.example/a/b/c/d/e", None),
            ("old.example/a//b", None),
            ("old.example:81", None),
            ("old.example/?q", None),
            ("old.example/#f", None),
            ("u@old.example", None),
            ("http://old.example", None),
            ("192.0.2.1", None),
            ("[::1]", None),
            ("", None),
            ("/a", None),
        ] {
            let read = ForwardFrom::parse(text).ok();
            assert_eq!(read.as_ref().map(ToString::to_string).as_deref(), expected, "{text}");
            if let Some(from) = read {
                assert!(is_forward(&from.code()) && !super::super::is_code(&from.code()));
                assert_eq!(ForwardFrom::of_code(&from.code()), Some(from));
            }
        }
    }

    proptest! {
        /// The longest of whole segments, as a reader of the rule would find it.
        #[test]
        fn the_longest_path_comes_first(path in "(/[a-c]{0,2}){0,7}", prefix in "(/[a-c]{1,2}){0,4}") {
            let found = candidates("h.test", &path);
            let code = format!("fwd:h.test{prefix}");
            let at = found.iter().find(|(c, _)| *c == code);
            let holds = path == prefix || path.starts_with(&format!("{prefix}/"));
            prop_assert_eq!(at.is_some(), holds, "{} {}", path, prefix);
            if let Some((_, rest)) = at {
                let whole = path == prefix || *path == format!("{prefix}/{rest}");
                prop_assert!(whole, "{} {} {}", path, prefix, rest);
            }
            let lengths: Vec<_> = found.iter().map(|(c, _)| c.len()).collect();
            prop_assert!(lengths.is_sorted_by(|a, b| a > b));
        }
    }
}
