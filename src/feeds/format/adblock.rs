//! Filter lists in the syntax of Adblock Plus and uBlock Origin, as far as they are about hosts and
//! URLs.
//!
//! `||host^` and a host alone list the host and everything below it; `||host/path^` everything
//! that begins so; `|https://host/path|` one URL; `@@` before any of these lets it pass. Filters of
//! the page's content are ignored: they are not about names. A filter that applies only in some
//! context (`$third-party`, `$domain=`) or by a pattern is rejected: without its context it would
//! list more than was written.
//!
//! Addresses in such lists are hosts of URLs: they stop jumps there, and are no rules about
//! answers, behind which other sites may be.

use std::io::BufRead;

use super::{Error, Place, Reason, lines, names, out::Out, subject};
use crate::policy::{Action, NamePattern, Trigger, UrlKind};

/// Options that do not narrow a filter to a context.
const OPTIONS: [&str; 4] = ["all", "document", "doc", "important"];

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
    for trigger in triggers(without_options(text)?)? {
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

/// The pattern of a filter whose options do not narrow it.
fn without_options(text: &str) -> Result<&str, Reason> {
    let Some((pattern, options)) = text.rsplit_once('$') else { return Ok(text) };
    // A dollar sign in a URL is followed by something that is no list of options.
    let word = |o: &str| {
        let name = o.trim_start_matches('~').split('=').next().unwrap_or("");
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"-_123".contains(&b))
    };
    if !options.split(',').all(word) {
        return Ok(text);
    }
    match options.split(',').find(|o| !OPTIONS.contains(o)) {
        None => Ok(pattern),
        Some(option) => {
            let why = format!("${option} narrows the filter to a context that is not known here");
            Err(Reason::new("unsupported", why))
        }
    }
}

fn triggers(pattern: &str) -> Result<Vec<Trigger>, Reason> {
    if let Some(rest) = pattern.strip_prefix("||") {
        return anchored(rest);
    }
    if let Some(rest) = pattern.strip_prefix('|') {
        let (url, whole) = rest.strip_suffix('|').map_or((rest, false), |url| (url, true));
        if !url.contains("://") {
            return Err(unsupported());
        }
        let kind = if whole { UrlKind::Exact } else { UrlKind::Prefix };
        return of_url(url.trim_end_matches('^'), kind);
    }
    host_alone(pattern)
}

/// What follows `||`: a host and what its URLs begin with.
fn anchored(rest: &str) -> Result<Vec<Trigger>, Reason> {
    let rest = rest.strip_suffix('|').unwrap_or(rest);
    let end = rest.find(['/', '?', '^']).unwrap_or(rest.len());
    let (host, behind) = rest.split_at(end);
    match behind.trim_end_matches('*') {
        "" | "^" | "/" | "^|" => with_below(host),
        _ => {
            let url = rest.trim_end_matches(['^', '*']);
            let kind = if url.contains('?') { UrlKind::Exact } else { UrlKind::Prefix };
            of_url(url, kind)
        }
    }
}

fn of_url(url: &str, kind: UrlKind) -> Result<Vec<Trigger>, Reason> {
    if url.contains(['*', '^', '|']) {
        return Err(unsupported());
    }
    let trigger = Trigger::url(kind, url).map_err(|_| Reason::new("url", "not a URL of a host"))?;
    let Trigger::Url(_, text) = &trigger else { return Err(unsupported()) };
    let host = text.split(['/', '?']).next().unwrap_or_default();
    if !subject::is_host(host) {
        return Err(Reason::new("url", "not a URL of a host"));
    }
    Ok(vec![trigger])
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
