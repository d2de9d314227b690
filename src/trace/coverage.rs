//! What makes "no record" a statement: how far each node is complete, and the gaps of the window.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Error, Subject, Window,
    query::{self, CHAIN},
    reader::Reader,
};
use crate::{
    clock::Timestamp,
    record::{SchemaId, Table, rowbinary},
};

/// Gaps shown at most; where there are more, `gaps_more` says so.
const GAPS_MAX: u64 = 1_000;

/// How complete an answer is.
#[derive(Debug, Default, Serialize)]
pub(super) struct Coverage {
    /// Node → time below which every record of it can be found.
    pub(super) complete_through: BTreeMap<String, String>,
    /// What could not be kept, oldest first.
    pub(super) gaps: Vec<Map<String, Value>>,
    /// Whether there are more gaps than shown: ask for a shorter window.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) gaps_more: bool,
}

/// The coverage of `window` for questions about `subject`. `local` is this node's own, fresher
/// word on itself.
pub(super) async fn of(
    reader: &Reader,
    subject: &Subject,
    window: Window,
    local: Option<(String, Timestamp)>,
) -> Result<Coverage, Error> {
    let table = match subject {
        Subject::Record(id) => id.lane.table(),
        _ => None,
    };
    let mut streams = CHAIN.to_vec();
    streams.extend(table.filter(|t| !CHAIN.contains(t)));
    let (nodes, (gaps, gaps_more)) =
        futures_util::try_join!(nodes(reader), gaps(reader, &streams, window))?;
    let mut complete_through = nodes;
    if let Some((node, ts)) = local {
        complete_through.insert(node, ts.to_string());
    }
    Ok(Coverage { complete_through, gaps, gaps_more })
}

async fn nodes(reader: &Reader) -> Result<BTreeMap<String, String>, Error> {
    let (bytes, _) = reader.bytes(query::nodes()).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut nodes = BTreeMap::new();
    while !input.is_empty() {
        let node = String::from_utf8_lossy(input.bytes()?).into_owned();
        nodes.insert(node, input.ts()?.to_string());
    }
    Ok(nodes)
}

async fn gaps(
    reader: &Reader,
    streams: &[Table],
    window: Window,
) -> Result<(Vec<Map<String, Value>>, bool), Error> {
    let (bytes, _) = reader.bytes(query::gaps(streams, window, GAPS_MAX + 1)).await?;
    let mut input = rowbinary::Reader(&bytes);
    let mut gaps = Vec::new();
    while !input.is_empty() {
        gaps.push(SchemaId::newest(Table::Gaps).read_json(&mut input)?);
    }
    let more = gaps.len() as u64 > GAPS_MAX;
    gaps.truncate(GAPS_MAX as usize);
    Ok((gaps, more))
}
