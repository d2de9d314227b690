//! Hostile URLs by the thousand, the same from the same seed.

use std::{collections::BTreeSet, env, fmt::Write as _};

/// One kind of trick.
pub(super) type Make = fn(&mut Random) -> String;

/// Every kind, with a name for the report.
pub(super) const KINDS: &[(&str, Make)] = &[
    ("user information", user_information),
    ("backslashes", backslashes),
    ("tabs and newlines", tabs_and_newlines),
    ("IPv4", ipv4),
    ("IPv6", ipv6),
    ("percent-encoded hosts", encoded_hosts),
    ("IDNA", idna),
    ("full-width", full_width),
    ("empty labels", empty_labels),
    ("overlong", overlong),
    ("mixed encodings", mixed_encodings),
    ("fragments and queries", fragments),
    ("schemes", schemes),
    ("CRLF", crlf),
    ("NUL and controls", controls),
    ("homographs", homographs),
    ("ports", ports),
    ("slashes and dots", slashes),
    ("anything", anything),
];

/// How many of each kind.
const OF_EACH: usize = 55;

/// All of them, by kind; `TRACEGATE_SEED` gives others.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let seed = env::var("TRACEGATE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(4);
    let mut random = Random(seed);
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (kind, make) in KINDS {
        let mut left = OF_EACH;
        while left > 0 {
            let text = make(&mut random);
            if seen.insert(text.clone()) {
                all.push((*kind, text));
                left -= 1;
            }
        }
    }
    all
}

/// A small generator (splitmix64).
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Up to `most` of `all`, one behind another.
    fn some(&mut self, all: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.of(all)).collect()
    }

    fn label(&mut self) -> String {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..1 + self.below(8)).map(|_| char::from(self.of(letters))).collect()
    }

    /// A host that nobody would look twice at.
    fn host(&mut self) -> String {
        let end = self.of(&["example.com", "example.org", "example.net", "例子.com", "bücher.de"]);
        if self.once_in(2) { end.to_owned() } else { format!("{}.{end}", self.label()) }
    }

    fn path(&mut self) -> String {
        self.of(&["", "/", "/a", "/a/b?c=d", "/a?b#c", "?q", "#f", "/%7Ea/é"]).to_owned()
    }

    fn scheme(&mut self) -> &'static str {
        self.of(&["https", "http", "HTTPS", "hTTp"])
    }

    fn url(&mut self) -> String {
        format!("{}://{}{}", self.scheme(), self.host(), self.path())
    }

    /// `text` with one of `all` put in somewhere.
    fn with(&mut self, text: &str, all: &[&str]) -> String {
        let places: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let at = self.of(&places);
        format!("{}{}{}", &text[..at], self.of(all), &text[at..])
    }
}

fn user_information(r: &mut Random) -> String {
    let parts = [
        "a",
        "www.example.org",
        ":",
        "@",
        "%40",
        "%3A",
        "；",
        "＠",
        "é",
        "'",
        "443",
        "#",
        "?",
        "%",
        "[",
        "^",
        "|",
    ];
    format!("{}://{}@{}{}", r.scheme(), r.some(&parts, 4), r.host(), r.path())
}

fn backslashes(r: &mut Random) -> String {
    if r.once_in(2) {
        let begin = r.of(&["https:\\\\", "https:/\\", "https:\\/", "http:\\", "https://\\"]);
        return format!("{begin}{}{}", r.host(), r.path());
    }
    let text = r.url();
    r.with(&text, &["\\", "\\\\", "\\@", "/\\", "%5c", "%5C@", "＼", "¥"])
}

fn tabs_and_newlines(r: &mut Random) -> String {
    let mut text = r.url();
    for _ in 0..=r.below(3) {
        text = r.with(
            &text,
            &["\t", "\n", "\r", "\r\n", " ", "%09", "%0a", "\u{b}", "\u{c}", "\u{2028}"],
        );
    }
    text
}

fn ipv4(r: &mut Random) -> String {
    let octets = [127, 10, 8, 192, 0, 255, 256, 169, 999];
    let number = |r: &mut Random, n: u64| match r.below(7) {
        0 => format!("0{n:o}"),
        1 => format!("0x{n:x}"),
        2 => format!("0X{n:X}"),
        3 => format!("00{n}"),
        4 => r.of(&["0x", "08", "0xg", "", "１２７", "%31", "-1", "+1", "1e2"]).to_owned(),
        _ => n.to_string(),
    };
    let count = 1 + r.below(5);
    let parts: Vec<String> = (0..count)
        .map(|i| {
            let n = if i + 1 == count && r.once_in(2) {
                r.next() >> (64 - 8 * (5 - count.min(4)))
            } else {
                r.of(&octets)
            };
            number(r, n)
        })
        .collect();
    let dot = r.of(&[".", ".", ".", "。", "．"]);
    let end = r.of(&["", "", ".", "..", ".example.com"]);
    format!("{}://{}{end}{}", r.scheme(), parts.join(dot), r.path())
}

fn ipv6(r: &mut Random) -> String {
    let begin = r.of(&["[", "[", "[", "[", "", "%5B", "[["]);
    let end = r.of(&["]", "]", "]", "]", "", "%5D", "]]", "]x", "].", "]:80", "]:"]);
    let mut text = String::new();
    let known = [
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "2606:4700::1111",
        "::FFFF:0x7f.1",
        "64:ff9b::8.8.8.8",
        "2002:7f00:1::",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8:9",
        "::1.2.3",
        "::01.2.3.4",
        "::1.2.3.256",
        ":::",
        "1::2::3",
        "v1.a",
    ];
    if r.once_in(2) {
        text += r.of(&known);
    } else {
        for i in 0..1 + r.below(9) {
            if i > 0 {
                text += r.of(&[":", ":", ":", "::"]);
            }
            text += r.of(&["0", "0", "00001", "ff", "FFFF", "2606", "db8", "g", "0000", "1.2.3.4"]);
        }
    }
    text += r.of(&["", "", "", "", "%25eth0", "%eth0", "%", "%251", "／64", "/64"]);
    format!("{}://{begin}{text}{end}{}", r.scheme(), r.path())
}

fn encoded_hosts(r: &mut Random) -> String {
    let mut host = String::new();
    let plain = r.host();
    for c in plain.chars() {
        let mut bytes = [0; 4];
        match r.below(4) {
            0 => {
                for b in c.encode_utf8(&mut bytes).bytes() {
                    write!(host, "%{b:02x}").unwrap();
                }
            }
            _ => host.push(c),
        }
    }
    if r.once_in(3) {
        let bad = [
            "%2e",
            "%2E.",
            "%00",
            "%2f",
            "%2F@",
            "%23",
            "%zz",
            "%",
            "%2",
            "%C0%AF",
            "%ff",
            "%25%36%35",
            "%20",
            "%3a80",
            "%5b",
            "%EF%BC%8E",
        ];
        host = r.with(&host, &bad);
    }
    format!("{}://{host}{}", r.scheme(), r.path())
}

fn idna(r: &mut Random) -> String {
    let parts = [
        // Deviation characters, and what is mapped.
        "ß",
        "ς",
        "\u{200d}",
        "\u{200c}",
        "ẞ",
        "ﬁ",
        "ſ",
        "ı",
        "İ",
        "K",
        "Å",
        "㎏",
        "½",
        "①",
        "Ⅷ",
        "℡",
        // Letters that need context, marks that may not begin a label.
        "क\u{94d}\u{200d}ष",
        "क\u{94d}\u{200c}",
        "l·l",
        "\u{375}α",
        "\u{5f3}",
        "・",
        "\u{301}",
        "e\u{301}",
        "\u{903}",
        // Right to left, and both ways.
        "א",
        "ا",
        "א1",
        "1א",
        "a-א",
        "٠",
        "۰",
        "0٠",
        // Punycode, good and not.
        "xn--fa-hia",
        "xn--fsqu00a",
        "xn--a",
        "xn--",
        "xn--zca",
        "XN--ZCA",
        "xn--ls8h",
        "xn--0",
        "xn--ａ",
        "xn--bcher-kva",
        "xn--1ug",
        "xn--9999999999",
        "xn--80ak6aa92e",
        // Young letters, unassigned ones, what is not allowed.
        "\u{1e4d0}",
        "\u{10d40}",
        "\u{2ebf0}",
        "\u{16d40}",
        "\u{378}",
        "\u{1c89}",
        "\u{e000}",
        "\u{fffd}",
        "\u{2ff0}",
        "\u{a9c0}",
        "😀",
        "a--b",
        "ab--c",
        "-a",
        "a-",
        "_a",
        "a",
        "aB",
        "1",
        "\u{3a3}",
        "\u{2260}",
        "≠",
        "≮",
        "\u{338}",
    ];
    let mut host: String = (0..1 + r.below(3)).map(|_| r.of(&parts)).collect();
    for _ in 0..r.below(2) {
        host = format!("{host}.{}", r.of(&parts));
    }
    let end = r.of(&[".example.com", ".example.com", ".com", ".中国", ".xn--fiqs8s", ".рф"]);
    format!("{}://{host}{end}{}", r.scheme(), r.path())
}

fn full_width(r: &mut Random) -> String {
    let plain = r.host();
    let dot = r.of(&["。", "．", "｡", "․", "‥", "."]);
    let mut host = String::new();
    for c in plain.chars() {
        match c {
            '.' => host.push_str(dot),
            c if c.is_ascii_alphanumeric() && r.once_in(3) => {
                host.push(char::from_u32(u32::from(c) + 0xfee0).unwrap());
            }
            c => host.push(c),
        }
    }
    if r.once_in(2) {
        host = r.with(
            &host,
            &[
                "／", "？", "＃", "：", "＠", "％", "％2e", "［", "＿", "－", "ー", "\u{3000}",
                "⁄", "∕", "⧸",
            ],
        );
    }
    format!("{}://{host}{}", r.scheme(), r.path())
}

fn empty_labels(r: &mut Random) -> String {
    let host = r.host();
    let host = match r.below(6) {
        0 => format!(".{host}"),
        1 => format!("{host}{}", ".".repeat(1 + r.below(3))),
        2 => host.replacen('.', "..", 1),
        3 => ".".repeat(1 + r.below(4)),
        4 => format!("{}。.{host}", r.label()),
        _ => format!("{}.\u{ad}.{host}", r.label()),
    };
    format!("{}://{host}{}", r.scheme(), r.path())
}

fn overlong(r: &mut Random) -> String {
    let around = r.below(5);
    match r.below(6) {
        0 => format!("https://{}.example.com{}", "a".repeat(61 + around), r.path()),
        1 => format!("https://{}{}.com/", "abcdefghi.".repeat(24), "a".repeat(7 + around)),
        2 => format!("https://{}/{}", r.host(), "a".repeat(4_060 + r.below(60))),
        3 => format!("https://{}/{}", r.host(), "é".repeat(660 + r.below(30))),
        4 => format!("https://{}.example.com/", "ü".repeat(50 + r.below(12))),
        _ => format!("https://{}?{}", r.host(), "a=b&".repeat(1_010 + r.below(20))),
    }
}

fn mixed_encodings(r: &mut Random) -> String {
    let parts = [
        "é",
        "%C3%A9",
        "%c3%a9",
        "%E9",
        "%u0041",
        "%",
        "%2",
        "%zz",
        "%25",
        "%2541",
        "%C0%AF",
        "%00",
        "+",
        "%20",
        "\"",
        "<",
        ">",
        "`",
        "{",
        "}",
        "|",
        "^",
        "'",
        "[",
        "]",
        "~",
        "%7E",
        ";",
        "&amp;",
        "\u{1f600}",
        "%F0%9F%98%80",
        "%FE%FF",
        "a",
        "=",
        "&",
        "/",
        ":",
        "@",
        "中文",
        "%E4%B8",
    ];
    let (path, query) = (r.some(&parts, 6), r.some(&parts, 6));
    let fragment = if r.once_in(2) { format!("#{}", r.some(&parts, 5)) } else { String::new() };
    format!("{}://{}/{path}?{query}{fragment}", r.scheme(), r.host())
}

fn fragments(r: &mut Random) -> String {
    let parts = [
        "#",
        "?",
        "@",
        "/",
        "evil.example.net",
        "//",
        "#@",
        "?@",
        "/@",
        ":80",
        "%23",
        "%3f",
        "&",
        "=",
        "a",
        "\\",
        "\u{ff03}",
    ];
    format!(
        "{}://{}{}{}",
        r.scheme(),
        r.host(),
        r.of(&["#", "?", "/#", "/?", ""]),
        r.some(&parts, 5)
    )
}

fn schemes(r: &mut Random) -> String {
    let begin = [
        "https:",
        "https:/",
        "https:///",
        "https:////",
        "HTTPS:",
        "hTtPs://",
        "//",
        "/",
        "",
        "javascript:",
        "javascript://",
        "data:text/html,",
        "ftp://",
        "file://",
        "ws://",
        "blob:https://",
        "view-source:https://",
        "https//",
        "https;//",
        "https:// ",
        "http:https://",
        "http://http://",
        "http://https:",
        "\u{2c}https://",
        "ｈttps://",
        "ħttps://",
        "https：//",
        "1https://",
        "h-t.t+p://",
        "://",
        ":https://",
        "intent://",
        "mailto:a@",
        "about:",
        "jar:https://",
        "feed:https://",
        "httpſ://",
        "hxxp://",
        "httpS://",
    ];
    format!("{}{}{}", r.of(&begin), r.host(), r.path())
}

fn crlf(r: &mut Random) -> String {
    let mut text = r.url();
    for _ in 0..=r.below(2) {
        text = r.with(
            &text,
            &[
                "\r\n",
                "%0d%0a",
                "%0D%0ASet-Cookie:%20a=b",
                "\r\nLocation: https://evil.example.net/",
                "\n\n",
                "%250d%250a",
                "嘊嘍",
                "%E5%98%8A%E5%98%8D",
                "\u{85}",
                "\u{2029}",
                "%0a",
                "\r",
            ],
        );
    }
    text
}

fn controls(r: &mut Random) -> String {
    let text = r.url();
    r.with(
        &text,
        &[
            "\0",
            "%00",
            "\u{1}",
            "\u{7f}",
            "\u{1b}[2J",
            "\u{8}",
            "%7f",
            "\u{80}",
            "\u{9f}",
            "\u{202e}",
            "\u{2066}",
            "\u{feff}",
            "\u{ffff}",
            "\u{e0041}",
            "\u{fe0f}",
            "%E2%80%AE",
            "\u{fdd0}",
            "\u{1ffff}",
        ],
    )
}

fn homographs(r: &mut Random) -> String {
    let plain =
        r.of(&["apple.com", "paypal.com", "example.com", "baidu.com", "qq.com", "alipay.com"]);
    let mut host = String::new();
    for c in plain.chars() {
        let like = match c {
            'a' => &["а", "α", "ａ", "ɑ", "á"][..],
            'e' => &["е", "é", "ё", "ℯ"],
            'o' => &["о", "ο", "0", "օ"],
            'p' => &["р", "ρ"],
            'l' => &["ӏ", "1", "ⅼ", "ł"],
            'i' => &["і", "ı", "í", "ⅰ"],
            'c' => &["с", "ϲ", "ç"],
            'x' => &["х", "×", "χ"],
            'q' => &["ԛ", "գ"],
            '.' => &[".", "․", "。", "\u{200b}."],
            _ => &[],
        };
        match like {
            [] => host.push(c),
            like if r.once_in(3) => host.push_str(r.of(like)),
            _ => host.push(c),
        }
    }
    format!("{}://{host}{}", r.scheme(), r.path())
}

fn ports(r: &mut Random) -> String {
    let port = match r.below(4) {
        0 => r
            .of(&[
                "",
                "0",
                "00",
                "80",
                "443",
                "0443",
                "000080",
                "65535",
                "65536",
                "99999",
                "4294967376",
            ])
            .to_owned(),
        1 => r
            .of(&[
                "+80", "-80", " 80", "80 ", "8 0", "8a", "0x50", "８０", "٨٠", "80:81", ":80",
                "%38%30", "80@", "1e2", "80.", "\t80",
            ])
            .to_owned(),
        2 => (1 + r.below(65_534)).to_string(),
        _ => format!("{}{}", "0".repeat(r.below(30)), r.below(70_000)),
    };
    format!("{}://{}:{port}{}", r.scheme(), r.host(), r.path())
}

fn slashes(r: &mut Random) -> String {
    let parts = [
        "/", "//", "/.", "/..", "/./", "/../", "/%2e", "/%2E%2e/", "/.%2e", "/a", "/;", "/...",
        "/%2f", "/c:", "/C|/", "/ ", "/*", "/~",
    ];
    let begin = r.of(&["https://", "https://", "https:///", "http:////"]);
    format!("{begin}{}{}", r.host(), r.some(&parts, 8))
}

fn anything(r: &mut Random) -> String {
    let parts = [
        "a",
        "b.com",
        "example.com",
        ".",
        "..",
        "/",
        "//",
        ":",
        "@",
        "?",
        "#",
        "%",
        "%2e",
        "%40",
        "[",
        "]",
        "\\",
        "é",
        "。",
        "xn--",
        "-",
        "_",
        "0",
        "127.1",
        "0x7f",
        "::1",
        "https://",
        "http:",
        "|",
        "^",
        "\"",
        "<",
        "'",
        " ",
        "\t",
        "\0",
        "\u{200d}",
        "ß",
        "&",
        "=",
        ";",
        ",",
        "!",
        "$",
        "(",
        "*",
        "+",
        "~",
        "`",
        "{",
    ];
    let begin = r.of(&["https://", "http://", "https://a", "https://example.com"]);
    format!("{begin}{}", r.some(&parts, 9))
}
