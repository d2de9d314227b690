//! What is declared and what is asked for, against a reader without tricks.

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
        ("old.example/a/%2E%2e/b/.", Some("old.example/b")),
        ("old.example/c:/../b", Some("old.example/b")),
        ("old.example/..", Some("old.example")),
        ("old.example/%C3%A9", Some("old.example/%C3%A9")),
        ("old.example/%c3%a9", Some("old.example/%C3%A9")),
        ("old.example/é", Some("old.example/%C3%A9")),
        ("old.example/%7Ea%2db", Some("old.example/~a-b")),
        ("old.example/a%2fb", Some("old.example/a%2Fb")),
        ("old.example/a|b%7Cc", Some("old.example/a%7Cb%7Cc")),
        ("old.example/a!b%21c", Some("old.example/a!b%21c")),
        ("old.example/100%", Some("old.example/100%25")),
        ("old%2Eexample", None),
        ("old.example\\a", None),
        ("old.example/a\\b", None),
        ("old.exa\nmple", None),
        ("old.example/a b", None),
        ("old.example/a/b/c/d/e", None),
        ("old.example/a//b", None),
        ("old.example/a//", None),
        ("old.example:81", None),
        ("old.example/?q", None),
        ("old.example/?", None),
        ("old.example?", None),
        ("old.example/#f", None),
        ("u@old.example", None),
        ("http://old.example", None),
        ("192.0.2.1", None),
        ("0x7f.1", None),
        ("[::1]", None),
        ("", None),
        ("/a", None),
    ] {
        let read = ForwardFrom::parse(text).ok();
        assert_eq!(read.as_ref().map(ToString::to_string).as_deref(), expected, "{text}");
        if let Some(from) = read {
            assert!(is_forward(&from.code()) && !super::super::is_code(&from.code()));
            assert_eq!(ForwardFrom::parse(&from.to_string()), Ok(from.clone()));
            assert_eq!(ForwardFrom::of_code(&from.code()), Some(from));
        }
    }
}

#[test]
fn what_is_left_of_a_path_is_as_the_visitor_wrote_it() {
    for (path, code, rest) in [
        ("/", "fwd:h", ""),
        ("", "fwd:h", ""),
        ("*", "fwd:h", ""),
        ("/a/b%2fc/", "fwd:h/a", "b%2fc/"),
        ("/%61/b", "fwd:h/a", "b"),
        ("/a//b", "fwd:h/a", "/b"),
        ("/a%2fb/c", "fwd:h/a%2Fb", "c"),
        ("/x/../a/./b", "fwd:h/a", "b"),
        ("/x/%2e%2E/a/.%2e/a/b/..", "fwd:h/a", ""),
        ("/../../a", "fwd:h/a", ""),
    ] {
        let path = AskedPath::new(path);
        let all = candidates("h", &path);
        let found = all.iter().find(|(c, _)| c == code);
        assert_eq!(found.map(|(_, rest)| *rest), Some(rest), "{path:?}: {all:?}");
    }
    let encoded = AskedPath::new("/a%2Fb");
    let codes: Vec<_> = candidates("h", &encoded).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["fwd:h/a%2Fb", "fwd:h"], "an escaped slash parts nothing");
}

/// An octet of a path, and whether its escape says something.
type Octet = (u8, bool);

/// A path without tricks: its segments as octets, dots followed.
fn naive(path: &str) -> Vec<Vec<Octet>> {
    let mut segments: Vec<Vec<Octet>> = Vec::new();
    for text in path.split('/').skip(1) {
        let mut octets = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            let hex = behind.get(..2).filter(|_| first == b'%');
            let value = hex.and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
            octets.push(match value {
                Some(value) => {
                    rest = &behind[2..];
                    let free = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
                    (value, !free)
                }
                None => (
                    first,
                    !(first.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&first)),
                ),
            });
        }
        match octets.iter().map(|o| o.0).collect::<Vec<_>>()[..] {
            [] | [b'.'] => {}
            [b'.', b'.'] => drop(segments.pop()),
            _ => segments.push(octets),
        }
    }
    segments
}

/// Segments that mean the same, look the same or nearly so.
fn segment() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "%61", "A", "b", "%62", "a%2Fb", "a%2fb", "ab", "%2e", ".", "..", "%2E.", "...", "~",
        "%7e", "%7E", "!", "%21", "é", "%C3%A9", "%c3%a9", "|", "%7c", "%", "%25", "%zz", "a;x",
        "+",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    /// The forward that answers is the one that a search through all of them finds, octet by octet.
    #[test]
    fn the_longest_of_whole_segments_counts(
        declared in prop::collection::vec(prop::collection::vec(segment(), 0..4), 0..8),
        asked in prop::collection::vec(segment(), 0..7),
    ) {
        let declared: Vec<_> = declared.iter().map(|s| format!("/{}", s.join("/"))).collect();
        let known: Vec<(ForwardFrom, Vec<Vec<Octet>>)> = declared
            .iter()
            .filter_map(|path| Some((ForwardFrom::parse(&format!("h.test{path}")).ok()?, naive(path))))
            .collect();
        let asked = format!("/{}", asked.join("/"));
        let wanted = naive(&asked);
        let expected = known.iter().filter(|(_, s)| wanted.starts_with(s)).max_by_key(|(_, s)| s.len());
        let path = AskedPath::new(&asked);
        let mut found = None;
        for (code, rest) in candidates("h.test", &path) {
            if let Some((from, segments)) = known.iter().find(|(from, _)| from.code() == code) {
                prop_assert_eq!(naive(&format!("/{rest}")), &wanted[segments.len()..]);
                found = Some(from.code());
                break;
            }
        }
        prop_assert_eq!(found, expected.map(|(from, _)| from.code()), "{} {:?}", asked, declared);
    }

    /// However it is written, it is read as itself once more, and what is left climbs nowhere.
    #[test]
    fn comparing_is_stable(path in "/[!-~\u{80}-\u{ff}/.%2eE]{0,30}") {
        let asked = AskedPath::new(&path);
        for (code, rest) in candidates("h.test", &asked) {
            prop_assert!(rest.split('/').all(|s| dots(s) == 0), "{}", rest);
            let Some(from) = ForwardFrom::of_code(&code) else { panic!("{code}") };
            let own = AskedPath::new(from.path());
            let (again, left) = candidates("h.test", &own).swap_remove(0);
            prop_assert_eq!((&*again, left), (&*code, ""), "{}", path);
        }
    }
}
