//! Targets: what is taken, as what, and what is refused, and why.

use tracegate::{
    config::Gateway,
    links::{Refusal, Target, TargetRules},
    record::PublicSuffixes,
};

fn rules(change: impl FnOnce(&mut Gateway)) -> TargetRules {
    let mut gateway = Gateway {
        public_url: "https://S.example.org:8443/".into(),
        own_hosts: vec!["go.example.org".into(), "短.example.org".into()],
        ..Gateway::default()
    };
    change(&mut gateway);
    TargetRules::new(&gateway, &["203.0.113.9:80".parse().unwrap(), "[::1]:80".parse().unwrap()])
}

fn parse(rules: &TargetRules, text: &str) -> Result<Target, Refusal> {
    rules.parse(text, &PublicSuffixes::load(None).unwrap())
}

#[test]
fn targets_are_kept_as_submitted_and_as_serialised() {
    let rules = rules(|_| {});
    let suffixes = PublicSuffixes::load(None).unwrap();
    for (submitted, serialised, host, domain) in [
        ("https://www.example.com/", "https://www.example.com/", "www.example.com", "example.com"),
        ("https://www.example.com", "https://www.example.com/", "www.example.com", "example.com"),
        (
            "HTTP://WWW.Example.COM:80/A?b#c",
            "http://www.example.com/A?b#c",
            "www.example.com",
            "example.com",
        ),
        ("https://example.com:8443/x", "https://example.com:8443/x", "example.com", "example.com"),
        ("https://example.com./x", "https://example.com./x", "example.com", "example.com"),
        (
            "https://a.b.example.co.uk/",
            "https://a.b.example.co.uk/",
            "a.b.example.co.uk",
            "example.co.uk",
        ),
        ("https://me.github.io/", "https://me.github.io/", "me.github.io", "me.github.io"),
        (
            "https://例子.测试网.com/路径?问=答",
            "https://xn--fsqu00a.xn--0zwm89av8i.com/%E8%B7%AF%E5%BE%84?%E9%97%AE=%E7%AD%94",
            "xn--fsqu00a.xn--0zwm89av8i.com",
            "xn--0zwm89av8i.com",
        ),
        (
            "https://ＷＷＷ.example。com/",
            "https://www.example.com/",
            "www.example.com",
            "example.com",
        ),
        ("https://faß.de/", "https://xn--fa-hia.de/", "xn--fa-hia.de", "xn--fa-hia.de"),
        (
            "https://my_site.example.com/a/../b/./c",
            "https://my_site.example.com/b/c",
            "my_site.example.com",
            "example.com",
        ),
        (
            "https://r3---sn-abc.example.com/",
            "https://r3---sn-abc.example.com/",
            "r3---sn-abc.example.com",
            "example.com",
        ),
        (
            "https://example.com/?u=https://user@other.example.net/",
            "https://example.com/?u=https://user@other.example.net/",
            "example.com",
            "example.com",
        ),
        (
            "https://example.com/a%20b%5Cc%0d%0a",
            "https://example.com/a%20b%5Cc%0d%0a",
            "example.com",
            "example.com",
        ),
        (
            "https://example.com/'\"<>`{}|^",
            "https://example.com/'%22%3C%3E%60%7B%7D|^",
            "example.com",
            "example.com",
        ),
        ("https://example.com:0443/", "https://example.com/", "example.com", "example.com"),
    ] {
        let target =
            rules.parse(submitted, &suffixes).unwrap_or_else(|e| panic!("{submitted}: {e}"));
        assert_eq!(target.submitted, submitted);
        assert_eq!(target.host, host, "{submitted}");
        assert_eq!(target.registrable_domain, domain, "{submitted}");
        assert!(target.serialised.bytes().all(|b| b.is_ascii_graphic()), "{}", target.serialised);
        if submitted.contains("测试网") || submitted.contains("|^") {
            // How far a path is encoded has changed between editions of the standard.
            assert!(target.serialised.starts_with(&format!("https://{host}/")));
        } else {
            assert_eq!(target.serialised, serialised);
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_refusal_has_its_reason() {
    let rules = rules(|_| {});
    let suffixes = PublicSuffixes::load(None).unwrap();
    let long = format!("https://example.com/{}", "a".repeat(4096));
    let grows = format!("https://example.com/{}", "é".repeat(1000));
    let label = format!("https://{}.example.com/", "a".repeat(64));
    let name = format!("https://{}example.com/", "abcdefghi.".repeat(25));
    let table = [
        ("", Refusal::Empty),
        (long.as_str(), Refusal::TooLong),
        (grows.as_str(), Refusal::TooLong),
        // Characters that parsers drop or people do not see.
        ("https://exa\tmple.com/", Refusal::Whitespace),
        ("https://example.com/\n", Refusal::Whitespace),
        ("java\nscript://example.com/", Refusal::Whitespace),
        (" https://example.com/", Refusal::Whitespace),
        ("https://example.com/a b", Refusal::Whitespace),
        ("https://example.com/\u{3000}", Refusal::Whitespace),
        ("https://example.com/\u{a0}", Refusal::Whitespace),
        ("https://example.com/\0", Refusal::ControlCharacter),
        ("https://example.com/\u{7f}", Refusal::ControlCharacter),
        ("https://example.com/\u{1b}[2J", Refusal::ControlCharacter),
        ("https://example.com/\u{85}x", Refusal::ControlCharacter),
        ("https://example.com/\u{202e}gpj.exe", Refusal::InvisibleCharacter),
        ("https://exam\u{200b}ple.com/", Refusal::InvisibleCharacter),
        ("https://exam\u{ad}ple.com/", Refusal::InvisibleCharacter),
        ("\u{feff}https://example.com/", Refusal::InvisibleCharacter),
        ("https:\\\\example.com/", Refusal::Backslash),
        ("https://good.example\\@evil.example.com/", Refusal::Backslash),
        ("https://example.com/a\\..\\b", Refusal::Backslash),
        // Schemes.
        ("example.com", Refusal::Scheme),
        ("//example.com/", Refusal::Scheme),
        ("/path", Refusal::Scheme),
        ("ftp://example.com/", Refusal::Scheme),
        ("javascript:alert(1)//http://example.com", Refusal::Scheme),
        ("javascript://example.com/%0aalert(1)", Refusal::Scheme),
        ("data:text/html,hello", Refusal::Scheme),
        ("file:///etc/passwd", Refusal::Scheme),
        ("https:example.com", Refusal::Scheme),
        ("https:/example.com", Refusal::Scheme),
        ("hxxps://example.com/", Refusal::Scheme),
        ("https:///example.com/", Refusal::Malformed),
        ("https://", Refusal::Malformed),
        ("https://?x", Refusal::Malformed),
        // User information.
        ("https://user@example.com/", Refusal::UserInfo),
        ("https://www.example.com:443@evil.example.net/", Refusal::UserInfo),
        ("https://@example.com/", Refusal::UserInfo),
        ("https://:@example.com/", Refusal::UserInfo),
        // Addresses, in every spelling.
        ("http://203.0.113.5/", Refusal::IpLiteral),
        ("http://8.8.8.8/", Refusal::IpLiteral),
        ("http://0x7f.1/", Refusal::IpLiteral),
        ("http://2130706433/", Refusal::IpLiteral),
        ("http://017700000001/", Refusal::IpLiteral),
        ("http://127.1/", Refusal::IpLiteral),
        ("http://127.0.0.1./", Refusal::IpLiteral),
        ("http://１２７.0.0.1/", Refusal::IpLiteral),
        ("http://127。0。0。1/", Refusal::IpLiteral),
        ("http://1.2.3.4.5/", Refusal::IpLiteral),
        ("http://256.256.256.256/", Refusal::IpLiteral),
        ("http://example.1/", Refusal::IpLiteral),
        ("http://[2606:4700::1]/", Refusal::IpLiteral),
        ("http://[::ffff:127.0.0.1]/", Refusal::IpLiteral),
        ("http://[::1/", Refusal::IpLiteral),
        ("http://[fe80::1%25eth0]/", Refusal::HostSyntax),
        // Our own.
        ("https://s.example.org/x", Refusal::OwnHost),
        ("http://S.EXAMPLE.ORG./x", Refusal::OwnHost),
        ("http://s.example.org:1/", Refusal::OwnHost),
        ("https://go.example.org", Refusal::OwnHost),
        ("https://短.example.org/", Refusal::OwnHost),
        ("https://xn--s7y.example.org/", Refusal::OwnHost),
        ("http://203.0.113.9:9999/", Refusal::OwnHost),
        ("http://0xcb007109/", Refusal::OwnHost),
        ("http://[::ffff:203.0.113.9]/", Refusal::OwnHost),
        ("http://[64:ff9b::203.0.113.9]/", Refusal::OwnHost),
        ("http://[0:0::0:1]/", Refusal::OwnHost),
        // Special-purpose names.
        ("http://localhost/", Refusal::SpecialHost),
        ("http://LOCALHOST./", Refusal::SpecialHost),
        ("http://a.localhost/", Refusal::SpecialHost),
        ("http://printer.local/", Refusal::SpecialHost),
        ("http://metadata.google.internal/", Refusal::SpecialHost),
        ("http://www.demo.test/", Refusal::SpecialHost),
        ("http://www.example/", Refusal::SpecialHost),
        ("http://x.invalid/", Refusal::SpecialHost),
        ("http://abcdef.onion/", Refusal::SpecialHost),
        ("http://router.home.arpa/", Refusal::SpecialHost),
        ("http://1.0.0.127.in-addr.arpa/", Refusal::SpecialHost),
        ("http://nas.lan/", Refusal::SpecialHost),
        ("http://x.alt/", Refusal::SpecialHost),
        ("http://intranet/", Refusal::SpecialHost),
        ("http://wiki/", Refusal::SingleLabel),
        ("http://com/", Refusal::SingleLabel),
        ("http://xn--fiqs8s/", Refusal::SingleLabel),
        // Public suffixes.
        ("https://co.uk/", Refusal::PublicSuffix),
        ("https://github.io./", Refusal::PublicSuffix),
        ("https://CO.UK", Refusal::PublicSuffix),
        // Hosts that are no names.
        (label.as_str(), Refusal::HostSyntax),
        (name.as_str(), Refusal::HostSyntax),
        ("https://a..example.com/", Refusal::HostSyntax),
        ("https://.example.com/", Refusal::HostSyntax),
        ("https://example.com../", Refusal::HostSyntax),
        ("https://exa$mple.com/", Refusal::HostSyntax),
        ("https://exa%6dple.com/", Refusal::HostSyntax),
        ("https://example.com%2f@x/", Refusal::UserInfo),
        ("https://exa<mple.com/", Refusal::Idna),
        ("https://-a.example.com/", Refusal::HostSyntax),
        ("https://:80/", Refusal::HostSyntax),
        // IDNA (UTS 46).
        ("https://xn--a.example.com/", Refusal::Idna),
        ("https://xn--ab-c\u{301}.example.com/", Refusal::Idna),
        ("https://\u{301}a.example.com/", Refusal::Idna),
        ("https://xn--zca-.example.com/", Refusal::Idna),
        ("https://gro\u{1e9e}.example.com/", Refusal::Idna),
        // Drives, which are none in a browser.
        ("https://example.com/c:/../x", Refusal::Malformed),
        ("https://example.com/a/C|/b/%2E./x?y", Refusal::Malformed),
        // Ports.
        ("https://example.com:0/", Refusal::Port),
        ("https://example.com:99999/", Refusal::Port),
        ("https://example.com:8a/", Refusal::Port),
    ];
    let wrong: Vec<_> = table
        .iter()
        .map(|&(text, reason)| (text, Some(reason), rules.parse(text, &suffixes).err()))
        .filter(|(_, expected, got)| expected != got)
        .collect();
    assert_eq!(wrong, []);
}

#[test]
fn the_limit_is_the_limit() {
    let rules = rules(|g| g.targets.length_max = 64);
    let text = |n: usize| format!("https://example.com/{}", "a".repeat(n - 20));
    assert!(parse(&rules, &text(64)).is_ok());
    assert_eq!(parse(&rules, &text(65)), Err(Refusal::TooLong));
}

#[test]
fn configuration_lets_more_pass() {
    let addresses = rules(|g| g.targets.allow_ip_literal = true);
    for (text, expected) in [
        ("http://8.8.8.8/", Ok("8.8.8.8")),
        ("http://0x08080808/", Ok("8.8.8.8")),
        ("http://[2606:4700::1]/", Ok("2606:4700::1")),
        ("http://[::ffff:8.8.8.8]/", Ok("8.8.8.8")),
        ("http://127.0.0.1/", Err(Refusal::SpecialAddress)),
        ("http://10.1.2.3/", Err(Refusal::SpecialAddress)),
        ("http://169.254.169.254/", Err(Refusal::SpecialAddress)),
        ("http://100.64.0.1/", Err(Refusal::SpecialAddress)),
        ("http://0.0.0.0/", Err(Refusal::SpecialAddress)),
        ("http://255.255.255.255/", Err(Refusal::SpecialAddress)),
        ("http://[::ffff:10.0.0.1]/", Err(Refusal::SpecialAddress)),
        ("http://[64:ff9b::10.0.0.1]/", Err(Refusal::SpecialAddress)),
        ("http://[fd00::1]/", Err(Refusal::SpecialAddress)),
        ("http://[2001:db8::1]/", Err(Refusal::SpecialAddress)),
        ("http://203.0.113.9/", Err(Refusal::OwnHost)),
    ] {
        let got = parse(&addresses, text).map(|t| t.host);
        assert_eq!(got.as_deref().map_err(|e| *e), expected, "{text}");
    }
    let listed = rules(|g| g.targets.special_hosts = vec!["demo.test".into(), "Wiki".into()]);
    for (text, expected) in [
        ("https://www.demo.test/", Ok("demo.test")),
        ("https://demo.test/", Ok("demo.test")),
        ("https://notdemo.test/", Err(Refusal::SpecialHost)),
        ("https://demo.test.example/", Err(Refusal::SpecialHost)),
        ("http://wiki/", Ok("wiki")),
        ("http://localhost/", Err(Refusal::SpecialHost)),
    ] {
        let got = parse(&listed, text).map(|t| t.registrable_domain);
        assert_eq!(got.as_deref().map_err(|e| *e), expected, "{text}");
    }
    let special = rules(|g| g.targets.allow_special_host = true);
    for (text, good) in [
        ("http://localhost:3000/", true),
        ("http://wiki/", true),
        ("http://127.0.0.1/", false),
        ("https://s.example.org/", false),
        ("https://co.uk/", false),
    ] {
        assert_eq!(parse(&special, text).is_ok(), good, "{text}");
    }
}
