//! Lists of lines that are no zones and no tables.

use super::*;
use crate::clock::Timestamp;

#[test]
fn domains() {
    let summary = check(
        Format::Domains,
        "# a list\n! another comment\n; and one\n// and one\n\nbad.example\r\n  BAD2.example.  # why\n\
         *.wild.example\n.both.example\nbad..example\n0.0.0.0 hosts.example\ntwo words\n\
         192.0.2.1\nhttp://url.example/\nhttp://url.example/path\nlast.example",
        &[
            "6: bad.example nxdomain",
            "7: bad2.example nxdomain",
            "8: *.wild.example nxdomain",
            "9: both.example nxdomain",
            "9: *.both.example nxdomain",
            "14: url.example nxdomain",
            "16: last.example nxdomain",
        ],
        &[(10, "bad-name"), (11, "syntax"), (12, "syntax"), (13, "address"), (15, "url")],
    );
    assert_eq!(summary.lines, 16);
}

#[test]
fn hosts() {
    let summary = check(
        Format::Hosts,
        "127.0.0.1 localhost localhost.localdomain\n::1\tip6-localhost\nfe80::1%lo0 localhost\n\
         0.0.0.0 0.0.0.0\n\n# comment\n0.0.0.0 a.example b..example c.example # why\n\
         :: v6.example\n192.0.2.7 garden.example\n2001:db8::7 garden.example\n0 short.example\n\
         names.example\n0.0.0.0\n",
        &[
            "7: a.example nxdomain",
            "7: c.example nxdomain",
            "8: v6.example nxdomain",
            "9: garden.example 1 300 c0000207",
            "10: garden.example 28 300 20010db8000000000000000000000007",
            "11: short.example nxdomain",
        ],
        &[(7, "bad-name"), (12, "syntax"), (13, "syntax")],
    );
    assert_eq!(summary.ignored, 5);
}

#[test]
fn too_long_lines_and_stops() {
    let options = Options { line_bytes_max: 20, ..options() };
    for format in [Format::Domains, Format::Rpz, Format::Hosts] {
        let text = format!("{}\n", "x".repeat(21));
        let (seen, _) = read(format, text.as_bytes(), &options);
        assert_eq!(seen.rejected, [(1, "too-long", "x".repeat(20))]);
    }
    let mut seen = Seen { stop_at: Some(2), ..Seen::default() };
    let summary =
        parse(Format::Domains, &mut &b"a.b\nc.d\ne.f\n"[..], &options, &mut seen).unwrap();
    assert!(summary.stopped && summary.rules == 2);
    let utf16 = parse(Format::Rpz, &mut &b"\xff\xfea\0"[..], &options, &mut Seen::default());
    assert!(matches!(utf16, Err(Error::Encoding("UTF-16"))));
}

#[test]
fn json_lines() {
    let summary = check(
        Format::Jsonl,
        include_str!("../../../../tests/data/feeds/list.jsonl"),
        &[
            "1: bad.example nxdomain",
            "2: *.bad.example nodata",
            "3: client 192.0.2.0/24 drop",
            "4: answer 2001:db8::/32 nxdomain",
            "5: ns ns.evil.example nxdomain",
            "6: ns 192.0.2.53/32 nxdomain",
            "7: Exact bad.example/a?b nxdomain",
            "8: Prefix bad.example/dir/ nxdomain",
            "9: code abc passthru",
            "10: answer 192.0.2.0/24 tcp-only",
            "12: data.example 1 60 c0000201 + 16 300 0361206202c3a9",
            "13: garden.example cname *.garden.example",
            "14: all.example nxdomain",
        ],
        &[
            (15, "syntax"),
            (16, "syntax"),
            (17, "syntax"),
            (18, "syntax"),
            (19, "bad-time"),
            (20, "bad-type"),
            (21, "bad-data"),
            (22, "syntax"),
            (23, "unknown-action"),
            (24, "bad-trigger"),
        ],
    );
    assert_eq!(summary.lines, 24);
}

#[test]
fn every_field_of_the_law_in_json() {
    let text = include_str!("../../../../tests/data/feeds/list.jsonl");
    let (seen, _) = read(Format::Jsonl, text.as_bytes(), &options());
    let legal = &seen.all[12].legal;
    // As our own JSON prints it, which has the same words.
    let printed = serde_json::to_value(&**legal).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().nth(13).unwrap()).unwrap();
    for field in LegalField::ALL {
        let (said, kept) = (&line[field.name()], &printed[field.name()]);
        let instant = |v: &serde_json::Value| v.as_str().and_then(|t| t.parse::<Timestamp>().ok());
        match instant(said) {
            Some(instant) => assert_eq!(instant.to_string(), kept.as_str().unwrap()),
            None => assert_eq!(said, kept, "{}", field.name()),
        }
        assert!(!said.is_null(), "{}", field.name());
    }
}

#[test]
fn adblock_filters() {
    let summary = check(
        Format::Adblock,
        "[Adblock Plus 2.0]\n! Title: x\n# comment\n||host.example^\n||All.example^$all,important\n\
         ||path.example/a/b^$all\n||query.example/a?b=c^$all\n||*.below.example^\nplain.example\n\
         192.0.2.1\n0.0.0.0 sunk.example\n@@||good.example^\n@@||good.example/path^\n\
         |https://exact.example/a|\n|https://prefix.example/a/\nhost.example##.advert\n##.banner\n\
         host.example#@#.advert\n||third.example^$third-party\n||dom.example^$domain=a.test\n\
         /regex[0-9]/\n-banner-\n||*wild*.example^\n||money.example/a$b/c^$all\n||dir.example/a/^$all\n\
         ||诈骗.example^\n||192.0.2.2^\n||x.example/a*b^\n\
         ||Case.example/A/b^$match-case,all\n||up.example/A/B/\n||mid.example/pa\n\
         ||mid.example/pa*\n||query.example/a?b=\n||end.example/A|\n||star.example/D/*\n\
         |https://exact.example/A^\n||enc.example/%C3%A9^\n",
        &[
            "4: host.example nxdomain",
            "4: *.host.example nxdomain",
            "5: all.example nxdomain",
            "5: *.all.example nxdomain",
            "6: PrefixAnyCase path.example/a/b nxdomain",
            "6: PrefixAnyCase path.example/a/b/ nxdomain",
            "7: ExactAnyCase query.example/a?b=c nxdomain",
            "8: *.below.example nxdomain",
            "9: plain.example nxdomain",
            "9: *.plain.example nxdomain",
            "10: Host 192.0.2.1 nxdomain",
            "11: sunk.example nxdomain",
            "11: *.sunk.example nxdomain",
            "12: good.example passthru",
            "12: *.good.example passthru",
            "13: PrefixAnyCase good.example/path passthru",
            "13: PrefixAnyCase good.example/path/ passthru",
            "14: ExactAnyCase exact.example/a nxdomain",
            "24: PrefixAnyCase money.example/a$b/c nxdomain",
            "24: PrefixAnyCase money.example/a$b/c/ nxdomain",
            "25: ExactAnyCase dir.example/a/ nxdomain",
            "26: xn--0d3aq50a.example nxdomain",
            "26: *.xn--0d3aq50a.example nxdomain",
            "27: Host 192.0.2.2 nxdomain",
            "29: Prefix case.example/A/b nxdomain",
            "29: Prefix case.example/A/b/ nxdomain",
            "30: PrefixAnyCase up.example/a/b/ nxdomain",
            "34: ExactAnyCase end.example/a nxdomain",
            "35: PrefixAnyCase star.example/d/ nxdomain",
            "37: PrefixAnyCase enc.example/%c3%a9 nxdomain",
            "37: PrefixAnyCase enc.example/%c3%a9/ nxdomain",
        ],
        &[
            (15, "unsupported"),
            (19, "unsupported"),
            (20, "unsupported"),
            (21, "unsupported"),
            (22, "unsupported"),
            (23, "unsupported"),
            (28, "unsupported"),
            (31, "unsupported"),
            (32, "unsupported"),
            (33, "unsupported"),
            (36, "unsupported"),
        ],
    );
    assert_eq!(summary.ignored, 3);
}

#[test]
fn dnsmasq_lines() {
    check(
        Format::Dnsmasq,
        "# comment\naddress=/a.example/b.example/ # why\naddress=/c.example/#\n\
         address=/d.example/192.0.2.1\naddress=/e.example/0.0.0.0\nlocal=/f.example/\n\
         server=/g.example/\nserver=/h.example/#\nserver=/i.example/192.0.2.1\nserver=192.0.2.1\n\
         address=/#/192.0.2.1\naddress=/j..example/k.example/\nno-resolv\nbogus-nxdomain=192.0.2.2\n\
         address=/*.l.example/\naddress=/.m.example/\naddress=/n.example/nonsense\n",
        &[
            "2: a.example nxdomain",
            "2: *.a.example nxdomain",
            "2: b.example nxdomain",
            "2: *.b.example nxdomain",
            "3: c.example nxdomain",
            "3: *.c.example nxdomain",
            "4: d.example 1 300 c0000201",
            "4: *.d.example 1 300 c0000201",
            "5: e.example nxdomain",
            "5: *.e.example nxdomain",
            "6: f.example nxdomain",
            "6: *.f.example nxdomain",
            "7: g.example nxdomain",
            "7: *.g.example nxdomain",
            "8: h.example passthru",
            "8: *.h.example passthru",
            "12: k.example nxdomain",
            "12: *.k.example nxdomain",
            "14: answer 192.0.2.2/32 nxdomain",
            "15: *.l.example nxdomain",
            "16: m.example nxdomain",
            "16: *.m.example nxdomain",
        ],
        &[
            (9, "directive"),
            (10, "directive"),
            (11, "bad-name"),
            (12, "bad-name"),
            (13, "directive"),
            (17, "bad-address"),
        ],
    );
}

#[test]
fn stix_bundles() {
    let text = include_str!("../../../../tests/data/feeds/bundle.json");
    let summary = check(
        Format::Stix,
        text,
        &[
            "2: bad.example nxdomain",
            "3: a.example nxdomain",
            "3: answer 192.0.2.0/24 nxdomain",
            "3: answer 2001:db8::1/128 nxdomain",
            "4: Exact bad.example/it's nxdomain",
        ],
        &[
            (6, "unsupported"),
            (7, "unsupported"),
            (8, "unsupported"),
            (9, "syntax"),
            (10, "bad-name"),
        ],
    );
    assert_eq!((summary.lines, summary.ignored), (10, 2));
    let (seen, _) = read(Format::Stix, text.as_bytes(), &options());
    let legal = &seen.all[0].legal;
    assert_eq!(&*legal.reason, "Phishing");
    assert_eq!(legal.effective_from, "2026-11-01T00:00:00Z".parse().unwrap());
    assert_eq!(legal.expires_at, "2027-11-01T00:00:00Z".parse().unwrap());
    assert!(legal.evidence.starts_with("indicator--"));

    // A bundle that ends early is no list; what came before is not taken for one.
    let cut = &text.as_bytes()[..text.len() / 2];
    let cut = parse(Format::Stix, &mut &cut[..], &options(), &mut Seen::default());
    assert!(matches!(cut, Err(Error::Form(_))));
    let mut seen = Seen { stop_at: Some(1), ..Seen::default() };
    let stopped = parse(Format::Stix, &mut text.as_bytes(), &options(), &mut seen).unwrap();
    assert!(stopped.stopped && stopped.rules == 1);
}
