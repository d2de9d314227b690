//! What `link export` wrote, taken over: the way from one database to another.

use std::io::{self, BufRead};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::{BATCH_ROWS, Import, Row};

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Members that mean the same in an export and in a link to be.
const SAME: [&str; 13] = [
    "code",
    "domain",
    "expires",
    "forward_path",
    "forward_query",
    "not_before",
    "owner",
    "owner_verification",
    "purpose",
    "status",
    "tags",
    "tier_hint",
    "visits_max",
];

impl Import {
    /// Hands over the links of an export, a JSON object a line.
    pub(super) fn own(
        &self,
        mut input: impl BufRead,
        mut batch: impl FnMut(Vec<Row>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut rows, mut number) = (Vec::new(), 0_u64);
        loop {
            let mut line = Vec::new();
            let read =
                io::Read::take(&mut input, LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
            number += 1;
            if read as u64 > LINE_BYTES_MAX {
                bail!("line {number}: longer than {LINE_BYTES_MAX} bytes");
            }
            if read == 0 {
                break;
            }
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let object: Map<String, Value> =
                serde_json::from_slice(line).with_context(|| format!("line {number}"))?;
            rows.push(self.own_row(&object));
            if rows.len() == BATCH_ROWS {
                batch(std::mem::take(&mut rows))?;
            }
        }
        if rows.is_empty() { Ok(()) } else { batch(rows) }
    }

    /// The link to be of a line.
    pub(super) fn own_row(&self, object: &Map<String, Value>) -> Row {
        if object.contains_key("from") {
            return Err("it is a forward: forward import takes those".into());
        }
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
        let target = match text("target_submitted") {
            "" => text("target"),
            submitted => submitted,
        };
        let mut link = Map::new();
        link.insert("target".into(), target.into());
        let source = match text("source") {
            "" => self.from.name(),
            source => source,
        };
        link.insert("source".into(), source.into());
        for name in SAME {
            if let Some(value) = object.get(name).filter(|v| !v.is_null()) {
                link.insert(name.into(), value.clone());
            }
        }
        for (name, given) in [("owner", &self.owner), ("domain", &self.domain)] {
            if let Some(given) = given
                && link.get(name).and_then(Value::as_str).is_none_or(str::is_empty)
            {
                link.insert(name.into(), given.as_str().into());
            }
        }
        let (mut without, mut stopped) = (Vec::new(), Vec::new());
        if object.get("password") == Some(&Value::Bool(true)) {
            without.push("password".into());
            stopped.push("it has a password, which the file does not tell");
        }
        if link.contains_key("visits_max") {
            without.push("visits made so far".into());
            stopped.push("how many of its visits are left is not in the file");
        }
        let reason = match text("reason") {
            "" => "it was stopped there",
            reason => reason,
        };
        if text("state") == "disabled" {
            stopped.push(reason);
        }
        let mut taken = self.finish(link, without, &stopped);
        if !text("reason").is_empty() {
            taken.link.entry("reason").or_insert_with(|| text("reason").into());
        }
        Ok(taken)
    }
}
