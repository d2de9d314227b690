use std::{fs, os::unix::fs::PermissionsExt};

use proptest::prelude::*;
use url::Url;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_900_000_600);

fn of(keys: &[(&str, u8)]) -> OutboundKeys {
    let keys = keys.iter().map(|(id, b)| Key { id: (*id).to_owned(), bytes: [*b; 32] });
    OutboundKeys { file: None, keys: ArcSwap::from_pointee(keys.collect()) }
}

fn check(keys: &OutboundKeys, query: &str, host: &str, now: Timestamp) -> Result<String, Doubt> {
    let asked = GoQuery::parse(query, 65_536).map_err(|_| Doubt::Malformed)?;
    keys.verify(&asked, host, now).map(|()| asked.target)
}

/// Those of deploy/README.md, made by other programs:
/// `printf 'outbound target 1\nk1\n…' | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
#[test]
fn the_documented_examples_are_what_we_make() {
    let bytes: Vec<u8> = (0..32).collect();
    let key = Key { id: "k1".into(), bytes: bytes.try_into().unwrap() };
    let keys = OutboundKeys { file: None, keys: ArcSwap::from_pointee(vec![key]) };
    for (target, expires, domain, query) in EXAMPLES {
        let seal = keys.sign(target, Timestamp::from_secs(*expires), domain).unwrap();
        assert_eq!(seal, Seal { key: "k1".into(), query: (*query).to_owned() });
        let host = if domain.is_empty() { "any.example" } else { domain };
        assert_eq!(check(&keys, query, host, Timestamp::ZERO).as_deref(), Ok(*target));
        let page = include_str!("../../../../deploy/README.md");
        assert!(page.contains(query), "deploy/README.md has {query}");
    }
}

const EXAMPLES: &[(&str, i64, &str, &str)] = &[
    (
        "https://www.example.com/",
        0,
        "",
        "url=https%3A%2F%2Fwww.example.com%2F&sig=k1.1047f8a24f9bf4969cffb1254861032e29172ed521f97aaa1b3570d83b78b16f",
    ),
    (
        "https://www.example.com/a?b=c&d=1+1#e",
        1_900_000_000,
        "go.example.net",
        "url=https%3A%2F%2Fwww.example.com%2Fa%3Fb%3Dc%26d%3D1%2B1%23e&domain=go.example.net&exp=1900000000&sig=k1.aee2d6172a0fe347e2bdbc4ec5b8a48bb61a6eec88cdbb9d385149d9061e77fb",
    ),
    (
        "https://例子.example/路",
        0,
        "",
        "url=https%3A%2F%2F%E4%BE%8B%E5%AD%90.example%2F%E8%B7%AF&sig=k1.1b0e0722aa4870e780426b911a744cd21323784302edd3d38e29a5a07264d217",
    ),
];

#[test]
fn a_signature_counts_at_its_host_until_its_end() {
    let keys = of(&[("a", 1)]);
    let query = keys.sign("https://a.example/", LATER, "go.example").unwrap().query;
    for (host, now, expected) in [
        ("go.example", NOW, Ok("https://a.example/".to_owned())),
        ("GO.example", NOW, Ok("https://a.example/".to_owned())),
        ("go.example", LATER, Err(Doubt::Expired)),
        ("www.example", NOW, Err(Doubt::OtherHost)),
        ("", NOW, Err(Doubt::OtherHost)),
    ] {
        assert_eq!(check(&keys, &query, host, now), expected, "{host} {now}");
    }
    // What was signed without an end or a host gets none, and what has one keeps it.
    let open = keys.sign("https://a.example/", Timestamp::ZERO, "").unwrap().query;
    assert!(check(&keys, &open, "x", Timestamp::MAX).is_ok());
    for more in ["&exp=9999999999", "&domain=x"] {
        assert_eq!(check(&keys, &format!("{open}{more}"), "x", NOW), Err(Doubt::Wrong));
    }
    let without = query.replace("&exp=1900000600", "");
    assert_eq!(check(&keys, &without, "go.example", NOW), Err(Doubt::Wrong));
}

#[test]
fn the_newest_signs_and_those_before_verify_until_they_are_gone() {
    let old = of(&[("a", 1)]);
    let query = old.sign("https://a.example/", Timestamp::ZERO, "").unwrap().query;
    let both = of(&[("a", 1), ("b", 2)]);
    assert_eq!(both.sign("https://a.example/", Timestamp::ZERO, "").unwrap().key, "b");
    assert!(check(&both, &query, "x", NOW).is_ok());
    assert_eq!(check(&of(&[("b", 2)]), &query, "x", NOW), Err(Doubt::UnknownKey));
    assert_eq!(check(&of(&[("a", 3)]), &query, "x", NOW), Err(Doubt::Wrong));
    // A key of another name is another key, whatever its bytes.
    let renamed = query.replace("sig=a.", "sig=b.");
    assert_eq!(check(&of(&[("b", 1)]), &renamed, "x", NOW), Err(Doubt::Wrong));
    assert_eq!(OutboundKeys::none().sign("https://a.example/", Timestamp::ZERO, ""), None);
    assert_eq!(check(&OutboundKeys::none(), &query, "x", NOW), Err(Doubt::UnknownKey));
}

#[test]
fn what_is_no_signature_is_told_from_none() {
    let keys = of(&[("a", 1)]);
    assert_eq!(check(&keys, "url=https://a.example/", "x", NOW), Err(Doubt::Unsigned));
    let tag = "0".repeat(64);
    for sig in ["", "a", &tag, &format!(".{tag}"), "a.", &format!("a.{}", &tag[2..])] {
        let query = format!("url=https://a.example/&sig={sig}");
        assert_eq!(check(&keys, &query, "x", NOW), Err(Doubt::Malformed), "{sig}");
    }
    let query = format!("url=https://a.example/&sig=a.{tag}");
    assert_eq!(check(&keys, &query, "x", NOW), Err(Doubt::Wrong));
}

#[test]
fn a_file_of_keys_is_ours_alone_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbound.keys");
    assert!(OutboundKeys::open(&file).is_err());
    let keys = OutboundKeys::open_or_make(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let query = keys.sign("https://a.example/", Timestamp::ZERO, "").unwrap().query;
    assert!(check(&OutboundKeys::open_or_make(&file).unwrap(), &query, "x", NOW).is_ok());
    let first = fs::read_to_string(&file).unwrap();
    assert!(!keys.refresh().unwrap());
    let line = format!("{first}# from May on\n\nk2 {}\n", "ab".repeat(32));
    fs::write(&file, &line).unwrap();
    assert!(keys.refresh().unwrap());
    assert_eq!(keys.sign("https://a.example/", Timestamp::ZERO, "").unwrap().key, "k2");
    assert!(check(&keys, &query, "x", NOW).is_ok());
    for (text, at) in [
        (format!("{line}k3"), 5),
        (format!("{line}k3 ab\n"), 5),
        (format!("{line}k2 {}\n", "00".repeat(32)), 5),
        (format!("k 3 {}\n", "00".repeat(32)), 1),
        (format!("{} {}\n", "k".repeat(33), "00".repeat(32)), 1),
    ] {
        fs::write(&file, &text).unwrap();
        let error = keys.refresh().unwrap_err();
        assert!(matches!(error, Error::BadKeys { line, .. } if line == at), "{error}: {text}");
        assert!(check(&keys, &query, "x", NOW).is_ok(), "those before stay");
    }
    fs::write(&file, &line).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(keys.refresh(), Err(Error::Exposed(_))));
}

proptest! {
    /// Whatever was signed is what is read, and no byte of it can be another.
    #[test]
    fn what_was_signed_is_what_counts(
        path in "[!-~\u{a0}-\u{ffff}]{0,40}",
        expires in prop::sample::select(vec![0, 1_900_000_600]),
        domain in prop::sample::select(vec!["", "go.example"]),
        at: prop::sample::Index,
        other in 0x21u8..0x7f,
    ) {
        let keys = of(&[("a", 1)]);
        let target = format!("https://www.demo.test/{path}");
        let expires = Timestamp::from_secs(expires);
        let query = keys.sign(&target, expires, domain).unwrap().query;
        let read = check(&keys, &query, "go.example", NOW).unwrap();
        prop_assert_eq!(&read, &target);
        prop_assert_eq!(Url::parse(&read).unwrap(), Url::parse(&target).unwrap());
        // A browser sends what it was given.
        let link = Url::parse(&format!("https://us.example/go?{query}")).unwrap();
        prop_assert_eq!(link.query(), Some(&*query));

        let mut changed = query.clone().into_bytes();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != other);
        changed[at] = other;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(check(&keys, &changed, "go.example", NOW).is_err(), "{} {}", query, changed);
    }
}
