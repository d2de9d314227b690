//! Lists of rules as large as one likes, the same each time.

use std::{
    fs,
    io::{BufWriter, Write},
    ops::Range,
    path::Path,
};

/// Numbers that look random and are the same each time (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// The next one.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The `n`th listed name: 8 to 26 characters, 15.9 on average, two labels or three.
pub(crate) fn name(n: u64) -> String {
    let mut numbers = Numbers(n);
    let bits = numbers.next();
    let tld = ["com", "net", "top", "xyz", "info", "cn", "site", "shop"][(bits & 7) as usize];
    // The number itself keeps names apart.
    let mut label = letters(n, 3);
    label.push_str(&letters(numbers.next(), 2 + (bits >> 3 & 7) as usize));
    match bits >> 6 & 3 {
        0 => format!("{}.{label}.{tld}", letters(numbers.next(), 2 + (bits >> 8 & 3) as usize)),
        _ => format!("{label}.{tld}"),
    }
}

fn letters(mut n: u64, at_least: usize) -> String {
    let mut text = String::new();
    while text.len() < at_least || (at_least == 3 && n > 0) {
        text.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    text
}

/// Writes a response policy zone of `rules` rules, each name with itself and all below it.
pub(crate) fn write_zone(path: &Path, rules: u64) {
    write_zone_of(path, 0..rules / 2, "");
}

/// The same of the names with these numbers, and of these records before them.
pub(crate) fn write_zone_of(path: &Path, names: Range<u64>, records: &str) {
    let mut out = BufWriter::new(fs::File::create(path).expect("a file"));
    let head = "$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n";
    out.write_all(head.as_bytes()).expect("room on disk");
    out.write_all(records.as_bytes()).expect("room on disk");
    for n in names {
        let name = name(n);
        writeln!(out, "{name} CNAME .\n*.{name} CNAME .").expect("room on disk");
    }
    out.flush().expect("room on disk");
}
