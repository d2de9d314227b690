//! Policy zones as text.

use super::*;

#[test]
fn rpz_rules() {
    let summary = check(
        Format::Rpz,
        "$TTL 1h\n\
         @ SOA ns.feed. hostmaster.feed. ( 2026112201 ; serial\n 1h 15m 1w\n 1d )\n\
         \x20 NS ns.feed.\n\
         nx.example CNAME .\n\
         NoData.Example 300 IN CNAME *.\n\
         *.wild.example IN 300 CNAME .\n\
         pass.example CNAME rpz-passthru.\n\
         drop.example CNAME RPZ-Drop.\n\
         tcp.example CNAME rpz-tcp-only.\n\
         old.example CNAME old.example.\n\
         garden.example CNAME garden.\n\
         *.below.example CNAME *.garden.\n\
         data.example A 192.0.2.1\n\
         \x20 60 AAAA 2001:db8::1\n\
         \tTXT \"two words\" ( one\n ; with a comment\n )\n\
         \x20 MX 10 mail.garden.\n\
         \x20 TYPE65280 \\# 2 0102\n\
         \x20 8w A 192.0.2.2\n\
         32.1.2.0.192.rpz-client-ip CNAME .\n\
         24.0.2.0.192.rpz-ip CNAME .\n\
         ns.evil.rpz-nsdname CNAME .\n\
         128.1.zz.db8.2001.rpz-nsip CNAME .\n\
         absolute.example.feed. CNAME .\n\
         _tracegate.nx.example TXT \"authority=x\"\n\
         $ORIGIN sub.feed.\n\
         a CNAME .\n\
         signed.feed. RRSIG A 8 2 300 20300101000000 20260101000000 1 feed. AAAA\n",
        &[
            "6: nx.example nxdomain",
            "7: nodata.example nodata",
            "8: *.wild.example nxdomain",
            "9: pass.example passthru",
            "10: drop.example drop",
            "11: tcp.example tcp-only",
            "12: old.example passthru",
            "13: garden.example cname garden",
            "14: *.below.example cname *.garden",
            "15: data.example 1 3600 c0000201",
            "16: data.example 28 60 20010db8000000000000000000000001",
            "17: data.example 16 3600 0974776f20776f726473036f6e65",
            "20: data.example 15 3600 000a046d61696c0667617264656e00",
            "21: data.example 65280 3600 0102",
            "22: data.example 1 86400 c0000202",
            "23: client 192.0.2.1/32 nxdomain",
            "24: answer 192.0.2.0/24 nxdomain",
            "25: ns ns.evil nxdomain",
            "26: ns 2001:db8::1/128 nxdomain",
            "27: absolute.example nxdomain",
            "30: a.sub nxdomain",
        ],
        &[],
    );
    assert_eq!(summary.serial, Some(2_026_112_201));
    assert_eq!((summary.ignored, summary.companions), (3, 1));
}

#[test]
fn rpz_entries_that_are_no_rules() {
    check(
        Format::Rpz,
        "good1.example CNAME .\n\
         outside.example. CNAME .\n\
         $INCLUDE /etc/passwd\n\
         $GENERATE 1-9 a$ CNAME .\n\
         relative.example CNAME rpz-passthru\n\
         unknown.example CNAME rpz-nonsense.\n\
         many.example CNAME . .\n\
         class.example CH CNAME .\n\
         type.example NONSENSE .\n\
         nothing.example\n\
         data.example A 192.0.2.256\n\
         data.example TXT \"open\n\
         \x20 A 192.0.2.1\n\
         b..d CNAME .\n\
         \x20 CNAME .\n\
         24.1.2.0.192.rpz-ip CNAME .\n\
         a.rpz-url CNAME .\n\
         dname.example DNAME .\n\
         ns.example NS a.\n\
         @ CNAME .\n\
         any.example ANY \\# 0\n\
         broken.example TYPE65280 \\# 3 0102\n\
         close ) CNAME .\n\
         good2.example CNAME .\n\
         $ORIGIN b..d\n\
         lost CNAME .\n\
         good3.example.feed. CNAME .\n",
        &["1: good1.example nxdomain", "24: good2.example nxdomain", "27: good3.example nxdomain"],
        &[
            (2, "out-of-zone"),
            (3, "include"),
            (4, "directive"),
            (5, "relative-target"),
            (6, "unknown-action"),
            (7, "syntax"),
            (8, "class"),
            (9, "bad-type"),
            (10, "syntax"),
            (11, "bad-data"),
            (12, "syntax"),
            (13, "syntax"),
            (14, "bad-name"),
            (15, "syntax"),
            (16, "bad-address"),
            (17, "unknown-trigger"),
            (18, "bad-type"),
            (19, "bad-type"),
            (20, "syntax"),
            (21, "bad-type"),
            (22, "bad-data"),
            (23, "syntax"),
            (25, "bad-name"),
            (26, "no-origin"),
        ],
    );
}

#[test]
fn an_entry_that_never_ends_takes_no_other_with_it() {
    check(
        Format::Rpz,
        "bad.example TXT ( \"open\ngood1.example CNAME .\ngood2.example TXT ( \"x\" )\n",
        &["2: good1.example nxdomain", "3: good2.example 16 300 0178"],
        &[(1, "syntax")],
    );
    check(
        Format::Rpz,
        "bad.example A (\ngood1.example CNAME .\n)\ngood2.example CNAME .\n",
        &["2: good1.example nxdomain", "4: good2.example nxdomain"],
        &[(1, "bad-data"), (3, "syntax")],
    );
    check(
        Format::Rpz,
        "bad.example TXT (\n a ( b\ngood.example CNAME .\n",
        &["3: good.example nxdomain"],
        &[(1, "syntax"), (2, "syntax")],
    );
}

#[test]
fn the_zone_of_an_rpz_text() {
    let check = |text: &str, origin: Origin, expected: &[&str]| {
        let options = Options { origin, ..Options::default() };
        let (seen, _) = read(Format::Rpz, text.as_bytes(), &options);
        assert_eq!(seen.rules, expected, "{text}");
    };
    let feed = || Origin::Feed(Name::from_text("feed").unwrap());
    let given = || Origin::Given(Name::from_text("Given").unwrap());
    let soa = "SOA ns. h. 1 2 3 4 5";
    check("a.test CNAME .", feed(), &["1: a.test nxdomain"]);
    check("a.test.feed. CNAME .", feed(), &["1: a.test nxdomain"]);
    check(
        "$ORIGIN rpz.\na.test CNAME .\nb.rpz. CNAME .",
        feed(),
        &["2: a.test nxdomain", "3: b nxdomain"],
    );
    check(&format!("rpz. {soa}\na.test.rpz. CNAME ."), feed(), &["2: a.test nxdomain"]);
    check(&format!("$ORIGIN .\nrpz {soa}\na.rpz CNAME ."), feed(), &["3: a nxdomain"]);
    check("a CNAME .\n$ORIGIN rpz.\nb CNAME .", feed(), &["1: a nxdomain"]);
    check("$ORIGIN rpz.\na CNAME .\nb.given. CNAME .", given(), &["3: b nxdomain"]);
}
