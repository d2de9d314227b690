//! What a list is about, where it says so in a field and not by its format: names, URLs, addresses.

use ipnet::IpNet;

use super::{Encoding, Reason, names};
use crate::policy::{Trigger, UrlKind, canonical_prefix};

/// Rules that one field can make: a leading dot means two names.
pub(super) type Triggers = Vec<Trigger>;

/// Names: see [`names::meant`].
pub(super) fn of_name(text: &str) -> Result<Triggers, Reason> {
    Ok(names::meant(text.trim().as_bytes(), Encoding::Utf8)?.triggers().collect())
}

/// An address or a prefix.
pub(super) fn net(text: &str) -> Result<IpNet, Reason> {
    let text = text.trim();
    if let Some(address) = names::address(text) {
        return Ok(canonical_prefix(address.into()));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| Reason::new("bad-address", format!("{text:?} is no address and no prefix")))?;
    if net.trunc() != net {
        let why = "bits behind the prefix: which network is meant cannot be known";
        return Err(Reason::new("bad-address", why));
    }
    if net.prefix_len() == 0 {
        return Err(Reason::new("bad-address", "a prefix of length 0 is every address"));
    }
    Ok(canonical_prefix(net))
}

/// A URL. One of a host alone lists that host as a name; one that ends with a slash everything
/// below it; every other one itself.
pub(super) fn of_url(text: &str) -> Result<Triggers, Reason> {
    let text = names::refanged(text.trim());
    let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
    if !matches!(scheme.to_ascii_lowercase().as_str(), "" | "http" | "https") {
        return Err(Reason::new("url", "a URL that is neither http nor https"));
    }
    let bad = || Reason::new("url", "not a URL of a host");
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if matches!(&rest[end..], "" | "/") {
        let host = Trigger::url(UrlKind::Host, &text).map_err(|_| bad())?;
        let Trigger::Url(_, name) = &host else { return Err(bad()) };
        // Of an address there is no question, only a jump to it.
        if names::address(name).is_some() {
            return Ok(vec![host]);
        }
        return of_name(&text);
    }
    let kind = if text.ends_with('/') { UrlKind::Prefix } else { UrlKind::Exact };
    let trigger = Trigger::url(kind, &text).map_err(|_| bad())?;
    let host_is_one = match &trigger {
        Trigger::Url(_, canonical) => canonical.split(['/', '?']).next().is_some_and(is_host),
        _ => false,
    };
    if host_is_one { Ok(vec![trigger]) } else { Err(bad()) }
}

/// Whether a canonical URL's host is one that a question or a jump can have.
pub(super) fn is_host(host: &str) -> bool {
    names::address(host).is_some() || names::plain(host.as_bytes()).is_some()
}

/// A name, a URL or an address, whichever it is. An address is one in an answer.
pub(super) fn of_any(text: &str) -> Result<Triggers, Reason> {
    let text = text.trim();
    if names::address(text).is_some() || text.parse::<IpNet>().is_ok() {
        return Ok(vec![Trigger::ResponseIp(net(text)?)]);
    }
    if text.contains("://") || text.contains('/') {
        return of_url(text);
    }
    of_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is() {
        let check = |text: &str, expected: Result<&[&str], &str>| {
            let found = of_any(text).map_err(|r| r.code);
            let found: Result<Vec<_>, _> =
                found.map(|t| t.iter().map(ToString::to_string).collect());
            assert_eq!(
                found,
                expected.map(|e| e.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        };
        check("Bad.Example", Ok(&["bad.example"]));
        check(".bad.example", Ok(&["bad.example", "*.bad.example"]));
        check("192.0.2.1", Ok(&["32.1.2.0.192.rpz-ip"]));
        check("2001:db8::/32", Ok(&["32.zz.db8.2001.rpz-ip"]));
        check("192.0.2.1/24", Err("bad-address"));
        check("::/0", Err("bad-address"));
        check("http://bad.example", Ok(&["bad.example"]));
        check("hxxps://bad[.]example/a?b=C#d", Ok(&["url:bad.example/a?b=C"]));
        check("bad.example/dir/", Ok(&["url-prefix:bad.example/dir/"]));
        check("http://诈骗.example/a", Ok(&["url:xn--0d3aq50a.example/a"]));
        check("http://192.0.2.1:8080/", Ok(&["url-host:192.0.2.1"]));
        check("http://192.0.2.1/a", Ok(&["url:192.0.2.1/a"]));
        check("http://bad.example:8080/", Err("port"));
        check("ftp://bad.example/a", Err("url"));
        check("http:///a", Err("url"));
        check("http://b d/a", Err("url"));
        check("a b", Err("bad-name"));
    }
}
