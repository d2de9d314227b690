//! Node's reading of URLs.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;

/// A URL in its parts, as the standard's API has them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) href: String,
    pub(super) protocol: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) hostname: String,
    pub(super) port: String,
    pub(super) pathname: String,
    pub(super) search: String,
    pub(super) hash: String,
}

impl Parts {
    /// Everything before the path.
    pub(super) fn place(&self) -> [&str; 5] {
        [&self.protocol, &self.username, &self.password, &self.hostname, &self.port]
    }
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    read: Vec<Option<Parts>>,
}

/// What Node makes of every text on a page, or on none; one process for all of them.
pub(super) fn read<'a>(
    texts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Vec<Option<Parts>> {
    let texts: Vec<_> = texts.into_iter().collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/urls.js");
    let mut node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node (scripts/test-deps)");
    let asked = serde_json::to_vec(&texts).unwrap();
    // It writes nothing before it has read everything.
    node.stdin.take().unwrap().write_all(&asked).unwrap();
    let out = node.wait_with_output().unwrap();
    assert!(out.status.success(), "node ended with {}", out.status);
    let answer: Answer = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(answer.read.len(), texts.len());
    eprintln!("read by Node {}", answer.version);
    answer.read
}
