use proptest::prelude::*;

use super::*;

const ID: &str = "edge-1-30114480128001281-42";

fn ask(text: &str, kind: Option<Kind>) -> Result<Subject, BadQuestion> {
    let own = ShortUrls::new(["http://127.0.0.1:8080", "https://go.example/s/"]);
    parse(text, kind, &own, |code| code == "abc1234").map(|q| q.subject)
}

fn url(target: &str) -> Subject {
    Subject::Url { target: target.into() }
}

fn link(code: &str) -> Subject {
    Subject::Link { code: code.into() }
}

fn name(n: &str) -> Subject {
    Subject::Domain(n.into())
}

#[test]
fn kinds_are_guessed_in_order() {
    for (text, subject) in [
        (ID, Subject::Record(ID.parse().unwrap())),
        ("https://www.demo.test", url("https://www.demo.test/")),
        ("HTTP://WWW.Demo.test:80/a?b#c", url("http://www.demo.test/a?b#c")),
        ("http://127.0.0.1:8080/abc1234", link("abc1234")),
        ("http://127.0.0.1:8080/unknown", url("http://127.0.0.1:8080/unknown")),
        ("http://127.0.0.1:8081/abc1234", url("http://127.0.0.1:8081/abc1234")),
        ("https://go.example/s/abc1234", link("abc1234")),
        ("abc1234", link("abc1234")),
        ("abc1235", name("abc1235")),
        ("fwd:Old.example/%7Ea/", link("fwd:old.example/~a")),
        ("192.0.2.1", Subject::Address("192.0.2.1".parse().unwrap())),
        ("::ffff:192.0.2.1", Subject::Address("192.0.2.1".parse().unwrap())),
        ("[2001:DB8::1]", Subject::Address("2001:db8::1".parse().unwrap())),
        ("WWW.Demo.test.", name("www.demo.test")),
        (" 例え.テスト ", name("xn--r8jz45g.xn--zckzah")),
        ("例え。テスト", name("xn--r8jz45g.xn--zckzah")),
        ("_dmarc.demo.test", name("_dmarc.demo.test")),
        (".", name(".")),
        (r"a\.b.test", name(r"a\.b.test")),
    ] {
        assert_eq!(ask(text, None), Ok(subject), "{text}");
    }
}

#[test]
fn a_declared_kind_is_obeyed() {
    for (text, kind, subject) in [
        ("abc1234", Kind::Domain, name("abc1234")),
        ("gone999", Kind::Link, link("gone999")),
        ("fwd:old.example", Kind::Link, link("fwd:old.example")),
        ("fwd:old.example//", Kind::Link, link("fwd:old.example//")),
        ("http://127.0.0.1:8080/gone999", Kind::Link, link("gone999")),
        ("http://127.0.0.1:8080/abc1234", Kind::Url, url("http://127.0.0.1:8080/abc1234")),
        (
            "192.0.2.7:4242",
            Kind::Client,
            Subject::Client { address: "192.0.2.7".parse().unwrap(), port: Some(4242) },
        ),
        (
            "[2001:db8::7]:53",
            Kind::Client,
            Subject::Client { address: "2001:db8::7".parse().unwrap(), port: Some(53) },
        ),
        (
            "192.0.2.7",
            Kind::Client,
            Subject::Client { address: "192.0.2.7".parse().unwrap(), port: None },
        ),
    ] {
        assert_eq!(ask(text, Some(kind)), Ok(subject), "{text}");
    }
}

#[test]
fn what_asks_nothing_is_refused() {
    for (text, kind, error) in [
        ("", None, BadQuestion::Empty),
        ("  ", None, BadQuestion::Empty),
        (&"a".repeat(TEXT_BYTES_MAX + 1), None, BadQuestion::TooLong),
        ("two words", None, BadQuestion::Domain),
        ("a..b", None, BadQuestion::Domain),
        ("192.0.2.7:53", None, BadQuestion::Domain),
        ("www.demo.test/path", None, BadQuestion::Domain),
        ("ftp://demo.test/", None, BadQuestion::Domain),
        ("x'; DROP TABLE jumps --", None, BadQuestion::Domain),
        ("192.0.2.1", Some(Kind::Domain), BadQuestion::Domain),
        ("www.demo.test", Some(Kind::Address), BadQuestion::Address),
        ("192.0.2.0/24", Some(Kind::Address), BadQuestion::Address),
        ("www.demo.test", Some(Kind::Url), BadQuestion::Url),
        ("www.demo.test", Some(Kind::Record), BadQuestion::Record),
        ("www.demo.test:1", Some(Kind::Client), BadQuestion::Client),
        ("http://elsewhere.test/a", Some(Kind::Link), BadQuestion::Link),
    ] {
        assert_eq!(ask(text, kind), Err(error), "{text}");
    }
}

#[test]
fn names_above_stop_before_the_root() {
    assert_eq!(at_and_above("a.b.test"), ["a.b.test", "b.test"]);
    assert_eq!(at_and_above("test"), ["test"]);
    assert_eq!(at_and_above(r"a\.b.test"), [r"a\.b.test"]);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(s in any::<String>(), k in 0..7usize) {
        let kind = Kind::ALL.get(k).copied();
        if let Ok(Subject::Domain(d)) = ask(&s, kind) {
            // A name in the columns' form is read as itself.
            prop_assert_eq!(ask(&d, Some(Kind::Domain)), Ok(Subject::Domain(d)));
        }
    }
}
