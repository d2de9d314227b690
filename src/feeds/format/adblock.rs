//! Filter lists in the syntax of Adblock Plus and uBlock Origin, as far as they are about hosts and
//! URLs.
//!
//! | filter | what is listed |
//! |---|---|
//! | `||host^`, `||host`, `||host/`, a host alone | the host and everything below it |
//! | `||*.host^` | everything below the host |
//! | `||host/path^` | at the host and those below it: the path, whatever its query, and what is in it as in a directory |
//! | `||host/path/`, `||host/path/*` | everything in that directory, at the host and those below it |
//! | `||host/path?query^`, `||host/path/^`, `||host/path|` | that URL, at this host |
//! | `|https://host/path|` | that URL, at this host |
//!
//! `@@` before any of these lets it pass. Letters match in either case unless the filter says
//! `$match-case`. Scheme and port are not compared. Behind `^`, what other separators than `/`, `?`
//! and the end of the URL begin is not listed.
//!
//! Filters of the page's content are ignored: they are not about names. A filter that applies only
//! in some context (`$third-party`, `$domain=`), by a pattern, or to URLs that begin in the middle
//! of a name in a path (`||host/pa`) is rejected: what can be held would list more than was
//! written, or only some of it.
//!
//! Addresses in such lists are hosts of URLs: they stop jumps there, and are no rules about
//! answers, behind which other sites may be.

use std::io::BufRead;

use super::{Error, Place, Reason, lines, names, out::Out, subject};
use crate::policy::{Action, NamePattern, Trigger, UrlKind};

/// Options that do not narrow a filter to a context.
const OPTIONS: [&str; 4] = ["all", "document", "doc", "important"];

/// The option that makes a filter particular about case.
const MATCH_CASE: &str = "match-case";

pub(super) fn parse(input: &mut dyn BufRead, out: &mut Out<'_>) -> Result<(), Error> {
    lines::each(input, out, entry)
}

fn entry(at: Place<'_>, out: &mut Out<'_>) -> Result<(), Reason> {
    let text = out.options.encoding.decode(at.text)?;
    let text = text.trim();
    let comment = text.starts_with('!') || text == "#" || text.starts_with("# ");
    if text.is_empty() || comment || (text.starts_with('[') && text.ends_with(']')) {
        return Ok(());
    }
    if is_cosmetic(text) {
        out.summary.ignored += 1;
        return Ok(());
    }
    let (text, action) = match text.strip_prefix("@@") {
        Some(rest) => (rest, Action::Passthru),
        None => (text, out.options.action.clone()),
    };
    let (pattern, case) = without_options(text)?;
    for trigger in triggers(pattern, case)? {
        out.rule(at, trigger, action.clone());
    }
    Ok(())
}

/// Filters of elements, scripts and responses: `host##.advert`, `host#@#…`, `host#%#…`, `host$$…`.
fn is_cosmetic(text: &str) -> bool {
    let behind = text.match_indices('#').any(|(at, _)| {
        let rest = &text[at + 1..];
        let mark = rest.trim_start_matches(['@', '?', '$', '%', '+']);
        mark.starts_with('#') && rest.len() - mark.len() <= 2
    });
    behind || text.contains("$$")
}

/// Whether letters match in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Either,
    Exact,
}

impl Case {
    fn whole(self) -> UrlKind {
        if self == Self::Exact { UrlKind::Exact } else { UrlKind::ExactAnyCase }
    }

    fn beginning(self) -> UrlKind {
        if self == Self::Exact { UrlKind::Prefix } else { UrlKind::PrefixAnyCase }
    }
}

/// The pattern of a filter whose options do not narrow it to a context.
fn without_options(text: &str) -> Result<(&str, Case), Reason> {
    let Some((pattern, options)) = text.rsplit_once('$') else { return Ok((text, Case::Either)) };
    // A dollar sign in a URL is followed by something that is no list of options.
    let word = |o: &str| {
        let name = o.trim_start_matches('~').split('=').next().unwrap_or("");
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"-_123".contains(&b))
    };
    if !options.split(',').all(word) {
        return Ok((text, Case::Either));
    }
    let case = if options.split(',').any(|o| o == MATCH_CASE) { Case::Exact } else { Case::Either };
    match options.split(',').find(|o| *o != MATCH_CASE && !OPTIONS.contains(o)) {
        None => Ok((pattern, case)),
        Some(option) => {
            let why = format!("${option} narrows the filter to a context that is not known here");
            Err(Reason::new("unsupported", why))
        }
    }
}

fn triggers(pattern: &str, case: Case) -> Result<Vec<Trigger>, Reason> {
    if let Some(rest) = pattern.strip_prefix("||") {
        return anchored(rest, case);
    }
    if let Some(rest) = pattern.strip_prefix('|') {
        return match rest.strip_suffix('|').filter(|url| url.contains("://")) {
            Some(url) => Ok(vec![of_url(url.trim_end_matches('^'), case.whole())?]),
            None => Err(Reason::new(
                "unsupported",
                "URLs that begin so at one host alone: end it with | for one URL, or begin it with ||",
            )),
        };
    }
    host_alone(pattern)
}

/// What follows `||`: a host and what its URLs begin with.
fn anchored(rest: &str, case: Case) -> Result<Vec<Trigger>, Reason> {
    let end = rest.find(['/', '?', '^', '|']).unwrap_or(rest.len());
    let (host, behind) = rest.split_at(end);
    // What ends so, with the stars that say nothing more.
    let (stem, mark) = match behind.trim_end_matches('*') {
        b if b.ends_with('^') || b.ends_with('|') => (b.trim_end_matches(['^', '|']), true),
        b => (b, false),
    };
    if stem.is_empty() || (stem == "/" && !mark) {
        return with_below(host);
    }
    let url = &rest[..end + stem.len()];
    let to_its_end = behind.ends_with('|');
    match (stem.contains('?'), stem.ends_with('/')) {
        (false, true) if !mark => Ok(vec![of_url(url, case.beginning())?]),
        (false, false) if mark && !to_its_end => {
            let kind = case.beginning();
            Ok(vec![of_url(url, kind)?, of_url(&format!("{url}/"), kind)?])
        }
        _ if mark => Ok(vec![of_url(url, case.whole())?]),
        _ => Err(Reason::new(
            "unsupported",
            "URLs that begin so in the middle of a name: end it with ^ or /",
        )),
    }
}

fn of_url(url: &str, kind: UrlKind) -> Result<Trigger, Reason> {
    if url.contains(['*', '^', '|']) {
        return Err(unsupported());
    }
    let trigger = Trigger::url(kind, url).map_err(|_| Reason::new("url", "not a URL of a host"))?;
    let Trigger::Url(_, text) = &trigger else { return Err(unsupported()) };
    let host = text.split(['/', '?']).next().unwrap_or_default();
    if !subject::is_host(host) {
        return Err(Reason::new("url", "not a URL of a host"));
    }
    Ok(trigger)
}

/// A host without anything else: one of a hosts file with its address, or a plain one.
fn host_alone(text: &str) -> Result<Vec<Trigger>, Reason> {
    let mut words = text.split_ascii_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    if words.next().is_some() {
        return Err(unsupported());
    }
    match (names::address(first), second) {
        (Some(sink), Some(host)) if sink.is_unspecified() || sink.is_loopback() => with_below(host),
        (_, Some(_)) => Err(unsupported()),
        (_, None) if first.contains('.') || names::address(first).is_some() => with_below(first),
        (_, None) => Err(unsupported()),
    }
}

/// A host and everything below it.
fn with_below(host: &str) -> Result<Vec<Trigger>, Reason> {
    if names::address(host).is_some() {
        let host = Trigger::url(UrlKind::Host, host).map_err(|_| unsupported())?;
        return Ok(vec![host]);
    }
    let (host, below_alone) = host.strip_prefix("*.").map_or((host, false), |rest| (rest, true));
    if host.contains(['*', '/', '|', '^']) {
        return Err(unsupported());
    }
    let name = names::name(host)?;
    let pattern = |wildcard| Trigger::Qname(NamePattern { name, wildcard });
    Ok(if below_alone { vec![pattern(true)] } else { vec![pattern(false), pattern(true)] })
}

fn unsupported() -> Reason {
    Reason::new("unsupported", "a pattern, not a host or a URL that begins so")
}
