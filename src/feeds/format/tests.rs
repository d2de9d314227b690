//! Every format from bytes to rules, and what no input may do to any of them.

use std::io::BufReader;

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    name::Name,
    policy::{Action, NamePattern, Trigger},
};

/// What came out of one run, as text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) rules: Vec<String>,
    pub(super) rejected: Vec<(u64, &'static str, String)>,
    pub(super) all: Vec<Rule>,
    stop_at: Option<usize>,
}

impl Sink for Seen {
    fn rule(&mut self, at: Place<'_>, rule: Rule) {
        self.rules.push(format!(
            "{}: {} {}",
            at.line,
            trigger(&rule.trigger),
            action(&rule.action)
        ));
        self.all.push(rule);
    }

    fn reject(&mut self, at: Place<'_>, reason: Reason) {
        assert!(!reason.text.is_empty());
        self.rejected.push((at.line, reason.code, String::from_utf8_lossy(at.text).into_owned()));
    }

    fn wants_more(&self) -> bool {
        self.stop_at.is_none_or(|n| self.rules.len() < n)
    }
}

fn pattern(p: &NamePattern) -> String {
    format!("{}{}", if p.wildcard { "*." } else { "" }, p.name)
}

fn trigger(t: &Trigger) -> String {
    match t {
        Trigger::Qname(p) => pattern(p),
        Trigger::ClientIp(net) => format!("client {net}"),
        Trigger::ResponseIp(net) => format!("answer {net}"),
        Trigger::Nsdname(p) => format!("ns {}", pattern(p)),
        Trigger::Nsip(net) => format!("ns {net}"),
        Trigger::Url(kind, text) => format!("{kind:?} {text}"),
        Trigger::Code(code) => format!("code {code}"),
    }
}

fn action(a: &Action) -> String {
    let name = |wire: &[u8]| Name::from_wire(wire).unwrap();
    match a {
        Action::LocalData(records) => {
            let all =
                records.iter().map(|r| format!("{} {} {}", r.rtype, r.ttl, hex::encode(&r.rdata)));
            all.collect::<Vec<_>>().join(" + ")
        }
        Action::Cname(to) => format!("cname {}", name(to)),
        Action::CnameBelow(to) => format!("cname *.{}", name(to)),
        other => other.name().to_owned(),
    }
}

pub(super) fn options() -> Options {
    Options { origin: Origin::Feed(Name::from_text("feed").unwrap()), ..Options::default() }
}

pub(super) fn read(format: Format, text: &[u8], options: &Options) -> (Seen, Summary) {
    let mut seen = Seen::default();
    // A small buffer: entries come in pieces.
    let mut input = BufReader::with_capacity(7, text);
    let summary = parse(format, &mut input, options, &mut seen).unwrap();
    assert_eq!(summary.rules, seen.rules.len() as u64);
    assert_eq!(summary.rejected, seen.rejected.len() as u64);
    (seen, summary)
}

#[track_caller]
fn check(format: Format, text: &str, rules: &[&str], rejected: &[(u64, &str)]) -> Summary {
    let (seen, summary) = read(format, text.as_bytes(), &options());
    assert_eq!(seen.rules, rules);
    let found: Vec<_> = seen.rejected.iter().map(|(line, code, _)| (*line, *code)).collect();
    assert_eq!(found, rejected, "{:?}", seen.rejected);
    summary
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(*format));
    }
    assert_eq!("nonsense".parse::<Format>(), Err(UnknownFormat("nonsense".into())));
}

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

/// What broken lists are made of, besides noise. None of these closes a parenthesis or is an entry.
const PIECES: &[&str] = &[
    " ",
    "\t",
    "@",
    "(",
    "\"",
    "\\",
    "\\065",
    ";",
    ".",
    "*",
    "b..d",
    "a b",
    "IN",
    "CH",
    "60",
    "$TTL",
    "$ORIGIN b..d.",
    "$INCLUDE x",
    "CNAME",
    "A",
    "TXT",
    "SOA",
    "\\#",
    "_tracegate.",
    "rpz-ip",
    "0.0.0.0",
    "::",
    "192.0.2.1",
    "http://",
    "/",
    "||",
    "^",
    "$",
    "!",
    "#",
    "=",
    ",",
    "{",
    "}",
    "[",
    "]",
    "'",
    ":",
    "诈骗",
    "\u{202e}",
    "\u{feff}",
];

fn junk() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>().prop_filter("closes", |b| *b != b')'), 0..6),
    ];
    let line = proptest::collection::vec(piece, 0..8).prop_map(|pieces| {
        let mut line = pieces.concat();
        line.retain(|b| *b != b'\n');
        line
    });
    line.prop_filter("an origin of its own", |l| !l.to_ascii_uppercase().starts_with(b"$ORIGIN ."))
}

/// A line of this format that is a rule about this name.
fn good(format: Format, name: &str) -> String {
    match format {
        // An absolute owner: a broken $ORIGIN before it is nothing to it.
        Format::Rpz => format!("{name}.feed. CNAME ."),
        Format::Hosts => format!("0.0.0.0 {name}"),
        Format::Domains => name.to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_line_takes_another_with_it(lines in proptest::collection::vec(junk(), 0..12)) {
        for format in [Format::Rpz, Format::Hosts, Format::Domains] {
            let mut text = Vec::new();
            for (i, line) in lines.iter().enumerate() {
                text.extend_from_slice(line);
                text.extend_from_slice(format!("\n{}\n", good(format, &format!("good{i}.test"))).as_bytes());
            }
            let options = Options { origin: Origin::Given(Name::from_text("feed").unwrap()), ..options() };
            let (seen, _) = read(format, &text, &options);
            for i in 0..lines.len() {
                let rule = format!("{}: good{i}.test nxdomain", 2 * i + 2);
                prop_assert!(seen.rules.contains(&rule), "{rule} of {:?}", String::from_utf8_lossy(&text));
            }
        }
    }
}

/// Any bytes, and bytes that stand for words that lists are made of.
fn fuzz(format: Format) {
    bolero::check!().with_iterations(20_000).with_max_len(512).for_each(|input: &[u8]| {
        let more = [")", "\n", "\n", "a.test", " CNAME .", " TXT ( ", "$ORIGIN ", "1h "];
        let words: Vec<_> = PIECES.iter().chain(&more).collect();
        let spelt = input.iter().map(|b| *words[usize::from(*b) % words.len()]);
        any_bytes(format, input);
        any_bytes(format, spelt.collect::<String>().as_bytes());
    });
}

fn any_bytes(format: Format, input: &[u8]) {
    let mut seen = Seen::default();
    if let Err(e) = parse(format, &mut &input[..], &options(), &mut seen) {
        assert!(!matches!(e, Error::Io(_)), "{e}");
    }
    for rule in &seen.all {
        if let Trigger::Qname(p) | Trigger::Nsdname(p) = &rule.trigger {
            assert_eq!(Name::from_wire(p.name.lower().wire()), Ok(p.name));
        }
    }
}

#[test]
fn fuzz_domains() {
    fuzz(Format::Domains);
}

#[test]
fn fuzz_hosts() {
    fuzz(Format::Hosts);
}

#[test]
fn fuzz_rpz() {
    fuzz(Format::Rpz);
}
