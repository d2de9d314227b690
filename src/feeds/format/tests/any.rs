//! What no input may do: panic, or take a good line with a bad one.

use proptest::{prelude::*, sample::select};

use super::*;

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

const LINES: [Format; 7] = [
    Format::Rpz,
    Format::Hosts,
    Format::Domains,
    Format::Csv,
    Format::Jsonl,
    Format::Adblock,
    Format::Dnsmasq,
];

/// A line of this format that is a rule about this name.
fn good(format: Format, name: &str) -> String {
    match format {
        // An absolute owner: a broken $ORIGIN before it is nothing to it.
        Format::Rpz => format!("{name}.feed. CNAME ."),
        Format::Hosts => format!("0.0.0.0 {name}"),
        Format::Domains => name.to_owned(),
        Format::Csv => format!("x,{name},y"),
        Format::Jsonl => format!(r#"{{"name":"{name}"}}"#),
        Format::Adblock => format!("||{name}^$all"),
        Format::Dnsmasq => format!("address=/{name}/"),
        Format::Xlsx | Format::Stix => unreachable!("not lines"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_line_takes_another_with_it(lines in proptest::collection::vec(junk(), 0..12)) {
        for format in LINES {
            let mut text = Vec::new();
            for (i, line) in lines.iter().enumerate() {
                // Quotes around several lines are a row if they hold as many cells as one.
                let kept = line.iter().filter(|b| format != Format::Csv || **b != b',');
                text.extend(kept);
                text.extend_from_slice(format!("\n{}\n", good(format, &format!("good{i}.test"))).as_bytes());
            }
            let mut options =
                Options { origin: Origin::Given(Name::from_text("feed").unwrap()), ..options() };
            // By its place: no line of junk is taken for headings.
            options.table.columns = vec![(Column::Subject(SubjectKind::Name), "2".into())];
            (options.table.header_row, options.table.delimiter) = (Some(0), Some(b','));
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
        let more = [
            ")",
            "\n",
            "\n",
            "a.test",
            " CNAME .",
            " TXT ( ",
            "$ORIGIN ",
            "1h ",
            "domain,",
            "\",\"",
            "{\"name\":\"",
            "\"}",
            "{\"objects\":[",
            "{\"type\":\"indicator\",\"pattern\":\"[",
            "url:value = '",
            "@@",
            "||a.test/",
            "$all",
            "address=/",
            "=",
            "OR",
        ];
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

#[test]
fn fuzz_csv() {
    fuzz(Format::Csv);
}

#[test]
fn fuzz_xlsx() {
    fuzz(Format::Xlsx);
}

#[test]
fn fuzz_jsonl() {
    fuzz(Format::Jsonl);
}

#[test]
fn fuzz_adblock() {
    fuzz(Format::Adblock);
}

#[test]
fn fuzz_dnsmasq() {
    fuzz(Format::Dnsmasq);
}

#[test]
fn fuzz_stix() {
    fuzz(Format::Stix);
}

/// A workbook of one sheet, and what becomes of it when bytes of it are changed.
#[test]
fn fuzz_workbooks() {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write_string(0, 0, "domain").unwrap();
    for row in 1..20 {
        sheet.write_string(row, 0, format!("a{row}.test")).unwrap();
    }
    let whole = book.save_to_buffer().unwrap();
    bolero::check!().with_iterations(500).with_type::<Vec<(u16, u8)>>().for_each(|changes| {
        let mut broken = whole.clone();
        for (at, byte) in changes {
            let at = usize::from(*at) % broken.len();
            broken[at] = *byte;
        }
        any_bytes(Format::Xlsx, &broken);
    });
}
