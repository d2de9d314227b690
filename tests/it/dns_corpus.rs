//! The corpus `tests/data/dns`: messages as no client of ours would send them, one in a file. The
//! first line says what it is, the second what becomes of it, the rest are its bytes in hex. Also
//! compiled into the resolver's own tests, whose fuzz targets start from it.

use std::{fs, path::Path};

/// One message.
pub(crate) struct Sample {
    /// Its file.
    pub(crate) name: String,
    /// The response code over UDP, with the zone `front.test`; none when it is not answered.
    pub(crate) rcode: Option<u16>,
    /// The message.
    pub(crate) wire: Vec<u8>,
}

/// All of them, by name.
pub(crate) fn samples() -> Vec<Sample> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dns");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files.map(|path| sample(&path)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn sample(path: &Path) -> Sample {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).unwrap();
    let mut comments = text.lines().filter_map(|l| l.strip_prefix("# "));
    assert!(comments.next().is_some_and(|what| what.len() > 5), "{name}: what is it?");
    let rcode = match comments.next() {
        Some("no answer") => None,
        Some(expected) => Some(expected.strip_prefix("rcode ").unwrap().parse().unwrap()),
        None => panic!("{name}: what becomes of it?"),
    };
    let hex: String = text.lines().filter(|l| !l.starts_with('#')).collect();
    Sample { name, rcode, wire: hex::decode(hex).unwrap() }
}

/// One of the messages, chosen by `input`, with `input` over it: the bytes of both, exclusive or.
pub(crate) fn mutant(samples: &[Sample], input: &[u8]) -> Vec<u8> {
    let sum: usize = input.iter().map(|b| usize::from(*b)).sum();
    let mut wire = samples[sum % samples.len()].wire.clone();
    wire.resize(wire.len().max(input.len()), 0);
    for (byte, over) in wire.iter_mut().zip(input) {
        *byte ^= over;
    }
    wire
}
