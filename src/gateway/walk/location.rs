//! Where an answer sends its reader: `Location`, `Refresh`, and pages that do as much.

use url::Url;

/// What is looked for in a page that may refresh itself.
const HTTP_EQUIV: &[u8] = b"http-equiv";

/// The URL that `location`, the bytes of a header, means at `base` (RFC 9110 §10.2.2): browsers read
/// what is no UTF-8 as Latin-1. What is longer than `length_max` leads nowhere.
pub(super) fn resolved(base: &Url, location: &[u8], length_max: usize) -> Option<Url> {
    let text = match std::str::from_utf8(location) {
        Ok(text) => text.to_owned(),
        Err(_) => location.iter().map(|b| char::from(*b)).collect(),
    };
    let mut next = base.join(text.trim()).ok()?;
    if next.fragment().is_none() {
        next.set_fragment(base.fragment());
    }
    (next.as_str().len() <= length_max).then_some(next)
}

/// The URL in a `Refresh` (HTML, "shared declarative refresh steps"); none where the page only loads
/// itself anew.
pub(super) fn refresh(value: &str) -> Option<&str> {
    let value = value.trim_start();
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if rest.len() == value.len() || rest.is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start();
    let named = rest.get(..3).filter(|u| u.eq_ignore_ascii_case("url"));
    let rest = match named.and_then(|_| rest[3..].trim_start().strip_prefix('=')) {
        Some(url) => url.trim_start(),
        None => rest,
    };
    let quoted = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let url = match quoted {
        Some(quote) => rest[1..].split(quote).next().unwrap_or(""),
        None => rest,
    };
    let url = url.trim();
    (!url.is_empty()).then_some(url)
}

/// What a page's own `meta http-equiv=refresh` says, as far as the page was read. Comments and scripts
/// are passed over.
pub(super) fn of_page(page: &[u8]) -> Option<String> {
    let mut left = page;
    while let Some(at) = memchr::memchr(b'<', left) {
        left = &left[at + 1..];
        let skipped =
            [(&b"!--"[..], &b"-->"[..]), (b"script", b"</script"), (b"style", b"</style")];
        let skipped = skipped.into_iter().find(|(begin, _)| starts_with(left, begin));
        if let Some((begin, end)) = skipped {
            let behind = find(&left[begin.len()..], end)?;
            left = &left[begin.len() + behind + end.len()..];
        } else if starts_with(left, b"meta")
            && left.get(4).is_some_and(|b| b.is_ascii_whitespace() || *b == b'/')
        {
            let (attributes, behind) = attributes(&left[4..]);
            left = behind;
            let value = |name: &[u8]| attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            let refreshes =
                value(HTTP_EQUIV).is_some_and(|(_, v)| v.eq_ignore_ascii_case(b"refresh"));
            if refreshes && let Some((_, content)) = value(b"content") {
                let content = String::from_utf8_lossy(content).replace("&amp;", "&");
                if let Some(url) = refresh(&content) {
                    return Some(url.to_owned());
                }
            }
        }
    }
    None
}

type Attributes<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The attributes of a tag, and what is behind it.
fn attributes(mut left: &[u8]) -> (Attributes<'_>, &[u8]) {
    let mut found = Vec::new();
    loop {
        let begin = left.iter().position(|b| !b.is_ascii_whitespace() && *b != b'/');
        let Some(begin) = begin else { return (found, &[]) };
        left = &left[begin..];
        if left[0] == b'>' {
            return (found, &left[1..]);
        }
        let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'=' | b'>' | b'/');
        // A name is never empty: it may begin with what else would end it.
        let length = 1 + left[1..].iter().position(ends).unwrap_or(left.len() - 1);
        let (name, rest) = left.split_at(length);
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
            found.push((name, &b""[..]));
            left = rest;
            continue;
        };
        let value = value.trim_ascii_start();
        let (value, rest) = match value.first() {
            Some(quote @ (b'"' | b'\'')) => {
                let inside = &value[1..];
                let end = memchr::memchr(*quote, inside).unwrap_or(inside.len());
                (&inside[..end], inside.get(end + 1..).unwrap_or(&[]))
            }
            _ => {
                let end = value.iter().position(|b| b.is_ascii_whitespace() || *b == b'>');
                value.split_at(end.unwrap_or(value.len()))
            }
        };
        found.push((name, value));
        left = rest;
    }
}

fn starts_with(text: &[u8], begin: &[u8]) -> bool {
    text.get(..begin.len()).is_some_and(|t| t.eq_ignore_ascii_case(begin))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w.eq_ignore_ascii_case(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_browsers_do() {
        let base = Url::parse("https://a.com/x/y?q#f").unwrap();
        for (location, expected) in [
            (&b"/z"[..], Some("https://a.com/z#f")),
            (b"z#g", Some("https://a.com/x/z#g")),
            (b"//b.com", Some("https://b.com/#f")),
            (b" http://b.com/ ", Some("http://b.com/#f")),
            (b"http:\\\\b.com\\", Some("http://b.com/#f")),
            (b"", Some("https://a.com/x/y?q#f")),
            (b"/\xe9", Some("https://a.com/%C3%A9#f")),
            ("/\u{e9}".as_bytes(), Some("https://a.com/%C3%A9#f")),
            (b"javascript:alert(1)", Some("javascript:alert(1)#f")),
            (b"http://[", None),
            (&[b'a'; 100], None),
        ] {
            let found = resolved(&base, location, 80);
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{location:?}");
        }
    }

    #[test]
    fn a_refresh_to_elsewhere_counts() {
        for (value, expected) in [
            ("0;url=https://b.com/", Some("https://b.com/")),
            (" 5 , URL = 'https://b.com/;x' y", Some("https://b.com/;x")),
            ("0.5; b", Some("b")),
            ("0; url", Some("url")),
            ("0;url=\"b", Some("b")),
            ("5", None),
            ("5;", None),
            ("0;url=''", None),
            ("x;url=b", None),
            ("", None),
            ("0;u\u{e9}", Some("u\u{e9}")),
        ] {
            assert_eq!(refresh(value), expected, "{value}");
        }
    }

    #[test]
    fn a_page_that_sends_its_reader_on() {
        for (page, expected) in [
            ("<META HTTP-EQUIV=Refresh CONTENT='0;url=/b?c&amp;d'>", Some("/b?c&d")),
            ("<p><meta content=\"1; b\" http-equiv=\"refresh\"/>", Some("b")),
            ("<!-- <meta http-equiv=refresh content=0;url=a> --><p>", None),
            ("<script>'<meta http-equiv=refresh content=0;url=a>'</SCRIPT>", None),
            ("<meta charset=x><meta http-equiv=refresh content=9>", None),
            ("<meta name=refresh content=0;url=a>", None),
            ("<metadata http-equiv=refresh content=0;url=a>", None),
            ("<meta http-equiv=refresh content='0;url=a", Some("a")),
            ("<meta =http-equiv =refresh>", None),
            ("<meta", None),
        ] {
            assert_eq!(of_page(page.as_bytes()).as_deref(), expected, "{page}");
        }
    }

    #[test]
    fn fuzz() {
        let base = Url::parse("https://a.com/x/y?q#f").unwrap();
        bolero::check!().with_iterations(5_000).for_each(|input: &[u8]| {
            if let Some(next) = resolved(&base, input, 4_096) {
                assert!(next.as_str().len() <= 4_096);
                assert_eq!(Url::parse(next.as_str()).as_ref(), Ok(&next));
            }
            refresh(&String::from_utf8_lossy(input));
            let mut page = b"<meta ".to_vec();
            page.extend(input);
            of_page(&page);
            of_page(input);
        });
    }
}
